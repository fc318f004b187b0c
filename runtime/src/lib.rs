//! Loads, attaches, replaces and reads what the compiler made.

pub mod lab;
