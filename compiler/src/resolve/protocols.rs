//! The protocols of a rule, ICMP types included.

use sockc_grammar::ast::{IcmpType, Protocol};
use sockc_grammar::source::Spanned;

use super::report::Report;
use crate::names::IcmpKind;
use crate::policy::ProtocolMatch;
use crate::values::protocols::{Written, icmp_type, protocol};

/// Every protocol that a rule names; every wrong one is reported.
pub(super) fn protocols(
    written: &[Spanned<Protocol>],
    report: &mut Report,
) -> Option<Vec<ProtocolMatch>> {
    let found: Vec<_> = written
        .iter()
        .map(|written| match report.checked(protocol(&written.value))? {
            Written::Plain(number) => Some(ProtocolMatch {
                family: None,
                number,
                icmp: Vec::new(),
            }),
            Written::Icmp(kind, types) => icmp(kind, types, report),
        })
        .collect();
    found.into_iter().collect()
}

/// `icmp` is protocol 1 over IPv4 and `icmp6` protocol 58 over IPv6; they match nothing elsewhere.
fn icmp(kind: IcmpKind, types: &[Spanned<IcmpType>], report: &mut Report) -> Option<ProtocolMatch> {
    let types: Vec<_> = types
        .iter()
        .map(|written| report.checked(icmp_type(kind, written)))
        .collect();
    Some(ProtocolMatch {
        family: Some(kind.family()),
        number: kind.family().icmp(),
        icmp: types.into_iter().collect::<Option<_>>()?,
    })
}
