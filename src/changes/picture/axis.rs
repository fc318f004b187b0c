//! An axis on which what matters can be seen: between two borders of what is drawn there is room by the logarithm of
//! what lies between, so that a single port or address and a half of all of them have both their place.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The least room between the middles of two lines of text, in points.
const APART: f64 = 12.0;
/// Columns of a mark on the axis of ports.
const LETTER: f64 = 6.0;

/// What an axis is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Addresses of IPv4.
    V4,
    /// Addresses of IPv6.
    V6,
    /// Ports.
    Ports,
}

impl Of {
    fn last(self) -> u128 {
        match self {
            Self::V4 => u128::from(u32::MAX),
            Self::V6 => u128::MAX,
            Self::Ports => u128::from(u16::MAX),
        }
    }

    /// The room of so many values and one; a half of all has five times that of a single one.
    fn room(self, beside_one: u128) -> f64 {
        let bits = |number: u128| f64::from(128 - number.leading_zeros());
        1.0 + 4.0 * bits(beside_one) / bits(self.last())
    }

    fn words(self, value: u128) -> String {
        match self {
            Self::V4 => Ipv4Addr::from_bits(value as u32).to_string(),
            Self::V6 => Ipv6Addr::from_bits(value).to_string(),
            Self::Ports => value.to_string(),
        }
    }
}

/// An axis.
#[derive(Debug)]
pub(super) struct Axis {
    of: Of,
    /// Where each stretch begins, and its place.
    borders: Vec<(u128, f64)>,
    length: f64,
}

impl Axis {
    /// An axis on which these inclusive spans begin and end at borders.
    pub(super) fn new(of: Of, length: f64, spans: impl Iterator<Item = (u128, u128)>) -> Self {
        let last = of.last();
        let mut starts = vec![0];
        for (low, high) in spans {
            starts.push(low);
            if high < last {
                starts.push(high + 1);
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([last]);
        let stretches = starts.iter().zip(ends);
        let room: Vec<f64> = stretches.map(|(start, end)| of.room(end - start)).collect();
        let whole: f64 = room.iter().sum();
        let mut place = 0.0;
        let mut borders = Vec::new();
        for (start, room) in starts.into_iter().zip(room) {
            borders.push((start, place));
            place += room / whole * length;
        }
        Self {
            of,
            borders,
            length,
        }
    }

    /// Both ends of an inclusive span that begins and ends at borders.
    pub(super) fn span(&self, (low, high): (u128, u128)) -> (f64, f64) {
        let place = |value: u128| {
            let next = self.borders.partition_point(|border| border.0 < value);
            self.borders
                .get(next)
                .map_or(self.length, |border| border.1)
        };
        (place(low), high.checked_add(1).map_or(self.length, place))
    }

    /// From the top down: a line and the first address at each border, as far as there is room.
    pub(super) fn down(&self, text: &mut String, width: f64) {
        let mut free = f64::NEG_INFINITY;
        for &(address, y) in &self.borders {
            if y < free {
                continue;
            }
            free = y + APART;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "<path d=\"M-5 {y:.1}H{width}\" stroke=\"#888888\" stroke-opacity=\"0.35\"/>\
                 <text x=\"-8\" y=\"{:.1}\" font-size=\"10\" text-anchor=\"end\">{}</text>",
                y + 3.5,
                self.of.words(address)
            );
        }
        let _ = writeln!(
            text,
            "<text x=\"-8\" y=\"-12\" font-size=\"10\" text-anchor=\"end\" fill=\"#555555\">sender</text>"
        );
    }

    /// From left to right: below each stretch what lies in it, the shorter stretches first, as far as there is room.
    pub(super) fn along(&self, text: &mut String, height: f64) {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (low, high) in self.stretches() {
            let (left, right) = self.span((low, high));
            let words = match (low == high, high - low == self.of.last()) {
                (true, _) => self.of.words(low),
                (_, true) => "any".to_owned(),
                _ => format!("{}-{}", self.of.words(low), self.of.words(high)),
            };
            let middle = f64::midpoint(left, right);
            let half = LETTER * words.len() as f64 / 2.0;
            let clear =
                |&(before, after): &(f64, f64)| middle + half <= before || middle - half >= after;
            if !taken.iter().all(clear) {
                continue;
            }
            taken.push((middle - half, middle + half));
            let _ = writeln!(
                text,
                "<path d=\"M{left:.1} {height}v5M{right:.1} {height}v5\" stroke=\"#888888\"/>\
                 <text x=\"{middle:.1}\" y=\"{}\" font-size=\"10\" text-anchor=\"middle\">{words}</text>",
                height + 16.0
            );
        }
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">receiver's port</text>",
            self.length / 2.0,
            height + 36.0
        );
    }

    /// The stretches between borders, inclusive, the shorter ones first.
    fn stretches(&self) -> Vec<(u128, u128)> {
        let starts = self.borders.iter().map(|border| border.0);
        let ends = starts.clone().skip(1).map(|start| start - 1);
        let mut stretches: Vec<_> = starts.zip(ends.chain([self.of.last()])).collect();
        stretches.sort_by_key(|(low, high)| high - low);
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lie_between_borders_in_order() {
        let spans = [(10, 10), (100, 199), (200, u128::from(u32::MAX))];
        let axis = Axis::new(Of::V4, 100.0, spans.into_iter());
        let places: Vec<f64> = spans
            .iter()
            .flat_map(|&span| <[f64; 2]>::from(axis.span(span)))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(axis.span(spans[1]).1, axis.span(spans[2]).0);
        assert_eq!(axis.span(spans[2]).1, 100.0);
        let all = Axis::new(Of::V6, 100.0, [(0, u128::MAX)].into_iter());
        assert_eq!(all.span((0, u128::MAX)), (0.0, 100.0));
    }

    #[test]
    fn a_single_port_can_be_seen() {
        let axis = Axis::new(Of::Ports, 380.0, [(22, 22), (8000, 8099)].into_iter());
        let (left, right) = axis.span((22, 22));
        assert!(right - left > 20.0, "{left} {right}");
        let mut text = String::new();
        axis.along(&mut text, 0.0);
        assert!(
            text.contains(">22<") && text.contains(">8000-8099<"),
            "{text}"
        );
    }
}
