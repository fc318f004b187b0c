//! Numbers of header fields as written, to values that the field can have.
//!
//! Each takes what was written and gives the value or the diagnostic; rules, `expect` lines and packets in words share
//! them. Not here: what is compared with the value.

use sockc_grammar::ast::{Comparison, Dscp, TcpFlag};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use crate::names;

/// A value, or why it is none.
pub(crate) type Checked<T> = Result<T, Box<Diagnostic>>;

/// A number that lies in a range, both ends inclusive; `what` it is, such as "a time to live".
pub(crate) fn within(written: &Spanned<u64>, low: u64, high: u64, what: &str) -> Checked<u64> {
    if (low..=high).contains(&written.value) {
        return Ok(written.value);
    }
    Err(out_of_range(written.value, written.span, (low, high), what))
}

fn out_of_range(value: u64, span: Span, (low, high): (u64, u64), what: &str) -> Box<Diagnostic> {
    let found = Diagnostic::error(
        codes::VALUE_RANGE,
        format!("{what} cannot be {value}"),
        span,
        format!("from {low} to {high} is possible"),
    );
    Box::new(found.help(format!("write a number from {low} to {high}")))
}

/// A time to live or hop limit.
pub(crate) fn ttl(written: &Spanned<u64>) -> Checked<u8> {
    narrow(written, u8::MAX, "a time to live")
}

/// The identifier in a VLAN tag.
pub(crate) fn vlan(written: &Spanned<u64>) -> Checked<u16> {
    narrow(written, 4095, "a VLAN identifier")
}

/// A packet mark, or the mask of one.
pub(crate) fn mark(written: &Spanned<u64>) -> Checked<u32> {
    narrow(written, u32::MAX, "a packet mark")
}

fn narrow<T: TryFrom<u64> + Into<u64> + Copy>(
    written: &Spanned<u64>,
    most: T,
    what: &str,
) -> Checked<T> {
    let high = most.into();
    let value = within(written, 0, high, what)?;
    T::try_from(value).map_err(|_| out_of_range(value, written.span, (0, high), what))
}

/// A DSCP code point by name or number.
pub(crate) fn dscp(written: &Spanned<Dscp>) -> Checked<u8> {
    match &written.value {
        Dscp::Number(value) => narrow(
            &Spanned {
                value: *value,
                span: written.span,
            },
            63,
            "a DSCP value",
        ),
        Dscp::Name(name) => names::dscp(name).ok_or_else(|| unknown_dscp(name, written.span)),
    }
}

fn unknown_dscp(name: &str, span: Span) -> Box<Diagnostic> {
    let help = match names::nearest(name, names::dscps()) {
        Some(near) => format!("write `{near}`, or a number from 0 to 63"),
        None => "write `ef`, `cs0` to `cs7`, `af11` to `af43`, or a number from 0 to 63".to_owned(),
    };
    let found = Diagnostic::error(
        codes::UNKNOWN_DSCP,
        format!("no DSCP value is called `{name}`"),
        span,
        "not in the table of DSCP names",
    );
    Box::new(found.help(help))
}

/// The numbers up to `end` that compare so with a number, inclusive; an empty range is 1 to 0.
pub(crate) fn compared(comparison: Comparison, number: u64, end: u32) -> (u32, u32) {
    let last = u64::from(end);
    let (low, high) = match comparison {
        Comparison::Less => (Some(0), number.checked_sub(1)),
        Comparison::LessOrEqual => (Some(0), Some(number)),
        Comparison::Equal => (Some(number), Some(number)),
        Comparison::GreaterOrEqual => (Some(number), Some(last)),
        Comparison::Greater => (number.checked_add(1), Some(last)),
    };
    let fitting = low.zip(high).and_then(|(low, high)| {
        let low = u32::try_from(low).ok().filter(|&low| low <= end)?;
        Some((low, u32::try_from(high.min(last)).unwrap_or(end)))
    });
    fitting.unwrap_or((1, 0))
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

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_grammar::source::SourceId;

    fn spanned<T>(value: T) -> Spanned<T> {
        let span = Span {
            source: SourceId(0),
            start: 0,
            end: 0,
        };
        Spanned { value, span }
    }

    #[test]
    fn comparisons_are_inclusive_ranges_and_may_be_empty() {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        const END: u32 = u32::MAX;
        let big = u64::from(END) + 1;
        for (comparison, number, end, low, high) in [
            (Less, 468, END, 0, 467),
            (LessOrEqual, 468, END, 0, 468),
            (Equal, 468, END, 468, 468),
            (GreaterOrEqual, 468, END, 468, END),
            (Greater, 468, END, 469, END),
            (Less, 0, END, 1, 0),
            (Greater, big, END, 1, 0),
            (Equal, big, END, 1, 0),
            (Greater, u64::MAX, END, 1, 0),
            (Less, u64::MAX, END, 0, END),
            (Greater, 255, 255, 1, 0),
            (GreaterOrEqual, 255, 255, 255, 255),
            (Greater, 0, 255, 1, 255),
        ] {
            assert_eq!(compared(comparison, number, end), (low, high));
        }
    }

    #[test]
    fn values_end_where_their_fields_do() {
        assert_eq!(ttl(&spanned(255)).unwrap(), 255);
        assert_eq!(vlan(&spanned(4095)).unwrap(), 4095);
        assert_eq!(mark(&spanned(0xffff_ffff)).unwrap(), u32::MAX);
        assert_eq!(dscp(&spanned(Dscp::Number(63))).unwrap(), 63);
        assert_eq!(dscp(&spanned(Dscp::Name("af41".into()))).unwrap(), 34);
        let beyond = [
            ttl(&spanned(256)).unwrap_err(),
            vlan(&spanned(4096)).unwrap_err(),
            mark(&spanned(1 << 32)).unwrap_err(),
            dscp(&spanned(Dscp::Number(64))).unwrap_err(),
        ];
        assert!(beyond.iter().all(|found| found.code == codes::VALUE_RANGE));
        let unknown = dscp(&spanned(Dscp::Name("af44".into()))).unwrap_err();
        assert_eq!(unknown.code, codes::UNKNOWN_DSCP);
        assert!(unknown.help.unwrap().starts_with("write `af4"));
    }

    #[test]
    fn names_of_code_points_are_distinct_and_fit() {
        let mut names: Vec<&str> = names::dscps().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| names::dscp(name).unwrap() < 64));
    }
}
