//! What programs find, by the rule that is written in the language: the most specific entry wins.

use sockc_compiler::artifact::{MANIFEST_VERSION, Made, Slot, SlotOrigin};
use sockc_compiler::protocol::IpProtocol;

use super::*;

const TCP: Option<IpProtocol> = Some(IpProtocol::TCP);
const UDP: Option<IpProtocol> = Some(IpProtocol::UDP);

/// Sockets `a` and `b` of both protocols, and `t` of TCP alone.
fn manifest() -> Manifest {
    let socket = |name: &str, protocols: &[u8]| SocketSlots {
        name: name.to_owned(),
        drop_if_absent: false,
        origin: SlotOrigin::Registered,
        owner: None,
        members: 1,
        spread_by_source: false,
        pinned: false,
        slots: protocols
            .iter()
            .map(|protocol| Slot {
                index: 0,
                protocol: IpProtocol(*protocol),
                address: "0.0.0.0".parse().unwrap(),
                port: 0,
            })
            .collect(),
    };
    Manifest {
        version: MANIFEST_VERSION,
        policy: "p".to_owned(),
        interfaces: Vec::new(),
        programs: Vec::new(),
        sockets: vec![
            socket("a", &[6, 17]),
            socket("b", &[17, 6]),
            socket("t", &[6]),
        ],
        ends: Vec::new(),
        intercepts: None,
        idle: Vec::new(),
        groups: Vec::new(),
        pairs: Vec::new(),
        counters: Vec::new(),
        classes: Vec::new(),
        sets: Vec::new(),
        maps: Vec::new(),
        out_interfaces: Vec::new(),
        namespaces: Vec::new(),
        sources: Vec::new(),
        target: "test".to_owned(),
        made: Made::default(),
    }
}

fn entry(protocol: Option<IpProtocol>, prefix: &str, ports: Range, socket: &str) -> LiveEntryPlan {
    let (address, length) = prefix.split_once('/').unwrap();
    LiveEntryPlan {
        prefix: (address.parse().unwrap(), length.parse().unwrap()),
        ports,
        protocol,
        socket: socket.to_owned(),
    }
}

fn made(entries: &[LiveEntryPlan]) -> Result<Contents, Error> {
    Contents::new("m", entries, 0, &manifest())
}

/// What a program finds: with the class of the port and with that of every port, the longer prefix.
fn found(contents: &Contents, protocol: IpProtocol, address: &str, port: u16) -> Option<u32> {
    let address = address.parse().unwrap();
    let longest = |class: u32| {
        let lengths = (0..=Prefix::host(address).length()).rev();
        let mut prefixes = lengths.filter_map(|length| Prefix::truncate(address, length));
        prefixes.find_map(|prefix| {
            let key = Key {
                class,
                protocol,
                prefix,
            };
            contents
                .sockets
                .get(&key)
                .map(|socket| (prefix.length(), *socket))
        })
    };
    let by_port = longest(contents.ports.of[usize::from(port)]);
    let by_all = longest(EVERY_PORT);
    match (by_port, by_all) {
        (Some(one), Some(other)) if other.0 > one.0 => Some(other.1),
        (one, other) => one.or(other).map(|(_, socket)| socket),
    }
}

/// What the language says, from the entries themselves.
fn meant(entries: &[LiveEntryPlan], protocol: IpProtocol, address: &str, port: u16) -> Option<u32> {
    let manifest = manifest();
    let host = Prefix::host(address.parse().unwrap());
    let matching = entries.iter().filter_map(|plan| {
        let entry = Entry::read("m", plan, &manifest).unwrap();
        let hit = entry.prefix.covers(host)
            && (plan.ports.0..=plan.ports.1).contains(&port)
            && entry.protocols.contains(&protocol);
        let width = std::cmp::Reverse(plan.ports.1 - plan.ports.0);
        let rank = (entry.prefix.length(), width, plan.protocol.is_some());
        hit.then_some((rank, entry.socket))
    });
    matching.max().map(|(_, socket)| socket)
}

#[test]
fn the_most_specific_entry_wins() {
    let mut entries = [
        entry(None, "10.0.0.0/8", ALL, "a"),
        entry(None, "10.0.0.0/8", (53, 53), "b"),
        entry(None, "10.2.0.0/16", (1000, 1002), "b"),
        entry(TCP, "10.0.0.0/8", ALL, "t"),
        entry(None, "10.1.0.0/16", (0, 1000), "a"),
        entry(None, "10.1.0.0/16", (50, 60), "b"),
        entry(TCP, "10.1.0.0/16", (50, 60), "t"),
        entry(UDP, "10.1.0.0/16", (53, 53), "a"),
        entry(TCP, "10.1.2.3/32", ALL, "a"),
        entry(None, "10.1.2.3/32", (65535, 65535), "t"),
        entry(None, "::/0", (53, 53), "b"),
    ];
    // Whatever the order in which they were added.
    for _ in 0..2 {
        entries.reverse();
        let contents = made(&entries).unwrap();
        for address in [
            "10.9.9.9", "10.1.0.1", "10.2.0.1", "10.1.2.3", "11.0.0.1", "::1",
        ] {
            for port in [0, 49, 50, 52, 53, 54, 60, 61, 1000, 1001, 65535] {
                for protocol in IpProtocol::WITH_SOCKETS {
                    assert_eq!(
                        found(&contents, protocol, address, port),
                        meant(&entries, protocol, address, port),
                        "{protocol} {address}:{port}"
                    );
                }
            }
        }
    }
}

#[test]
fn entries_of_which_neither_is_more_specific_are_refused() {
    let refused =
        |one: LiveEntryPlan, other: LiveEntryPlan| made(&[one, other]).unwrap_err().to_string();
    let tie = refused(
        entry(None, "10.0.0.0/8", ALL, "a"),
        entry(None, "10.0.0.0/8", ALL, "b"),
    );
    assert!(tie.contains("-> sock a` is for the same packets"), "{tie}");
    let overlap = refused(
        entry(TCP, "10.0.0.0/8", (10, 20), "a"),
        entry(None, "10.0.0.0/8", (15, 25), "b"),
    );
    assert!(
        overlap.contains("neither range is inside the other"),
        "{overlap}"
    );
    // Other prefixes and other protocols are apart.
    made(&[
        entry(TCP, "10.0.0.0/8", (10, 20), "a"),
        entry(UDP, "10.0.0.0/8", (15, 25), "b"),
        entry(None, "10.0.0.0/9", (5, 15), "b"),
    ])
    .unwrap();
}

#[test]
fn an_unknown_socket_or_protocol_is_told() {
    let error = made(&[entry(None, "10.0.0.0/8", ALL, "c")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("no socket \"c\""), "{error}");
    let error = made(&[entry(UDP, "10.0.0.0/8", ALL, "t")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no udp socket"), "{error}");
    let error = made(&[entry(None, "10.0.0.1/8", ALL, "t")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("bits set"), "{error}");
}

#[test]
fn entries_are_shown_as_they_are_written() {
    for (entry, shown) in [
        (
            entry(TCP, "10.0.0.0/8", ALL, "a"),
            "tcp 10.0.0.0/8:* -> sock a",
        ),
        (
            entry(None, "10.0.0.1/32", (53, 53), "a"),
            "10.0.0.1:53 -> sock a",
        ),
        (
            entry(UDP, "2001:db8::/32", (1, 2), "b"),
            "udp [2001:db8::/32]:1-2 -> sock b",
        ),
    ] {
        assert_eq!(text(&entry), shown);
    }
}
