//! Kernel settings of a lab namespace: no traffic of its own, no filter of its own, every answer sent.

use std::fs;

use super::error::{Error, While};

/// Setting and value; the reason is next to each.
const SETTINGS: [(&str, &str); 14] = [
    // Answers leave by another interface than the packets came by.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // A policy may speak of 127.0.0.0/8.
    ("ipv4/conf/all/route_localnet", "1"),
    ("ipv4/conf/default/route_localnet", "1"),
    // Port unreachable is sent each time, so that its absence means something.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/icmp/ratelimit", "0"),
    // No link-local addresses, solicitations or duplicate checks.
    ("ipv6/conf/default/addr_gen_mode", "1"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    // A SYN is answered each time, and once.
    ("ipv4/tcp_synack_retries", "0"),
    ("ipv4/tcp_invalid_ratelimit", "0"),
    // Every port may be listened on and connected from.
    ("ipv4/ip_unprivileged_port_start", "0"),
];

/// Applies the settings to the namespace of the calling thread. A machine without IPv6 has none of its settings.
pub(super) fn quiet() -> Result<(), Error> {
    SETTINGS.into_iter().try_for_each(set)
}

/// Whether the namespace of the calling thread passes on what comes in and is for others.
pub(super) fn pass_on(passes: bool) -> Result<(), Error> {
    let value = if passes { "1" } else { "0" };
    let switches = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
    switches.into_iter().try_for_each(|name| set((name, value)))
}

fn set((name, value): (&str, &str)) -> Result<(), Error> {
    let path = format!("/proc/sys/net/{name}");
    match fs::write(&path, value) {
        Err(error) if name.starts_with("ipv6/") && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(())
        }
        other => other.doing(|| format!("setting {path} to {value}")),
    }
}
