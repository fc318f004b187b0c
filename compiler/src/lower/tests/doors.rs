//! Which connections of a group are taken in: those that its rules may concern, and no others.

use std::net::SocketAddr;

use super::headers::Nothing;
use super::*;
use crate::artifact::CounterKind;
use crate::decide::decide;
use crate::event::{Decider, Decision, Event, Verdict};
use crate::interpret::{Connection, SockOps, SocketModel};
use crate::lower::{is_of_cookie, key_of_cookie};
use crate::pipeline::{Counters, Options, compile_policy};
use crate::policy::{Direction, GroupId, Policy};
use crate::tests::dice::Dice;

/// What the sock_ops program of a group made of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Taken,
    LeftAlone,
}
use Made::{LeftAlone, Taken};

/// Runs the program of the group with this suffix for a connection that was made just now.
fn door(built: &Built, suffix: &str, local: SocketAddr, remote: SocketAddr) -> Made {
    let maps = after(built, suffix, local, remote);
    let peers = maps.named(&format!("peers{suffix}")).unwrap();
    let own = maps.named(&format!("own{suffix}")).unwrap();
    match (maps.sockets(peers), maps.sockets(own)) {
        (1, 1) => Taken,
        (0, 1) => LeftAlone,
        other => panic!("{other:?}"),
    }
}

/// The maps when that program has run.
fn after(built: &Built, suffix: &str, local: SocketAddr, remote: SocketAddr) -> Maps {
    let name = format!("sock_ops{suffix}");
    let program = built.artifact.programs.iter().find(|one| one.name == name);
    let mut maps = Maps::new(&built.artifact.maps);
    let socket = SocketModel::listener(1, local).connected(1, remote);
    let input = Input::SockOps(SockOps {
        op: 4,
        connection: Connection { local, remote },
        state: 1,
        new_state: 0,
        callbacks: 0,
        snd_nxt: 1,
        rcv_nxt: 2,
        socket: Some(socket),
    });
    assert_eq!(
        run(program.unwrap(), &mut maps, input, &mut Quiet)
            .unwrap()
            .r0,
        1
    );
    maps
}

fn between(built: &Built, local: &str, remote: &str) -> Made {
    door(built, "", local.parse().unwrap(), remote.parse().unwrap())
}

fn group(rules: &str) -> Built {
    self::built(&format!("group pods = cgroup \"/pods\"\n{rules}"))
}

#[test]
fn a_policy_about_one_network_leaves_every_other_connection_alone() {
    let built = group(
        "default send allow
         drop send tcp from group pods to 203.0.113.0/24, 2001:db8:2::/48",
    );
    for (local, remote, made) in [
        ("10.0.0.1:4000", "203.0.113.9:80", Taken),
        ("10.0.0.1:4000", "203.0.114.0:80", LeftAlone),
        ("10.0.0.1:80", "203.0.112.255:4000", LeftAlone),
        ("[::ffff:10.0.0.1]:4000", "[::ffff:203.0.113.9]:80", Taken),
        ("[::ffff:10.0.0.1]:4000", "[::ffff:10.0.0.2]:80", LeftAlone),
        ("[2001:db8::1]:4000", "[2001:db8:2::9]:80", Taken),
        ("[2001:db8:2::1]:4000", "[2001:db8:3::9]:80", LeftAlone),
    ] {
        assert_eq!(between(&built, local, remote), made, "{local} {remote}");
    }
}

#[test]
fn what_refuses_logs_or_counts_concerns() {
    let at_80 = |text: &str| between(&group(text), "10.0.0.1:4000", "10.0.0.2:80");
    for rule in [
        "drop send tcp to port 80",
        "reject send tcp to port 80",
        "count send tcp to port 80",
        "allow send tcp to port 80",
        "allow send tcp from 10.0.0.0/24:4000 log",
        "audit drop send tcp to 10.0.0.2",
        "shortcut tcp within group pods",
        "count send tcp above 1 packets/second",
        "live set banned max 10\ndrop send tcp to @banned",
        "set far = { 10.0.0.2, 10.0.0.9 }\ndrop send tcp to @far",
        "default send drop",
        "default send allow log",
    ] {
        let default = if rule.starts_with("default") {
            ""
        } else {
            "default send allow\n"
        };
        assert_eq!(at_80(&format!("{default}{rule}")), Taken, "{rule}");
    }
    for rule in [
        "drop send tcp to port 81",
        "drop send tcp from port 80",
        "count send tcp from 10.0.1.0/24",
        "set far = { 10.0.0.3, 10.0.0.9 }\ndrop send tcp to @far",
        "shortcut tcp within group pods from 10.0.1.0/24",
    ] {
        assert_eq!(
            at_80(&format!("default send allow\n{rule}")),
            LeftAlone,
            "{rule}"
        );
    }
}

