//! Zones and policies of firewalld.
//!
//! Takes their files; gives what each says. Not here: which of them are in force, and what that means for packets.

use super::elements::{self, About};
use super::ends::{self, End};
use super::rich::{self, Rich};
use super::xml::{self, Element, File, Known, Mistake, Spot, known};
use crate::verbs::import::what::Pattern;

/// What becomes of what nothing in a zone or a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A zone's own: it is rejected, but ICMP is let in.
    Default,
    /// A policy's own: it goes on.
    Continue,
    Accept,
    Reject,
    Drop,
}

/// What zones and policies have in common.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// What is let in, or refused, by itself.
    pub(super) plain: Vec<(Spot, About)>,
    pub(super) rules: Vec<Rich>,
    /// Rules that firewalld leaves out itself, and why.
    pub(super) ignored: Vec<(Spot, String)>,
}

/// A zone.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) head: Spot,
    pub(super) target: Target,
    /// Whether packets may go from one of its interfaces to another.
    pub(super) forwards: Option<Spot>,
    /// Whether types of ICMP that are blocked are the only ones that are let in.
    pub(super) inverted: Option<Spot>,
    pub(super) interfaces: Vec<(Spot, Pattern)>,
    pub(super) sources: Vec<(Spot, End)>,
    /// Whether newer versions ask it ahead of others, or behind.
    pub(super) has_priority: bool,
    pub(super) settings: Settings,
}

/// From where, or to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Every zone.
    Any,
    /// This machine.
    Host,
    Zones(Vec<String>),
}

/// A policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) head: Spot,
    pub(super) target: Target,
    /// Those below 0 are asked ahead of zones, the others behind.
    pub(super) priority: i64,
    pub(super) from: Reach,
    pub(super) to: Reach,
    pub(super) settings: Settings,
}

const OF_ZONES: &[Known] = &[
    known(
        "zone",
        &[],
        &[],
        &[
            "name",
            "immutable",
            "target",
            "version",
            "ingress-priority",
            "egress-priority",
        ],
    ),
    known("short", &["zone"], &[], &[]),
    known("description", &["zone"], &[], &[]),
    known("interface", &["zone"], &["name"], &[]),
    known(
        "source",
        &["zone", "rule"],
        &[],
        &["address", "mac", "invert", "family", "ipset"],
    ),
    known("forward", &["zone"], &[], &[]),
    known("icmp-block-inversion", &["zone"], &[], &[]),
];
const OF_POLICIES: &[Known] = &[
    known("policy", &[], &["target"], &["version", "priority"]),
    known("short", &["policy"], &[], &[]),
    known("description", &["policy"], &[], &[]),
    known(
        "source",
        &["rule"],
        &[],
        &["address", "mac", "invert", "family", "ipset"],
    ),
    known("ingress-zone", &["policy"], &["name"], &[]),
    known("egress-zone", &["policy"], &["name"], &[]),
];

/// Reads a file of a zone.
pub(super) fn zone(file: &File, name: &str) -> Result<Zone, Mistake> {
    let known = [OF_ZONES, elements::KNOWN, rich::KNOWN];
    xml::read(file, "zone", &known, |root| of_zone(root, name))
}

fn of_zone(root: Element<'_>, name: &str) -> Result<Zone, Mistake> {
    let is_set = |name: &str| root.attribute(name).is_some_and(|value| value != "0");
    let first = |name: &str| {
        let found = root.children().find(|one| one.name() == name);
        found.map(|one| one.spot())
    };
    Ok(Zone {
        name: name.to_owned(),
        head: root.head(),
        target: match root.attribute("target").unwrap_or_default() {
            "" | "default" | "{chain}_{zone}" => Target::Default,
            "%%REJECT%%" => Target::Reject,
            "ACCEPT" => Target::Accept,
            "DROP" => Target::Drop,
            other => return Err(no_target(root, other)),
        },
        forwards: first("forward"),
        inverted: first("icmp-block-inversion"),
        interfaces: all(root, "interface", interface)?,
        sources: all(root, "source", source)?,
        has_priority: is_set("ingress-priority") || is_set("egress-priority"),
        settings: settings(root)?,
    })
}

fn no_target(root: Element<'_>, found: &str) -> Mistake {
    root.mistake(format!(
        "`{found}` is no target that firewalld has here; write another"
    ))
}

