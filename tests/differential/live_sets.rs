//! A live set that is changed by commands, in force in the kernel, against the reference meaning of a constant set that is
//! written with the same elements.
//!
//! After each change the policy's program is asked about addresses at the edges of the elements that are and were there. They are
//! drawn of few networks, so that they stand inside each other. In every other seed there are more lengths than a table takes, so
//! that some are in the trie; in all of them more come and go than a table has room for, so that it is written anew.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::bulk::Structure;
use sockc_compiler::event::{Header, Transport};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::target::Target;
use sockc_testing::Rng;

use crate::live_maps::{Live, decided, declarations};
use crate::{Subject, kernel};

/// Seeds, changes for each and packets after each change.
const SEEDS: u64 = 4;
const CHANGES: usize = 60;
const PACKETS: usize = 40;

const RULE: &str = "redirect tcp from @ten any:80 to sock a\n";

/// An element, and its first and last address.
fn drawn(rng: &mut Rng, many_lengths: bool) -> (String, [IpAddr; 2]) {
    if rng.one_in(3) {
        let length = match many_lengths {
            true => 112 + rng.below(17) as u32,
            false => [64, 120, 128][rng.below(3)],
        };
        let bits = 0x2001_0db8_u128 << 96 | (rng.below(2) as u128) << 64 | rng.below(20) as u128;
        let free = u128::MAX.checked_shr(length).unwrap_or(0);
        let [first, last] = [bits & !free, bits | free].map(Ipv6Addr::from_bits);
        return (format!("{first}/{length}"), [first.into(), last.into()]);
    }
    let length = match many_lengths {
        true => 20 + rng.below(13) as u32,
        false => [24, 30, 32][rng.below(3)],
    };
    let bits = 0x0a00_0000 | (rng.below(2) as u32) << 8 | rng.below(60) as u32;
    let free = u32::MAX.checked_shr(length).unwrap_or(0);
    let [first, last] = [bits & !free, bits | free].map(Ipv4Addr::from_bits);
    (format!("{first}/{length}"), [first.into(), last.into()])
}

/// What an address sends.
fn header(from: IpAddr) -> Header {
    let to: IpAddr = match from {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 9).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9).into(),
    };
    Header {
        from,
        to,
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: 4000,
            to: 80,
            flags: 2,
        },
        length: 60,
        ..Header::PLAIN
    }
}

/// Adds, removes or loads some elements by one command, in the kernel and in what should be there.
fn change(
    live: &Live,
    rng: &mut Rng,
    many_lengths: bool,
    there: &mut BTreeSet<String>,
    ends: &mut Vec<IpAddr>,
) {
    let expiry = ["never", "1h", "2h"][rng.below(3)];
    if there.len() > 12 || !there.is_empty() && rng.one_in(3) {
        let gone: Vec<String> = there.iter().filter(|_| rng.one_in(2)).cloned().collect();
        let words: Vec<&str> = gone.iter().map(String::as_str).collect();
        assert!(words.is_empty() || live.changes(&[&["set", "del", "ten"], &words[..]].concat()));
        there.retain(|element| !gone.contains(element));
        return;
    }
    let mut come = BTreeSet::new();
    for _ in 0..=rng.below(6) {
        let (element, both) = drawn(rng, many_lengths);
        ends.extend(both);
        come.insert(element);
    }
    if rng.one_in(10) {
        let path = live.folder.join("ten.txt");
        let lines: Vec<&str> = come.iter().map(String::as_str).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let path = path.to_str().unwrap();
        assert!(live.changes(&["set", "load", "ten", path, "--expires", expiry]));
        *there = come;
        return;
    }
    let words: Vec<&str> = come.iter().map(String::as_str).collect();
    let add = [&["set", "add", "ten", "--expires", expiry], &words[..]].concat();
    assert!(live.changes(&add), "{add:?}");
    there.extend(come);
}

#[test]
fn a_live_set_that_is_changed_one_by_one_means_what_is_in_it() {
    if !kernel::permitted() {
        return;
    }
    let mut steered = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let live = Live::new(&format!("live set ten max 20\n{RULE}"));
        let (mut there, mut ends) = (BTreeSet::new(), Vec::new());
        for _ in 0..CHANGES {
            change(&live, &mut rng, seed % 2 == 1, &mut there, &mut ends);
            let all: Vec<&str> = there.iter().map(String::as_str).collect();
            let set = format!(
                "{}set ten = {{ {} }}\n{RULE}",
                declarations(),
                all.join(", ")
            );
            let subject = (!all.is_empty())
                .then(|| Subject::compiled(set, Structure::Chosen, &Target::baseline()));
            for _ in 0..PACKETS {
                let header = header(ends[rng.below(ends.len())]);
                let wanted = subject
                    .as_ref()
                    .and_then(|subject| decided(subject, &header));
                let found = live.steers(&header);
                assert_eq!(
                    found,
                    wanted.as_deref(),
                    "seed {seed}: {header:?} {there:#?}"
                );
                steered += usize::from(found.is_some());
            }
        }
    }
    println!("{steered} lookups were steered");
    assert!(steered > 1000);
}
