//! What a person reads of an SSH connection that a policy cuts, and what a policy would have to say.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use sockc_compiler::event::{Decider, Decision};
use sockc_compiler::policy::{Action, AddressSet, Direction, Policy, Rule};
use sockc_runtime::Ends;

use super::judge::{Cut, Part};
use super::{Lockout, Looked, Waits};
use crate::cli::duration;
use crate::machine::remote;

/// The port that the language has a name for.
const SSH: u16 = 22;
/// The option that puts a policy in force all the same.
const OPTION: &str = "--lock-me-out";

impl Looked {
    /// What a refusal is about, by name, for programs.
    pub(crate) fn about(&self) -> Vec<(&'static str, String)> {
        let first = self.found.cuts.first();
        let cut = first.into_iter().flat_map(|cut| {
            [
                ("packet", cut.packet.clone()),
                ("interface", cut.interface.clone()),
                ("decider", cut.by.clone()),
                ("remedy", cut.remedy.clone()),
            ]
        });
        let ends = [
            ("client", self.ends.remote.to_string()),
            ("server", self.ends.local.to_string()),
        ];
        ends.into_iter().chain(cut).collect()
    }

    /// Whether something is cut.
    pub(crate) fn cuts(&self) -> bool {
        !self.found.cuts.is_empty()
    }

    fn has(&self, part: Part) -> bool {
        let mut cuts = self.found.cuts.iter();
        cuts.any(|cut| cut.part == part || cut.part == Part::Neighbour)
    }

    /// What becomes of both, after "would" or "will".
    fn effect(&self) -> String {
        let from = self.ends.remote.ip();
        match (
            self.has(Part::Established) && self.connected,
            self.has(Part::New),
        ) {
            (true, true) => format!(
                "cut the SSH connection that you are using, from {from}, and let no new one in from there"
            ),
            (true, false) => {
                format!("cut the SSH connection that you are using, from {from}")
            }
            _ if self.connected => format!(
                "let no new SSH connection in from {from}, though the one that you are using goes on"
            ),
            _ => format!("let no SSH connection in from {from}"),
        }
    }

    /// Why the policy is not put in force, and what to do.
    pub(crate) fn refusal(&self) -> String {
        self.refused("puts it in force all the same")
    }

    /// Why a live set is not changed, and what to do.
    pub(crate) fn refusal_of_set(&self) -> String {
        self.refused("changes the set all the same")
    }

    fn refused(&self, all_the_same: &str) -> String {
        let mut words = format!(
            "{}this would {}; nothing was changed",
            self.when(),
            self.effect()
        );
        for cut in &self.found.cuts {
            let _ = write!(words, "\n  {}", cut.words("would be"));
        }
        let _ = write!(words, "\n  {}", self.advice());
        let _ = write!(words, "\n  `{OPTION}` {all_the_same}");
        words
    }

    /// Ahead of what a policy does that is not in force.
    fn when(&self) -> String {
        self.waits.as_ref().map(when).unwrap_or_default()
    }

    /// What would let all of it through.
    fn advice(&self) -> String {
        let mut remedies: Vec<(&str, bool)> = Vec::new();
        for cut in &self.found.cuts {
            let mut before = remedies.iter_mut();
            match before.find(|(remedy, _)| *remedy == cut.remedy) {
                Some((_, ahead)) => *ahead |= cut.ahead,
                None => remedies.push((&cut.remedy, cut.ahead)),
            }
        }
        let remedies = remedies.iter().map(|(remedy, ahead)| match ahead {
            true => format!("`{remedy}` ahead of that"),
            false => format!("`{remedy}`"),
        });
        let remedies: Vec<String> = remedies.collect();
        format!("to let it through, write {}", remedies.join(", and "))
    }

    /// What will happen since somebody wants it so.
    pub(crate) fn forced(&self, end: &str) -> String {
        let cuts = self.found.cuts.iter();
        let cuts: Vec<String> = cuts.map(|cut| cut.words("will be")).collect();
        let (when, effect) = (self.when(), self.effect());
        format!("{when}this will {effect}{end}: {}", cuts.join("; "))
    }

