//! Rich rules of firewalld.
//!
//! Takes an element `rule`; gives what it says, or why firewalld itself goes on without it: a rule that contradicts itself it leaves out
//! with a warning. Not here: which packets a rule is about, and where it stands among others.

use sockc_compiler::policy::Family;

use super::elements::{self, About};
use super::ends::{self, End};
use super::xml::{Element, Known, Mistake, Spot, known};

/// A rule.
#[derive(Debug)]
pub(super) struct Rich {
    pub(super) spot: Spot,
    pub(super) family: Option<Family>,
    /// Those below 0 come ahead of everything, those above behind it.
    pub(super) priority: i64,
    /// Who sends, and whether all others are meant.
    pub(super) source: Option<(End, bool)>,
    /// Who receives.
    pub(super) destination: Option<(End, bool)>,
    pub(super) about: Option<About>,
    pub(super) log: Option<Log>,
    pub(super) audits: bool,
    pub(super) verdict: Option<(Verdict, Option<Limit>)>,
}

/// A line that is written.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) prefix: String,
    pub(super) limit: Option<Limit>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    /// With this answer, if one is named.
    Reject(Option<String>),
    Drop,
    /// It goes on with a mark.
    Mark,
}

/// How many in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) count: u64,
    pub(super) period: &'static str,
    /// Of how many at once, where newer versions say it.
    pub(super) burst: Option<u64>,
}

/// What may stand in a rule beside what it is about.
pub(super) const KNOWN: &[Known] = &[
    known("rule", &["zone", "policy"], &[], &["family", "priority"]),
    known("destination", RULE, &[], &["address", "invert", "ipset"]),
    known("log", RULE, &[], &["prefix", "level"]),
    known("nflog", RULE, &[], &["group", "prefix", "queue-size"]),
    known("audit", RULE, &[], &[]),
    known("accept", RULE, &[], &[]),
    known("reject", RULE, &[], &["type"]),
    known("drop", RULE, &[], &[]),
    known("mark", RULE, &["set"], &[]),
    known(
        "limit",
        &["log", "nflog", "audit", "accept", "reject", "drop", "mark"],
        &["value"],
        &["burst"],
    ),
];
const RULE: &[&str] = &["rule"];

/// A rule; or where it stands, and why firewalld leaves it out.
pub(super) type Read = Result<Rich, (Spot, String)>;

/// Reads a rule.
pub(super) fn read(element: Element<'_>) -> Result<Read, Mistake> {
    let spot = element.spot();
    let priority = match element.attribute("priority") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| element.mistake(format!("the priority `{text}` is no number")))?,
    };
    let mut rule = Rich {
        spot: spot.clone(),
        family: None,
        priority,
        source: None,
        destination: None,
        about: None,
        log: None,
        audits: false,
        verdict: None,
    };
    let mut done = family(element).map(|family| rule.family = family);
    for child in element.children() {
        if let Some(about) = elements::about(child)? {
            done = done.and(once(&mut rule.about, about, "what it is about"));
        } else if done.is_ok() {
            done = rule.takes(child);
        }
    }
    let checked = done.and_then(|()| rule.check());
    Ok(checked.map(|()| rule).map_err(|why| (spot, why)))
}

fn family(element: Element<'_>) -> Result<Option<Family>, String> {
    match element.attribute("family") {
        None => Ok(None),
        Some("ipv4") => Ok(Some(Family::V4)),
        Some("ipv6") => Ok(Some(Family::V6)),
        Some(other) => Err(format!("`{other}` is no family")),
    }
}

/// Sets what a rule says once.
fn once<T>(field: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("it says twice {what}")),
    }
}

impl Rich {
    fn takes(&mut self, element: Element<'_>) -> Result<(), String> {
        let verdict = match element.name() {
            "source" => return once(&mut self.source, end(element)?, "who sends"),
            "destination" => return once(&mut self.destination, end(element)?, "who receives"),
            "log" | "nflog" => {
                let prefix = element.attribute("prefix").unwrap_or_default().to_owned();
                let limit = limit(element)?;
                return once(&mut self.log, Log { prefix, limit }, "what is written");
            }
            "audit" => {
                limit(element)?;
                self.audits = true;
                return Ok(());
            }
            "accept" => Verdict::Accept,
            "reject" => Verdict::Reject(element.attribute("type").map(str::to_owned)),
            "drop" => Verdict::Drop,
            "mark" => Verdict::Mark,
            _ => return Ok(()),
        };
        let limit = limit(element)?;
        once(
            &mut self.verdict,
            (verdict, limit),
            "what becomes of a packet",
        )
    }

