//! Where a policy comes to and where it goes from: interfaces and groups on which nothing held before, or nothing will hold.
//!
//! A comparison of two texts does not see it where the text is the same and the machine is not. Takes what the runtime
//! foretells, and both policies, which say of which groups their rules are. Not here: what the rules do to packets that meet
//! them.

use std::iter;

use sockc_compiler::policy::{Deed, Direction, Policy, lies_in};
use sockc_runtime::{
    Departing, Forecast, HookForecast, LinkFate, LostNamespace, NamedKind, ProgramFate,
};

use crate::changes::summary;

/// What becomes of the packets of an interface, of what a group does, or of the sockets of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The network namespace of a `for netns` block; `None` for the policy's own.
    pub(super) netns: Option<String>,
    /// What of it.
    pub(super) part: Part,
    /// What changes.
    pub(super) becomes: Becomes,
}

/// A part of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The packets of an interface.
    Interface(String),
    /// What a group does with its sockets.
    Group(OfGroup),
    /// All its sockets.
    Sockets,
    /// Something that the policy names, and that an apply finds something else for.
    Named(NamedKind, String),
    /// All of a block's namespace that lost its name and goes on.
    Nameless(LostNamespace),
}

/// What a group does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfGroup {
    /// The group's name.
    pub(super) name: String,
    /// The folder of its control group, where both policies have the name and not for the same one.
    folder: Option<String>,
    /// What of it.
    pub(super) deed: &'static Deed,
}

impl OfGroup {
    fn words(&self) -> String {
        let folder = self.folder.as_ref().map(|folder| format!(" ({folder})"));
        format!(
            "what group {}{} {}",
            self.name,
            folder.unwrap_or_default(),
            self.deed.does
        )
    }
}

impl Part {
    /// What a plan lists it under.
    pub(super) fn heading(&self) -> &'static str {
        match self {
            Self::Interface(_) | Self::Named(NamedKind::CameIn, _) => "interfaces",
            Self::Group(_) | Self::Sockets | Self::Named(..) => "sockets",
            Self::Nameless(_) => "network namespaces",
        }
    }
}

/// What a plan lists parts under, in this order.
pub(super) const HEADINGS: [&str; 3] = ["interfaces", "sockets", "network namespaces"];

/// What changes for something as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// The policy comes to it.
    Held,
    /// The policy goes from it.
    Free,
    /// It has another name for the policy, and other rules with it: the name before.
    Renamed(String),
}

impl Reach {
    /// The words on one line.
    pub(super) fn words(&self) -> String {
        if let Part::Named(kind, name) = &self.part {
            return self.named(&match kind {
                NamedKind::Lookups => format!("sockets that are looked up for packets of {name}"),
                NamedKind::CameIn => format!("what passes through from {name}"),
                NamedKind::Target => format!("what is redirected to {name}"),
                NamedKind::Namespace => format!("`in netns \"{name}\"`"),
            }) + match kind {
                NamedKind::Lookups => {
                    ": the verdicts of no name, or its former one -> those for its name"
                }
                NamedKind::CameIn => {
                    ": the verdicts of `forward` for no name, or its former one -> those for its name"
                }
                NamedKind::Target => {
                    ": dropped, or sent to the one before -> sent out of the one there is"
                }
                NamedKind::Namespace => ": nothing, or the one before -> the one there is",
            };
        }
        let what = match &self.part {
            Part::Interface(name) => self.named(&format!("packets on {name}")),
            Part::Group(group) => self.named(&group.words()),
            Part::Sockets | Part::Named(..) => self.named("sockets"),
            Part::Nameless(lost) => format!("every packet and socket of {}", was(lost)),
        };
        let (from, to) = match &self.becomes {
            Becomes::Held => ("allow", "the policy's verdicts"),
            Becomes::Free => ("the policy's verdicts", "allow"),
            Becomes::Renamed(before) => {
                return format!("{what}: the verdicts for {before} -> the verdicts for its name");
            }
        };
        format!("{what}: {from} -> {to}")
    }

    /// Whether rules know it by another name from then on, or by one at all, where nothing of the policy hangs.
    fn is_renamed(&self) -> bool {
        matches!(self.part, Part::Named(NamedKind::CameIn, _))
    }

    /// What it is about.
    fn title(&self) -> String {
        match &self.part {
            Part::Interface(name) => self.named(name),
            Part::Group(group) => self.named(&group.words()),
            Part::Sockets => self.named("the sockets"),
            Part::Named(NamedKind::Lookups, name) => self.named(&format!("lookups for {name}")),
            Part::Named(NamedKind::CameIn, name) => {
                self.named(&format!("what passes through from {name}"))
            }
            Part::Named(NamedKind::Target, name) => self.named(&format!("redirects to {name}")),
            Part::Named(NamedKind::Namespace, name) => {
                self.named(&format!("conditions in netns \"{name}\""))
            }
            Part::Nameless(lost) => was(lost),
        }
    }

