//! The sock_ops program of a group, which takes its sockets in.
//!
//! A group's sockets stand in a SOCKHASH. The key of a socket is its own 4-tuple with the sequence numbers at which both
//! sides begin (`snd_nxt`, `rcv_nxt` at the ESTABLISHED callbacks); its peer's key is the mirror image. The sequence
//! numbers keep connections apart that have the same 4-tuple in different network namespaces: without them data could
//! reach a stranger's socket. Where they do not agree (a middlebox, data in the SYN), the data goes by plain TCP.
//! Each socket keeps its peer's key in its own storage, so that a write needs no copying, and its own key in another one. By
//! that it finds itself when it is allowed to write ([`super::ends`]). Sockets whose connections no rule may concern are left
//! alone; by their own key a later policy can take them in. One that was connected before gets another one
//! ([`key_of_cookie`]). One that should be taken in and cannot be has a mark in its own key, by which it goes by
//! `default send` ([`super::leaving`]).
//!
//! Of a socket whose data is seen as it arrives it is kept, from the first byte to its close, which byte comes next: what comes a
//! second time must not be seen and read again ([`super::segment`]).
//!
//! Takes the diagram of which connections are concerned; gives a program of its own, with a [`Tree`] and its answers but none
//! of the ends of a chain. Not here: what a group does with what its sockets write ([`super::ends`]).

use std::net::{IpAddr, SocketAddr};

use crate::artifact::{MapId, Section};
use crate::bpf::constant::{
    BPF_ANY, BPF_NOEXIST, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, EBUSY, IPPROTO_TCP,
    TCP_CLOSE, TCP_USER_TIMEOUT,
};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::FieldSet;
use crate::ir::{Arg, Block, Builder, End, Function, Origin, Slot, Value};
use crate::policy::Family;

use super::Source;
use super::answers::Answers;
use super::context::{AF_INET, AF_INET6, mapped, ops};
use super::counter::counter_at;
use super::frame::{Frame, Wants};
use super::given::Given;
use super::question::{Phase, Questions};
use super::tree::{Leaves, Tree};
use crate::chain::concern::{PEERS, READERS};

/// Size of a key of the map `peers`: two addresses, two ports, two sequence numbers.
pub const PEER_KEY: u32 = PEER_KEY_BYTES as u32;
const PEER_KEY_BYTES: u8 = 48;