    /// What `apply` would do, for a plan.
    fn planned(&self) -> String {
        let mut words = format!(
            "this would {}: `sockc apply` refuses it without {OPTION}",
            self.effect()
        );
        for cut in &self.found.cuts {
            let _ = write!(words, "\n  {}", cut.words("would be"));
        }
        words
    }

    /// That nothing of it is cut.
    fn goes_on(&self) -> String {
        let Ends { local, remote, .. } = &self.ends;
        match self.connected {
            true => format!(
                "the connection from {remote} to {local} goes on, and new ones from there get in"
            ),
            false => format!("new connections from {} to {local} get in", remote.ip()),
        }
    }
}

impl Lockout {
    /// What a plan says.
    pub(crate) fn planned(&self) -> Option<String> {
        match self {
            Self::Looked(looked) if looked.cuts() => Some(looked.planned()),
            // What is not known is said for itself.
            Self::Looked(looked) if looked.found.doubts.is_empty() => Some(looked.goes_on()),
            _ => None,
        }
    }

    /// Whether there is something to say before a policy is put in force.
    pub(crate) fn says_something(&self) -> bool {
        let cuts = matches!(self, Self::Looked(looked) if looked.cuts());
        cuts || !self.notes().is_empty()
    }

    /// What nobody knows.
    pub(crate) fn notes(&self) -> Vec<String> {
        match self {
            Self::NoConnection => Vec::new(),
            Self::NotLookedAt(why) => vec![why.clone()],
            Self::Looked(looked) => looked.found.doubts.clone(),
        }
    }
}

impl Cut {
    /// `a new connection: `tcp …` would be dropped by `…``
    fn words(&self, verb: &str) -> String {
        let Self {
            packet,
            interface,
            fate,
            by,
            ..
        } = self;
        let on = match self.direction {
            Direction::Out => "leaving by",
            _ => "arriving on",
        };
        format!(
            "{}: `{packet}`, {on} {interface}, {verb} {fate} by {by}",
            subject(self.part)
        )
    }
}

/// How long what a policy cuts is cut, where a trial takes the policy back, or none does.
pub(crate) fn taken_back(within: Option<Duration>) -> String {
    match within {
        Some(within) => format!(
            ", for {within:?}: what was in force before is again then, unless `sockc confirm` comes"
        ),
        None => ", and no deadline takes it back".to_owned(),
    }
}

/// When the policy before the one on trial is in force again.
fn when(waits: &Waits) -> String {
    format!(
        "if what is on trial is not confirmed, and \"{}\" is in force again, in {} at the latest, ",
        waits.policy,
        duration::text(waits.left)
    )
}

/// What is cut once an element has left a set by itself.
pub(super) fn ends(cut: &Cut, set: &str, waits: Option<&Waits>) -> String {
    format!(
        "{}what lets your SSH connection through is in the live set \"{set}\" for a time only; after that, {}",
        waits.map(when).unwrap_or_default(),
        cut.words("will be")
    )
}

fn subject(part: Part) -> &'static str {
    match part {
        Part::New => "a new connection",
        Part::Established => "the connection that is there",
        Part::Neighbour => "the neighbour discovery that both need",
    }
}

/// Who decides, with its place.
pub(super) fn decider(policy: &Policy, direction: Direction, decision: &Decision) -> String {
    let place = match decision.decider {
        Decider::Rule(rule) => &policy.rules[rule].place,
        _ => match policy.default_of(direction) {
            Some(line) => &line.place,
            None => return "no rule".to_owned(),
        },
    };
    format!("`{}` ({}:{})", place.text, place.file, place.line)
}

/// A rule that would let the connection through, in words that the policy has already where it has some.
pub(super) fn remedy(policy: &Policy, ends: &Ends, (part, direction): (Part, Direction)) -> String {
    if part == Part::Neighbour {
        return "include <essentials>".to_owned();
    }
    let client = match friends(policy, ends) {
        Some(name) => format!("@{name}"),
        None => ends.remote.ip().to_string(),
    };
    let port = match ends.local.port() {
        SSH => "ssh".to_owned(),
        port => port.to_string(),
    };
    match direction {
        Direction::Out => format!("allow out tcp from port {port} to {client}"),
        _ => format!("allow tcp from {client} to port {port}"),
    }
}

