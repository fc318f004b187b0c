//! Classes of ports: two ports are of one class if the same ranges hold them.
//!
//! Takes ranges; gives the class of each port, and the classes of each range.

use std::collections::{BTreeMap, BTreeSet};

/// How many ports there are.
pub(crate) const PORTS: usize = 1 << 16;
/// The class of ports that no range holds.
pub(crate) const NONE: u32 = 0;

/// A range of ports, inclusive.
pub(crate) type Range = (u16, u16);

/// The class of each port, and the classes that each range is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortClasses {
    /// By port.
    pub(crate) of: Vec<u32>,
    /// By range, sorted.
    pub(crate) within: BTreeMap<Range, Vec<u32>>,
}

impl PortClasses {
    /// The classes that some ranges make.
    pub(crate) fn new(ranges: &BTreeSet<Range>) -> Self {
        let (groups, group_of) = groups(ranges);
        // There are no more groups than ports, and none has the number of ports that no range holds.
        let number = |group: usize| group as u32 + 1;
        let mut within: BTreeMap<Range, Vec<u32>> =
            ranges.iter().map(|range| (*range, Vec::new())).collect();
        for (group, ranges) in groups.iter().enumerate() {
            for range in ranges {
                within.entry(*range).or_default().push(number(group));
            }
        }
        Self {
            of: group_of
                .iter()
                .map(|group| group.map_or(NONE, number))
                .collect(),
            within,
        }
    }
}

/// The different lists of ranges that hold a port, and for each port the index of its list; `None` if no range holds it.
fn groups(ranges: &BTreeSet<Range>) -> (Vec<Vec<Range>>, Vec<Option<usize>>) {
    let mut index: BTreeMap<Vec<Range>, usize> = BTreeMap::new();
    let mut of = vec![None; PORTS];
    let mut waiting = ranges.iter().copied().peekable();
    let mut open: Vec<Range> = Vec::new();
    for (first, last) in segments(ranges) {
        open.retain(|range| range.1 >= first);
        while let Some(range) = waiting.next_if(|range| range.0 <= first) {
            open.push(range);
        }
        let holding = open.clone();
        if holding.is_empty() {
            continue;
        }
        let next = index.len();
        let group = *index.entry(holding).or_insert(next);
        for port in of.iter_mut().take(usize::from(last) + 1).skip(first.into()) {
            *port = Some(group);
        }
    }
    let mut groups = vec![Vec::new(); index.len()];
    for (ranges, group) in index {
        if let Some(place) = groups.get_mut(group) {
            *place = ranges;
        }
    }
    (groups, of)
}

/// The longest ranges that no range begins or ends within.
fn segments(ranges: &BTreeSet<Range>) -> Vec<Range> {
    let mut starts = BTreeSet::from([0_u32]);
    for (first, last) in ranges {
        starts.insert((*first).into());
        starts.insert(u32::from(*last) + 1);
    }
    let starts: Vec<u32> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).copied().chain([PORTS as u32]);
    let both = starts.iter().zip(ends);
    // The last start may be after the last port, where nothing begins.
    both.filter_map(|(start, end)| Some((u16::try_from(*start).ok()?, (end - 1) as u16)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(ranges: &[Range]) -> PortClasses {
        PortClasses::new(&ranges.iter().copied().collect())
    }

    #[test]
    fn ports_in_the_same_ranges_are_of_one_class() {
        let made = classes(&[(10, 20), (15, 15), (80, 80)]);
        let of = |port: usize| made.of[port];
        assert_eq!(of(9), NONE);
        assert_eq!(of(10), of(20), "around the one in the middle");
        assert_ne!(of(10), of(15));
        assert_ne!(of(10), of(80));
        assert_eq!(made.within[&(10, 20)].len(), 2);
        assert_eq!(made.within[&(15, 15)], [of(15)]);
        let touching = classes(&[(10, 20), (20, 30)]);
        let of = |port: usize| touching.of[port];
        assert!(of(19) != of(20) && of(20) != of(21));
        assert_eq!(touching.within[&(10, 20)], [of(19), of(20)]);
        assert_eq!(touching.within[&(20, 30)], [of(20), of(21)]);
        let edges = classes(&[(0, 0), (65535, 65535)]);
        assert_ne!(edges.of[0], edges.of[65535]);
        assert_eq!(edges.of[1], NONE);
        assert_eq!(classes(&[]).of, vec![NONE; PORTS]);
    }

    #[test]
    fn many_single_ports_are_quick() {
        let ranges: Vec<Range> = (0..10_000).map(|port| (port, port)).collect();
        let made = classes(&ranges);
        assert_eq!(made.of.iter().max(), Some(&10_000));
    }
}
