//! What is counted of what is given to named sockets: each way to end, at the socket lookup and at TC, of one socket and of several.

use std::net::SocketAddr;

use super::{built, header};
use crate::bpf::constant::{TCP_CLOSE, TCP_ESTABLISHED};
use crate::destination::{self, Ending};
use crate::interpret::{Input, Lookup, Maps, Quiet, Skb, SocketModel, Xdp, run};
use crate::packet::build::Frame;
use crate::pipeline::Built;
use crate::protocol::IpProtocol;

/// A name for TCP of IPv4 that has `words` behind it, and what leads to it `at` a hook.
fn policy(words: &str, at: &str) -> Built {
    built(&format!(
        "default in allow
        socket other = tcp listen 127.0.0.1:7
        socket one = {words}
        redirect tcp to 203.0.113.7 to sock other
        redirect 192.0.2.2 to sock one{at}\n"
    ))
}

/// What is in the places of a name.
type Inside = [Option<SocketModel>];

fn listening() -> SocketModel {
    SocketModel::listener(1, "192.0.2.2:80".parse().unwrap())
}

fn in_state(state: i32) -> SocketModel {
    SocketModel {
        state: state.cast_unsigned(),
        ..listening()
    }
}

/// The rows of all slots after a SYN for the name.
fn rows(built: &Built, program: &str, inside: &Inside) -> Vec<[u64; Ending::ALL.len()]> {
    let mut maps = Maps::new(&built.artifact.maps);
    let [sockets, steered] = ["sockets", destination::MAP].map(|name| maps.named(name).unwrap());
    let one = &built.artifact.manifest.sockets[1];
    let slots = one.slots.iter();
    let slots = slots.filter(|slot| slot.protocol == IpProtocol::TCP && slot.address.is_ipv4());
    for (slot, model) in slots.zip(inside) {
        if let Some(model) = model {
            maps.update_socket(sockets, &slot.index.to_ne_bytes(), *model, 0)
                .unwrap();
        }
    }
    let flow = header("192.0.2.1", "192.0.2.2");
    let input = match program {
        "tc_in" => Input::Skb(Skb::new(Frame::new(flow).bytes())),
        "xdp_in" => Input::Xdp(Xdp::new(Frame::new(flow).bytes())),
        _ => Input::Lookup(Lookup {
            protocol: IpProtocol::TCP,
            remote: SocketAddr::new(flow.from, 1),
            local: SocketAddr::new(flow.to, 80),
            ingress_ifindex: 1,
        }),
    };
    let mut programs = built.artifact.programs.iter();
    let program = programs.find(|one| one.name == program).unwrap();
    run(program, &mut maps, input, &mut Quiet).unwrap();
    let count = built.artifact.maps[steered].max_entries;
    let row = |index: u32| {
        let row = maps.get(steered, &index.to_ne_bytes()).unwrap();
        let mut words = row.as_chunks().0.iter();
        [(); Ending::ALL.len()].map(|()| u64::from_ne_bytes(*words.next().unwrap()))
    };
    (0..count).map(row).collect()
}

/// The one way that was counted, once, and in which row.
fn ending(rows: &[[u64; Ending::ALL.len()]]) -> (usize, Ending) {
    let mut found = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for (ending, count) in Ending::ALL.into_iter().zip(row) {
            found.extend((0..*count).map(|_| (index, ending)));
        }
    }
    assert_eq!(found.len(), 1, "{rows:?}");
    found[0]
}

fn assert_nothing(rows: &[[u64; Ending::ALL.len()]]) {
    assert!(rows.iter().flatten().all(|count| *count == 0), "{rows:?}");
}

