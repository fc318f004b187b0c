//! The two axes: addresses by the borders of what is drawn, ports by their logarithm.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The least room between two marks, in points.
const APART: f64 = 12.0;

/// The axis of addresses, from the top down. Between two borders there is room by the logarithm of what lies between,
/// so that a single address and a half of all of them can both be seen.
#[derive(Debug)]
pub(super) struct Addresses {
    ipv6: bool,
    /// Where each stretch begins, and its place; the last is the end.
    borders: Vec<(u128, f64)>,
    height: f64,
}

impl Addresses {
    /// An axis on which these inclusive spans begin and end at borders.
    pub(super) fn new(ipv6: bool, height: f64, spans: impl Iterator<Item = (u128, u128)>) -> Self {
        let last = if ipv6 {
            u128::MAX
        } else {
            u128::from(u32::MAX)
        };
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
        let room: Vec<f64> = starts
            .iter()
            .zip(ends)
            .map(|(start, end)| room(end - start))
            .collect();
        let whole: f64 = room.iter().sum();
        let mut place = 0.0;
        let mut borders = Vec::new();
        for (start, room) in starts.into_iter().zip(room) {
            borders.push((start, place));
            place += room / whole * height;
        }
        Self {
            ipv6,
            borders,
            height,
        }
    }

    /// Top and bottom of an inclusive span whose ends are borders.
    pub(super) fn span(&self, (low, high): (u128, u128)) -> (f64, f64) {
        let place = |address: u128| {
            let next = self.borders.partition_point(|border| border.0 < address);
            self.borders
                .get(next)
                .map_or(self.height, |border| border.1)
        };
        (place(low), high.checked_add(1).map_or(self.height, place))
    }

    /// A line and an address at each border, as far as there is room.
    pub(super) fn marks(&self, text: &mut String, width: f64) {
        let mut free = f64::NEG_INFINITY;
        for &(address, y) in &self.borders {
            if y < free {
                continue;
            }
            free = y + APART;
            let words = if self.ipv6 {
                Ipv6Addr::from_bits(address).to_string()
            } else {
                Ipv4Addr::from_bits(u32::try_from(address).unwrap_or(u32::MAX)).to_string()
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "<path d=\"M-5 {y:.1}H{width}\" stroke=\"#888888\" stroke-opacity=\"0.35\"/>\
                 <text x=\"-8\" y=\"{:.1}\" font-size=\"10\" text-anchor=\"end\">{words}</text>",
                y + 3.5
            );
        }
    }
}

/// The room of so many addresses and one.
fn room(beside_one: u128) -> f64 {
    1.0 + f64::from(128 - beside_one.leading_zeros()) / 8.0
}

/// Marks that are there in any case.
const USUAL: [u16; 5] = [0, 1_024, 8_192, 32_768, u16::MAX];

/// The axis of ports.
#[derive(Debug)]
pub(super) struct Ports {
    width: f64,
    /// What is marked, the more important first.
    marked: Vec<u16>,
}

impl Ports {
    /// An axis on which the ends of these inclusive spans are marked.
    pub(super) fn new(width: f64, spans: impl Iterator<Item = (u16, u16)>) -> Self {
        let mut marked: Vec<u16> = spans.flat_map(|(low, high)| [low, high]).collect();
        marked.sort_unstable();
        marked.dedup();
        marked.extend(USUAL);
        Self { width, marked }
    }

    /// The place where a port begins; 65,536 is the end.
    fn place(&self, port: u32) -> f64 {
        f64::from(port + 1).log2() / 65_537f64.log2() * self.width
    }

    /// Left and right of an inclusive span.
    pub(super) fn span(&self, (low, high): (u16, u16)) -> (f64, f64) {
        (self.place(u32::from(low)), self.place(u32::from(high) + 1))
    }

    /// A line and a number at each mark, as far as there is room.
    pub(super) fn marks(&self, text: &mut String, height: f64) {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for &port in &self.marked {
            let (left, right) = self.span((port, port));
            let x = f64::midpoint(left, right);
            let half = 4.0 * port.to_string().len() as f64;
            if taken
                .iter()
                .any(|&(low, high)| x + half > low && x - half < high)
            {
                continue;
            }
            taken.push((x - half, x + half));
            let _ = writeln!(
                text,
                "<path d=\"M{x:.1} {height}v5\" stroke=\"#888888\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" font-size=\"10\" text-anchor=\"middle\">{port}</text>",
                height + 16.0
            );
        }
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">receiver's port</text>\n\
             <text x=\"-8\" y=\"-12\" font-size=\"10\" text-anchor=\"end\" fill=\"#555555\">sender</text>",
            self.width / 2.0,
            height + 36.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lie_between_borders_in_order() {
        let spans = [(10, 10), (100, 199), (200, u128::from(u32::MAX))];
        let axis = Addresses::new(false, 100.0, spans.into_iter());
        let places: Vec<f64> = spans
            .iter()
            .flat_map(|&span| <[f64; 2]>::from(axis.span(span)))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(axis.span(spans[1]).1, axis.span(spans[2]).0);
        assert_eq!(axis.span(spans[2]).1, 100.0);
        let all = Addresses::new(true, 100.0, [(0, u128::MAX)].into_iter());
        assert_eq!(all.span((0, u128::MAX)), (0.0, 100.0));
    }

    #[test]
    fn low_ports_have_more_room() {
        let axis = Ports::new(100.0, [].into_iter());
        let room = |span| axis.span(span).1 - axis.span(span).0;
        assert!(room((22, 22)) > 100.0 * room((40_000, 40_000)));
        assert_eq!(axis.span((0, u16::MAX)), (0.0, 100.0));
    }
}
