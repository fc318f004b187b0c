//! Where a counter stands: the values of the per-CPU map `counters` are blocks of counters, not one each.
//!
//! The kernel finds a value of such a map by a pointer of its own, and each processor's by that. With a value for each counter a
//! policy of 100,000 rules has as many pointers, and which one a packet needs is in no cache; those of the blocks are.
//!
//! Takes slots; says where they stand, for programs that count and for all who read. Not here: which slot counts what
//! ([`crate::artifact::Manifest::counters`]).

/// The name of the map.
pub const MAP: &str = "counters";
/// Bytes of a counter: two `u64`, packets (or lookups, or writes) and bytes.
pub const COUNTER: u32 = 16;
/// Counters of a block: a power of two.
pub const PER_BLOCK: u32 = 256;
/// Bytes of a block, a value of the map. A per-CPU value may have 32 KiB (`PCPU_MIN_UNIT_SIZE`).
pub const BLOCK: u32 = PER_BLOCK * COUNTER;

/// What a slot is shifted right by to become the key of its block.
pub const KEY_SHIFT: i32 = PER_BLOCK.ilog2().cast_signed();
/// The bits of a slot that are its place in the block.
pub const PLACE_MASK: i32 = PER_BLOCK.cast_signed() - 1;
/// What that place is shifted left by to become an offset.
pub const PLACE_SHIFT: i32 = COUNTER.ilog2().cast_signed();

/// How many blocks hold so many counters; a map has one at least.
#[must_use]
pub fn blocks(counters: u32) -> u32 {
    counters.div_ceil(PER_BLOCK).max(1)
}

/// The key of the block that a slot is in, and the offset there.
#[must_use]
pub fn place(slot: u32) -> (u32, u32) {
    (slot / PER_BLOCK, slot % PER_BLOCK * COUNTER)
}

/// The numbers of a slot in its block: packets and bytes.
#[must_use]
pub fn numbers(block: &[u8], slot: u32) -> Option<[u64; 2]> {
    let (_, offset) = place(slot);
    let (numbers, _) = block.get(offset as usize..)?.as_chunks::<8>();
    let &[packets, bytes, ..] = numbers else {
        return None;
    };
    Some([packets, bytes].map(u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let mut next = (0, 0);
        for slot in 0..=2 * PER_BLOCK {
            assert_eq!(place(slot), next);
            let key = slot.cast_signed() >> KEY_SHIFT;
            let offset = (slot.cast_signed() & PLACE_MASK) << PLACE_SHIFT;
            assert_eq!((key.cast_unsigned(), offset.cast_unsigned()), next);
            assert!(next.0 < blocks(slot + 1), "{slot}");
            next.1 += COUNTER;
            if next.1 == BLOCK {
                next = (next.0 + 1, 0);
            }
        }
        assert_eq!([0, 1, 256, 257].map(blocks), [1, 1, 1, 2]);
    }

    #[test]
    fn numbers_stand_at_the_place() {
        let mut block = vec![0; BLOCK as usize];
        block[16..24].copy_from_slice(&7u64.to_ne_bytes());
        block[24..32].copy_from_slice(&9u64.to_ne_bytes());
        assert_eq!(numbers(&block, 257), Some([7, 9]));
        assert_eq!(numbers(&block, 0), Some([0, 0]));
        assert_eq!(numbers(&block[..24], 1), None);
    }
}
