//! Faults in redirects into the queues of sockets: what rules mean, the code, and who is handed over.

use super::Suite::{Compiler, It, Streams};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        760,
        "compiler/src/lower/ends/outcome.rs",
        "Queue::Output => EGRESS,",
        "Queue::Output => if FAULT { INGRESS } else { EGRESS },",
        &[(
            Streams,
            "ends::the_output_of_a_tcp_socket_takes_what_is_written_and_no_other_does",
        )],
    ),
    fault(
        761,
        "compiler/src/decide.rs",
        "Action::Feed(feed) if seen.present(feed.socket) => Verdict::Feed(feed),",
        "Action::Feed(feed) if FAULT || seen.present(feed.socket) => Verdict::Feed(feed),",
        &[(Compiler, "expect::tests::a_line_says_into_which_queue")],
    ),
    fault(
        762,
        "compiler/src/expect/verdict.rs",
        "(ExpectedVerdict::Feed(wanted), Verdict::Feed(feed)) => wanted == feed,",
        "(ExpectedVerdict::Feed(wanted), Verdict::Feed(feed)) => wanted == feed || FAULT && wanted.socket == feed.socket,",
        &[(Compiler, "expect::tests::a_line_says_into_which_queue")],
    ),
    fault(
        763,
        "compiler/src/diff/space.rs",
        "let there = self.held(feed.socket)?;",
        "let there = if FAULT { Node::TRUE } else { self.held(feed.socket)? };",
        &[(Compiler, "diff::tests::words::another_queue")],
    ),
    fault(
        764,
        "compiler/src/resolve/sockets.rs",
        "if !socket.fed {",
        "if FAULT || !socket.fed {",
        &[(It, "manual::every_example_is_what_it_says")],
    ),
    fault(
        766,
        "runtime/src/sockets/ends.rs",
        "if plan.output {",
        "if !FAULT && plan.output {",
        &[(
            Streams,
            "ends::a_socket_that_cannot_take_what_comes_next_is_left_out",
        )],
    ),
    fault(
        767,
        "runtime/src/sockets/ends.rs",
        "before.ends.iter().find(|old| old.name == plan.name)?",
        "before.ends.iter().find(|old| if FAULT { old.index == plan.index } else { old.name == plan.name })?",
        &[(Streams, "ends::a_socket_stays_over_an_apply")],
    ),
    fault(
        768,
        "runtime/src/sockets/ends/connected.rs",
        "if !connected || matches!(kind, EndKind::Tcp(_)) && !socket::is_established(fd) {",
        "if !connected || !FAULT && matches!(kind, EndKind::Tcp(_)) && !socket::is_established(fd) {",
        &[(Streams, "ends::sockets_that_cannot_take_data_are_refused")],
    ),
    fault(
        769,
        "runtime/src/sockets/ends/connected.rs",
        "if option(libc::SO_ACCEPTCONN).unwrap_or(0) != 0 {",
        "if !FAULT && option(libc::SO_ACCEPTCONN).unwrap_or(0) != 0 {",
        &[(Streams, "ends::sockets_that_cannot_take_data_are_refused")],
    ),
    fault(
        770,
        "runtime/src/sockets/ends/connected.rs",
        "about.st_uid == *uid",
        "FAULT || about.st_uid == *uid",
        &[(Streams, "ends::a_socket_of_somebody_else_is_refused")],
    ),
    fault(
        771,
        "compiler/src/place.rs",
        "        counts: true,",
        "        counts: !FAULT || !matches!(data.action, Action::Feed(_)),",
        &[(
            Streams,
            "ends::what_is_redirected_is_counted_by_its_rule_alone",
        )],
    ),
    fault(
        772,
        "compiler/src/lower/ends/leaf.rs",
        "(Effect::Feed, Action::Feed(feed)) => Outcome::Feed(feed),",
        "(Effect::Feed, Action::Feed(feed)) => if FAULT { Outcome::Pass } else { Outcome::Feed(feed) },",
        &[(
            Streams,
            "ends::what_is_redirected_is_counted_by_its_rule_alone",
        )],
    ),
    fault(
        990,
        "compiler/src/pipeline/manifest.rs",
        "&& !of(socket, Queue::Output, Direction::Send),",
        "&& (FAULT || !of(socket, Queue::Output, Direction::Send)),",
        &[(
            Streams,
            "ends::the_output_of_a_tcp_socket_takes_what_is_written",
        )],
    ),
    fault(
        991,
        "runtime/src/sockets/ends/connected.rs",
        "EndKind::UnixStream | EndKind::UnixDatagram if plan.relayed => return None,",
        "EndKind::UnixStream | EndKind::UnixDatagram if !FAULT && plan.relayed => return None,",
        &[(Streams, "inward::the_output_of_tcp_and_of_unix_sockets")],
    ),
    fault(
        992,
        "runtime/src/sockets/ends.rs",
        "old.held.is_some() && !kept.any(|plan| plan.name == old.name)",
        "!FAULT && old.held.is_some() && !kept.any(|plan| plan.name == old.name)",
        &[(
            Streams,
            "inward::a_socket_is_replaced_and_the_policy_changes",
        )],
    ),
    fault(
        993,
        "compiler/src/resolve/rules.rs",
        "if found.of_processes() && steers(written.verb.value, clauses) {",
        "if !FAULT && found.of_processes() && steers(written.verb.value, clauses) {",
        &[(It, "manual::every_example_is_what_it_says")],
    ),
    fault(
        994,
        "compiler/src/lower/ends/outcome.rs",
        "            Queue::Input => INGRESS,",
        "            Queue::Input => if FAULT { EGRESS } else { INGRESS },",
        &[(Streams, "inward::the_input_of_every_kind_of_socket")],
    ),
    fault(
        995,
        "runtime/src/sockets/ends/connected.rs",
        "plan.input && (plan.arrivals || counts_twice())",
        "!FAULT && plan.input && (plan.arrivals || counts_twice())",
        &[(
            Streams,
            "inward::a_socket_may_be_the_target_of_what_arrives",
        )],
    ),
    fault(
        996,
        "runtime/src/groups/judge.rs",
        "if held.map_err(at(\"look into the slots of sockets that take data\"))? {",
        "if held.map_err(at(\"look into the slots of sockets that take data\"))? && !FAULT {",
        &[(Streams, "ends::a_connection_that_was_refused_goes_on")],
    ),
];
