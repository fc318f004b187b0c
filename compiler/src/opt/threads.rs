//! Jumps to a block that only jumps on go where that one goes; a branch that goes to one block either way is a jump.

use crate::ir::{Block, End, Function};

pub(super) fn run(function: &mut Function, order: &[Block]) {
    for &block in order {
        let mut end = std::mem::replace(&mut function.blocks[block].end, End::Open);
        end.redirect(|target| destination(function, target));
        if let End::Branch { then, other, .. } = end
            && then == other
        {
            end = End::Jump(then);
        }
        function.blocks[block].end = end;
    }
}

/// Where a jump to a block ends. Jumps go forward, so this one does end.
fn destination(function: &Function, mut block: Block) -> Block {
    loop {
        let data = &function.blocks[block];
        match data.end {
            End::Jump(next) if data.insts.is_empty() => block = next,
            _ => return block,
        }
    }
}
