//! `redirect … at tc` by the command: what it needs is told, made where that is asked for, watched, and taken back.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{FRONT, Lab, Space};
use socket2::{Domain, Socket, Type};

use super::spaces::Place;
use super::{Folder, Ran, ip, root, run};

const AT: &str = "127.0.0.1:7001";
/// How long what the kernel does by itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy() -> String {
    format!(
        "interfaces {FRONT}\ndefault in drop\nsocket proxy = tcp listen {AT} owner uid root\n\
         redirect tcp to 10.77.0.0/16:80 to sock proxy at tc\nrest: allow\n"
    )
}

/// A listener that may answer in the name of any address, or may not.
fn listener(lab: &Lab, transparent: bool) -> Socket {
    listener_in(&lab.server, transparent)
}

fn listener_in(space: &Space, transparent: bool) -> Socket {
    let make = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_ip_transparent_v4(transparent).unwrap();
        socket
            .bind(&AT.parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.listen(8).unwrap();
        socket
    };
    space.run(make).unwrap()
}

/// What `ip` shows in the server's namespace.
fn shown(lab: &Lab, line: &str) -> String {
    let show = || Command::new("ip").args(line.split(' ')).output().unwrap();
    String::from_utf8(lab.server.run(show).unwrap().stdout).unwrap()
}

/// Waits for the routes of IPv6 that the kernel adds by itself to links that are up: to each address, and for many.
fn settled(lab: &Lab) {
    let began = Instant::now();
    loop {
        let addresses = shown(lab, "-6 -o addr show");
        let routes = shown(lab, "-6 route show table local");
        let has = |start: String| routes.lines().any(|route| route.starts_with(&start));
        let is_there = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let (link, address) = (words.next().unwrap(), words.nth(1).unwrap());
            let address = address.split('/').next().unwrap();
            let for_many = link == "lo" || has(format!("multicast ff00::/8 dev {link} "));
            for_many && has(format!("local {address} "))
        };
        if addresses.lines().all(is_there) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{addresses}{routes}");
        thread::yield_now();
    }
}

fn said(lab: &Lab, arguments: &[&str], code: i32) -> String {
    let ran: Ran = lab.server.run(|| run(arguments)).unwrap();
    let said = ran.stdout + &ran.stderr;
    assert_eq!(ran.code, Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn what_a_redirect_at_tc_needs_is_told_made_and_taken_back() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("transparent"));
    let path = folder.file("transparent.sk", &policy());
    // Somebody else's rule and table stay whatever happens.
    ip(&lab.server, "rule add fwmark 0x7 lookup 777");
    ip(&lab.server, "route add local default dev lo table 777");
    settled(&lab);
    let others = (
        shown(&lab, "rule show"),
        shown(&lab, "route show table all"),
    );

    let plain = listener(&lab, false);
    let refused = said(&lab, &["apply", &path, "--add-routes"], 3);
    assert!(refused.contains("IP_TRANSPARENT"), "{refused}");
    assert_eq!(
        shown(&lab, "rule show"),
        others.0,
        "a refused apply leaves nothing"
    );
    drop(plain);

    let _listener = listener(&lab, true);
    let refused = said(&lab, &["apply", &path], 3);
    // The commands that it names are the ones that do it.
    let commands = [
        "ip -4 rule add fwmark 0x20c5 lookup 8389",
        "ip -4 route add local default dev lo table 8389",
    ];
    for command in commands {
        assert!(refused.contains(command), "{refused}");
    }
    let planned = said(&lab, &["plan", &path], 3);
    assert!(planned.contains("--add-routes"), "{planned}");
    let planned = said(&lab, &["plan", &path, "--add-routes"], 0);
    assert!(planned.contains("is made that deliver here"), "{planned}");
    assert_eq!(shown(&lab, "rule show"), others.0, "a plan makes nothing");

    said(&lab, &["apply", &path, "--add-routes"], 0);
    assert!(shown(&lab, "rule show").contains("fwmark 0x20c5 lookup 8389"));
    let status = said(&lab, &["status"], 0);
    assert!(
        status.contains("by a rule and a route that sockc made"),
        "{status}"
    );
    said(&lab, &["unload", "--yes"], 0);
    assert_eq!(
        (
            shown(&lab, "rule show"),
            shown(&lab, "route show table all")
        ),
        others
    );

    // What somebody made by hand is used, watched and left.
    for command in commands {
        ip(&lab.server, command.trim_start_matches("ip "));
    }
    let by_hand = shown(&lab, "route show table all");
    said(&lab, &["apply", &path], 0);
    ip(&lab.server, "rule del fwmark 0x20c5 lookup 8389");
    let lost = said(&lab, &["status"], 5);
    assert!(lost.contains(commands[0]), "{lost}");
    assert!(!lost.contains(commands[1]), "{lost}");
    said(&lab, &["apply", "--running", "--add-routes"], 0);
    said(&lab, &["status"], 0);
    said(&lab, &["unload", "--yes"], 0);
    assert_eq!(shown(&lab, "rule show"), others.0);
    assert_eq!(shown(&lab, "route show table all"), by_hand);
}

