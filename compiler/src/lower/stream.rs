//! Lookups and streams: the prologues of sk_lookup and sk_msg, the shortcut, and the sock_ops program of a group.
//!
//! A group's sockets stand in a SOCKHASH. The key of a socket is its own 4-tuple with the sequence numbers at which both
//! sides begin (`snd_nxt`, `rcv_nxt` at the ESTABLISHED callbacks); its peer's key is the mirror image. The sequence
//! numbers keep connections apart that have the same 4-tuple in different network namespaces: without them data could
//! reach a stranger's socket. Where they do not agree (a middlebox, data in the SYN), the data goes by plain TCP.
//! Each socket keeps its peer's key in its own storage, so that a write needs no copying. Sockets whose connections no rule
//! may concern are left alone; they keep their own key, by which a later policy can take them in.

use crate::artifact::{MapId, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::ir::{Arg, Block, Builder, End, Function, Slot, Value};
use crate::policy::{Family, GroupId};

use super::context::{AF_INET, AF_INET6, lookup, msg, ops};
use super::outcome::Outcome;
use super::question::Phase;
use super::{Lowering, Source};

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
        self.keep_asked();
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
        let Some(GroupMaps { peers, storage, .. }) = self.source.maps.groups[group] else {
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
            Arg::Value(socket),
            Arg::Imm(0),
            Arg::Imm(0),
        ];
        let found = self.builder.call_value(Helper::SkStorageGet, &args);
        self.builder.assign(key, found);
        self.builder.leave_if_wide(key, JumpOp::Eq, 0, pass);
        let args = [
            Arg::Value(context),
            Arg::Map(peers),
            Arg::Value(key),
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
pub(super) fn mapped(builder: &mut Builder, context: Value, offset: i16, otherwise: Block) {
    for (word, expected) in [(0, 0), (4, 0), (8, MAPPED)] {
        let value = builder.load(context, offset + word, Width::W);
        builder.leave_if(value, JumpOp::Ne, expected, otherwise);
    }
}

/// Where the sockets of a group are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupMaps {
    /// The SOCKHASH of those that were taken in.
    pub peers: MapId,
    /// Their storage.
    pub storage: MapId,
    /// The storage of those that were left alone, with their own keys.
    pub aside: MapId,
    /// The counters.
    pub counters: MapId,
    /// The counter slot of sockets that could not be taken in.
    pub escaped: u32,
}

/// What the sock_ops program of a group does with a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    /// The connection's own key.
    pub(super) own: Slot,
    /// Takes it in.
    take: Block,
    /// Leaves it alone.
    leave: Block,
}

impl Door {
    /// The leaf of a terminal of the diagram of concern.
    pub(super) fn leaf(&self, concern: u32) -> Block {
        if concern == 0 { self.leave } else { self.take }
    }
}

/// The sock_ops program of a group: takes in the TCP connections that its rules may concern, when they are established.
/// The source's `decision` says which these are (see [`crate::chain::concern`]).
///
/// Only then: bytes that are in the receive queue when a socket is taken in would be read after redirected ones.
#[must_use]
pub(crate) fn sock_ops(source: Source<'_>, name: &str, maps: &GroupMaps) -> Function {
    let mut lowering = Lowering::new(source, name, Section::SockOps);
    lowering.open_door(maps);
    lowering.builder.finish()
}

impl Lowering<'_> {
    fn open_door(&mut self, maps: &GroupMaps) {
        let entry = self.builder.current();
        let [own, peer] = [self.builder.slot(PEER_KEY), self.builder.slot(PEER_KEY)];
        let [begun, take, leave] = [(); 3].map(|()| self.head_block());
        let [escaped, done] = [(); 2].map(|()| self.head_block());
        self.door = Some(Door { own, take, leave });
        let [v4, v6] = [Family::V4, Family::V6]
            .map(|family| self.tree(self.source.decision, family, Phase::Decision));
        self.answer_all();
        let context = self.registers.context;
        self.builder.enter(entry);
        self.builder
            .load_to(self.registers.probe, context, ops::OP, Width::W);
        for callback in ESTABLISHED_CALLBACKS {
            let probe = self.registers.probe;
            self.builder.leave_if(probe, JumpOp::Eq, callback, begun);
        }
        self.builder.jump(done);
        self.builder.enter(begun);
        let keys = Keys { context, own, peer };
        keys.fill(&mut self.builder, [v4, v6], escaped);
        self.take_in(take, maps, &keys, [escaped, done]);
        self.set_aside(leave, maps, &keys, done);
        let socket = self.registers.network;
        self.builder.enter(escaped);
        count_escaped(&mut self.builder, maps, socket, done);
        self.builder.enter(done);
        self.builder.end(End::Return(1));
    }

    /// Puts the socket into the group's map, and its peer's key into its storage.
    fn take_in(
        &mut self,
        block: Block,
        maps: &GroupMaps,
        keys: &Keys,
        [escaped, done]: [Block; 2],
    ) {
        self.builder.enter(block);
        self.store_key(maps.storage, keys.peer, escaped);
        let args = [
            Arg::Value(keys.context),
            Arg::Map(maps.peers),
            Arg::SlotAddress(keys.own),
            Arg::Imm(0),
        ];
        let refused = self.builder.call_value(Helper::SockHashUpdate, &args);
        self.builder.leave_if(refused, JumpOp::Ne, 0, escaped);
        self.builder.jump(done);
    }

    /// Remembers the socket's own key, so that a later policy can take it in.
    fn set_aside(&mut self, block: Block, maps: &GroupMaps, keys: &Keys, done: Block) {
        self.builder.enter(block);
        self.store_key(maps.aside, keys.own, done);
        self.builder.jump(done);
    }

    /// Keeps a key in a storage of the socket; leaves to `otherwise` where it has none.
    fn store_key(&mut self, storage: MapId, key: Slot, otherwise: Block) {
        let (context, socket) = (self.registers.context, self.registers.network);
        self.builder.load_to(socket, context, ops::SK, Width::DW);
        self.builder.leave_if_wide(socket, JumpOp::Eq, 0, otherwise);
        let args = [
            Arg::Map(storage),
            Arg::Value(socket),
            Arg::SlotAddress(key),
            Arg::Imm(CREATE),
        ];
        let stored = self.builder.call_value(Helper::SkStorageGet, &args);
        self.builder.leave_if_wide(stored, JumpOp::Eq, 0, otherwise);
    }
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
    // As in `Lowering::add`: the kernel may take this off its CPU.
    let one = builder.imm(1);
    builder.atomic_add(found, 0, one, Width::DW);
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
    /// Fills both, then goes on with the tree of the connection's family.
    fn fill(&self, builder: &mut Builder, trees: [Block; 2], escaped: Block) {
        let [v4, v6] = [builder.block(), builder.block()];
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
        self.numbers(builder);
        builder.jump(trees[0]);

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
        self.numbers(builder);
        builder.jump(trees[1]);
    }

    /// Ports and sequence numbers.
    fn numbers(&self, builder: &mut Builder) {
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
