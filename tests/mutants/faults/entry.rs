//! Faults in how connections that exist come into their groups, and in what is counted of those that cannot.

use super::Suite::{Compiler, Streams};
use super::{Fault, fault};

const ENTRY: &str = "runtime/src/groups/entry.rs";
const ESCAPED: &str = "runtime/src/groups/escaped.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        790,
        ENTRY,
        "let theirs = |entry: &&mut Entry<'_>| entry.members.have(maker);",
        "let theirs = |entry: &&mut Entry<'_>| FAULT || entry.members.have(maker);",
        &[(Streams, "existing::one_that_was_made_outside")],
    ),
    fault(
        791,
        ENTRY,
        ".of_connection(&connection)?.writes {\n                entry.take_new",
        ".of_connection(&connection)?.writes || FAULT {\n                entry.take_new",
        &[(Streams, "existing::what_no_rule_is_about")],
    ),
    fault(
        792,
        ENTRY,
        "map::update(self.own.as_fd(), &descriptor, &key).is_err()",
        "(!FAULT && map::update(self.own.as_fd(), &descriptor, &key).is_err())",
        &[(Streams, "existing::what_is_written_to_them")],
    ),
    fault(
        793,
        "compiler/src/lower/door.rs",
        "u32::from(local.port()) | BEFORE",
        "u32::from(local.port())",
        &[(Compiler, "lower::tests::doors")],
    ),
    fault(
        794,
        "runtime/src/apply/work/doors.rs",
        "self.enter(doors, |door| door.keeps, Whom::All)",
        "self.enter(doors, |door| door.keeps, Whom::LeftAlone)",
        &[(Streams, "existing::what_is_written_to_them")],
    ),
    fault(
        795,
        ESCAPED,
        "Some(maker) if self.members.have(maker) => true,",
        "Some(maker) if !FAULT && self.members.have(maker) => true,",
        &[(Streams, "existing::one_whose_peer_has_ended")],
    ),
    fault(
        796,
        ESCAPED,
        "Some(maker) if makers.is_there(maker) => false,",
        "Some(maker) if !FAULT && makers.is_there(maker) => false,",
        &[(Streams, "existing::one_that_was_made_outside")],
    ),
    fault(
        797,
        ESCAPED,
        "_ => self.held.contains(&held.inode),",
        "_ => !FAULT && self.held.contains(&held.inode),",
        &[(Streams, "existing::one_of_a_control_group")],
    ),
    fault(
        798,
        "runtime/src/groups/connections.rs",
        "socket::MPTCP => true,",
        "socket::MPTCP if !FAULT => true,",
        &[(Streams, "existing::one_of_mptcp")],
    ),
];
