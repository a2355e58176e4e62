//! everwire

pub mod dial;
pub mod tls;
