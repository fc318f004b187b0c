//! The program at cgroup_skb egress of a group whose `default send` refuses: what sockets send that could not be taken in.
//!
//! The kernel takes a connection into no table that has no room, and none of MPTCP. No rule is asked about what these write, so
//! the default decides. The sock_ops program marks them in the keys that they keep ([`super::door`]); here their packets
//! with data are dropped and counted. Those without go on, so that a connection is confirmed, and can end: what is
//! dropped counts as never sent (`tcp_write_xmit` of net/ipv4/tcp_output.c ends at an error), the end of a stream stays behind it, and TCP tries
//! again as it probes a window that is closed. A packet that has options of IPv6 between its headers, or none of TCP, is dropped: only
//! a bare confirmation is let go.
//!
//! Not here: what a socket that was taken in writes ([`super::ends`]).

use crate::artifact::Section;
use crate::bpf::constant::{IPPROTO_TCP, SK_DROP, SK_PASS};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, End, Function, Value};
use crate::location::Location;

use super::context::{skb, sock};
use super::door::{GroupMaps, OUTSIDE, PEER_PORTS, count_in};

/// Bytes of a header of IPv4 and of TCP without options.
const PLAIN: i32 = 20;
/// Bytes of a header of IPv6.
const PLAIN_SIX: i32 = 40;
/// Where these have the number of what follows.
const NEXT: i16 = 9;
const NEXT_SIX: i16 = 6;
/// Where a header of TCP has its own length, in the upper half, in words.
const DATA_OFFSET: i16 = 12;

/// The program of a group; `slot` counts what it drops.
#[must_use]
pub(crate) fn leaving(name: &str, head: Location, maps: &GroupMaps, slot: u32) -> Function {
    let mut program = Builder::new(name, Section::CgroupSkbOut, head);
    let builder = &mut program;
    let context = builder.argument();
    let [pass, refused, counted] = [(); 3].map(|()| builder.head_block());
    of_outside(builder, context, maps, pass);
    bare(builder, context, [pass, refused]);
    builder.enter(refused);
    count_in(builder, maps, slot, counted);
    builder.enter(counted);
    builder.end(End::Return(SK_DROP));
    builder.enter(pass);
    builder.end(End::Return(SK_PASS));
    program.finish()
}

/// Leaves to `pass` unless the packet is of a socket that could not be taken in.
fn of_outside(builder: &mut Builder, context: Value, maps: &GroupMaps, pass: Block) {
    let socket = builder.load(context, skb::SK, Width::DW);
    builder.leave_if_wide(socket, JumpOp::Eq, 0, pass);
    let whole = builder.call_value(Helper::SkFullsock, &[Arg::Value(socket)]);
    builder.leave_if_wide(whole, JumpOp::Eq, 0, pass);
    let protocol = builder.load(whole, sock::PROTOCOL, Width::W);
    builder.leave_if(protocol, JumpOp::Ne, IPPROTO_TCP, pass);
    let args = [
        Arg::Map(maps.own),
        Arg::Value(whole),
        Arg::Imm(0),
        Arg::Imm(0),
    ];
    let key = builder.call_value(Helper::SkStorageGet, &args);
    builder.leave_if_wide(key, JumpOp::Eq, 0, pass);
    let port = builder.load(key, PEER_PORTS, Width::W);
    builder.alu(port, AluOp::And, OUTSIDE);
    builder.leave_if(port, JumpOp::Eq, 0, pass);
}

/// Leaves to `pass` a packet that is its headers and no more, and any other to `refused`. The headers of a packet that TCP makes lie
/// in its linear part.
fn bare(builder: &mut Builder, context: Value, [pass, refused]: [Block; 2]) {
    let [six, transport] = [(); 2].map(|()| builder.head_block());
    let before = builder.value();
    let [data, end] = [skb::DATA, skb::DATA_END].map(|at| builder.load(context, at, Width::W));
    need(builder, data, end, PLAIN, refused);
    let version = builder.load(data, 0, Width::B);
    builder.load_to(before, data, 0, Width::B);
    builder.alu(version, AluOp::Rsh, 4);
    builder.leave_if(version, JumpOp::Eq, 6, six);
    builder.leave_if(version, JumpOp::Ne, 4, refused);
    let next = builder.load(data, NEXT, Width::B);
    builder.leave_if(next, JumpOp::Ne, IPPROTO_TCP, refused);
    builder.alu(before, AluOp::And, 0xf);
    builder.alu(before, AluOp::Lsh, 2);
    builder.jump(transport);
    builder.enter(six);
    need(builder, data, end, PLAIN_SIX, refused);
    let next = builder.load(data, NEXT_SIX, Width::B);
    builder.leave_if(next, JumpOp::Ne, IPPROTO_TCP, refused);
    builder.set(before, PLAIN_SIX.into());
    builder.jump(transport);
    builder.enter(transport);
    let header = builder.copy(data);
    builder.alu(header, AluOp::Add, before);
    need(builder, header, end, PLAIN, refused);
    let words = builder.load(header, DATA_OFFSET, Width::B);
    builder.alu(words, AluOp::Rsh, 4);
    builder.alu(words, AluOp::Lsh, 2);
    builder.alu(before, AluOp::Add, words);
    let length = builder.load(context, skb::LEN, Width::W);
    builder.leave_if(length, JumpOp::Eq, before, pass);
    builder.jump(refused);
}

/// So many bytes from a header on are there.
fn need(builder: &mut Builder, header: Value, end: Value, bytes: i32, otherwise: Block) {
    let after = builder.copy(header);
    builder.alu(after, AluOp::Add, bytes);
    builder.leave_if_wide(after, JumpOp::Gt, end, otherwise);
}
