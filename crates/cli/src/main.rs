//! everwire
fn main() {}
