//! Faults in what a service answers for others: whom it believes, what it takes, and how many it serves.

use super::Suite::{Command, Rights};
use super::{Fault, fault};

/// What is sent by hand.
const RAW: &str = "nothing_but_reading";
/// What is taken, line by line.
const TAKEN: &str = "answering::taken::";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2350,
        "src/answering/taken.rs",
        "if reset.is_some() || *yes {",
        "if !FAULT && (reset.is_some() || *yes) {",
        &[(Command, TAKEN), (Rights, RAW)],
    ),
    fault(
        2351,
        "src/answering/taken.rs",
        "match bpffs == Path::new(BPFFS) {",
        "match FAULT || bpffs == Path::new(BPFFS) {",
        &[(Command, TAKEN), (Rights, RAW)],
    ),
    fault(
        2352,
        "src/answering/taken.rs",
        "if pcap_out.is_some() {",
        "if !FAULT && pcap_out.is_some() {",
        &[(Command, TAKEN), (Rights, RAW)],
    ),
    fault(
        2353,
        "src/answering/asked.rs",
        "Ok(peer) if peer.uid() == 0 => Ok(stream),",
        "Ok(peer) if FAULT || peer.uid() == 0 => Ok(stream),",
        &[(Rights, "a_service_of_another_user")],
    ),
    fault(
        2354,
        "src/answering.rs",
        "about.is_dir() && about.uid() == 0 && about.mode() & 0o022 == 0",
        "about.is_dir() && about.uid() == 0 && (FAULT || about.mode() & 0o022 == 0)",
        &[(Rights, "a_service_of_another_user")],
    ),
    fault(
        2355,
        "src/verbs/answer/desk.rs",
        "let may = *own < MOST_OF_ONE && all < MOST;",
        "let may = FAULT || *own < MOST_OF_ONE && all < MOST;",
        &[(Rights, "who_asks_a_thousand_times")],
    ),
    fault(
        2356,
        "src/verbs/answer/desk.rs",
        "if !taken.elsewhere && request.namespace != self.own {",
        "if !FAULT && !taken.elsewhere && request.namespace != self.own {",
        &[(Rights, RAW)],
    ),
    fault(
        2357,
        "src/answering/frames.rs",
        "if version != VERSION {",
        "if !FAULT && version != VERSION {",
        &[(Command, "answering::frames::"), (Rights, RAW)],
    ),
    fault(
        2429,
        "src/answering/asked.rs",
        "if Path::new(ANSWERS_AT).exists() {",
        "if !FAULT && Path::new(ANSWERS_AT).exists() {",
        &[(Rights, "answered::a_member_sees")],
    ),
];
