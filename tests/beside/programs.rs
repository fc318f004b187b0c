//! Rule sets in the manner of what programs write, beside the policies that they become.
//!
//! Packets come from and go to the addresses that the rules name, the first and the last of each, and those next to them, with the ports that
//! they name. Interfaces that the router has not are called as one of its own, and rates let everything through, as what fits is a question of
//! time. Other tables than `filter` are left out of both.

#[path = "../verbs/iptables/sets.rs"]
#[allow(dead_code, reason = "what they hold to is asked elsewhere")]
mod sets;

use std::net::{IpAddr, Ipv4Addr};

use sockc_testing::Rng;

use crate::compared::{Given, Tally, compare_given};
use crate::iptables::{self, EMPTY, Iptables};
use crate::packets::Edges;
use crate::scene::{FRONTS, Places};
use crate::tool::Printed;

/// So many packets for each.
const PACKETS: usize = 600;
/// The packets that a rate lets through at once, and in a second: as many as iptables takes.
const MOST: &str = "10000";

/// The table `filter`, for the router of the scene.
fn table(text: &str) -> String {
    let start = text.find("*filter").unwrap();
    let mut own = vec!["lo".to_owned()];
    let lines = text[start..].lines().map(|line| {
        let mut words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        for at in 1..words.len() {
            let word = words[at].clone();
            words[at] = match words[at - 1].as_str() {
                "-i" | "-o" => named(&mut own, word),
                "--limit" | "--hashlimit-upto" => format!("{MOST}/sec"),
                "--limit-burst" | "--hashlimit-burst" => MOST.to_owned(),
                _ => word,
            };
        }
        words.join(" ") + "\n"
    });
    lines.collect()
}

/// The interface of the router that a name stands for: each its own, in the order in which they are named.
fn named(own: &mut Vec<String>, name: String) -> String {
    let at = own.iter().position(|one| *one == name).unwrap_or_else(|| {
        own.push(name.clone());
        own.len() - 1
    });
    match at {
        0 => name,
        _ => FRONTS[(at - 1) % FRONTS.len()].to_owned(),
    }
}

/// The addresses at the edges of what a text names: those that packets may come from and go to.
fn addresses(text: &str) -> Vec<IpAddr> {
    let plain = [
        "192.0.2.1",
        "192.0.2.9",
        "198.51.100.1",
        "203.0.113.8",
        "8.8.4.4",
    ];
    let mut all: Vec<Ipv4Addr> = plain.iter().map(|one| one.parse().unwrap()).collect();
    for word in text.split_whitespace() {
        let (address, length) = word.split_once('/').unwrap_or((word, "32"));
        let (Ok(address), Ok(length)) = (address.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
            continue;
        };
        let low = address.to_bits();
        let high = low | u32::MAX.checked_shr(length).unwrap_or(0);
        let near = [
            low.wrapping_sub(1),
            low,
            low.saturating_add(1),
            high,
            high.wrapping_add(1),
        ];
        all.extend(near.map(Ipv4Addr::from_bits));
    }
    all.retain(|one| {
        !one.is_loopback() && !one.is_multicast() && (1..240).contains(&one.octets()[0])
    });
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(IpAddr::V4).collect()
}

/// The ports that a text names, and those next to them.
fn ports(text: &str) -> Vec<u16> {
    let mut all = vec![0, 22, 80, 1024, 65_535];
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.windows(2) {
        if !pair[0].contains("port") {
            continue;
        }
        let numbers = pair[1]
            .split([',', ':'])
            .filter_map(|one| one.parse::<u16>().ok());
        all.extend(numbers.flat_map(|one| [one.saturating_sub(1), one, one.saturating_add(1)]));
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn an_imported_policy_does_with_packets_what_programs_had_iptables_do() {
    if !crate::root() || !iptables::is_there() {
        return;
    }
    let mut tally = Tally::default();
    for set in &sets::ALL {
        let text = table(set.text);
        let mut rng = Rng::new(7);
        let [_, v6] = Places::random(&mut rng);
        let edges = Edges {
            places: [Places::of(&addresses(&text), &mut rng), v6],
            ports: ports(&text),
        };
        let given = Given {
            edges,
            is_open: !text.contains("-A OUTPUT"),
            drawn: Printed(vec![text, EMPTY.to_owned()]),
        };
        let before = tally.packets;
        compare_given(&Iptables, set.by, given, (&mut rng, PACKETS), &mut tally);
        assert_eq!(tally.packets - before, PACKETS, "{}", set.by);
    }
    tally.check_packets();
}
