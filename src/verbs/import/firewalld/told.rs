//! What is said of a configuration of firewalld beside its chains.
//!
//! Takes the configuration; gives what is not about whether packets get through, what stands in no chain of a list, and what is not in
//! force. Not here: what is said of rules that chains have.

use std::collections::BTreeSet;

use super::conf::LogDenied;
use super::config::Config;
use super::elements::{About, Changing};
use super::rich::Verdict;
use super::xml::Spot;
use super::zones::{Settings, Zone};
use crate::verbs::import::report::{Entry, Kind};

/// What is said, with the place where it stands if it has one.
type Said = (Kind, Option<Spot>, String);

/// All that is said; `came` is what became of rules in any list, and `leaves` whether what leaves has a list.
pub(super) fn entries(
    config: &Config,
    file: &str,
    came: &BTreeSet<Spot>,
    leaves: bool,
) -> Vec<Entry> {
    let mut said: Vec<Said> = Vec::new();
    for settings in config.in_force() {
        said.extend(of_settings(settings, came));
    }
    said.extend(config.direct.iter().map(direct));
    said.extend(config.zones.values().filter_map(priority));
    said.extend(of_conf(config, leaves));
    said.extend(unused(config));
    let entries = said.into_iter().map(|(kind, spot, said)| {
        let plain = Entry::of_file(kind, file, said);
        match spot {
            None => plain,
            Some(spot) => Entry {
                place: Some(spot.place),
                order: Some(spot.order),
                rule: Some(spot.text),
                ..plain
            },
        }
    });
    entries.collect()
}

/// Whether addresses are translated.
pub(super) fn is_translated(config: &Config) -> bool {
    let is_translating = |about: &About| {
        matches!(
            about,
            About::Changing(Changing::Masquerade | Changing::ForwardPort)
        )
    };
    config.in_force().any(|settings| {
        let rules = settings.rules.iter().filter_map(|rule| rule.about.as_ref());
        let plain = settings.plain.iter().map(|(_, about)| about);
        plain.chain(rules).any(is_translating)
    })
}

fn of_settings(settings: &Settings, came: &BTreeSet<Spot>) -> Vec<Said> {
    let mut said = Vec::new();
    for (spot, about) in &settings.plain {
        said.extend(of_about(about, spot).or_else(|| nowhere(spot, came)));
    }
    for rule in &settings.rules {
        let changing = rule
            .about
            .as_ref()
            .and_then(|about| of_about(about, &rule.spot));
        let marks = matches!(rule.verdict, Some((Verdict::Mark, _)));
        said.extend(match (changing, marks) {
            (Some(said), _) => Some(said),
            (None, true) => Some(marked(&rule.spot)),
            (None, false) => nowhere(&rule.spot, came),
        });
    }
    let ignored = settings.ignored.iter();
    said.extend(ignored.map(|(spot, why)| {
        let said = format!("firewalld goes on without this rule, and so does the policy: {why}");
        (Kind::Note, Some(spot.clone()), said)
    }));
    said
}

fn of_about(about: &About, spot: &Spot) -> Option<Said> {
    let About::Changing(changing) = about else {
        return None;
    };
    let said = match changing {
        Changing::Masquerade => {
            "packets are not changed here: senders keep their addresses; leave it to firewalld or another tool while they need it"
        }
        Changing::ForwardPort => {
            "packets are not changed here, and what is sent on there is let in there whatever zones say, while here it has to be let in by a rule: put one ahead that allows this port in `in`, and one for the port and the receiver behind it in `forward` where that is another machine"
        }
        Changing::SegmentSize => {
            "packets are not changed here: TCP asks for the segments that it asks for"
        }
    };
    Some((Kind::LeftOut, Some(spot.clone()), said.to_owned()))
}

fn marked(spot: &Spot) -> Said {
    let said = "no mark is set, nor a line written, by a rule that goes on: what routes or filters by the mark does not see it; `allow … mark N` sets one where a rule decides";
    (Kind::LeftOut, Some(spot.clone()), said.to_owned())
}

