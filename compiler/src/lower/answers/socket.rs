//! The socket question: which socket does the kernel's lookup for this packet find?
//!
//! The lookup uses `bpf_skc_lookup_tcp`, which also finds TIME_WAIT and unfinished handshakes, and `bpf_sk_lookup_udp`.
//! Both see sockets that an sk_lookup program steers to.

use crate::artifact::MapId;
use crate::bpf::constant::NEW_SYN_RECV;
use crate::bpf::opcode::{JumpOp, Width};
use crate::event::SocketAnswer;
use crate::field::Field;
use crate::ir::{Block, Builder, End, Slot, SocketRegion, Value};
use crate::policy::{Direction, Family, NetnsId};
use crate::protocol::IpProtocol;

use super::{Answers, Way};
use crate::lower::frame;

/// `TCP_ESTABLISHED`
const ESTABLISHED: i32 = 1;
/// `TCP_LISTEN`
const LISTEN: i32 = 10;

/// The size of `struct bpf_sock_tuple` with the addresses of a family.
fn tuple_size(family: Family) -> i32 {
    match family {
        Family::V4 => 12,
        Family::V6 => 36,
    }
}

impl Answers<'_> {
    /// Writes the lookup from the entry of each way on; with the answer in its slot, each ends in its `done`. It looks in
    /// the namespace `elsewhere` (with the map that knows the ids of namespaces), else in the interface's own.
    ///
    /// The families share the code but for their tuples. The size of the tuple says which one it is: a constant in a
    /// register, by which the verifier keeps them apart.
    pub(super) fn find_socket(
        &self,
        builder: &mut Builder,
        elsewhere: Option<(MapId, NetnsId)>,
        ways: &[Way],
    ) {
        let [ask, done] = [(); 2].map(|()| builder.block());
        let size = builder.value();
        for way in ways {
            builder.enter(way.entry);
            self.tuple(builder, way.family);
            builder.set(size, tuple_size(way.family).into());
            builder.jump(ask);
        }
        builder.enter(ask);
        self.socket_of_tuple(builder, elsewhere, size, done);
        builder.enter(done);
        let Some((last, others)) = ways.split_last() else {
            return builder.bug("a socket that nobody asks for");
        };
        for way in others {
            let bytes = tuple_size(way.family);
            builder.leave_if(size, JumpOp::Eq, bytes, way.done);
        }
        builder.jump(last.done);
    }

    fn socket_of_tuple(
        &self,
        builder: &mut Builder,
        elsewhere: Option<(MapId, NetnsId)>,
        size: Value,
        done: Block,
    ) {
        let ask = builder.current();
        let [none, listening, established] = [
            SocketAnswer::None,
            SocketAnswer::Listening,
            SocketAnswer::Established,
        ]
        .map(|answer| {
            let block = builder.fresh();
            builder.set_slot(self.given.frame.answer, 0, answer as i32, Width::B);
            builder.jump(done);
            block
        });
        builder.enter(ask);
        let netns = elsewhere.map(|(map, netns)| {
            self.namespace(builder, map, netns, none);
            self.given.frame.netns
        });
        self.has_socket(builder, none);
        self.region(builder, netns, size, none);
        // Neither finds a socket in a state that means something else to the other.
        for (state, then) in [
            (0, none),
            (ESTABLISHED, established),
            (LISTEN, listening),
            (NEW_SYN_RECV, listening),
        ] {
            let found = builder.load_slot(self.state(netns), 0, Width::B);
            builder.leave_if(found, JumpOp::Eq, state, then);
        }
        let protocol = builder.load_slot(self.given.frame.protocol, 0, Width::B);
        builder.leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::UDP), listening);
        builder.jump(established);
    }

    /// Leaves to `none` unless the packet has ports of TCP or UDP.
    fn has_socket(&self, builder: &mut Builder, none: Block) {
        let part = builder.load_slot(self.given.frame.fragment, 0, Width::B);
        builder.leave_if(part, JumpOp::Eq, frame::LATER, none);
        let ready = builder.block();
        let protocol = builder.load_slot(self.given.frame.protocol, 0, Width::B);
        builder.leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::UDP), ready);
        builder.leave_if(protocol, JumpOp::Ne, i32::from(IpProtocol::TCP), none);
        builder.jump(ready);
        builder.enter(ready);
    }

    /// Looks up and goes on in a fresh block.
    ///
    /// Meanwhile it says that this processor is in a lookup of this program. The kernel runs sk_lookup programs for that
    /// too, at once and on this processor, and what they count there would be counted again when the packet itself is
    /// looked up. The map is an array, so that the way to `none` is never taken.
    fn region(&self, builder: &mut Builder, netns: Option<Slot>, size: Value, none: Block) {
        let asking = self.given.source.maps.asking.map(|map| {
            builder.set_slot(self.given.frame.key, 0, 0, Width::W);
            self.given.found(builder, map, none)
        });
        self.say_asking(builder, asking, 1);
        let next = builder.block();
        builder.end(End::Socket(SocketRegion {
            context: self.given.context,
            protocol: self.given.frame.protocol,
            tuple: self.given.frame.tuple,
            size,
            netns,
            state: self.state(netns),
            next,
        }));
        builder.enter(next);
        self.say_asking(builder, asking, 0);
    }

    /// Where the state goes of what is found in a namespace; ends of the program read that of the own one.
    fn state(&self, netns: Option<Slot>) -> Slot {
        match netns {
            Some(_) => self.given.frame.elsewhere,
            None => self.given.frame.state,
        }
    }

    fn say_asking(&self, builder: &mut Builder, place: Option<Value>, asking: i64) {
        if let Some(place) = place {
            let asking = builder.imm(asking);
            builder.store(place, 0, asking, Width::DW);
        }
    }

    /// Fills the tuple in packet order; for packets that leave, as their answer would come.
    fn tuple(&self, builder: &mut Builder, family: Family) {
        for field in [Field::From0, Field::To0, Field::FromPort, Field::ToPort] {
            self.given.expect_used(builder, field);
        }
        let leaving = self.given.source.chain.hook.direction() == Direction::Out;
        let (first, second) = if leaving {
            (self.given.frame.to, self.given.frame.from)
        } else {
            (self.given.frame.from, self.given.frame.to)
        };
        let (width, steps, size) = match family {
            Family::V4 => (Width::W, 1, 4),
            Family::V6 => (Width::DW, 2, 16),
        };
        for (slot, start) in [(first, 0), (second, size)] {
            for step in 0..steps {
                let word = builder.load_slot(slot, step * 8, width);
                builder.store_slot(self.given.frame.tuple, start + step * 8, word, width);
            }
        }
        for (port, place) in [
            (0, if leaving { 2 } else { 0 }),
            (2, if leaving { 0 } else { 2 }),
        ] {
            let value = builder.load_slot(self.given.frame.ports, port, Width::H);
            builder.store_slot(self.given.frame.tuple, 2 * size + place, value, Width::H);
        }
    }
}
