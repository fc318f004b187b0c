//! Ports, port ranges and service names as written, to sets of ports.

use sockc_grammar::ast::{Name, PortItem, Ports};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::overlaps::ElementRange;
use super::report::Report;
use super::sets::Sets;
use crate::names;
use crate::ranges::RangeSet;
use crate::values::addresses::reversed;
use crate::values::codes as values;

/// The ports of an endpoint. `*` is every port, which still matches only packets that have ports.
pub(super) fn ports(
    ports: &Spanned<Ports>,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<RangeSet<u16>> {
    match &ports.value {
        Ports::Any => Some(RangeSet::full()),
        Ports::List(items) => {
            if let [one] = items.as_slice() {
                return port_item(one, sets, report).map(RangeSet::from_ranges);
            }
            let parts = port_parts(items, sets, report)?;
            let ranges = parts.into_iter().map(|(_, range)| range);
            Some(RangeSet::from_ranges(ranges))
        }
    }
}

/// The ranges of several items, each with the number of its item; every wrong item is reported.
pub(super) fn port_parts(
    items: &[Spanned<PortItem>],
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Vec<ElementRange<u16>>> {
    let mut parts = Vec::with_capacity(items.len());
    let mut sound = true;
    for (number, item) in items.iter().enumerate() {
        match port_item(item, sets, report) {
            Some(found) => parts.extend(found.into_iter().map(|range| (number, range))),
            None => sound = false,
        }
    }
    sound.then_some(parts)
}

fn port_item(
    item: &Spanned<PortItem>,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Vec<(u16, u16)>> {
    let span = item.span;
    match &item.value {
        PortItem::One(number) => {
            let port = port_number(*number, span, report)?;
            Some(vec![(port, port)])
        }
        PortItem::Range(low, high) => {
            let low = port_number(*low, span, report)?;
            let high = port_number(*high, span, report)?;
            if low > high {
                let corrected = format!("{high}-{low}");
                report.push(reversed(&format!("`{low}-{high}`"), corrected, span));
                return None;
            }
            Some(vec![(low, high)])
        }
        PortItem::Service(name) => match names::service(name) {
            Some(port) => Some(vec![(port, port)]),
            None => {
                report.push_error(|| unknown_service(name, span));
                None
            }
        },
        PortItem::Set(name) => {
            let value = name.clone();
            let set = sets.ports(&Name { value, span }, report)?;
            Some(set.ranges().to_vec())
        }
    }
}

fn port_number(number: u64, span: Span, report: &mut Report) -> Option<u16> {
    let port = u16::try_from(number).ok();
    if port.is_none() {
        report.error(
            values::PORT_TOO_LARGE,
            format!("there is no port {number}"),
            span,
            "ports end at 65535",
            "write a port from 0 to 65535, or `*` for every port",
        );
    }
    port
}

fn unknown_service(name: &str, span: Span) -> Diagnostic {
    let ends = name.split_once('-');
    let ends = ends.and_then(|(one, other)| names::service(one).zip(names::service(other)));
    let help = match (ends, names::nearest(name, names::services())) {
        (Some((one, other)), _) => format!(
            "write a range of ports with numbers: `{}-{}`",
            one.min(other),
            one.max(other)
        ),
        (None, Some(near)) => format!("write `{near}`, or the port's number"),
        (None, None) => "write the port's number".to_owned(),
    };
    Diagnostic::error(
        values::UNKNOWN_SERVICE,
        format!("there is no service `{name}`"),
        span,
        "not in the table of services",
    )
    .help(help)
}
