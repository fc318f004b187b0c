//! What no program can read does not get past a proxy, where the default drops.

use std::process::Command;

use sockc_runtime::lab::{PacketSocket, Space};

use super::{Line, proxies};

const SHORT: u16 = 5_000;

/// What says that a packet is one of those that are looked for, and that it is the one after them.
const STRANGE: u16 = 0x7777;
const LAST: u16 = 0x7778;

const TCP: u8 = 6;

fn policy(default: &str) -> String {
    format!(
        "socket proxy = tcp listen 127.0.0.1:7001, tcp listen [::1]:7001
         default in {default}
         web: redirect tcp to 10.7.0.0/16:80, [2001:db8:7::/48]:80 to sock proxy at tc
         rest: allow"
    )
}

/// The hardware address of an interface.
pub(super) fn hardware(space: &Space, name: &str) -> Vec<u8> {
    let show = || {
        let mut ip = Command::new("ip");
        ip.args(["-o", "link", "show", "dev", name])
            .output()
            .unwrap()
    };
    let text = String::from_utf8(space.run(show).unwrap().stdout).unwrap();
    let mut words = text.split_whitespace();
    words.find(|word| *word == "link/ether").unwrap();
    let bytes = words.next().unwrap().split(':');
    bytes
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// A SYN to a port of the server.
fn syn(port: u16) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..2].copy_from_slice(&40_000u16.to_be_bytes());
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = 2;
    segment
}

/// The checksum of words.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let words = words.map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let sum: u32 = words.sum();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

/// From the client to the server.
pub(super) fn ipv4(id: u16, part: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend([10, 1, 0, 2, 10, 7, 0, 2]);
    let length = u16::try_from(20 + payload.len()).unwrap();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&part.to_be_bytes());
    let sum = sum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// With so many headers of options, the number in the flow label.
fn ipv6(number: u16, options: usize, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    for left in (0..options).rev() {
        rest.extend([if left == 0 { 6 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
    }
    rest.extend(payload);
    let mut packet = vec![0x60, 0];
    packet.extend(number.to_be_bytes());
    packet.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    packet.extend([if options == 0 { 6 } else { 60 }, 64]);
    for address in ["2001:db8:1::2", "2001:db8:7::2"] {
        packet.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    packet.extend(rest);
    packet
}

/// Sends them from the client to the router; gives how many begin to arrive at the server: of a datagram in parts, the first one.
fn arrived(line: &Line, ethertype: u16, packets: &[Vec<u8>]) -> usize {
    let open = |space: &Space, name: &str| {
        let open = || PacketSocket::open(name, ethertype).unwrap();
        space.run(open).unwrap()
    };
    let sees = open(&line.server, "far");
    let sends = open(&line.client, "near");
    let mut head = hardware(&line.router, "near");
    head.extend(hardware(&line.client, "near"));
    for packet in packets {
        let frame = [&head[..], &ethertype.to_be_bytes(), packet].concat();
        sends.send(&frame).unwrap();
    }
    let mut found = 0;
    loop {
        let frame = sees.wait(SHORT).unwrap().expect("the last one arrives");
        let (number, later) = match ethertype {
            0x0800 => (&frame[18..20], frame[20] & 0x1f != 0 || frame[21] != 0),
            _ => (&frame[16..18], false),
        };
        match u16::from_be_bytes([number[0], number[1]]) {
            LAST => return found,
            STRANGE if !later => found += 1,
            _ => {}
        }
    }
}

#[test]
fn what_cannot_be_read_gets_past_a_default_that_allows_and_no_other() {
    let Some(line) = Line::new() else { return };
    let _proxies = proxies(&line);
    let web = syn(80);
    let four = [
        ipv4(STRANGE, 0x2000, TCP, &web[..8]),
        ipv4(STRANGE, 1, TCP, &web[8..]),
        ipv4(LAST, 0, TCP, &syn(81)),
    ];
    let six = [ipv6(STRANGE, 7, &web), ipv6(LAST, 0, &syn(81))];
    for (default, past) in [("allow", [1, 1]), ("drop", [0, 0])] {
        line.apply(&policy(default), true).unwrap();
        let found = [arrived(&line, 0x0800, &four), arrived(&line, 0x86dd, &six)];
        assert_eq!(found, past, "default in {default}");
    }
}
