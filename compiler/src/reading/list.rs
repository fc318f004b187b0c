//! The list that a set is read from: one address, prefix or range a line, `#` comments, both families.
//!
//! Takes a text of any length; gives merged ranges and how many elements overlapped others, without keeping anything
//! for each line. A line that is wrong is reported with its place; none is passed over in silence.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::codes::TOO_MANY;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Source, SourceId, Span};

use super::codes;
use crate::observer::Observer;
use crate::policy::AddressSet;
use crate::ranges::{Bound, RangeSet};
use crate::values::addresses::{mapped_list, prefix, range};

/// So many wrong lines of one list are shown; the others are counted.
const MAX_WRONG: usize = 20;

/// How often progress is told, in bytes.
const STEP: usize = 1 << 18;

/// What stands in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// The addresses.
    pub addresses: AddressSet,
    /// Lines with an element.
    pub elements: u64,
    /// Elements that begin inside another.
    pub overlapping: u64,
    /// The first and the last address of each element of IPv4, sorted.
    pub v4: Vec<(u32, u32)>,
    /// The same of IPv6.
    pub v6: Vec<(u128, u128)>,
}

impl List {
    /// The first and the last address of each element.
    pub(crate) fn written(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self
            .v4
            .iter()
            .map(|&(low, high)| [low, high].map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))));
        let v6 = self
            .v6
            .iter()
            .map(|&(low, high)| [low, high].map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))));
        v4.chain(v6).map(|[low, high]| (low, high))
    }
}

/// Elements on their way to become a list.
#[derive(Default)]
struct Gathered {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    elements: u64,
    /// Elements in the block of IPv4-mapped addresses, and the first of them.
    mapped: u64,
    first_mapped: Option<Span>,
    wrong: Vec<Diagnostic>,
    left_out: u64,
}

/// Reads a list; it is of use only if no error was found.
pub(crate) fn read(
    source: &Source,
    id: SourceId,
    observer: &mut dyn Observer,
) -> (List, Vec<Diagnostic>) {
    let mut gathered = Gathered::default();
    let mut told = 0;
    for (element, span) in written(source, id) {
        gathered.take(element, span);
        let at = span.end as usize;
        if at - told >= STEP {
            told = at;
            observer.progress(at as u64, source.text.len() as u64);
        }
    }
    gathered.finish()
}

/// Where the first element stands that goes from one address to another.
pub(crate) fn place_of(source: &Source, id: SourceId, ends: (IpAddr, IpAddr)) -> Option<Span> {
    let mut all = written(source, id);
    all.find(|(element, span)| bounds(element, *span).is_ok_and(|found| found == ends))
        .map(|(_, span)| span)
}

/// The elements of a list as they are written, one a line, without comments.
fn written(source: &Source, id: SourceId) -> impl Iterator<Item = (&str, Span)> {
    // Editors of other systems put a byte order mark at the start.
    let mark = if source.text.starts_with('\u{feff}') {
        3
    } else {
        0
    };
    let mut at = mark;
    let lines = source.text[mark..].split('\n').map(move |line| {
        let start = at;
        at += line.len() + 1;
        (line, start)
    });
    lines.filter_map(move |(line, at)| {
        let element = line.split_once('#').map_or(line, |(before, _)| before);
        let start = at + element.len() - element.trim_start().len();
        let element = element.trim();
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let span = Span {
            source: id,
            start: position(start),
            end: position(start + element.len()),
        };
        (!element.is_empty()).then_some((element, span))
    })
}

impl Gathered {
    /// Takes an element.
    fn take(&mut self, element: &str, span: Span) {
        self.elements += 1;
        match bounds(element, span) {
            Ok((IpAddr::V4(low), IpAddr::V4(high))) => {
                self.v4.push((low.to_bits(), high.to_bits()))
            }
            Ok((IpAddr::V6(low), IpAddr::V6(high))) => {
                if is_mapped(low, high) {
                    self.mapped += 1;
                    self.first_mapped.get_or_insert(span);
                }
                self.v6.push((low.to_bits(), high.to_bits()));
            }
            // Ranges are of one family.
            Ok(_) => {}
            Err(wrong) if self.wrong.len() < MAX_WRONG => self.wrong.push(*wrong),
            Err(_) => self.left_out += 1,
        }
    }

    fn finish(mut self) -> (List, Vec<Diagnostic>) {
        if let (Some(last), 1..) = (self.wrong.last(), self.left_out) {
            let place = last.primary.span;
            self.wrong.push(
                Diagnostic::error(
                    TOO_MANY,
                    format!("{} more lines of this list are wrong", self.left_out),
                    place,
                    "stopped here",
                )
                .help("correct these first"),
            );
        }
        if let Some(first) = self.first_mapped {
            self.wrong.push(mapped_list(self.mapped, first));
        }
        let overlapping = overlapping(&mut self.v4) + overlapping(&mut self.v6);
        let list = List {
            addresses: AddressSet {
                v4: RangeSet::from_ranges(self.v4.iter().copied()),
                v6: RangeSet::from_ranges(self.v6.iter().copied()),
            },
            elements: self.elements,
            overlapping,
            v4: self.v4,
            v6: self.v6,
        };
        (list, self.wrong)
    }
}

/// The first and the last address of an element, both of one family.
fn bounds(element: &str, span: Span) -> Result<(IpAddr, IpAddr), Box<Diagnostic>> {
    let host = |text: &str| address(text).ok_or_else(|| no_element(element, span));
    if let Some((start, length)) = element.split_once('/') {
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|_| digits);
        return match length {
            Some(length) => prefix(host(start)?, length, span),
            None => Err(no_element(element, span)),
        };
    }
    if let Some((low, high)) = element.split_once('-') {
        return range(host(low.trim_end())?, host(high.trim_start())?, span);
    }
    let one = host(element)?;
    Ok((one, one))
}

fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    }
}

/// Whether both ends lie in `::ffff:0:0/96`, but not the whole block.
fn is_mapped(low: Ipv6Addr, high: Ipv6Addr) -> bool {
    let ends = low.to_ipv4_mapped().zip(high.to_ipv4_mapped());
    ends.is_some_and(|ends| ends != (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST))
}

fn no_element(element: &str, span: Span) -> Box<Diagnostic> {
    let shown: String = element.chars().take(60).collect();
    let error = Diagnostic::error(
        codes::LIST_LINE,
        format!("`{}` is no address, prefix or range", shown.escape_debug()),
        span,
        "a list has one element a line",
    );
    Box::new(error.help("write an address, a prefix such as `10.0.0.0/8` or, but for live sets, a range such as `10.0.0.1-10.0.0.9`; put a `#` before comments"))
}

/// Sorts ranges and counts those that begin inside another.
fn overlapping<T: Bound>(ranges: &mut [(T, T)]) -> u64 {
    ranges.sort_unstable_by_key(|&(low, high)| (low, Reverse(high)));
    let mut reach: Option<T> = None;
    let mut count = 0;
    for &(low, high) in &*ranges {
        count += u64::from(reach.is_some_and(|end| low <= end));
        reach = Some(reach.map_or(high, |end| end.max(high)));
    }
    count
}
