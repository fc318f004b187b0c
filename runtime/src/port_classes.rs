//! Classes of ports: two ports are of one class if the same ranges hold them.
//!
//! Takes ranges, and the classes of the ports before; gives new classes. A class keeps its number only if none of its ports
//! left it: so what a program finds under a class may be changed before the ports of other classes join it, and no packet
//! meets the entries of a port that is not its own.

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
    /// The classes that some ranges make. `before` has a class for each port.
    pub(crate) fn new(ranges: &BTreeSet<Range>, before: &[u32]) -> Self {
        let (groups, group_of) = groups(ranges);
        let numbers = numbers(groups.len(), &group_of, before);
        let number = |group: usize| numbers.get(group).copied().unwrap_or(NONE);
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
    let narrow = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
    both.filter(|(start, end)| **start < *end)
        .map(|(start, end)| (narrow(*start), narrow(end - 1)))
        .collect()
}

/// A number for each group: that of a class all of whose ports are in the group now, else one that nothing had.
fn numbers(groups: usize, group_of: &[Option<usize>], before: &[u32]) -> Vec<u32> {
    // Where the ports of each class went: one group, or several places.
    let mut went: BTreeMap<u32, Option<usize>> = BTreeMap::new();
    for (class, group) in before.iter().zip(group_of) {
        if *class != NONE {
            let same = went.entry(*class).or_insert(*group);
            if *same != *group {
                *same = None;
            }
        }
    }
    let mut numbers = vec![NONE; groups];
    for (class, group) in &went {
        let place = group.and_then(|group| numbers.get_mut(group));
        if let Some(place) = place.filter(|place| **place == NONE) {
            *place = *class;
        }
    }
    let mut fresh = (1..).filter(|class| !went.contains_key(class));
    for place in numbers.iter_mut().filter(|place| **place == NONE) {
        *place = fresh.next().unwrap_or(NONE);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(ranges: &[Range], before: &[u32]) -> PortClasses {
        PortClasses::new(&ranges.iter().copied().collect(), before)
    }

    #[test]
    fn ports_in_the_same_ranges_are_of_one_class() {
        let nothing = vec![NONE; PORTS];
        let made = classes(&[(10, 20), (15, 15), (80, 80)], &nothing);
        let of = |port: usize| made.of[port];
        assert_eq!(of(9), NONE);
        assert_eq!(of(10), of(20), "around the one in the middle");
        assert_ne!(of(10), of(15));
        assert_ne!(of(10), of(80));
        assert_eq!(made.within[&(10, 20)].len(), 2);
        assert_eq!(made.within[&(15, 15)], [of(15)]);
        let edges = classes(&[(0, 0), (65535, 65535)], &nothing);
        assert_ne!(edges.of[0], edges.of[65535]);
        assert_eq!(edges.of[1], NONE);
    }

    #[test]
    fn a_class_keeps_its_number_if_no_port_leaves_it() {
        let first = classes(&[(10, 20), (80, 80)], &vec![NONE; PORTS]);
        let (range, single) = (first.of[10], first.of[80]);
        // Another port joins nobody, and a range that is cut in two leaves its number.
        let second = classes(&[(10, 20), (12, 12), (80, 80), (53, 53)], &first.of);
        assert_eq!(second.of[80], single);
        for port in [10, 12, 53] {
            assert!(![range, single].contains(&second.of[port]), "{port}");
        }
        // Both parts together take one of their numbers again.
        let third = classes(&[(10, 20), (80, 80)], &second.of);
        assert!([second.of[10], second.of[12]].contains(&third.of[10]));
        assert_eq!(classes(&[], &third.of).of, vec![NONE; PORTS]);
    }

    #[test]
    fn many_single_ports_are_quick() {
        let ranges: Vec<Range> = (0..10_000).map(|port| (port, port)).collect();
        let made = classes(&ranges, &vec![NONE; PORTS]);
        assert_eq!(made.of.iter().max(), Some(&10_000));
    }
}
