//! The outcomes: each a return code, or what is done before one.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, End, Give, Value};
use crate::policy::{Family, Feed, INTERCEPTED, OutInterfaceId, Queue, Shortcut, SocketId};

use super::Ends;
use crate::bpf::constant::NEW_SYN_RECV;
use crate::destination::Ending;
use crate::lower::context::{msg, skb};
use crate::lower::door::{PEER_PORTS, REFUSED};
use crate::lower::given::{Sharing, taking};
use crate::protocol::IpProtocol;

/// `BPF_F_INGRESS`: into the receive queue of a socket.
pub(super) const INGRESS: i32 = 1;
/// Without it: into its send queue.
pub(super) const EGRESS: i32 = 0;

/// The end of a chain for one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lower) enum Outcome {
    /// Goes on.
    Pass,
    /// Ends here.
    Drop,
    /// sk_lookup gives this socket, else rejects.
    Assign(SocketId),
    /// sk_lookup gives one of the sockets in a row of slots, else rejects. Names whose members share alike share this code.
    AssignAmong(Sharing),
    /// TC gives the packet this socket, and the mark by which it is delivered; where the socket is absent, what that gives.
    Intercept(SocketId),
    /// The same with one of the sockets in a row of slots. Names whose members share alike, and give the same where they are absent, share
    /// this code.
    InterceptAmong(Among),
    /// Goes on, unless this socket is not there.
    PassUnlessAbsent(SocketId),
    /// Goes to the peer's socket if it is in the right group.
    Shortcut(Shortcut),
    /// Goes into a queue of another socket.
    Feed(Feed),
    /// Goes on with this packet mark.
    Mark(u32),
    /// Leaves by this interface.
    Forward(OutInterfaceId),
    /// Packet hooks: is answered as if nobody listened. Elsewhere that is a [`Self::Drop`].
    Reject,
}

/// The members of names that share the code which gives a packet one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lower) struct Among {
    sharing: Sharing,
    protocol: IpProtocol,
    drop_if_absent: bool,
}

impl Outcome {
    /// The family whose code it is: both share what does not depend on it.
    pub(super) fn family(self, family: Family) -> Family {
        match self {
            Self::Pass
            | Self::Drop
            | Self::Shortcut(_)
            | Self::Feed(_)
            | Self::Mark(_)
            | Self::Forward(_) => Family::V4,
            Self::Assign(_)
            | Self::AssignAmong(_)
            | Self::Intercept(_)
            | Self::InterceptAmong(_)
            | Self::PassUnlessAbsent(_)
            | Self::Reject => family,
        }
    }
}

