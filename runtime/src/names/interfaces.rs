//! Which interfaces a policy's packet programs hang on.

use sockc_compiler::artifact::{Attach, AttachPoint, Counter, CounterKind, Manifest};
use sockc_compiler::policy::Direction;

use super::classes::{InTwoZones, class_of, covers, is_pattern, two_zones};
use crate::error::{Error, at};
use crate::options::Options;
use crate::sys::netns;

/// An interface of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its index.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// The name that the policy knows it by: its name, unless that was another when a policy was put on it.
    pub(crate) known: String,
    /// The number of its class.
    pub(crate) class: usize,
}

/// What packet programs hang on.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// The interfaces, by index.
    pub(crate) interfaces: Vec<Interface>,
    /// Those that a pattern covers but that carry no Ethernet frames.
    pub(crate) skipped: Vec<String>,
    /// Those that are named and not there.
    pub(crate) missing: Vec<String>,
    /// Those that are named and have another name now: the name in the policy, and the name now.
    pub(crate) renamed: Vec<(String, String)>,
    /// Those in two zones, where they are no reason to leave the others open.
    pub(crate) two_zones: Vec<InTwoZones>,
}

/// The interfaces that there are to choose from: index and name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct There<'a> {
    /// Those of the namespace.
    pub(crate) present: &'a [(u32, String)],
    /// Those that the policy in force holds on under another name than it was put on: index, and the name then.
    pub(crate) renamed: &'a [(u32, String)],
}

/// Chooses among the interfaces that are there; none if the policy has no packet programs. A name must be there, and carry
/// Ethernet frames (`ethernet` tells), for programs would misread others; a pattern may match nothing. An interface that was
/// renamed under the policy in force is still the one that a pattern covers, and the one that is named as long as nobody else
/// has the old name: to take the policy off it would open it.
pub(crate) fn choose(
    manifest: &Manifest,
    options: &Options,
    there: There<'_>,
    ethernet: impl Fn(&str) -> Result<bool, Error>,
) -> Result<Choice, Error> {
    let wanted = options.wanted(manifest);
    let mut choice = Choice {
        missing: missing(wanted, there),
        ..Choice::default()
    };
    if !options.leave_out_missing {
        check_present(&choice.missing, there.present)?;
    }
    if !has_packet_programs(manifest) {
        return Ok(choice);
    }
    if wanted.is_empty() {
        return Err(Error::NoInterfaceNamed {
            policy: manifest.policy.clone(),
            because: because(manifest),
        });
    }
    for (index, name) in there.present {
        // What the policy calls it: its name, unless that was another when the policy was put on it.
        let known = there.known_as(*index, name, wanted);
        if !wanted.iter().any(|one| covers(one, known)) {
            continue;
        }
        if ethernet(name)? {
            let zones = match options.leave_out_missing {
                true => two_zones(&manifest.classes, known),
                false => None,
            };
            let known = match &zones {
                // The programs on it know it by the name that it had.
                Some(_) => there.held_as(*index),
                None => Some(known),
            };
            if let Some(known) = known {
                choice.interfaces.push(Interface {
                    index: *index,
                    name: name.clone(),
                    known: known.to_owned(),
                    class: class_of(&manifest.classes, known)?,
                });
            }
            match (zones, known) {
                (Some(zones), held) => choice.two_zones.push(InTwoZones {
                    interface: name.clone(),
                    zones,
                    held_as: held.map(str::to_owned),
                }),
                (None, Some(known)) if known != name => {
                    choice.renamed.push((known.to_owned(), name.clone()));
                }
                (None, _) => {}
            }
        } else if wanted.contains(name) {
            return Err(Error::NoEthernet { name: name.clone() });
        } else {
            choice.skipped.push(name.clone());
        }
    }
    Ok(choice)
}

/// The interfaces besides those of packet programs that packets for named sockets may come in by: `lo`, and those that the
/// policy or the options name; where none are named, all. Others than Ethernet are left out.
pub(crate) fn others(
    manifest: &Manifest,
    options: &Options,
    present: &[(u32, String)],
    choice: &Choice,
) -> Result<Vec<Interface>, Error> {
    let wanted = options.wanted(manifest);
    let meant = |name: &str| {
        wanted.is_empty() || name == "lo" || wanted.iter().any(|one| covers(one, name))
    };
    let taken = |index: u32| choice.interfaces.iter().any(|one| one.index == index);
    let mut others = Vec::new();
    for (index, name) in present {
        if meant(name) && !taken(*index) && is_ethernet(name)? {
            others.push(Interface {
                index: *index,
                name: name.clone(),
                known: name.clone(),
                class: 0,
            });
        }
    }
    Ok(others)
}

/// One that has gone since the interfaces were listed carries nothing.
fn is_ethernet(name: &str) -> Result<bool, Error> {
    match netns::carries_ethernet(name) {
        Err(cause) if cause.raw_os_error() == Some(libc::ENODEV) => Ok(false),
        answered => answered.map_err(at(format!("look at the interface \"{name}\""))),
    }
}

