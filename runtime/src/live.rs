//! Live sets and live maps: what changes of a policy while it is in force.
//!
//! Takes the policy in force, or one that an apply brings; gives its sets and maps, changed and listed, and carries them over
//! from one policy to the next. [`sets`] and [`maps`] are what commands call; the others say what the kernel's maps of them
//! hold, and in which order these are written, so that every packet meets all of a change or nothing of it. Not here: sockets
//! that entries lead to.

mod beside;
pub(crate) mod entries;
mod entry_change;
mod entry_trie;
mod entry_whole;
mod image;
pub(crate) mod maps;
mod member_table;
mod members;
mod nodes;
pub(crate) mod own;
mod port_classes;
mod set_change;
mod set_maps;
pub(crate) mod sets;
mod trie_contents;

#[cfg(test)]
mod tests;

/// What becomes of a removal where something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is refused.
    Refused,
    /// The rest is removed.
    Ignored,
}
