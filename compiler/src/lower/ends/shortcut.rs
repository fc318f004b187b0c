//! The shortcut: what is written goes straight into the queue of the peer, as long as not too much waits there.
//!
//! The kernel bounds that queue by nothing (`bpf_tcp_ingress` in `net/ipv4/tcp_bpf.c`), so each socket has a *way*: its peer's key,
//! and how much it may still put there. That is taken from at each write, and when it is used up the write goes on with a program
//! of the runtime, which looks into the peer and gives more, or lets the write go by TCP, which waits. A policy begins with
//! nothing given, so that program also looks at the first write whether anything by TCP is yet to be read: the kernel gives a reader what came by
//! the shortcut before what is in its TCP queue, so a later write would overtake. Where there is no such program everything
//! goes by TCP.
//!
//! Programs run here with the socket locked (`tcp_bpf_sendmsg`), so nothing else takes from a way meanwhile. Not here: how it is
//! looked how much waits (the runtime's `groups::bound`).

use crate::bpf::constant::{BPF_SK_STORAGE_GET_F_CREATE, TCP_CLOSE_WAIT, TCP_ESTABLISHED};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, Value};
use crate::policy::{Family, Shortcut};

use super::outcome::{EGRESS, INGRESS};
use super::{Ends, Outcome};
use crate::lower::PEER_KEY;
use crate::lower::context::{msg, sock};
use crate::lower::door::{GroupMaps, WayMaps};

/// Size of a way: the peer's key, then four numbers of 32 bits, of which the last is not used.
pub(crate) const WAY: u32 = PEER_KEY + 16;
/// Where the key has the sequence number at which the way's own socket began.
pub const BEGAN: i16 = 44;
/// Where a way says how much may still be put into the peer's queue.
pub const LEFT: i16 = 48;
/// Where it says whether anything has been written by TCP since that was looked at.
pub const BY_TCP: i16 = 52;
/// Where it has the slot of the counter of what goes by TCP.
pub const COUNTER: i16 = 56;
/// What each write costs beside its bytes: the kernel keeps a structure for it, and more of a page than it fills.
pub const OVERHEAD: i32 = 8192;

