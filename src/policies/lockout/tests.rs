//! What is said of a connection, by policies that let it in, cut it, or say neither.

use std::net::SocketAddr;

use sockc_compiler::pipeline;
use sockc_compiler::policy::{AddressSet, Policy};
use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;
use sockc_runtime::{Arrival, Ends, Listener, Reached};

use super::judge::{Asked, Found, Part, judge};
use super::known::{Known, Members};
use super::{Looked, words};

mod mended;

const CLIENT: &str = "192.0.2.7:51022";
const SERVER: &str = "192.0.2.1:22";

fn policy(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("edge.sk", text);
    let mut files = sockc_compiler::files::Texts::default();
    let outcome = pipeline::resolve(&mut sources, id, "edge", &mut files);
    let wrong = outcome.diagnostics.iter();
    let wrong: Vec<_> = wrong
        .filter(|one| one.severity == Severity::Error)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{text}");
    outcome.policy.unwrap()
}

fn ends(client: &str, server: &str) -> Ends {
    Ends {
        local: server.parse().unwrap(),
        remote: client.parse().unwrap(),
        zone: None,
    }
}

fn way(interface: &str, ends: &Ends) -> Arrival {
    Arrival {
        index: 0,
        interface: interface.to_owned(),
        above: None,
        vlan: None,
        is_ethernet: true,
        is_tunnel: false,
        neighbour: ends.remote.ip(),
        frame: [None; 2],
    }
}

fn reached(ends: &Ends) -> Reached {
    let any: SocketAddr = match ends.local.is_ipv4() {
        true => "0.0.0.0:22".parse().unwrap(),
        false => "[::]:22".parse().unwrap(),
    };
    Reached {
        connected: true,
        local: true,
        from_here: false,
        listeners: vec![listener(any)],
        ways: vec![way("eth0", ends)],
        routed: true,
        present: Vec::new(),
        renamed: Vec::new(),
    }
}

fn listener(address: SocketAddr) -> Listener {
    Listener {
        address,
        bound: false,
    }
}

fn at(address: &str) -> Listener {
    listener(address.parse().unwrap())
}

/// One that hands what comes by it to the way at a place.
fn port(interface: &str, ends: &Ends, above: usize) -> Arrival {
    Arrival {
        above: Some(above),
        ..way(interface, ends)
    }
}

fn asked(text: &str, (ends, reached, known): (&Ends, &Reached, &Known)) -> Found {
    let policy = policy(text);
    judge(&Asked {
        policy: &policy,
        ends,
        reached,
        known,
    })
}

fn of(text: &str) -> Found {
    let ends = ends(CLIENT, SERVER);
    asked(text, (&ends, &reached(&ends), &Known::default()))
}

fn parts(found: &Found) -> Vec<Part> {
    found.cuts.iter().map(|cut| cut.part).collect()
}

const DROP: &str = "interfaces eth0\ndefault in drop\n";

#[test]
fn what_lets_both_in_is_not_spoken_of() {
    for rules in [
        "interfaces eth0\ndefault in allow\n",
        "interfaces eth1\ndefault in drop\n",
        "interfaces eth0\ndefault in drop\nallow tcp to port ssh\n",
        "interfaces eth0\ndefault in drop\nset admins = { 192.0.2.0/28 }\nallow tcp from @admins to port 22\n",
        "interfaces eth0\ndefault in drop\nallow if socket established\nallow tcp to port 22 if socket listening\n",
        "interfaces eth0\ndefault in drop\nallow tcp to 192.0.2.1:22\n",
        "default out drop\ninterfaces eth0\nallow out tcp from port ssh\n",
    ] {
        assert_eq!(of(rules), Found::default(), "{rules}");
    }
}

/// The frames of a connection are known, and told where a rule asks for them.
#[test]
fn a_neighbour_is_known_by_its_hardware() {
    let ends = ends(CLIENT, SERVER);
    let mut reached = reached(&ends);
    reached.ways[0].frame = [Some(0x02_42_ac_11_00_07), Some(0x02_42_ac_11_00_01)];
    let known = Known::default();
    let found = |text: &str| asked(text, (&ends, &reached, &known));
    let drops = "interfaces eth0\ndefault in allow\ndrop if ether from 02:42:ac:11:00:07\n";
    let cut = found(drops);
    assert_eq!(parts(&cut), [Part::New, Part::Established]);
    let words = "ether from 02:42:ac:11:00:07, ether to 02:42:ac:11:00:01";
    assert!(cut.cuts[0].packet.ends_with(words), "{:?}", cut.cuts[0]);
    assert_eq!(found(&drops.replace(":07", ":08")), Found::default());
    assert_eq!(
        found(&drops.replace("from 02:42:ac:11:00:07", "to 02:42:ac:11:00:09")),
        Found::default()
    );
    assert!(!found(DROP).cuts[0].packet.contains("ether"));
}

