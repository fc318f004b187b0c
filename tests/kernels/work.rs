//! What the host hands to a kernel, and what comes back.
//!
//! The host writes `work.json` and the objects into one folder, which becomes a part of the guest's file system; the
//! guest answers with lines on its console. Not here: who makes the cases (cases.rs), who runs them (guest.rs).

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
    /// What it is, for people.
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
        /// Why.
        message: String,
    },
    /// What must be dropped passed, or the reverse.
    Wrong {
        /// The policy.
        object: String,
        /// What each program that ran returned.
        returned: Vec<(String, u32)>,
        /// The case.
        case: String,
    },
    /// All is done: so many programs were loaded and so many cases were run.
    Done {
        /// The programs.
        programs: usize,
        /// The cases.
        cases: usize,
    },
}
