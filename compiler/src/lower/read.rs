//! Fields as numbers, wherever a hook has them ([`super::hook`]).

use crate::bpf::opcode::AluOp;
use crate::field::Field;
use crate::ir::Value;
use crate::policy::Family;

use super::hook::code;
use super::{Lowering, frame, header};

impl Lowering<'_> {
    /// Loads a field, in host order. A field that the hook cannot read never gets here: placement has kept
    /// it out of the chain.
    pub(super) fn read(&mut self, field: Field, family: Family) -> Value {
        let (value, swap) = self.load_field(field, family);
        if swap != 0 {
            self.builder.from_network(value, swap);
        }
        let above = match field {
            Field::Fragment => frame::WHOLE,
            Field::Vlan => header::UNTAGGED,
            _ => return value,
        };
        self.builder.alu(value, AluOp::Sub, above);
        value
    }

    /// Loads a word of an address as it stands in memory, in network order.
    pub(super) fn read_raw(&mut self, field: Field, family: Family) -> Value {
        self.load_field(field, family).0
    }

    /// Loads what stands for a field; gives it, and the bits that are to be swapped from network order.
    fn load_field(&mut self, field: Field, family: Family) -> (Value, i32) {
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
