//! Fields as numbers, wherever a hook has them ([`super::hook`]).

use crate::bpf::opcode::AluOp;
use crate::field::Field;
use crate::ir::Value;
use crate::policy::Family;

use super::hook::code;
use super::{Lowering, frame, header};

/// What stands for the field's value 0.
pub(super) fn base(field: Field) -> u32 {
    match field {
        Field::Fragment => frame::WHOLE.cast_unsigned(),
        Field::Vlan => header::UNTAGGED.cast_unsigned(),
        _ => 0,
    }
}

impl Lowering<'_> {
    /// Loads a field, in host order. A field that the hook cannot read never gets here: placement has kept
    /// it out of the chain.
    pub(super) fn read(&mut self, field: Field, family: Family) -> Value {
        let (value, swap) = self.load_field(field, family);
        self.swap(value, swap);
        match base(field) {
            0 => {}
            base => self.builder.alu(value, AluOp::Sub, base.cast_signed()),
        }
        value
    }

    /// Turns so many bits from network order into host order; none where it is 0.
    pub(super) fn swap(&mut self, value: Value, bits: i32) {
        if bits != 0 {
            self.builder.from_network(value, bits);
        }
    }

    /// Loads a word of an address as it stands in memory, in network order.
    pub(super) fn read_raw(&mut self, field: Field, family: Family) -> Value {
        self.load_field(field, family).0
    }

    /// Loads what stands for a field; gives it, and the bits that are to be swapped from network order.
    pub(super) fn load_field(&mut self, field: Field, family: Family) -> (Value, i32) {
        let hook = self.source.chain.hook;
        let place = (code(hook).field)(self, field, family);
        let Some(place) = place else {
            self.builder.bug(format!(
                "{field:?} is read at {hook:?}, which cannot read it"
            ));
            return (self.builder.imm(0), 0);
        };
        (self.load_at(&place), place.swap)
    }
}