/// Says of what should be in some list that it is in none.
fn nowhere(spot: &Spot, came: &BTreeSet<Spot>) -> Option<Said> {
    (!came.contains(spot)).then(|| {
        let said = "it stands nowhere in the policy: no packet has all that it asks, as that is understood here";
        (Kind::Changed, Some(spot.clone()), said.to_owned())
    })
}

fn direct(spot: &Spot) -> Said {
    let said = "it goes to iptables as it is, and is not in the policy: packets that it drops may get through here, and those that it accepts may be dropped; `sockc import iptables-save` reads what `iptables-save` prints of it";
    (Kind::LeftOut, Some(spot.clone()), said.to_owned())
}

fn priority(zone: &Zone) -> Option<Said> {
    zone.has_priority.then(|| {
        let said = "the priority of a zone is not looked at: senders of zones are asked first, by the names of the zones, and then interfaces";
        (Kind::Changed, Some(zone.head.clone()), said.to_owned())
    })
}

/// What `firewalld.conf` says.
fn of_conf(config: &Config, leaves: bool) -> Vec<Said> {
    let conf = &config.conf;
    let mut said = Vec::new();
    let mut say = |is: bool, kind: Kind, text: String| {
        if is {
            said.push((kind, None, text));
        }
    };
    say(
        conf.checks_senders,
        Kind::LeftOut,
        "IPv6_rpfilter: packets of IPv6 that come by another interface than the one to their sender are dropped there, and may get through here; where a network is known, put `drop from not NETWORK on interface I` ahead".to_owned(),
    );
    say(
        conf.rejects_embedded && !leaves,
        Kind::LeftOut,
        "RFC3964_IPv4: packets that this machine sends to addresses of IPv6 which stand for private ones of IPv4 are rejected there, and leave here, such as `out tcp from [2001:db8::9]:40000 to [2002:a00::1]:80`".to_owned(),
    );
    let kind = match &conf.log_denied {
        LogDenied::Kind(kind) => kind.as_str(),
        LogDenied::Off | LogDenied::All => "",
    };
    say(
        !kind.is_empty(),
        Kind::LeftOut,
        format!(
            "LogDenied: nothing is written of {kind} packets alone; rules with `log` write what they refuse"
        ),
    );
    say(
        conf.drifts,
        Kind::Changed,
        "AllowZoneDrifting: releases before 1.0 go on in the zone of the interface with what the zone of its sender does not decide; here as in later ones that is refused".to_owned(),
    );
    say(
        conf.uses_iptables,
        Kind::Note,
        "FirewallBackend: zones and policies mean the same with iptables, in which `direct` has rules ahead of them".to_owned(),
    );
    say(
        conf.default_zone != config.default,
        Kind::Note,
        format!(
            "DefaultZone: there is no zone {}, so {} is the default zone, as firewalld has it then",
            conf.default_zone, config.default
        ),
    );
    let names_interfaces = config.used().any(|zone| !zone.interfaces.is_empty());
    say(
        names_interfaces,
        Kind::Changed,
        format!(
            "without `--interface`, `sockc apply` puts the policy on the interfaces of zones that it names, and others are open, which are in the zone {} there: name all of them",
            config.default
        ),
    );
    said
}

/// What is not in force by these files.
fn unused(config: &Config) -> Option<Said> {
    let unused = config.zones.values();
    let unused = unused.filter(|zone| !zone.is_used() && zone.name != config.default);
    let names: Vec<&str> = unused.map(|zone| zone.name.as_str()).collect();
    let said = format!(
        "interfaces that NetworkManager puts into zones (`nmcli -f NAME,connection.zone connection`) do not stand in these files, and are in the zone {} here; add `<interface name=…/>` to their zones first. Zones without interfaces and senders are not in the policy: {}",
        config.default,
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    );
    Some((Kind::Note, None, said))
}
