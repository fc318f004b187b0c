//! Interfaces on which a program at XDP costs every packet that passes, and which policies have only such.
//!
//! Takes a policy and where it is to be; says so to the compiler, and to a person what became of it. Not here: what the
//! compiler makes of it.

use sockc_compiler::artifact::{AttachPoint, Manifest};
use sockc_compiler::object;
use sockc_compiler::pipeline::{Machine, why_not_costly};
use sockc_compiler::policy::{Arriving, Direction, Policy};
use sockc_runtime::{Card, Features, Options, cards};

use crate::machine::local::{in_netns, within};

/// This machine, as the compiler asks it.
#[derive(Debug)]
pub(crate) struct Here {
    options: Options,
    /// Whether programs at TC can be put ahead of those of others: else one of these could let pass what XDP drops.
    first: bool,
}

impl Here {
    /// The machine where a policy is to be put in force, on the interfaces that the options name, or else the policy.
    pub(crate) fn new(options: Options, features: Features) -> Self {
        Self {
            options,
            first: features.tcx,
        }
    }
}

impl Machine for Here {
    fn costly(&self, policy: &Policy) -> Vec<String> {
        let all = each(policy, &self.options);
        let only = all.filter(|(_, policy, options)| {
            let cards = cards_of(policy, options);
            self.first && !cards.is_empty() && cards.iter().all(Card::is_costly)
        });
        let names = only.map(|(netns, _, _)| netns.unwrap_or_default().to_owned());
        names.collect()
    }
}

/// A policy and those of its blocks, with the namespaces' names, and options to look there.
fn each<'a>(
    policy: &'a Policy,
    options: &'a Options,
) -> impl Iterator<Item = (Option<&'a str>, &'a Policy, Options)> {
    let blocks = policy.netns.iter().map(|block| {
        let inner = Options {
            interfaces: Vec::new(),
            ..within(options, &block.name)
        };
        (Some(block.name.as_str()), &block.policy, inner)
    });
    std::iter::once((None, policy, options.clone())).chain(blocks)
}

/// The interfaces that a policy with a list for what arrives is for. What cannot be looked at is none: whoever puts the policy
/// in force will say why.
fn cards_of(policy: &Policy, options: &Options) -> Vec<Card> {
    let default = policy.default_of(Direction::In);
    if default.is_none() && policy.rules_of(Direction::In).next().is_none() {
        return Vec::new();
    }
    let wanted = match options.interfaces.as_slice() {
        [] => &policy.interfaces,
        named => named,
    };
    cards(options, wanted).unwrap_or_default()
}

/// At which hooks a policy has programs for packets that arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// At XDP.
    pub(crate) xdp: bool,
    /// At TC.
    pub(crate) tc: bool,
}

impl At {
    fn of(manifest: &Manifest) -> Self {
        let has = |point| manifest.programs.iter().any(|one| one.point == point);
        Self {
            xdp: has(AttachPoint::Xdp),
            tc: has(AttachPoint::TcIn),
        }
    }
}

/// What a person should know of where the lists of an object run, which its manifest says.
pub(crate) fn notes(
    policy: &Policy,
    (object, manifest): (&[u8], &Manifest),
    options: &Options,
) -> Vec<String> {
    let at = |netns: Option<&str>| match netns {
        None => Some(At::of(manifest)),
        // What cannot be read is told by whoever puts it in force.
        Some(netns) => {
            let blocks = object::namespaces(object).ok()?;
            let (_, block) = blocks.iter().find(|(name, _)| name == netns)?;
            Some(At::of(&object::read_manifest(block).ok()?))
        }
    };
    let costly = &manifest.made.costly;
    let all = each(policy, options);
    let notes = all.filter_map(|(netns, policy, options)| {
        let moved = costly.iter().any(|one| one == netns.unwrap_or_default());
        let note = note(policy, moved, at(netns)?, &cards_of(policy, &options))?;
        Some(match netns {
            Some(netns) => in_netns(netns, &note),
            None => note,
        })
    });
    notes.collect()
}

/// The same of a policy in its own namespace, on these interfaces.
pub(crate) fn own_note(
    policy: &Policy,
    moved: bool,
    at: At,
    on: &[String],
    options: &Options,
) -> Option<String> {
    let cards = match on {
        [] => Vec::new(),
        _ => cards(options, on).unwrap_or_default(),
    };
    note(policy, moved, at, &cards)
}

