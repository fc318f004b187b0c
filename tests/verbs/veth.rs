//! Lists of what arrives on veths: where they run, what is said of it, and that they drop what they dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sockc_runtime::lab::{FRONT, Lab, SERVER};

use super::interfaces::Place;
use super::{Folder, root, run};

/// A policy on the lab's veth.
fn place(name: &str, default: &str, rules: &str) -> Place {
    let text = format!("interfaces {FRONT}\ndefault in {default}\n{rules}");
    Place::of(name, Lab::new().unwrap(), &text)
}

const SSH: &str = "ssh: allow tcp to port 22\n";

/// Whether the policy's programs are at TC, and none is at XDP.
fn is_at_tc(said: &str) -> bool {
    let hooks = said.lines().filter(|line| line.starts_with("  "));
    let words: Vec<&str> = hooks.flat_map(str::split_whitespace).collect();
    words.contains(&"tc-in") && !words.contains(&"xdp")
}

#[test]
fn a_list_on_veths_runs_at_tc_and_says_so() {
    if !root() {
        return;
    }
    let place = place("veth", "drop", SSH);
    let planned = place.done(&["plan", &place.policy]);
    let why = format!("{FRONT} is a veth: packets that arrive meet the rules at tc");
    let word = "with `default in drop at xdp` rules run at xdp where they can";
    assert!(planned.stderr.contains(&why), "{}", planned.stderr);
    let applied = place.done(&["apply", &place.policy]);
    assert!(applied.stderr.contains(&why), "{}", applied.stderr);
    assert!(applied.stderr.contains(word), "{}", applied.stderr);
    assert!(is_at_tc(&applied.stdout), "{}", applied.stdout);
    let said = place.status(0);
    assert!(said.contains(&why) && is_at_tc(&said), "{said}");
    // What is in force is put back as it is, and is what its text compiles to.
    let again = place.done(&["apply", "--running"]);
    assert!(is_at_tc(&again.stdout), "{}", again.stdout);
}

#[test]
fn a_word_keeps_the_list_at_xdp_and_so_does_a_rule_that_could_drop_less_at_tc() {
    if !root() {
        return;
    }
    let asked = place("veth-asked", "drop at xdp", SSH);
    let applied = asked.done(&["apply", &asked.policy]);
    assert!(applied.stdout.contains("xdp"), "{}", applied.stdout);
    assert!(!applied.stderr.contains("is a veth"), "{}", applied.stderr);
    let short = "drop tcp to port 23 if length < 100\n";
    let kept = place("veth-kept", "allow", short);
    let applied = kept.done(&["apply", &kept.policy]);
    assert!(!applied.stdout.contains("tc-in"), "{}", applied.stdout);
    let why = "rules run there: a rule asks for a rate, a length or tcp flags";
    assert!(applied.stderr.contains(why), "{}", applied.stderr);
}

#[test]
fn nothing_is_said_of_a_hook_that_has_no_program() {
    if !root() {
        return;
    }
    let steered =
        "socket web = tcp listen 127.0.0.1:1234\nredirect tcp to 192.0.2.7:* to sock web\n";
    let texts = [
        "default in drop\nreject tcp to port 22\n".to_owned(),
        "default in allow\ndrop tcp to port 22 if vlan 12 and length > 100\n".to_owned(),
        steered.to_owned(),
    ];
    for text in texts {
        let text = format!("interfaces {FRONT}\n{text}");
        let place = Place::of("veth-none", Lab::new().unwrap(), &text);
        let planned = place.done(&["plan", &place.policy]);
        let applied = place.done(&["apply", &place.policy]);
        let said = place.status(0);
        assert!(!applied.stdout.contains("xdp"), "{}", applied.stdout);
        for said in [planned.stderr, applied.stderr, said] {
            assert!(!said.contains("is a veth"), "{text}{said}");
        }
    }
}

