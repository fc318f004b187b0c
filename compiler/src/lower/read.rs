//! Fields as numbers, wherever a hook has them ([`super::hook`]).

use crate::bpf::opcode::AluOp;
use crate::field::Field;
use crate::ir::Value;
use crate::policy::Family;

use super::hook::code;
use super::{Lowering, frame, header};

impl Lowering<'_> {
    /// Loads a field into `dst`, in host order. A field that the hook cannot read never gets here: placement has kept
    /// it out of the chain.
    pub(super) fn read(&mut self, dst: Value, field: Field, family: Family) {
        let swap = self.load_field(dst, field, family);
        if swap != 0 {
            self.builder.from_network(dst, swap);
        }
        let above = match field {
            Field::Fragment => frame::WHOLE,
            Field::Vlan => header::UNTAGGED,
            _ => return,
        };
        self.builder.alu(dst, AluOp::Sub, above);
    }

    /// Loads a word of an address into `dst` as it stands in memory, in network order.
    pub(super) fn read_raw(&mut self, dst: Value, field: Field, family: Family) {
        self.load_field(dst, field, family);
    }

    /// Loads what stands for a field; gives the bits that are to be swapped from network order.
    fn load_field(&mut self, dst: Value, field: Field, family: Family) -> i32 {
        let hook = self.source.chain.hook;
        let place = (code(hook).field)(self, field, family);
        let Some(place) = place else {
            self.builder.bug(format!(
                "{field:?} is read at {hook:?}, which cannot read it"
            ));
            self.builder.set(dst, 0);
            return 0;
        };
        self.load_at(dst, &place);
        place.swap
    }
}
