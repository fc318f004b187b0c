//! What every part of a program is given, and none changes: the chain that it is made from, where things stand on the stack,
//! the context; and how a field is read and a map asked with them.
//!
//! Not here: blocks that are there already, which each part knows for itself.

use crate::artifact::MapId;
use crate::bpf::constant::{TCP_CLOSE, TCP_LISTEN};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::Effect;
use crate::classifier::tables::address_words;
use crate::destination::Ending;
use crate::field::{FROM, Field, FieldSet, TO};
use crate::ir::{Arg, Block, Builder, End, Give, Places, Slot, SlotRegion, Value};
use crate::policy::{Action, Family, Socket, SocketId, Spread};
use crate::protocol::IpProtocol;
use crate::spread;

use super::Source;
use super::context::skb;
use super::frame::{self, Frame, UNTAGGED};
use super::hook::{self, Base, Code, FieldLoad, Head};
use super::prologue::ALWAYS;

/// What is given.
pub(super) struct Given<'a> {
    pub(super) source: Source<'a>,
    pub(super) frame: Frame,
    pub(super) context: Value,
    /// The fields that the program reads: of those of packets, the prologue leaves no other on the stack.
    pub(super) used: FieldSet,
    /// Where what is let go meets the next list, if that stands in the same program.
    pub(super) next: Option<Block>,
}

/// How the members of a name share it, as far as code depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lower) struct Sharing {
    /// How many places there are.
    places: u32,
    /// What keeps together.
    spread: Spread,
    /// Whether a member is taken without its group.
    pub(in crate::lower) pinned: bool,
}

impl Sharing {
    /// That of a socket which may have several members.
    pub(in crate::lower) fn of(socket: &Socket) -> Option<Self> {
        (socket.members > 1).then(|| Self {
            places: spread::places(socket.members),
            spread: socket.spread,
            pinned: socket.pinned,
        })
    }
}

/// The state of a socket that takes what is new: one that listens, or an unconnected one of UDP.
pub(super) fn taking(protocol: IpProtocol) -> i32 {
    match protocol {
        IpProtocol::TCP => TCP_LISTEN,
        _ => TCP_CLOSE,
    }
}

/// The fields that order the members of names which a chain gives to packets.
pub(super) fn spread_fields(source: &Source<'_>) -> FieldSet {
    let mut fields = FieldSet::default();
    for entry in &source.chain.entries {
        let sharing = match (entry.effect, source.policy.rules[entry.rule].action) {
            (Effect::Intercept, Action::Intercept(socket)) => {
                Sharing::of(&source.policy.sockets[socket])
            }
            _ => None,
        };
        match sharing.map(|sharing| sharing.spread) {
            None => {}
            Some(Spread::BySource) => fields.extend(FROM),
            Some(Spread::ByFlow) => {
                fields.extend(FROM.into_iter().chain(TO));
                fields.extend([Field::FromPort, Field::ToPort]);
            }
        }
    }
    fields
}

/// What stands for the field's value 0.
pub(super) fn base(field: Field) -> u32 {
    match field {
        Field::Fragment => frame::WHOLE.cast_unsigned(),
        Field::Vlan => UNTAGGED.cast_unsigned(),
        _ => 0,
    }
}

/// Turns so many bits from network order into host order; none where it is 0.
pub(super) fn swap(builder: &mut Builder, value: Value, bits: i32) {
    if bits != 0 {
        builder.from_network(value, bits);
    }
}

impl<'a> Given<'a> {
    /// Lets what is none of the list go on to `pass`: the program is there for all that leaves, the list is about what came in
    /// by another interface. What this machine sends came in by none (`skb_iif` of `struct sk_buff`, which
    /// `__netif_receive_skb_core` sets and `skb_scrub_packet` clears).
    pub(super) fn unless_passing(&self, builder: &mut Builder, pass: Block) {
        let hook = self.source.chain.hook;
        let (Some(came_in), true) = (self.code().came_in, hook.direction().passes()) else {
            return;
        };
        let came_in = builder.load(self.context, came_in, Width::W);
        builder.leave_if(came_in, JumpOp::Eq, 0, pass);
        let leaves = builder.load(self.context, skb::IFINDEX, Width::W);
        builder.leave_if(came_in, JumpOp::Eq, leaves, pass);
    }

