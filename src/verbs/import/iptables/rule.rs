//! A rule of iptables as what it is about and what it does, for one family and one list.
//!
//! Takes the text of a rule; gives conjunctions that share no packet, of which any has to hold, and the goal; or the first thing in it
//! that cannot be carried over, with what else was understood. What changes its meaning is told with it. Not here: where the rule is
//! reached from.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::options::{Given, options};
use super::rates::Limits;
use crate::verbs::import::goal::Goal;
use crate::verbs::import::ipset::Sets;
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Rule;
use crate::verbs::import::states::States;
use crate::verbs::import::what::What;

use super::matched::InSet;
use super::{header, sides, target as targets};

/// What rules name.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    /// Whether it is a chain.
    pub(super) is_chain: &'a dyn Fn(&str) -> bool,
    /// The sets of ipset.
    pub(super) sets: &'a Sets,
}

/// A rule that is being read.
struct Reading<'a> {
    family: Family,
    list: List,
    named: Named<'a>,
    /// The set that is asked for, until all is known that is asked of it.
    in_set: Option<InSet>,
    rule: Rule,
    limits: Limits,
    /// The match that was loaded last.
    loaded: String,
    /// Whether a match was loaded behind a rate.
    late: bool,
    is_past_goal: bool,
}

/// Reads a rule.
pub(super) fn read(text: &str, family: Family, list: List, named: Named<'_>) -> Rule {
    match options(text) {
        Ok(options) => read_options(&options, family, list, named),
        Err(why) => {
            let mut rule = Rule::any(family);
            rule.goal = None;
            rule.cases.clear();
            rule.refuse(why);
            rule
        }
    }
}

/// Reads a rule of these options.
pub(super) fn read_options(
    options: &[Given],
    family: Family,
    list: List,
    named: Named<'_>,
) -> Rule {
    let mut reading = Reading {
        family,
        list,
        named,
        in_set: None,
        rule: Rule::any(family),
        limits: Limits::default(),
        loaded: String::new(),
        late: false,
        is_past_goal: false,
    };
    options.iter().for_each(|given| reading.option(given));
    reading.finish()
}

