//! Sets of bpfilter: elements with one value for each part of a key.
//!
//! Takes a key and the elements as text; gives combinations, which are conjunctions of values that share no packet: of the elements, or of all
//! that is none of them. Not here: what the values ask.

use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::ranges::RangeSet;

use super::matchers::{self, Field, Op};
use super::values::values;
use crate::verbs::import::addresses::{Range, prefixes};
use crate::verbs::import::text::hosts;

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// What each part of its elements is compared with.
    pub(super) key: Vec<Field>,
    /// The elements: the first and the last number of each part.
    rows: Vec<Vec<Range>>,
    /// For how many elements there is room at least, where others may come to it.
    room: u32,
}

/// What an element has from some part of its key on.
type Row = [Range];

/// Values of each field of a key: a packet that has all of them is meant.
pub(super) type Combination = Vec<RangeSet<u128>>;

/// The fields of a key.
pub(super) fn key(text: &str) -> Result<Vec<Field>, String> {
    let inner = text.trim_start_matches('(').trim_end_matches(')');
    let names: Vec<&str> = inner.split(',').map(str::trim).collect();
    let field = |name: &&str| {
        let known = matchers::named(name).filter(|one| one.is_key);
        let known = known.ok_or_else(|| format!("`{name}` is no part of a key"))?;
        let is_network = name.ends_with("net");
        match is_network && names.len() > 1 {
            true => Err(format!(
                "`{name}` stands in a key with others, which bpfilter refuses"
            )),
            false => Ok(known.field),
        }
    };
    names.iter().map(field).collect()
}

impl Set {
    /// The set of a key, with what stands in braces.
    pub(super) fn read(key: Vec<Field>, braces: &str) -> Result<Self, String> {
        let inner = braces.trim_start_matches('{').trim_end_matches('}');
        if inner.contains("content elided") {
            return Err("its elements were left out when it was printed: print it without `--no-set-content`".to_owned());
        }
        let lines = inner.lines();
        let plain = lines.map(|line| line.split('#').next().unwrap_or_default());
        // Elements were once parted by commas; with one part, there is nothing else that a comma could stand for.
        let is_end = |one: char| one == ';' || one == ',' && key.len() == 1;
        let elements = plain.flat_map(|line| line.split(is_end)).map(str::trim);
        let elements = elements.filter(|one| !one.is_empty());
        let rows = elements
            .map(|one| row(&key, one))
            .collect::<Result<_, _>>()?;
        Ok(Self { key, rows, room: 0 })
    }

    /// The same, with room for more elements.
    pub(super) fn with_room(self, room: u32) -> Self {
        Self { room, ..self }
    }

    /// Whether elements come to it while it is asked.
    pub(super) fn grows(&self) -> bool {
        self.room > 0
    }

    /// What a live set of these elements is declared with, if one can hold them: whole addresses and prefixes of one side.
    pub(super) fn declared(&self) -> Option<String> {
        let [Field::Address(family, _)] = self.key.as_slice() else {
            return None;
        };
        // Neighbours are not joined: each comes and goes by itself.
        let held: BTreeSet<_> = self.rows.iter().flatten().collect();
        let held = held.into_iter();
        let held = held.flat_map(|range| prefixes(*range, *family));
        let held = held.flat_map(|(prefix, _)| hosts(&RangeSet::from_ranges([prefix]), *family));
        let held: Vec<String> = held.collect();
        let room = self.room.min(MOST_ROOM);
        let room = room.max(u32::try_from(held.len()).ok()?);
        Some(match held.is_empty() {
            true => format!("max {room}"),
            false => format!("max {room} = {{ {} }}", held.join(", ")),
        })
    }

    /// Whether nothing is in it. bpfilter leaves a rule about such a set out, also where it is negated.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What is in it, or what is not.
    pub(super) fn combinations(&self, negated: bool) -> Vec<Combination> {
        let rows = self.rows.iter().map(Vec::as_slice).collect::<Vec<_>>();
        combinations(&self.key, &rows, negated)
    }
}

/// The most elements that a live set has room for.
const MOST_ROOM: u32 = 1 << 24;

fn row(key: &[Field], element: &str) -> Result<Vec<Range>, String> {
    let parts: Vec<&str> = element.split(',').map(str::trim).collect();
    if parts.len() != key.len() {
        return Err(format!(
            "the element `{element}` has not one value for each part of the key"
        ));
    }
    let parts = key.iter().zip(parts);
    let values = parts.map(|(field, part)| {
        let said = |why: String| format!("in the element `{element}` {why}");
        let is_range =
            matches!(field, Field::Port(_) | Field::CarriedPort(..)) && part.contains('-');
        let op = if is_range { Op::Range } else { Op::Eq };
        let values = values(*field, op, part).map_err(said)?;
        let (low, high) = values.ranges().first().copied().unwrap_or_default();
        match key.len() > 1 && (is_range || low != high) {
            true => Err(format!(
                "in the element `{element}` a network or a range stands beside others"
            )),
            false => Ok((low, high)),
        }
    });
    values.collect()
}

