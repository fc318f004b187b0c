//! What random policies have of the whole language beyond plain rules: declarations, conditions, rates, logs, marks.

use super::Features;
use super::parts::{drawn, side, sides};
use super::random::Random;
use super::values::{Lean, Values};

/// Rates of every unit and period, for all packets together and by address.
#[rustfmt::skip]
const RATES: &[&str] = &[
    "1 packets/second", "1000 packets/second burst 5", "20 packets/minute per source", "3 packets/hour per destination/24/56",
    "100_000 bytes/second", "1_000_000 bytes/minute per source/0/128 burst 3000", "20 connections/minute per source/32/64",
    "5 connections/second burst 1", "2 connections/hour per destination",
];

/// Logs with a limit of some kind.
const LOGS: &[&str] = &[
    "log max 5/second",
    "log \"seen\" sample 1/10",
    "log \"a \\\"quoted\\\" text\" sample 3/4 max 100/minute",
];

/// Declarations that the features need.
pub(super) fn declarations(values: &Values, features: Features) -> String {
    let mut text = String::new();
    if features.sets {
        text += &values.question_sets();
    }
    if features.groups {
        text += "group pods = cgroup \"/pods\"\ngroup web = cgroup \"/web\"\ndefault send allow\n";
    }
    if features.zones {
        text += "zone wan = eth0, ppp*\nzone lan = br-*\n";
    }
    text
}

/// Maps to the sockets of redirects: one that nests, one that changes.
pub(super) fn maps(features: Features) -> &'static str {
    if !features.maps {
        return "";
    }
    "map table = { 3.3.3.0/24:* -> sock both, 3.3.3.3:80 -> sock quiet, 3.3.3.3:80-443 -> sock plain, \
     tcp 0.0.0.0/0:22 -> sock both, [2001:db8::/32]:* -> sock quiet, [2001:db8::/64]:53 -> sock both }\n\
     live map tenants max 1000\n"
}

/// A redirect by a map.
pub(super) fn by_map(random: &mut Random) -> String {
    let protocols = *random.pick(&["", " tcp", " udp"]);
    let map = *random.pick(&["table", "tenants"]);
    format!("redirect{protocols} by @{map}")
}

/// A rule that the socket lookup itself evaluates.
pub(super) fn at_lookup(random: &mut Random, values: &Values) -> String {
    let verb = *random.pick(&["allow", "count", "reject"]);
    let protocols = *random.pick(&[" tcp", " udp", " tcp, udp"]);
    let lean = *random.pick(&[Lean::V4, Lean::V6, Lean::Either]);
    let sides = sides(random, values, lean, true);
    format!("{verb}{protocols}{sides} at sk_lookup")
}

/// A rule about what a group writes.
pub(super) fn writing(random: &mut Random, values: &Values) -> String {
    let verb = *random.pick(&["allow", "drop", "reject", "count"]);
    let group = *random.pick(&["pods", "web"]);
    let lean = *random.pick(&[Lean::V4, Lean::V6, Lean::Either]);
    let to = side(random, values, lean, true);
    let log = *random.pick(&["", "", " log \"written\""]);
    format!("{verb} send tcp from group {group} to {to}{log}")
}

/// A rule as it is, or in the block of a zone.
pub(super) fn placed(random: &mut Random, rule: String, features: Features) -> String {
    if features.zones && !rule.contains(" on ") && !rule.contains(" send ") && random.one_in(10) {
        return format!("for zone lan {{ {rule} }}");
    }
    rule
}

/// A hook that a rule with these conditions can be asked at.
pub(super) fn hook(
    random: &mut Random,
    features: Features,
    arriving: bool,
    conditions: &str,
) -> &'static str {
    let early = features.fields && arriving && !conditions.contains("mark");
    if early && random.one_in(2) {
        " at xdp"
    } else {
        " at tc"
    }
}

/// A condition of the features, if one is drawn; `named`: whether the rule may ask for named sockets.
pub(super) fn condition(
    random: &mut Random,
    features: Features,
    sockets: bool,
    named: bool,
) -> Option<&'static str> {
    if features.fields && random.one_in(2) {
        return Some(*random.pick(&drawn(false)));
    }
    if features.absent && named && random.one_in(4) {
        return Some(*random.pick(&["sock both absent", "sock quiet absent", "sock plain absent"]));
    }
    if features.namespaces && sockets && random.one_in(4) {
        return Some(*random.pick(&[
            "socket exists in netns \"blue\"",
            "socket listening in netns \"green\"",
            "socket established in netns \"blue\"",
        ]));
    }
    None
}

/// `on …`, or nothing.
pub(super) fn on(random: &mut Random, features: Features) -> &'static str {
    if !features.zones || !random.one_in(4) {
        return "";
    }
    const WHERE: [&str; 4] = [
        " on zone wan",
        " on zone lan",
        " on interface eth1",
        " on interface ppp0",
    ];
    random.pick::<&str>(&WHERE)
}

/// A rate, or nothing.
pub(super) fn rate(random: &mut Random, features: Features) -> String {
    if !features.rates || !random.one_in(6) {
        return String::new();
    }
    let word = *random.pick(&["above", "up to"]);
    format!(" {word} {}", random.pick(RATES))
}

/// What a rule does besides its verdict: a mark where it can set one, a log, a note.
pub(super) fn effects(random: &mut Random, features: Features, marks: bool) -> String {
    let mut text = String::new();
    if features.marks && marks && random.one_in(5) {
        text += *random.pick(&[" mark 7", " mark 0", " mark 0xffff_ffff"]);
    }
    if features.logs && random.one_in(6) {
        text += &format!(" {}", random.pick(LOGS));
    }
    if features.logs && random.one_in(12) {
        text += " note \"random\"";
    }
    text
}
