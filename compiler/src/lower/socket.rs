//! The socket question: which socket does the kernel's lookup for this packet find?
//!
//! The lookup uses `bpf_skc_lookup_tcp`, which also finds TIME_WAIT and unfinished handshakes, and `bpf_sk_lookup_udp`.
//! Both see sockets that an sk_lookup program steers to.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::event::SocketAnswer;
use crate::hook::Hook;
use crate::ir::{Block, End, Slot, SocketRegion};
use crate::policy::{Family, NetnsId};
use crate::protocol::IpProtocol;

use super::{Lowering, frame};

/// `TCP_ESTABLISHED`
const ESTABLISHED: i32 = 1;
/// `TCP_LISTEN`
const LISTEN: i32 = 10;
/// `TCP_NEW_SYN_RECV`
const NEW_SYN_RECV: i32 = 12;

impl Lowering<'_> {
    /// Writes the lookup from the block `entry` on; every way ends in `done`, with the answer in its slot. It looks in
    /// the namespace `elsewhere` (with the map that knows the ids of namespaces), else in the interface's own.
    pub(super) fn find_socket(
        &mut self,
        elsewhere: Option<(MapId, NetnsId)>,
        entry: Block,
        family: Family,
        done: Block,
    ) {
        let [none, listening, established] = [
            SocketAnswer::None,
            SocketAnswer::Listening,
            SocketAnswer::Established,
        ]
        .map(|answer| {
            let block = self.builder.block();
            self.builder.enter(block);
            self.builder
                .set_slot(self.frame.answer, 0, answer as i32, Width::B);
            self.builder.jump(done);
            block
        });
        self.builder.enter(entry);
        let netns = elsewhere.map(|(map, netns)| {
            self.namespace(map, netns, none);
            self.frame.netns
        });
        let part = self.builder.load_slot(self.frame.fragment, 0, Width::B);
        self.builder.leave_if(part, JumpOp::Eq, frame::LATER, none);
        let protocol = self.builder.load_slot(self.frame.protocol, 0, Width::B);
        let udp = self.builder.block();
        self.builder
            .leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::UDP), udp);
        let protocol = self.builder.load_slot(self.frame.protocol, 0, Width::B);
        self.builder
            .leave_if(protocol, JumpOp::Ne, i32::from(IpProtocol::TCP), none);
        self.region(Helper::SkcLookupTcp, netns, family);
        let state = self.builder.load_slot(self.frame.state, 0, Width::B);
        self.state_is(state, 0, none);
        self.state_is_again(LISTEN, listening);
        self.state_is_again(NEW_SYN_RECV, listening);
        self.builder.jump(established);
        self.builder.enter(udp);
        self.region(Helper::SkLookupUdp, netns, family);
        let state = self.builder.load_slot(self.frame.state, 0, Width::B);
        self.state_is(state, 0, none);
        self.state_is_again(ESTABLISHED, established);
        self.builder.jump(listening);
    }

    fn state_is(&mut self, state: crate::ir::Value, value: i32, then: Block) {
        self.builder.leave_if(state, JumpOp::Eq, value, then);
    }

    fn state_is_again(&mut self, value: i32, then: Block) {
        let state = self.builder.load_slot(self.frame.state, 0, Width::B);
        self.state_is(state, value, then);
    }

    /// Fills the tuple in packet order (for packets that leave, as their answer would come), looks up and goes on in a
    /// fresh block.
    fn region(&mut self, helper: Helper, netns: Option<Slot>, family: Family) {
        self.tuple(family);
        self.set_asking(1);
        let next = self.builder.block();
        self.builder.end(End::Socket(SocketRegion {
            helper,
            context: self.registers.context,
            tuple: self.frame.tuple,
            size: match family {
                Family::V4 => 12,
                Family::V6 => 36,
            },
            netns,
            state: self.frame.state,
            next,
        }));
        self.builder.enter(next);
        self.set_asking(0);
    }

    /// Says whether this processor is in a lookup of this program. The kernel runs sk_lookup programs for that too, at once
    /// and on this processor, and what they count there would be counted again when the packet itself is looked up.
    fn set_asking(&mut self, asking: i32) {
        let Some(map) = self.source.maps.asking else {
            return;
        };
        let after = self.head_block();
        self.builder.set_slot(self.frame.key, 0, 0, Width::W);
        let place = self.found(map, after);
        let asking = self.builder.imm(i64::from(asking));
        self.builder.store(place, 0, asking, Width::DW);
        self.builder.jump(after);
        self.builder.enter(after);
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
        if self.source.chain.hook == Hook::SkLookup && self.source.maps.asking.is_some() {
            let asked = self.builder.load_slot(self.frame.asked, 0, Width::W);
            self.builder
                .leave_if(asked, JumpOp::Eq, frame::QUESTION, next);
        }
    }

    fn tuple(&mut self, family: Family) {
        let leaving = self.source.chain.hook == Hook::TcOut;
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