/// `from` is the peer there. Whether its writes are seen, too, is another question.
#[test]
fn what_arrives_makes_readers_by_the_peers_address() {
    let rules = "default receive allow
        drop receive tcp from 203.0.113.0/24, [2001:db8:2::/48]:443 to group pods
        count receive tcp to 10.0.0.7:80\n";
    let alone = group(rules);
    let both = group(&format!(
        "default send allow\ndrop send tcp from group pods to 203.0.113.0/25\n{rules}"
    ));
    for (local, remote, reads, writes) in [
        ("10.0.0.1:4000", "203.0.113.9:80", true, Taken),
        ("10.0.0.1:4000", "203.0.113.200:80", true, LeftAlone),
        ("203.0.113.9:80", "10.0.0.1:4000", false, LeftAlone),
        ("10.0.0.7:80", "10.0.0.9:4000", true, LeftAlone),
        ("10.0.0.9:4000", "10.0.0.7:80", false, LeftAlone),
        (
            "[::ffff:10.0.0.1]:7",
            "[::ffff:203.0.113.9]:80",
            true,
            Taken,
        ),
        ("[2001:db8::1]:4000", "[2001:db8:2::9]:443", true, LeftAlone),
        ("[2001:db8::1]:443", "[2001:db8:2::9]:80", false, LeftAlone),
    ] {
        let [local, remote]: [SocketAddr; 2] = [local, remote].map(|one| one.parse().unwrap());
        for (built, writes) in [(&alone, LeftAlone), (&both, writes)] {
            let maps = after(built, "", local, remote);
            let readers = maps.named("readers").unwrap();
            assert_eq!(maps.sockets(readers) == 1, reads, "{local} {remote}");
            assert_eq!(door(built, "", local, remote), writes, "{local} {remote}");
        }
    }
}

/// By the key that a peer's program would look for, a shortcut would lead past the rules.
#[test]
fn no_shortcut_finds_a_reader() {
    let built = group(
        "default send allow\ndefault receive allow
         shortcut tcp within group pods
         drop receive tcp from 203.0.113.0/24 to group pods",
    );
    let reader: SocketAddr = "10.0.0.1:4000".parse().unwrap();
    for (remote, found) in [("203.0.113.9:80", false), ("203.0.114.9:80", true)] {
        let remote: SocketAddr = remote.parse().unwrap();
        let maps = after(&built, "", reader, remote);
        let peers = maps.named("peers").unwrap();
        assert_eq!(maps.sockets(peers), 1);
        assert_eq!(maps.socket(peers, &key(reader, remote)).is_some(), found);
    }
}

