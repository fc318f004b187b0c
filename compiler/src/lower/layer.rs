//! The setsockopt program of a group, which lets nobody put another protocol between a process and TCP.
//!
//! Such a protocol is TLS of the kernel, which a process puts on a connection with TCP_ULP. It replaces the functions by which a
//! socket that was taken in asks what may be written and what arrived (`tls_build_proto` of net/tls/tls_main.c: one table for all
//! sockets with TLS, made of the functions of the one that TLS was put on last), so the rules would not be asked. What is not
//! refused here goes on as it was.
//!
//! All sockets of the group are meant: one that is not connected yet may be taken in at any moment, and one that no rule
//! concerns by the next policy. Takes nothing of the policy; gives a program of its own. Not here: how sockets are taken in
//! ([`super::door`]).

use crate::artifact::Section;
use crate::bpf::constant::{IPPROTO_TCP, SMALLEST_PAGE, TCP_ULP};
use crate::bpf::opcode::{JumpOp, Width};
use crate::ir::{Builder, End, Function};
use crate::location::Location;

use super::context::option;

/// The setsockopt program of a group.
#[must_use]
pub(crate) fn setsockopt(name: &str, head: Location) -> Function {
    let mut program = Builder::new(name, Section::Setsockopt, head);
    let builder = &mut program;
    let context = builder.argument();
    let [other, done] = [(); 2].map(|()| builder.head_block());
    for (field, wanted) in [(option::LEVEL, IPPROTO_TCP), (option::NAME, TCP_ULP)] {
        let value = builder.load(context, field, Width::W);
        builder.leave_if(value, JumpOp::Ne, wanted, other);
    }
    builder.end(End::Return(0));
    builder.enter(other);
    // A negative one says what a program before this one wants.
    let length = builder.load(context, option::LENGTH, Width::W);
    builder.leave_if(length, JumpOp::SLe, SMALLEST_PAGE, done);
    let whole = builder.imm(0);
    builder.store(context, option::LENGTH, whole, Width::W);
    builder.jump(done);
    builder.enter(done);
    builder.end(End::Return(1));
    program.finish()
}
