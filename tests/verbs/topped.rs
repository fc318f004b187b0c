//! `top` on a terminal: what it draws, what keys do, and that it gives the terminal back however it ends.

mod terminal;

use std::iter;

use sockc_runtime::lab::{FRONT, Lab};

use super::monitored::{self, done, in_force};
use super::{Folder, root, run};
use terminal::OnTerminal;

const POLICY: &str = "\
default in allow
live set banned max 100 = { 192.0.2.9 }
live map tenants max 50
socket proxy = tcp listen 127.0.0.1:1234
quiet: drop udp from @banned to port 9
knocks: drop udp to port 10
heard: count udp to port 11
watched: audit drop udp to port 12
tenants: redirect tcp by @tenants
proxied: redirect tcp 3.3.3.3:* to sock proxy
";
/// What stands in the last line.
const KEYS: &str = "q end";

fn send(lab: &Lab, count: usize, port: u16) {
    monitored::send(lab, iter::repeat_n(port, count));
}

/// The line of a rule that shows this many packets in all.
fn has_counted(screen: &str, rule: &str, packets: u64) -> bool {
    let mut lines = screen.lines();
    lines.any(|line| {
        line.contains(rule) && line.split_whitespace().nth(2) == Some(&packets.to_string())
    })
}

/// A lab with the policy in force.
fn applied(name: &str) -> (Lab, Folder, String) {
    in_force(name, POLICY)
}

#[test]
fn without_a_terminal_it_says_what_prints_lines() {
    for (arguments, says) in [
        (&["top"][..], "`sockc counters --watch`"),
        (&["top", "--json"], "`sockc counters --json`"),
        (&["top", "--every", "9ms"], "from 100ms"),
        (&["top", "--sort", "name"], "possible values"),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(64), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
}

/// From nothing in force over a policy, a trial and its end to nothing again.
#[test]
fn a_screen_follows_what_is_in_force() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("top-follows"));
    // A file may be called so; no terminal is to obey it.
    let path = folder.file("e\u{1b}[2Jdge.sk", POLICY);
    let mut top = OnTerminal::new(&lab, &["top", "--every", "100ms", "--sort", "rule"]);
    let before = top.before().clone();
    top.sees(|screen| screen.contains("no policy is in force"));
    assert_ne!(top.modes(), before);
    assert!(top.is_apart());
    done(&lab, &["apply", &path, "--interface", FRONT]);
    top.sees(|screen| {
        let all = [
            "generation 1",
            "banned  1 of 100",
            "tenants  0 of 50",
            "proxy tcp4  absent",
            "e\\u{1b}[2Jdge.sk:6",
        ];
        all.iter().all(|words| screen.contains(words))
    });
    // What is only counted, or audited, goes on, and is not among what is dropped.
    send(&lab, 3, 11);
    send(&lab, 4, 12);
    send(&lab, 5, 10);
    top.sees(|screen| has_counted(screen, "knocks", 5) && has_counted(screen, "heard", 3));
    top.sees(|screen| screen.contains("5 in all"));
    done(&lab, &["set", "add", "banned", "192.0.2.10"]);
    top.sees(|screen| screen.contains("banned  2 of 100"));

    // Counters that begin again are no rate, and what counts is told of the trial alone.
    done(
        &lab,
        &["apply", &path, "--interface", FRONT, "--confirm", "1h"],
    );
    top.sees(|screen| screen.contains("generation 2") && screen.contains("on trial: 35"));
    done(&lab, &["rollback"]);
    top.sees(|screen| screen.contains("generation 1") && !screen.contains("on trial"));
    top.sees(|screen| has_counted(screen, "knocks", 5));
    done(&lab, &["unload", "--yes"]);
    top.sees(|screen| screen.contains("taken out of force"));
    top.key("q");
    assert_eq!(top.end(), Some(0));
    assert_eq!(top.modes(), before);
    assert!(!top.is_apart());
}

#[test]
fn keys_are_obeyed_in_whatever_pieces_they_come() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-keys");
    send(&lab, 2, 11);
    let mut top = OnTerminal::new(&lab, &["top", "--every", "100ms"]);
    top.sees(|screen| screen.contains(KEYS) && screen.contains("sort: packets/s"));
    for (key, shows) in [
        ("s", "sort: bytes/s"),
        ("s", "sort: rule"),
        ("p", "paused"),
        ("?", "Ctrl-Z"),
    ] {
        top.key(key);
        top.sees(|screen| screen.contains(shows));
    }
    top.key("x");
    top.sees(|screen| !screen.contains("Ctrl-Z") && screen.contains("quiet"));
    top.key("z");
    top.sees(|screen| !screen.contains("quiet") && screen.contains("heard"));
    top.key("p");
    top.sees(|screen| !screen.contains("paused"));
    // The rest of a sequence never comes: it goes on all the same.
    top.key("\u{1b}[1;");
    send(&lab, 2, 11);
    top.sees(|screen| has_counted(screen, "heard", 4));
    top.key("\u{1b}");
    assert_eq!(top.end(), Some(0));

    let mut top = OnTerminal::new(&lab, &["top"]);
    top.sees(|screen| screen.contains(KEYS));
    top.key("\u{3}");
    assert_eq!(top.end(), Some(0));
    done(&lab, &["unload", "--yes"]);
}

