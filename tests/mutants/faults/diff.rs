//! Faults in comparisons of policies.

use super::Suite::{Command, Compiler, Streams, Verbs};
use super::{Fault, Narrow, fault};

const WEIGH: &str = "compiler/src/diff/weigh.rs";
const BLOCK: &str = "compiler/src/diff/block.rs";
const SCOPE: &str = "compiler/src/diff/scope.rs";
const REPORT: &str = "compiler/src/diff/report.rs";
const CHANGING: &str = "compiler/src/diff/draw/changing.rs";

const TESTS: &[Narrow] = &[
    (Compiler, "diff::tests::words diff::block"),
    (Compiler, "diff::tests::oracle diff::tests::examples"),
];

const WORDS: &[Narrow] = &[(Compiler, "diff::tests::words")];

const WIDE: &[Narrow] = &[(Compiler, "diff::tests::oracle::who_decides")];

const GROUPS: &[Narrow] = &[(Compiler, "diff::tests::groups")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        560,
        "compiler/src/diff/groups.rs",
        "lies_in(path, &group.cgroup)",
        "group.cgroup == path",
        GROUPS,
    ),
    fault(
        561,
        "compiler/src/diff/edits.rs",
        "!topic.comes_or_goes(joint)",
        "true",
        GROUPS,
    ),
    fault(
        562,
        "compiler/src/policy.rs",
        "!allows && rule.is_for(group)",
        "!allows",
        GROUPS,
    ),
    fault(
        563,
        "compiler/src/diff/topic.rs",
        "self.about == About::Lookup || !self.is_met(joint, which)",
        "self.about == About::Lookup",
        GROUPS,
    ),
    fault(
        564,
        "runtime/src/state/record.rs",
        "known.filter(|(plan, _)| plan.takes_in())",
        "known.filter(|(plan, _)| FAULT || plan.takes_in())",
        &[(Streams, "escape::a_group_that_only_called")],
    ),
    fault(
        565,
        "runtime/src/groups/refused.rs",
        "refuses && (total.packets > 0 || !counter.counted)",
        "!FAULT && refuses && (total.packets > 0 || !counter.counted)",
        &[(Streams, "relaxed::what_a_live_set")],
    ),
    fault(
        566,
        "src/verbs/plan/reach.rs",
        "becomes.filter(|_| governs(policy, name, deed.direction))",
        "becomes.filter(|_| FAULT || governs(policy, name, deed.direction))",
        &[(Verbs, "reach::a_group_of_another_name")],
    ),
    fault(
        567,
        "src/verbs/plan/text.rs",
        "matches!(one.fate, Carried::Kept | Carried::Begins)",
        "one.fate == Carried::Kept",
        &[(Verbs, "reach::a_first_rule_on_sends")],
    ),
    fault(96, WEIGH, "found.unknown.is_empty()", "true", TESTS),
    fault(
        231,
        WEIGH,
        "state.found.unknown.extend(failed.then_some(edit));",
        "state.found.unknown.extend(failed.then_some(edit).filter(|_| !FAULT));",
        TESTS,
    ),
    fault(
        232,
        WEIGH,
        "Err(_) => found.unknown.push(delta.edit),",
        "Err(_) if FAULT => {}\n                Err(_) => found.unknown.push(delta.edit),",
        TESTS,
    ),
    fault(
        233,
        WEIGH,
        "same_outcome(self.space.joint, old, new)",
        "true",
        TESTS,
    ),
    fault(
        234,
        BLOCK,
        "self.needs_ports || other.needs_ports",
        "self.needs_ports && other.needs_ports",
        TESTS,
    ),
    fault(
        235,
        SCOPE,
        "topic.about != About::Lookup || !self.arriving.contains(&owners(finding))",
        "true",
        TESTS,
    ),
    fault(236, SCOPE, "!found.unknown.is_empty()", "false", TESTS),
    fault(
        237,
        REPORT,
        "told || scope.untold > 0 || scope.incomplete.is_some()",
        "told",
        TESTS,
    ),
    fault(
        238,
        BLOCK,
        "to: both(self.to, other.to)?",
        "to: if FAULT { self.to } else { both(self.to, other.to)? }",
        TESTS,
    ),
    fault(
        1640,
        CHANGING,
        "&pairs[index + 1..]",
        "&pairs[(index + 1 + usize::from(FAULT)).min(pairs.len())..]",
        WIDE,
    ),
    fault(
        1641,
        CHANGING,
        "self.space.store.terminal_of(outcome) == Some(but)",
        "FAULT || self.space.store.terminal_of(outcome) == Some(but)",
        WIDE,
    ),
    fault(
        1642,
        CHANGING,
        "self.space.without(hit, both)?",
        "if FAULT { hit } else { self.space.without(hit, both)? }",
        WIDE,
    ),
    fault(
        1643,
        CHANGING,
        "self.space.without(changing.rest, hit)?",
        "if FAULT { changing.rest } else { self.space.without(changing.rest, hit)? }",
        WIDE,
    ),
    fault(
        1644,
        "compiler/src/candidates/flat.rs",
        "usize::from(header.to.is_ipv6())",
        "usize::from(FAULT || header.to.is_ipv6())",
        WIDE,
    ),
    fault(
        1645,
        "compiler/src/diff/judge.rs",
        "self.candidates(event.direction(), header)",
        "self.candidates(if FAULT && matches!(event, Event::Lookup { .. }) { Direction::Out } else { event.direction() }, header)",
        WIDE,
    ),
    fault(
        2090,
        "compiler/src/diff/joint/sockets.rs",
        "self.by_kind[socket][place]",
        "if FAULT { self.whole[socket] } else { self.by_kind[socket][place] }",
        WORDS,
    ),
    fault(
        2091,
        SCOPE,
        "told.undescribed += 1;",
        "told.undescribed += usize::from(!FAULT);",
        WORDS,
    ),
    fault(
        2092,
        "compiler/src/diff/edits.rs",
        "one.is_as(other)",
        "one == other",
        WORDS,
    ),
    fault(
        2093,
        "compiler/src/policy/measure.rs",
        "tokens(self, other.period) == tokens(other, self.period)",
        "true",
        WORDS,
    ),
    fault(
        2125,
        "compiler/src/diff/space.rs",
        "self.store.ite(both_may, alike, Node::TRUE)",
        "self.store.ite(both_may, if FAULT { Node::TRUE } else { alike }, Node::TRUE)",
        WORDS,
    ),
    fault(
        2126,
        "compiler/src/diff/declared.rs",
        "whole || pattern == name",
        "!FAULT && whole || pattern == name",
        WORDS,
    ),
    fault(
        2127,
        "compiler/src/diff/declared.rs",
        "if come_alike(before, socket) {",
        "if FAULT || come_alike(before, socket) {",
        WORDS,
    ),
    fault(
        2128,
        "compiler/src/diff/region.rs",
        "true => self.space.base_saying(self.topic, |socket| !of_two(socket)),",
        "true => self.space.base_saying(self.topic, |socket| FAULT || !of_two(socket)),",
        WORDS,
    ),
    fault(
        2129,
        "src/verbs/monitor/recorded.rs",
        "if direction.of_processes() {",
        "if !FAULT && direction.of_processes() {",
        &[(Command, "recorded::tests::what_is_written")],
    ),
    fault(
        2130,
        "src/files/recording.rs",
        "if kind.file_type().is_fifo() {",
        "if !FAULT && kind.file_type().is_fifo() {",
        &[(Verbs, "recorded::")],
    ),
];
