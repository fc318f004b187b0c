//! What a comparison of a field asks of packets, in the words of the language.
//!
//! Takes a field and the values that are meant; gives conjunctions for one family and one list. bpfilter looks for the header of a field
//! first, so packets without it are never meant, also where the comparison is negated. Not here: how values are written.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::matchers::{Field, Op};
use super::values::{IPV4, IPV6};
use crate::verbs::import::flags::{any_flag, of_flags};
use crate::verbs::import::interfaces::{self, End};
use crate::verbs::import::list::List;
use crate::verbs::import::marks::{self, Mark};
use crate::verbs::import::points::points;
use crate::verbs::import::protocols::STEPPED_OVER;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::types::types;
use crate::verbs::import::what::{Of, Pattern, What, both};

/// The headers behind that of IP that bpfilter reads. All others are one to it, with the number 0.
const READ: [u8; 4] = [1, 6, 17, 58];
/// The headers of IPv6 that it keeps apart.
const EXTENSIONS: [u128; 6] = [0, 43, 44, 51, 60, 135];

/// What is said where bpfilter itself takes a rule for one about no packet.
pub(super) const READS_FOUR: &str = "bpfilter reads the headers of TCP, UDP, ICMP and ICMPv6 only, so that no packet has this one there";

/// What some values of a field ask.
pub(super) fn of_values(
    field: Field,
    values: &RangeSet<u128>,
    (family, list): (Family, List),
) -> Result<Asks, String> {
    if field.family().is_some_and(|of| of != family) || values.is_empty() {
        return Ok(Asks::default());
    }
    let mut what = What::any(family);
    match field {
        Field::Address(_, of) => what.side_mut(of).addresses = values.clone(),
        Field::Protocol => what.protocols = narrowed(values),
        Field::Transport | Field::NextHeader => return Ok(transport(values, what)),
        Field::Port(of) => {
            // A port of 0 is none to it.
            let ports = values.minus(&RangeSet::from_ranges([(0, 0)]));
            what = with_ports(what, &[6, 17], of, &ports);
        }
        Field::CarriedPort(carrier, of) => what = with_ports(what, &[carrier], of, values),
        Field::Dscp(_) => {
            return Ok(points(
                "dscp",
                values,
                field.last(),
                what,
                ToString::to_string,
            ));
        }
        Field::IcmpType(_) => return types(values, family),
        Field::Ethertype => {
            let own = match family {
                Family::V4 => IPV4,
                Family::V6 => IPV6,
            };
            let holds = values.contains(own.into());
            return Ok(if holds { what.into() } else { Asks::default() });
        }
        Field::Mark => return Ok(mark(values, family, list)),
        Field::Unasked(why) => return Err(why.to_owned()),
        Field::Flags | Field::Interface | Field::IcmpCode(_) => {
            return Err("it is compared in a way that is not known here".to_owned());
        }
    }
    let is_none =
        what.protocols.is_empty() || what.to.ports.as_ref().is_some_and(RangeSet::is_empty);
    let is_none = is_none || what.from.ports.as_ref().is_some_and(RangeSet::is_empty);
    Ok(if is_none {
        Asks::default()
    } else {
        what.into()
    })
}

/// What some values of a field in a key ask. Of IPv6 a key has the first header as it stands there.
pub(super) fn of_key(
    field: Field,
    values: &RangeSet<u128>,
    (family, list): (Family, List),
) -> Result<Asks, String> {
    if field != Field::NextHeader {
        return of_values(field, values, (family, list));
    }
    let is_all_but = values.contains(field.last());
    if let Some(why) = unasked_header(values).filter(|_| !is_all_but) {
        return Err(why.to_owned());
    }
    let mut what = What::any(family);
    what.protocols = narrowed(values);
    Ok(what.into())
}

/// The header behind all others, as far as bpfilter reads it.
fn transport(values: &RangeSet<u128>, mut what: What) -> Asks {
    let read = RangeSet::from_ranges(READ.map(|one| (one, one)));
    let known = both(&narrowed(values), &read);
    let others = match values.contains(0) {
        true => RangeSet::full().minus(&read),
        false => RangeSet::default(),
    };
    let protocols = [known.ranges(), others.ranges()].concat();
    what.protocols = RangeSet::from_ranges(protocols);
    match what.protocols.is_empty() {
        true => Asks {
            note: Some(READS_FOUR.to_owned()),
            ..Asks::default()
        },
        false => what.into(),
    }
}

fn with_ports(mut what: What, carriers: &[u8], of: Of, ports: &RangeSet<u128>) -> What {
    what.protocols = RangeSet::from_ranges(carriers.iter().map(|one| (*one, *one)));
    what.side_mut(of).ports = Some(narrowed(ports));
    what
}

/// Values as numbers of fewer bits: none is larger.
pub(super) fn narrowed<T: sockc_compiler::ranges::Bound + TryFrom<u128>>(
    values: &RangeSet<u128>,
) -> RangeSet<T> {
    let ranges = values.ranges().iter();
    RangeSet::from_ranges(
        ranges.filter_map(|&(low, high)| Some((T::try_from(low).ok()?, T::try_from(high).ok()?))),
    )
}

/// A mark, or all but one.
fn mark(values: &RangeSet<u128>, family: Family, list: List) -> Asks {
    let negated = values.ranges() != [values.ranges().first().copied().unwrap_or_default()]
        || values
            .ranges()
            .first()
            .is_some_and(|(low, high)| low != high);
    let all = RangeSet::from_ranges([(0, Field::Mark.last())]);
    let meant = if negated {
        all.minus(values)
    } else {
        values.clone()
    };
    let marks = meant.ranges().iter().filter_map(|&(low, _)| {
        let wanted = u32::try_from(low).ok()?;
        Some(Mark {
            wanted,
            mask: u32::MAX,
        })
    });
    marks::asks(&marks.collect::<Vec<_>>(), negated, family, list)
}

/// Flags of TCP, compared so.
pub(super) fn of_bits(op: Op, bits: u8, negated: bool, family: Family) -> Asks {
    match (op, negated) {
        (Op::Any, false) => any_flag(bits, family),
        (Op::Any, true) => of_flags(bits, &[0], false, family),
        (Op::All, negated) => of_flags(bits, &[bits], negated, family),
        (Op::Eq | Op::Range, negated) => of_flags(u8::MAX, &[bits], negated, family),
    }
}

/// The interface that a chain sees a packet at.
pub(super) fn of_interface(name: &str, negated: bool, (family, list): (Family, List)) -> Asks {
    let end = match list {
        List::Out => End::Leaves,
        List::In | List::Forward => End::CameIn,
    };
    let pattern = Pattern::One(name.to_owned());
    interfaces::asks(end, &[pattern], negated, family, list)
}

/// Why a header of IPv6 is not asked for by its number, if it is one that others stand behind.
pub(super) fn unasked_header(values: &RangeSet<u128>) -> Option<&'static str> {
    let asked = EXTENSIONS.iter().any(|one| values.contains(*one));
    asked.then_some(STEPPED_OVER)
}
