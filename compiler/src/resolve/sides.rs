//! What follows `from` and `to`: endpoints, or the group whose sockets send or receive.

use sockc_grammar::ast::{Address, Endpoint as WrittenEndpoint, Side as WrittenSide};
use sockc_grammar::source::{Span, Spanned};

use super::addresses::Gathered;
use super::codes;
use super::declared::Declared;
use super::ports::ports;
use super::report::Report;
use super::sets::Sets;
use crate::policy::{AddressSet, Addresses, Direction, Endpoint, GroupId, Side};
use crate::values::addresses::reached_by;

/// Which end of a packet a side is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    From,
    To,
}

/// What is done before the kernel has chosen an address for it has no sender yet: `any` is all that can be said of one, which
/// is reported of everything else.
fn says_no_sender(
    written: &[Spanned<WrittenEndpoint>],
    direction: Direction,
    report: &mut Report,
) -> bool {
    let is_any = |one: &Spanned<WrittenEndpoint>| {
        let address = one.value.address.as_ref().map(|address| &address.value);
        address == Some(&Address::Any) && one.value.ports.is_none()
    };
    let Some(said) = written.iter().find(|one| !is_any(one)) else {
        return true;
    };
    report.error(
        codes::SEND_CONDITION,
        format!(
            "{} cannot depend on the sender's address",
            direction.spec().rule
        ),
        said.span,
        "the kernel chooses it later",
        direction.spec().choose,
    );
    false
}

/// The endpoints of a side; every wrong one is reported.
pub(super) fn endpoints(
    not: Option<Span>,
    written: &[Spanned<WrittenEndpoint>],
    direction: Direction,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Side> {
    let endpoints: Vec<_> = written
        .iter()
        .map(|written| endpoint(&written.value, direction, sets, report))
        .collect();
    Some(Side::Endpoints {
        negated: not.is_some(),
        endpoints: endpoints.into_iter().collect::<Option<_>>()?,
    })
}

fn endpoint(
    written: &WrittenEndpoint,
    direction: Direction,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Endpoint> {
    let addresses = match &written.address {
        None => Some(AddressSet::any().into()),
        Some(address) => addresses(address, direction, sets, report),
    };
    let ports = match &written.ports {
        None => Some(None),
        Some(written) => ports(written, sets, report).map(Some),
    };
    Some(Endpoint {
        addresses: addresses?,
        ports: ports?,
    })
}

/// The addresses of an endpoint: a live or a large set by its number, everything else as ranges. What a process names is
/// what it reaches by that.
fn addresses(
    written: &Spanned<Address>,
    direction: Direction,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Addresses> {
    match &written.value {
        Address::Set(name) => return sets.endpoint(name, report),
        Address::Own => return sets.own().map(Addresses::Set),
        _ => {}
    }
    let mut gathered = Gathered::default();
    match direction.of_processes() {
        true => {
            let reached = Spanned {
                value: reached_by(direction, &written.value),
                span: written.span,
            };
            gathered.add(&reached, sets, report)?;
        }
        false => gathered.add(written, sets, report)?,
    }
    Some(gathered.finish().into())
}

/// A `from` or `to` of a rule of this direction.
pub(super) fn side(
    written: &WrittenSide,
    end: End,
    direction: Direction,
    sets: &Sets<'_>,
    groups: &Declared<Option<GroupId>>,
    report: &mut Report,
) -> Option<Side> {
    let name = match written {
        WrittenSide::Endpoints {
            not,
            endpoints: list,
        } => {
            let sound =
                end == End::To || direction.has_sender() || says_no_sender(list, direction, report);
            return match sound {
                true => endpoints(*not, list, direction, sets, report),
                false => None,
            };
        }
        WrittenSide::Group(name) => name,
    };
    let Some(deed) = direction.deed() else {
        report.error(
            codes::GROUP_MISPLACED,
            format!(
                "a group is possible only in {}",
                Direction::words_of_processes("and")
            ),
            name.span,
            "a packet does not say whose socket it belongs to",
            format!(
                "write {} after the verb, or name addresses",
                Direction::words_of_processes("or")
            ),
        );
        return None;
    };
    if deed.to_group == (end == End::To) {
        let group = groups.look_up(&name.value, name.span, report)?;
        return group.map(Side::Group);
    }
    let (own, other, word) = match deed.to_group {
        true => ("receiver", "sender", "to"),
        false => ("sender", "receiver", "from"),
    };
    report.error(
        codes::GROUP_MISPLACED,
        format!(
            "a group is possible only as the {own} of `{}`",
            direction.word()
        ),
        name.span,
        format!(
            "the {other} of a {} is a peer, known by its address",
            deed.one
        ),
        format!("write `{word} group {}`", name.value),
    );
    None
}
