//! The protocols of a rule, ICMP types included.

use sockc_grammar::ast::{IcmpType, Protocol};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::report::Report;
use crate::names::{IcmpKind, nearest};
use crate::policy::{Family, IcmpMatch, ProtocolMatch};
use crate::protocol::IpProtocol;
use crate::values::codes as values;

/// Every protocol that a rule names; every wrong one is reported.
pub(super) fn protocols(
    written: &[Spanned<Protocol>],
    report: &mut Report,
) -> Option<Vec<ProtocolMatch>> {
    let found: Vec<_> = written
        .iter()
        .map(|protocol| one_protocol(protocol, report))
        .collect();
    found.into_iter().collect()
}

fn one_protocol(written: &Spanned<Protocol>, report: &mut Report) -> Option<ProtocolMatch> {
    let number = match &written.value {
        Protocol::Tcp => IpProtocol::TCP,
        Protocol::Udp => IpProtocol::UDP,
        Protocol::Sctp => IpProtocol::SCTP,
        Protocol::Esp => IpProtocol::ESP,
        Protocol::Ah => IpProtocol::AH,
        Protocol::Gre => IpProtocol::GRE,
        Protocol::Number(number) => IpProtocol(byte(
            number.value,
            number.span,
            values::PROTOCOL_NUMBER,
            "IP protocol",
            report,
        )?),
        Protocol::Icmp(types) => return icmp(IcmpKind::Icmp, types, report),
        Protocol::Icmp6(types) => return icmp(IcmpKind::Icmp6, types, report),
    };
    Some(ProtocolMatch {
        family: None,
        number,
        icmp: Vec::new(),
    })
}

/// `icmp` is protocol 1 over IPv4 and `icmp6` protocol 58 over IPv6; they match nothing elsewhere.
fn icmp(kind: IcmpKind, types: &[Spanned<IcmpType>], report: &mut Report) -> Option<ProtocolMatch> {
    let (family, number) = match kind {
        IcmpKind::Icmp => (Family::V4, IpProtocol::ICMP),
        IcmpKind::Icmp6 => (Family::V6, IpProtocol::ICMP6),
    };
    let types: Vec<_> = types
        .iter()
        .map(|written| icmp_type(kind, written, report))
        .collect();
    Some(ProtocolMatch {
        family: Some(family),
        number,
        icmp: types.into_iter().collect::<Option<_>>()?,
    })
}

fn icmp_type(
    kind: IcmpKind,
    written: &Spanned<IcmpType>,
    report: &mut Report,
) -> Option<IcmpMatch> {
    let span = written.span;
    let number =
        |number, what, report: &mut _| byte(number, span, values::ICMP_NUMBER, what, report);
    match &written.value {
        IcmpType::Number(kind) => Some(IcmpMatch {
            kind: number(*kind, "ICMP type", report)?,
            code: None,
        }),
        IcmpType::WithCode(kind, code) => Some(IcmpMatch {
            kind: number(*kind, "ICMP type", report)?,
            code: Some(number(*code, "ICMP code", report)?),
        }),
        IcmpType::Name(name) => {
            let found = kind.named(name);
            if found.is_none() {
                report.push_error(|| unknown_type(kind, name, span));
            }
            found
        }
    }
}

fn byte(
    number: u64,
    span: Span,
    code: sockc_grammar::diagnostic::Code,
    what: &str,
    report: &mut Report,
) -> Option<u8> {
    let byte = u8::try_from(number).ok();
    if byte.is_none() {
        report.error(
            code,
            format!("there is no {what} {number}"),
            span,
            "numbers end at 255",
            "write a number from 0 to 255",
        );
    }
    byte
}

fn unknown_type(kind: IcmpKind, name: &str, span: Span) -> Diagnostic {
    let (word, other, other_word) = match kind {
        IcmpKind::Icmp => ("icmp", IcmpKind::Icmp6, "icmp6"),
        IcmpKind::Icmp6 => ("icmp6", IcmpKind::Icmp, "icmp"),
    };
    let help = if other.named(name).is_some() {
        format!("`{name}` is a type of `{other_word}`: write `{other_word} {name}`")
    } else {
        match nearest(name, kind.names()) {
            Some(near) => format!("write `{near}`, or the type's number"),
            None => "write the type's number".to_owned(),
        }
    };
    Diagnostic::error(
        values::UNKNOWN_ICMP_TYPE,
        format!("`{word}` has no type `{name}`"),
        span,
        "not in the table of ICMP types",
    )
    .help(help)
}