/// Who sends the frames is not known, or is a router that may send by another card.
#[test]
fn what_is_not_known_of_frames_is_a_doubt() {
    let ends = ends(CLIENT, SERVER);
    let mut reached = reached(&ends);
    let known = Known::default();
    let drops = "interfaces eth0\ndefault in allow\ndrop if ether from 02:42:ac:11:00:07\n";
    let allows = "interfaces eth0\ndefault in drop\nallow if ether from 02:42:ac:11:00:07\n";
    let found = |reached: &Reached, text: &str| asked(text, (&ends, reached, &known));
    let told = |found: &Found, wanted: &str| {
        assert_eq!(found.cuts, [], "{found:?}");
        assert!(
            found.doubts.iter().all(|one| one.contains(wanted)),
            "{found:?}"
        );
        assert_eq!(found.doubts.len(), 2, "{found:?}");
    };
    told(
        &found(&reached, drops),
        "ether from 02:42:ac:11:00:07` would be dropped",
    );
    told(
        &found(&reached, allows),
        "ether from 02:42:ac:11:00:07` would not",
    );
    let to = drops.replace("from 02", "to 02");
    told(
        &found(&reached, &to),
        "ether to 02:42:ac:11:00:07` would be dropped",
    );
    reached.ways[0].frame = [Some(0x02_42_ac_11_00_08), Some(0x02_42_ac_11_00_01)];
    assert_eq!(found(&reached, drops), Found::default());
    reached.ways[0].neighbour = "192.0.2.254".parse().unwrap();
    told(&found(&reached, drops), "ether from 02:42:ac:11:00:07");
    assert!(!found(&reached, allows).cuts.is_empty());
    let many: String = (0..65)
        .map(|last| format!("drop if ether from 02:42:ac:11:01:{last:02x}\n"))
        .collect();
    reached.ways[0].frame[0] = None;
    let many = found(
        &reached,
        &format!("interfaces eth0\ndefault in allow\n{many}"),
    );
    let said = many
        .doubts
        .iter()
        .any(|one| one.contains("not all of them"));
    assert!(said, "{many:?}");
}

#[test]
fn a_default_that_drops_cuts_both() {
    let found = of(DROP);
    assert_eq!(parts(&found), [Part::New, Part::Established]);
    let cut = &found.cuts[0];
    assert_eq!(cut.by, "`default in drop` (edge.sk:2)");
    assert_eq!((cut.fate.as_str(), cut.ahead), ("dropped", false));
    assert_eq!(cut.remedy, "allow tcp from 192.0.2.7 to port ssh");
    assert_eq!(
        cut.packet,
        "tcp from 192.0.2.7:32768 to 192.0.2.1:22 with socket listening, length 60"
    );
}

#[test]
fn only_one_of_both_may_be_cut() {
    let found = of(&format!("{DROP}allow if socket established\n"));
    assert_eq!(parts(&found), [Part::New]);
    let found = of(&format!(
        "{DROP}allow tcp to port ssh if socket listening\nallow tcp to port ssh if tcp flags syn no ack\nallow tcp from port 1024-50000 to port ssh\n"
    ));
    assert_eq!(parts(&found), [Part::New, Part::Established]);
    let found = of("interfaces eth0\ndefault in allow\ndrop tcp from port 51022\n");
    assert_eq!(parts(&found), [Part::Established]);
    assert!(found.cuts[0].ahead);
    // The port of the connection that is there is of no use to a new one.
    let found = of(&format!(
        "{DROP}allow tcp from 192.0.2.7:51022 to port ssh\n"
    ));
    assert_eq!(parts(&found), [Part::New]);
    let found = of(&format!(
        "{DROP}allow tcp from port 0-40000 to port ssh\nallow tcp from port 51022\n"
    ));
    assert_eq!(parts(&found), [Part::New]);
}

