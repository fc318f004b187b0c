//! What is said of machines that are not plain: where nobody listens or a name takes the connection, with ports of bridges, names
//! that interfaces had, and packets that are joined.

use sockc_runtime::{Arrival, Reached};

use super::super::judge::{Found, Part};
use super::super::known::{Known, Members, begins};
use super::super::{Lockout, Looked};
use super::{
    CLIENT, DROP, SERVER, asked, at, ends, listener, of, parts, policy, port, reached, way,
};

/// What is said where the machine is another one.
fn with(text: &str, change: impl FnOnce(&mut Reached)) -> Found {
    let ends = ends(CLIENT, SERVER);
    let mut reached = reached(&ends);
    change(&mut reached);
    asked(text, (&ends, &reached, &Known::default()))
}

/// How much of it is cut, and how much not known.
fn counts(found: &Found) -> (usize, usize) {
    (found.cuts.len(), found.doubts.len())
}

#[test]
fn where_nobody_listens_packet_rules_are_asked_all_the_same() {
    let nobody = |text: &str| with(text, |reached| reached.listeners.clear());
    let found = nobody(&format!("{DROP}allow if socket established\n"));
    assert_eq!(parts(&found), [Part::New]);
    assert_eq!(
        found.cuts[0].packet,
        "tcp from 192.0.2.7:32768 to 192.0.2.1:22 with length 60"
    );
    // What is let in gets nowhere, which is said.
    let found = nobody(&format!("{DROP}allow tcp to port ssh\n"));
    assert_eq!(counts(&found), (0, 1), "{found:?}");
    assert!(found.doubts[0].starts_with("nobody listens at 192.0.2.1:22: "));
    // It would be let in if somebody did.
    let found = nobody(&format!(
        "{DROP}allow if socket established\nallow tcp to port ssh if socket listening\n"
    ));
    assert_eq!(found.cuts, [], "{found:?}");
    assert!(found.doubts.len() > 1, "{found:?}");
}

#[test]
fn who_is_behind_a_redirect_gets_the_connection() {
    let redirect =
        "socket ssh = tcp listen 127.0.0.1:2222\nredirect tcp to 192.0.2.1:22 to sock ssh\n";
    let text = format!("{DROP}{redirect}allow if socket established\n");
    let behind = |text: &str| {
        with(text, |reached| {
            reached.listeners = vec![at("127.0.0.1:2222")]
        })
    };
    assert_eq!(behind(&text), Found::default());
    // Without the redirect nothing is let in, nor where nobody is behind it.
    let found = behind(&format!("{DROP}allow if socket established\n"));
    assert_eq!(parts(&found), [Part::New]);
    let found = with(&text, |reached| reached.listeners.clear());
    assert_eq!(parts(&found), [Part::New]);
    // Of a process nobody knows here whether it is that one.
    let process = text.replace("= tcp", "= process \"/run/ssh.pid\" tcp");
    let found = behind(&process);
    assert_eq!(counts(&found), (0, 1), "{found:?}");
    assert!(found.doubts[0].contains("would be handed to `sock ssh`"));
}

#[test]
fn a_name_is_there_for_the_family_of_who_listens() {
    let text = "interfaces eth1\nsocket ssh = tcp listen 0.0.0.0:22, tcp listen [::]:22\nredirect tcp to port ssh to sock ssh\n";
    let any = || at("[::]:22");
    let found = with(text, |reached| reached.listeners = vec![any()]);
    assert_eq!(parts(&found), [Part::New], "{found:?}");
    assert_eq!(found.cuts[0].fate, "rejected");
    let both = |bound| {
        with(text, |reached| {
            reached.listeners.push(any());
            reached.listeners[0].bound = bound;
        })
    };
    assert_eq!(both(false), Found::default());
    // Who is bound to an interface is not taken by everybody.
    let found = both(true);
    assert_eq!(counts(&found), (0, 1), "{found:?}");
    assert!(found.doubts[0].contains("would be rejected"));
}

