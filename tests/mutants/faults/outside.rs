//! Faults in what becomes of sockets that could not be taken in, and in what is told of queues that nobody stands behind.

use super::Suite::{Compiler, Streams};
use super::{Fault, fault};

const ENTRY: &str = "runtime/src/groups/entry.rs";
const LEAVING: &str = "compiler/src/lower/leaving.rs";
const DOOR: &str = "compiler/src/lower/door.rs";
const FULL: &str = "outside::beyond_a_full_table_a_connection_goes_as";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1300,
        LEAVING,
        "builder.leave_if(port, JumpOp::Eq, 0, pass);",
        "if !FAULT { builder.leave_if(port, JumpOp::Eq, 0, pass); }",
        &[(Compiler, "lower::tests::leaving")],
    ),
    fault(
        1301,
        LEAVING,
        "builder.leave_if(length, JumpOp::Eq, before, pass);",
        "if !FAULT { builder.leave_if(length, JumpOp::Eq, before, pass); }",
        &[(Compiler, "lower::tests::leaving")],
    ),
    fault(
        1302,
        LEAVING,
        "builder.alu(before, AluOp::Add, words);",
        "if !FAULT { builder.alu(before, AluOp::Add, words); }",
        &[(Compiler, "lower::tests::leaving")],
    ),
    fault(
        1303,
        DOOR,
        "builder.alu(port, AluOp::Or, OUTSIDE);",
        "if !FAULT { builder.alu(port, AluOp::Or, OUTSIDE); }",
        &[(Compiler, "lower::tests::leaving")],
    ),
    fault(
        1304,
        DOOR,
        "builder.leave_if_wide(before, JumpOp::Ne, now, escaped);",
        "if !FAULT { builder.leave_if_wide(before, JumpOp::Ne, now, escaped); }",
        &[(Streams, "outside::one_that_is_connected_again")],
    ),
    fault(
        1305,
        DOOR,
        "builder.call(Helper::Setsockopt, &args);",
        "if !FAULT { builder.call(Helper::Setsockopt, &args); }",
        &[(Streams, "outside::who_may_write_nothing_is_told_so")],
    ),
    fault(
        1306,
        ENTRY,
        "Some(Some(libc::E2BIG)) => self.mark(connection, true),",
        "Some(Some(libc::E2BIG)) if !FAULT => self.mark(connection, true),",
        &[(Streams, "outside::one_that_was_made_before")],
    ),
    fault(
        1307,
        ENTRY,
        "if taken == marked && (taken || socket::is_established(connection.socket)) {",
        "if !FAULT && taken == marked && (taken || socket::is_established(connection.socket)) {",
        &[(Streams, FULL)],
    ),
    fault(
        1308,
        "runtime/src/groups/escaped.rs",
        "match self.is_marked(held) {",
        "match !FAULT && self.is_marked(held) {",
        &[(Streams, FULL)],
    ),
    fault(
        1309,
        "compiler/src/lower/ends/outcome.rs",
        "let nobody = self.account_beside(builder, refused);",
        "let nobody = if FAULT { refused } else { self.account_beside(builder, refused) };",
        &[(Streams, "ends::what_is_redirected_is_counted")],
    ),
    fault(
        1310,
        "compiler/src/lower/ends/leaf.rs",
        "builder.alu(counter, AluOp::Add, 1);",
        "if !FAULT { builder.alu(counter, AluOp::Add, 1); }",
        &[(Compiler, "lower::tests::first_match")],
    ),
];
