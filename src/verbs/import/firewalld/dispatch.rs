//! Which zone and which policy a packet is in.
//!
//! Takes the configuration; gives the rules by which chains call zones and policies: senders first, by the names of their zones, then
//! interfaces, then the default zone. Not here: what stands in a zone or a policy.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::ends::{self, End};
use super::making::Making;
use super::xml::Spot;
use super::zones::{Policy, Reach, Zone};
use crate::verbs::import::goal::Goal;
use crate::verbs::import::rule::Rule;
use crate::verbs::import::what::{self, Of, Pattern, What};

/// Calls the zones.
pub(super) fn zones(making: &mut Making<'_>, base: &str) {
    let config = making.config;
    for zone in config.used() {
        let goal = call(making, zone);
        for (spot, rule) in of_sources(making, zone, Of::From, &goal) {
            making.line(base, &spot, rule);
        }
    }
    for (spot, zone, what) in of_all_interfaces(making) {
        let goal = call(making, zone);
        let rule = making.rule(goal, vec![what]);
        making.line(base, spot, rule);
    }
    if let Some(zone) = config.zones.get(&config.default) {
        let goal = call(making, zone);
        let rule = making.rule(goal, vec![What::any(making.family)]);
        making.line(base, &zone.head, rule);
    }
}

/// Makes the chain of a zone, and what leads to it: no zone is left for another one.
fn call(making: &mut Making<'_>, zone: &Zone) -> Goal {
    let name = format!("zone {}", zone.name);
    making.zone(&name, zone);
    Goal::Goto(name)
}

/// What asks for interfaces, in order. Where no interface is in two zones, the order changes nothing, and what the default zone names
/// comes to it anyway; else firewalld asks the last one first.
fn of_all_interfaces<'a>(making: &Making<'a>) -> Vec<(&'a Spot, &'a Zone, What)> {
    let config = making.config;
    let named = config
        .used()
        .flat_map(|zone| zone.interfaces.iter().map(move |one| (one, zone)));
    if making.zones.is_none() {
        let one = |((spot, pattern), zone): (&'a (Spot, Pattern), &'a Zone)| {
            (spot, zone, by(making.family, pattern.clone(), Of::From))
        };
        let mut all: Vec<_> = named.filter(|((_, one), _)| !is_lo(one)).map(one).collect();
        all.reverse();
        return all;
    }
    let others = config.used().filter(|zone| zone.name != config.default);
    let cases = others.flat_map(|zone| {
        let head = zone.interfaces.first().map_or(&zone.head, |(spot, _)| spot);
        let cases = of_interfaces(making, zone, Of::From).into_iter();
        cases.map(move |what| (head, zone, what))
    });
    cases.collect()
}

fn is_lo(pattern: &Pattern) -> bool {
    *pattern == Pattern::One("lo".to_owned())
}

fn by(family: Family, pattern: Pattern, of: Of) -> What {
    let mut what = What::any(family);
    match of {
        Of::From => what.on = Some(pattern),
        Of::To => what.leaves = Some(pattern),
    }
    what
}

/// Packets by the interfaces of a zone, but not by `lo`, where the policy is not.
fn of_interfaces(making: &Making<'_>, zone: &Zone, of: Of) -> Vec<What> {
    let interfaces = zone.interfaces.iter().map(|(_, one)| one);
    let members: Vec<Pattern> = interfaces.filter(|one| !is_lo(one)).cloned().collect();
    let Some(names) = making.zones else {
        let all = members.into_iter();
        return all.map(|one| by(making.family, one, of)).collect();
    };
    if members.is_empty() {
        return Vec::new();
    }
    let zone = what::Zone {
        name: names.of(&zone.name).to_owned(),
        members,
    };
    let mut what = What::any(making.family);
    match of {
        Of::From => what.on_zone = Some(zone),
        Of::To => what.to_zone = Some(zone),
    }
    vec![what]
}

/// Rules about the senders of a zone, or about its receivers: addresses together, and sets and hardware addresses one by one.
fn of_sources(making: &Making<'_>, zone: &Zone, of: Of, goal: &Goal) -> Vec<(Spot, Rule)> {
    let mut rules = Vec::new();
    let addresses = zone.sources.iter().filter_map(|(_, one)| match one {
        End::Addresses(family, range) if *family == making.family => Some(*range),
        _ => None,
    });
    let addresses = RangeSet::from_ranges(addresses);
    if !addresses.is_empty() {
        let spot = zone.sources.first().map_or(&zone.head, |(spot, _)| spot);
        let rule = making.rule(goal.clone(), vec![making.addressed(addresses, of)]);
        rules.push((spot.clone(), rule));
    }
    for (spot, one) in &zone.sources {
        if matches!(one, End::Addresses(..)) {
            continue;
        }
        let mut rule = making.rule(goal.clone(), vec![What::any(making.family)]);
        let asked = ends::asks(
            one,
            false,
            of,
            (&making.config.sets, making.family, making.list),
        );
        if let Err(why) = asked.and_then(|asks| rule.asks(asks)) {
            rule.refuse(why);
        }
        rules.push((spot.clone(), rule));
    }
    rules
}

/// What goes from one interface of a zone to another, or to a sender of the zone.
pub(super) fn within(making: &mut Making<'_>, name: &str, zone: &Zone) {
    let Some(spot) = &zone.forwards else {
        return;
    };
    for what in of_interfaces(making, zone, Of::To) {
        let rule = making.rule(Goal::Accept, vec![what]);
        making.line(name, spot, rule);
    }
    for (_, rule) in of_sources(making, zone, Of::To, &Goal::Accept) {
        making.line(name, spot, rule);
    }
}

/// The rules that call a policy: one for each pair of its ends.
pub(super) fn of_policy(making: &Making<'_>, policy: &Policy, goal: &Goal) -> Vec<Rule> {
    let from = reached(making, &policy.from, Of::From, goal);
    let to = reached(making, &policy.to, Of::To, goal);
    let mut rules = Vec::new();
    for one in &from {
        for other in &to {
            let mut rule = one.clone();
            if let Some(why) = &other.unread {
                rule.refuse(why.clone());
            }
            if let Err(why) = rule.met(&other.cases) {
                rule.refuse(why);
            }
            rules.push(rule);
        }
    }
    rules
}

/// The rules about one end of a policy.
fn reached(making: &Making<'_>, reach: &Reach, of: Of, goal: &Goal) -> Vec<Rule> {
    let Reach::Zones(names) = reach else {
        return vec![making.rule(goal.clone(), vec![What::any(making.family)])];
    };
    let zones = names
        .iter()
        .filter_map(|name| making.config.zones.get(name));
    let zones: Vec<&Zone> = zones.collect();
    let mut rules = Vec::new();
    for zone in &zones {
        let cases = of_interfaces(making, zone, of);
        rules.extend(
            cases
                .into_iter()
                .map(|what| making.rule(goal.clone(), vec![what])),
        );
    }
    for zone in &zones {
        let sources = of_sources(making, zone, of, goal).into_iter();
        rules.extend(sources.map(|(_, rule)| rule));
    }
    rules
}