/// Where both ports are in a key; no connection has a port 0.
pub(super) const PEER_PORTS: i16 = 32;
/// Where both sequence numbers are.
const NUMBERS: i16 = NUMBERS_BYTE as i16;
const NUMBERS_BYTE: u8 = 40;
/// The first byte above a port's 16 bits, which is 0 in the key of a socket that a shortcut may lead to.
const BEYOND_PORT: u8 = 34;
/// What stands in the key that a socket keeps, beside its own port, once a write to it was refused. No port is as
/// large, and [`BEYOND_PORT`] is another byte.
pub(super) const REFUSED: i32 = 1 << 24;
/// What stands beside a socket's own port in [`key_of_cookie`]; [`BEYOND_PORT`] of a reader is another bit of the same byte.
const BEFORE: u32 = 1 << 17;
/// What stands there in the key of a socket that could not be taken in: another bit of that byte.
pub(super) const OUTSIDE: i32 = 1 << 18;
/// After so many milliseconds the writer of such a socket is told that nothing of it has come, where nothing may go. By itself TCP
/// would try for a quarter of an hour (`tcp_retries2`).
const GIVEN_UP: i32 = 10_000;
/// `BPF_SK_STORAGE_GET_F_CREATE`
const CREATE: i32 = 1;
/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` and `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`
const ESTABLISHED_CALLBACKS: [i32; 2] = [4, 5];

/// Takes the mark of a refused write off the key that a socket keeps; whether there was one.
pub fn unmark(key: &mut [u8; PEER_KEY as usize]) -> bool {
    change_port(key, |port| port & !REFUSED.unsigned_abs())
}

/// Marks the key of a socket that cannot be taken in.
pub fn mark_outside(key: &mut [u8; PEER_KEY as usize]) {
    change_port(key, |port| port | OUTSIDE.unsigned_abs());
}

/// Takes that mark off; whether there was one.
pub fn unmark_outside(key: &mut [u8; PEER_KEY as usize]) -> bool {
    change_port(key, |port| port & !OUTSIDE.unsigned_abs())
}

/// Changes the word with the own port; whether it is another one now.
fn change_port(key: &mut [u8; PEER_KEY as usize], change: impl FnOnce(u32) -> u32) -> bool {
    let (_, from) = key.split_at_mut(usize::from(PEER_PORTS.unsigned_abs()));
    let Some(port) = from.first_chunk_mut() else {
        return false;
    };
    let before = u32::from_ne_bytes(*port);
    let after = change(before);
    *port = after.to_ne_bytes();
    before != after
}

/// The key of the other end of a connection: addresses, ports and sequence numbers change places.
#[must_use]
pub fn mirrored(key: &[u8; PEER_KEY as usize]) -> [u8; PEER_KEY as usize] {
    let mut other = *key;
    for (one, size) in [(0, 16), (32, 4), (40, 4)] {
        other[one..one + size].copy_from_slice(&key[one + size..one + 2 * size]);
        other[one + size..one + 2 * size].copy_from_slice(&key[one..one + size]);
    }
    other
}

/// The key of a socket that was connected before any program saw it: addresses and ports as programs write them, and its cookie
/// in the place of the sequence numbers, which nobody can tell by then. With the bit `BEFORE` in it, it is no other socket's, and no peer's key
/// is the mirror image of it: no shortcut leads there, where bytes may wait that came by TCP.
#[must_use]
pub fn key_of_cookie(
    local: SocketAddr,
    remote: SocketAddr,
    cookie: u64,
) -> [u8; PEER_KEY as usize] {
    let mut key = [0; PEER_KEY as usize];
    let ports = [u32::from(local.port()) | BEFORE, u32::from(remote.port())];
    let sides = [local, remote].map(|side| match side.ip().to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    });
    let bytes = sides.into_iter().flatten();
    let bytes = bytes.chain(ports.into_iter().flat_map(u32::to_ne_bytes));
    let bytes = bytes.chain(cookie.to_ne_bytes());
    for (to, byte) in key.iter_mut().zip(bytes) {
        *to = byte;
    }
    key
}

/// Whether a key is one of [`key_of_cookie`]: no shortcut has brought its socket anything.
#[must_use]
pub fn is_of_cookie(key: &[u8; PEER_KEY as usize]) -> bool {
    let (_, from) = key.split_at(usize::from(PEER_PORTS.unsigned_abs()));
    from.first_chunk()
        .is_some_and(|port| u32::from_ne_bytes(*port) & BEFORE != 0)
}

/// Where the sockets of a group are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupMaps {
    /// The SOCKHASH of those that were taken in.
    pub peers: MapId,
    /// Where those are whose data is seen as it arrives.
    pub readers: Option<ReaderMaps>,
    /// The storage of both, with the keys of their peers.
    pub storage: MapId,
    /// The storage of these and of those that were left alone, with their own keys.
    pub own: MapId,
    /// Where shortcuts begin.
    pub ways: Option<WayMaps>,
    /// The counters.
    pub counters: MapId,
    /// The counter slot of sockets that could not be taken in.
    pub escaped: u32,
    /// That of the packets that these may not send, where `default send` refuses.
    pub refused: Option<u32>,
}

/// Where it stands how much the sockets of a group may still put into the queues of their peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WayMaps {
    /// The storage with that, of [`super::WAY`] bytes.
    pub ways: MapId,
    /// The array of the program that looks how much waits there.
    pub bound: MapId,
}

/// Where the sockets of a group are whose data is seen as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderMaps {
    /// Their SOCKHASH.
    pub readers: MapId,
    /// For each, by its cookie, the sequence number of the byte that comes next.
    pub next: MapId,
    /// The counter slot of those that could not be taken in as that.
    pub escaped: u32,
}

/// What is done with a connection: it is taken in, left alone, or made a reader first.
struct Door {
    take: Block,
    leave: Block,
    /// Where readers are made that are left alone otherwise, or taken in, too.
    read: Option<[Block; 2]>,
}

impl Leaves for Door {
    /// The terminals are those of the diagram of concern.
    fn leaf(&mut self, builder: &mut Builder, _: Phase, concern: u32, _: Family) -> Block {
        let after = usize::from(concern & PEERS != 0);
        match (concern & READERS != 0, self.read) {
            (false, _) => [self.leave, self.take][after],
            (true, Some(read)) => read[after],
            (true, None) => {
                builder.bug("a reader in a group without a map of readers");
                self.leave
            }
        }
    }

    fn origin(&mut self, builder: &mut Builder, _: Option<u32>) -> Origin {
        builder.head()
    }
}

/// The sock_ops program of a group: takes in the TCP connections that its rules may concern, when they are established.
/// The source's `decision` says which these are (see [`crate::chain::concern`]).
///
/// Only then: bytes that are in the receive queue when a socket is taken in would be read after redirected ones.
#[must_use]
pub(crate) fn sock_ops(source: Source<'_>, name: &str, maps: &GroupMaps) -> Function {
    let mut program = Builder::new(name, Section::SockOps, source.head.clone());
    let builder = &mut program;
    let wants = Wants {
        first_match: source.classifier.is_some(),
        ..Wants::default()
    };
    let mut given = Given {
        context: builder.argument(),
        frame: Frame::new(builder, wants),
        source,
        used: FieldSet::default(),
        next: None,
    };
    let entry = builder.current();
    let [own, peer] = [(); 2].map(|()| builder.slot(PEER_KEY));
    given.frame.own = Some(own);
    let [begun, take, leave] = [(); 3].map(|()| builder.head_block());
    let [escaped, done] = [(); 2].map(|()| builder.head_block());
    let read = maps.readers.map(|_| [(); 2].map(|()| builder.head_block()));
    let mut questions = Questions::default();
    let roots = [Family::V4, Family::V6].map(|family| {
        let leads = (&mut Door { take, leave, read }, &mut questions);
        let what = (source.decision, Phase::Decision, family);
        Tree::write(builder, &given, leads, what)
    });
    Answers::new(builder, &given).write(builder, questions);
    builder.enter(entry);
    let called = builder.load(given.context, ops::OP, Width::W);
    for callback in ESTABLISHED_CALLBACKS {
        builder.leave_if(called, JumpOp::Eq, callback, begun);
    }
    let context = given.context;
    if let Some(readers) = maps.readers {
        let changed = builder.head_block();
        builder.leave_if(called, JumpOp::Eq, BPF_SOCK_OPS_STATE_CB, changed);
        builder.jump(done);
        builder.enter(changed);
        forget(builder, context, readers.next, done);
    } else {
        builder.jump(done);
    }
    let keys = Keys { context, own, peer };
    builder.enter(begun);
    keys.forget_peer(builder, maps, escaped);
    if let Some(readers) = maps.readers {
        keys.number_again(builder, readers.next, escaped);
    }
    keys.fill(builder, roots, escaped);
    if let (Some(read), Some(readers)) = (read, maps.readers) {
        for (block, after) in read.into_iter().zip([leave, take]) {
            builder.enter(block);
            keys.read(builder, maps, readers, after);
        }
    }
    builder.enter(take);
    keys.take_in(builder, maps, [escaped, done]);
    builder.enter(leave);
    // So that a later policy can take it in.
    keys.store(builder, maps.own, own, done);
    builder.jump(done);
    builder.enter(escaped);
    count_in(builder, maps, maps.escaped, done);
    builder.enter(done);
    builder.end(End::Return(1));
    program.finish()
}

/// Forgets which byte comes next on a socket that is closed.
fn forget(builder: &mut Builder, context: Value, next: MapId, done: Block) {
    let state = builder.load(context, ops::NEW_STATE, Width::W);
    builder.leave_if(state, JumpOp::Ne, TCP_CLOSE, done);
    let key = cookie(builder, context);
    builder.call(
        Helper::MapDeleteElem,
        &[Arg::Map(next), Arg::SlotAddress(key)],
    );
    builder.jump(done);
}

/// The cookie of the context's socket, as a key.
pub(super) fn cookie(builder: &mut Builder, context: Value) -> Slot {
    let key = builder.slot(8);
    let cookie = builder.call_value(Helper::GetSocketCookie, &[Arg::Value(context)]);
    builder.store_slot(key, 0, cookie, Width::DW);
    key
}

/// Counts in a slot.
pub(super) fn count_in(builder: &mut Builder, maps: &GroupMaps, slot: u32, done: Block) {
    let (block, offset) = counter_at(builder, maps.counters, slot, done);
    // As in `Ends::add`: the kernel may take this off its CPU.
    let one = builder.imm(1);
    builder.atomic_add(block, offset, one, Width::DW);
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

    /// Makes the socket a reader, by a key that no peer's is the mirror image of: what a shortcut brought would not be seen.
    fn read(&self, builder: &mut Builder, maps: &GroupMaps, to: ReaderMaps, after: Block) {
        let unread = builder.block();
        self.number(builder, to.next, unread);
        let callbacks = builder.load(self.context, ops::CALLBACKS, Width::W);
        builder.alu(callbacks, AluOp::Or, BPF_SOCK_OPS_STATE_CB_FLAG);
        let args = [Arg::Value(self.context), Arg::Value(callbacks)];
        let refused = builder.call_value(Helper::SockOpsCbFlagsSet, &args);
        builder.leave_if(refused, JumpOp::Ne, 0, unread);
        builder.set_slot(self.own, BEYOND_PORT, 1, Width::B);
        let refused = self.put(builder, to.readers);
        builder.leave_if(refused, JumpOp::Eq, 0, after);
        builder.jump(unread);
        builder.enter(unread);
        count_in(builder, maps, to.escaped, after);
    }

    /// A socket that was connected before keeps its first peer's key no more: what it writes now is for another one.
    fn forget_peer(&self, builder: &mut Builder, maps: &GroupMaps, escaped: Block) {
        let ways = maps.ways.map(|ways| ways.ways);
        for storage in [Some(maps.storage), ways].into_iter().flatten() {
            let socket = builder.load(self.context, ops::SK, Width::DW);
            builder.leave_if_wide(socket, JumpOp::Eq, 0, escaped);
            let args = [Arg::Map(storage), Arg::Value(socket)];
            builder.call(Helper::SkStorageDelete, &args);
        }
    }

    /// A reader that is connected again stays one whomever it reaches, and its numbers begin anew.
    fn number_again(&self, builder: &mut Builder, next: MapId, escaped: Block) {
        let new = builder.block();
        let callbacks = builder.load(self.context, ops::CALLBACKS, Width::W);
        builder.alu(callbacks, AluOp::And, BPF_SOCK_OPS_STATE_CB_FLAG);
        builder.leave_if(callbacks, JumpOp::Eq, 0, new);
        self.number(builder, next, escaped);
        builder.jump(new);
        builder.enter(new);
    }

    /// Keeps which byte comes next; leaves to `otherwise` where there is no room.
    fn number(&self, builder: &mut Builder, next: MapId, otherwise: Block) {
        let number = builder.slot(4);
        let first = builder.load(self.context, ops::RCV_NXT, Width::W);
        builder.store_slot(number, 0, first, Width::W);
        let key = cookie(builder, self.context);
        let args = [
            Arg::Map(next),
            Arg::SlotAddress(key),
            Arg::SlotAddress(number),
            Arg::Imm(BPF_ANY),
        ];
        let refused = builder.call_value(Helper::MapUpdateElem, &args);
        builder.leave_if(refused, JumpOp::Ne, 0, otherwise);
    }

    /// Puts the socket into a map by its own key; gives whether that was refused.
    fn put(&self, builder: &mut Builder, map: MapId) -> Value {
        let args = [
            Arg::Value(self.context),
            Arg::Map(map),
            Arg::SlotAddress(self.own),
            Arg::Imm(BPF_NOEXIST),
        ];
        builder.call_value(Helper::SockHashUpdate, &args)
    }

    /// Puts the socket into the group's map, and its keys into its storages. What it kept as its own key is that of the
    /// connection it had before, if it was left alone then; a socket that is in the map already is refused, and stays there
    /// under the key that it keeps. No key is given to a second socket: it would get what the first one writes.
    fn take_in(&self, builder: &mut Builder, maps: &GroupMaps, [escaped, done]: [Block; 2]) {
        let outside = builder.head_block();
        self.store(builder, maps.storage, self.peer, escaped);
        let kept = self.store(builder, maps.own, self.own, escaped);
        let refused = self.put(builder, maps.peers);
        builder.leave_if(refused, JumpOp::Ne, 0, outside);
        self.keep(builder, kept);
        builder.jump(done);
        builder.enter(outside);
        self.mark_outside(builder, maps, [kept, refused], escaped);
        builder.jump(escaped);
    }

    /// Marks a socket that could not be taken in. One that the kernel calls busy is in the map since a connection of before, if
    /// it keeps the numbers of that one: it is decided about, and stays as it is.
    fn mark_outside(
        &self,
        builder: &mut Builder,
        maps: &GroupMaps,
        [kept, refused]: [Value; 2],
        escaped: Block,
    ) {
        let mark = builder.head_block();
        builder.leave_if(refused, JumpOp::Ne, -EBUSY, mark);
        let before = builder.load(kept, NUMBERS, Width::DW);
        let now = builder.load_slot(self.own, NUMBERS_BYTE, Width::DW);
        builder.leave_if_wide(before, JumpOp::Ne, now, escaped);
        builder.jump(mark);
        builder.enter(mark);
        self.keep(builder, kept);
        let port = builder.load(kept, PEER_PORTS, Width::W);
        builder.alu(port, AluOp::Or, OUTSIDE);
        builder.store(kept, PEER_PORTS, port, Width::W);
        if maps.refused.is_some() {
            self.give_up_soon(builder);
        }
    }

    /// Has the writer told before long that nothing comes. Where the kernel does not let us, it is told late.
    fn give_up_soon(&self, builder: &mut Builder) {
        let patience = builder.slot(4);
        builder.set_slot(patience, 0, GIVEN_UP, Width::W);
        let args = [
            Arg::Value(self.context),
            Arg::Imm(IPPROTO_TCP),
            Arg::Imm(TCP_USER_TIMEOUT),
            Arg::SlotAddress(patience),
            Arg::Imm(4),
        ];
        builder.call(Helper::Setsockopt, &args);
    }

    /// The own key becomes the one that the socket keeps.
    fn keep(&self, builder: &mut Builder, kept: Value) {
        for byte in (0..PEER_KEY_BYTES).step_by(8) {
            let part = builder.load_slot(self.own, byte, Width::DW);
            builder.store(kept, byte.into(), part, Width::DW);
        }
    }

    /// Keeps a key in a storage of the socket, unless one is there, and gives its place; leaves to `otherwise` where it has
    /// none.
    fn store(&self, builder: &mut Builder, storage: MapId, key: Slot, otherwise: Block) -> Value {
        let socket = builder.load(self.context, ops::SK, Width::DW);
        builder.leave_if_wide(socket, JumpOp::Eq, 0, otherwise);
        let args = [
            Arg::Map(storage),
            Arg::Value(socket),
            Arg::SlotAddress(key),
            Arg::Imm(CREATE),
        ];
        let stored = builder.call_value(Helper::SkStorageGet, &args);
        builder.leave_if_wide(stored, JumpOp::Eq, 0, otherwise);
        stored
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
