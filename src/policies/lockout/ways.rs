//! What of some interfaces holds on every way that packets take: they come by one of the interfaces below another, and then by
//! that.

use sockc_runtime::Arrival;

/// Whether something is so on every way that ends with an interface: there, or on each that is below it.
pub(super) fn everywhere(ways: &[Arrival], end: usize, so: &impl Fn(usize) -> bool) -> bool {
    let mut below = below(ways, end).peekable();
    so(end) || below.peek().is_some() && below.all(|below| everywhere(ways, below, so))
}

/// The interfaces where ways end.
pub(super) fn ends(ways: &[Arrival]) -> impl Iterator<Item = usize> {
    let ways = ways.iter().enumerate();
    ways.filter_map(|(place, way)| way.above.is_none().then_some(place))
}

/// An interface, and all on ways that end with it.
pub(super) fn all_of(ways: &[Arrival], end: usize) -> Vec<usize> {
    let below = below(ways, end).flat_map(|below| all_of(ways, below));
    std::iter::once(end).chain(below).collect()
}

/// Those directly below, which are known later than what is above them.
fn below(ways: &[Arrival], above: usize) -> impl Iterator<Item = usize> {
    let ways = ways.iter().enumerate().skip(above + 1);
    ways.filter_map(move |(place, way)| (way.above == Some(above)).then_some(place))
}
