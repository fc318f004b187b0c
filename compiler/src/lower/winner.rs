//! The question which bulk rule is the first that matches.
//!
//! The answer is the group of that rule; its counter is left in the slot `winner`, so that one leaf can count for all
//! rules of a group. Not here: what becomes of the packet, which the tree decides by the group.

use crate::bpf::opcode::{JumpOp, Width};
use crate::classifier::{Boxed, Member, Prefix, Protocols, Service, boxes};
use crate::field::Field;
use crate::hook::Hook;
use crate::ir::{Block, Slot};
use crate::policy::Family;

use super::packet::{FROM, TO};
use super::{Lowering, frame};

/// What the slot `winner` holds where no bulk rule matches: nobody reads it, but a slot that a path may read has to be
/// written (and a constant 0 would be a value to the verifier).
const NOBODY: i32 = 1;

impl Lowering<'_> {
    /// Leaves the winner's group as the answer, and its counter in the slot `winner`.
    pub(super) fn find_winner(&mut self, entry: Block, family: Family, done: Block) {
        let members = self.source.members;
        let Some(slot) = self.frame.winner else {
            return self.no_answer(Field::Winner, entry, done);
        };
        self.builder.enter(entry);
        for member in members {
            let boxes = boxes(member.matches, family);
            if boxes.is_empty() {
                continue;
            }
            let found = self.builder.block();
            for one in &boxes {
                self.leave_if_inside(one, family, found);
            }
            let behind = self.builder.current();
            self.builder.enter(found);
            self.win(slot, member, done);
            self.builder.enter(behind);
        }
        self.builder.set_slot(slot, 0, NOBODY, Width::W);
        self.builder.set_slot(self.frame.answer, 0, 1, Width::W);
        self.builder.jump(done);
    }

    fn win(&mut self, slot: Slot, member: &Member<'_>, done: Block) {
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        self.builder
            .set_slot(slot, 0, number(member.slot), Width::W);
        self.builder
            .set_slot(self.frame.answer, 0, number(member.group + 1), Width::W);
        self.builder.jump(done);
    }

    /// Leaves to `found` if the packet lies in the box; goes on in a fresh block otherwise.
    fn leave_if_inside(&mut self, one: &Boxed, family: Family, found: Block) {
        let outside = self.builder.block();
        self.leave_if_no_service(&one.service, family, outside);
        self.leave_if_beyond(one.from, FROM, family, outside);
        self.leave_if_beyond(one.to, TO, family, outside);
        self.builder.jump(found);
        self.builder.enter(outside);
    }

    fn leave_if_no_service(&mut self, service: &Service, family: Family, outside: Block) {
        let probe = self.registers.probe;
        // A lookup is made for whole datagrams only.
        if service.needs_ports && self.source.chain.hook != Hook::SkLookup {
            let part = self.builder.load_slot(self.frame.part, 0, Width::B);
            self.builder
                .leave_if(part, JumpOp::Eq, frame::LATER, outside);
        }
        if service.protocols != Protocols::ALL {
            let known = self.builder.block();
            self.read(probe, Field::Protocol, family);
            let numbers = (0..=u8::MAX).filter(|&number| service.protocols.contains(number));
            for number in numbers {
                self.builder
                    .leave_if(probe, JumpOp::Eq, i32::from(number), known);
            }
            self.builder.jump(outside);
            self.builder.enter(known);
        }
        if service.needs_ports {
            for (field, (low, high)) in
                [(Field::FromPort, service.from), (Field::ToPort, service.to)]
            {
                self.read(probe, field, family);
                self.builder
                    .leave_if(probe, JumpOp::Lt, i32::from(low), outside);
                self.builder
                    .leave_if(probe, JumpOp::Gt, i32::from(high), outside);
            }
        }
    }

    fn leave_if_beyond(
        &mut self,
        prefix: Prefix,
        words: [Field; 4],
        family: Family,
        outside: Block,
    ) {
        let width = if family == Family::V4 { 32 } else { 128 };
        let rest = width - u32::from(prefix.length);
        let first = prefix.address;
        let last = first | 1u128.checked_shl(rest).unwrap_or(0).wrapping_sub(1);
        let probe = self.registers.probe;
        for (index, field) in (0..width / 32).zip(words) {
            let shift = width - 32 - 32 * index;
            let word = |address: u128| (address >> shift) as u32;
            let (low, high) = (word(first), word(last));
            if (low, high) == (0, u32::MAX) {
                break;
            }
            self.read(probe, field, family);
            self.builder
                .leave_if(probe, JumpOp::Lt, low.cast_signed(), outside);
            self.builder
                .leave_if(probe, JumpOp::Gt, high.cast_signed(), outside);
        }
    }
}
