//! By which interfaces a machine passes packets on that no program of a policy meets.
//!
//! Takes the patterns that a policy is for; gives the interfaces with addresses of others that none of them covers, where the kernel
//! forwards. Not here: what a policy says of what passes through.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use super::classes::covers;
use crate::error::{Error, at};
use crate::options::Options;
use crate::session;

/// The interfaces in the namespace of the options by which the kernel passes packets on, and that no one of these names or patterns covers:
/// those that are up and have an address of a family that it forwards.
///
/// # Errors
///
/// The namespace cannot be entered, or its interfaces not be listed.
pub fn passed_by(options: &Options, wanted: &[String]) -> Result<Vec<String>, Error> {
    session::enter(options, |_| {
        let forwards = [forwards_v4(), forwards_v6()];
        if forwards == [false; 2] {
            return Ok(Vec::new());
        }
        let listed = getifaddrs().map_err(|errno| errno.into());
        let listed = listed.map_err(at("list the addresses of interfaces"))?;
        Ok(beside(listed, forwards, wanted))
    })
}

/// Whether the kernel passes packets of IPv4 on that arrive by some interface of the calling thread's namespace (`IN_DEV_FORWARD`).
fn forwards_v4() -> bool {
    let each = settings("/proc/sys/net/ipv4/conf");
    // These two are for interfaces to come.
    let mut each = each.filter(|one| !one.ends_with("all") && !one.ends_with("default"));
    each.any(|one| is_on(&one.join("forwarding")))
}

/// The same of IPv6, where one setting is for all interfaces (`ip6_forward`), and since Linux 6.17 each may have its own.
fn forwards_v6() -> bool {
    let folder = Path::new("/proc/sys/net/ipv6/conf");
    let mut each = settings(folder);
    is_on(&folder.join("all/forwarding")) || each.any(|one| is_on(&one.join("force_forwarding")))
}

/// The folders of the interfaces' settings.
fn settings(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    let each = fs::read_dir(folder).into_iter().flatten().flatten();
    each.map(|one| one.path())
}

fn is_on(setting: &Path) -> bool {
    fs::read_to_string(setting).is_ok_and(|value| value.trim() != "0")
}

/// Those that no pattern covers, each once. An address of the link alone is no sign that something is routed there: each port of a
/// bridge may have one.
fn beside(
    listed: impl Iterator<Item = InterfaceAddress>,
    [v4, v6]: [bool; 2],
    wanted: &[String],
) -> Vec<String> {
    let mut found = BTreeSet::new();
    for one in listed {
        let Some(address) = one.address else { continue };
        let of_v4 = v4 && address.as_sockaddr_in().is_some();
        let of_v6 = address
            .as_sockaddr_in6()
            .is_some_and(|address| v6 && !address.ip().is_unicast_link_local());
        let is_up = one.flags.contains(InterfaceFlags::IFF_UP);
        let is_other = !one.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let is_met = wanted
            .iter()
            .any(|pattern| covers(pattern, &one.interface_name));
        if is_up && is_other && !is_met && (of_v4 || of_v6) {
            found.insert(one.interface_name);
        }
    }
    found.into_iter().collect()
}