impl Ends<'_> {
    /// The block of an outcome. Two families share what does not depend on the family.
    pub(in crate::lower) fn outcome(
        &mut self,
        builder: &mut Builder,
        outcome: Outcome,
        family: Family,
    ) -> Block {
        let family = outcome.family(family);
        if let Some(&block) = self.outcomes.get(&(family, outcome)) {
            return block;
        }
        let block = builder.head_block();
        self.outcomes.insert((family, outcome), block);
        match outcome {
            Outcome::Pass => self.pass(builder, block),
            Outcome::Drop => self.drop(builder, block),
            Outcome::Assign(socket) => self.assign(builder, block, socket, family),
            Outcome::AssignAmong(sharing) => self.assign_among(builder, block, sharing, family),
            Outcome::Intercept(socket) => self.intercept(builder, block, socket, family),
            Outcome::InterceptAmong(among) => self.intercept_among(builder, block, among, family),
            Outcome::PassUnlessAbsent(socket) => {
                self.pass_unless_absent(builder, block, socket, family)
            }
            Outcome::Shortcut(near) => self.shortcut(builder, block, near),
            Outcome::Feed(feed) => self.feed(builder, block, feed),
            Outcome::Mark(mark) => self.mark(builder, block, mark),
            Outcome::Forward(port) => self.forward(builder, block, port),
            Outcome::Reject => self.reject(builder, block, family),
        }
        block
    }

    /// What the verdict slot holds for an outcome: its place among those that were asked for.
    pub(super) fn outcome_number(&mut self, builder: &mut Builder, outcome: Outcome) -> i32 {
        let known = self.numbered.iter().position(|&other| other == outcome);
        let number = known.unwrap_or_else(|| {
            self.numbered.push(outcome);
            self.numbered.len() - 1
        });
        builder.fit(number, "the number of an outcome")
    }

    pub(super) fn returns(&self, builder: &mut Builder, block: Block, code: i32) {
        builder.enter(block);
        builder.end(End::Return(code));
    }

    /// Lets it go, to the next list if there is one. sk_msg redirects the data to the output of the socket that it is written to, which is where it would go:
    /// `tcp_bpf_send_verdict` forgets a redirect before it sends, but `__SK_PASS` only after all was sent, and until then asks
    /// nobody about later writes. A socket that is not in the map by now, or keeps no key, is let go in the plain way.
    fn pass(&mut self, builder: &mut Builder, block: Block) {
        if let Some(next) = self.given.next {
            builder.enter(block);
            return builder.jump(next);
        }
        let block = self.goes_by_tcp(builder, block);
        let pass = self.given.source.chain.hook.spec().codes.pass;
        self.answer(builder, block, pass, |ends, builder, peers, key| {
            ends.redirect(builder, peers, key, EGRESS);
        });
    }

    /// Refuses it. sk_msg marks the key that the socket keeps: the kernel asks nobody about later writes to it
    /// (`psock->eval` in `tcp_bpf_send_verdict`), until the runtime, which finds it by the mark, takes it out of its map
    /// and in again.
    fn drop(&mut self, builder: &mut Builder, block: Block) {
        let drop = self.given.source.chain.hook.spec().codes.drop;
        self.answer(builder, block, drop, |_, builder, _, key| {
            let port = builder.load(key, PEER_PORTS, Width::W);
            builder.alu(port, AluOp::Or, REFUSED);
            builder.store(key, PEER_PORTS, port, Width::W);
        });
    }

    /// Returns a code. Where the kernel remembers it, `work` comes first, with the map of the group's sockets and the key that the
    /// socket keeps; not for one that keeps none.
    fn answer(
        &self,
        builder: &mut Builder,
        block: Block,
        code: i32,
        work: impl FnOnce(&Self, &mut Builder, MapId, Value),
    ) {
        if !self.given.code().remembered {
            return self.returns(builder, block, code);
        }
        let plain = builder.head_block();
        self.returns(builder, plain, code);
        builder.enter(block);
        let group = self.given.source.chain.group;
        let groups = &self.given.source.maps.groups;
        let Some(maps) = group.and_then(|group| groups[group]) else {
            builder.bug("a group without its maps");
            return;
        };
        let key = self.stored(builder, maps.own);
        builder.leave_if_wide(key, JumpOp::Eq, 0, plain);
        work(self, builder, maps.peers, key);
        builder.jump(plain);
    }

    /// sk_msg: what a storage holds of the socket that is written to; 0 if nothing.
    pub(super) fn stored(&self, builder: &mut Builder, storage: MapId) -> Value {
        let socket = builder.load(self.given.context, msg::SK, Width::DW);
        let args = [
            Arg::Map(storage),
            Arg::Value(socket),
            Arg::Imm(0),
            Arg::Imm(0),
        ];
        builder.call_value(Helper::SkStorageGet, &args)
    }

    /// sk_msg: sends the data to the socket of a key, if the program lets it go; 0 if there is no such socket.
    pub(super) fn redirect(
        &self,
        builder: &mut Builder,
        peers: MapId,
        key: Value,
        flags: i32,
    ) -> Value {
        let args = [
            Arg::Value(self.given.context),
            Arg::Map(peers),
            Arg::Value(key),
            Arg::Imm(flags),
        ];
        builder.call_value(Helper::MsgRedirectHash, &args)
    }

    /// TC: goes on with another packet mark. Placement keeps it there.
    fn mark(&mut self, builder: &mut Builder, block: Block, mark: u32) {
        let pass = self.outcome(builder, Outcome::Pass, Family::V4);
        builder.enter(block);
        let mark = builder.imm(i64::from(mark));
        builder.store(self.given.context, skb::MARK, mark, Width::W);
        builder.jump(pass);
    }

    /// XDP and TC: out of the interface that stands in the map `ports`; while there is none, nowhere. The kernel gives the index
    /// of an interface that is gone to another one, and by then has taken it out of the map (`dev_map_notification` in
    /// kernel/bpf/devmap.c). What was looked up stays true until the packet is on its way: no index is given again before a grace
    /// period of RCU has passed (`unregister_netdevice_many`).
    fn forward(&mut self, builder: &mut Builder, block: Block, port: OutInterfaceId) {
        let drop = self.outcome(builder, Outcome::Drop, Family::V4);
        let drop = self.sampled_beside(builder, drop);
        builder.enter(block);
        let Some(interfaces) = self.given.source.maps.out_interfaces else {
            builder.bug("a forward without the map of interfaces");
            return;
        };
        let slot = builder.fit(port.as_u32(), "the slot of an interface");
        builder.set_slot(self.given.frame.key, 0, slot, Width::W);
        let args = [Arg::Map(interfaces), Arg::SlotAddress(self.given.frame.key)];
        let index = builder.call_value(Helper::MapLookupElem, &args);
        builder.leave_if_wide(index, JumpOp::Eq, 0, drop);
        builder.load_to(index, index, 0, Width::W);
        let args = [Arg::Value(index), Arg::Imm(0)];
        let code = builder.call_value(Helper::Redirect, &args);
        builder.end(End::ReturnValue(code));
    }

    /// sk_lookup: the socket of this family and protocol, else a reject.
    fn assign(&mut self, builder: &mut Builder, block: Block, socket: SocketId, family: Family) {
        let hit = self.outcome(builder, Outcome::Pass, family);
        let miss = self.outcome(builder, Outcome::Drop, family);
        let data = &self.given.source.policy.sockets[socket];
        let Some(sharing) = Sharing::of(data) else {
            let key = self.given.frame.key;
            let ends = self.counted_ends(builder, key, [hit, miss]);
            builder.enter(block);
            return self.given.assign(builder, (socket, family), ends, miss);
        };
        let among = self.outcome(builder, Outcome::AssignAmong(sharing), family);
        builder.enter(block);
        let first = self.given.frame.first_member;
        self.given.slot_key(builder, (socket, family), first, miss);
        builder.jump(among);
    }

    /// sk_lookup: the first socket in the order of the flow, from the slot on that the frame names.
    fn assign_among(
        &mut self,
        builder: &mut Builder,
        block: Block,
        sharing: Sharing,
        family: Family,
    ) {
        let hit = self.outcome(builder, Outcome::Pass, family);
        let miss = self.outcome(builder, Outcome::Drop, family);
        let first = self.given.frame.first_member;
        let ends = self.counted_ends(builder, first, [hit, miss]);
        builder.enter(block);
        let give = Give::ToLookup {
            alone: sharing.pinned,
        };
        self.given.members(builder, (sharing, give), family, ends);
    }

    /// TC: the socket of this family and protocol takes what is new. The last segment of a handshake that is not finished on our
    /// side is that of the socket which the handshake has made (`TCP_NEW_SYN_RECV`), and a listener would refuse it: the stack,
    /// which the mark leads it to, finds that socket. That no connected one was found stands in the diagram, so the state of
    /// what was found stands in its slot.
    fn intercept(&mut self, builder: &mut Builder, block: Block, socket: SocketId, family: Family) {
        let drop_if_absent = self.given.source.policy.sockets[socket].drop_if_absent;
        let [delivered, absent] = self.intercepted(builder, drop_if_absent, family);
        let among = self.among(builder, socket, family);
        let key = self.given.frame.key;
        let ends = match among.is_empty() {
            true => self.counted_ends(builder, key, [delivered, absent]),
            false => [delivered, absent],
        };
        builder.enter(block);
        let state = builder.load_slot(self.given.frame.state, 0, Width::B);
        builder.leave_if(state, JumpOp::Eq, NEW_SYN_RECV, delivered);
        if among.is_empty() {
            self.given
                .hand_over(builder, (socket, family), ends, absent);
            return;
        }
        let first = self.given.frame.first_member;
        self.given.for_slot(
            builder,
            (socket, family),
            (first, absent),
            |builder, protocol| {
                let walk = among.iter().find(|(other, _)| *other == protocol);
                match walk {
                    Some((_, walk)) => builder.jump(*walk),
                    None => builder.bug("a name with members has no walk over a kind of them"),
                }
            },
        );
    }

    /// The walks over the members of a name, of each protocol of a family; none where it has but one.
    fn among(
        &mut self,
        builder: &mut Builder,
        socket: SocketId,
        family: Family,
    ) -> Vec<(IpProtocol, Block)> {
        let source = self.given.source;
        let data = &source.policy.sockets[socket];
        let Some(sharing) = Sharing::of(data) else {
            return Vec::new();
        };
        let slots = source.sockets[socket].iter();
        let own = slots.filter(|(other, ..)| *other == family);
        let walks = own.map(|&(_, protocol, _)| {
            let among = Among {
                sharing,
                protocol,
                drop_if_absent: data.drop_if_absent,
            };
            let walk = self.outcome(builder, Outcome::InterceptAmong(among), family);
            (protocol, walk)
        });
        walks.collect()
    }

    /// TC: the first socket in the order of the flow that takes what is new, from the slot on that the frame names.
    fn intercept_among(
        &mut self,
        builder: &mut Builder,
        block: Block,
        among: Among,
        family: Family,
    ) {
        let ends = self.intercepted(builder, among.drop_if_absent, family);
        let first = self.given.frame.first_member;
        let ends = self.counted_ends(builder, first, ends);
        builder.enter(block);
        let give = Give::ToPacket(taking(among.protocol));
        self.given
            .members(builder, (among.sharing, give), family, ends);
    }

    /// Where a packet goes on that has got its socket, and one whose socket is absent.
    fn intercepted(
        &mut self,
        builder: &mut Builder,
        drop_if_absent: bool,
        family: Family,
    ) -> [Block; 2] {
        let delivered = self.outcome(builder, Outcome::Mark(INTERCEPTED), family);
        let absent = match drop_if_absent {
            true => Outcome::Drop,
            false => self.refusal(),
        };
        let absent = self.outcome(builder, absent, family);
        [delivered, self.sampled_beside(builder, absent)]
    }

    /// Packet hooks: a new flow goes on only if the socket is there. That the flow is new stands in the diagram. The
    /// rule's own counter, whose slot the leaf has set, counts what is dropped; and as no lookup comes after that, so does
    /// the row of the name.
    fn pass_unless_absent(
        &mut self,
        builder: &mut Builder,
        block: Block,
        socket: SocketId,
        family: Family,
    ) {
        let pass = self.outcome(builder, Outcome::Pass, family);
        let drop = self.outcome(builder, Outcome::Drop, family);
        let drop = self.sampled(builder, drop);
        let logged = self.logged_absent(builder, socket, family, drop);
        let key = self.given.first_key(socket);
        let missed = self.counted(builder, key, logged, Some(Ending::Missed));
        let [absent, none] = [missed, logged].map(|next| self.account_beside(builder, next));
        builder.enter(block);
        self.given
            .slot_region(builder, (socket, family), [pass, absent], none);
    }

    /// Puts the data into a queue of the socket in the map `ends`. Where the slot is empty, or what is in it takes no data, the helper
    /// gives the code of a drop, and it is one, and counted as such: sk_msg remembers that.
    fn feed(&mut self, builder: &mut Builder, block: Block, feed: Feed) {
        let refused = self.outcome(builder, Outcome::Drop, Family::V4);
        let nobody = self.account_beside(builder, refused);
        let drop = self.given.source.chain.hook.spec().codes.drop;
        builder.enter(block);
        let slot = self.given.source.ends.get(feed.socket);
        let (Some(ends), Some(&Some(slot))) = (self.given.source.maps.ends, slot) else {
            builder.bug("a redirect into a queue without its slot");
            return;
        };
        let slot = builder.fit(slot, "the slot of a socket that takes data");
        let Some(helper) = self.given.code().feeds else {
            builder.bug("a redirect into a queue where no data is");
            return;
        };
        let flags = match feed.queue {
            Queue::Input => INGRESS,
            Queue::Output => EGRESS,
        };
        let args = [
            Arg::Value(self.given.context),
            Arg::Map(ends),
            Arg::Imm(slot),
            Arg::Imm(flags),
        ];
        let code = builder.call_value(helper, &args);
        builder.leave_if(code, JumpOp::Eq, drop, nobody);
        builder.end(End::ReturnValue(code));
    }
}
