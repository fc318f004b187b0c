//! Which interfaces a policy's packet programs hang on.

use sockc_compiler::artifact::{AttachPoint, Manifest};

use crate::error::Error;
use crate::options::Options;

/// Index and name of the policy's interfaces, by index; none if it has no packet programs. A name must be there, a pattern
/// may match nothing.
pub(crate) fn choose(
    manifest: &Manifest,
    options: &Options,
    present: &[(u32, String)],
) -> Result<Vec<(u32, String)>, Error> {
    if !has_packet_programs(manifest) {
        return Ok(Vec::new());
    }
    let wanted = match options.interfaces.as_slice() {
        [] => &manifest.interfaces,
        _ => &options.interfaces,
    };
    if wanted.is_empty() {
        return Err(Error::NoInterfaceNamed {
            policy: manifest.policy.clone(),
        });
    }
    for name in wanted.iter().filter(|name| !is_pattern(name)) {
        if !present.iter().any(|(_, there)| there == name) {
            return Err(Error::NoInterface {
                name: name.clone(),
                present: present.iter().map(|(_, name)| name.clone()).collect(),
            });
        }
    }
    let chosen = present
        .iter()
        .filter(|(_, name)| wanted.iter().any(|one| covers(one, name)));
    Ok(chosen.cloned().collect())
}

fn has_packet_programs(manifest: &Manifest) -> bool {
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
fn covers(wanted: &str, name: &str) -> bool {
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