    /// The code that is the hook's own.
    pub(super) fn code(&self) -> &'static Code {
        hook::code(self.source.chain.hook)
    }

    /// Whether malformed packets count as the default, which gets every packet.
    pub(super) fn is_uniform(&self) -> bool {
        self.source.chain.hook.is_packet() && self.source.counters.malformed.is_none()
    }

    /// Loads a field, in host order. A field that the hook cannot read never gets here: placement has kept
    /// it out of the chain.
    pub(super) fn read(&self, builder: &mut Builder, field: Field, family: Family) -> Value {
        let (value, bits) = self.load_field(builder, field, family);
        swap(builder, value, bits);
        match base(field) {
            0 => {}
            base => builder.alu(value, AluOp::Sub, base.cast_signed()),
        }
        value
    }

    /// Loads a word of an address as it stands in memory, in network order.
    pub(super) fn read_raw(&self, builder: &mut Builder, field: Field, family: Family) -> Value {
        self.load_field(builder, field, family).0
    }

    /// Loads what stands for a field; gives it, and the bits that are to be swapped from network order.
    pub(super) fn load_field(
        &self,
        builder: &mut Builder,
        field: Field,
        family: Family,
    ) -> (Value, i32) {
        let Some(load) = (self.code().field)(&self.frame, field, family) else {
            let hook = self.source.chain.hook;
            builder.bug(format!(
                "{field:?} is read at {hook:?}, which cannot read it"
            ));
            return (builder.imm(0), 0);
        };
        self.expect_used(builder, field);
        (self.load_at(builder, &load), load.swap)
    }

    /// What is read and was not foretold is nowhere: the prologue has not left it.
    pub(super) fn expect_used(&self, builder: &mut Builder, field: Field) {
        let by_prologue = matches!(self.code().head, Head::Frame(_));
        if by_prologue && !ALWAYS.contains(&field) && !self.used.contains(field) {
            builder.bug(format!("{field:?} is read and not among what is used"));
        }
    }

    /// Loads what stands at a place, as it stands there.
    pub(super) fn load_at(&self, builder: &mut Builder, load: &FieldLoad) -> Value {
        match load.base {
            Base::Stack(slot) => {
                let byte = builder.fit(load.offset, "the offset of a field");
                builder.load_slot(slot, byte, load.width)
            }
            Base::Context => builder.load(self.context, load.offset, load.width),
        }
    }

    /// The value of a map for the key in the slot `key`, else to `none`.
    pub(super) fn found(&self, builder: &mut Builder, map: MapId, none: Block) -> Value {
        let args = [Arg::Map(map), Arg::SlotAddress(self.frame.key)];
        let value = builder.call_value(Helper::MapLookupElem, &args);
        builder.leave_if_wide(value, JumpOp::Eq, 0, none);
        value
    }

    /// Leaves to `next` in a lookup that a packet program asked for: nothing is counted or logged there.
    pub(super) fn unless_asked(&self, builder: &mut Builder, next: Block) {
        if self.source.chain.hook.is_lookup() && self.source.maps.asking.is_some() {
            let asked = builder.load_slot(self.frame.asked, 0, Width::W);
            builder.leave_if(asked, JumpOp::Eq, frame::QUESTION, next);
        }
    }

    /// Where the index of a socket's first slot stands after it was looked for.
    pub(super) fn first_key(&self, socket: SocketId) -> Slot {
        match Sharing::of(&self.source.policy.sockets[socket]) {
            None => self.frame.key,
            Some(_) => self.frame.first_member,
        }
    }

    /// Looks whether a named socket is there for the packet's family and protocol. `none` as in [`Self::assign`].
    pub(super) fn slot_region(
        &self,
        builder: &mut Builder,
        (socket, family): (SocketId, Family),
        ends: [Block; 2],
        none: Block,
    ) {
        let sharing = Sharing::of(&self.source.policy.sockets[socket]);
        let key = self.first_key(socket);
        self.slot_key(builder, (socket, family), key, none);
        let places = sharing.map(|sharing| Places {
            count: sharing.places,
            first: key,
            hash: None,
            turn: builder.value(),
        });
        self.look_up(builder, (Give::Nothing, places), ends);
    }

    /// Gives the lookup the socket in the slot for its family and protocol; of a name without members. `none` is where a protocol goes
    /// that the policy declares no slot for.
    pub(super) fn assign(
        &self,
        builder: &mut Builder,
        (socket, family): (SocketId, Family),
        ends: [Block; 2],
        none: Block,
    ) {
        let give = Give::ToLookup {
            alone: self.source.policy.sockets[socket].pinned,
        };
        self.slot_key(builder, (socket, family), self.frame.key, none);
        self.look_up(builder, (give, None), ends);
    }

    /// Gives a member of a name away, the key of whose first slot the frame holds: the first one in the order of the flow that
    /// takes it.
    pub(super) fn members(
        &self,
        builder: &mut Builder,
        (sharing, give): (Sharing, Give),
        family: Family,
        ends: [Block; 2],
    ) {
        let places = Places {
            count: sharing.places,
            first: self.frame.first_member,
            hash: Some(self.hash(builder, sharing.spread, family)),
            turn: builder.value(),
        };
        self.look_up(builder, (give, Some(places)), ends);
    }

    /// Gives the packet the socket in the slot for its family and protocol, if it takes what is new; of a name without members. `none`
    /// as in [`Self::assign`].
    pub(super) fn hand_over(
        &self,
        builder: &mut Builder,
        (socket, family): (SocketId, Family),
        ends: [Block; 2],
        none: Block,
    ) {
        let slot = (self.frame.key, none);
        self.for_slot(builder, (socket, family), slot, |builder, protocol| {
            let give = Give::ToPacket(taking(protocol));
            self.look_up(builder, (give, None), ends);
        });
    }

    /// Looks into the slot whose index is in `key`, or into places.
    fn look_up(
        &self,
        builder: &mut Builder,
        (give, places): (Give, Option<Places>),
        [hit, miss]: [Block; 2],
    ) {
        let Some(map) = self.source.maps.sockets else {
            return builder.bug("a socket is looked for without the map of sockets");
        };
        let asked = give != Give::Nothing && self.source.maps.steered.is_some();
        let result = asked.then_some(self.frame.result);
        if let (Some(result), Some(missed)) = (result, Ending::Missed.result()) {
            builder.set_slot(result, 0, missed, Width::W);
        }
        let carrier = builder.value();
        builder.end(End::Slot(SlotRegion {
            map,
            key: self.frame.key,
            context: self.context,
            carrier,
            give,
            result,
            places,
            hit,
            miss,
        }));
    }

    /// Leaves the hash of the packet's flow in its slot ([`spread`]).
    fn hash(&self, builder: &mut Builder, spread: Spread, family: Family) -> Slot {
        let hash = builder.imm(spread::SEED.cast_signed());
        let multiplier = builder.imm(spread::MULTIPLIER.cast_signed());
        let mix = |builder: &mut Builder, word: Value| {
            builder.alu(hash, AluOp::Xor, word);
            builder.alu(hash, AluOp::Mul, multiplier);
            builder.assign(word, hash);
            builder.alu(word, AluOp::Rsh, spread::FOLD);
            builder.alu(hash, AluOp::Xor, word);
        };
        if spread == Spread::ByFlow {
            let ports = self.read(builder, Field::FromPort, family);
            builder.alu(ports, AluOp::Lsh, 16);
            let to = self.read(builder, Field::ToPort, family);
            builder.alu(ports, AluOp::Or, to);
            mix(builder, ports);
            let protocol = self.read(builder, Field::Protocol, family);
            mix(builder, protocol);
            for word in TO.into_iter().take(address_words(family)) {
                let word = self.read_raw(builder, word, family);
                mix(builder, word);
            }
        }
        for word in FROM.into_iter().take(address_words(family)) {
            let word = self.read_raw(builder, word, family);
            mix(builder, word);
        }
        builder.store_slot(self.frame.hash, 0, hash, Width::DW);
        self.frame.hash
    }

    /// Leaves the index of the socket's slot for the packet's protocol in `key`, or of its first one; `none` if the policy declares
    /// none.
    pub(super) fn slot_key(
        &self,
        builder: &mut Builder,
        (socket, family): (SocketId, Family),
        key: Slot,
        none: Block,
    ) {
        let ready = builder.block();
        let slot = (key, none);
        self.for_slot(builder, (socket, family), slot, |builder, _| {
            builder.jump(ready);
        });
        builder.enter(ready);
    }

    /// The same; `found` ends each way that leads to a slot, with the protocol that it is for.
    pub(super) fn for_slot(
        &self,
        builder: &mut Builder,
        (socket, family): (SocketId, Family),
        (key, none): (Slot, Block),
        found: impl Fn(&mut Builder, IpProtocol),
    ) {
        for &(slot_family, protocol, index) in &self.source.sockets[socket] {
            if slot_family != family {
                continue;
            }
            let there = builder.block();
            let packet_protocol = self.read(builder, Field::Protocol, Family::V4);
            builder.leave_if(packet_protocol, JumpOp::Eq, i32::from(protocol), there);
            let otherwise = builder.current();
            builder.enter(there);
            let index = builder.fit(index, "the slot of a socket");
            builder.set_slot(key, 0, index, Width::W);
            found(builder, protocol);
            builder.enter(otherwise);
        }
        builder.jump(none);
    }
}
