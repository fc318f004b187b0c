//! The two sides of a packet: one address each, and one port where it has ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::{Address, Endpoint, PortItem, Ports, Side};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::case::mistake;
use super::codes;
use crate::names;
use crate::policy::Direction;
use crate::values::addresses::reached;
use crate::values::codes as values;

/// One side.
pub(super) struct End {
    pub(super) address: IpAddr,
    pub(super) port: Option<Spanned<u16>>,
    pub(super) span: Span,
}

impl End {
    /// A sender of which nothing is known, toward a receiver.
    pub(super) fn unknown(to: &Self) -> Self {
        Self {
            address: match to.address {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            },
            port: to.port.as_ref().map(|port| Spanned {
                value: 0,
                span: port.span,
            }),
            span: to.span,
        }
    }
}

/// Reads a side; `word` is `from` or `to`, `whole` the packet, `own` the address that `self` stands for. An address that a process
/// names is the one that it reaches.
pub(super) fn end(
    side: Option<&Spanned<Side>>,
    word: &str,
    direction: Direction,
    whole: Span,
    own: Option<IpAddr>,
) -> Result<End, Box<Diagnostic>> {
    let Some(side) = side else {
        return Err(mistake(
            codes::SIDE_MISSING,
            format!("the packet has no `{word}`"),
            whole,
            format!("`{word}` is missing"),
            format!("write `{word} ADDRESS`, with a port for tcp, udp and sctp"),
        ));
    };
    let one_endpoint = match &side.value {
        Side::Endpoints {
            not: None,
            endpoints,
        } => match endpoints.as_slice() {
            [one] => Some(one),
            _ => None,
        },
        Side::Endpoints { .. } | Side::Group(_) => None,
    };
    let endpoint = one_endpoint.ok_or_else(|| not_one_address(side.span))?;
    one(&endpoint.value, direction, side.span, own)
}

fn one(
    endpoint: &Endpoint,
    direction: Direction,
    span: Span,
    own: Option<IpAddr>,
) -> Result<End, Box<Diagnostic>> {
    let written = endpoint.address.as_ref();
    let written = written.ok_or_else(|| not_one_address(span))?;
    let address = address(written, own)?;
    Ok(End {
        address: match direction.of_processes() {
            true => reached(direction, address),
            false => address,
        },
        port: endpoint.ports.as_ref().map(port).transpose()?,
        span,
    })
}

fn address(written: &Spanned<Address>, own: Option<IpAddr>) -> Result<IpAddr, Box<Diagnostic>> {
    match written.value {
        Address::Own => own.ok_or_else(|| {
            mistake(
                codes::NOT_ONE_ADDRESS,
                "`self` holds no address of this family here",
                written.span,
                "an address of this machine",
                "write an address of the other end's family after `with self {`",
            )
        }),
        Address::Prefix { address, length } => {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            match length {
                None => Ok(address),
                Some(length) if length == whole => Ok(address),
                Some(_) => Err(not_one_address(written.span)),
            }
        }
        Address::Range(low, high) if low == high => Ok(low),
        Address::Any | Address::Range(..) | Address::Set(_) => Err(not_one_address(written.span)),
    }
}

fn not_one_address(span: Span) -> Box<Diagnostic> {
    mistake(
        codes::NOT_ONE_ADDRESS,
        "a packet has one address on each side",
        span,
        "not one single address",
        "write one address, such as `192.0.2.1`",
    )
}

fn port(written: &Spanned<Ports>) -> Result<Spanned<u16>, Box<Diagnostic>> {
    let several = || {
        mistake(
            codes::NOT_ONE_PORT,
            "a packet has one port on each side",
            written.span,
            "not one single port",
            "write one port, such as `443`",
        )
    };
    let item = match &written.value {
        Ports::List(items) => match items.as_slice() {
            [one] => one,
            _ => return Err(several()),
        },
        Ports::Any => return Err(several()),
    };
    let value = match &item.value {
        PortItem::One(number) => number_of(*number, item.span)?,
        PortItem::Service(name) => service(name, item.span)?,
        PortItem::Range(..) | PortItem::Set(_) => return Err(several()),
    };
    Ok(Spanned {
        value,
        span: item.span,
    })
}

pub(super) fn number_of(number: u64, span: Span) -> Result<u16, Box<Diagnostic>> {
    u16::try_from(number).map_err(|_| {
        mistake(
            values::PORT_TOO_LARGE,
            format!("there is no port {number}"),
            span,
            "ports end at 65535",
            "write a number from 0 to 65535",
        )
    })
}

pub(super) fn service(name: &str, span: Span) -> Result<u16, Box<Diagnostic>> {
    names::service(name).ok_or_else(|| {
        let help = match names::nearest(name, names::services()) {
            Some(near) => format!("write `{near}`, or the port's number"),
            None => "write the port's number".to_owned(),
        };
        mistake(
            values::UNKNOWN_SERVICE,
            format!("no service is called `{name}`"),
            span,
            "not in the table of services",
            help,
        )
    })
}
