//! Faults in how it is found out whether a shortcut may bring more.

use super::Suite::Streams;
use super::{Fault, fault};

const LOOK: &str = "runtime/src/groups/bound/look.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1230,
        LOOK,
        "        self.code.jump_if(JumpOp::Le, Register::R1, HALF, give);",
        "        self.code.jump_if(JumpOp::Le, Register::R1, if FAULT { i32::MAX } else { HALF }, give);",
        &[(Streams, "bound::a_reader_that_does_not_read")],
    ),
    fault(
        1231,
        LOOK,
        "            .jump_if(JumpOp::Ne, Register::R1, ONE_CALL, self.tcp);",
        "            .jump_if(JumpOp::Ne, Register::R1, if FAULT { 1 } else { ONE_CALL }, self.tcp);",
        &[(Streams, "bound::a_reader_that_waits_gets")],
    ),
    fault(
        1233,
        LOOK,
        "        self.is_head(Register::R9, self.types.maps, self.tcp);",
        "        if !FAULT {\n            self.is_head(Register::R9, self.types.maps, self.tcp);\n        }",
        &[(Streams, "bound::a_read_that_waits_on_a_socket_in_two")],
    ),
    fault(
        1234,
        LOOK,
        "HELD, calls.one_holder + 1),",
        "HELD, calls.one_holder + i32::from(!FAULT)),",
        &[(Streams, "bound::a_reader_that_waits_gets")],
    ),
    fault(
        2645,
        LOOK,
        "for _ in 0..WALKS {",
        "for _ in 0..if FAULT { 1 } else { WALKS } {",
        &[(Streams, "bound::a_reader_at_work_does_not")],
    ),
];