#[test]
fn answers_have_to_leave() {
    let found = of("interfaces eth0\ndefault out drop\nallow out if socket established\n");
    assert_eq!(parts(&found), [Part::New]);
    let remedy = "allow out tcp from port ssh to 192.0.2.7";
    assert_eq!(found.cuts[0].remedy, remedy);
    let better = format!("interfaces eth0\ndefault out drop\n{remedy}\n");
    assert_eq!(of(&better), Found::default());
}

#[test]
fn a_long_packet_is_one_of_it_too() {
    let found = of("interfaces eth0\ndefault in allow\ndrop tcp if length > 1400\n");
    assert_eq!(parts(&found), [Part::Established]);
}

#[test]
fn a_remedy_lets_in_what_it_is_for() {
    let sets = "set admins = { 192.0.2.0/28 }\nset banned = { 192.0.2.7 }\n";
    for (rules, remedy) in [
        ("", "allow tcp from 192.0.2.7 to port ssh"),
        (
            "drop from @banned\nallow tcp from @admins to port https\n",
            "allow tcp from @admins to port ssh",
        ),
        (
            "drop from @admins\n",
            "allow tcp from 192.0.2.7 to port ssh",
        ),
    ] {
        let text = format!("{DROP}{sets}{rules}");
        let found = of(&text);
        assert_eq!(found.cuts[0].remedy, remedy, "{rules}");
        let better = format!("{DROP}{sets}{remedy}\n{rules}");
        assert_eq!(parts(&of(&better)), [], "{better}");
    }
}

#[test]
fn where_packets_come_is_where_they_are_asked_about() {
    let ends = ends(CLIENT, SERVER);
    let zones = "zone lan = eth1\nzone wan = eth0\ninterfaces eth0, eth1\ndefault in drop\nallow tcp to port ssh on zone lan\n";
    let mut reached = reached(&ends);
    let known = Known::default();
    assert_eq!(parts(&asked(zones, (&ends, &reached, &known))).len(), 2);
    reached.ways = vec![way("eth1", &ends)];
    assert_eq!(asked(zones, (&ends, &reached, &known)), Found::default());
    // Ports of a bridge see what comes to it.
    reached.ways = vec![way("br0", &ends), port("eth0", &ends, 0)];
    let found = asked(zones, (&ends, &reached, &known));
    assert_eq!(found.cuts[0].interface, "eth0");
    // With no route it may be any.
    reached.ways = vec![way("lo", &ends), way("eth1", &ends), way("eth0", &ends)];
    reached.routed = false;
    let found = asked(zones, (&ends, &reached, &known));
    assert_eq!(
        (parts(&found).len(), found.doubts.len()),
        (2, 1),
        "{found:?}"
    );
    // A tag is seen below the interface that takes it off.
    let tagged = "interfaces eth0\ndefault in allow\ndrop if vlan 12\n";
    reached.routed = true;
    reached.ways = vec![
        way("eth0.12", &ends),
        Arrival {
            vlan: Some(12),
            ..port("eth0", &ends, 0)
        },
    ];
    assert_eq!(parts(&asked(tagged, (&ends, &reached, &known))).len(), 2);
}

#[test]
fn lookups_meet_what_comes_by_other_interfaces() {
    let text = "interfaces eth1\nsocket proxy = tcp listen 192.0.2.1:2222\nredirect tcp to port ssh to sock proxy\n";
    let ends = ends(CLIENT, SERVER);
    let mut reached = reached(&ends);
    let known = Known::default();
    // Nobody is there: it would be rejected.
    let found = asked(text, (&ends, &reached, &known));
    assert_eq!(parts(&found), [Part::New]);
    assert_eq!(found.cuts[0].fate, "rejected");
    reached.listeners.push(at("192.0.2.1:2222"));
    let found = asked(text, (&ends, &reached, &known));
    assert_eq!(
        found.cuts[0].fate,
        "handed to `sock proxy`, which does not listen at 192.0.2.1:22"
    );
    // The one that listens there is the one.
    let same = text.replace("192.0.2.1:2222", "0.0.0.0:22");
    assert_eq!(asked(&same, (&ends, &reached, &known)), Found::default());
    let handed = text.replace("tcp listen 192.0.2.1:2222", "registered");
    let found = asked(&handed, (&ends, &reached, &known));
    assert_eq!((found.cuts.len(), found.doubts.len()), (0, 1), "{found:?}");
}

