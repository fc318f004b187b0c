//! A chain in which every packet gets the default, whatever it holds: only IP and what is not IP are told apart.
//!
//! Malformed packets get the default too, so they count as it, and nobody has to find out which they are. Not here: which
//! chains these are, which [`is_uniform`](crate::lower::is_uniform) says.

use crate::bpf::opcode::{AluOp, Width};
use crate::ir::{Builder, End, FrameRegion};

use super::{Exits, Prologue};
use crate::lower::context::skb;

impl Prologue<'_> {
    /// Leads to the default, or lets go what is not IP.
    pub(in crate::lower) fn uniform(&self, builder: &mut Builder) {
        if !self.reach.buffered {
            return self.uniform_frame(builder);
        }
        builder.end(End::Frame(FrameRegion {
            context: self.given.context,
            cursor: self.cursor,
            taken_off: skb::VLAN_PRESENT,
            kind: self.given.frame.ports,
            ip: self.exits.v4,
            other: self.exits.not_ip,
        }));
    }

    /// XDP does not say how long a frame is: the IP header does, if the frame is as long.
    fn uniform_frame(&self, builder: &mut Builder) {
        let (empty, default) = (builder.head_block(), self.exits.v4);
        let pass = self.leaving_to(Exits {
            malformed: empty,
            short: empty,
            ..self.exits
        });
        let families = pass.frame_types(builder);
        for (block, (header, offset)) in families.into_iter().zip([(20, 2), (40, 4)]) {
            builder.enter(block);
            pass.need(builder, header, empty);
            let network = self.network;
            let length = builder.load(network, offset, Width::H);
            builder.from_network(length, 16);
            if header == 40 {
                builder.alu(length, AluOp::Add, header);
            }
            pass.packet_length(builder, length, 0);
            builder.jump(default);
        }
        builder.enter(empty);
        builder.set_slot(self.given.frame.length, 0, 0, Width::W);
        builder.jump(default);
    }
}
