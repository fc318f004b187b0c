//! Settings of the kernel by which packets with a mark do not get to their sockets, or answers not out.
//!
//! Takes the interfaces that a policy is on; reads `/proc/sys/net` of the calling thread's namespace. What is not there to be read
//! is no obstacle: a kernel without it does not do it.

use std::fs;

use sockc_compiler::artifact::InterceptPlan;
use sockc_compiler::policy::Family;

use super::families;

/// What is in the way, each with what to do.
pub(super) fn found(plan: &InterceptPlan, interfaces: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if is_on("ipv4/tcp_fwmark_accept") {
        found.push(
            "`net.ipv4.tcp_fwmark_accept` gives the mark of a packet to the connection that it begins, whose answers then come back here instead of leaving: `sysctl -w net.ipv4.tcp_fwmark_accept=0`".to_owned(),
        );
    }
    if families::of(plan).any(|family| family == Family::V4) {
        let all = ["all"].into_iter();
        for name in all.chain(interfaces.iter().map(String::as_str)) {
            if is_on(&format!("ipv4/conf/{name}/src_valid_mark")) {
                found.push(format!(
                    "`net.ipv4.conf.{name}.src_valid_mark` has the sender of a packet looked up with its mark, so that every sender is an address of this machine, and the packet is dropped: `sysctl -w net.ipv4.conf.{name}.src_valid_mark=0`"
                ));
            }
        }
    }
    found
}

/// Without IPv6 on `lo` the kernel takes no route that delivers there.
pub(super) fn disabled(family: Family) -> Option<String> {
    let off = family == Family::V6 && is_on("ipv6/conf/lo/disable_ipv6");
    off.then(|| {
        "`net.ipv6.conf.lo.disable_ipv6` keeps the kernel from delivering packets of IPv6 for others here: `sysctl -w net.ipv6.conf.lo.disable_ipv6=0`, or name IPv4 addresses only in the redirects".to_owned()
    })
}

fn is_on(setting: &str) -> bool {
    let value = fs::read_to_string(format!("/proc/sys/net/{setting}"));
    value.is_ok_and(|value| value.trim() != "0")
}
