//! proto

pub mod handshake;
