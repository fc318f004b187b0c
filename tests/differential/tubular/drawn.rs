//! Random bindings of tubular in both forms of text, and lookups at their edges.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockc_compiler::event::{Header, Transport};
use sockc_compiler::protocol::IpProtocol;
use sockc_testing::Rng;

use super::algorithm::Row;

/// Names, and labels that are none: two of these differ in what no name may hold.
pub(crate) const LABELS: [&str; 8] = [
    "foo",
    "bindings",
    "new tls",
    "new/tls",
    "allow",
    "443",
    "größe \"x\"}",
    "ipv4-refused",
];
const PROTOCOLS: [IpProtocol; 2] = [IpProtocol::TCP, IpProtocol::UDP];
const PORTS: [u16; 6] = [0, 0, 53, 80, 443, 65535];
const LENGTHS_V4: [u8; 9] = [0, 1, 8, 15, 16, 24, 31, 32, 32];
const LENGTHS_V6: [u8; 12] = [0, 1, 32, 33, 48, 64, 80, 95, 97, 127, 128, 128];
/// Bindings of a file, at most.
const MOST: usize = 40;

/// How bindings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The file of `tubectl load-bindings`, where each entry is for both protocols.
    Json,
    /// What `tubectl bindings` prints.
    Listing,
}

/// Bindings, and their text.
pub(crate) struct Bindings {
    pub(crate) table: Vec<Row>,
    pub(crate) text: String,
}

impl Bindings {
    /// Draws some: no key twice, nothing that tubular refuses.
    pub(crate) fn random(rng: &mut Rng, form: Form) -> Self {
        let (mut keys, mut table, mut entries) = (BTreeSet::new(), Vec::new(), Vec::new());
        for _ in 0..1 + rng.below(MOST) {
            let one = [*rng.one_of(&PROTOCOLS)];
            let protocols = match form {
                Form::Json => &PROTOCOLS[..],
                Form::Listing => &one[..],
            };
            let row = row(rng);
            let row = Row {
                protocol: protocols[0],
                ..row
            };
            if is_mapped(&row) || !keys.insert(row.key()) {
                continue;
            }
            entries.push(row);
            table.extend(protocols.iter().map(|protocol| Row {
                protocol: *protocol,
                ..row
            }));
        }
        let text = match form {
            Form::Json => json(&entries),
            Form::Listing => listing(&entries),
        };
        Self { table, text }
    }

    /// Lookups near the prefixes and ports, and some anywhere.
    pub(crate) fn lookups(&self, rng: &mut Rng, count: usize) -> Vec<(SocketAddr, IpProtocol)> {
        let lookup = |_| {
            let address = match rng.pick(&self.table) {
                Some(row) if rng.chance(9, 10) => near(row.address, row.length, rng),
                _ => address(rng),
            };
            let port = match *rng.one_of(&PORTS) {
                0 => rng.half().max(1),
                port => port,
            };
            (SocketAddr::new(address, port), *rng.one_of(&PROTOCOLS))
        };
        let all = (0..count).map(lookup);
        // No network carries those, and the import does not speak of them.
        all.filter(|(to, _)| !matches!(to.ip(), IpAddr::V6(to) if to.to_ipv4_mapped().is_some()))
            .collect()
    }
}

/// The header of a lookup.
pub(crate) fn header((to, protocol): (SocketAddr, IpProtocol)) -> Header {
    let from: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::new(198, 51, 100, 9).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9).into(),
    };
    let (from_port, to_port) = (40_000, to.port());
    let transport = match protocol {
        IpProtocol::TCP => Transport::Tcp {
            from: from_port,
            to: to_port,
            flags: 2,
        },
        _ => Transport::Ports {
            from: from_port,
            to: to_port,
        },
    };
    Header {
        from,
        to: to.ip(),
        protocol,
        transport,
        length: 60,
        ..Header::PLAIN
    }
}

fn row(rng: &mut Rng) -> Row {
    let address = address(rng);
    let length = match address {
        IpAddr::V4(_) => *rng.one_of(&LENGTHS_V4),
        IpAddr::V6(_) => *rng.one_of(&LENGTHS_V6),
    };
    Row {
        address,
        length,
        port: *rng.one_of(&PORTS),
        protocol: IpProtocol::TCP,
        label: rng.one_of::<&'static str>(&LABELS),
    }
}

/// Few networks, so that prefixes cover each other.
fn address(rng: &mut Rng) -> IpAddr {
    let host = u32::from(rng.byte() & 3);
    match rng.below(6) {
        0 | 1 => Ipv4Addr::from_bits(0x0a01_0200 | host).into(),
        2 => Ipv4Addr::from_bits(rng.word()).into(),
        3 => Ipv6Addr::from_bits(u128::from(host)).into(),
        _ => Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | u128::from(host)).into(),
    }
}

/// An address in a prefix, or just outside of it.
fn near(address: IpAddr, length: u8, rng: &mut Rng) -> IpAddr {
    let bit = (u32::from(length) + u32::from(rng.byte() % 3)).saturating_sub(1);
    match address {
        IpAddr::V4(one) => {
            Ipv4Addr::from_bits(one.to_bits() ^ (1_u32 << 31).checked_shr(bit).unwrap_or(0)).into()
        }
        IpAddr::V6(one) => {
            Ipv6Addr::from_bits(one.to_bits() ^ (1_u128 << 127).checked_shr(bit).unwrap_or(0))
                .into()
        }
    }
}

fn is_mapped(row: &Row) -> bool {
    row.address.is_ipv6() && Ipv6Addr::from_bits(row.masked()).to_ipv4_mapped().is_some()
}

fn json(entries: &[Row]) -> String {
    let entries = entries.iter().map(|row| {
        let prefix = format!("{}/{}", row.address, row.length);
        serde_json::json!({"label": row.label, "prefix": prefix, "port": row.port})
    });
    serde_json::json!({"bindings": entries.collect::<Vec<_>>()}).to_string()
}

/// The columns are filled up on the left.
fn listing(entries: &[Row]) -> String {
    let mut text = "opened dispatcher at /sys/fs/bpf/4026531840_dispatcher\nBindings:\n".to_owned();
    let _ = writeln!(
        text,
        "{:>9}{:>44}{:>6}{:>20}",
        "protocol", "prefix", "port", "label"
    );
    for row in entries {
        let prefix = format!("{}/{}", row.address, row.length);
        let _ = writeln!(
            text,
            "{:>9}{prefix:>44}{:>6}{:>20}",
            word(row.protocol),
            row.port,
            row.label
        );
    }
    text
}

fn word(protocol: IpProtocol) -> &'static str {
    match protocol {
        IpProtocol::TCP => "tcp",
        _ => "udp",
    }
}
