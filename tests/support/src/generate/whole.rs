//! What random policies have of the whole language beyond plain rules: declarations, conditions, rates, logs, marks.

use super::Features;
use super::parts::{drawn, side, sides};
use super::values::{Lean, Values};
use sockc_random::Rng;

/// Rates of every unit and period, for all packets together and by address.
#[rustfmt::skip]
const RATES: &[&str] = &[
    "1 packets/second", "1000 packets/second burst 5", "20 packets/minute per source", "3 packets/hour per destination/24/56",
    "100 bytes/second", "1_000_000 bytes/minute per source/0/128 burst 3000", "20 connections/minute per source/32/64",
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
        text += "group pods = cgroup \"/pods\"\ngroup web = cgroup \"/web\"\ndefault send allow\ndefault connect allow\ndefault receive allow\n";
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
pub(super) fn by_map(rng: &mut Rng) -> String {
    let protocols = *rng.one_of(&["", " tcp", " udp"]);
    let map = *rng.one_of(&["table", "tenants"]);
    format!("redirect{protocols} by @{map}")
}

/// ` at tc` for some redirects, which are done there; it is not drawn, so that policies without are otherwise the same.
pub(super) fn intercepting(features: Features, number: usize) -> &'static str {
    if features.intercepts && number % 4 == 1 {
        " at tc"
    } else {
        ""
    }
}

/// A rule that the socket lookup itself evaluates.
pub(super) fn at_lookup(rng: &mut Rng, values: &Values) -> String {
    let verb = *rng.one_of(&["allow", "count", "reject"]);
    let protocols = *rng.one_of(&[" tcp", " udp", " tcp, udp"]);
    let lean = *rng.one_of(&[Lean::V4, Lean::V6, Lean::Either]);
    let sides = sides(rng, values, lean, true);
    format!("{verb}{protocols}{sides} at sk_lookup")
}

/// A rule about what a group writes or receives, or whom it calls.
pub(super) fn writing(rng: &mut Rng, values: &Values) -> String {
    let group = *rng.one_of(&["pods", "web"]);
    if rng.one_in(8) {
        return shortcut(rng, values, group);
    }
    if rng.one_in(8) {
        return into_queue(rng, values, group);
    }
    let verb = *rng.one_of(&["allow", "drop", "reject", "count"]);
    let lean = *rng.one_of(&[Lean::V4, Lean::V6, Lean::Either]);
    let to = side(rng, values, lean, true);
    let log = *rng.one_of(&["", "", " log \"written\""]);
    if rng.one_in(3) {
        let protocols = *rng.one_of(&["", " tcp", " udp", " udp"]);
        return format!("{verb} receive{protocols} from {to} to group {group}{log}");
    }
    let what = *rng.one_of(&[
        "send tcp",
        "connect",
        "connect tcp",
        "connect udp",
        "connect tcp, udp",
    ]);
    format!("{verb} {what} from group {group} to {to}{log}")
}

/// A shortcut within a group, to some addresses, or between two.
fn shortcut(rng: &mut Rng, values: &Values, group: &str) -> String {
    let audit = *rng.one_of(&["", "", "audit "]);
    if rng.one_in(3) {
        let to = *rng.one_of(&["pods", "web"]);
        return format!("{audit}shortcut tcp from group {group} to group {to}");
    }
    let lean = *rng.one_of(&[Lean::V4, Lean::V6, Lean::Either]);
    let to = side(rng, values, lean, true);
    format!("{audit}shortcut tcp within group {group} to {to}")
}

/// Data for the queue of a socket.
fn into_queue(rng: &mut Rng, values: &Values, group: &str) -> String {
    let audit = *rng.one_of(&["", "", "audit "]);
    let queue = *rng.one_of(&["input", "output"]);
    let lean = *rng.one_of(&[Lean::V4, Lean::V6, Lean::Either]);
    let to = side(rng, values, lean, true);
    let log = *rng.one_of(&["", "", " log \"moved\""]);
    if rng.one_in(2) {
        return format!(
            "{audit}redirect receive tcp from {to} to group {group} to {queue} of sock joined{log}"
        );
    }
    format!("{audit}redirect send tcp from group {group} to {to} to {queue} of sock joined{log}")
}

/// A rule as it is, or in the block of a zone.
pub(super) fn placed(rng: &mut Rng, rule: String, features: Features) -> String {
    if features.zones && !rule.contains(" on ") && !rule.contains(" group ") && rng.one_in(10) {
        return format!("for zone lan {{ {rule} }}");
    }
    rule
}

/// A hook that a rule with these conditions can be asked at.
pub(super) fn hook(
    rng: &mut Rng,
    features: Features,
    arriving: bool,
    conditions: &str,
) -> &'static str {
    let early = features.fields && arriving && !conditions.contains("mark");
    if early && rng.one_in(2) {
        " at xdp"
    } else {
        " at tc"
    }
}

/// A condition of the features, if one is drawn; `arriving`: whether the rule is about what arrives, `named`: whether it may ask for named sockets.
pub(super) fn condition(
    rng: &mut Rng,
    features: Features,
    sockets: bool,
    (arriving, named): (bool, bool),
) -> Option<&'static str> {
    if features.fields && rng.one_in(2) {
        return Some(*rng.one_of(&drawn(false, features.frames && arriving)));
    }
    if features.absent && named && rng.one_in(4) {
        return Some(*rng.one_of(&["sock both absent", "sock quiet absent", "sock plain absent"]));
    }
    if features.namespaces && sockets && rng.one_in(4) {
        return Some(*rng.one_of(&[
            "socket exists in netns \"blue\"",
            "socket listening in netns \"green\"",
            "socket established in netns \"blue\"",
        ]));
    }
    None
}

/// `on …`, or nothing.
pub(super) fn on(rng: &mut Rng, features: Features) -> &'static str {
    if !features.zones || !rng.one_in(4) {
        return "";
    }
    const WHERE: [&str; 4] = [
        " on zone wan",
        " on zone lan",
        " on interface eth1",
        " on interface ppp0",
    ];
    rng.one_of::<&str>(&WHERE)
}

/// A rate, or nothing.
pub(super) fn rate(rng: &mut Rng, features: Features) -> String {
    if !features.rates || !rng.one_in(6) {
        return String::new();
    }
    let word = *rng.one_of(&["above", "up to"]);
    format!(" {word} {}", rng.one_of(RATES))
}

/// What a rule does besides its verdict: a mark where it can set one, a log, a note.
pub(super) fn effects(rng: &mut Rng, features: Features, marks: bool) -> String {
    let mut text = String::new();
    if features.marks && marks && rng.one_in(5) {
        text += *rng.one_of(&[" mark 7", " mark 0", " mark 0xffff_ffff"]);
    }
    if features.logs && rng.one_in(6) {
        text += &format!(" {}", rng.one_of(LOGS));
    }
    if features.logs && rng.one_in(12) {
        text += " note \"random\"";
    }
    text
}
