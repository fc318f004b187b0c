//! The socket question: which socket does the kernel's lookup for this packet find?
//!
//! The lookup uses `bpf_skc_lookup_tcp`, which also finds TIME_WAIT and unfinished handshakes, and `bpf_sk_lookup_udp`.
//! Both see sockets that an sk_lookup program steers to.

use crate::artifact::MapId;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::event::SocketAnswer;
use crate::ir::{Block, End, Slot, SocketRegion, Value};
use crate::policy::{Direction, Family, NetnsId};
use crate::protocol::IpProtocol;

use super::{Lowering, frame};

/// `TCP_ESTABLISHED`
const ESTABLISHED: i32 = 1;
/// `TCP_LISTEN`
const LISTEN: i32 = 10;
/// `TCP_NEW_SYN_RECV`
const NEW_SYN_RECV: i32 = 12;

/// The size of `struct bpf_sock_tuple` with the addresses of a family.
fn tuple_size(family: Family) -> i32 {
    match family {
        Family::V4 => 12,
        Family::V6 => 36,
    }
}

/// From where a family asks, and where it goes on.
pub(super) struct Way {
    pub(super) family: Family,
    pub(super) entry: Block,
    pub(super) done: Block,
}

impl Lowering<'_> {
    /// Writes the lookup from the entry of each way on; with the answer in its slot, each ends in its `done`. It looks in
    /// the namespace `elsewhere` (with the map that knows the ids of namespaces), else in the interface's own.
    ///
    /// The families share the code but for their tuples. The size of the tuple says which one it is: a constant in a
    /// register, by which the verifier keeps them apart.
    pub(super) fn find_socket(&mut self, elsewhere: Option<(MapId, NetnsId)>, ways: &[Way]) {
        let [ask, done] = [(); 2].map(|()| self.builder.block());
        let size = self.builder.value();
        for way in ways {
            self.builder.enter(way.entry);
            self.tuple(way.family);
            self.builder.set(size, tuple_size(way.family).into());
            self.builder.jump(ask);
        }
        self.builder.enter(ask);
        self.socket_of_tuple(elsewhere, size, done);
        self.builder.enter(done);
        let Some((last, others)) = ways.split_last() else {
            return self.builder.bug("a socket that nobody asks for");
        };
        for way in others {
            let bytes = tuple_size(way.family);
            self.builder.leave_if(size, JumpOp::Eq, bytes, way.done);
        }
        self.builder.jump(last.done);
    }

    fn socket_of_tuple(&mut self, elsewhere: Option<(MapId, NetnsId)>, size: Value, done: Block) {
        let ask = self.builder.current();
        let [none, listening, established] = [
            SocketAnswer::None,
            SocketAnswer::Listening,
            SocketAnswer::Established,
        ]
        .map(|answer| {
            let block = self.builder.fresh();
            self.builder
                .set_slot(self.frame.answer, 0, answer as i32, Width::B);
            self.builder.jump(done);
            block
        });
        self.builder.enter(ask);
        let netns = elsewhere.map(|(map, netns)| {
            self.namespace(map, netns, none);
            self.frame.netns
        });
        self.has_socket(none);
        self.region(netns, size, none);
        // Neither finds a socket in a state that means something else to the other.
        for (state, then) in [
            (0, none),
            (ESTABLISHED, established),
            (LISTEN, listening),
            (NEW_SYN_RECV, listening),
        ] {
            let found = self.builder.load_slot(self.frame.state, 0, Width::B);
            self.builder.leave_if(found, JumpOp::Eq, state, then);
        }
        let protocol = self.builder.load_slot(self.frame.protocol, 0, Width::B);
        self.builder
            .leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::UDP), listening);
        self.builder.jump(established);
    }

    /// Leaves to `none` unless the packet has ports of TCP or UDP.
    fn has_socket(&mut self, none: Block) {
        let part = self.builder.load_slot(self.frame.fragment, 0, Width::B);
        self.builder.leave_if(part, JumpOp::Eq, frame::LATER, none);
        let ready = self.builder.block();
        let protocol = self.builder.load_slot(self.frame.protocol, 0, Width::B);
        self.builder
            .leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::UDP), ready);
        self.builder
            .leave_if(protocol, JumpOp::Ne, i32::from(IpProtocol::TCP), none);
        self.builder.jump(ready);
        self.builder.enter(ready);
    }

    /// Looks up and goes on in a fresh block.
    ///
    /// Meanwhile it says that this processor is in a lookup of this program. The kernel runs sk_lookup programs for that
    /// too, at once and on this processor, and what they count there would be counted again when the packet itself is
    /// looked up. The map is an array, so that the way to `none` is never taken.
    fn region(&mut self, netns: Option<Slot>, size: Value, none: Block) {
        let asking = self.source.maps.asking.map(|map| {
            self.builder.set_slot(self.frame.key, 0, 0, Width::W);
            self.found(map, none)
        });
        self.say_asking(asking, 1);
        let next = self.builder.block();
        self.builder.end(End::Socket(SocketRegion {
            context: self.registers.context,
            protocol: self.frame.protocol,
            tuple: self.frame.tuple,
            size,
            netns,
            state: self.frame.state,
            next,
        }));
        self.builder.enter(next);
        self.say_asking(asking, 0);
    }

    fn say_asking(&mut self, place: Option<Value>, asking: i64) {
        if let Some(place) = place {
            let asking = self.builder.imm(asking);
            self.builder.store(place, 0, asking, Width::DW);
        }
    }

    /// Keeps who a lookup is for. Called once, at the beginning of a lookup.
    pub(super) fn keep_asked(&mut self) {
        let Some(map) = self.source.maps.asking else {
            return;
        };
        let after = self.head_block();
        self.builder
            .set_slot(self.frame.asked, 0, frame::PACKET, Width::W);
        self.builder.set_slot(self.frame.key, 0, 0, Width::W);
        let place = self.found(map, after);
        let asking = self.builder.load(place, 0, Width::W);
        self.builder.alu(asking, AluOp::Add, frame::PACKET);
        self.builder
            .store_slot(self.frame.asked, 0, asking, Width::W);
        self.builder.jump(after);
        self.builder.enter(after);
    }

    /// Leaves to `next` in a lookup that a packet program asked for: nothing is counted or logged there.
    pub(super) fn unless_asked(&mut self, next: Block) {
        if self.source.chain.hook.is_lookup() && self.source.maps.asking.is_some() {
            let asked = self.builder.load_slot(self.frame.asked, 0, Width::W);
            self.builder
                .leave_if(asked, JumpOp::Eq, frame::QUESTION, next);
        }
    }

    /// Fills the tuple in packet order; for packets that leave, as their answer would come.
    fn tuple(&mut self, family: Family) {
        let leaving = self.source.chain.hook.direction() == Direction::Out;
        let (first, second) = if leaving {
            (self.frame.to, self.frame.from)
        } else {
            (self.frame.from, self.frame.to)
        };
        let (width, steps, size) = match family {
            Family::V4 => (Width::W, 1, 4),
            Family::V6 => (Width::DW, 2, 16),
        };
        for (slot, start) in [(first, 0), (second, size)] {
            for step in 0..steps {
                let word = self.builder.load_slot(slot, step * 8, width);
                self.builder
                    .store_slot(self.frame.tuple, start + step * 8, word, width);
            }
        }
        for (port, place) in [
            (0, if leaving { 2 } else { 0 }),
            (2, if leaving { 0 } else { 2 }),
        ] {
            let value = self.builder.load_slot(self.frame.ports, port, Width::H);
            self.builder
                .store_slot(self.frame.tuple, 2 * size + place, value, Width::H);
        }
    }
}
