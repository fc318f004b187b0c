//! Random policies as text, for the tests that compare the reference meaning with everything faster.
//!
//! Takes a seed and what to use; gives a policy that resolves without errors, the same for the same seed. It draws from
//! few addresses, ports and lengths, so that rules overlap a lot. Redirects and what may stand ahead of them come first,
//! so that no rule waits for something that the socket lookup cannot read. Not here: packets.

mod parts;
mod values;
mod whole;

use sockc_random::Rng;

use parts::{conditions, sides, subject};
use values::{Lean, Values};

/// What random policies are made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many rules.
    pub rules: usize,
    /// Whether there are rules for packets that leave.
    pub outgoing: bool,
    /// Whether there are named sockets and redirects to them.
    pub redirects: bool,
    /// Whether rules ask for sockets.
    pub socket_conditions: bool,
    /// Whether some rules say `at tc`.
    pub hooks: bool,
    /// What else of the language there is.
    pub features: Features,
}

/// What there is beyond allow, drop, count and redirect by addresses, ports, protocols, flags, lengths and sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Conditions on ttl, dscp, mark and vlan.
    pub fields: bool,
    /// Those on the frame as well, in rules of what arrives.
    pub frames: bool,
    /// `sock NAME absent`; needs the sockets of redirects.
    pub absent: bool,
    /// Sockets in other network namespaces; needs conditions on sockets.
    pub namespaces: bool,
    /// Live sets, and a set too large to be taken apart.
    pub sets: bool,
    /// Constant and live maps; needs the sockets of redirects.
    pub maps: bool,
    /// Groups of sockets and what they write.
    pub groups: bool,
    /// Zones, blocks for them, and interfaces.
    pub zones: bool,
    /// Reject, as rules and as default.
    pub rejects: bool,
    /// Redirects to an interface.
    pub forwards: bool,
    /// Rates.
    pub rates: bool,
    /// Rules that set the packet mark.
    pub marks: bool,
    /// Logs and notes.
    pub logs: bool,
    /// `audit`
    pub audit: bool,
    /// Redirects to sockets `at tc`; a kernel that runs a program by itself gives no packet a socket.
    pub intercepts: bool,
}

impl Features {
    /// None of them.
    pub const PLAIN: Self = Self {
        fields: false,
        frames: false,
        absent: false,
        namespaces: false,
        sets: false,
        maps: false,
        groups: false,
        zones: false,
        rejects: false,
        forwards: false,
        rates: false,
        marks: false,
        logs: false,
        audit: false,
        intercepts: false,
    };

    /// All of them.
    pub const WHOLE: Self = Self {
        fields: true,
        frames: true,
        absent: true,
        namespaces: true,
        sets: true,
        maps: true,
        groups: true,
        zones: true,
        rejects: true,
        forwards: true,
        rates: true,
        marks: true,
        logs: true,
        audit: true,
        intercepts: true,
    };
}

impl Options {
    /// Everything but the features, with this many rules.
    #[must_use]
    pub fn everything(rules: usize) -> Self {
        Self {
            rules,
            outgoing: true,
            redirects: true,
            socket_conditions: true,
            hooks: true,
            features: Features::PLAIN,
        }
    }

    /// Everything with all features.
    #[must_use]
    pub fn whole(rules: usize) -> Self {
        Self {
            features: Features::WHOLE,
            ..Self::everything(rules)
        }
    }
}

/// A policy as text.
#[must_use]
pub fn random_policy(seed: u64, options: Options) -> String {
    let mut rng = Rng::new(seed);
    let values = Values::new(&mut rng, options.features.sets);
    let mut policy = format!("sockc 1\npolicy random-{seed}\n\n");
    policy += &defaults(&mut rng, options.features);
    policy += &values.declarations();
    policy += &whole::declarations(&values, options.features);
    if options.redirects {
        policy += &sockets(options.features);
        policy += whole::maps(options.features);
    }
    policy.push('\n');
    let steering = if options.redirects {
        options.rules / 3
    } else {
        0
    };
    for number in 0..options.rules {
        let rule = if number < steering {
            steering_rule(&mut rng, &values, options.features, number)
        } else {
            packet_rule(&mut rng, &values, options)
        };
        let label = if rng.one_in(4) {
            format!("r{number}: ")
        } else {
            String::new()
        };
        policy += &whole::placed(&mut rng, format!("{label}{rule}"), options.features);
        policy.push('\n');
    }
    if policy.contains("of sock joined") {
        policy += "socket joined = registered\n";
    }
    policy
}

/// Both defaults; with rejects, that of packets that arrive may be one.
fn defaults(rng: &mut Rng, features: Features) -> String {
    let mut lines = String::new();
    for direction in ["in", "out"] {
        let mut verb = *rng.one_of(&["allow", "drop"]);
        if features.rejects && direction == "in" && rng.one_in(3) {
            verb = "reject";
        }
        let log = if features.logs && rng.one_in(3) {
            " log \"rest\" max 5/second"
        } else {
            ""
        };
        lines += &format!("default {direction} {verb}{log}\n");
    }
    lines
}

/// A socket of each kind: both protocols and families or one of each, silent or not when absent, alone or with members.
const SOCKETS: &str = "\
socket both  = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234, udp listen 127.0.0.1:1234, udp listen [::1]:1234
socket quiet = tcp listen 127.0.0.1:1235, udp listen [::1]:1235 if absent drop
socket plain = tcp listen 0.0.0.0:1236 if absent reject
socket many  = registered members 5 if absent drop
socket pair  = tcp listen 127.0.0.1:1237, tcp listen 127.0.0.1:1238, udp listen [::1]:1237 members 2 spread by source";

