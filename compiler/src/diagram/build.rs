//! Diagrams of ranges and of bit patterns of one field, and of whole IPv6 addresses.
//!
//! Values past [`Field::max`] never occur; they follow the largest that does, so that they add no node.

use super::{BudgetExceeded, Node, Store};
use crate::field::Field;

/// A number made of neighbouring variables, the most significant bit first.
#[derive(Clone, Copy)]
struct Number {
    first: u32,
    bits: u32,
}

impl Store {
    /// `inside` where the field lies in `low..=high`, else `outside`.
    pub fn range(
        &mut self,
        field: Field,
        low: u32,
        high: u32,
        inside: Node,
        outside: Node,
    ) -> Result<Node, BudgetExceeded> {
        self.ranges(field, &[(low, high)], inside, outside)
    }

    /// `inside` where the field lies in one of the sorted, disjoint ranges, else `outside`. An empty range (low above
    /// high) holds nothing.
    pub fn ranges(
        &mut self,
        field: Field,
        ranges: &[(u32, u32)],
        inside: Node,
        outside: Node,
    ) -> Result<Node, BudgetExceeded> {
        let all_ones = u32::MAX >> (32 - field.bits());
        let widen = |high: u32| if high >= field.max() { all_ones } else { high };
        let wide: Vec<(u128, u128)> = ranges
            .iter()
            .filter(|(low, high)| low <= high && *low <= field.max())
            .map(|&(low, high)| (u128::from(low), u128::from(widen(high))))
            .collect();
        let number = Number {
            first: self.first(field),
            bits: field.bits(),
        };
        self.choose(number, &wide, inside, outside)
    }

    /// `inside` where the four words that begin with this field, as one number, lie in one of the sorted, disjoint
    /// ranges, else `outside`.
    pub(crate) fn address_ranges(
        &mut self,
        first_word: Field,
        ranges: &[(u128, u128)],
        inside: Node,
        outside: Node,
    ) -> Result<Node, BudgetExceeded> {
        let number = Number {
            first: self.first(first_word),
            bits: 128,
        };
        self.choose(number, ranges, inside, outside)
    }

    /// 1 where these neighbouring fields, as one number, lie in `low..=high`.
    pub fn spread(
        &mut self,
        fields: &[Field],
        low: u64,
        high: u64,
    ) -> Result<Node, BudgetExceeded> {
        let Some(&first) = fields.first() else {
            return Ok(Node::TRUE);
        };
        let number = Number {
            first: self.first(first),
            bits: fields.iter().map(|field| field.bits()).sum(),
        };
        let range = [(low.into(), high.into())];
        self.choose(number, &range, Node::TRUE, Node::FALSE)
    }

    /// 1 where the bits of `mask` in the field are those of `value`.
    pub fn masked(&mut self, field: Field, mask: u32, value: u32) -> Result<Node, BudgetExceeded> {
        let mut node = Node::TRUE;
        for bit in (0..field.bits()).filter(|bit| mask >> bit & 1 == 1) {
            let variable = self.first(field) + field.bits() - 1 - bit;
            node = match value >> bit & 1 {
                1 => self.make(variable, Node::FALSE, node)?,
                _ => self.make(variable, node, Node::FALSE)?,
            };
        }
        Ok(node)
    }

    fn choose(
        &mut self,
        number: Number,
        ranges: &[(u128, u128)],
        inside: Node,
        outside: Node,
    ) -> Result<Node, BudgetExceeded> {
        let end = number.first + number.bits;
        if self.variable(inside) >= end && self.variable(outside) >= end {
            return self.part(number, 0, ranges, inside, outside);
        }
        let condition = self.part(number, 0, ranges, Node::TRUE, Node::FALSE)?;
        self.ite(condition, inside, outside)
    }

    /// The diagram of the numbers that begin with the bits of `base`, of which the first are decided; `ranges` are
    /// those that meet them.
    fn part(
        &mut self,
        rest: Number,
        base: u128,
        ranges: &[(u128, u128)],
        inside: Node,
        outside: Node,
    ) -> Result<Node, BudgetExceeded> {
        let size_less_one = if rest.bits == 0 {
            0
        } else {
            u128::MAX >> (128 - rest.bits)
        };
        let last = base | size_less_one;
        let ranges = clip(ranges, base, last);
        match ranges {
            [] => return Ok(outside),
            [(low, high)] if *low <= base && last <= *high => return Ok(inside),
            _ => {}
        }
        let below = Number {
            first: rest.first + 1,
            bits: rest.bits - 1,
        };
        let middle = base | 1 << below.bits;
        let low = self.part(below, base, ranges, inside, outside)?;
        let high = self.part(below, middle, ranges, inside, outside)?;
        self.make(rest.first, low, high)
    }
}

/// Those of sorted, disjoint ranges that meet `first..=last`.
fn clip(ranges: &[(u128, u128)], first: u128, last: u128) -> &[(u128, u128)] {
    let start = ranges.partition_point(|&(_, high)| high < first);
    let end = ranges.partition_point(|&(low, _)| low <= last);
    ranges.get(start..end).unwrap_or(&[])
}
