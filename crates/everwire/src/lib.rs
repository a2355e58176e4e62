//! everwire
