//! The integration tests that need nothing but this repository: one binary, since linking each alone takes longer than
//! running them.

mod bad;
mod command;
mod golden;
mod repository;
mod tidy;