/// A set with the client in it that rules name, none of them one that does not allow.
fn friends<'a>(policy: &'a Policy, ends: &Ends) -> Option<&'a str> {
    let names = |rule: &&Rule, name: &str| {
        let mut words = rule.place.text.split(|letter| !is_of_name(letter));
        words.any(|word| word.strip_prefix('@') == Some(name))
    };
    let fits = |(name, addresses): &&(String, AddressSet)| {
        let mut naming = policy.rules.values().filter(|rule| names(rule, name));
        let is_named = policy.rules.values().any(|rule| names(&rule, name));
        let allow = naming.all(|rule| rule.action == Action::Allow);
        addresses.contains(ends.remote.ip()) && is_named && allow
    };
    let found = policy.named.iter().find(fits)?;
    Some(&found.0)
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '@' | '_' | '-')
}

/// What is cut where something is so that the packet says: it may come, or may be so by now.
pub(super) fn doubt(part: Part, packet: &str, (fate, by): (&str, &str), comes: bool) -> String {
    let of = match part {
        Part::New => "of a new one",
        Part::Established => "of the one that is there",
        Part::Neighbour => "of the neighbour discovery that it needs",
    };
    let may = match comes {
        true => "the policy may get in the way of your SSH connection",
        false => "whether the policy lets your SSH connection through is not known",
    };
    format!("{may}: {of}, `{packet}` would be {fate} by {by}")
}

/// After a doubt: which packet would not be lost.
pub(super) fn otherwise(packet: &str) -> String {
    format!("; `{packet}` would not")
}

/// What is cut on some of the ways that its packets may take.
pub(super) fn by_another(cut: &Cut) -> String {
    format!(
        "which of several interfaces your SSH connection comes by is not known: {}",
        cut.words("would be")
    )
}

fn looked_at() -> &'static str {
    "whether the policy lets you in was not looked at"
}

pub(super) fn no_ends(text: &str) -> String {
    format!(
        "SSH_CONNECTION says \"{}\", which names no connection: {}",
        remote::quoted(text),
        looked_at()
    )
}

pub(super) fn unknown(ends: &Ends, error: &dyn Display) -> String {
    format!("{}: {}: {error}", called(ends), looked_at())
}

/// Of the policy that comes back if the one on trial is not confirmed.
pub(super) fn waits_unknown(ends: &Ends, error: &dyn Display) -> String {
    format!(
        "{}: whether the policy lets you in that comes back if what is on trial is not confirmed was not looked at: {error}",
        called(ends)
    )
}

pub(super) fn is_over(ends: &Ends) -> String {
    format!(
        "{} is over, and nobody listens there: {}",
        called(ends),
        looked_at()
    )
}

pub(super) fn is_elsewhere(ends: &Ends) -> String {
    format!(
        "{} is of another network namespace, or {} is no address of this machine any more: {}",
        called(ends),
        ends.local.ip(),
        looked_at()
    )
}

pub(super) fn nobody_listens(ends: &Ends) -> String {
    format!(
        "nobody listens at {}: no new SSH connection gets in there before somebody does",
        ends.local
    )
}

pub(super) fn from_here(ends: &Ends) -> String {
    format!(
        "{} comes from this machine itself: if something carries it here, as `ssh -R` does, whether the policy lets that through was not looked at",
        called(ends)
    )
}

pub(super) fn no_route(ends: &Ends) -> String {
    format!(
        "{} has no route: it was taken to come by any interface",
        ends.remote.ip()
    )
}

pub(super) fn unknown_frames(ends: &Ends) -> String {
    format!(
        "{}: which hardware addresses its frames have is not known, and rules ask for many: not all of them were looked at",
        called(ends)
    )
}

pub(super) fn tunnel(ends: &Ends, interface: &str) -> String {
    format!(
        "{} comes by {interface}: whether the policy lets through what carries its packets there was not looked at",
        called(ends)
    )
}

fn called(ends: &Ends) -> String {
    let socket = |end: &SocketAddr| end.to_string();
    format!(
        "the SSH connection from {} to {}",
        socket(&ends.remote),
        socket(&ends.local)
    )
}
