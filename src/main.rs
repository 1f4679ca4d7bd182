//! Hubbub.
fn main() {}
