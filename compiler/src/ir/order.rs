//! The order blocks are laid out in: reverse post-order, so that every jump goes forward.

use cranelift_entity::{EntitySet, SecondaryMap};

use super::{Block, Function};

/// The blocks that can be reached, each after every block that goes to it; `None` if there is a cycle.
#[must_use]
pub(crate) fn forward_order(function: &Function) -> Option<Vec<Block>> {
    let mut finished = EntitySet::new();
    let mut order = Vec::with_capacity(function.blocks.len());
    let mut stack = vec![(function.entry, 0)];
    let mut begun = EntitySet::new();
    begun.insert(function.entry);
    while let Some((block, next)) = stack.pop() {
        // The successor visited last comes right after its block: the one taken when a comparison does not hold.
        let mut successors = function.blocks[block].end.successors();
        successors.reverse();
        if let Some(&successor) = successors.get(next) {
            stack.push((block, next + 1));
            if begun.insert(successor) {
                stack.push((successor, 0));
            }
        } else {
            finished.insert(block);
            order.push(block);
        }
    }
    order.reverse();
    goes_forward(function, &order).then_some(order)
}

fn goes_forward(function: &Function, order: &[Block]) -> bool {
    let mut position = SecondaryMap::with_default(usize::MAX);
    for (index, &block) in order.iter().enumerate() {
        position[block] = index;
    }
    order.iter().all(|&block| {
        let here = position[block];
        function.blocks[block]
            .end
            .successors()
            .iter()
            .all(|&successor| position[successor] > here)
    })
}
