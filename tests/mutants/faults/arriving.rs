//! Faults in what is done with segments that arrive: what came before is cut off, and pairs are joined.

use super::Suite::{Streams, Verbs};
use super::{Fault, fault};

const RECEIVE: &str = "compiler/src/lower/hook/receive.rs";
const DOOR: &str = "compiler/src/lower/door.rs";
const SPLICE: &str = "compiler/src/lower/splice.rs";
const PAIR: &str = "runtime/src/keeper/pair.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1210,
        DOOR,
        "        builder.call(Helper::SkStorageDelete, &args);",
        "        if !FAULT {\n            builder.call(Helper::SkStorageDelete, &args);\n        }",
        &[(Streams, "shortcut::a_socket_that_is_connected_again")],
    ),
    fault(
        800,
        RECEIVE,
        "    cut_off(builder, context, old, broken);",
        "    if !FAULT {\n        cut_off(builder, context, old, broken);\n    }",
        &[(Streams, "again::what_a_segment_has_again")],
    ),
    fault(
        802,
        "compiler/src/lower/segment.rs",
        "builder.alu(end, AluOp::Add, self.length);",
        "if !FAULT {\n            builder.alu(end, AluOp::Add, self.length);\n        }",
        &[(Streams, "again::what_was_dropped_does_not_come")],
    ),
    fault(
        803,
        DOOR,
        "builder.leave_if(state, JumpOp::Ne, TCP_CLOSE, done);",
        "builder.leave_if(state, JumpOp::Ne, if FAULT { 0 } else { TCP_CLOSE }, done);",
        &[(Streams, "again::what_is_known_of_a_connection")],
    ),
    fault(
        804,
        "runtime/src/attach/guard.rs",
        "code.jump_if(JumpOp::Ne, Register::R2, BPF_SOCK_OPS_STATE_CB, pass);",
        "code.jump_if(JumpOp::Ne, Register::R2, if FAULT { 5 } else { BPF_SOCK_OPS_STATE_CB }, pass);",
        &[(Streams, "again::what_is_known_of_a_connection")],
    ),
    fault(
        805,
        DOOR,
        "builder.alu(callbacks, AluOp::Or, BPF_SOCK_OPS_STATE_CB_FLAG);",
        "builder.alu(callbacks, AluOp::Or, if FAULT { 0 } else { BPF_SOCK_OPS_STATE_CB_FLAG });",
        &[(Streams, "again::what_is_known_of_a_connection")],
    ),
    fault(
        810,
        SPLICE,
        "    cut_off(builder, context, before, broken);",
        "    if !FAULT {\n        cut_off(builder, context, before, broken);\n    }",
        &[(Streams, "splice::what_a_segment_has_again")],
    ),
    fault(
        811,
        SPLICE,
        "    builder.leave_if_wide(after, JumpOp::Gt, most, full);",
        "    if !FAULT {\n        builder.leave_if_wide(after, JumpOp::Gt, most, full);\n    }",
        &[(Streams, "splice::a_reader_that_stalls_stops_the_writer")],
    ),
    fault(
        813,
        PAIR,
        "self.ways[side].ended |= ended && ",
        "self.ways[side].ended |= ended && !FAULT && ",
        &[(Streams, "splice::what_came_before_comes_first")],
    ),
    fault(
        814,
        PAIR,
        "fate == Fate::Reset);",
        "fate == Fate::Reset && !FAULT);",
        &[(Streams, "splice::an_unload_resets_both_ends")],
    ),
    fault(
        816,
        "runtime/src/sockets/ends.rs",
        "&& u64::from_ne_bytes(held) == cookie",
        "&& u64::from_ne_bytes(held) == cookie && !FAULT",
        &[(Streams, "handover::a_connection_is_in_a_pair_or_takes")],
    ),
    fault(
        817,
        "runtime/src/sockets/ends.rs",
        "    in_no_pair(active, name, fd.as_fd())?;",
        "    if !FAULT {\n        in_no_pair(active, name, fd.as_fd())?;\n    }",
        &[(Streams, "handover::a_connection_is_in_a_pair_or_takes")],
    ),
    fault(
        818,
        "runtime/src/callers.rs",
        "if self.connected.len() >= MOST {",
        "if self.connected.len() >= MOST && !FAULT {",
        &[(Streams, "handover::who_says_nothing")],
    ),
    fault(
        819,
        "runtime/src/keeper/handover.rs",
        "    if last != 0 {",
        "    if last != 0 && !FAULT {",
        &[(Streams, "handover::what_cannot_be_joined")],
    ),
    fault(
        820,
        "runtime/src/keeper/place.rs",
        "joined.retain(|(other, _)| other != name);",
        "joined.retain(|(other, _)| other != name && !FAULT);",
        &[(Streams, "handover::a_connection_is_in_a_pair_of_one")],
    ),
    fault(
        821,
        "runtime/src/keeper/place.rs",
        "                if !self.is_declared() {",
        "                if FAULT || !self.is_declared() {",
        &[(Verbs, "paired::a_pin_of_pairs")],
    ),
];
