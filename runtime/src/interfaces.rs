//! Which interfaces a policy's packet programs hang on.

use sockc_compiler::artifact::{AttachPoint, Manifest};

use crate::classes::class_of;
use crate::error::Error;
use crate::options::Options;
use crate::sys::netns;

/// An interface of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its index.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
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
}

/// Chooses among the interfaces that are there; none if the policy has no packet programs. A name must be there, and carry
/// Ethernet frames (`ethernet` tells), for programs would misread others; a pattern may match nothing.
pub(crate) fn choose(
    manifest: &Manifest,
    options: &Options,
    present: &[(u32, String)],
    ethernet: impl Fn(&str) -> Result<bool, Error>,
) -> Result<Choice, Error> {
    let wanted = match options.interfaces.as_slice() {
        [] => &manifest.interfaces,
        _ => &options.interfaces,
    };
    check_present(wanted, present)?;
    let mut choice = Choice::default();
    if !has_packet_programs(manifest) {
        return Ok(choice);
    }
    if wanted.is_empty() {
        return Err(Error::NoInterfaceNamed {
            policy: manifest.policy.clone(),
        });
    }
    for (index, name) in present {
        if !wanted.iter().any(|one| covers(one, name)) {
            continue;
        }
        if ethernet(name)? {
            choice.interfaces.push(Interface {
                index: *index,
                name: name.clone(),
                class: class_of(&manifest.classes, name)?,
            });
        } else if wanted.contains(name) {
            return Err(Error::NoEthernet { name: name.clone() });
        } else {
            choice.skipped.push(name.clone());
        }
    }
    Ok(choice)
}

/// The interfaces beside those of packet programs that packets for named sockets may come in by: `lo`, and those that the
/// policy or the options name; where none are named, all. Others than Ethernet are left out.
pub(crate) fn others(
    manifest: &Manifest,
    options: &Options,
    present: &[(u32, String)],
    choice: &Choice,
) -> Vec<Interface> {
    let wanted = match options.interfaces.as_slice() {
        [] => &manifest.interfaces,
        _ => &options.interfaces,
    };
    let meant = |name: &str| {
        wanted.is_empty() || name == "lo" || wanted.iter().any(|one| covers(one, name))
    };
    let taken = |index: u32| choice.interfaces.iter().any(|one| one.index == index);
    let others = present
        .iter()
        .filter(|(index, name)| meant(name) && !taken(*index));
    let ethernet = others.filter(|(_, name)| netns::carries_ethernet(name).unwrap_or(false));
    ethernet
        .map(|(index, name)| Interface {
            index: *index,
            name: name.clone(),
            class: 0,
        })
        .collect()
}

fn check_present(wanted: &[String], present: &[(u32, String)]) -> Result<(), Error> {
    let mut named = wanted.iter().filter(|name| !is_pattern(name));
    let missing = named.find(|name| !present.iter().any(|(_, there)| there == *name));
    missing.map_or(Ok(()), |name| {
        Err(Error::NoInterface {
            name: name.clone(),
            present: present.iter().map(|(_, name)| name.clone()).collect(),
        })
    })
}

/// Whether the policy has programs for packets of interfaces.
pub(crate) fn has_packet_programs(manifest: &Manifest) -> bool {
    let packet = [AttachPoint::Xdp, AttachPoint::TcIn, AttachPoint::TcOut];
    manifest
        .programs
        .iter()
        .any(|attach| packet.contains(&attach.point))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// `lo` is meant only by its name: who writes `*` thinks of the network.
pub(crate) fn covers(wanted: &str, name: &str) -> bool {
    wanted == name
        || (is_pattern(wanted) && name != "lo" && matches(wanted.as_bytes(), name.as_bytes()))
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches(rest, name),
        (Some((b'*', rest)), Some((_, tail))) => matches(rest, name) || matches(pattern, tail),
        (Some((b'?', rest)), Some((_, tail))) => matches(rest, tail),
        (Some((one, rest)), Some((other, tail))) => one == other && matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_names_but_not_lo() {
        assert!(covers("eth0", "eth0"));
        assert!(!covers("eth0", "eth01"));
        assert!(covers("br-*", "br-"));
        assert!(covers("br-*", "br-a1"));
        assert!(covers("*", "eth0"));
        assert!(covers("e?h*", "eth0"));
        assert!(!covers("e?h", "eth0"));
        assert!(!covers("*", "lo"));
        assert!(covers("lo", "lo"));
    }
}
