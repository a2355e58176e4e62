//! Models of how threads wake each other in `everwire`: its own files, compiled with loom's atomics
//! and locks in place of the standard ones, run in the orders that
//! the memory model allows, with up to two or three preemptions.
//!
//! The models are tests; the library is empty.
