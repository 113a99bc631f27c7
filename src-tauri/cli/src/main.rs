//! sotto-cli.

fn main() {}
