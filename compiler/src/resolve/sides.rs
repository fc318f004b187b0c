//! What follows `from` and `to`: endpoints, or the group whose sockets send.

use sockc_grammar::ast::{Address, Endpoint as WrittenEndpoint, Side as WrittenSide};
use sockc_grammar::source::{Span, Spanned};

use super::addresses::Gathered;
use super::codes;
use super::declared::Declared;
use super::ports::ports;
use super::report::Report;
use super::sets::Sets;
use crate::policy::{AddressSet, Addresses, Direction, Endpoint, GroupId, Side};

/// Which end of a packet a side is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    From,
    To,
}

/// The endpoints of a side; every wrong one is reported.
pub(super) fn endpoints(
    not: Option<Span>,
    written: &[Spanned<WrittenEndpoint>],
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Side> {
    let endpoints: Vec<_> = written
        .iter()
        .map(|written| endpoint(&written.value, sets, report))
        .collect();
    Some(Side::Endpoints {
        negated: not.is_some(),
        endpoints: endpoints.into_iter().collect::<Option<_>>()?,
    })
}

fn endpoint(written: &WrittenEndpoint, sets: &Sets<'_>, report: &mut Report) -> Option<Endpoint> {
    let addresses = match &written.address {
        None => Some(AddressSet::any().into()),
        Some(address) => addresses(address, sets, report),
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

/// The addresses of an endpoint: a live or a large set by its number, everything else as ranges.
fn addresses(
    written: &Spanned<Address>,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Addresses> {
    if let Address::Set(name) = &written.value {
        return sets.endpoint(name, report);
    }
    let mut gathered = Gathered::default();
    gathered.add(written, sets, report)?;
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
            return endpoints(*not, list, sets, report);
        }
        WrittenSide::Group(name) => name,
    };
    let (label, help) = match (direction, end) {
        (Direction::Send, End::From) => {
            let group = groups.look_up(&name.value, name.span, report)?;
            return group.map(Side::Group);
        }
        (Direction::Send, End::To) => (
            "the receiver of a send is a peer, known by its address",
            format!("write `from group {}`", name.value),
        ),
        (Direction::In | Direction::Out, _) => (
            "a packet does not say whose socket it belongs to",
            "write `send` after the verb, or name addresses".to_owned(),
        ),
    };
    report.error(
        codes::GROUP_MISPLACED,
        "a group is possible only as the sender of `send`",
        name.span,
        label,
        help,
    );
    None
}
