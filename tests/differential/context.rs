//! A header as the kernel's test run of sk_lookup takes it.

use std::net::IpAddr;

use sockc_compiler::event::{Header, Transport};
use sockc_compiler::policy::Family;

/// `struct bpf_sk_lookup` as a test run takes it.
pub(crate) fn context(header: &Header) -> [u8; 72] {
    let (from, to) = match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        Transport::None | Transport::Icmp { .. } => (0, 0),
    };
    let mut context = [0; 72];
    let family: u32 = if header.family() == Family::V4 { 2 } else { 10 };
    context[8..12].copy_from_slice(&family.to_ne_bytes());
    context[12..16].copy_from_slice(&u32::from(header.protocol).to_ne_bytes());
    match (header.from, header.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            context[16..20].copy_from_slice(&from.octets());
            context[40..44].copy_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            context[20..36].copy_from_slice(&from.octets());
            context[44..60].copy_from_slice(&to.octets());
        }
        _ => {}
    }
    context[36..38].copy_from_slice(&from.to_be_bytes());
    context[60..64].copy_from_slice(&u32::from(to).to_ne_bytes());
    context
}
