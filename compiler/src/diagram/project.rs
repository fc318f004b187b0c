//! Which values a field can have where a diagram is 1.

use super::cache::Known;
use super::{Node, Store};
use crate::field::Field;

/// So many ranges are told; what has more is said to have any value.
const MAX_RANGES: usize = 4096;

impl Store {
    /// The values that the field can have where the diagram (of 0 and 1) is 1, as ranges in order; `None` if there are too
    /// many to tell.
    #[must_use]
    pub fn values_of(&self, node: Node, field: Field) -> Option<Vec<(u128, u128)>> {
        self.numbers(node, self.first(field), field.bits())
    }

    /// The same of an IPv6 address, whose first word is the field.
    #[must_use]
    pub(crate) fn addresses_of(&self, node: Node, first_word: Field) -> Option<Vec<(u128, u128)>> {
        self.numbers(node, self.first(first_word), 128)
    }

    /// Where the diagram is not 0, by the values of a field that nothing is asked before: ranges in order, and what is asked
    /// after. Neighbours differ.
    #[must_use]
    pub fn arms(&self, node: Node, field: Field) -> Vec<(u32, u32, Node)> {
        let mut arms = Vec::new();
        self.add_arms(node, field, field.bits(), 0, &mut arms);
        arms
    }

    /// Those of the values that begin with `prefix`, of which so many bits are not decided yet.
    fn add_arms(
        &self,
        node: Node,
        field: Field,
        bits: u32,
        prefix: u32,
        arms: &mut Vec<(u32, u32, Node)>,
    ) {
        if node == Node::FALSE || prefix > field.max() {
            return;
        }
        if self.field_of(node) == Some(field) {
            let (low, high) = self.split_bit(node, field, bits - 1);
            self.add_arms(low, field, bits - 1, prefix, arms);
            self.add_arms(high, field, bits - 1, prefix | 1 << (bits - 1), arms);
            return;
        }
        let rest = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
        let high = (prefix | rest).min(field.max());
        match arms.last_mut() {
            Some(last) if last.1 + 1 == prefix && last.2 == node => last.1 = high,
            _ => arms.push((prefix, high, node)),
        }
    }

    /// The diagram for packets of IPv4, and the one for packets of IPv6.
    #[must_use]
    pub(crate) fn by_family(&self, node: Node) -> [Node; 2] {
        let (v4, v6) = self.split_bit(node, Field::Family, 0);
        [v4, v6]
    }

    fn numbers(&self, node: Node, first: u32, bits: u32) -> Option<Vec<(u128, u128)>> {
        let mut found = Vec::new();
        for entry in self.entries(node, first) {
            let mut ranges = Ranges {
                store: self,
                end: first + bits,
                ranges: Vec::new(),
            };
            ranges.add(entry, first, 0)?;
            found.extend(ranges.ranges);
            if found.len() > 4 * MAX_RANGES {
                found = merged(found);
            }
        }
        let found = merged(found);
        (found.len() <= MAX_RANGES).then_some(found)
    }

    /// The nodes that are met first of those whose variable is this one or later, without 0.
    fn entries(&self, root: Node, first: u32) -> Vec<Node> {
        let mut seen = Known::from_iter([(root, ())]);
        let mut open = vec![root];
        let mut entries = Vec::new();
        while let Some(node) = open.pop() {
            if node == Node::FALSE {
                continue;
            }
            if self.variable(node) >= first {
                entries.push(node);
                continue;
            }
            let data = self.data(node);
            let next = [data.low, data.high].into_iter();
            open.extend(next.filter(|&next| seen.insert(next, ()).is_none()));
        }
        entries
    }
}

/// Ranges while they are found, by increasing number.
struct Ranges<'a> {
    store: &'a Store,
    end: u32,
    ranges: Vec<(u128, u128)>,
}

impl Ranges<'_> {
    /// Adds the numbers that begin with `prefix`, of which the bits from `variable` on are not decided yet.
    fn add(&mut self, node: Node, variable: u32, prefix: u128) -> Option<()> {
        if node == Node::FALSE {
            return Some(());
        }
        let left = self.end - variable;
        if self.store.variable(node) >= self.end {
            let low = prefix.checked_shl(left).unwrap_or(0);
            let size_less_one = match left {
                0 => 0,
                left => u128::MAX >> (128 - left),
            };
            return self.push(low, low | size_less_one);
        }
        let (low, high) = self.store.split(node, variable);
        self.add(low, variable + 1, prefix << 1)?;
        self.add(high, variable + 1, prefix << 1 | 1)
    }

    fn push(&mut self, low: u128, high: u128) -> Option<()> {
        match self.ranges.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(low) => last.1 = high,
            _ => self.ranges.push((low, high)),
        }
        (self.ranges.len() <= MAX_RANGES).then_some(())
    }
}

/// The union, in order.
fn merged(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if last.1.checked_add(1).is_none_or(|next| low <= next) => {
                last.1 = last.1.max(high);
            }
            _ => merged.push((low, high)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_some_case_has() {
        let mut store = Store::new();
        let web = store
            .ranges(
                Field::ToPort,
                &[(80, 80), (443, 443)],
                Node::TRUE,
                Node::FALSE,
            )
            .unwrap();
        let dns = store
            .range(Field::ToPort, 53, 53, Node::TRUE, Node::FALSE)
            .unwrap();
        let node = store.range(Field::Protocol, 6, 6, web, dns).unwrap();
        assert_eq!(
            store.values_of(node, Field::ToPort),
            Some(vec![(53, 53), (80, 80), (443, 443)])
        );
        assert_eq!(store.values_of(node, Field::Ttl), Some(vec![(0, 255)]));
        assert_eq!(store.values_of(Node::FALSE, Field::Ttl), Some(vec![]));
        let low = store.masked(Field::To0, 1, 1).unwrap();
        assert_eq!(store.values_of(low, Field::To0), None);
    }

    #[test]
    fn an_address_of_four_words_is_one_number() {
        let mut store = Store::new();
        let range = (0x2001_0db8 << 96, (0x2001_0db8 << 96) + 7);
        let node = store
            .address_ranges(Field::From0, &[range], Node::TRUE, Node::FALSE)
            .unwrap();
        assert_eq!(store.addresses_of(node, Field::From0), Some(vec![range]));
        assert_eq!(
            store.addresses_of(Node::TRUE, Field::From0),
            Some(vec![(0, u128::MAX)])
        );
    }
}