    fn named(&self, what: &str) -> String {
        match &self.netns {
            Some(netns) => format!("{what} in netns \"{netns}\""),
            None => what.to_owned(),
        }
    }
}

/// A namespace that has no name any more, by the one it had and the path that leads into it.
fn was(lost: &LostNamespace) -> String {
    let path = lost.path().map(|path| format!(" ({path})"));
    format!(
        "the network namespace that was \"{}\"{}",
        lost.name,
        path.unwrap_or_default()
    )
}

/// What something changes for as a whole, those of blocks included; nothing where nothing is in force, since then everything
/// is new. Takes the policy that runs and the one that comes.
pub(super) fn reach(forecast: &Forecast, policies: [&Policy; 2]) -> Vec<Reach> {
    if forecast.running.is_none() {
        return Vec::new();
    }
    let inner = forecast.netns.iter();
    let inner = inner.map(|(netns, inner)| (Some(netns.as_str()), inner));
    let all = iter::once((None, forecast)).chain(inner);
    all.flat_map(|(netns, one)| {
        let mut found = of_interfaces(netns, one);
        let inside = policies.map(|policy| within(policy, netns));
        found.extend(of_groups(netns, one, inside));
        found.extend(of_sockets(netns, one));
        found.extend(one.named.iter().map(|(kind, name)| Reach {
            netns: netns.map(str::to_owned),
            part: Part::Named(*kind, name.clone()),
            becomes: Becomes::Held,
        }));
        let opened = one.departing.iter().filter_map(Departing::opens);
        found.extend(opened.map(|lost| Reach {
            netns: netns.map(str::to_owned),
            part: Part::Nameless(lost.clone()),
            becomes: Becomes::Free,
        }));
        found.extend(one.departing.iter().flat_map(of_departing));
        found
    })
    .collect()
}

fn of_interfaces(netns: Option<&str>, forecast: &Forecast) -> Vec<Reach> {
    let mut found: Vec<Reach> = Vec::new();
    let mut seen = Vec::new();
    let packet = || forecast.hooks.iter().filter(|hook| is_packet(hook));
    for hook in packet() {
        // By its number: what was called so before may be another one.
        if seen.contains(&hook.number) {
            continue;
        }
        seen.push(hook.number);
        let here: Vec<&HookForecast> = packet().filter(|one| one.number == hook.number).collect();
        if let Some(becomes) = becomes(&here) {
            found.push(Reach {
                netns: netns.map(str::to_owned),
                part: Part::Interface(hook.target.clone()),
                becomes,
            });
        }
    }
    found
}

/// What becomes of an interface with these hooks, if it changes as a whole.
fn becomes(hooks: &[&HookForecast]) -> Option<Becomes> {
    let all = |fate| hooks.iter().all(|hook| hook.link == fate);
    if all(LinkFate::Attached) {
        return Some(Becomes::Held);
    }
    if all(LinkFate::Detached) {
        return Some(Becomes::Free);
    }
    let mut other = hooks.iter();
    let other = other.find(|hook| hook.was.is_some() && hook.program != ProgramFate::Same)?;
    other.was.clone().map(Becomes::Renamed)
}

/// The sockets of a block's namespace where nothing is in force, although something is outside.
fn of_sockets(netns: Option<&str>, forecast: &Forecast) -> Option<Reach> {
    let netns = netns.filter(|_| forecast.running.is_none())?;
    let decides = ["lookup", "send", "sock-ops"];
    let mut hooks = forecast.hooks.iter();
    hooks
        .any(|hook| decides.contains(&hook.hook.as_str()))
        .then(|| Reach {
            netns: Some(netns.to_owned()),
            part: Part::Sockets,
            becomes: Becomes::Held,
        })
}

/// What the policy of a block that goes holds on no more.
fn of_departing(one: &Departing) -> Vec<Reach> {
    let interfaces = one.held.interfaces.iter().cloned().map(Part::Interface);
    let sockets = one.held.lookups.then_some(Part::Sockets);
    let reach = interfaces.chain(sockets).map(|part| Reach {
        netns: Some(one.name.clone()),
        part,
        becomes: Becomes::Free,
    });
    reach.collect()
}

/// The policy of a block, or that around.
fn within<'p>(policy: &'p Policy, netns: Option<&str>) -> Option<&'p Policy> {
    let Some(name) = netns else {
        return Some(policy);
    };
    let mut blocks = policy.netns.iter();
    let block = blocks.find(|block| block.name == name);
    block.map(|block| &block.policy)
}