#[test]
fn ports_of_one_bridge_are_alternatives() {
    let ports = |text: &str, names: &[&str]| {
        with(text, |reached| {
            let ends = ends(CLIENT, SERVER);
            reached.ways = vec![way("br0", &ends)];
            let below = names.iter().map(|name| Arrival {
                is_tunnel: name.starts_with("vnet"),
                ..port(name, &ends, 0)
            });
            reached.ways.extend(below);
        })
    };
    let guests = "interfaces vnet*\ndefault in drop\n";
    let found = ports(guests, &["vnet0", "vnet1", "eth0"]);
    assert_eq!(counts(&found), (0, 2), "{found:?}");
    assert!(found.doubts[0].contains("arriving on vnet0, would be dropped"));
    // On all of them it is cut, and so it is above them.
    let found = ports(guests, &["vnet0", "vnet1"]);
    assert_eq!(parts(&found), [Part::New, Part::Established]);
    assert!(
        found
            .doubts
            .iter()
            .any(|one| one.contains("comes by vnet0"))
    );
    for above in ["br0", "br*, vnet0"] {
        let text = guests.replace("vnet*", above);
        let found = ports(&text, &["vnet0", "eth0"]);
        assert_eq!(counts(&found), (2, 0), "{found:?}");
    }
    // A port below a port is one of its alternatives, not of those beside it.
    let nested = |text: &str| {
        with(text, |reached| {
            let ends = ends(CLIENT, SERVER);
            reached.ways = vec![
                way("br0", &ends),
                port("bond0", &ends, 0),
                port("vnet0", &ends, 0),
                port("eth0", &ends, 1),
                port("eth1", &ends, 1),
            ];
        })
    };
    for (interfaces, cuts) in [("eth*", 0), ("eth0, vnet0", 0), ("eth*, vnet0", 2)] {
        let found = nested(&format!("interfaces {interfaces}\ndefault in drop\n"));
        assert_eq!(found.cuts.len(), cuts, "{interfaces}");
    }
}

#[test]
fn an_interface_is_known_by_the_name_it_was_put_on() {
    let renamed = |present: &[(u32, &str)]| {
        with(DROP, |reached| {
            reached.ways = vec![Arrival {
                index: 7,
                ..way("lan0", &ends(CLIENT, SERVER))
            }];
            let present = present.iter();
            reached.present = present
                .map(|(index, name)| (*index, (*name).to_owned()))
                .collect();
            reached.renamed = vec![(7, "eth0".to_owned())];
        })
    };
    let found = renamed(&[(7, "lan0")]);
    assert_eq!(parts(&found), [Part::New, Part::Established]);
    assert_eq!(found.cuts[0].interface, "lan0");
    // Another one has that name: it is meant.
    assert_eq!(renamed(&[(7, "lan0"), (8, "eth0")]), Found::default());
}

#[test]
fn what_comes_from_this_machine_may_be_carried_there() {
    let found = with("interfaces eth0\ndefault in allow\n", |reached| {
        reached.from_here = true;
    });
    assert_eq!(counts(&found), (0, 1), "{found:?}");
    let lockout = Lockout::Looked(Box::new(Looked {
        ends: ends(CLIENT, SERVER),
        connected: true,
        found,
        waits: None,
    }));
    assert!(lockout.says_something() && lockout.planned().is_none());
}

#[test]
fn what_other_headers_would_change_is_not_known() {
    for (condition, passes) in [
        ("if dscp ef", "dscp ef"),
        ("if ttl > 250", "ttl 255"),
        ("if mark 7", "mark 7"),
    ] {
        let found = of(&format!("{DROP}allow {condition}\n"));
        assert_eq!(found.cuts, [], "{condition}");
        let doubt = &found.doubts[0];
        assert!(doubt.contains("would be dropped by"), "{doubt}");
        assert!(
            doubt.contains(passes) && doubt.ends_with("` would not"),
            "{doubt}"
        );
    }
    // What is cut with each of them is cut.
    let found = of(&format!("{DROP}count if dscp ef\n"));
    assert_eq!(counts(&found), (2, 0), "{found:?}");
}

#[test]
fn packets_that_were_joined_are_long() {
    for longer in [1500, 9000, 20_000] {
        let found = of(&format!(
            "interfaces eth0\ndefault in allow\ndrop tcp if length > {longer}\n"
        ));
        assert_eq!(found.cuts, [], "{longer}");
        assert!(
            found.doubts.iter().any(|one| one.contains("length ")),
            "{found:?}"
        );
    }
    // That they are let in helps no other.
    let found = of(&format!("{DROP}allow tcp if length > 1500\n"));
    assert_eq!(counts(&found), (2, 0), "{found:?}");
}

#[test]
fn what_a_new_set_begins_with_may_leave_it() {
    let ends = ends(CLIENT, SERVER);
    let reached = reached(&ends);
    for (expires, members) in [("", 0), (" expires 1h", 1)] {
        let text = format!(
            "{DROP}live set admins max 10{expires} = {{ 192.0.2.7 }}\nallow tcp from @admins to port ssh\n"
        );
        let policy = policy(&text);
        let sets = policy.sets.iter();
        let begun = sets.filter_map(|(id, set)| Some((id, begins(&set.kind)?)));
        let known = Known {
            sets: begun.collect::<Vec<(_, Members)>>(),
            ..Known::default()
        };
        assert_eq!(known.sets.len(), members);
        let found = asked(&text, (&ends, &reached, &known));
        assert_eq!(counts(&found), (0, 2 * members), "{found:?}");
    }
}

#[test]
fn a_listener_is_one_wherever_it_is_bound() {
    let found = with(&format!("{DROP}allow tcp to port ssh\n"), |reached| {
        reached.listeners = vec![listener("192.0.2.1:22".parse().unwrap())];
        reached.listeners[0].bound = true;
    });
    assert_eq!(found, Found::default());
}
