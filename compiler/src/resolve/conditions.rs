//! The conditions of a rule.

use sockc_grammar::ast::{Comparison, Condition as Written, SocketState, TcpFlag};
use sockc_grammar::source::Spanned;

use super::pending::{self, Pending};
use super::report::Report;
use crate::policy::{Condition, SocketTest};

/// Every condition; those without meaning are refused.
pub(super) fn conditions(
    written: &[Spanned<Written>],
    report: &mut Report,
) -> Option<Vec<Condition>> {
    let found: Vec<_> = written
        .iter()
        .map(|condition| one_condition(condition, report))
        .collect();
    found.into_iter().collect()
}

fn one_condition(written: &Spanned<Written>, report: &mut Report) -> Option<Condition> {
    let mut refuse = |pending: Pending| {
        pending::refuse(pending, written.span, report);
        None
    };
    match &written.value {
        Written::No(inner) => Some(Condition::No(Box::new(one_condition(inner, report)?))),
        Written::AnyOf(any) => Some(Condition::AnyOf(conditions(any, report)?)),
        Written::Socket { netns: Some(_), .. } => refuse(pending::IN_NETNS),
        Written::Socket { state, netns: None } => Some(Condition::Socket {
            test: match state {
                SocketState::Exists => SocketTest::Exists,
                SocketState::Established => SocketTest::Established,
                SocketState::Listening => SocketTest::Listening,
            },
            netns: None,
        }),
        Written::TcpFlags { set, clear } => Some(Condition::TcpFlags {
            set: flag_bits(set),
            clear: flag_bits(clear),
        }),
        Written::Fragment => Some(Condition::Fragment),
        Written::Length(comparison, number) => Some(length(*comparison, number.value)),
        Written::Ttl(..) => refuse(pending::TTL),
        Written::Dscp(_) => refuse(pending::DSCP),
        Written::Mark { .. } => refuse(pending::MARK_CONDITION),
        Written::Vlan(_) => refuse(pending::VLAN),
        Written::SockAbsent(_) => refuse(pending::SOCK_ABSENT),
    }
}

/// TCP flags as the bits of their header byte (RFC 9293, section 3.1).
pub(crate) fn flag_bits(flags: &[Spanned<TcpFlag>]) -> u8 {
    flags.iter().fold(0, |bits, flag| {
        bits | match flag.value {
            TcpFlag::Fin => 0x01,
            TcpFlag::Syn => 0x02,
            TcpFlag::Rst => 0x04,
            TcpFlag::Psh => 0x08,
            TcpFlag::Ack => 0x10,
            TcpFlag::Urg => 0x20,
            TcpFlag::Ece => 0x40,
            TcpFlag::Cwr => 0x80,
        }
    })
}

/// The lengths that compare so with a number, which may be beyond every length.
fn length(comparison: Comparison, number: u64) -> Condition {
    let end = u64::from(u32::MAX);
    let (low, high) = match comparison {
        Comparison::Less => (Some(0), number.checked_sub(1)),
        Comparison::LessOrEqual => (Some(0), Some(number)),
        Comparison::Equal => (Some(number), Some(number)),
        Comparison::GreaterOrEqual => (Some(number), Some(end)),
        Comparison::Greater => (number.checked_add(1), Some(end)),
    };
    let fitting = low.zip(high).and_then(|(low, high)| {
        let low = u32::try_from(low).ok()?;
        Some((low, u32::try_from(high).unwrap_or(u32::MAX)))
    });
    let (low, high) = fitting.unwrap_or((1, 0));
    Condition::Length { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_inclusive_ranges_and_may_be_empty() {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        const END: u32 = u32::MAX;
        let big = u64::from(END) + 1;
        for (comparison, number, low, high) in [
            (Less, 468, 0, 467),
            (LessOrEqual, 468, 0, 468),
            (Equal, 468, 468, 468),
            (GreaterOrEqual, 468, 468, END),
            (Greater, 468, 469, END),
            (Less, 0, 1, 0),
            (Greater, big, 1, 0),
            (Equal, big, 1, 0),
            (Greater, u64::MAX, 1, 0),
            (Less, u64::MAX, 0, END),
        ] {
            assert_eq!(length(comparison, number), Condition::Length { low, high });
        }
    }
}
