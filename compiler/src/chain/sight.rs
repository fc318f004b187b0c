//! A diagram as a hook sees it: what is alike in all that it sees is taken out, what it cannot tell is thought possible.
//!
//! Takes what a hook's room says of it, and names no hook.

use crate::diagram::classify::protocol;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::{Field, FieldKind};
use crate::hook::{Ability, Hook};
use crate::policy::ClassId;

/// 1 for every packet that the diagram might be 1 for, as far as a hook can tell. Tags are not told apart: only a rule
/// that says `at xdp` looks at them there, and such a rule is no pass.
pub(crate) fn over_approximated(
    store: &mut Store,
    hook: Hook,
    root: Node,
) -> Result<Node, BudgetExceeded> {
    let mut wide = root;
    for field in store.fields(root).iter() {
        if hook.reads(field) != Ability::Yes || field.kind() == FieldKind::Rate {
            wide = store.exists(wide, field)?;
        }
    }
    Ok(wide)
}

/// The diagram with every field taken out that is the same for all that a hook sees: its [`crate::hook::Sight`], and of a
/// packet hook's program the class of its interfaces.
pub fn seen_from(
    store: &mut Store,
    hook: Hook,
    class: Option<ClassId>,
    root: Node,
) -> Result<Node, BudgetExceeded> {
    let sees = &hook.spec().sees;
    let mut seen = match class {
        Some(class) if hook.is_packet() => seen_on(store, hook, class, root)?,
        _ => root,
    };
    for &(field, value) in sees.fixed {
        seen = store.restrict(seen, field, value)?;
    }
    let Some((&last, others)) = sees.protocols.split_last() else {
        return Ok(seen);
    };
    let mut told = store.restrict(seen, Field::Protocol, last.into())?;
    for &number in others.iter().rev() {
        let alone = store.restrict(seen, Field::Protocol, number.into())?;
        let is_it = protocol(store, number)?;
        told = store.ite(is_it, alone, told)?;
    }
    Ok(told)
}

/// The diagram of what a packet hook's programs see that hold on interfaces of a class.
pub(crate) fn seen_on(
    store: &mut Store,
    hook: Hook,
    class: ClassId,
    root: Node,
) -> Result<Node, BudgetExceeded> {
    store.restrict(root, hook.spec().holds_on, class.as_u32())
}