#[test]
fn a_plan_remembers_what_it_may_make_and_tells_what_is_taken_back() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("transparent-saved"));
    let path = folder.file("transparent.sk", &policy());
    let plain = folder.file(
        "plain.sk",
        &format!("interfaces {FRONT}\ndefault in drop\nallow\n"),
    );
    let saved = folder.file("saved.plan", "");
    let _listener = listener(&lab, true);
    let planned = said(
        &lab,
        &["plan", &path, "--add-routes", "--exit-code", "-o", &saved],
        2,
    );
    assert!(planned.contains("forwarded now"), "{planned}");
    let applied = said(&lab, &["apply", &saved, "--yes"], 0);
    assert!(applied.contains("forwarded now"), "{applied}");
    let again = said(&lab, &["apply", &path, "--yes"], 0);
    assert!(!again.contains("forwarded now"), "{again}");

    // Only what others took away is to be made: that is a difference too.
    ip(&lab.server, "rule del fwmark 0x20c5 lookup 8389");
    said(&lab, &["plan", &path, "--add-routes", "--exit-code"], 2);
    said(&lab, &["apply", &path, "--add-routes", "--yes"], 0);
    said(&lab, &["plan", &path, "--add-routes", "--exit-code"], 0);

    let planned = said(&lab, &["plan", &plain], 0);
    assert_goes(&planned);
    let applied = said(&lab, &["apply", &plain, "--yes"], 0);
    assert_goes(&applied);
    assert!(!shown(&lab, "rule show").contains("0x20c5"));
    said(&lab, &["apply", &path, "--add-routes", "--yes"], 0);
    let unloaded = said(&lab, &["unload", "--yes"], 0);
    assert_goes(&unloaded);
}

/// That a redirect goes is told with what was made for it, and with what becomes of its connections.
fn assert_goes(told: &str) {
    for words in ["is taken back", "by a redirect `at tc` that goes end"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn an_interface_that_joined_a_bridge_is_told_with_the_remedy() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("transparent-bridge"));
    let path = folder.file("transparent.sk", &policy());
    let _listener = listener(&lab, true);
    said(&lab, &["apply", &path, "--add-routes"], 0);
    said(&lab, &["status"], 0);
    ip(&lab.server, "link add br0 type bridge");
    ip(&lab.server, &format!("link set {FRONT} master br0"));
    for (arguments, code) in [
        (&["status"][..], 5),
        (&["plan", &path], 3),
        (&["apply", &path, "--yes"], 3),
    ] {
        let told = said(&lab, arguments, code);
        for words in [FRONT, "belongs to \"br0\"", "`interfaces br0`"] {
            assert!(told.contains(words), "{told}");
        }
    }
    said(&lab, &["unload", "--yes"], 0);
}

/// A policy with a block that has such a redirect.
fn block(place: &Place) -> String {
    format!(
        "interfaces {FRONT}\ndefault in drop\n\
         for netns \"{}\" {{\ninterfaces lo\ndefault in drop\n\
         socket proxy = tcp listen {AT} owner uid root\n\
         redirect tcp to 10.77.0.0/16:80 to sock proxy at tc\n}}\n",
        place.name
    )
}

#[test]
fn what_goes_with_a_block_is_told_with_its_namespace() {
    if !root() {
        return;
    }
    let place = Place::new("intercepts-gone");
    let path = place.folder.file("block.sk", &block(&place));
    let plain = format!("interfaces {FRONT}\ndefault in drop\n");
    let plain = place.folder.file("plain.sk", &plain);
    let there = &place.other.as_ref().unwrap().space;
    ip(there, "link set lo up");
    let _listener = listener_in(there, true);
    let there = format!(
        "in the network namespace \"{}\": what sockc made",
        place.name
    );
    let apply = || said(&place.lab, &["apply", &path, "--add-routes", "--yes"], 0);
    apply();
    for arguments in [
        &["plan", &plain][..],
        &["apply", &plain, "--yes"],
        &["unload", "--yes"],
    ] {
        let told = said(&place.lab, arguments, 0);
        assert_goes(&told);
        assert!(told.contains(&there), "{told}");
        apply();
    }
    // The block is applied with the policy around it: no command is named that would be refused.
    ip(
        &place.other.as_ref().unwrap().space,
        "rule del fwmark 0x20c5",
    );
    let told = said(&place.lab, &["status", "--netns", &place.name], 5);
    assert!(told.contains("that this block stands in"), "{told}");
    assert!(!told.contains("apply --running --add-routes"), "{told}");
    said(&place.lab, &["unload", "--yes"], 0);
}

#[test]
fn a_refusal_of_a_block_names_its_namespace() {
    if !root() {
        return;
    }
    let place = Place::new("intercepts");
    let path = place.folder.file("block.sk", &block(&place));
    let there = format!(
        "in the network namespace \"{}\": what redirects",
        place.name
    );
    for arguments in [&["plan", &path][..], &["apply", &path, "--yes"]] {
        let told = said(&place.lab, arguments, 3);
        assert!(told.contains(&there), "{told}");
    }
}
