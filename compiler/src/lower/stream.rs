//! Lookups and streams: the prologues of sk_lookup and sk_msg, the shortcut, and the sock_ops program of a group.
//!
//! A group's sockets stand in a SOCKHASH. The key of a socket is its own 4-tuple with the sequence numbers at which both
//! sides begin (`snd_nxt`, `rcv_nxt` at the ESTABLISHED callbacks); its peer's key is the mirror image. The sequence
//! numbers keep connections apart that have the same 4-tuple in different network namespaces: without them data could
//! reach a stranger's socket. Where they do not agree (a middlebox, data in the SYN), the data goes by plain TCP.
//! Each socket keeps its peer's key in its own storage, so that a write needs no copying.

use crate::artifact::{MapId, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Register, Width};
use crate::ir::{Arg, Block, Builder, End, Function, OriginData, Slot, Value};
use crate::policy::{Family, GroupId};

use super::Lowering;
use super::context::{AF_INET, AF_INET6, lookup, msg, ops};
use super::outcome::Outcome;

/// Size of a key of the map `peers`: two addresses, two ports, two sequence numbers.
pub const PEER_KEY: u32 = 48;

/// Where both ports are in a key; no connection has a port 0.
const PEER_PORTS: i16 = 32;
/// `BPF_F_INGRESS`: into the peer's receive queue.
const INGRESS: i32 = 1;
/// `BPF_SK_STORAGE_GET_F_CREATE`
const CREATE: i32 = 1;
/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` and `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`
const ESTABLISHED_CALLBACKS: [i32; 2] = [4, 5];
/// The third word of an IPv4-mapped address (`::ffff:0:0/96`) in memory order.
const MAPPED: i32 = 0xffff_0000_u32.cast_signed();

impl Lowering<'_> {
    /// The whole function of a lookup.
    pub(super) fn open_lookup(&mut self) {
        let entry = self.builder.current();
        let (v4, v6) = self.both_families();
        let pass = self.outcome(Outcome::Pass, Family::V4);
        self.builder.enter(entry);
        let family = self
            .builder
            .load(self.registers.context, lookup::FAMILY, Width::W);
        self.builder.assign(self.registers.probe, family);
        self.builder
            .leave_if(self.registers.probe, JumpOp::Eq, AF_INET, v4);
        self.builder
            .leave_if(self.registers.probe, JumpOp::Eq, AF_INET6, v6);
        self.builder.jump(pass);
    }

    /// The whole function of a message. A dual-stack socket's IPv4 connection has IPv4-mapped addresses and counts as
    /// IPv4; the kernel fills the IPv4 fields for it too.
    pub(super) fn open_send(&mut self) {
        let entry = self.builder.current();
        let (v4, v6) = self.both_families();
        let pass = self.outcome(Outcome::Pass, Family::V4);
        self.builder.enter(entry);
        let context = self.registers.context;
        let family = self.builder.load(context, msg::FAMILY, Width::W);
        self.builder.assign(self.registers.probe, family);
        self.builder
            .leave_if(self.registers.probe, JumpOp::Eq, AF_INET, v4);
        self.builder
            .leave_if(self.registers.probe, JumpOp::Ne, AF_INET6, pass);
        mapped(&mut self.builder, context, msg::REMOTE_IP6, v6);
        self.builder.jump(v4);
    }

    fn both_families(&mut self) -> (Block, Block) {
        let v4 = self.decide(Family::V4);
        let v6 = self.decide(Family::V6);
        self.finish(Family::V4);
        self.finish(Family::V6);
        self.answer_all();
        (v4, v6)
    }

    /// Gives the data to the peer if it is in the group, else lets it go by TCP; returning the helper's code would refuse
    /// the write then. From there on the socket stays with TCP, though its peer may come (a listener with
    /// `TCP_DEFER_ACCEPT` makes its socket when the first data arrives): the kernel gives a reader what came by the
    /// shortcut before what is in its TCP queue, so the later write would overtake.
    pub(super) fn shortcut(&mut self, block: Block, group: GroupId) {
        let pass = self.outcome(Outcome::Pass, Family::V4);
        self.builder.enter(block);
        let Some((peers, storage)) = self.source.maps.groups[group] else {
            self.builder.jump(pass);
            return;
        };
        let (context, socket, key) = (
            self.registers.context,
            self.registers.network,
            self.registers.end,
        );
        self.builder.load_to(socket, context, msg::SK, Width::DW);
        let args = [
            Arg::Map(storage),
            Arg::Pinned(socket),
            Arg::Imm(0),
            Arg::Imm(0),
        ];
        let found = self.builder.call_value(Helper::SkStorageGet, &args);
        self.builder.assign(key, found);
        self.builder.leave_if_wide(key, JumpOp::Eq, 0, pass);
        let args = [
            Arg::Pinned(context),
            Arg::Map(peers),
            Arg::Pinned(key),
            Arg::Imm(INGRESS),
        ];
        let taken = self.builder.call_value(Helper::MsgRedirectHash, &args);
        self.builder.leave_if(taken, JumpOp::Ne, 0, pass);
        let nobody = self.builder.imm(0);
        self.builder.store(key, PEER_PORTS, nobody, Width::DW);
        self.builder.jump(pass);
    }
}

/// Goes on in a fresh block if the address at `offset` is IPv4-mapped, else leaves to `otherwise`.
fn mapped(builder: &mut Builder, context: Value, offset: i16, otherwise: Block) {
    for (word, expected) in [(0, 0), (4, 0), (8, MAPPED)] {
        let value = builder.load(context, offset + word, Width::W);
        builder.leave_if(value, JumpOp::Ne, expected, otherwise);
    }
}

/// What the sock_ops program of a group needs.
pub struct GroupMaps {
    /// The SOCKHASH.
    pub peers: MapId,
    /// The sockets' storage.
    pub storage: MapId,
    /// The counters.
    pub counters: MapId,
    /// The counter slot of sockets that could not be taken in.
    pub escaped: u32,
}

/// The sock_ops program of a group: takes every TCP connection in when it is established.
///
/// Only there: bytes that are in the receive queue when a socket is taken in would be read behind redirected ones.
#[must_use]
pub fn sock_ops(name: &str, maps: &GroupMaps, head: &OriginData) -> Function {
    let mut builder = Builder::new(name, Section::SockOps, head.clone());
    let context = builder.argument_in(Register::R6);
    let socket = builder.pinned(Register::R7);
    let probe = builder.pinned(Register::R2);
    let [own, peer] = [builder.slot(PEER_KEY), builder.slot(PEER_KEY)];
    let [done, take, escaped] = [builder.block(), builder.block(), builder.block()];
    builder.load_to(probe, context, ops::OP, Width::W);
    for callback in ESTABLISHED_CALLBACKS {
        builder.leave_if(probe, JumpOp::Eq, callback, take);
    }
    builder.jump(done);

    builder.enter(take);
    let keys = Keys { context, own, peer };
    keys.fill(&mut builder, escaped);
    builder.load_to(socket, context, ops::SK, Width::DW);
    builder.leave_if_wide(socket, JumpOp::Eq, 0, escaped);
    let args = [
        Arg::Map(maps.storage),
        Arg::Pinned(socket),
        Arg::SlotAddress(peer),
        Arg::Imm(CREATE),
    ];
    let stored = builder.call_value(Helper::SkStorageGet, &args);
    builder.leave_if_wide(stored, JumpOp::Eq, 0, escaped);
    let args = [
        Arg::Pinned(context),
        Arg::Map(maps.peers),
        Arg::SlotAddress(own),
        Arg::Imm(0),
    ];
    let refused = builder.call_value(Helper::SockHashUpdate, &args);
    builder.leave_if(refused, JumpOp::Ne, 0, escaped);
    builder.jump(done);

    builder.enter(escaped);
    count_escaped(&mut builder, maps, socket, done);
    builder.enter(done);
    builder.end(End::Return(1));
    builder.finish()
}

fn count_escaped(builder: &mut Builder, maps: &GroupMaps, found: Value, done: Block) {
    let key = builder.opaque_slot(4);
    let escaped = builder.fit(maps.escaped, "the slot of a counter");
    builder.set_slot(key, 0, escaped, Width::W);
    let counter = builder.call_value(
        Helper::MapLookupElem,
        &[Arg::Map(maps.counters), Arg::SlotAddress(key)],
    );
    builder.assign(found, counter);
    builder.leave_if_wide(found, JumpOp::Eq, 0, done);
    let count = builder.load(found, 0, Width::DW);
    builder.alu(count, AluOp::Add, 1);
    builder.store(found, 0, count, Width::DW);
    builder.jump(done);
}

/// The two keys of a connection: bytes 0 to 15 the key's own address, 16 to 31 the other side's, 32 and 36 the ports in
/// the same order, 40 the next sequence number the key's side sends, 44 the other's.
struct Keys {
    context: Value,
    own: Slot,
    peer: Slot,
}

impl Keys {
    fn fill(&self, builder: &mut Builder, escaped: Block) {
        let [v4, v6, ports] = [builder.block(), builder.block(), builder.block()];
        let family = builder.load(self.context, ops::FAMILY, Width::W);
        builder.leave_if(family, JumpOp::Eq, AF_INET, v4);
        let family = builder.load(self.context, ops::FAMILY, Width::W);
        builder.leave_if(family, JumpOp::Ne, AF_INET6, escaped);
        mapped(builder, self.context, ops::REMOTE_IP6, v6);
        builder.jump(v4);

        builder.enter(v4);
        for byte in [4, 8, 12, 20, 24, 28] {
            builder.set_slot(self.own, byte, 0, Width::W);
            builder.set_slot(self.peer, byte, 0, Width::W);
        }
        self.word(builder, ops::LOCAL_IP4, 0, 16, 0);
        self.word(builder, ops::REMOTE_IP4, 16, 0, 0);
        builder.jump(ports);

        builder.enter(v6);
        for word in 0..4u8 {
            let offset = i16::from(4 * word);
            self.word(builder, ops::LOCAL_IP6 + offset, 4 * word, 16 + 4 * word, 0);
            self.word(
                builder,
                ops::REMOTE_IP6 + offset,
                16 + 4 * word,
                4 * word,
                0,
            );
        }
        builder.jump(ports);

        builder.enter(ports);
        self.word(builder, ops::LOCAL_PORT, 32, 36, 0);
        self.word(builder, ops::REMOTE_PORT, 36, 32, 32);
        self.word(builder, ops::SND_NXT, 40, 44, 0);
        self.word(builder, ops::RCV_NXT, 44, 40, 0);
    }

    /// Four bytes of the context into both keys.
    fn word(&self, builder: &mut Builder, offset: i16, own: u8, peer: u8, swap: i32) {
        let value = builder.load(self.context, offset, Width::W);
        if swap != 0 {
            builder.from_network(value, swap);
        }
        builder.store_slot(self.own, own, value, Width::W);
        builder.store_slot(self.peer, peer, value, Width::W);
    }
}
