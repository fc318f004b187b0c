//! Faults in what is decided of datagrams that arrive at sockets, and in what that leaves alone.

use super::Suite::{Compiler, Streams};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1200,
        "compiler/src/lower/hook/datagram.rs",
        "mapped(builder, self.network, side, plain);",
        "if FAULT { builder.jump(plain); let gone = builder.head_block(); builder.enter(gone); } else { mapped(builder, self.network, side, plain); }",
        &[(Compiler, "lower::tests::datagrams")],
    ),
    fault(
        1201,
        "compiler/src/lower/hook/datagram.rs",
        "builder.leave_if(part, JumpOp::Set, frame::PART_OF_V4, self.unknown);",
        "builder.leave_if(part, JumpOp::Set, if FAULT { 0x0020 } else { frame::PART_OF_V4 }, self.unknown);",
        &[(Compiler, "lower::tests::datagrams")],
    ),
    fault(
        1202,
        "compiler/src/lower/hook/datagram.rs",
        "builder.alu(self.cursor, AluOp::Lsh, 2);",
        "builder.alu(self.cursor, AluOp::Lsh, if FAULT { 1 } else { 2 });",
        &[(Compiler, "lower::tests::datagrams")],
    ),
    fault(
        1203,
        "compiler/src/lower/hook/datagram.rs",
        "builder.leave_if(protocol, JumpOp::Ne, i32::from(IpProtocol::UDP), pass);",
        "if !FAULT { builder.leave_if(protocol, JumpOp::Ne, i32::from(IpProtocol::UDP), pass); }",
        &[(Compiler, "lower::tests::datagrams")],
    ),
    fault(
        1204,
        "compiler/src/lower/hook/datagram.rs",
        "builder.leave_if(part, JumpOp::Ne, frame::WHOLE, self.unknown);",
        "if !FAULT { builder.leave_if(part, JumpOp::Ne, frame::WHOLE, self.unknown); }",
        &[(Compiler, "lower::tests::datagrams")],
    ),
    fault(
        1205,
        "compiler/src/place.rs",
        "!counts && is_idle(policy, hook)",
        "!FAULT && !counts && is_idle(policy, hook)",
        &[(Streams, "datagrams::datagrams_are_decided")],
    ),
    fault(
        1206,
        "compiler/src/resolve/hooks.rs",
        "true => self.met_by_processes(),",
        "true if !FAULT => self.met_by_processes(),\n            true => usual(self.direction, self.verb).into_iter().collect(),",
        &[(Compiler, "resolve::hooks")],
    ),
    fault(
        1207,
        "compiler/src/values/addresses.rs",
        "other if !names_receiver(direction) => other,",
        "other if !FAULT && !names_receiver(direction) => other,",
        &[(Compiler, "values::addresses lower::tests::datagrams")],
    ),
    fault(
        1208,
        "runtime/src/attach/dispatch.rs",
        "code.jump_if(JumpOp::Eq, Register::R2, protocol, is_one);",
        "if !FAULT { code.jump_if(JumpOp::Eq, Register::R2, protocol, is_one); }",
        &[(Streams, "datagrams::datagrams_are_decided")],
    ),
];
