//! `redirect … at tc` by the command: what it needs is told, made where that is asked for, watched, and taken back.

use std::net::SocketAddr;
use std::process::Command;

use sockc_runtime::lab::{FRONT, Lab};
use socket2::{Domain, Socket, Type};

use super::{Folder, Ran, ip, root, run};

const AT: &str = "127.0.0.1:7001";

fn policy() -> String {
    format!(
        "interfaces {FRONT}\ndefault in allow\nsocket proxy = tcp listen {AT} owner uid root\n\
         redirect tcp to 10.77.0.0/16:80 to sock proxy at tc\n"
    )
}

/// A listener that may answer in the name of any address, or may not.
fn listener(lab: &Lab, transparent: bool) -> Socket {
    let make = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_ip_transparent_v4(transparent).unwrap();
        socket
            .bind(&AT.parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.listen(8).unwrap();
        socket
    };
    lab.server.run(make).unwrap()
}

/// What `ip` shows in the server's namespace.
fn shown(lab: &Lab, line: &str) -> String {
    let show = || Command::new("ip").args(line.split(' ')).output().unwrap();
    String::from_utf8(lab.server.run(show).unwrap().stdout).unwrap()
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
    assert!(planned.contains("a rule and a route are made"), "{planned}");
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
    assert!(lost.contains("is gone"), "{lost}");
    said(&lab, &["apply", "--running", "--add-routes"], 0);
    said(&lab, &["status"], 0);
    said(&lab, &["unload", "--yes"], 0);
    assert_eq!(shown(&lab, "rule show"), others.0);
    assert_eq!(shown(&lab, "route show table all"), by_hand);
}