impl Ends<'_> {
    /// Gives the data to the peer if it is in the right group and has room, else lets it go by TCP; returning the helper's code
    /// would refuse the write then. One to a connection that has ended is TCP's to refuse.
    ///
    /// The code of a redirect to a socket that is there is that of one that lets go.
    pub(super) fn shortcut(&mut self, builder: &mut Builder, block: Block, near: Shortcut) {
        let pass = self.outcome(builder, Outcome::Pass, Family::V4);
        let fallen = self.account_beside(builder, pass);
        let [taken, begin, ask] = [(); 3].map(|()| builder.head_block());
        let code = self.given.source.chain.hook.spec().codes.pass;
        self.returns(builder, taken, code);
        let groups = &self.given.source.maps.groups;
        let (Some(own), Some(other)) = (groups[near.from], groups[near.to]) else {
            builder.bug("a shortcut without the maps of its groups");
            return;
        };
        let Some(ways) = own.ways else {
            builder.bug("a shortcut without its ways");
            return;
        };
        builder.enter(block);
        self.unless_ended(builder, pass);
        let way = self.stored(builder, ways.ways);
        builder.leave_if_wide(way, JumpOp::Eq, 0, begin);
        self.take(builder, way, ask);
        let found = self.redirect(builder, other.peers, way, INGRESS);
        builder.leave_if(found, JumpOp::Ne, 0, taken);
        builder.jump(fallen);
        builder.enter(begin);
        self.begin(builder, own, ways, fallen);
        builder.jump(ask);
        builder.enter(ask);
        self.ask(builder, (own, other), ways, fallen);
    }

    /// Leaves to `pass` unless the socket's own side may write.
    fn unless_ended(&self, builder: &mut Builder, pass: Block) {
        let open = builder.block();
        let socket = builder.load(self.given.context, msg::SK, Width::DW);
        let state = builder.load(socket, sock::STATE, Width::W);
        builder.leave_if(state, JumpOp::Eq, TCP_ESTABLISHED, open);
        builder.leave_if(state, JumpOp::Ne, TCP_CLOSE_WAIT, pass);
        builder.jump(open);
        builder.enter(open);
    }

    /// Takes the write from what is left; leaves to `ask` if that is not enough.
    fn take(&self, builder: &mut Builder, way: Value, ask: Block) {
        let cost = builder.load(self.given.context, msg::SIZE, Width::W);
        builder.alu(cost, AluOp::Add, OVERHEAD);
        let left = builder.load(way, LEFT, Width::W);
        builder.leave_if_wide(left, JumpOp::Lt, cost, ask);
        builder.alu(left, AluOp::Sub, cost);
        builder.store(way, LEFT, left, Width::W);
    }

    /// Makes a way on which nothing is given yet; leaves to `fallen` for a socket that keeps no peer's key.
    fn begin(&self, builder: &mut Builder, own: GroupMaps, ways: WayMaps, fallen: Block) {
        let key = self.stored(builder, own.storage);
        builder.leave_if_wide(key, JumpOp::Eq, 0, fallen);
        let socket = builder.load(self.given.context, msg::SK, Width::DW);
        let args = [
            Arg::Map(ways.ways),
            Arg::Value(socket),
            Arg::Imm(0),
            Arg::Imm(BPF_SK_STORAGE_GET_F_CREATE),
        ];
        let way = builder.call_value(Helper::SkStorageGet, &args);
        builder.leave_if_wide(way, JumpOp::Eq, 0, fallen);
        for byte in (0..LEFT).step_by(8) {
            let part = builder.load(key, byte, Width::DW);
            builder.store(way, byte, part, Width::DW);
        }
    }

    /// Goes on with the program that looks into the peer; to `fallen` where there is none, or no peer. It finds the peer by the
    /// redirect. It may have to send the write to its own socket's output after all, so that must be possible: the write
    /// would stay with the peer otherwise.
    fn ask(
        &self,
        builder: &mut Builder,
        (own, other): (GroupMaps, GroupMaps),
        ways: WayMaps,
        fallen: Block,
    ) {
        let key = self.stored(builder, own.own);
        builder.leave_if_wide(key, JumpOp::Eq, 0, fallen);
        let found = self.redirect(builder, own.peers, key, EGRESS);
        builder.leave_if(found, JumpOp::Eq, 0, fallen);
        let way = self.stored(builder, ways.ways);
        builder.leave_if_wide(way, JumpOp::Eq, 0, fallen);
        let slot = builder.load_slot(self.given.frame.absent, 0, Width::W);
        builder.store(way, COUNTER, slot, Width::W);
        let found = self.redirect(builder, other.peers, way, INGRESS);
        builder.leave_if(found, JumpOp::Eq, 0, fallen);
        let args = [
            Arg::Value(self.given.context),
            Arg::Map(ways.bound),
            Arg::Imm(0),
        ];
        builder.call(Helper::TailCall, &args);
        builder.jump(fallen);
    }

    /// What goes by TCP, for whatever reason, must be read before the next that takes a shortcut: nothing is left to be put
    /// into the peer's queue. Gives the block that goes on.
    pub(super) fn goes_by_tcp(&self, builder: &mut Builder, block: Block) -> Block {
        let group = self.given.source.chain.group;
        let maps = group.and_then(|group| self.given.source.maps.groups[group]);
        let writes = self.given.code().remembered;
        let Some(ways) = maps.and_then(|maps| maps.ways).filter(|_| writes) else {
            return block;
        };
        let next = builder.head_block();
        builder.enter(block);
        let way = self.stored(builder, ways.ways);
        builder.leave_if_wide(way, JumpOp::Eq, 0, next);
        let [nothing, yes] = [0, 1].map(|number| builder.imm(number));
        builder.store(way, LEFT, nothing, Width::W);
        builder.store(way, BY_TCP, yes, Width::W);
        builder.jump(next);
        next
    }
}