/// The combinations of rows: first values that go with the same rest are one with each of its combinations.
fn combinations(key: &[Field], rows: &[&Row], negated: bool) -> Vec<Combination> {
    let Some((field, rest)) = key.split_first() else {
        return if negated {
            Vec::new()
        } else {
            vec![Vec::new()]
        };
    };
    let mut by_first: BTreeMap<Range, Vec<&Row>> = BTreeMap::new();
    for (first, others) in rows.iter().filter_map(|row| row.split_first()) {
        by_first.entry(*first).or_default().push(others);
    }
    let mut by_rest: BTreeMap<Vec<&Row>, Vec<Range>> = BTreeMap::new();
    for (first, mut others) in by_first {
        others.sort_unstable();
        others.dedup();
        by_rest.entry(others).or_default().push(first);
    }
    let mut found = Vec::new();
    let with = |first: &RangeSet<u128>, more: Vec<Combination>| {
        let more = more.into_iter();
        more.map(|more| [vec![first.clone()], more].concat())
            .collect::<Vec<_>>()
    };
    for (others, firsts) in &by_rest {
        let first = RangeSet::from_ranges(firsts.iter().copied());
        found.extend(with(&first, combinations(rest, others, negated)));
    }
    if negated {
        let firsts = RangeSet::from_ranges(by_rest.into_values().flatten());
        let none = RangeSet::from_ranges([(0, field.last())]).minus(&firsts);
        let any = rest
            .iter()
            .map(|one| RangeSet::from_ranges([(0, one.last())]));
        let any = vec![any.collect()];
        found.extend(with(&none, any).into_iter().filter(|_| !none.is_empty()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, elements: &str, negated: bool) -> Vec<Vec<Vec<(u128, u128)>>> {
        let set = Set::read(key(text).unwrap(), elements).unwrap();
        let all = set.combinations(negated).into_iter();
        let plain = |one: Combination| one.iter().map(|part| part.ranges().to_vec()).collect();
        all.map(plain).collect()
    }

    #[test]
    fn elements_are_as_few_combinations_as_their_first_parts_need() {
        let key = "(ip4.proto, tcp.dport)";
        let elements = "{ 1, 7; 2, 7\n6, 8 # not 9, 9\n 6, 7 }";
        assert_eq!(
            said(key, elements, false),
            [
                vec![vec![(6, 6)], vec![(7, 8)]],
                vec![vec![(1, 2)], vec![(7, 7)]],
            ]
            .map(|one| one)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
        );
        assert_eq!(
            said(key, "{1, 7}", true),
            [
                vec![vec![(1, 1)], vec![(0, 6), (8, 65535)]],
                vec![vec![(0, 0), (2, 255)], vec![(0, 65535)]],
            ]
        );
        assert_eq!(
            said("(tcp.dport)", "{1, 2;4}", true),
            [[[(0, 0), (3, 3), (5, 65535)]]]
        );
    }

    #[test]
    fn ports_may_be_ranges_and_sets_may_grow() {
        assert_eq!(
            said("(meta.dport)", "{ 11; 22; 27-30 }", false),
            [[[(11, 11), (22, 22), (27, 30)]]]
        );
        let set = |text, elements, room| {
            let set = Set::read(key(text).unwrap(), elements).unwrap();
            set.with_room(room).declared()
        };
        let address = "(ip4.saddr)";
        assert_eq!(set(address, "{}", 9), Some("max 9".to_owned()));
        let more = "max 4 = { 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.9 }";
        let four = "{10.0.0.0; 10.0.0.1; 10.0.0.2; 10.0.0.9}";
        assert_eq!(set(address, four, 1), Some(more.to_owned()));
        assert_eq!(set("(tcp.dport)", "{}", 9), None);
    }

    #[test]
    fn keys_and_elements_that_are_none_are_refused() {
        for wrong in ["(meta.mark)", "(ip4.snet, tcp.dport)", "(nothing)", "()"] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        let read = |elements| Set::read(key("(ip4.saddr, tcp.dport)").unwrap(), elements);
        assert!(read("{10.0.0.1}").unwrap_err().contains("each part"));
        assert!(
            read("{10.0.0.1, x}")
                .unwrap_err()
                .contains("`x` is no value")
        );
        assert!(read("{10.0.0.0/8, 1}").unwrap_err().contains("network"));
        assert!(read("{10.0.0.1, 1-2}").unwrap_err().contains("range"));
        let elided = read("{ /* 4096 elements, content elided */ }").unwrap_err();
        assert!(elided.contains("without `--no-set-content`"));
        assert!(read("{ }").unwrap().is_empty());
    }
}
