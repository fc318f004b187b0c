//! Elements of a live set and until when they are in it, as a trie holds them.
//!
//! A value of the set's trie has two times: until when an address under this prefix is a member, which is the latest time of
//! the element and of all that cover it, and the element's own time. A program looks only at the first one of the longest
//! prefix. Not here: the kernel's maps.

use std::collections::BTreeMap;
use std::io;

use crate::prefix::Prefix;

/// A time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;
/// Bits of a key before the address: family and side.
const HEAD: u32 = 8;
/// Bytes of a key: prefix length, family and side, address, and three zeros.
pub(crate) const KEY: usize = 24;
/// Bytes of a value.
pub(crate) const VALUE: usize = 24;
/// Bytes of the key of a time: its length in bits, side, time, family, address, length of the prefix, and one zero.
pub(crate) const DUE_KEY: usize = 32;
/// Bits of such a key.
const DUE_BITS: u32 = 8 * (DUE_KEY as u32 - 4);

/// The times of an element, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Until when it or anything that covers it is there.
    pub(crate) member: u64,
    /// Until when it is there itself; 0 for what is no element.
    pub(crate) own: u64,
}

/// Elements and their own times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members(BTreeMap<Prefix, u64>);

impl Members {
    /// Elements that all end at one time.
    pub(crate) fn all_until(elements: impl IntoIterator<Item = Prefix>, until: u64) -> Self {
        elements
            .into_iter()
            .map(|element| (element, until))
            .collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The elements and their own times, sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Prefix, u64)> {
        self.0.iter().map(|(element, until)| (*element, *until))
    }

    /// Forgets what has expired. What covered it stays a member all the same.
    pub(crate) fn purge(&mut self, now: u64) {
        self.0.retain(|_, until| *until > now);
    }

    /// The times of each, where what covers all of them is a member until `outer`: elements come after all that cover them, so
    /// one walk with a stack of those finds them.
    pub(crate) fn times(&self, outer: u64) -> Vec<(Prefix, Times)> {
        let mut above: Vec<(Prefix, u64)> = Vec::new();
        let mut times = Vec::with_capacity(self.len());
        for (element, own) in self.iter() {
            while above
                .last()
                .is_some_and(|(outer, _)| !outer.covers(element))
            {
                above.pop();
            }
            let outer = above.last().map_or(outer, |(_, member)| *member);
            let member = own.max(outer);
            above.push((element, member));
            times.push((element, Times { member, own }));
        }
        times
    }
}

impl FromIterator<(Prefix, u64)> for Members {
    fn from_iter<I: IntoIterator<Item = (Prefix, u64)>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

/// The key of an element in a side of the trie.
pub(crate) fn key(side: u8, element: Prefix) -> Vec<u8> {
    let mut key = (HEAD + u32::from(element.length())).to_ne_bytes().to_vec();
    key.push(element.family() + side);
    key.extend(element.bytes());
    key.resize(KEY, 0);
    key
}

/// The side and the element of a key.
pub(crate) fn read_key(key: &[u8]) -> Option<(u8, Prefix)> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let (head, rest) = rest.split_first()?;
    let length = u32::from_ne_bytes(*length).checked_sub(HEAD)?;
    // Both families are even.
    let side = head & 1;
    let element = Prefix::from_bytes(head - side, *rest.first_chunk()?, length)?;
    Some((side, element))
}

/// The value of an element.
pub(crate) fn value(element: Prefix, times: Times) -> Vec<u8> {
    let mut value = times.member.to_ne_bytes().to_vec();
    value.extend(times.own.to_ne_bytes());
    value.extend(u32::from(element.length()).to_ne_bytes());
    value.resize(VALUE, 0);
    value
}

/// The times of a value, and the length of its element.
pub(crate) fn read_value(value: &[u8]) -> Option<(Times, u8)> {
    let (member, rest) = value.split_first_chunk()?;
    let (own, rest) = rest.split_first_chunk()?;
    let times = Times {
        member: u64::from_ne_bytes(*member),
        own: u64::from_ne_bytes(*own),
    };
    let length = u32::from_ne_bytes(*rest.first_chunk()?);
    Some((times, u8::try_from(length).ok()?))
}

/// The key by which an element is found when its time comes; in a trie, the first key has the earliest time of side 0.
pub(crate) fn due_key(side: u8, until: u64, element: Prefix) -> Vec<u8> {
    let mut key = DUE_BITS.to_ne_bytes().to_vec();
    key.push(side);
    key.extend(until.to_be_bytes());
    key.push(element.family());
    key.extend(element.bytes());
    key.push(element.length());
    key.resize(DUE_KEY, 0);
    key
}

/// The side, the time and the element of such a key.
pub(crate) fn read_due_key(key: &[u8]) -> Option<(u8, u64, Prefix)> {
    let (_, rest) = key.split_first_chunk::<4>()?;
    let (side, rest) = rest.split_first()?;
    let (until, rest) = rest.split_first_chunk()?;
    let (family, rest) = rest.split_first()?;
    let (address, rest) = rest.split_first_chunk()?;
    let length = u32::from(*rest.first()?);
    let element = Prefix::from_bytes(*family, *address, length)?;
    Some((*side, u64::from_be_bytes(*until), element))
}

/// What is said of maps that hold something else.
pub(crate) fn foreign() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what the live set holds is none of sockc's",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn an_address_is_a_member_as_long_as_anything_that_covers_it() {
        let (outer, inner) = (prefix("10.0.0.0", 8), prefix("10.1.0.0", 16));
        let (host, other) = (prefix("10.1.0.1", 32), prefix("11.0.0.0", 8));
        let mut members: Members = [(outer, 50), (inner, 20), (host, 70), (other, 5)]
            .into_iter()
            .collect();
        let member = |members: &Members, outer: u64| -> Vec<u64> {
            let times = members.times(outer).into_iter();
            times.map(|(_, times)| times.member).collect()
        };
        assert_eq!(member(&members, 0), [50, 50, 70, 5]);
        assert_eq!(member(&members, 60), [60, 60, 70, 60]);
        members.purge(20);
        assert_eq!(member(&members, 0), [50, 70]);
    }

    #[test]
    fn keys_and_values_come_back() {
        for element in [
            prefix("10.0.0.0", 8),
            prefix("2001:db8::1", 128),
            prefix("::", 0),
        ] {
            for side in [0, 1] {
                let bytes = key(side, element);
                assert_eq!(bytes.len(), KEY);
                assert_eq!(read_key(&bytes), Some((side, element)));
                let bytes = due_key(side, 7, element);
                assert_eq!(bytes.len(), DUE_KEY);
                assert_eq!(read_due_key(&bytes), Some((side, 7, element)));
            }
            let times = Times { member: 2, own: 1 };
            let read = read_value(&value(element, times));
            assert_eq!(read, Some((times, element.length())));
        }
        assert_eq!(read_key(&[1, 2, 3]), None);
        assert_eq!(read_key(&[0xff; KEY]), None);
        assert_eq!(read_value(&[0; 16]), None);
        assert_eq!(read_due_key(&[0; 12]), None);
    }
}