impl Reading<'_> {
    fn refuse(&mut self, why: String) {
        self.rule.refuse(why);
    }

    fn option(&mut self, given: &Given) {
        if let Some(in_set) = self.in_set.as_mut().filter(|_| InSet::takes(given)) {
            if let Err(why) = in_set.option(given) {
                self.refuse(why);
            }
            return;
        }
        self.end_of_set();
        let done = match given.name.as_str() {
            "-A" | "-I" => Ok(()),
            "-j" | "-g" => self.goal(given),
            // A match may stand behind the target, as ufw writes its limits of lines.
            "-m" => self.load(given),
            name if self.is_past_goal && name.starts_with("--") => self.goal_option(given),
            "--comment" => given.plain().map(|text| {
                self.rule.comment = Some(text.to_owned());
            }),
            name if self.limits.takes(name) => self.limits.option(given),
            _ => self.asks(given),
        };
        if let Err(why) = done {
            self.refuse(why);
        }
    }

    /// What the packet has to be. Where that is a field that no rule can say so, an example might be none.
    fn asks(&mut self, given: &Given) -> Result<(), String> {
        let (family, list) = (self.family, self.list);
        let asks = match given.name.as_str() {
            "--state" => return self.states(given),
            "--match-set" => {
                self.in_set = Some(InSet::read(given)?);
                return Ok(());
            }
            "--mark" if self.loaded != "mark" => Err(unknown(given)),
            name if sides::takes(name) => sides::asks(given, family, list),
            name if header::takes(name) => header::asks(given, family, list),
            _ => Err(unknown(given)),
        };
        let is_field = sides::takes(&given.name) || header::takes(&given.name);
        if asks.is_err() && is_field {
            self.rule.cases.clear();
        }
        let asks = asks?;
        self.rule.asks(asks)
    }

    /// Joins what the match asks that names a set.
    fn end_of_set(&mut self) {
        let Some(in_set) = self.in_set.take() else {
            return;
        };
        let asks = in_set.asks(self.named.sets, &self.rule.cases, (self.family, self.list));
        let done = asks.and_then(|asks| self.rule.asks(asks));
        if let Err(why) = done {
            self.refuse(why);
        }
    }

    /// States of connections.
    fn states(&mut self, given: &Given) -> Result<(), String> {
        let states = States::named(given.value()?.split(','), given.negated)?;
        self.rule.asks_states(states, self.family, self.list)
    }

    /// Loads a match. Those of transport protocols match nothing where there is no whole header, as in later fragments.
    fn load(&mut self, given: &Given) -> Result<(), String> {
        let name = given.plain()?;
        self.is_past_goal = false;
        self.loaded = name.to_owned();
        self.late |= self.limits.is_asked() && name != "comment";
        match name {
            "tcp" | "udp" | "sctp" | "multiport" => {
                let mut ports = What::any(self.family);
                ports.to.ports = Some(RangeSet::full());
                self.rule.met(&[ports])
            }
            "icmp" | "icmp6" | "comment" | "conntrack" | "state" | "limit" | "hashlimit"
            | "iprange" | "addrtype" | "mac" | "mark" | "length" | "ttl" | "hl" | "dscp"
            | "ecn" | "set" => Ok(()),
            _ => Err(without(name)),
        }
    }

    fn goal(&mut self, given: &Given) -> Result<(), String> {
        self.is_past_goal = true;
        let name = given.plain()?;
        self.rule.goal = targets::deciding_nothing(name);
        let goal = match given.name.as_str() {
            "-g" => Goal::Goto(name.to_owned()),
            _ if (self.named.is_chain)(name) => Goal::Jump(name.to_owned()),
            _ => targets::named(name)?,
        };
        if let (Goal::Goto(chain), false) = (&goal, (self.named.is_chain)(name)) {
            return Err(format!("the chain {chain} is not there"));
        }
        self.rule.goal = Some(goal);
        Ok(())
    }

    fn goal_option(&mut self, given: &Given) -> Result<(), String> {
        let Some(goal) = &mut self.rule.goal else {
            return Err(unknown(given));
        };
        let note = targets::option(goal, given)?;
        self.rule.notes.extend(note);
        Ok(())
    }

    /// The rule, once all of its options were read.
    fn finish(mut self) -> Rule {
        self.end_of_set();
        let limits = std::mem::take(&mut self.limits);
        self.rule.changed.extend(limits.forgets());
        match limits.rate(self.family) {
            Ok(Some(rate)) => self.rule.limit(&rate, self.late),
            Ok(None) => {}
            Err(why) => self.refuse(why),
        }
        self.rule.finish(self.list);
        self.rule
    }
}

/// The target of a rule of any table.
pub(super) fn target(text: &str) -> Option<String> {
    led_to(text, &["-j"])
}

/// Where a rule of any table leads by one of these options.
pub(super) fn led_to(text: &str, by: &[&str]) -> Option<String> {
    let options = options(text).ok()?;
    let target = options
        .iter()
        .find(|given| by.contains(&given.name.as_str()))?;
    target.value().ok().map(ToOwned::to_owned)
}

fn unknown(given: &Given) -> String {
    format!("`{given}` is not known here")
}

/// Why a match is not carried over.
fn without(name: &str) -> String {
    let why = match name {
        "recent" => {
            "no rule remembers senders; a live set with `expires` holds what a program adds"
        }
        "owner" => {
            "whose process sent a packet is not asked; `connect` rules decide what a group does"
        }
        "connlimit" => "connections are not counted while they last; a rate counts how many come",
        "connmark" | "helper" => "there is no table of connections",
        "pkttype" => "whether a frame was for many is not asked",
        "physdev" => "the port of a bridge is not asked; name it as the interface",
        "string" | "u32" | "bpf" => "what stands behind the header is not asked",
        "time" => "the time of day is not asked",
        "statistic" => "chance decides nothing but what a log shows",
        "policy" => "whether IPsec carried it is not asked",
        "rpfilter" => {
            "where a sender would be reached is not asked; see the setting rp_filter of the kernel"
        }
        "socket" => "it asks for a transparent socket; see `socket established`",
        "tos" => "the type of service is asked by `dscp` and `ecn`",
        "frag" | "ipv6header" | "hbh" | "dst" | "rt" | "mh" | "eui64" => {
            "IPv6 headers between are stepped over, and not asked"
        }
        _ => "it is not known here",
    };
    format!("match `{name}`: {why}")
}
