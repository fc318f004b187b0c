//! Sorted, disjoint, merged inclusive ranges of integers: addresses as `u32` or `u128`, ports as `u16`.

/// An integer that ranges are made of.
pub trait Bound: Copy + Ord {
    /// The smallest value.
    const MIN: Self;
    /// The largest value.
    const MAX: Self;
    /// The next value, unless this is the largest.
    fn next(self) -> Option<Self>;
    /// The value before, unless this is the smallest.
    fn previous(self) -> Option<Self>;
}

macro_rules! bound {
    ($($int:ty),*) => {$(
        impl Bound for $int {
            const MIN: Self = <$int>::MIN;
            const MAX: Self = <$int>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}
bound!(u8, u16, u32, u64, u128);

/// A set of integers as sorted, disjoint, non-adjacent inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeSet<T> {
    ranges: Vec<(T, T)>,
}

impl<T> Default for RangeSet<T> {
    fn default() -> Self {
        Self { ranges: Vec::new() }
    }
}

impl<T: Bound> RangeSet<T> {
    /// Every value.
    #[must_use]
    pub fn full() -> Self {
        Self {
            ranges: vec![(T::MIN, T::MAX)],
        }
    }

    /// The union of inclusive ranges in any order, overlaps and neighbours merged. Each must have low <= high.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut ranges = ranges.into_iter();
        let Some(first) = ranges.next() else {
            return Self::default();
        };
        // Most sets of long lists are one range.
        let Some(second) = ranges.next() else {
            return Self {
                ranges: vec![first],
            };
        };
        let mut sorted = vec![first, second];
        sorted.extend(ranges);
        sorted.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(sorted.len());
        for (low, high) in sorted {
            match merged.last_mut() {
                Some(last) if last.1.next().is_none_or(|after| low <= after) => {
                    last.1 = last.1.max(high)
                }
                _ => merged.push((low, high)),
            }
        }
        Self { ranges: merged }
    }

    /// The ranges, sorted, disjoint and not adjacent.
    #[must_use]
    pub fn ranges(&self) -> &[(T, T)] {
        &self.ranges
    }

    /// Whether no value is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether every value is in it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ranges == [(T::MIN, T::MAX)]
    }

    /// Whether some value is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.ranges.len() <= other.ranges.len() {
            (&self.ranges, &other.ranges)
        } else {
            (&other.ranges, &self.ranges)
        };
        few.iter().any(|&(low, high)| {
            let at = many.partition_point(|&(_, end)| end < low);
            many.get(at).is_some_and(|&(start, _)| start <= high)
        })
    }

    /// Whether `value` is in it.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        let after = self.ranges.partition_point(|&(low, _)| low <= value);
        after > 0 && value <= self.ranges[after - 1].1
    }

    /// The values that are not in it.
    #[must_use]
    pub(crate) fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.ranges.len() + 1);
        let mut low = Some(T::MIN);
        for &(start, end) in &self.ranges {
            if let (Some(from), Some(to)) = (low, start.previous())
                && from <= to
            {
                gaps.push((from, to));
            }
            low = end.next();
        }
        if let Some(from) = low {
            gaps.push((from, T::MAX));
        }
        Self { ranges: gaps }
    }

    /// The values in either.
    #[must_use]
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// The values of `self` that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.complement().union(other).complement()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_and_neighbours_merge() {
        let set = RangeSet::from_ranges([(5u16, 9), (0, 3), (4, 4), (20, 30), (25, 40), (26, 27)]);
        assert_eq!(set.ranges(), [(0, 9), (20, 40)]);
        assert!(
            set.contains(0)
                && set.contains(9)
                && !set.contains(10)
                && set.contains(40)
                && !set.contains(41)
        );
    }

    #[test]
    fn complement_is_its_own_inverse() {
        for set in [
            RangeSet::from_ranges([(0u8, 0)]),
            RangeSet::from_ranges([(255u8, 255)]),
            RangeSet::from_ranges([(1u8, 7), (9, 254)]),
            RangeSet::full(),
            RangeSet::default(),
        ] {
            assert_eq!(set.complement().complement(), set);
            assert!((0..=255).all(|v| set.contains(v) != set.complement().contains(v)));
        }
    }

    #[test]
    fn sets_meet_where_one_value_is_in_both() {
        let set = |ranges: &[(u8, u8)]| RangeSet::from_ranges(ranges.iter().copied());
        let sets = [
            set(&[]),
            set(&[(9, 9)]),
            set(&[(5, 9)]),
            set(&[(9, 12)]),
            set(&[(10, 12)]),
            set(&[(0, 4), (13, 13), (255, 255)]),
            set(&[(1, 2), (4, 4), (12, 200)]),
        ];
        for one in &sets {
            for other in &sets {
                let both = (0..=255).any(|value| one.contains(value) && other.contains(value));
                assert_eq!(one.meets(other), both, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn minus_takes_away() {
        let set = RangeSet::from_ranges([(10u32, 20)])
            .minus(&RangeSet::from_ranges([(12, 13), (20, 99)]));
        assert_eq!(set.ranges(), [(10, 11), (14, 19)]);
    }
}
