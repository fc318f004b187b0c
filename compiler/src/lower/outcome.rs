//! What happens in the end: a return code, or a socket is assigned, looked for, or written to directly.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, End, SlotRegion};
use crate::policy::{Family, GroupId, OutInterfaceId, SocketId};
use crate::protocol::IpProtocol;

use super::Lowering;
use super::context::skb;
use super::tree::Arm;

/// The end of a chain for one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Goes on.
    Pass,
    /// Ends here.
    Drop,
    /// sk_lookup gives this socket, else rejects.
    Assign(SocketId),
    /// Goes on, unless this socket is not there.
    PassUnlessAbsent(SocketId),
    /// Goes to the peer's socket if it is in the group.
    Shortcut(GroupId),
    /// Goes on with this packet mark.
    Mark(u32),
    /// Leaves by this interface.
    Forward(OutInterfaceId),
    /// Packet hooks: is answered as if nobody listened. Elsewhere that is a [`Self::Drop`].
    Reject,
}

impl Outcome {
    /// The family whose code it is: both share what does not depend on it.
    pub(super) fn family(self, family: Family) -> Family {
        match self {
            Self::Pass | Self::Drop | Self::Shortcut(_) | Self::Mark(_) | Self::Forward(_) => {
                Family::V4
            }
            Self::Assign(_) | Self::PassUnlessAbsent(_) | Self::Reject => family,
        }
    }
}