/// The sockets. Nothing can be pinned where redirects run at tc.
fn sockets(features: Features) -> String {
    let pinned = if features.intercepts { "" } else { " pinned" };
    format!("{SOCKETS}{pinned}\n")
}

/// A redirect, or a rule that may stand ahead of one: by address, port and protocol only.
fn steering_rule(rng: &mut Rng, values: &Values, features: Features, number: usize) -> String {
    if features.maps && rng.one_in(6) {
        let at = whole::intercepting(features, number);
        return format!("{}{at}", whole::by_map(rng));
    }
    if features.maps && rng.one_in(10) {
        return whole::at_lookup(rng, values);
    }
    if rng.one_in(2) {
        let socket = *rng.one_of(&["both", "quiet", "plain", "many", "pair"]);
        let protocols = match (socket, rng.below(4)) {
            (_, 0) => " tcp",
            ("both" | "quiet" | "many" | "pair", 1) => " udp",
            ("both" | "quiet" | "many" | "pair", 2) => " udp, tcp",
            _ => "",
        };
        let lean = *rng.one_of(&[Lean::V4, Lean::V6, Lean::Either]);
        let sides = sides(rng, values, lean, true);
        let on = whole::on(rng, features);
        let at = whole::intercepting(features, number);
        return format!("redirect{protocols}{sides} to sock {socket}{on}{at}");
    }
    let verb = *rng.one_of(&["allow", "drop", "count"]);
    let verb = if features.rejects && rng.one_in(6) {
        "reject"
    } else {
        verb
    };
    let subject = subject(rng, values);
    format!("{verb}{subject}{}", whole::on(rng, features))
}

/// A rule with everything that packet hooks read.
fn packet_rule(rng: &mut Rng, values: &Values, options: Options) -> String {
    let features = options.features;
    if features.groups && rng.one_in(8) {
        return whole::writing(rng, values);
    }
    let verb = *rng.one_of(&["allow", "allow", "drop", "drop", "count"]);
    let direction = match rng.below(3) {
        0 if options.outgoing => " out",
        1 => " in",
        _ => "",
    };
    let arriving = direction != " out";
    let text = subject(rng, values);
    let conditions = conditions(rng, options, arriving);
    let hook = if options.hooks && rng.one_in(12) {
        whole::hook(rng, features, arriving, &conditions)
    } else {
        ""
    };
    if features == Features::PLAIN {
        return format!("{verb}{direction}{text}{conditions}{hook}");
    }
    let (verb, target) = other_verb(rng, features, verb, arriving);
    let audit = if features.audit && rng.one_in(8) {
        "audit "
    } else {
        ""
    };
    let on = whole::on(rng, features);
    let rate = whole::rate(rng, features);
    let marks = verb == "allow" && audit.is_empty();
    // XDP has no mark to set.
    let marks = marks && hook != " at xdp";
    let effects = whole::effects(rng, features, marks);
    let hook = if effects.contains("mark") && hook == " at xdp" {
        " at tc"
    } else {
        hook
    };
    format!("{audit}{verb}{direction}{text}{target}{on}{conditions}{rate}{effects}{hook}")
}

/// A verb of the features in place of a plain one, with its target.
fn other_verb(
    rng: &mut Rng,
    features: Features,
    plain: &'static str,
    arriving: bool,
) -> (&'static str, &'static str) {
    match rng.below(8) {
        0 if features.rejects && arriving => ("reject", ""),
        1 if features.forwards => {
            let target = *rng.one_of(&[" to interface fwd0", " to interface fwd1"]);
            ("redirect", target)
        }
        _ => (plain, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_policy_and_another_another() {
        for options in [Options::everything(20), Options::whole(20)] {
            assert_eq!(random_policy(7, options), random_policy(7, options));
            assert_ne!(random_policy(7, options), random_policy(8, options));
        }
    }

    #[test]
    fn the_whole_language_occurs_and_the_plain_part_has_none_of_it() {
        let words = [
            "reject",
            "audit ",
            "to interface fwd",
            "above ",
            "up to ",
            " mark ",
            "log ",
            "ttl ",
            "dscp ",
            "vlan ",
            "ether from ",
            "ether to ",
            "absent",
            "in netns",
            "from self",
            "to self",
            "@banned",
            "@vips",
            "@large",
            "on zone",
            "for zone",
            "by @table",
            "by @tenants",
            "at xdp",
            "at sk_lookup",
            "to sock both at tc",
            "to sock many at tc",
            "to sock pair at tc",
            "by @tenants at tc",
            "send tcp from group",
            "connect from group",
            "shortcut tcp within group",
            "shortcut tcp from group",
            "connect tcp, udp from group",
            "on interface",
            "note ",
            "live set",
            "per source",
            "default in reject",
        ];
        let texts = |options: fn(usize) -> Options| -> String {
            (0..100)
                .map(|seed| random_policy(seed, options(20)))
                .collect()
        };
        let whole = texts(Options::whole);
        for word in words {
            assert!(whole.contains(word), "{word}");
        }
        let plain = texts(Options::everything).replace(SOCKETS, "");
        for word in words {
            assert!(!plain.contains(word), "{word}");
        }
    }
}