#[test]
fn one_interface_that_is_no_veth_keeps_the_list_at_xdp() {
    if !root() {
        return;
    }
    let text = format!("interfaces {FRONT}, d0\ndefault in drop\n{SSH}");
    let place = Place::of("veth-mixed", Lab::new().unwrap(), &text);
    place.ip("link add d0 type bridge");
    let applied = place.done(&["apply", &place.policy]);
    assert!(!applied.stdout.contains("tc-in"), "{}", applied.stdout);
    let why = "rules run there since d0 is none";
    assert!(applied.stderr.contains(why), "{}", applied.stderr);
}

#[test]
fn an_object_for_veths_is_put_in_force_as_it_is() {
    if !root() {
        return;
    }
    let folder = Folder::new("veth-object");
    let object = folder.file("edge.o", "");
    let place = place("veth-objects", "drop", SSH);
    let made = run(&["compile", "--for-veth", &place.policy, "-o", &object]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    place.ip("link add d0 type bridge");
    let applied = place.done(&["apply", &object, "--interface", "d0"]);
    assert!(is_at_tc(&applied.stdout), "{}", applied.stdout);
    let said = place.status(0);
    assert!(said.contains("d0 is no veth"), "{said}");
}

#[test]
fn what_xdp_drops_tc_drops_there() {
    if !root() {
        return;
    }
    for default in ["drop at xdp", "drop"] {
        let lab = Lab::new().unwrap();
        let rules = format!(
            "interfaces {FRONT}\ndefault in {default}\nallow tcp to port 2222\nallow icmp6\n"
        );
        let folder = Folder::new("veth-dropped");
        let policy = folder.file("edge.sk", &rules);
        let listen = |port| TcpListener::bind(SocketAddr::new(SERVER[0], port)).unwrap();
        let _listeners = lab.server.run(|| [listen(2222), listen(2223)]).unwrap();
        let applied = lab
            .server
            .run(|| run(&["apply", "--yes", &policy]))
            .unwrap();
        assert_eq!(applied.code, Some(0), "{}", applied.stderr);
        for (port, passes) in [(2222, true), (2223, false)] {
            let to = SocketAddr::new(SERVER[0], port);
            // What is dropped is waited for: nothing tells that it is.
            let wait = Duration::from_millis(if passes { 10_000 } else { 300 });
            let met = lab
                .client
                .run(|| TcpStream::connect_timeout(&to, wait).is_ok());
            assert_eq!(
                met.unwrap(),
                passes,
                "{default}, {port}: {}",
                applied.stdout
            );
        }
        let gone = lab.server.run(|| run(&["unload", "--yes"])).unwrap();
        assert_eq!(gone.code, Some(0), "{}", gone.stderr);
    }
}

/// The kernel says the same of an interface that has a program and of one whose bridge has one; a person is told which it is.
#[test]
fn below_a_program_there_is_no_place_for_one_and_it_says_so() {
    if !root() {
        return;
    }
    let lab = Lab::new().unwrap();
    let folder = Folder::new("veth-below");
    let text = |interfaces: &str| format!("interfaces {interfaces}\ndefault in drop at xdp\n");
    let bridge = folder.file("bridge.sk", &text("br7"));
    let both = folder.file("both.sk", &text("br7, p7"));
    let ip = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let made = || {
            std::process::Command::new("ip")
                .args(&words)
                .status()
                .unwrap()
        };
        assert!(lab.server.run(made).unwrap().success(), "{words:?}");
    };
    ip("link add br7 type bridge");
    ip("link add p7 type veth peer name q7");
    ip("link set p7 master br7");
    let here = |arguments: &[&str]| lab.server.run(|| run(arguments)).unwrap();
    let applied = here(&["apply", &bridge]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let refused = here(&["apply", &both]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    for words in ["\"p7\" while there is one on \"br7\"", "`at tc`"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let another = "another XDP program";
    assert!(!refused.stderr.contains(another), "{}", refused.stderr);
    assert_eq!(here(&["unload", "--yes"]).code, Some(0));
}
