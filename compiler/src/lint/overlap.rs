//! Rules of opposite verdicts that share packets while neither holds the other: their order decides what becomes of these
//! packets, and nothing in the text says that it was meant.
//!
//! Only said where asked for: an exception ahead of a general rule is what lists are made of, and silent here, but
//! crossing rules may be meant too. Each is proved by a packet: the earlier rule decides it, and without that rule the
//! later one would. Not here: rules that are never reached, and what processes send.

use std::collections::BTreeSet;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceId;

use super::OVERLAP;
use super::boxes::contains;
use super::list::{Exhausted, List, head};
use super::reach::CORNERS;
use super::sample::Sample;
use crate::diagram::Node;
use crate::event::{Event, Parsed, Transport};
use crate::packet::text::{Described, describe_case};
use crate::policy::{Action, Policy, Rule, RuleId};
use crate::witness::shortest;

/// So many earlier rules are named for one.
const MAX_PARTNERS: usize = 3;

/// So many rules may stand in the way of one packet of two rules.
const MAX_IN_THE_WAY: usize = 64;

/// Looks that the search for a packet of two rules takes.
const SHARED_COST: u64 = 20;

/// The file of `include <essentials>`: what IP itself needs stands ahead of everything on purpose.
const ESSENTIALS: &str = "<essentials>";

/// A rule and its number.
type Numbered<'a> = (RuleId, &'a Rule);

/// An earlier rule of the opposite verdict, and a packet of both.
struct Partner {
    /// Of the rules that a redirect by a map became, the first.
    earlier: RuleId,
    example: String,
}

/// Reports the rules of a list that cross earlier ones; those of included files may be meant for other policies.
pub(super) fn check(
    list: &mut List<'_>,
    own: SourceId,
    unreachable: &BTreeSet<RuleId>,
    found: &mut Vec<Diagnostic>,
) {
    if list.direction.of_processes() {
        return;
    }
    // A redirect by a map became several rules: one warning is enough.
    let mut told = BTreeSet::new();
    for later in list.rules.clone() {
        let (id, rule) = later;
        let statement = head(id, rule);
        if rule.place.span.source != own || unreachable.contains(&id) || told.contains(&statement) {
            continue;
        }
        match partners(list, later, unreachable) {
            Ok(partners) if !partners.is_empty() => {
                found.push(report(list.policy, rule, &partners));
                told.insert(statement);
            }
            _ => {}
        }
    }
}

/// Whether what a rule decides gets through; nothing of a rule that decides nothing.
fn passes(rule: &Rule) -> Option<bool> {
    match rule.action {
        Action::Allow
        | Action::Redirect(_)
        | Action::Intercept(_)
        | Action::Forward(_)
        | Action::Shortcut(_)
        | Action::Feed(_) => Some(true),
        Action::Drop | Action::Reject => Some(false),
        Action::Count => None,
    }
}

/// The first earlier rules that cross a rule, in order.
fn partners(
    list: &mut List<'_>,
    later: Numbered<'_>,
    unreachable: &BTreeSet<RuleId>,
) -> Result<Vec<Partner>, Exhausted> {
    let (id, rule) = later;
    let Some(passes_later) = passes(rule) else {
        return Ok(Vec::new());
    };
    let opposite = |other: RuleId, earlier: &Rule| {
        passes(earlier) == Some(!passes_later)
            && !unreachable.contains(&other)
            && *earlier.place.file != *ESSENTIALS
    };
    let (candidates, _) = list.sharing(rule, 0..id.as_u32(), usize::MAX, opposite)?;
    let mut found = Vec::new();
    for other in candidates {
        if found.len() == MAX_PARTNERS {
            break;
        }
        let earlier = (other, &list.policy.rules[other]);
        let statement = head(other, earlier.1);
        if found
            .iter()
            .any(|known: &Partner| known.earlier == statement)
        {
            continue;
        }
        list.look(SHARED_COST)?;
        if let Some(example) = crossing(list, earlier, later)? {
            found.push(Partner {
                earlier: statement,
                example,
            });
        }
    }
    Ok(found)
}

/// A packet in words that the earlier rule decides and the later one would, if neither rule holds the other.
fn crossing(
    list: &mut List<'_>,
    earlier: Numbered<'_>,
    later: Numbered<'_>,
) -> Result<Option<String>, Exhausted> {
    let (one, other) = (earlier.1, later.1);
    if contains(list.policy, one, other) || contains(list.policy, other, one) {
        return Ok(None);
    }
    let both = [earlier, later];
    let example = match corner(list, &both)? {
        Some(example) => Some(example),
        None => drawn(list, &both)?,
    };
    let Some(example) = example else {
        return Ok(None);
    };
    let crosses = sticks_out(list, earlier, later)? && sticks_out(list, later, earlier)?;
    Ok(crosses
        .then_some(example)
        .and_then(|one| describe_case(list.policy, &one)))
}

