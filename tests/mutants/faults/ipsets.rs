//! Faults of importing sets of ipset.

use super::Suite::{Command, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2652,
        "src/verbs/import/ipset/members.rs",
        "if ends_there {",
        "if !FAULT && ends_there {",
        &[(Verbs, "iptables::ipsets::sets_are_sets")],
    ),
    fault(
        2653,
        "src/verbs/import/ipset/members.rs",
        "entries.sort_by(|one, other| other.lengths.cmp(&one.lengths));",
        "entries.sort_by(|one, other| if FAULT { one } else { other }.lengths.cmp(&if FAULT { other } else { one }.lengths));",
        &[(Verbs, "iptables::ipsets::sets_are_sets")],
    ),
    fault(
        2654,
        "src/verbs/import/ipset/matching.rs",
        "self.family.is_some_and(|own| own != family)",
        "!FAULT && self.family.is_some_and(|own| own != family)",
        &[(Verbs, "iptables::ipsets::what_becomes")],
    ),
    fault(
        2655,
        "src/verbs/import/iptables/sets.rs",
        "!text.ends_with('\\n')",
        "(!FAULT && !text.ends_with('\\n'))",
        &[(Verbs, "iptables::ipsets::a_file_that")],
    ),
    fault(
        2656,
        "src/verbs/import/ipset/ports.rs",
        "if is_without && !within.have_ports {",
        "if !FAULT && is_without && !within.have_ports {",
        &[(Command, "ipset::ports::tests::all_but_some")],
    ),
    fault(
        2657,
        "src/verbs/import/ipset/region.rs",
        "Some(block) if block.is_member => Region::Everything,",
        "Some(block) if FAULT || block.is_member => Region::Everything,",
        &[(Command, "ipset::region::tests::each_combination")],
    ),
    fault(
        2658,
        "src/verbs/import/ipset/live.rs",
        "0 if self.timeout == 0 =>",
        "0 if FAULT || self.timeout == 0 =>",
        &[(Command, "ipset::live::tests::times_are_kept")],
    ),
    fault(
        2659,
        "src/verbs/import/what.rs",
        "if !self.from.lives(&other.from)? || !self.to.lives(&other.to)? {",
        "if !FAULT && (!self.from.lives(&other.from)? || !self.to.lives(&other.to)?) {",
        &[(Command, "what::tests::live_sets")],
    ),
];