/// A group that a policy comes to or goes from, with the folder of its control group.
struct Moved {
    name: String,
    folder: String,
    deed: &'static Deed,
    becomes: Becomes,
}

/// The groups whose rules come to a control group or go from it: with the group itself, with its path, or since the control
/// group is another one now.
fn of_groups(
    netns: Option<&str>,
    forecast: &Forecast,
    [old, new]: [Option<&Policy>; 2],
) -> Vec<Reach> {
    let mut found: Vec<Moved> = Vec::new();
    for hook in &forecast.hooks {
        let Some((name, deed)) = hook.group.as_ref() else {
            continue;
        };
        let is_known = |one: &Moved| one.folder == hook.target && one.deed == *deed;
        if found.iter().any(is_known) {
            continue;
        }
        let of_it = forecast.hooks.iter().filter(|one| {
            one.number == hook.number && one.group.as_ref().is_some_and(|(_, of)| of == deed)
        });
        let becomes = becomes(&of_it.collect::<Vec<_>>());
        let policy = match &becomes {
            Some(Becomes::Free) => old,
            _ => new,
        };
        let Some(becomes) = becomes.filter(|_| governs(policy, name, deed.direction)) else {
            continue;
        };
        found.push(Moved {
            name: name.clone(),
            folder: hook.target.clone(),
            deed,
            becomes,
        });
    }
    let told = found.iter().filter(|one| !is_inside(one, &found));
    let reach = told.map(|one| Reach {
        netns: netns.map(str::to_owned),
        part: Part::Group(OfGroup {
            name: one.name.clone(),
            folder: is_two(one, &found).then(|| one.folder.clone()),
            deed: one.deed,
        }),
        becomes: one.becomes.clone(),
    });
    reach.collect()
}

/// Whether a policy has rules that may refuse something to the group of this name; a program without is there and decides
/// nothing.
fn governs(policy: Option<&Policy>, name: &str, direction: Direction) -> bool {
    policy.is_some_and(|policy| {
        let mut groups = policy.groups.iter();
        let own = groups.find(|(_, group)| group.name == name);
        own.is_some_and(|(id, _)| policy.governs(id, direction))
    })
}

/// Whether a control group only goes from the rules of one policy to those of the other, by a group around it.
fn is_inside(one: &Moved, all: &[Moved]) -> bool {
    all.iter().any(|other| {
        let around = other.folder != one.folder && lies_in(&one.folder, &other.folder);
        around && other.deed == one.deed && other.becomes != one.becomes
    })
}

/// Whether the name is that of two control groups, one before and one from now on.
fn is_two(one: &Moved, all: &[Moved]) -> bool {
    let mut others = all.iter().filter(|other| other.folder != one.folder);
    others.any(|other| other.name == one.name)
}

fn is_packet(hook: &HookForecast) -> bool {
    ["xdp", "tc-in", "tc-out"].contains(&hook.hook.as_str())
}

/// A comparison's line, with what it does not see.
pub(super) fn summary(line: &str, reach: &[Reach]) -> String {
    if reach.is_empty() {
        return line.to_owned();
    }
    let mut parts = Vec::new();
    for (becomes, words) in [
        (Becomes::Held, "The policy comes to"),
        (Becomes::Free, "No policy is left on"),
    ] {
        let names = reach
            .iter()
            .filter(|one| one.becomes == becomes && !one.is_renamed());
        let names: Vec<String> = names.map(Reach::title).collect();
        if !names.is_empty() {
            parts.push(format!("{words} {}.", names.join(", ")));
        }
    }
    for one in reach {
        let title = one.title();
        match &one.becomes {
            Becomes::Renamed(before) => {
                parts.push(format!(
                    "{title} was {before}, and gets the rules for its name."
                ));
            }
            // The policy may leave it by that: no rule may have its name.
            _ if one.is_renamed() => {
                parts.push(format!("For {title}, the verdicts are those for its name."));
            }
            _ => {}
        }
    }
    parts.push(match line.strip_prefix(summary::SAME) {
        Some(rest) => format!("Elsewhere nothing changes in effect.{rest}"),
        None => line.to_owned(),
    });
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(netns: Option<&str>, interface: &str) -> Reach {
        Reach {
            netns: netns.map(str::to_owned),
            part: Part::Interface(interface.to_owned()),
            becomes: Becomes::Held,
        }
    }

    #[test]
    fn a_new_interface_is_never_no_change() {
        let reach = [held(None, "br-x"), held(Some("b"), "eth0")];
        assert_eq!(
            summary("No change in effect. 1 rule reworded.", &reach),
            "The policy comes to br-x, eth0 in netns \"b\". Elsewhere nothing changes in effect. 1 rule reworded."
        );
        assert_eq!(summary(summary::SAME, &[]), summary::SAME);
    }
}
