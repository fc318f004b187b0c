//! What a live map has for the packet, asked of its trie. Programs come here where the map holds what its table cannot (see
//! [`LiveMapPlan`](crate::artifact::LiveMapPlan), where the layout stands).

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::entry_table::TRIE_SIDE;
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::policy::Family;

use super::Answers;
use super::entry::LiveMapMaps;
use super::live::family_key;
use crate::lower::TO;

/// The bits of a key before the address: port class, protocol, family and side.
const HEAD_BITS: i32 = 64;

impl Answers<'_> {
    /// Leaves the answer. The key is first looked up with the class of the receiver's port, then with the one that stands for
    /// every port; the longer prefix wins.
    pub(super) fn find_in_trie(
        &self,
        builder: &mut Builder,
        (maps, word): (LiveMapMaps, Value),
        family: Family,
        [none, done]: [Block; 2],
    ) {
        // Values are loaded whole: the socket in the lower half, the prefix's length in the upper one. 0 is no entry.
        let chosen = builder.value();
        let [every_port, second, end] = [(); 3].map(|()| builder.block());
        let side = word;
        builder.alu(side, AluOp::And, TRIE_SIDE.cast_signed());
        builder.alu(
            side,
            AluOp::Lsh,
            16 - TRIE_SIDE.trailing_zeros().cast_signed(),
        );
        self.trie_key(builder, side, family);
        let port = self.given.read(builder, Field::ToPort, family);
        builder.alu(port, AluOp::Or, side);
        builder.store_slot(self.given.frame.key, 0, port, Width::W);
        let found = self.given.found(builder, maps.classes, none);
        // First the class: without one, which is 0, there is no entry of the port.
        builder.load_to(chosen, found, 0, Width::W);
        builder.store_slot(self.given.frame.prefix, 4, chosen, Width::W);
        builder.leave_if_wide(chosen, JumpOp::Eq, 0, every_port);
        let found = self.look_up_prefix(builder, maps.trie);
        builder.assign(chosen, found);
        builder.leave_if_wide(chosen, JumpOp::Eq, 0, every_port);
        builder.load_to(chosen, chosen, 0, Width::DW);
        builder.jump(every_port);

        builder.enter(every_port);
        builder.set_slot(self.given.frame.prefix, 4, -1, Width::W);
        let other = self.look_up_prefix(builder, maps.trie);
        builder.leave_if_wide(other, JumpOp::Eq, 0, end);
        builder.load_to(other, other, 0, Width::DW);
        builder.leave_if_wide(chosen, JumpOp::Eq, 0, second);
        let [length, longest] = [other, chosen].map(|value| builder.copy(value));
        builder.alu(length, AluOp::Rsh, 32);
        builder.alu(longest, AluOp::Rsh, 32);
        builder.leave_if(length, JumpOp::Gt, longest, second);
        builder.jump(end);

        builder.enter(second);
        builder.assign(chosen, other);
        builder.jump(end);

        builder.enter(end);
        let answer = builder.copy(chosen);
        builder.alu(answer, AluOp::Add, 1);
        builder.store_slot(self.given.frame.answer, 0, answer, Width::W);
        builder.jump(done);
    }

    /// Writes the key of a packet but for its port class; the side stands 16 bits up. What stands after an IPv4 address does
    /// not matter.
    fn trie_key(&self, builder: &mut Builder, side: Value, family: Family) {
        let key = self.given.frame.prefix;
        let (number, bits) = family_key(family);
        builder.set_slot(key, 0, HEAD_BITS + bits, Width::W);
        let protocol = self.given.read(builder, Field::Protocol, family);
        builder.alu(protocol, AluOp::Or, number << 8);
        builder.alu(protocol, AluOp::Or, side);
        builder.store_slot(key, 8, protocol, Width::W);
        for (byte, word) in [12u8, 16, 20, 24].into_iter().zip(TO) {
            let field = if family == Family::V4 { TO[0] } else { word };
            let part = self.given.read_raw(builder, field, family);
            builder.store_slot(key, byte, part, Width::W);
        }
    }
}
