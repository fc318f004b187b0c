//! What the host hands to a kernel, and what comes back.
//!
//! The host writes `work.json` and the objects into one folder, which becomes a part of the guest's file system; the
//! guest answers with lines on its console. Not here: who makes the cases (cases.rs), who runs them (guest.rs).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The file in the folder that lists the objects.
pub(crate) const INDEX: &str = "work.json";

/// Marks the lines of a guest's console that are ours.
pub(crate) const MARK: &str = "@@";

/// One compiled policy and what its programs must answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The policy's name.
    pub(crate) name: String,
    /// The object's file name in the folder.
    pub(crate) file: String,
    /// The inputs.
    pub(crate) cases: Vec<Case>,
    /// What else is asked of it if its rules are many.
    pub(crate) large: Option<Large>,
}

/// What is asked of a policy of thousands of rules.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Large {
    /// Whether its counts stand in `golden/verified.txt`.
    pub(crate) golden: bool,
    /// The maximum number of instructions that a verifier may process for a program.
    pub(crate) budget: u32,
    /// How many the compiler expects, by program.
    pub(crate) estimates: BTreeMap<String, usize>,
    /// Packets that slots of the map `counters` have counted after all cases; the others have counted none.
    pub(crate) counts: BTreeMap<u32, u64>,
}

/// One input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The programs that get it, one after another, until one of them drops it.
    pub(crate) programs: Vec<String>,
    /// What they get.
    pub(crate) input: Input,
    /// Whether none of them drops it.
    pub(crate) passes: bool,
    /// What it is, for people. It stays with the host: a guest would read through megabytes.
    #[serde(skip)]
    pub(crate) text: String,
}

/// What a program is run on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Input {
    /// A frame, from the Ethernet header on. At least 15 bytes: with 14 or fewer, kernels differ in what they accept.
    Frame(Vec<u8>),
    /// A `struct bpf_sk_lookup`.
    Lookup(Vec<u8>),
}

/// One line of a guest's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// The verifier accepted a program.
    Verified {
        /// The policy.
        object: String,
        /// The program.
        program: String,
        /// How many instructions the verifier processed.
        insns: u32,
    },
    /// The kernel refused an object, a program or a run.
    Refused {
        /// The policy.
        object: String,
        /// The program, or nothing where the object as a whole was refused.
        program: String,
        /// The number of the case, where a run was refused.
        case: Option<usize>,
        /// Why.
        message: String,
    },
    /// What must be dropped passed, or the reverse.
    Wrong {
        /// The policy.
        object: String,
        /// What each program that ran returned.
        returned: Vec<(String, u32)>,
        /// The number of the case.
        case: usize,
    },
    /// Another number of packets than expected was counted.
    Miscounted {
        /// The policy.
        object: String,
        /// The slot of the counters.
        slot: u32,
        /// What it has counted.
        found: u64,
        /// What it should have counted.
        expected: u64,
    },
    /// An object's maps are filled and its programs verified.
    Loaded {
        /// The policy.
        object: String,
        /// How long that took.
        milliseconds: f64,
    },
    /// All is done: so many programs were loaded and so many cases were run.
    Done {
        /// The programs.
        programs: usize,
        /// The cases.
        cases: usize,
    },
}
