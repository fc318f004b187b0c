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
];
