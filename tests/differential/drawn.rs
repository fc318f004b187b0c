//! What the generators drew: which packets there were, and who decided them.
//!
//! A campaign of malformed packets, and of packets that only a default decides, says little; so the parts are printed, and
//! less than half by rules is a failure.

use std::fmt;

use sockc_compiler::event::{Decider, Decision, Fragment, Parsed};

/// Packets by what they were and by who decided.
#[derive(Default)]
pub(crate) struct Drawn {
    packets: usize,
    malformed: usize,
    not_ip: usize,
    first: usize,
    later: usize,
    by_rule: usize,
    by_default: usize,
}

impl Drawn {
    /// Takes in one packet.
    pub(crate) fn note(&mut self, packet: &Parsed, decision: &Decision) {
        self.packets += 1;
        match packet {
            Parsed::Malformed => self.malformed += 1,
            Parsed::NotIp => self.not_ip += 1,
            Parsed::Ip(header) if header.fragment == Fragment::First => self.first += 1,
            Parsed::Ip(header) if header.fragment == Fragment::Later => self.later += 1,
            Parsed::Ip(_) => {}
        }
        match decision.decider {
            Decider::Rule(_) => self.by_rule += 1,
            Decider::Default => self.by_default += 1,
            Decider::Malformed | Decider::NotIp | Decider::Unmatched => {}
        }
    }

    /// Prints the parts; at least two of three are decided by a rule, and some are of every kind.
    pub(crate) fn check(&self, name: &str) {
        println!("{name}: {self}");
        assert!(self.by_rule * 3 >= self.packets * 2, "{name}: {self}");
        let part = |of: usize, least: usize| of * 1_000 >= self.packets * least;
        let all = part(self.malformed, 20) && part(self.first, 10) && part(self.later, 10);
        assert!(all && part(self.not_ip, 1), "{name}: {self}");
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |of: usize| of as f64 * 100.0 / self.packets.max(1) as f64;
        write!(
            f,
            "{} packets: {:.1} % decided by a rule, {:.1} % by the default; {:.1} % malformed, {:.1} % not IP, {:.1} % first \
             and {:.1} % later fragments",
            self.packets,
            part(self.by_rule),
            part(self.by_default),
            part(self.malformed),
            part(self.not_ip),
            part(self.first),
            part(self.later)
        )
    }
}