#[test]
fn a_terminal_may_have_any_size() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-sizes");
    let mut top = OnTerminal::new(&lab, &["top", "--every", "100ms"]);
    top.sees(|screen| screen.contains("knocks"));
    for (columns, rows) in [(1, 1), (7, 2), (300, 100), (1, 40), (0, 0), (100, 30)] {
        top.resize(columns, rows);
        // Each size is drawn anew; what has room is seen where there is much.
        top.is_drawn_on();
        if !(1..20).contains(&columns) {
            top.sees(|screen| screen.contains(KEYS));
        }
    }
    send(&lab, 7, 10);
    top.sees(|screen| has_counted(screen, "knocks", 7) && screen.contains(KEYS));
    top.key("q");
    assert_eq!(top.end(), Some(0));
    done(&lab, &["unload", "--yes"]);
}

#[test]
fn signals_give_the_terminal_back() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-signals");
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        let mut top = OnTerminal::new(&lab, &["top"]);
        let before = top.before().clone();
        top.sees(|screen| screen.contains("knocks"));
        assert!(top.is_apart() && top.modes() != before);
        top.signal(signal);
        assert_eq!(top.end(), Some(0), "{signal}");
        assert_eq!(top.modes(), before, "{signal}");
        assert!(!top.is_apart() && top.has_cursor(), "{signal}");
    }
    done(&lab, &["unload", "--yes"]);
}

#[test]
fn it_stops_and_goes_on() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-stops");
    // The key, the signal, and what ends it while it is stopped behind the shell.
    let shell = "\"$@\"; read go; fg; read go; kill %1; bg; wait %1";
    let mut top = OnTerminal::of_shell(&lab, shell, &["top", "--every", "100ms"]);
    let before = top.before().clone();
    for (key, goes_on) in [(Some("\u{1a}"), true), (None, false)] {
        top.sees(|screen| screen.contains("knocks"));
        assert!(top.is_apart() && top.modes() != before);
        match key {
            Some(key) => top.key(key),
            None => top.signal_front(libc::SIGTSTP),
        }
        top.has_stopped();
        assert_eq!(top.modes(), before);
        assert!(!top.is_apart() && top.has_cursor());
        top.forget();
        top.key("\n");
        if goes_on {
            top.sees(|screen| screen.contains(KEYS));
        }
    }
    assert_eq!(top.end(), Some(0));
    assert_eq!(top.modes(), before);
    assert!(!top.is_apart());
    done(&lab, &["unload", "--yes"]);
}

/// A shell's job that was started behind it waits until it is in front, and hears what ends it.
#[test]
fn behind_a_shell_it_leaves_the_terminal_alone() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-behind");
    let shell = "\"$@\" & read go; fg; exit $?";
    let mut top = OnTerminal::of_shell(&lab, shell, &["top", "--every", "100ms"]);
    let before = top.before().clone();
    top.key("\n");
    top.sees(|screen| screen.contains("knocks"));
    top.key("q");
    assert_eq!(top.end(), Some(0));
    assert_eq!(top.modes(), before);
    let shell = "\"$@\" & read go; kill %1; wait %1";
    let mut top = OnTerminal::of_shell(&lab, shell, &["top", "--every", "100ms"]);
    top.hears_signals();
    top.key("\n");
    assert_eq!(top.end(), Some(0));
    assert_eq!(top.modes(), before);
    done(&lab, &["unload", "--yes"]);
}

/// Where no shell could have it go on, nothing stops it for ever.
#[test]
fn without_a_shell_it_does_not_stop() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-orphan");
    let mut top = OnTerminal::new(&lab, &["top", "--every", "100ms"]);
    top.sees(|screen| screen.contains("knocks"));
    top.key("\u{1a}");
    top.key("s");
    top.sees(|screen| screen.contains("sort: bytes/s"));
    top.key("q");
    assert_eq!(top.end(), Some(0));
    done(&lab, &["unload", "--yes"]);
}

#[test]
fn it_ends_with_its_terminal() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("top-ends");
    let mut top = OnTerminal::new(&lab, &["top", "--every", "100ms"]);
    top.sees(|screen| screen.contains("knocks"));
    assert_eq!(top.hang_up(), Some(0));
    // Nor does a terminal that takes nothing keep it from ending.
    for key in [None, Some("q")] {
        // Only the key that fills it has it draw.
        let mut top = OnTerminal::new(&lab, &["top", "--every", "1h"]);
        top.sees(|screen| screen.contains(KEYS));
        top.fill();
        match key {
            Some(key) => top.key(key),
            None => top.signal(libc::SIGTERM),
        }
        assert_eq!(top.end_unread(), Some(0), "{key:?}");
    }
    done(&lab, &["unload", "--yes"]);
}