#[test]
fn what_is_not_known_is_said_and_refuses_nothing() {
    for (rules, part) in [
        (
            "drop tcp to port ssh above 3 packets/second\n",
            "rate exceeded",
        ),
        ("drop if dscp ef\n", "dscp ef"),
        ("drop if ttl < 45\n", "ttl 40"),
        ("drop if mark 7\n", "mark 7"),
    ] {
        let found = of(&format!("interfaces eth0\ndefault in allow\n{rules}"));
        assert_eq!(found.cuts, [], "{rules}");
        assert!(
            found.doubts.iter().any(|one| one.contains(part)),
            "{rules} {found:?}"
        );
    }
}

#[test]
fn live_sets_are_what_the_kernel_says() {
    let text = format!("{DROP}live set admins max 10\nallow tcp from @admins to port ssh\n");
    let ends = ends(CLIENT, SERVER);
    let reached = reached(&ends);
    let set = policy(&text).sets.keys().next().unwrap();
    let own = || AddressSet::of([ends.remote.ip()]);
    let known = |members| Known {
        sets: vec![(set, members)],
        ..Known::default()
    };
    let found = |members| asked(&text, (&ends, &reached, &known(members)));
    // Where it begins with nothing, nothing is let in.
    assert_eq!(of(&text).cuts.len(), 2);
    let stays = found(Members::Read {
        now: own(),
        stay: own(),
    });
    assert_eq!(stays, Found::default());
    let leaves = found(Members::Read {
        now: own(),
        stay: AddressSet::default(),
    });
    assert_eq!(
        (leaves.cuts.len(), leaves.doubts.len()),
        (0, 2),
        "{leaves:?}"
    );
    let unread = found(Members::Unread);
    assert_eq!(
        (unread.cuts.len(), unread.doubts.len()),
        (0, 2),
        "{unread:?}"
    );
    // It is a cut where it is one whatever is in the set.
    let either = format!("{DROP}live set admins max 10\ncount tcp from @admins to port ssh\n");
    let found = asked(&either, (&ends, &reached, &known(Members::Unread)));
    assert_eq!(found.cuts.len(), 2);
}

#[test]
fn ipv6_needs_its_neighbours() {
    let ends = ends("[2001:db8::7]:51022", "[2001:db8::1]:22");
    let text = format!("{DROP}allow tcp to port ssh\n");
    let reached = reached(&ends);
    let found = asked(&text, (&ends, &reached, &Known::default()));
    assert_eq!(parts(&found), [Part::Neighbour]);
    let text = format!("{text}include <essentials>\n");
    let found = asked(&text, (&ends, &reached, &Known::default()));
    assert_eq!(found, Found::default());
}

#[test]
fn what_is_cut_is_what_is_said() {
    let said = |text: &str, connected| {
        let looked = Looked {
            ends: ends(CLIENT, SERVER),
            connected,
            found: of(text),
            waits: None,
        };
        let refusal = looked.refusal();
        refusal.lines().next().unwrap().to_owned()
    };
    let new = format!("{DROP}allow if socket established\n");
    for (text, connected, words) in [
        (
            DROP,
            true,
            "this would cut the SSH connection that you are using, from 192.0.2.7, and let no new one in from there; nothing was changed",
        ),
        (
            &new,
            true,
            "this would let no new SSH connection in from 192.0.2.7, though the one that you are using goes on; nothing was changed",
        ),
        (
            &new,
            false,
            "this would let no SSH connection in from 192.0.2.7; nothing was changed",
        ),
    ] {
        assert_eq!(said(text, connected), words);
    }
    // All that is to be written is said at once.
    let both = format!("{DROP}default out drop\ndrop from 192.0.2.7\nallow out tcp to port smtp\n");
    let looked = Looked {
        ends: ends(CLIENT, SERVER),
        connected: true,
        found: of(&both),
        waits: None,
    };
    let advice = "write `allow tcp from 192.0.2.7 to port ssh` ahead of that, and `allow out tcp from port ssh to 192.0.2.7`\n";
    assert!(looked.refusal().contains(advice), "{}", looked.refusal());
    let long = words::no_ends(&"x".repeat(10_000));
    assert!(long.len() < 300);
}