impl Lowering<'_> {
    /// The block of an outcome. Two families share what does not depend on the family.
    pub(super) fn outcome(&mut self, outcome: Outcome, family: Family) -> Block {
        let family = outcome.family(family);
        if let Some(&block) = self.outcomes.get(&(family, outcome)) {
            return block;
        }
        let block = self.head_block();
        self.outcomes.insert((family, outcome), block);
        match outcome {
            Outcome::Pass => self.returns(block, self.source.chain.hook.spec().codes.pass),
            Outcome::Drop => self.returns(block, self.source.chain.hook.spec().codes.drop),
            Outcome::Assign(socket) => self.assign(block, socket, family),
            Outcome::PassUnlessAbsent(socket) => self.pass_unless_absent(block, socket, family),
            Outcome::Shortcut(group) => self.shortcut(block, group),
            Outcome::Mark(mark) => self.mark(block, mark),
            Outcome::Forward(port) => self.forward(block, port),
            Outcome::Reject => self.reject(block, family),
        }
        block
    }

    /// What the verdict slot holds for an outcome: its place among those that were asked for.
    pub(super) fn outcome_number(&mut self, outcome: Outcome) -> i32 {
        let known = self.numbered.iter().position(|&other| other == outcome);
        let number = known.unwrap_or_else(|| {
            self.numbered.push(outcome);
            self.numbered.len() - 1
        });
        self.builder.fit(number, "the number of an outcome")
    }

    /// Goes to the outcome that the decision left in its slot.
    pub(super) fn finish_block(&mut self, family: Family) -> Block {
        if let Some(&block) = self.finishes.get(&family) {
            return block;
        }
        let block = self.head_block();
        self.finishes.insert(family, block);
        block
    }

    /// Writes the finish block of a family, once every leaf is known.
    pub(super) fn finish(&mut self, family: Family) {
        let Some(block) = self.finishes.get(&family).copied() else {
            return;
        };
        let arms: Vec<Arm> = (0u32..)
            .zip(self.numbered.iter().copied())
            .filter_map(|(number, outcome)| {
                Some((
                    number,
                    *self.outcomes.get(&(outcome.family(family), outcome))?,
                    self.head,
                ))
            })
            .collect();
        self.builder.enter(block);
        self.builder
            .load_slot_to(self.registers.probe, self.frame.outcome, 0, Width::W);
        self.search(&arms, 0);
    }

    fn returns(&mut self, block: Block, code: i32) {
        self.builder.enter(block);
        self.builder.end(End::Return(code));
    }

    /// TC: goes on with another packet mark. Placement keeps it there.
    fn mark(&mut self, block: Block, mark: u32) {
        let pass = self.outcome(Outcome::Pass, Family::V4);
        self.builder.enter(block);
        let mark = self.builder.imm(i64::from(mark));
        self.builder
            .store(self.registers.context, skb::MARK, mark, Width::W);
        self.builder.jump(pass);
    }

    /// XDP and TC: out of the interface that stands in the map `ports`; while there is none, nowhere. The kernel gives the index
    /// of an interface that is gone to another one, and by then has taken it out of the map (`dev_map_notification` in
    /// kernel/bpf/devmap.c). What was looked up stays true until the packet is on its way: no index is given again before a grace
    /// period of RCU has passed (`unregister_netdevice_many`).
    fn forward(&mut self, block: Block, port: OutInterfaceId) {
        let drop = self.outcome(Outcome::Drop, Family::V4);
        self.builder.enter(block);
        let Some(interfaces) = self.source.maps.out_interfaces else {
            self.builder.bug("a forward without the map of interfaces");
            return;
        };
        let slot = self.builder.fit(port.as_u32(), "the slot of an interface");
        self.builder.set_slot(self.frame.key, 0, slot, Width::W);
        let args = [Arg::Map(interfaces), Arg::SlotAddress(self.frame.key)];
        let index = self.registers.end;
        let found = self.builder.call_value(Helper::MapLookupElem, &args);
        self.builder.assign(index, found);
        self.builder.leave_if_wide(index, JumpOp::Eq, 0, drop);
        self.builder.load_to(index, index, 0, Width::W);
        let args = [Arg::Value(index), Arg::Imm(0)];
        let code = self.builder.call_value(Helper::Redirect, &args);
        self.builder.end(End::ReturnValue(code));
    }

    /// sk_lookup: the socket of this family and protocol, else a reject.
    fn assign(&mut self, block: Block, socket: SocketId, family: Family) {
        let hit = self.outcome(Outcome::Pass, family);
        let miss = self.outcome(Outcome::Drop, family);
        self.builder.enter(block);
        self.slot_key(socket, family, miss);
        self.slot_region(true, hit, miss);
    }

    /// Packet hooks: a new flow goes on only if the socket is there. That the flow is new stands in the diagram. The
    /// rule's own counter, whose slot the leaf has set, counts what is dropped.
    fn pass_unless_absent(&mut self, block: Block, socket: SocketId, family: Family) {
        let pass = self.outcome(Outcome::Pass, family);
        let drop = self.outcome(Outcome::Drop, family);
        let logged = self.logged_absent(socket, family, drop);
        let account = self.account(logged);
        let absent = self.head_block();
        self.builder.enter(absent);
        let counter = self.builder.load_slot(self.frame.absent, 0, Width::W);
        self.builder
            .store_slot(self.frame.counter, 0, counter, Width::W);
        self.builder.jump(account);
        self.builder.enter(block);
        self.slot_key(socket, family, absent);
        self.slot_region(false, pass, absent);
    }

    /// Leaves the index of the socket's slot for the packet's protocol in `key`; `none` if the policy declares none.
    pub(super) fn slot_key(&mut self, socket: SocketId, family: Family, none: Block) {
        let ready = self.builder.block();
        let slots: Vec<(IpProtocol, u32)> = self.source.sockets[socket]
            .iter()
            .filter(|(slot_family, ..)| *slot_family == family)
            .map(|&(_, protocol, index)| (protocol, index))
            .collect();
        for (protocol, index) in slots {
            let found = self.builder.block();
            let packet_protocol = self.protocol_value();
            self.builder
                .leave_if(packet_protocol, JumpOp::Eq, i32::from(protocol), found);
            let otherwise = self.builder.current();
            self.builder.enter(found);
            let index = self.builder.fit(index, "the slot of a socket");
            self.builder.set_slot(self.frame.key, 0, index, Width::W);
            self.builder.jump(ready);
            self.builder.enter(otherwise);
        }
        self.builder.jump(none);
        self.builder.enter(ready);
    }

    fn protocol_value(&mut self) -> crate::ir::Value {
        let value = self.builder.value();
        self.read(value, Field::Protocol, Family::V4);
        value
    }

    pub(super) fn slot_region(&mut self, assign: bool, hit: Block, miss: Block) {
        let Some(map) = self.source.maps.sockets else {
            self.builder
                .bug("a socket is looked for without the map of sockets");
            return;
        };
        self.builder.end(End::Slot(SlotRegion {
            map,
            key: self.frame.key,
            context: self.registers.context,
            carrier: self.registers.cursor,
            assign,
            hit,
            miss,
        }));
    }
}
