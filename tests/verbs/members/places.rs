//! Who gets a place behind a name with members, and keeps it.

use std::net::SocketAddr;

use socket2::{Socket, Type};

use super::flows::{all, close, cookie, server};
use super::{Folder, Place, TO, cookies, root, run};

fn to() -> SocketAddr {
    TO[0].parse().unwrap()
}

fn tcp(place: &Place) -> Socket {
    server(&place.lab.server, to(), Type::STREAM, 0)
}

#[test]
fn sockets_are_handed_over_into_free_places() {
    if !root() {
        return;
    }
    let place = Place::new("members-handed", "registered members 3");
    let [one, two, three, four] = [(); 4].map(|()| tcp(&place));
    for socket in [&one, &two, &two, &three] {
        let said = place.register(socket, &[], 0);
        assert!(said.contains("now holds tcp4"), "{said}");
    }
    // The second was handed over twice, and stands there once.
    assert_eq!(place.listed("tcp4"), cookies(&[&one, &two, &three]));
    let said = place.register(&four, &[], 3);
    for words in [
        "all of its 3 places for tcp4 are taken",
        "--replace",
        "members",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let [second, fourth] = [&two, &four].map(|socket| cookie(socket).to_string());
    let said = place.register(&four, &["--replace", &fourth], 3);
    assert!(
        said.contains("no socket of the same kind with the cookie"),
        "{said}"
    );
    place.register(&four, &["--replace", &second], 0);
    assert_eq!(place.listed("tcp4"), cookies(&[&one, &four, &three]));
    let said = place.register(&four, &["--replace", &fourth], 3);
    assert!(said.contains("stands behind it already"), "{said}");

    let said = place.says(&["socket", "unregister", "web", "--cookie", &fourth], 0);
    assert!(said.contains("no longer holds tcp4"), "{said}");
    let [first, third] = [&one, &three].map(|socket| Some(cookie(socket)));
    assert_eq!(place.listed("tcp4"), [first, None, third]);
    assert_eq!(place.rows("tcp4")[1]["state"], "free");
    assert_eq!(place.rows("tcp4")[2]["member"], 3);
    let said = place.says(&["socket", "list"], 0);
    for words in [
        "registered members 3",
        "tcp4 1/3",
        "tcp4 3/3",
        "free: 1 place",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let said = place.says(&["status"], 0);
    assert!(
        said.contains("tcp4 3/3") && said.contains("free: 1 place"),
        "{said}"
    );
    // Who is closed leaves its place to the next one.
    close(&place.lab.server, one);
    place.register(&two, &[], 0);
    assert_eq!(place.listed("tcp4"), [Some(cookie(&two)), None, third]);
    let said = place.says(&["socket", "unregister", "web"], 0);
    assert!(said.contains("no longer holds tcp4, tcp4"), "{said}");
}

#[test]
fn places_stay_when_their_number_changes() {
    if !root() {
        return;
    }
    let place = Place::new("members-number", "registered members 4");
    let sockets: Vec<Socket> = (0..4).map(|_| tcp(&place)).collect();
    for socket in &sockets {
        place.register(socket, &[], 0);
    }
    let all = cookies(&sockets.iter().collect::<Vec<_>>());
    place.becomes("registered members 6 spread by source");
    assert_eq!(place.listed("tcp4"), [all.as_slice(), &[None; 2]].concat());
    // The place of one that has left goes to one that has none any more; for the other there is no room.
    let second = all[1].unwrap().to_string();
    place.says(&["socket", "unregister", "web", "--cookie", &second], 0);
    let fewer = place
        .folder
        .file("fewer.sk", &super::policy("registered members 2"));
    let said = place.says(&["plan", &fewer], 0);
    let goes = format!(
        "tcp4 4/6 goes: no place is left for process {}",
        std::process::id()
    );
    assert_eq!(said.matches("no place is left").count(), 1, "{said}");
    assert!(said.contains(&goes), "{said}");
    let said = place.becomes("registered members 2");
    let note = "1 of the tcp4 sockets behind \"web\" get nothing any more: it holds 2 of these now";
    assert!(said.contains(note), "{said}");
    assert_eq!(place.listed("tcp4"), [all[0], all[2]]);
    place.becomes("registered");
    assert_eq!(place.listed("tcp4"), [all[0]]);
}

#[test]
fn services_at_one_address_take_places_as_they_listen() {
    if !root() {
        return;
    }
    let said = "tcp listen 127.0.0.1:8080, udp listen 127.0.0.1:8080 members 3 pinned";
    let place = Place::new("members-listen", said);
    let space = &place.lab.server;
    let listen = || server(space, to(), Type::STREAM, 8080);
    let [one, two, three, four] = [(); 4].map(|()| listen());
    assert_eq!(place.listed("tcp4"), cookies(&[&one, &two, &three]));
    let servers = [Some(&one), Some(&two), Some(&three), None];
    let flows = all(space, to(), Type::STREAM, 20_000..20_100, &servers);
    for member in 0..3 {
        assert!(flows.contains(&member), "{flows:?}");
    }
    let said = place.says(&["socket", "refresh"], 0);
    let note = "1 more socket at 127.0.0.1:8080 gets nothing: the socket \"web\" has 3 places for them, all taken";
    assert!(said.contains(note), "{said}");
    assert_eq!(place.rows("tcp4")[0]["turned_away"], 1);
    let said = place.says(&["status"], 0);
    let note = "1 socket that began to listen there found no place";
    assert!(said.contains(note), "{said}");
    // Its place is free for the one that found none.
    close(&place.lab.server, two);
    let rows = place.rows("tcp4");
    let state = rows[1]["state"].as_str().unwrap();
    assert!(state.contains("is bound there since"), "{state}");
    place.says(&["socket", "refresh"], 0);
    assert_eq!(place.listed("tcp4"), cookies(&[&one, &four, &three]));
    // And all stay where they are under a policy that is put in force.
    place.becomes("tcp listen 127.0.0.1:8080, udp listen 127.0.0.1:8080 members 5 pinned");
    let there = cookies(&[&one, &four, &three]);
    assert_eq!(
        place.listed("tcp4"),
        [there.as_slice(), &[None; 2]].concat()
    );
}

#[test]
fn datagram_services_at_one_address_are_found_by_a_packet_and_by_commands() {
    if !root() {
        return;
    }
    let place = Place::new(
        "members-datagrams",
        "udp listen 127.0.0.1:8080 members 3 pinned",
    );
    let space = &place.lab.server;
    let open = || server(space, to(), Type::DGRAM, 8080);
    let [one, two] = [open(), open()];
    assert_eq!(place.rows("udp4").len(), 3);
    // The first packet puts one of them in, and no further one does so.
    let flows = all(
        space,
        to(),
        Type::DGRAM,
        20_000..20_020,
        &[Some(&one), Some(&two)],
    );
    assert!(flows.iter().all(|place| *place == flows[0]), "{flows:?}");
    let stands = place.rows("udp4");
    let listens = stands.iter().filter(|row| row["state"] == "listening");
    assert_eq!(listens.count(), 1, "{stands:?}");
    place.says(&["socket", "refresh"], 0);
    let mut there: Vec<u64> = place.listed("udp4").into_iter().flatten().collect();
    let mut all_of_them = [cookie(&one), cookie(&two)];
    there.sort_unstable();
    all_of_them.sort_unstable();
    assert_eq!(there, all_of_them);
    let flows = all(
        space,
        to(),
        Type::DGRAM,
        20_000..20_100,
        &[Some(&one), Some(&two)],
    );
    assert!(flows.contains(&0) && flows.contains(&1), "{flows:?}");
    // While one is there, a packet puts nobody into the place of the other.
    let (first, second) = match place.listed("udp4")[0] == Some(cookie(&one)) {
        true => (one, two),
        false => (two, one),
    };
    close(space, first);
    assert!(place.listed("udp4")[0].is_none());
    let ports = 20_000..20_020;
    let flows = all(space, to(), Type::DGRAM, ports, &[Some(&second)]);
    assert!(flows.iter().all(|place| *place == 0), "{flows:?}");
    let only = [None, Some(cookie(&second)), None];
    assert_eq!(place.listed("udp4"), only);
}

#[test]
fn members_at_addresses_of_their_own_are_found_there() {
    if !root() {
        return;
    }
    let said = "tcp listen 127.0.0.1:8081, tcp listen 127.0.0.1:8082 members 2";
    let place = Place::new("members-addresses", said);
    let space = &place.lab.server;
    let [first, second] = [8081, 8082].map(|port| server(space, to(), Type::STREAM, port));
    assert_eq!(place.listed("tcp4"), cookies(&[&first, &second]));
    let flows = all(
        space,
        to(),
        Type::STREAM,
        20_000..20_100,
        &[Some(&first), Some(&second)],
    );
    assert!(flows.contains(&0) && flows.contains(&1), "{flows:?}");
    close(space, first);
    let flows = all(
        space,
        to(),
        Type::STREAM,
        20_000..20_020,
        &[None, Some(&second)],
    );
    assert!(flows.iter().all(|place| *place == 1));
    let first = server(space, to(), Type::STREAM, 8081);
    assert_eq!(place.listed("tcp4"), cookies(&[&first, &second]));
}

#[test]
fn what_changes_of_members_is_told() {
    let folder = Folder::new("members-told");
    let text =
        |socket: &str| format!("socket web = {socket}\nredirect tcp 192.0.2.1:80 to sock web\n");
    let old = folder.file("old.sk", &text("registered members 4"));
    for (number, socket) in [
        "registered",
        "registered members 8",
        "registered members 4 spread by source",
        "registered members 4 pinned",
    ]
    .into_iter()
    .enumerate()
    {
        let new = folder.file(&format!("new{number}.sk"), &text(socket));
        let ran = run(&["diff", &old, &new, "--exit-code"]);
        assert_eq!(ran.code, Some(2), "{socket}: {}", ran.stdout);
        // Long lines are broken where there is a blank.
        let said: Vec<&str> = ran.stdout.split_whitespace().collect();
        let said = said.join(" ");
        for words in [
            "sock web (registered members 4)",
            &format!("sock web ({socket})"),
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    let asked = [
        "explain",
        &old,
        "tcp from 198.51.100.7:4000 to 192.0.2.1:80",
    ];
    let said = run(&asked).stdout;
    assert!(
        said.contains(" of 4, and while that is not there by "),
        "{said}"
    );
    let json = run(&[&asked[..], &["--json"]].concat()).json();
    let member = json["member"].as_u64().unwrap();
    assert!(said.contains(&format!("by member {member} of 4")), "{said}");
}