/// The same of one policy on these interfaces. Where rules need a hook, a list may be there whatever its interfaces are: nothing is
/// said of a hook that it has no program at.
fn note(policy: &Policy, moved: bool, at: At, cards: &[Card]) -> Option<String> {
    let (veths, others): (Vec<&Card>, Vec<&Card>) = cards.iter().partition(|card| card.is_costly());
    let named = matches!(policy.arriving, Arriving::Named(_));
    let there = if moved { at.tc } else { at.xdp };
    if named || !there || cards.is_empty() || !moved && veths.is_empty() {
        return None;
    }
    let default = match policy.default_of(Direction::In) {
        Some(line) => format!("`default in {} at", line.verdict.word()),
        None => "`default in allow at".to_owned(),
    };
    let cost = "a program at xdp costs every packet that passes there";
    Some(match (moved, others.is_empty()) {
        (true, true) => format!(
            "{}: packets that arrive meet the rules at tc, since {cost}; with {default} xdp` rules run at xdp where they can",
            are(&veths)
        ),
        (true, false) => format!(
            "{} no veth, for which the policy in force was compiled: packets that arrive meet the rules at tc, and what is dropped costs less at xdp; apply the policy's text again",
            listed(&others, "is", "are")
        ),
        (false, true) => format!(
            "{}: {cost}, and rules run there: {}; with {default} tc` all run at tc that can",
            are(&veths),
            why_not_costly(policy).unwrap_or("the policy was compiled without knowing it")
        ),
        (false, false) => format!(
            "{}: {cost}, and rules run there since {} none; with {default} tc`, or in a policy without the others, all run at tc that can",
            are(&veths),
            listed(&others, "is", "are")
        ),
    })
}

/// `v0 is a veth`.
fn are(veths: &[&Card]) -> String {
    listed(veths, "is a veth", "are veths")
}

fn listed(cards: &[&Card], one: &str, several: &str) -> String {
    /// So many are named.
    const MOST: usize = 3;
    let names: Vec<&str> = cards.iter().take(MOST).map(|card| &*card.name).collect();
    let more = cards.len() - names.len();
    match (cards.len(), more) {
        (1, _) => format!("{} {one}", names.concat()),
        (_, 0) => format!("{} {several}", names.join(", ")),
        (_, more) => format!("{} and {more} more {several}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, driver: &str) -> Card {
        Card {
            name: name.to_owned(),
            driver: Some(driver.to_owned()),
        }
    }

    #[test]
    fn a_note_says_where_and_why() {
        let mut policy = Policy::default();
        let both = [card("v0", "veth"), card("eth0", "virtio_net")];
        let both_hooks = At {
            xdp: true,
            tc: true,
        };
        let said = |policy: &Policy, moved, cards: &[Card]| note(policy, moved, both_hooks, cards);
        let words = |note: Option<String>| note.unwrap_or_default();
        assert!(
            words(said(&policy, true, &both[..1]))
                .starts_with("v0 is a veth: packets that arrive meet the rules at tc, since")
        );
        assert!(words(said(&policy, true, &both)).starts_with("eth0 is no veth"));
        assert!(words(said(&policy, false, &both)).contains("run there since eth0 is none"));
        assert_eq!(said(&policy, false, &both[1..]), None);
        assert_eq!(said(&policy, true, &[]), None);
        // Rules that need tc are there anyway, and a policy may have none for packets.
        for (moved, xdp, tc) in [(true, true, false), (false, false, true)] {
            assert_eq!(note(&policy, moved, At { xdp, tc }, &both[..1]), None);
        }
        policy.arriving = Arriving::Named(sockc_compiler::hook::Hook::Xdp);
        assert_eq!(said(&policy, false, &both[..1]), None);
    }

    #[test]
    fn three_are_named() {
        let cards: Vec<Card> = (0..5).map(|n| card(&format!("v{n}"), "veth")).collect();
        let all: Vec<&Card> = cards.iter().collect();
        assert_eq!(are(&all), "v0, v1, v2 and 2 more are veths");
        assert_eq!(are(&all[..2]), "v0, v1 are veths");
    }
}
