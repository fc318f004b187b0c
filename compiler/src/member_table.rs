//! The table of a live set: a hash table that programs search with their own instructions while a runtime changes it.
//!
//! Takes prefixes; gives the keys that stand for them, and says where everything is kept. Programs
//! (`lower/answers/member_table.rs`) and runtimes go by what stands here; [`SetTablePlan`](crate::artifact::SetTablePlan)
//! says which map of the object holds what. Keys, chains and hashes are those of live maps ([`entry_table`]),
//! whose ports are all one here. Not here: who writes what in which order.
//!
//! The *plan* of a side has the kinds of keys in use, which are lengths of prefixes. A node has one time: until when its prefix is in
//! the set. So an address is a member if any of the keys that it is cut to has a time that is to come. What the table cannot
//! hold is in the set's trie; the plan says whether there is anything at all.

use std::net::IpAddr;

use crate::entry_table::{self, Key, Kind, Piece};

/// Kinds of a family that a program tries.
pub const KINDS: usize = 8;
/// Nodes of a chain that a program looks at.
pub const DEPTH: usize = 7;
/// Live sets of a policy whose sets have tables: the search of one is much code.
const MOST_SETS: usize = 8;
/// Maps of live sets with tables, and of live maps, in such a policy: a program may refer to 64 in all.
const MOST_MAPS: usize = 44;

/// Whether the live sets of a policy with so many of these and so many live maps have tables.
#[must_use]
pub(crate) fn is_worth_it(live_sets: usize, live_maps: usize) -> bool {
    live_sets <= MOST_SETS && 5 * live_sets + 6 * live_maps <= MOST_MAPS
}

/// The most elements that a table is made for: all of its memory is taken at once.
const MOST_ELEMENTS: u32 = 1 << 20;

/// Where in a plan the seed of its hashes stands.
pub const SEED_AT: usize = 0;
/// Where the number of the first head of its side stands.
pub const BASE_AT: usize = 8;
/// Where it stands that the side of the trie is empty: 0 if programs have to ask it.
pub const ALONE_AT: usize = 12;
/// Where the runtime keeps how many nodes the side has, and how many of them are elements.
pub const NODES_AT: usize = 16;
/// The second of these.
pub const ELEMENTS_AT: usize = 20;
/// Where the kinds of IPv4 begin, and bytes of one: a mask, then the number of the kind as keys have it, 0 for none.
const V4_AT: usize = 24;
/// Bytes of one.
const V4_KIND: usize = 8;
/// The same of IPv6.
const V6_AT: usize = V4_AT + V4_KIND * KINDS;
/// Bytes of one.
const V6_KIND: usize = 24;
/// Bytes of a plan.
pub const PLAN: u32 = (V6_AT + V6_KIND * KINDS) as u32;

/// Where in a node its time stands: a `u64` as in the values of the trie, 0 for what is no element.
pub const TIME_AT: usize = 24;

/// Bytes of the state of a set that has a table: as of one without, and eight more, so that nobody takes it for that.
pub const STATE: u32 = 32;

/// Every port.
const EVERY: Piece = Piece { port: 0, bits: 0 };

/// How many elements the table of a live set is made for.
#[must_use]
pub fn room(max: u32) -> u32 {
    max.min(MOST_ELEMENTS)
}

/// Heads of the table of a live set.
#[must_use]
pub fn heads(max: u32) -> u32 {
    entry_table::heads(room(max))
}

/// Nodes of it.
#[must_use]
pub fn nodes(max: u32) -> u32 {
    entry_table::nodes(room(max))
}

/// Bits of the number of a head.
#[must_use]
pub fn head_bits(max: u32) -> u32 {
    entry_table::head_bits(room(max))
}

/// The key of a prefix.
#[must_use]
pub fn key(address: IpAddr, length: u8) -> Key {
    Key::new(address, length, EVERY)
}

/// The kind of prefixes of a length.
#[must_use]
pub fn kind(v6: bool, length: u8) -> Kind {
    Kind {
        length,
        bits: EVERY.bits,
        v6,
    }
}

/// Where in a plan a kind of a family stands, and the words that say it: a mask, then the number.
#[must_use]
pub fn place(v6: bool, number: usize) -> (usize, usize) {
    match v6 {
        false => (V4_AT + V4_KIND * number, 4),
        true => (V6_AT + V6_KIND * number, 16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_no_more_memory_than_it_may() {
        assert_eq!(nodes(u32::MAX), nodes(MOST_ELEMENTS));
        assert_eq!(heads(u32::MAX), 2 << head_bits(MOST_ELEMENTS));
        assert!(heads(100) >= 2 * 2 * 100);
    }

    #[test]
    fn many_live_sets_or_maps_leave_no_room_for_tables() {
        assert!(is_worth_it(8, 0) && is_worth_it(1, 6));
        assert!(!is_worth_it(9, 0) && !is_worth_it(8, 1) && !is_worth_it(1, 7));
    }

    #[test]
    fn keys_say_their_kind_and_leave_out_what_is_beyond_the_prefix() {
        let v4 = key("192.0.2.77".parse().unwrap(), 24);
        assert_eq!(v4, key("192.0.2.0".parse().unwrap(), 24));
        assert_eq!(v4.kind(), kind(false, 24));
        assert_eq!(v4.meta & 0xffff, 0);
        let v6 = key("2001:db8::1".parse().unwrap(), 128);
        assert_ne!(v6, key("2001:db8::".parse().unwrap(), 128));
        assert_eq!(v6.kind(), kind(true, 128));
    }
}
