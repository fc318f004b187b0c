//! Protocols and ICMP types as written, to what they are: rules and packets in words share them.
//!
//! Not here: which of them a packet can have, and what rules match.

use sockc_grammar::ast::{IcmpType, Protocol};
use sockc_grammar::diagnostic::{Code, Diagnostic};
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::numbers::Checked;
use crate::names::{IcmpKind, nearest};
use crate::policy::IcmpMatch;
use crate::protocol::IpProtocol;

/// What is written for a protocol.
pub(crate) enum Written<'a> {
    /// The protocol, by its word or its number.
    Plain(IpProtocol),
    /// ICMP of one family, with the types that are named.
    Icmp(IcmpKind, &'a [Spanned<IcmpType>]),
}

/// The protocol that is written.
pub(crate) fn protocol(written: &Protocol) -> Checked<Written<'_>> {
    Ok(Written::Plain(match written {
        Protocol::Tcp => IpProtocol::TCP,
        Protocol::Udp => IpProtocol::UDP,
        Protocol::Sctp => IpProtocol::SCTP,
        Protocol::Esp => IpProtocol::ESP,
        Protocol::Ah => IpProtocol::AH,
        Protocol::Gre => IpProtocol::GRE,
        Protocol::Number(number) => {
            let code = codes::PROTOCOL_NUMBER;
            IpProtocol(byte(number.value, number.span, code, "IP protocol")?)
        }
        Protocol::Icmp(types) => return Ok(Written::Icmp(IcmpKind::Icmp, types)),
        Protocol::Icmp6(types) => return Ok(Written::Icmp(IcmpKind::Icmp6, types)),
    }))
}

/// The ICMP type, with its code if one is written or implied.
pub(crate) fn icmp_type(kind: IcmpKind, written: &Spanned<IcmpType>) -> Checked<IcmpMatch> {
    let span = written.span;
    let number = |number, what| byte(number, span, codes::ICMP_NUMBER, what);
    match &written.value {
        IcmpType::Number(kind) => Ok(IcmpMatch {
            kind: number(*kind, "ICMP type")?,
            code: None,
        }),
        IcmpType::WithCode(kind, code) => Ok(IcmpMatch {
            kind: number(*kind, "ICMP type")?,
            code: Some(number(*code, "ICMP code")?),
        }),
        IcmpType::Name(name) => kind
            .named(name)
            .ok_or_else(|| Box::new(unknown_type(kind, name, span))),
    }
}

fn byte(number: u64, span: Span, code: Code, what: &str) -> Checked<u8> {
    u8::try_from(number).map_err(|_| {
        let message = format!("there is no {what} {number}");
        let found = Diagnostic::error(code, message, span, "numbers end at 255");
        Box::new(found.help("write a number from 0 to 255"))
    })
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
        codes::UNKNOWN_ICMP_TYPE,
        format!("`{word}` has no type `{name}`"),
        span,
        "not in the table of ICMP types",
    )
    .help(help)
}
