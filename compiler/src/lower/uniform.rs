//! A chain in which every packet gets the default, whatever it holds: only IP and what is not IP are told apart.
//!
//! Malformed packets get the default too, so they count as it, and nobody has to find out which they are. Not here: which
//! chains these are, which [`is_uniform`](super::is_uniform) says.

use crate::bpf::opcode::{AluOp, Width};
use crate::ir::{Block, End, FrameRegion};
use crate::policy::Family;

use super::Lowering;
use super::context::skb;
use super::outcome::Outcome;
use super::packet::Exits;

impl Lowering<'_> {
    /// Whether malformed packets count as the default, which gets every packet.
    pub(super) fn is_uniform(&self) -> bool {
        self.source.chain.hook.is_packet() && self.source.counters.malformed.is_none()
    }

    /// The whole function of such a chain.
    pub(super) fn uniform(&mut self) {
        let source = self.source;
        if !super::is_uniform(source.policy, source.chain, source.decision, source.counts) {
            self.builder
                .bug("malformed packets have no counter where rules decide");
        }
        let entry = self.builder.current();
        let not_ip = self.outcome(Outcome::Pass, Family::V4);
        let default = self.builder.fit(source.chain.entries.len(), "the default");
        let default = self.leaf(default, Family::V4);
        self.builder.set_origin(self.head);
        self.builder.enter(entry);
        if !self.is_buffered() {
            return self.uniform_frame(not_ip, default);
        }
        self.builder.end(End::Frame(FrameRegion {
            context: self.registers.context,
            cursor: self.registers.cursor,
            taken_off: skb::VLAN_PRESENT,
            kind: self.frame.ports,
            ip: default,
            other: not_ip,
        }));
    }

    /// XDP does not say how long a frame is: the IP header does, if the frame is as long.
    fn uniform_frame(&mut self, not_ip: Block, default: Block) {
        let empty = self.head_block();
        let exits = Exits {
            not_ip,
            malformed: empty,
            short: empty,
            short_frame: not_ip,
            v4: default,
            v6: default,
        };
        let families = self.frame_types(exits);
        for (block, (header, offset)) in families.into_iter().zip([(20, 2), (40, 4)]) {
            self.builder.enter(block);
            self.need(header, empty);
            let network = self.registers.network;
            let length = self.builder.load(network, offset, Width::H);
            self.builder.from_network(length, 16);
            if header == 40 {
                self.builder.alu(length, AluOp::Add, header);
            }
            self.packet_length(length, 0, exits);
            self.builder.jump(default);
        }
        self.builder.enter(empty);
        self.builder.set_slot(self.frame.length, 0, 0, Width::W);
        self.builder.jump(default);
    }
}
