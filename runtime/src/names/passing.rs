//! By which interfaces a machine passes packets on that no program of a policy meets.
//!
//! Takes the patterns that a policy is for; gives the interfaces with addresses of others that none of them covers, where the kernel
//! forwards. Not here: what a policy says of what passes through.

use std::collections::BTreeSet;
use std::fs;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use super::classes::covers;
use crate::error::{Error, at};
use crate::options::Options;
use crate::session;

/// Where the kernel keeps, for each interface, whether what arrives there is passed on.
const SWITCHES: [&str; 2] = ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"];

/// The interfaces in the namespace of the options by which the kernel passes packets on, and that no one of these names or patterns covers:
/// those that are up and have an address of a family that it forwards.
///
/// # Errors
///
/// The namespace cannot be entered, or its interfaces not be listed.
pub fn passed_by(options: &Options, wanted: &[String]) -> Result<Vec<String>, Error> {
    session::enter(options, |_| {
        let forwards = SWITCHES.map(is_forwarding);
        if forwards == [false; 2] {
            return Ok(Vec::new());
        }
        let listed = getifaddrs().map_err(|errno| errno.into());
        let listed = listed.map_err(at("list the addresses of interfaces"))?;
        Ok(beside(listed, forwards, wanted))
    })
}

/// Whether the kernel passes packets of a family on that arrive by some interface of the calling thread's namespace.
fn is_forwarding(folder: &str) -> bool {
    let each = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut each = each.map(|one| fs::read_to_string(one.path().join("forwarding")));
    // `default` is for interfaces to come, and counts as one: a packet may come in by these.
    each.any(|value| value.is_ok_and(|value| value.trim() != "0"))
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