/// All children of a name, each with its place.
fn all<T>(
    root: Element<'_>,
    name: &str,
    read: fn(Element<'_>) -> Result<T, Mistake>,
) -> Result<Vec<(Spot, T)>, Mistake> {
    let children = root.children().filter(|one| one.name() == name);
    children
        .map(|child| Ok((child.spot(), read(child)?)))
        .collect()
}

fn interface(element: Element<'_>) -> Result<Pattern, Mistake> {
    let name = element.required("name");
    let (begins, is_begin) = name
        .strip_suffix('+')
        .map_or((name, false), |name| (name, true));
    let is_odd = |letter: char| {
        letter.is_whitespace() || letter.is_control() || "/!*?\"\\+".contains(letter)
    };
    if name.is_empty() || name.len() > 16 || begins.contains(is_odd) {
        return Err(element.mistake(format!("`{name}` is no interface")));
    }
    Ok(match is_begin {
        true => Pattern::Begins(begins.to_owned()),
        false => Pattern::One(name.to_owned()),
    })
}

fn source(element: Element<'_>) -> Result<End, Mistake> {
    match (element.attribute("address"), element.attribute("ipset")) {
        (Some(address), None) => ends::read(address).map_err(|why| element.mistake(why)),
        (None, Some(set)) => Ok(End::Set(set.to_owned())),
        _ => {
            Err(element.mistake("a source is an address or an ipset; write one of them".to_owned()))
        }
    }
}

/// Reads what zones and policies have in common.
fn settings(root: Element<'_>) -> Result<Settings, Mistake> {
    let mut settings = Settings::default();
    for child in root.children() {
        if child.name() == "rule" {
            match rich::read(child)? {
                Ok(rule) => settings.rules.push(rule),
                Err(ignored) => settings.ignored.push(ignored),
            }
        } else if let Some(about) = elements::about(child)? {
            settings.plain.push((child.spot(), about));
        }
    }
    Ok(settings)
}

/// Reads a file of a policy.
pub(super) fn policy(file: &File, name: &str) -> Result<Policy, Mistake> {
    let known = [OF_POLICIES, elements::KNOWN, rich::KNOWN];
    xml::read(file, "policy", &known, |root| of_policy(root, name))
}

fn of_policy(root: Element<'_>, name: &str) -> Result<Policy, Mistake> {
    let priority = root.attribute("priority").unwrap_or("-1");
    let priority = priority
        .parse()
        .ok()
        .filter(|one| *one != 0 && i16::try_from(*one).is_ok());
    let policy = Policy {
        name: name.to_owned(),
        head: root.head(),
        target: match root.required("target") {
            "CONTINUE" => Target::Continue,
            "ACCEPT" => Target::Accept,
            "REJECT" => Target::Reject,
            "DROP" => Target::Drop,
            other => return Err(no_target(root, other)),
        },
        priority: priority.ok_or_else(|| {
            root.mistake(
                "the priority of a policy is a number from -32768 to 32767, and not 0".to_owned(),
            )
        })?,
        from: reach(root, "ingress-zone")?,
        to: reach(root, "egress-zone")?,
        settings: settings(root)?,
    };
    match (&policy.from, &policy.to) {
        (Reach::Host, Reach::Host) => {
            Err(root.mistake("a policy from HOST to HOST is about nothing".to_owned()))
        }
        _ => Ok(policy),
    }
}

fn reach(root: Element<'_>, name: &str) -> Result<Reach, Mistake> {
    let zones = root.children().filter(|one| one.name() == name);
    let zones: Vec<&str> = zones.map(|one| one.required("name")).collect();
    match zones.as_slice() {
        ["ANY"] => Ok(Reach::Any),
        ["HOST"] => Ok(Reach::Host),
        all if all.contains(&"ANY") || all.contains(&"HOST") => {
            Err(root
                .mistake("next to ANY or HOST a policy has no other zone; take one out".to_owned()))
        }
        all => Ok(Reach::Zones(
            all.iter().map(|&one| one.to_owned()).collect(),
        )),
    }
}

impl Zone {
    /// Whether it has packets of its own.
    pub(super) fn is_used(&self) -> bool {
        !self.interfaces.is_empty() || !self.sources.is_empty()
    }

    /// Takes what another part of the same zone says, too; what only one file can say stays.
    pub(super) fn join(&mut self, part: Self) {
        self.forwards = self.forwards.take().or(part.forwards);
        self.inverted = self.inverted.take().or(part.inverted);
        self.interfaces.extend(part.interfaces);
        self.sources.extend(part.sources);
        self.settings.plain.extend(part.settings.plain);
        self.settings.rules.extend(part.settings.rules);
        self.settings.ignored.extend(part.settings.ignored);
    }
}
