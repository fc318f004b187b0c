//! Commands that are killed before each system call that changes something, and commands whose calls are refused.
//!
//! What must hold at every point: packets in all namespaces, at all hooks, meet the old policy or the new one as a whole;
//! `status` says which; and nothing stays behind. Some points are taken, within a budget of time; with `SOCKC_KILLS=all` every
//! one is, with a number as many as fit into so many seconds for each command. Everything here needs root, and says `skipped: needs root` elsewhere; `SOCKC_KERNEL=require` makes that a failure.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod answers;
mod campaign;
mod damage;
#[path = "../kernels/guests.rs"]
mod guests;
mod kept;
mod kills;
#[path = "../kernels/machine.rs"]
mod machine;
mod refusals;
mod returns;
mod routes;
mod scene;
mod stays;
mod trace;
mod trials;

/// Whether a test that needs root may run; says so where it may not.
fn root() -> bool {
    let missing = sockc_runtime::lab::missing_rights();
    if !missing.is_empty() {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs {missing:?}");
        eprintln!("skipped: needs root");
    }
    missing.is_empty()
}
