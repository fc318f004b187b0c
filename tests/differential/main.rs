//! Random policies against everything that claims to know what they mean: the reference meaning, the diagrams, our own
//! interpreter on the bytes, and the kernel.
//!
//! `SOCKC_POLICIES` sets how many policies (200), each with 500 frames and 200 lookups; `SOCKC_SEED` where they begin.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

mod cases;
mod context;
mod expected;
mod interpreted;
mod kernel;
#[path = "../kernels/syscalls.rs"]
#[allow(dead_code, reason = "the guest uses more of it")]
mod syscalls;
mod world;

use sockc_compiler::files::Texts;
use sockc_compiler::generate::{Options, random_policy};
use sockc_compiler::packet::random::Rng;
use sockc_compiler::pipeline::{self, Built};
use sockc_compiler::policy::Policy;
use sockc_compiler::target::Target;
use sockc_grammar::source::SourceMap;

/// Frames for each policy.
const FRAMES: usize = 500;
/// Socket lookups for each policy.
const LOOKUPS: usize = 200;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// A policy of the language, compiled.
pub(crate) struct Subject {
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) built: Built,
}

impl Subject {
    fn random(seed: u64, rules: usize) -> Self {
        Self::compiled(random_policy(seed, Options::everything(rules)))
    }

    fn compiled(text: String) -> Self {
        let mut sources = SourceMap::default();
        let id = sources.add("random.sk", text.clone());
        let outcome = pipeline::compile(
            &mut sources,
            id,
            "random",
            &Target::baseline(),
            &mut Texts::default(),
        );
        assert!(
            !outcome.failed(),
            "{text}\n{:?}\n{}",
            outcome.internal,
            outcome
                .diagnostics
                .iter()
                .map(|d| format!("{d:?}\n"))
                .collect::<String>()
        );
        Self {
            text,
            policy: outcome.policy.unwrap(),
            built: outcome.built.unwrap(),
        }
    }
}

#[test]
fn interpreter_and_diagrams_agree_with_the_reference_meaning() {
    for seed in seeds() {
        let subject = Subject::random(seed, rules_of(seed));
        let mut rng = Rng::new(seed);
        interpreted::check(&subject, &mut rng, FRAMES, LOOKUPS);
    }
}

#[test]
fn the_kernel_agrees_with_the_reference_meaning() {
    if !kernel::permitted() {
        return;
    }
    kernel::in_private_namespace(|| {
        let sockets = kernel::Sockets::open();
        for seed in seeds() {
            let subject = Subject::random(seed, rules_of(seed));
            let mut rng = Rng::new(seed);
            kernel::check(&subject, &sockets, &mut rng, FRAMES, LOOKUPS);
        }
    });
}

#[test]
fn fifty_rules_and_a_hundred_thousand_packets() {
    if !kernel::permitted() {
        return;
    }
    kernel::in_private_namespace(|| {
        let sockets = kernel::Sockets::open();
        let subject = Subject::random(50_000, 50);
        let mut rng = Rng::new(50);
        kernel::check(&subject, &sockets, &mut rng, 100_000, 10_000);
    });
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("SOCKC_SEED", 1);
    first..first + number("SOCKC_POLICIES", 200)
}

/// From one rule to forty.
fn rules_of(seed: u64) -> usize {
    [1, 2, 3, 5, 8, 12, 20, 40][(seed % 8) as usize]
}
