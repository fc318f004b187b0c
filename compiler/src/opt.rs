//! Passes over IR: each leaves alone what a function means, and makes it smaller.
//!
//! Takes what `lower` built; gives the same function with less in it. The passes stand in a list and run in its order, once.
//! Control flow only goes forward, so that each is one walk, from the end where it asks what is still needed. Not here:
//! blocks that nothing leads to, which are laid out nowhere.
//!
//! A pass may remove a store only where no way reads its bytes: before Linux 6.3 the verifier refuses to read stack that
//! some way has not written. None may put a constant where a slot hid one from the verifier (`Builder::opaque_slot`).

mod dead_stores;
mod dead_values;
mod reloads;
#[cfg(test)]
mod tests;
mod threads;

use crate::ir::{Block, Function, forward_order};

/// A pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Its name, for whoever looks at what it does.
    #[cfg_attr(not(test), allow(dead_code, reason = "only tests look so far"))]
    pub name: &'static str,
    run: fn(&mut Function, &[Block]),
}

/// The passes, in their order.
pub(crate) const PASSES: &[Pass] = &[
    Pass {
        name: "reloads",
        run: reloads::run,
    },
    Pass {
        name: "dead values",
        run: dead_values::run,
    },
    Pass {
        name: "dead stores",
        run: dead_stores::run,
    },
    // What was stored may have been calculated for that alone.
    Pass {
        name: "dead values",
        run: dead_values::run,
    },
    Pass {
        name: "threads",
        run: threads::run,
    },
];

impl Pass {
    /// Runs it. A function that does not go forward is left as it is, and refused where code is made of it.
    pub(crate) fn run(&self, function: &mut Function) {
        if let Some(order) = forward_order(function) {
            (self.run)(function, &order);
        }
    }
}

/// Runs all passes.
pub(crate) fn optimise(function: &mut Function) {
    for pass in PASSES {
        pass.run(function);
    }
}
