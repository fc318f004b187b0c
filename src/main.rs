//! The `sockc` command.

fn main() {}
