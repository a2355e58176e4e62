//! everwire

pub mod dial;
pub mod tls;
pub mod trust;
