//! What is in a live set, and until when.
//!
//! A value of the set's trie has two times: until when an address under this prefix is a member, which is the latest time of
//! the element and of all that cover it, and the element's own time. A program looks only at the first one of the longest
//! prefix. Not here: where the trie is, and who may change it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use crate::prefix::Prefix;
use crate::sys::{batch, map};

/// A time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;
/// Bits of a key before the address: the family.
const HEAD: u32 = 8;
/// Bytes of a key: prefix length, family, address, and three zeros.
const KEY: usize = 24;

/// The times of an element, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    /// Until when it or anything that covers it is there.
    member: u64,
    /// Until when it is there itself.
    own: u64,
}

/// Elements and their own times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members(BTreeMap<Prefix, u64>);

impl Members {
    /// Elements that all end at one time.
    pub(crate) fn all_until(elements: impl IntoIterator<Item = Prefix>, until: u64) -> Self {
        Self(
            elements
                .into_iter()
                .map(|element| (element, until))
                .collect(),
        )
    }

    /// What is in a trie, also what has expired.
    pub(crate) fn read(trie: BorrowedFd<'_>) -> io::Result<Self> {
        let times = read_times(trie)?;
        Ok(Self(
            times
                .into_iter()
                .map(|(element, times)| (element, times.own))
                .collect(),
        ))
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

    /// Puts an element in, or gives it another time.
    pub(crate) fn put(&mut self, element: Prefix, until: u64) {
        self.0.insert(element, until);
    }

    /// Takes an element out; `false` if it was not in.
    pub(crate) fn take(&mut self, element: Prefix) -> bool {
        self.0.remove(&element).is_some()
    }

    /// The element that covers an address for longest.
    pub(crate) fn covering(&self, address: IpAddr) -> Option<(Prefix, u64)> {
        let host = Prefix::host(address);
        let lengths = 0..=host.length();
        let covers = lengths.filter_map(|length| {
            let prefix = Prefix::truncate(address, length)?;
            self.0.get(&prefix).map(|until| (prefix, *until))
        });
        covers.max_by_key(|(_, until)| *until)
    }

    /// The times of each: elements come after all that cover them, so one walk with a stack of those finds them.
    fn times(&self) -> BTreeMap<Prefix, Times> {
        let mut above: Vec<(Prefix, u64)> = Vec::new();
        let mut times = BTreeMap::new();
        for (element, own) in self.iter() {
            while above
                .last()
                .is_some_and(|(outer, _)| !outer.covers(element))
            {
                above.pop();
            }
            let outer = above.last().map_or(0, |(_, member)| *member);
            let member = own.max(outer);
            above.push((element, member));
            times.insert(element, Times { member, own });
        }
        times
    }

    /// Makes a trie hold exactly these: all of them, or what was in it before.
    pub(crate) fn write(&self, trie: BorrowedFd<'_>) -> io::Result<()> {
        let before = read_times(trie)?;
        let done = change(trie, &before, &self.times());
        if done.is_err() {
            // Whatever was refused, what is put back was there a moment ago.
            let now = read_times(trie)?;
            change(trie, &now, &before)?;
        }
        done
    }
}

fn read_times(trie: BorrowedFd<'_>) -> io::Result<BTreeMap<Prefix, Times>> {
    let entries = batch::read(trie)?;
    let times = entries.iter().map(|(key, value)| {
        let foreign = || io::Error::other("a key of the live set is none of sockc's");
        Ok((
            decode(key).ok_or_else(foreign)?,
            times_of(value).ok_or_else(foreign)?,
        ))
    });
    times.collect()
}

/// Brings a trie from one state to another. New elements come before old ones go, unless there is no room for both.
fn change(
    trie: BorrowedFd<'_>,
    before: &BTreeMap<Prefix, Times>,
    after: &BTreeMap<Prefix, Times>,
) -> io::Result<()> {
    let room = map::shape(trie)?.entries as usize;
    let gone: Vec<Vec<u8>> = before
        .keys()
        .filter(|element| !after.contains_key(element))
        .map(|element| encode(*element))
        .collect();
    let changed: Vec<batch::Entry> = after
        .iter()
        .filter(|(element, times)| before.get(element) != Some(times))
        .map(|(element, times)| (encode(*element), value(*times)))
        .collect();
    // Linux before 6.13 wants room for a new node even where it replaces one.
    if after.len() + gone.len() < room {
        batch::update(trie, &changed)?;
        return batch::delete(trie, &gone);
    }
    batch::delete(trie, &gone)?;
    batch::replace(trie, &changed)
}

fn encode(element: Prefix) -> Vec<u8> {
    let mut key = (HEAD + u32::from(element.length())).to_ne_bytes().to_vec();
    key.push(element.family());
    key.extend(element.bytes());
    key.resize(KEY, 0);
    key
}

fn decode(key: &[u8]) -> Option<Prefix> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let (family, rest) = rest.split_first()?;
    let length = u32::from_ne_bytes(*length).checked_sub(HEAD)?;
    Prefix::from_bytes(*family, *rest.first_chunk()?, length)
}

fn value(times: Times) -> Vec<u8> {
    let mut value = times.member.to_ne_bytes().to_vec();
    value.extend(times.own.to_ne_bytes());
    value
}

fn times_of(value: &[u8]) -> Option<Times> {
    let (member, rest) = value.split_first_chunk()?;
    Some(Times {
        member: u64::from_ne_bytes(*member),
        own: u64::from_ne_bytes(*rest.first_chunk()?),
    })
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
        let mut members = Members::default();
        for (element, until) in [(outer, 50), (inner, 20), (host, 70), (other, 5)] {
            members.put(element, until);
        }
        let member = |members: &Members| -> Vec<u64> {
            members.times().values().map(|times| times.member).collect()
        };
        assert_eq!(member(&members), [50, 50, 70, 5]);
        assert_eq!(
            members.covering("10.1.0.1".parse().unwrap()),
            Some((host, 70))
        );
        assert_eq!(
            members.covering("10.1.0.2".parse().unwrap()),
            Some((outer, 50))
        );
        assert_eq!(members.covering("12.0.0.1".parse().unwrap()), None);
        assert!(members.take(outer));
        assert!(!members.take(outer));
        assert_eq!(member(&members), [20, 70, 5]);
        members.purge(20);
        assert_eq!(member(&members), [70]);
    }

    #[test]
    fn keys_and_values_come_back() {
        for element in [
            prefix("10.0.0.0", 8),
            prefix("2001:db8::1", 128),
            prefix("::", 0),
        ] {
            let key = encode(element);
            assert_eq!(key.len(), KEY);
            assert_eq!(decode(&key), Some(element));
        }
        let times = Times { member: 2, own: 1 };
        assert_eq!(times_of(&value(times)), Some(times));
        assert_eq!(decode(&[1, 2, 3]), None);
    }
}
