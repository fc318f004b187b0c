//! Numbers of header fields as written, to values that the field can have.
//!
//! Each takes what was written and gives the value or the diagnostic; rules, `expect` lines and packets in words share
//! them. Not here: what is compared with the value.

use sockc_grammar::ast::{Code, Comparison, TcpFlag};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use crate::header_field::{HeaderField, Row, row};
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

/// A packet mark, or the mask of one.
pub(crate) fn mark(written: &Spanned<u64>) -> Checked<u32> {
    of(row(HeaderField::Mark), written).map(|mark| mark as u32)
}

/// A number that a field of the header can have.
pub(crate) fn of(row: &Row, written: &Spanned<u64>) -> Checked<u64> {
    within(written, 0, row.max, row.what)
}

/// A value of a field by its name or number.
pub(crate) fn code(row: &Row, written: &Spanned<Code>) -> Checked<u64> {
    let span = written.span;
    match &written.value {
        Code::Number(value) if row.names.is_some_and(|names| !names.numbers) => {
            Err(unknown_name(row, &value.to_string(), span))
        }
        Code::Number(value) => of(
            row,
            &Spanned {
                value: *value,
                span,
            },
        ),
        Code::Name(name) => row.named(name).ok_or_else(|| unknown_name(row, name, span)),
    }
}

fn unknown_name(row: &Row, name: &str, span: Span) -> Box<Diagnostic> {
    let known = row.names.map_or(&[][..], |names| names.table);
    let such_as = row.names.map_or("", |names| names.such_as);
    let near = names::nearest(name, known.iter().map(|(name, _)| *name));
    let near = near.map(|near| format!("`{near}`"));
    let named = near.as_deref().unwrap_or(such_as);
    let help = match row.names {
        Some(names) if !names.numbers => format!("write {named}"),
        _ => format!("write {named}, or a number from 0 to {}", row.max),
    };
    let found = Diagnostic::error(
        codes::UNKNOWN_CODE,
        format!("no {} is called `{name}`", row.noun()),
        span,
        "not in the table of names",
    );
    Box::new(found.help(help))
}

/// The numbers up to `end` that compare so with a number, inclusive; an empty range is 1 to 0.
pub(crate) fn compared(comparison: Comparison, number: u64, end: u64) -> (u64, u64) {
    let (low, high) = match comparison {
        Comparison::Less => (Some(0), number.checked_sub(1)),
        Comparison::LessOrEqual => (Some(0), Some(number)),
        Comparison::Equal => (Some(number), Some(number)),
        Comparison::GreaterOrEqual => (Some(number), Some(end)),
        Comparison::Greater => (number.checked_add(1), Some(end)),
    };
    let fitting = low.zip(high).filter(|(low, _)| *low <= end);
    fitting.map_or((1, 0), |(low, high)| (low, high.min(end)))
}

/// TCP flags as the bits of their header byte (RFC 9293, section 3.1).
pub(crate) fn flag_bits(flags: &[Spanned<TcpFlag>]) -> u64 {
    flags
        .iter()
        .fold(0, |bits, flag| bits | 1 << flag.value as u32)
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
        const END: u64 = u32::MAX as u64;
        let big = END + 1;
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
        let number = |field, value| of(row(field), &spanned(value));
        let named = |name: &str| code(row(HeaderField::Dscp), &spanned(Code::Name(name.into())));
        assert_eq!(number(HeaderField::Ttl, 255).unwrap(), 255);
        assert_eq!(number(HeaderField::Vlan, 4095).unwrap(), 4095);
        assert_eq!(number(HeaderField::Mark, 0xffff_ffff).unwrap(), 0xffff_ffff);
        assert_eq!(number(HeaderField::Dscp, 63).unwrap(), 63);
        assert_eq!(named("af41").unwrap(), 34);
        for field in HeaderField::ALL {
            let beyond = number(*field, row(*field).max + 1).unwrap_err();
            assert_eq!(beyond.code, codes::VALUE_RANGE);
        }
        let unknown = named("af44").unwrap_err();
        assert_eq!(unknown.code, codes::UNKNOWN_CODE);
        assert!(unknown.help.unwrap().starts_with("write `af4"));
    }
}
