//! Imported rules beside the tools that they come from: random rule sets, real packets, and equal outcomes.
//!
//! A router (`scene`) is given a random rule set of iptables or nft, which the tool itself loads. Packets at the edges of what rules ask
//! (`packets`) are sent to it, through it and from it, and what becomes of each is seen where it would arrive (`wire`). Then what the tool
//! prints is imported, the policy takes the place of the rules in the same router, and the same packets are sent again (`compared`, which
//! also says which differences are excused, and how that is found out). `SOCKC_POLICIES` sets how many rule sets, `SOCKC_FRAMES` how many
//! packets for each, `SOCKC_SEED` where they begin. The whole campaign:
//! `SOCKC_POLICIES=300 SOCKC_FRAMES=1000 cargo test --test beside -- --nocapture`.
//!
//! Beside that, pairs of rules that the iptables project calls the same are compared as policies (`txlate`).
//!
//! What real sending cannot compare is not drawn:
//!
//! - Rates: what fits is a question of time.
//! - Fragments: conntrack, and INPUT anyway, see datagrams put together, as the import reports of each list.
//! - What the kernel takes ahead of the chains: senders that are the router itself, or many; what cannot be passed on any further.
//! - What goes back out of the interface by which it came: it meets no list, as the import reports.
//! - What the router sends to many: a copy of it comes back in.
//! - Marks of what arrives: no wire carries any.
//! - Flags that would end the connections that are there. All else of TCP has ends of its own, so that conntrack knows nothing of it yet.
//! - Checksums of SCTP: conntrack is told not to look at any.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod compared;
mod iptables;
mod nft;
mod packets;
mod programs;
mod scene;
mod tool;
mod txlate;
mod wire;

use std::process::Command;

use compared::{Tally, compare};
use iptables::Iptables;
use nft::Nft;

/// Rule sets of each tool, unless said otherwise.
const SETS: u64 = 5;
/// Packets for each.
const PACKETS: u64 = 300;

/// The command.
fn sockc() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sockc"))
}

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Whether this test may run; says so where it may not.
fn root() -> bool {
    let missing = sockc_runtime::lab::missing_rights();
    if !missing.is_empty() {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs {missing:?}");
        eprintln!("skipped: needs root");
    }
    missing.is_empty()
}

/// Compares all rule sets of a tool.
fn campaign(tool: &dyn tool::Tool) {
    let first = number("SOCKC_SEED", 1);
    let mut tally = Tally::default();
    for seed in first..first + number("SOCKC_POLICIES", SETS) {
        compare(
            tool,
            seed,
            number("SOCKC_FRAMES", PACKETS) as usize,
            &mut tally,
        );
    }
    tally.check();
}

#[test]
fn an_imported_policy_does_with_packets_what_iptables_does() {
    if root() && iptables::is_there() {
        campaign(&Iptables);
    }
}

#[test]
fn an_imported_policy_does_with_packets_what_nft_does() {
    if root() && nft::is_there() {
        campaign(&Nft);
    }
}
