//! Finds equal things that are stored elsewhere, by the hash of their content.
//!
//! Takes content and where it is stored; gives the place of equal content. Not here: the content.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A hasher of a few multiplications: what is hashed comes from the policy's own author, and places that share a hash cost
/// time only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quick(u64);

const MULTIPLIER: u64 = 0xf135_7aea_2e62_a9c5;

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            self.write_u64(word);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64((value >> 64) as u64);
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(MULTIPLIER);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

/// Places by the hash of what stands there.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    places: HashMap<u64, u32, BuildHasherDefault<Quick>>,
}

impl Index {
    /// A place whose content is equal to this.
    pub(super) fn find(
        &self,
        content: &(impl Hash + ?Sized),
        equal: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let place = *self.places.get(&quick(content))?;
        equal(place).then_some(place)
    }

    /// Remembers a place. Of contents with the same hash only the last is found again: the others are stored twice.
    pub(super) fn insert(&mut self, content: &(impl Hash + ?Sized), place: u32) {
        self.places.insert(quick(content), place);
    }
}

/// The hash of any content.
pub(super) fn quick(content: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = Quick::default();
    content.hash(&mut hasher);
    hasher.finish()
}
