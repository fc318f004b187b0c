//! connect: the context has the address that the call names. It holds what the process wrote, in network order.
//!
//! What is decided is whom the process reaches by that, as [`crate::values::addresses::reached`] says it. The kernel makes a
//! loopback address of an unspecified one after these programs have run, or the address that the socket is bound to; so that it
//! is the one that was decided about, they write it into the call themselves.
//!
//! The kernel runs these programs in the calling process, which a preemptible kernel may take off its CPU.

use std::net::Ipv4Addr;

use super::{Code, Place, address, context};
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::Block;
use crate::lower::Lowering;
use crate::lower::outcome::Outcome;
use crate::lower::stream::mapped;
use crate::policy::Family;

/// `struct bpf_sock_addr`
mod addr {
    pub(super) const USER_IP4: i16 = 4;
    pub(super) const USER_IP6: i16 = 8;
    pub(super) const USER_PORT: i16 = 24;
    pub(super) const PROTOCOL: i16 = 36;
}

/// 127.0.0.1
const LOOPBACK4: [u8; 4] = Ipv4Addr::LOCALHOST.octets();
/// The last word of ::1.
const LOOPBACK6: [u8; 4] = [0, 0, 0, 1];

/// The calls of IPv4: programs there may read no IPv6 address.
pub(super) static V4: Code = Code {
    open: |lowering| lowering.open_call(false),
    field: |_, field, _| found(field, addr::USER_IP4),
    size: |_| None,
    noted: &[],
    preemptible: true,
    reach: None,
};

/// The calls of IPv6. An address that stands for one of IPv4 counts as that, which is its last four bytes.
pub(super) static V6: Code = Code {
    open: |lowering| lowering.open_call(true),
    field: |_, field, family| match family {
        Family::V4 => found(field, addr::USER_IP6 + 12),
        Family::V6 => found(field, addr::USER_IP6),
    },
    ..V4
};

/// Nothing is known of the sender.
fn found(field: Field, to: i16) -> Option<Place> {
    match field {
        Field::Protocol => context(addr::PROTOCOL, Width::W, 0),
        Field::ToPort => context(addr::USER_PORT, Width::W, 16),
        Field::To0 | Field::To1 | Field::To2 | Field::To3 => {
            context(address(field, 0, to)?, Width::W, 32)
        }
        _ => None,
    }
}

impl Lowering<'_> {
    /// The whole function of a call. Sockets of other protocols (ping, UDP-Lite, MPTCP) are let go.
    fn open_call(&mut self, v6: bool) {
        let entry = self.builder.current();
        let families: &[Family] = if v6 {
            &[Family::V4, Family::V6]
        } else {
            &[Family::V4]
        };
        let trees: Vec<_> = families.iter().map(|family| self.decide(*family)).collect();
        families.iter().for_each(|family| self.finish(*family));
        self.answer_all();
        let pass = self.outcome(Outcome::Pass, Family::V4);
        let known = self.head_block();
        self.builder.enter(entry);
        let (context, probe) = (self.registers.context, self.registers.probe);
        self.builder
            .load_to(probe, context, addr::PROTOCOL, Width::W);
        for number in self.source.chain.hook.spec().sees.protocols {
            self.builder
                .leave_if(probe, JumpOp::Eq, i32::from(number.0), known);
        }
        self.builder.jump(pass);
        self.builder.enter(known);
        match *trees.as_slice() {
            [v4] => self.decide_reached(addr::USER_IP4, LOOPBACK4, v4),
            [v4, v6] => {
                let other = self.head_block();
                mapped(&mut self.builder, context, addr::USER_IP6, other);
                self.decide_reached(addr::USER_IP6 + 12, LOOPBACK4, v4);
                self.builder.enter(other);
                for word in [0, 4, 8] {
                    self.builder
                        .load_to(probe, context, addr::USER_IP6 + word, Width::W);
                    self.builder.leave_if(probe, JumpOp::Ne, 0, v6);
                }
                self.decide_reached(addr::USER_IP6 + 12, LOOPBACK6, v6);
            }
            _ => {
                self.builder.bug("the families of a call");
            }
        }
    }

    /// Goes to the tree of an address whose last word is at `offset`; one that is 0 there is unspecified, and becomes loopback.
    fn decide_reached(&mut self, offset: i16, loopback: [u8; 4], tree: Block) {
        let (context, probe) = (self.registers.context, self.registers.probe);
        self.builder.load_to(probe, context, offset, Width::W);
        self.builder.leave_if(probe, JumpOp::Ne, 0, tree);
        self.builder
            .set(probe, i64::from(i32::from_le_bytes(loopback)));
        self.builder.store(context, offset, probe, Width::W);
        self.builder.jump(tree);
    }
}
