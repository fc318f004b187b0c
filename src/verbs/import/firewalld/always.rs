//! What firewalld always does, whatever its files say.
//!
//! Takes a chain; puts into it what stands ahead of policies and zones, and what zones do with ICMP. What is about `lo` is left away: the
//! policy is not there. Not here: what files say.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::conf::LogDenied;
use super::making::Making;
use super::meant::OTHER_ICMP;
use super::xml::Spot;
use super::zones::{Target, Zone};
use crate::verbs::import::addresses;
use crate::verbs::import::goal::Goal;
use crate::verbs::import::list::List;
use crate::verbs::import::states::States;
use crate::verbs::import::what::{self, Of, What};

/// How firewalld answers what nothing lets in.
pub(super) const ANSWER: &str = "admin-prohibited";

/// Addresses of IPv6 that stand for such of IPv4 as nobody else can have (`build_rfc3964_ipv4_rules`).
const EMBEDDED: [&str; 9] = [
    "::/96",
    "::ffff:0:0/96",
    "2002::/24",
    "2002:a00::/24",
    "2002:7f00::/24",
    "2002:ac10::/28",
    "2002:c0a8::/32",
    "2002:a9fe::/32",
    "2002:e000::/19",
];

/// What stands in no file, at the place where the kernel has it.
fn spot(base: &str, text: &str) -> Spot {
    Spot {
        order: 0,
        place: format!("filter_{base}"),
        text: text.to_owned(),
    }
}

/// What is asked first.
pub(super) fn ahead(making: &mut Making<'_>, base: &str) {
    states(
        making,
        base,
        (
            "ct state established,related accept",
            &["ESTABLISHED", "RELATED"],
        ),
        Goal::Accept,
    );
    if making.list != List::Out {
        states(
            making,
            base,
            ("ct state invalid drop", &["INVALID"]),
            Goal::Drop,
        );
    }
    if making.list != List::In && making.config.conf.rejects_embedded {
        embedded(making, base);
    }
}

fn states(making: &mut Making<'_>, base: &str, (text, names): (&str, &[&str]), goal: Goal) {
    let mut rule = making.rule(goal, vec![What::any(making.family)]);
    let states = States::named(names.iter().copied(), false);
    let asked = states.and_then(|states| rule.asks_states(states, making.family, making.list));
    if let Err(why) = asked {
        rule.refuse(why);
    }
    making.line(base, &spot(base, text), rule);
}

/// What goes to such addresses.
fn embedded(making: &mut Making<'_>, base: &str) {
    if making.family != Family::V6 {
        return;
    }
    let ranges = EMBEDDED.iter().filter_map(|text| addresses::prefix(text));
    let held = RangeSet::from_ranges(ranges.map(|(_, range)| range));
    let goal = Goal::Reject("addr-unreachable".to_owned());
    let mut rule = making.rule(goal, vec![making.addressed(held, Of::To)]);
    rule.comment = Some("RFC 3964".to_owned());
    if making.config.conf.log_denied == LogDenied::All {
        rule.log = Some("RFC3964_IPv4_REJECT: ".to_owned().into());
    }
    making.line(base, &spot(base, "RFC3964_IPv4=yes"), rule);
}

/// What a zone does with ICMP that nothing in it names: it lets it in, or refuses it where blocked types are the only ones that it lets in.
fn icmp_of(zone: &Zone) -> Option<Goal> {
    match (zone.target, &zone.inverted) {
        (Target::Drop | Target::Reject | Target::Continue, _) | (Target::Accept, None) => None,
        (Target::Default | Target::Accept, Some(_)) => Some(Goal::Reject(ANSWER.to_owned())),
        (Target::Default, None) => Some(Goal::Accept),
    }
}

/// The rule for that.
pub(super) fn icmp(making: &mut Making<'_>, name: &str, zone: &Zone) {
    let Some(goal) = icmp_of(zone) else {
        return;
    };
    let family = making.family;
    let refuses = goal != Goal::Accept && making.config.conf.log_denied == LogDenied::All;
    let mut rule = making.rule(goal, vec![What::protocol(family, what::icmp(family))]);
    rule.changed.push(OTHER_ICMP.to_owned());
    rule.log = refuses.then(|| format!("{name} ICMP_BLOCK: ").into());
    let spot = zone.inverted.as_ref().unwrap_or(&zone.head);
    making.line(name, spot, rule);
}
