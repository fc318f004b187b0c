//! What somebody wrote as a filter, read as the only rule of a policy; or why it is none.
//!
//! Takes the words; gives the policy, the direction that they name, and what they ask that only a sample has. A rule about what
//! processes do names a group, which a record does not tell: such a direction is read here, and the rest as that of a packet. All
//! that a filter cannot ask is refused in its own words: it has no verb, no files and no names. Not here: which records it is about.

use sockc_compiler::codes::MATCHES_NOTHING;
use sockc_compiler::files::Texts;
use sockc_compiler::header_field::HeaderField;
use sockc_compiler::hook::Hook;
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Condition, Deed, Direction, Policy, Rule};
use sockc_grammar::ast::{self, Clause, File, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceMap, Span};

use super::{REST, rule_asks};
use crate::exit::Exit;
use crate::output::Output;

/// What stands before the words, and makes them a rule.
const VERB: &str = "allow ";

/// What was read: the policy with the one rule, the direction that the words name, and what they ask that logs do not keep.
pub(super) type Words = (Policy, Option<Direction>, Option<&'static str>);

/// Reads them; what is wrong with them is said. Of drops that are sampled, where these are, all of the header may be asked.
pub(super) fn read(words: &str, samples: bool, output: &mut Output) -> Result<Words, Exit> {
    let mut sources = SourceMap::default();
    let (process, rest) = of_process(words);
    // Ahead of the grammar, which would have it said with another direction, or another name of a file.
    if words.split_whitespace().any(|word| word == "group") {
        return Err(refuse("a group", output));
    }
    if words.split_whitespace().any(|word| word == "include") {
        return Err(NoFilter::Beside(Some("`include`")).said(output));
    }
    let id = sources.add("<filter>", format!("{VERB}{rest}\n{REST}"));
    let (file, _) = sockc_grammar::parse(&sources, id);
    // Ahead of all that looks behind names and paths, which would speak of what a filter does not have.
    let packets = direction_of(&file).map_err(|why| why.said(output))?;
    let outcome = pipeline::resolve(&mut sources, id, "filter", &mut Texts::default());
    let failed = outcome.failed();
    let (Some(policy), false) = (outcome.policy, failed) else {
        // The sets of policies are not known here.
        if names_a_set(words) {
            return Err(NoFilter::Set.said(output));
        }
        let ahead = words.len() - rest.len();
        let (sources, found) = in_own_words(outcome.diagnostics, (words, ahead), process);
        output.diagnostics(&sources, &found);
        output.error("a filter is what a rule says after its verb, such as `tcp from 203.0.113.0/24 to any:53`");
        return Err(Exit::Usage);
    };
    let mut found = outcome.diagnostics.iter();
    if let Some(idle) = found.find(|one| one.code == MATCHES_NOTHING) {
        let why = &idle.primary.text;
        output.error(format!("{why}, so nothing would be shown"));
        return Err(Exit::Usage);
    }
    // It would be that of the filter, in which nothing is.
    if policy.sets.values().any(|set| set.is_own()) {
        output.error("a filter cannot ask for `self`; name the addresses, which `sockc set list self` shows where the policy in force names it");
        return Err(Exit::Usage);
    }
    if process.is_some() && packets.is_some() {
        output.error("a filter names one direction");
        return Err(Exit::Usage);
    }
    let named = process.or(packets.map(Direction::of));
    let mut rules = policy.rules.values();
    if let Some(unknown) = rules.find_map(unknown) {
        return Err(refuse(unknown, output));
    }
    refuse_untold(&policy, named, output)?;
    let beyond = beyond(&policy, samples, output)?;
    Ok((policy, named, beyond))
}

/// Refuses a filter that asks for what neither a record nor a sample has.
fn refuse(what: &str, output: &mut Output) -> Exit {
    output.error(format!(
        "what is shown does not have {what}; a filter may ask for protocols, addresses, ports, ICMP types, `on interface` and, of `forward`, `to interface`, and of fields for `tcp flags`, `fragment`, `length` and `mark`"
    ));
    Exit::Usage
}

/// Whether a set or a map is named, outside of what stands in quotes.
fn names_a_set(words: &str) -> bool {
    let mut outside = words.split('"').step_by(2);
    outside.any(|part| part.contains('@'))
}

/// What is wrong, at its place in the words as they were given: nobody wrote the verb. What is suggested is left out where it would
/// be refused in its turn.
fn in_own_words(
    found: Vec<Diagnostic>,
    (words, ahead): (&str, usize),
    process: Option<Direction>,
) -> (SourceMap, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let source = sources.add("<filter>", words);
    let last = u32::try_from(words.len()).unwrap_or(u32::MAX);
    let ahead = u32::try_from(ahead).unwrap_or_default();
    let verb = u32::try_from(VERB.len()).unwrap_or_default();
    let at = |place: u32| (place.saturating_sub(verb) + ahead).min(last);
    let moved = |span: Span| Span {
        source,
        start: at(span.start),
        end: at(span.end),
    };
    let found = found.into_iter().map(|mut one| {
        one.primary.span = moved(one.primary.span);
        for label in &mut one.secondary {
            label.span = moved(label.span);
        }
        one.help = one.help.and_then(|help| suggested(&help, process));
        one
    });
    (sources, found.collect())
}

/// A suggestion about a rule as one about a filter.
fn suggested(help: &str, process: Option<Direction>) -> Option<String> {
    let Some((before, rest)) = help.split_once("`allow ") else {
        return Some(help.to_owned());
    };
    let (rule, after) = rest.split_once('`')?;
    let direction = process.map_or(String::new(), |one| format!("{} ", one.word()));
    is_filter(rule).then(|| format!("{before}`{direction}{rule}`{after}"))
}

/// Whether words are the rest of one rule without names.
fn is_filter(words: &str) -> bool {
    let mut sources = SourceMap::default();
    let id = sources.add("<filter>", format!("{VERB}{words}\n{REST}"));
    let (file, _) = sockc_grammar::parse(&sources, id);
    let outcome = pipeline::resolve(&mut sources, id, "filter", &mut Texts::default());
    direction_of(&file).is_ok() && !outcome.failed()
}

/// The direction in front of the words that is about what processes do, if one is, and the words without it.
fn of_process(words: &str) -> (Option<Direction>, &str) {
    let words = words.trim_start();
    let (first, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let named = Direction::all_of_processes().find(|one| one.word() == first);
    (named, if named.is_some() { rest } else { words })
}

/// Why a text is no filter, however its names are meant.
enum NoFilter {
    /// It has more than one rule, or something else beside it.
    Beside(Option<&'static str>),
    /// It asks by which interface something leaves that does not pass through.
    Leaves,
    /// It names a zone.
    Zone,
    /// It names a set or a map.
    Set,
}

impl NoFilter {
    fn said(self, output: &mut Output) -> Exit {
        match self {
            Self::Beside(None) => output.error("a filter is what one rule says after its verb"),
            Self::Beside(Some(what)) => output.error(format!(
                "a filter is what one rule says after its verb, and {what} is not of that: write the addresses and ports themselves"
            )),
            Self::Leaves => output.error("`to interface` is the end by which what passes through leaves: begin the filter with `forward`, or write `on interface`"),
            Self::Set => output.error("a filter cannot ask for sets and maps of a policy (`@`), which no record tells; name the addresses, which `sockc set list` shows of live sets"),
            // The zones of policies are not known here.
            Self::Zone => return refuse("a zone", output),
        }
        Exit::Usage
    }
}

/// The direction of packets that the only rule names; nothing where the grammar could not read a rule, which it says itself.
fn direction_of(file: &File) -> Result<Option<ast::Direction>, NoFilter> {
    let mut read: Option<&ast::Rule> = None;
    let mut defaults = 0;
    for statement in &file.statements {
        match &statement.value {
            Statement::Rule(rule) if read.is_none() => read = Some(rule),
            Statement::Default(_) if defaults < REST.lines().count() => defaults += 1,
            Statement::Include(_) => return Err(NoFilter::Beside(Some("`include`"))),
            Statement::Set(_) => return Err(NoFilter::Beside(Some("`set`"))),
            _ => return Err(NoFilter::Beside(None)),
        }
    }
    let Some(rule) = read else { return Ok(None) };
    let direction = rule.direction.as_ref().map(|one| one.value);
    for clause in &rule.clauses {
        match clause.value {
            Clause::OnZone(_) | Clause::ToZone(_) => return Err(NoFilter::Zone),
            Clause::ToInterface(_) if direction != Some(ast::Direction::Forward) => {
                return Err(NoFilter::Leaves);
            }
            _ => {}
        }
    }
    Ok(direction)
}

/// Refuses what no record of the direction tells that the words name: nothing would ever be shown.
fn refuse_untold(
    policy: &Policy,
    named: Option<Direction>,
    output: &mut Output,
) -> Result<(), Exit> {
    let named = named.and_then(|named| Some((named, named.deed()?)));
    let Some((direction, deed)) = named else {
        return Ok(());
    };
    let Some(what) = policy.rules.values().find_map(|rule| untold(rule, deed)) else {
        return Ok(());
    };
    output.error(format!(
        "a record of `{}` does not have {what}, so nothing would be shown",
        direction.word()
    ));
    Err(Exit::Usage)
}

/// What a rule asks that no record tells of what processes do.
fn untold(rule: &Rule, deed: &Deed) -> Option<&'static str> {
    let seen = Hook::protocols(deed.direction);
    let protocols = &rule.matches.protocols;
    let of_none = || !protocols.iter().any(|one| seen.contains(&one.number));
    let asked = [
        (!protocols.is_empty() && of_none(), "such a protocol"),
        (rule.matches.on.is_some(), "an interface"),
        (
            rule.matches.from.is_some() && !deed.has_sender,
            "a sender: nobody knows yet from where it goes",
        ),
        (rule_asks(rule, HeaderField::Mark), "a mark"),
        (rule_asks(rule, HeaderField::TcpFlags), "TCP flags"),
        (
            rule_asks(rule, HeaderField::Length) && !deed.has_sender,
            "a length: nothing has been sent yet",
        ),
    ];
    let mut asked = asked.into_iter();
    asked.find_map(|(is_asked, what)| is_asked.then_some(what))
}

/// What the rule asks that logs do not keep, which only samples can answer; refused where nothing is sampled.
fn beyond(
    policy: &Policy,
    samples: bool,
    output: &mut Output,
) -> Result<Option<&'static str>, Exit> {
    let mut conditions = policy
        .rules
        .values()
        .flat_map(|rule| &rule.matches.conditions);
    let beyond = conditions.find_map(beyond_logs);
    match beyond {
        Some(what) if !samples => {
            output.error(format!(
                "a record of a log does not have {what}; of drops that are sampled (`--drops`) a filter may ask for it"
            ));
            return Err(Exit::Usage);
        }
        Some(what) => output.note(format!(
            "a record of a log does not have {what}, so with this filter nothing that rules log is shown, but drops alone"
        )),
        None => {}
    }
    Ok(beyond)
}

/// What a rule asks or says that no record can answer, in words.
fn unknown(rule: &Rule) -> Option<&'static str> {
    let said = [
        (rule.rate.is_some(), "a rate"),
        (rule.log.is_some(), "a `log` of its own"),
        (rule.mark.is_some(), "a mark to set"),
        (rule.at.is_some(), "an `at` to choose"),
        (rule.note.is_some(), "a note"),
    ];
    let mut said = said.into_iter();
    let said = said.find_map(|(is_said, what)| is_said.then_some(what));
    let mut conditions = rule.matches.conditions.iter();
    said.or_else(|| conditions.find_map(unknown_condition))
}

fn unknown_condition(condition: &Condition) -> Option<&'static str> {
    match condition {
        Condition::No(inner) => unknown_condition(inner),
        Condition::AnyOf(any) => any.iter().find_map(unknown_condition),
        Condition::Header { .. } => None,
        Condition::Socket { .. } | Condition::SockAbsent(_) => Some("a socket"),
        Condition::Entry { .. } | Condition::FirstMatch(_) => Some("an entry of a map"),
    }
}

/// What a condition asks that no record of a log has, but a frame does.
fn beyond_logs(condition: &Condition) -> Option<&'static str> {
    match condition {
        Condition::No(inner) => beyond_logs(inner),
        Condition::AnyOf(any) => any.iter().find_map(beyond_logs),
        Condition::Header { field, .. } => match field {
            HeaderField::Fragment
            | HeaderField::TcpFlags
            | HeaderField::Length
            | HeaderField::Mark => None,
            HeaderField::Ttl => Some("a time to live"),
            HeaderField::Dscp => Some("a dscp"),
            HeaderField::Ecn => Some("an ecn"),
            HeaderField::Vlan => Some("a VLAN"),
            HeaderField::EtherFrom | HeaderField::EtherTo => Some("a hardware address"),
        },
        _ => None,
    }
}