/// A packet of both rules at their corners.
fn corner(list: &List<'_>, both: &[Numbered<'_>; 2]) -> Result<Option<Described>, Exhausted> {
    for variant in 0..CORNERS {
        let Some(sample) = Sample::of(list.policy, both, variant) else {
            continue;
        };
        if let Some(described) = shown(list, sample.described(), both)? {
            return Ok(Some(described));
        }
    }
    Ok(None)
}

/// The same by diagrams: what both match, without what other rules ahead of the later one decide.
fn drawn(list: &mut List<'_>, both: &[Numbered<'_>; 2]) -> Result<Option<Described>, Exhausted> {
    let ends = both.map(|(id, rule)| head(id, rule));
    let later = both[1].0;
    list.forget_diagrams();
    let possible = list.possible()?;
    let mut left = possible;
    for (id, _) in both {
        let matched = list.diagram(*id, None)?;
        left = list.both(left, matched)?;
    }
    let mut in_the_way = BTreeSet::new();
    while left != Node::FALSE {
        let asked = |id| {
            let rule: &Rule = &list.policy.rules[id];
            rule.action.decides() && !ends.contains(&head(id, rule))
        };
        let ahead = 0..later.as_u32();
        let Some(decider) = list.first_in(left, None, ahead, asked) else {
            return Err(Exhausted);
        };
        let Some(first) = decider else {
            return match list.described(left) {
                Some(described) => shown(list, described, both),
                None => Ok(None),
            };
        };
        let Some(rest) = list.take_away(left, first, &mut in_the_way, MAX_IN_THE_WAY)? else {
            return Ok(None);
        };
        left = rest;
    }
    Ok(None)
}

/// The packet with no more around it than needed, if its fate depends on the order.
fn shown(
    list: &List<'_>,
    described: Described,
    both: &[Numbered<'_>; 2],
) -> Result<Option<Described>, Exhausted> {
    if !depends_on_order(list, &described, both)? {
        return Ok(None);
    }
    let holds = |said: &Described| depends_on_order(list, said, both).unwrap_or(false);
    let plain = Some(with_plain_flags(&described)).filter(&holds);
    Ok(Some(shortest(
        list.policy,
        plain.unwrap_or(described),
        holds,
    )))
}

/// The same with the TCP flags of a new connection, which need not be said.
fn with_plain_flags(described: &Described) -> Described {
    const SYN: u8 = 0x02;
    let mut plain = described.clone();
    if let Event::Packet {
        packet: Parsed::Ip(header),
        ..
    }
    | Event::Passing {
        packet: Parsed::Ip(header),
        ..
    } = &mut plain.event
        && let Transport::Tcp { flags, .. } = &mut header.transport
    {
        *flags = SYN;
    }
    plain
}

/// Whether the reference meaning says that the earlier rule decides a packet, and that the later one would without it.
fn depends_on_order(
    list: &List<'_>,
    described: &Described,
    [earlier, later]: &[Numbered<'_>; 2],
) -> Result<bool, Exhausted> {
    let [earlier, later] = [earlier, later].map(|(id, rule)| head(*id, rule));
    Ok(list.decided_by(described, None)? == Some(earlier)
        && list.decided_by(described, Some(earlier))? == Some(later))
}

/// Whether some packet is the one rule's and not the other's.
fn sticks_out(
    list: &mut List<'_>,
    one: Numbered<'_>,
    other: Numbered<'_>,
) -> Result<bool, Exhausted> {
    let own = [one];
    let mut corners = (0..CORNERS).filter_map(|variant| Sample::of(list.policy, &own, variant));
    if corners.any(|sample| !sample.is_of(other.0, other.1)) {
        return Ok(true);
    }
    list.forget_diagrams();
    let possible = list.possible()?;
    let matched = list.diagram(one.0, None)?;
    let taken = list.diagram(other.0, None)?;
    let matched = list.both(possible, matched)?;
    Ok(list.without(matched, taken)? != Node::FALSE)
}

fn report(policy: &Policy, rule: &Rule, partners: &[Partner]) -> Diagnostic {
    let does = match passes(rule) {
        Some(true) => "earlier rules keep out some of the packets that this one lets through",
        _ => "earlier rules let through some of the packets that this one keeps out",
    };
    let title = "the order of two rules decides what becomes of packets that both match";
    let mut warning = Diagnostic::warning(OVERLAP, title, rule.place.span, does);
    for partner in partners {
        let text = format!("decides `{}`", partner.example);
        warning = warning.also(policy.rules[partner.earlier].place.span, text);
    }
    warning.help("if that is meant, leave it; else swap the rules, or take the shared packets out of one with `not`")
}
