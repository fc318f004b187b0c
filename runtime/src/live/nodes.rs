//! Nodes of the tables of live sets and live maps, and the chains that they are in (`sockc_compiler::entry_table`).
//!
//! Takes the array of the nodes; gives and writes what both kinds of tables have in them. Not here: what else is in a node.

use std::io;

use sockc_compiler::entry_table::{Key, META_AT, NEXT_AT, NODE};

use crate::sys::shared::Words;

/// A chain, as far as a search for a key needs it.
pub(crate) struct Chain {
    /// The node that has the key.
    pub(crate) node: Option<u32>,
    /// How many nodes there are.
    pub(crate) length: usize,
}

/// Where a node stands.
pub(crate) fn node_at(id: u32) -> usize {
    id as usize * NODE as usize
}

/// The key of a node.
pub(crate) fn key<W: Words + ?Sized>(nodes: &W, id: u32) -> io::Result<Key> {
    let word = |place: usize| nodes.word(node_at(id) + place);
    Ok(Key {
        words: [word(0)?, word(4)?, word(8)?, word(12)?],
        meta: word(usize::from(META_AT))?,
    })
}

/// Looks for a key in the chain that begins with a node, 0 for none; `None` if it has more than `most` nodes.
pub(crate) fn find<W: Words + ?Sized>(
    nodes: &W,
    first: u32,
    wanted: &Key,
    most: usize,
) -> io::Result<Option<Chain>> {
    let (mut id, mut length, mut node) = (first, 0, None);
    while id != 0 {
        if length == most {
            return Ok(None);
        }
        if key(nodes, id)? == *wanted {
            node = Some(id);
        }
        length += 1;
        id = nodes.word(node_at(id) + usize::from(NEXT_AT))?;
    }
    Ok(Some(Chain { node, length }))
}