    /// What firewalld asks of a rule as a whole (`Rich_Rule.check`).
    fn check(&self) -> Result<(), String> {
        let says_nothing = match (&self.about, &self.log) {
            (Some(_), _) => false,
            (None, Some(_)) if self.priority != 0 => false,
            (None, _) => {
                let is_of_all = self.source.is_none() && self.destination.is_none();
                self.verdict.is_none() || is_of_all && self.priority == 0
            }
        };
        let does_itself = matches!(self.about, Some(About::IcmpBlock(_) | About::Changing(_)));
        let does_nothing = self.verdict.is_none() && self.log.is_none() && !self.audits;
        if says_nothing || does_nothing && !does_itself {
            return Err("it does not say of which packets, or not what becomes of them".to_owned());
        }
        if does_itself && self.verdict.is_some() {
            return Err("what it is about has no verdict of its own".to_owned());
        }
        let audited = matches!(
            self.verdict,
            Some((Verdict::Accept | Verdict::Reject(_) | Verdict::Drop, _))
        );
        if self.audits && !audited {
            return Err("what it audits is nothing that becomes of a packet".to_owned());
        }
        if !(-32768..=32767).contains(&self.priority) {
            return Err("its priority is not from -32768 to 32767".to_owned());
        }
        let answers = matches!(&self.verdict, Some((Verdict::Reject(Some(_)), _)));
        if answers && self.family.is_none() {
            return Err("it names an answer, and no family".to_owned());
        }
        self.check_family()
    }

    fn check_family(&self) -> Result<(), String> {
        let has_address = |end: &Option<(End, bool)>| matches!(end, Some((End::Addresses(..), _)));
        let asks = has_address(&self.source) || self.destination.is_some();
        if self.family.is_none() && asks {
            return Err("it names an address, and no family".to_owned());
        }
        for (end, _) in [&self.source, &self.destination].into_iter().flatten() {
            if matches!(end, End::Addresses(own, _) if Some(*own) != self.family) {
                return Err("an address is of another family than the rule".to_owned());
            }
        }
        Ok(())
    }
}

/// A sender or a receiver, and whether all others are meant.
fn end(element: Element<'_>) -> Result<(End, bool), String> {
    let negated = element.is_yes("invert");
    let named = ["address", "mac", "ipset"].map(|name| element.attribute(name));
    let end = match named {
        [Some(address), None, None] => ends::read(address)?,
        [None, Some(address), None] => match ends::read(address)? {
            end @ End::Hardware(_) => end,
            _ => return Err(format!("`{address}` is no hardware address")),
        },
        [None, None, Some(set)] => End::Set(set.to_owned()),
        _ => return Err("a side of it is not one of an address, a mac and an ipset".to_owned()),
    };
    Ok((end, negated))
}

/// The limit in an element.
fn limit(element: Element<'_>) -> Result<Option<Limit>, String> {
    let Some(limit) = element.children().find(|one| one.name() == "limit") else {
        return Ok(None);
    };
    let value = limit.required("value");
    let wrong = || format!("`{value}` is no limit; one is such as 10/m");
    let (count, period) = value.split_once('/').ok_or_else(wrong)?;
    let period = match period {
        "s" | "second" => "second",
        "m" | "minute" => "minute",
        "h" | "hour" => "hour",
        "d" | "day" => "day",
        _ => return Err(wrong()),
    };
    let number = |text: &str| text.parse().ok().filter(|count| *count > 0);
    let burst = limit
        .attribute("burst")
        .map(|burst| number(burst).ok_or_else(wrong));
    Ok(Some(Limit {
        count: number(count).ok_or_else(wrong)?,
        period,
        burst: burst.transpose()?,
    }))
}
