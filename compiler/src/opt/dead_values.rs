//! Values that nobody reads are not calculated.

use cranelift_entity::SecondaryMap;

use crate::ir::{Block, Function, Inst, Live};

pub(super) fn run(function: &mut Function, order: &[Block]) {
    let mut before: SecondaryMap<Block, Live> = SecondaryMap::new();
    for &block in order.iter().rev() {
        let data = &mut function.blocks[block];
        let mut live = Live::before_end(&data.end, &before);
        let mut kept = Vec::with_capacity(data.insts.len());
        for inst in data.insts.drain(..).rev() {
            let written = inst.writes();
            if is_pure(&inst) && written.is_some_and(|value| !live.contains(value)) {
                continue;
            }
            live.step(&inst);
            kept.push(inst);
        }
        kept.reverse();
        data.insts = kept;
        before[block] = live;
    }
}

/// Whether an instruction does nothing but write its value.
fn is_pure(inst: &Inst) -> bool {
    match inst {
        Inst::Imm { .. }
        | Inst::Copy { .. }
        | Inst::Alu { .. }
        | Inst::FromNetwork { .. }
        | Inst::Load { .. }
        | Inst::LoadSlot { .. }
        | Inst::MapValue { .. } => true,
        Inst::Argument { .. }
        | Inst::Store { .. }
        | Inst::StoreSlot { .. }
        | Inst::SetSlot { .. }
        | Inst::AtomicAdd { .. }
        | Inst::CompareExchange { .. }
        | Inst::Call { .. } => false,
    }
}
