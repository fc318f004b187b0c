//! Rates and logs as written, to what a bucket and a log keep.
//!
//! Not here: whether the rule they stand in can have one.

use sockc_grammar::ast::{Log as WrittenLog, Per as WrittenPer, Rate as Written};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::report::Report;
use crate::policy::{Log, Per, Rate, RateUnit};
use crate::values::codes as values;
use crate::values::numbers::Checked;

/// The largest rate and burst: a trillion bytes a second is more than any interface takes.
const MAX_NUMBER: u64 = 1_000_000_000_000;

/// A bucket that takes longer to fill than this many seconds (a century) is a mistake.
const MAX_FILL_TIME: u128 = 100 * 365 * 86_400;

/// The length in bytes of a packet that fills an Ethernet frame.
const USUAL_PACKET: u64 = 1500;

/// A log without limits gets this one: so many in so many seconds.
const USUAL_LOG: (u32, u32) = (10, 1);

/// The rate; every wrong number is reported. `span` is the clause's.
pub(super) fn rate(
    written: &Written,
    above: bool,
    span: Span,
    report: &mut Report,
) -> Option<Rate> {
    let count = report.checked(tokens(&written.count, "a rate"));
    let per = match &written.per {
        None => Some(None),
        Some(per) => self::per(&per.value, report).map(Some),
    };
    let burst = match &written.burst {
        None => count.map(|count| count.div_ceil(written.period.max(1))),
        Some(burst) => report.checked(tokens(burst, "a burst")),
    };
    let rate = Rate {
        above,
        count: count?,
        period: u32::try_from(written.period).ok()?,
        unit: written.unit,
        per: per?,
        burst: burst?,
    };
    report.checked(fills_in_time(&rate, written, span))?;
    if rate.unit == RateUnit::Bytes && rate.burst < USUAL_PACKET {
        report.push(small_burst(&rate, written, span));
    }
    Some(rate)
}

fn tokens(written: &Spanned<u64>, what: &str) -> Checked<u64> {
    let found = match written.value {
        1..=MAX_NUMBER => return Ok(written.value),
        0 => Diagnostic::error(
            codes::RATE_VALUE,
            format!("{what} of 0 lets nothing through"),
            written.span,
            "numbers begin at 1 here",
        )
        .help("write a number from 1, or a rule without a rate"),
        more => Diagnostic::error(
            codes::RATE_VALUE,
            format!("{what} of {more} is more than can be kept"),
            written.span,
            format!("numbers end at {MAX_NUMBER} here"),
        )
        .help(format!("write a number from 1 to {MAX_NUMBER}")),
    };
    Err(Box::new(found))
}

/// The prefix lengths of an address's bucket; left out, a /32 and a /64.
fn per(written: &WrittenPer, report: &mut Report) -> Option<Per> {
    let v4 = report.checked(prefix(written.v4.as_ref(), 32, 32));
    let v6 = report.checked(prefix(written.v6.as_ref(), 64, 128));
    Some(Per {
        destination: written.destination,
        v4: v4?,
        v6: v6?,
    })
}

fn prefix(written: Option<&Spanned<u64>>, usual: u8, longest: u8) -> Checked<u8> {
    let Some(written) = written else {
        return Ok(usual);
    };
    let fitting = u8::try_from(written.value).ok();
    fitting.filter(|&bits| bits <= longest).ok_or_else(|| {
        let family = if longest == 32 { "IPv4" } else { "IPv6" };
        let found = Diagnostic::error(
            values::PREFIX_TOO_LONG,
            format!("the prefix length {} is too long", written.value),
            written.span,
            format!("an {family} prefix has at most {longest} bits"),
        );
        Box::new(found.help(format!("write a number from 0 to {longest}")))
    })
}

fn fills_in_time(rate: &Rate, written: &Written, span: Span) -> Checked<()> {
    let seconds = u128::from(rate.burst) * u128::from(rate.period) / u128::from(rate.count.max(1));
    if seconds <= MAX_FILL_TIME {
        return Ok(());
    }
    let place = written.burst.as_ref().map_or(span, |burst| burst.span);
    let found = Diagnostic::error(
        codes::RATE_VALUE,
        format!(
            "a burst of {} takes more than a century to fill",
            rate.burst
        ),
        place,
        "at this rate",
    );
    Err(Box::new(
        found.help("write a smaller burst, or a higher rate"),
    ))
}

fn small_burst(rate: &Rate, written: &Written, span: Span) -> Diagnostic {
    let place = written.burst.as_ref().map_or(span, |burst| burst.span);
    let label = match written.burst {
        Some(_) => format!("a full bucket holds {} bytes", rate.burst),
        None => format!("the burst is one second's worth: {} bytes", rate.burst),
    };
    Diagnostic::warning(
        codes::SMALL_BURST,
        format!("packets larger than {} bytes never fit", rate.burst),
        place,
        label,
    )
    .help(format!(
        "write `burst {USUAL_PACKET}` or more, so that usual packets fit"
    ))
}

/// The log; every wrong limit is reported. One without limits gets one, which is said.
pub(super) fn log(written: &WrittenLog, span: Span, report: &mut Report) -> Option<Log> {
    let sample = match &written.sample {
        None => Some(None),
        Some(sample) => report.checked(self::sample(sample)).map(Some),
    };
    let max = match (&written.max, &written.sample) {
        (Some(max), _) => report.checked(self::max(max)).map(Some),
        (None, Some(_)) => Some(None),
        (None, None) => {
            report.push(limited(span));
            Some(Some(USUAL_LOG))
        }
    };
    Some(Log {
        text: written
            .text
            .as_ref()
            .map(|text| text.value.clone())
            .unwrap_or_default(),
        sample: sample?,
        max: max?,
    })
}

fn limited(span: Span) -> Diagnostic {
    let (count, _) = USUAL_LOG;
    Diagnostic::note(
        codes::LOG_LIMITED,
        format!("the log is limited to {count} lines a second"),
        span,
        format!("without a limit, `max {count}/second` is added"),
    )
    .help(format!(
        "write `max {count}/second` to say the same, or `sample 1/100`, or another limit"
    ))
}

fn sample(written: &Spanned<(u64, u64)>) -> Checked<(u32, u32)> {
    let (part, whole) = written.value;
    let fitting = u32::try_from(part).ok().zip(u32::try_from(whole).ok());
    fitting
        .filter(|&(part, whole)| 0 < part && part <= whole)
        .ok_or_else(|| {
            limit(
                format!("{part}/{whole} is no part of the packets"),
                written.span,
                format!("from 1/{} to 1/1 is possible", u32::MAX),
                "write a part such as `sample 1/1000`",
            )
        })
}

fn max(written: &Spanned<(u64, u64)>) -> Checked<(u32, u32)> {
    let (count, period) = written.value;
    let fitting = u32::try_from(count).ok().zip(u32::try_from(period).ok());
    fitting.filter(|&(count, _)| count > 0).ok_or_else(|| {
        limit(
            format!("a log cannot be limited to {count} lines"),
            written.span,
            format!("from 1 to {} is possible", u32::MAX),
            "write a limit such as `max 5/second`, or leave `log` out",
        )
    })
}

fn limit(message: String, span: Span, label: String, help: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(codes::LOG_LIMIT, message, span, label).help(help))
}
