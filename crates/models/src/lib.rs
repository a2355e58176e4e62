//! Models of how threads wake each other in `everwire`: its own files, compiled with loom's atomics
//! and locks in place of the standard ones, run in the orders that
//! the memory model allows, with up to two or three preemptions.
//!
//! Beside them stand a model of a session, and the simulation of whole clients and a server without one
//! rule of the protocol after the other.
//!
//! The models are tests; the library is empty.