#[test]
fn what_becomes_of_a_lookup_is_counted_once_in_the_row_of_its_name() {
    let cases: [(&Inside, Ending, Ending); 4] = [
        (&[None], Ending::Missed, Ending::Missed),
        (&[Some(listening())], Ending::Given, Ending::Given),
        // The kernel says so at the lookup, and the program asks at TC.
        (
            &[Some(in_state(TCP_ESTABLISHED))],
            Ending::Unsuited,
            Ending::Idle,
        ),
        (
            &[Some(SocketModel::listener(
                1,
                "192.0.2.2:0".parse().unwrap(),
            ))],
            Ending::Idle,
            Ending::Given,
        ),
    ];
    let one = "tcp listen 127.0.0.1:8, tcp listen [::1]:8";
    for (inside, lookup, tc) in cases {
        let found = rows(&policy(one, ""), "lookup", inside);
        assert_eq!(ending(&found), (1, lookup), "{inside:?}");
        let found = rows(&policy(one, " at tc"), "tc_in", inside);
        assert_eq!(ending(&found), (1, tc), "{inside:?}");
    }
}

/// Of members that is counted which serves, or that one was there and took nothing, or that nobody was.
#[test]
fn what_becomes_of_it_is_counted_once_for_all_members() {
    let closed = Some(in_state(TCP_CLOSE));
    let connected = Some(in_state(TCP_ESTABLISHED));
    let cases: [(&Inside, Ending, Ending); 4] = [
        (&[None, None], Ending::Missed, Ending::Missed),
        (
            &[connected, Some(listening())],
            Ending::Given,
            Ending::Given,
        ),
        (&[None, connected], Ending::Unsuited, Ending::Idle),
        (&[connected, connected], Ending::Unsuited, Ending::Idle),
    ];
    let many = "registered members 2";
    for (inside, lookup, tc) in cases {
        let found = rows(&policy(many, ""), "lookup", inside);
        assert_eq!(ending(&found), (1, lookup), "{inside:?}");
        let found = rows(&policy(many, " at tc"), "tc_in", inside);
        assert_eq!(ending(&found), (1, tc), "{inside:?}");
    }
    let found = rows(&policy(many, " at tc"), "tc_in", &[closed, None]);
    assert_eq!(ending(&found), (1, Ending::Idle));
}

/// What the packet hook drops ahead of the lookup finds nobody either; what it lets go on is counted at the lookup alone. So it is
/// where a condition has asked before.
#[test]
fn a_drop_of_an_absent_one_is_a_miss_where_it_is_dropped() {
    let ways = [
        ("", "xdp_in", None),
        (
            "\ncount tcp to 192.0.2.2 if sock one absent",
            "xdp_in",
            None,
        ),
        (
            "\ndrop udp to port 10\ndrop udp to port 9 at tc",
            "tc_in",
            Some("xdp_in"),
        ),
    ];
    for words in ["tcp listen 127.0.0.1:8", "registered members 2"] {
        for (more, last, before) in ways {
            let built = policy(&format!("{words} if absent drop{more}"), "");
            let found = rows(&built, last, &[None, None]);
            assert_eq!(ending(&found), (1, Ending::Missed), "{words}{more}");
            let there = [None, Some(listening())];
            let there = &there[usize::from(!words.contains("members"))..];
            assert_nothing(&rows(&built, last, there));
            assert_eq!(
                ending(&rows(&built, "lookup", there)),
                (1, Ending::Given),
                "{words}{more}"
            );
            if let Some(before) = before {
                assert_nothing(&rows(&built, before, &[None, None]));
            }
        }
    }
    // A family that the name is not for has no row, here as at the lookup.
    let other = policy("tcp listen [::1]:8 if absent drop", "");
    assert_nothing(&rows(&other, "xdp_in", &[]));
}

/// Who asks whether a socket is there gives it nothing.
#[test]
fn a_condition_counts_nothing() {
    let built = built(
        "default in allow
        socket other = tcp listen 127.0.0.1:7
        socket one = tcp listen 127.0.0.1:8
        drop tcp to 192.0.2.2 at tc if sock one absent
        redirect tcp to 203.0.113.7 to sock one\n",
    );
    for inside in [&[None][..], &[Some(listening())]] {
        assert_nothing(&rows(&built, "tc_in", inside));
    }
}