/// The key of a connection's local side, with the sequence numbers that [`after`] gives.
fn key(local: SocketAddr, remote: SocketAddr) -> [u8; 48] {
    let mut key = [0; 48];
    for (at, end) in [(0, local), (16, remote)] {
        if let std::net::IpAddr::V4(address) = end.ip() {
            key[at..at + 4].copy_from_slice(&address.octets());
        }
    }
    for (at, number) in [
        (32, u32::from(local.port())),
        (36, u32::from(remote.port())),
        (40, 1),
        (44, 2),
    ] {
        key[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    key
}

/// The other end's program puts data into this end's queue, so both must be there.
#[test]
fn a_shortcut_concerns_the_end_that_only_receives() {
    let built = group(
        "default send allow
         shortcut tcp within group pods to 10.0.0.2:80",
    );
    assert_eq!(between(&built, "10.0.0.1:4000", "10.0.0.2:80"), Taken);
    assert_eq!(between(&built, "10.0.0.2:80", "10.0.0.1:4000"), Taken);
    assert_eq!(between(&built, "10.0.0.2:81", "10.0.0.1:4000"), LeftAlone);
    assert_eq!(between(&built, "10.0.0.1:80", "10.0.0.2:4000"), LeftAlone);
}

/// Whoever is named first: what either end writes is put into the other's queue.
#[test]
fn a_shortcut_between_groups_concerns_both_and_no_third() {
    let rules = |between: &str| {
        let groups =
            ["front", "back", "far"].map(|name| format!("group {name} = cgroup \"/{name}\"\n"));
        let built = self::built(&format!(
            "{}default send allow\ndrop send tcp from group far to 192.0.2.0/24\n{between}",
            groups.concat()
        ));
        ["_0", "_1", "_2"].map(|suffix| {
            let [local, remote] = ["10.0.0.1:4000", "10.0.0.2:80"].map(|at| at.parse().unwrap());
            door(&built, suffix, local, remote)
        })
    };
    let both = [Taken, Taken, LeftAlone];
    assert_eq!(rules("shortcut tcp from group front to group back"), both);
    assert_eq!(rules("shortcut tcp from group back to group front"), both);
}

/// An `allow` says how much it allowed; where nobody counts it has nothing to say.
#[test]
fn without_counters_an_allow_concerns_nothing() {
    let mut sources = SourceMap::default();
    let text = "group pods = cgroup \"/pods\"\ndefault send allow\nallow send tcp to port 80";
    let id = sources.add("t.sk", text);
    let target = Target::baseline();
    let options = Options {
        counters: Counters::LeftOut,
        ..Options::from(&target)
    };
    let mut files = crate::files::Texts::default();
    let built = compile(&mut sources, id, "t", options, &mut files)
        .built
        .unwrap();
    assert_eq!(between(&built, "10.0.0.1:4000", "10.0.0.2:80"), LeftAlone);
}

/// The default that only allows does not count, and says so.
#[test]
fn a_default_that_allows_has_no_counter() {
    for (default, counted) in [("allow", false), ("drop", true), ("allow log", true)] {
        let built = group(&format!(
            "default send {default}\ndrop send tcp to 10.0.0.1"
        ));
        let counters = &built.artifact.manifest.counters;
        let found = counters
            .iter()
            .find(|one| one.location.text.starts_with("default"));
        assert_eq!(found.unwrap().counted, counted, "{default}");
    }
}

/// One that finds no room in the group's map is counted, and stays with plain TCP.
#[test]
fn a_socket_without_room_is_counted_as_escaped() {
    let mut built = group("default send allow\ndrop send tcp from group pods to port 80");
    for map in built.artifact.maps.values_mut() {
        if map.name == "peers" {
            map.max_entries = 1;
        }
    }
    let mut maps = Maps::new(&built.artifact.maps);
    let counters = &built.artifact.manifest.counters;
    let escaped = CounterKind::Escaped;
    let slot = counters.iter().position(|one| one.kind == escaped);
    let slot = u32::try_from(slot.unwrap()).unwrap();
    let mut programs = built.artifact.programs.iter();
    let program = programs.find(|one| one.name == "sock_ops").unwrap();
    let counts = [4000, 4001, 4002].map(|port| {
        let [local, remote] = [port, 80].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let input = Input::SockOps(SockOps {
            op: 4,
            connection: Connection { local, remote },
            state: 1,
            new_state: 0,
            callbacks: 0,
            snd_nxt: u32::from(port),
            rcv_nxt: 2,
            socket: Some(SocketModel::listener(1, local).connected(1, remote)),
        });
        run(program, &mut maps, input, &mut Quiet).unwrap();
        maps.counted(slot).unwrap()[0]
    });
    assert_eq!(counts, [0, 1, 2]);
}

/// Its key leads to the first one, which would get what it writes.
#[test]
fn a_second_socket_with_the_same_key_is_counted_as_escaped() {
    let built = group("default send allow\ndrop send tcp from group pods to port 80");
    let mut maps = Maps::new(&built.artifact.maps);
    let [local, remote] = ["10.0.0.1:4000", "10.0.0.2:80"].map(|at| at.parse().unwrap());
    let mut programs = built.artifact.programs.iter();
    let program = programs.find(|one| one.name == "sock_ops").unwrap();
    for id in [1, 2] {
        let input = Input::SockOps(SockOps {
            op: 4,
            connection: Connection { local, remote },
            state: 1,
            new_state: 0,
            callbacks: 0,
            snd_nxt: 1,
            rcv_nxt: 2,
            socket: Some(SocketModel::listener(id, local).connected(1, remote)),
        });
        run(program, &mut maps, input, &mut Quiet).unwrap();
    }
    let counters = &built.artifact.manifest.counters;
    let slot = counters
        .iter()
        .position(|one| one.kind == CounterKind::Escaped);
    let slot = u32::try_from(slot.unwrap()).unwrap();
    let counted = maps.counted(slot).unwrap()[0];
    assert_eq!(
        (maps.sockets(maps.named("peers").unwrap()), counted),
        (1, 1)
    );
}

/// A socket that was connected before gets its addresses and ports where programs write them, and is nobody's peer.
#[test]
fn a_key_of_a_cookie_has_the_same_ends_and_is_no_other_key() {
    let built = group("default send allow\ndrop send tcp from group pods to port 80");
    for (local, remote) in [
        ("10.0.0.1:4000", "10.0.0.2:80"),
        ("[::ffff:10.0.0.1]:4000", "[::ffff:10.0.0.2]:80"),
        ("[2001:db8::1]:4000", "[2001:db8:2::9]:80"),
    ] {
        let [local, remote] = [local, remote].map(|at| at.parse::<SocketAddr>().unwrap());
        let maps = after(&built, "", local, remote);
        let peers = maps.named("peers").unwrap();
        // The sequence numbers of [`after`], read as a cookie.
        let key = key_of_cookie(local, remote, 1 | 2 << 32);
        assert_eq!(maps.socket(peers, &key), None, "it is another one");
        let mut same = key;
        same[34] = 0;
        assert!(maps.socket(peers, &same).is_some(), "but for one byte");
        // Where a peer's mirrored key has nothing, and that of a reader 1.
        assert!(![0, 1].contains(&key[34]), "{key:?}");
        assert!(is_of_cookie(&key) && !is_of_cookie(&same));
    }
}

/// For random policies: taken in is whatever the reference says is more than let go by the default.
#[test]
fn whom_the_rules_concern_is_what_the_list_says() {
    let mut dice = Dice::new(11);
    let mut seen = [0; 2];
    for round in 0..60 {
        let policy = dice.sending(1 + round % 8);
        let built = compiled(policy.clone());
        for (number, id) in policy.groups.keys().enumerate() {
            for _ in 0..20 {
                let header = dice.stream();
                let Some((local, remote)) = ends(&header) else {
                    continue;
                };
                let wanted =
                    concerns(&policy, id, &header) || shortcut(&policy, id, &mirrored(&header));
                let wanted = if wanted { Taken } else { LeftAlone };
                seen[wanted as usize] += 1;
                let made = door(&built, &format!("_{number}"), local, remote);
                assert_eq!(made, wanted, "{policy:#?}\n{header:?}");
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

fn compiled(policy: Policy) -> Built {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", "");
    let outcome = compile_policy(policy, &sources, id, &Target::baseline());
    assert!(!outcome.failed(), "{outcome:?}");
    outcome.built.unwrap()
}

fn ends(header: &Header) -> Option<(SocketAddr, SocketAddr)> {
    let Transport::Tcp { from, to, .. } = header.transport else {
        return None;
    };
    Some(((header.from, from).into(), (header.to, to).into()))
}

fn mirrored(header: &Header) -> Header {
    let mut mirrored = header.clone();
    std::mem::swap(&mut mirrored.from, &mut mirrored.to);
    if let Transport::Tcp { from, to, .. } = &mut mirrored.transport {
        std::mem::swap(from, to);
    }
    mirrored
}

fn decided(policy: &Policy, group: GroupId, header: &Header) -> Decision {
    let event = Event::Process {
        direction: Direction::Send,
        group,
        header: header.clone(),
    };
    decide(policy, &event, &Nothing)
}

fn concerns(policy: &Policy, group: GroupId, header: &Header) -> bool {
    let decision = decided(policy, group, header);
    let plain = decision.verdict == Verdict::Allow
        && !matches!(decision.decider, Decider::Rule(_))
        && decision.counted.is_empty();
    !plain
}

/// Whether anybody's write takes a shortcut to the group.
fn shortcut(policy: &Policy, group: GroupId, header: &Header) -> bool {
    let mut writers = policy.groups.keys();
    writers.any(|writer| decided(policy, writer, header).verdict == Verdict::Shortcut(group))
}
