//! Children of a node that share what stands below the one before them.

use super::*;
use crate::classifier::items::Dimension;
use crate::testing::Rng;

/// A range of one port, as the boxes of IPv4 are.
#[derive(Clone, Copy, Debug)]
struct Range(u64, u64);

impl Flat for Range {
    const PLANES: &'static [Plane] = &[
        Plane {
            dimension: Dimension::ToPort,
            shift: 0,
            bits: 16,
        },
        Plane {
            dimension: Dimension::Class,
            shift: 0,
            bits: 6,
        },
    ];

    fn of(_: &crate::classifier::Item) -> Self {
        Self(0, 0)
    }

    fn bounds(&self, plane: usize) -> (u64, u64) {
        match plane {
            0 => (self.0, self.1),
            _ => (0, 0),
        }
    }

    fn classes(&self) -> u64 {
        1
    }

    fn question(&self) -> u8 {
        0
    }
}

const ROOM: Room = Room {
    records: 1_000,
    record: 16,
};

/// Which children of a node have nothing that the one before has not.
fn same(ranges: &[Range], chosen: Chosen) -> [bool; 256] {
    let mut grower = Grower::new(ranges, ROOM);
    grower.stack.extend(0..ranges.len() as u32);
    let cube = Cube::whole(1);
    let (_, same) = grower.part(0..ranges.len(), chosen, Range::PLANES[0], &cube);
    same
}

/// Whether a range holds the same packets of two neighbouring children, apart from the bits that the node looks at.
fn alike(&Range(low, high): &Range, chosen: Chosen, child: u64) -> bool {
    let step = 1 << chosen.shift;
    let mask = low_bits(chosen.bits);
    let mut of_child = (0..=0xffffu64).filter(|port| port >> chosen.shift & mask == child);
    let holds = |port: u64| low <= port && port <= high;
    of_child.all(|port| holds(port) == holds(port - step))
}

#[test]
fn a_child_is_the_one_before_only_where_every_range_goes_on_alike() {
    let mut dice = Rng::new(1);
    let mut shared = 0;
    for _ in 0..300 {
        let bits = [1, 2, 4][dice.below(3)];
        let chosen = Chosen {
            plane: 0,
            shift: dice.below(17 - bits as usize) as u32,
            bits,
        };
        let ranges: Vec<Range> = (0..1 + dice.below(2))
            .map(|_| {
                let round = [0xffff, 0xff00, 0xf000, 0xfff0][dice.below(4)];
                let (one, other) = (dice.half() & round, dice.half() | !round);
                Range(one.min(other).into(), one.max(other).into())
            })
            .collect();
        let same = same(&ranges, chosen);
        for child in 1..1u64 << bits {
            let every = ranges.iter().all(|range| alike(range, chosen, child));
            let taken = same[child as usize];
            assert!(!taken || every, "{chosen:?} {ranges:x?}: child {child}");
            shared += usize::from(taken);
        }
    }
    assert!(shared > 100, "{shared}");
}