impl There<'_> {
    fn is_there(&self, name: &str) -> bool {
        self.present.iter().any(|(_, there)| there == name)
    }

    /// The name by which the policy in force holds on an interface that has another one now.
    fn held_as(&self, index: u32) -> Option<&str> {
        let mut renamed = self.renamed.iter();
        let held = renamed.find(|(there, _)| *there == index);
        held.map(|(_, before)| before.as_str())
    }

    /// The name that the policy knows an interface by.
    pub(crate) fn known_as<'a>(&'a self, index: u32, name: &'a str, wanted: &[String]) -> &'a str {
        if wanted.iter().any(|one| covers(one, name)) {
            return name;
        }
        let mut renamed = self.renamed.iter();
        let before = renamed.find(|(there, before)| {
            *there == index && wanted.iter().any(|one| self.still_means(one, before))
        });
        before.map_or(name, |(_, before)| before)
    }

    /// Whether what a policy wrote still means the interface that had a name: a name is that of one interface only, a
    /// pattern is for many.
    fn still_means(&self, one: &str, before: &str) -> bool {
        if one == before {
            return !self.is_there(before);
        }
        covers(one, before)
    }
}

/// The names that no interface has or had.
fn missing(wanted: &[String], there: There<'_>) -> Vec<String> {
    let named = wanted.iter().filter(|name| !is_pattern(name));
    let missing = named.filter(|name| {
        let renamed = there.renamed.iter().any(|(_, before)| before == *name);
        !there.is_there(name) && !renamed
    });
    missing.cloned().collect()
}

fn check_present(missing: &[String], present: &[(u32, String)]) -> Result<(), Error> {
    missing.first().map_or(Ok(()), |name| {
        Err(Error::NoInterface {
            name: name.clone(),
            netns: None,
            present: present.iter().map(|(_, name)| name.clone()).collect(),
        })
    })
}

/// What of a policy needs the packets of interfaces, in its own words: that is not seen where all rules are redirects, or
/// `at sk_lookup`.
fn because(manifest: &Manifest) -> String {
    let absent = manifest.sockets.iter().find(|socket| socket.drop_if_absent);
    let of_packets = |one: &Counter| {
        let mut words = Direction::of_packets().map(Direction::word);
        words.any(|word| word == one.direction)
    };
    let packets = |one: &&Counter| of_packets(one) && one.location.line > 0;
    let mut counters = manifest.counters.iter().filter(packets);
    let rule = counters.clone().find(|one| {
        one.kind == CounterKind::Rule
            && one.verdict != "redirect"
            && !one.location.text.contains("at sk_lookup")
    });
    match (rule, absent) {
        (Some(rule), _) => told(rule),
        (None, Some(socket)) => format!("`if absent drop` of the socket \"{}\"", socket.name),
        (None, None) => counters
            .find(|one| one.kind == CounterKind::Default)
            .map_or_else(|| "a rule".to_owned(), told),
    }
}

fn told(counter: &Counter) -> String {
    format!(
        "`{}` ({}:{})",
        counter.location.text, counter.location.file, counter.location.line
    )
}

/// Whether the policy has programs for packets of interfaces.
pub(crate) fn has_packet_programs(manifest: &Manifest) -> bool {
    manifest.programs.iter().any(is_packet)
}

/// Whether a program is for packets of interfaces.
pub(crate) fn is_packet(program: &Attach) -> bool {
    let packet = [AttachPoint::Xdp, AttachPoint::TcIn, AttachPoint::TcOut];
    packet.contains(&program.point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_interface_is_known_by_its_old_name_unless_that_is_taken() {
        let wanted = ["v0".to_owned()];
        let named = |names: &[(u32, &str)]| -> Vec<(u32, String)> {
            let names = names.iter();
            names
                .map(|(index, name)| (*index, (*name).to_owned()))
                .collect()
        };
        let renamed = named(&[(7, "v0")]);
        for (present, known) in [
            (named(&[(7, "v9")]), "v0"),
            (named(&[(7, "v9"), (8, "v0")]), "v9"),
            (named(&[(7, "v0")]), "v0"),
        ] {
            let there = There {
                present: &present,
                renamed: &renamed,
            };
            assert_eq!(there.known_as(7, &present[0].1, &wanted), known);
            assert!(missing(&wanted, there).is_empty());
        }
        // A pattern is for both.
        let present = named(&[(7, "w9"), (8, "v0")]);
        let there = There {
            present: &present,
            renamed: &renamed,
        };
        assert_eq!(there.known_as(7, "w9", &["v*".to_owned()]), "v0");
        let there = There {
            present: &[],
            renamed: &[],
        };
        assert_eq!(missing(&wanted, there), wanted);
    }
}
