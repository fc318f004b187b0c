//! What `doctor` says of machines: a sound one, one without a bpf file system, one whose policy was changed by others, and to
//! those who may look at little.

use std::fs;
use std::process::Command;

use serde_json::Value;
use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, sockc};

/// A program that says what `nft` says of a chain that drops.
const NFT: &str = r#"#!/bin/sh
[ "$*" = "-j list chains" ] || exit 1
echo '{"nftables": [{"chain": {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "drop"}}]}'
"#;

struct Machine {
    lab: Lab,
    folder: Folder,
}

impl Machine {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let nft = folder.file("nft", NFT);
        let made = Command::new("chmod").args(["755", &nft]).status();
        assert!(made.unwrap().success());
        let lab = Lab::new().unwrap();
        Self { lab, folder }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Ran {
        let path = std::env::var("PATH").unwrap();
        let mut command = match program {
            "sockc" => sockc(arguments),
            program => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        };
        command.env("PATH", format!("{}:{path}", self.folder.0.display()));
        Ran::of(self.lab.server.run(|| command.output().unwrap()).unwrap())
    }
}

/// How a check stands, and what was found.
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    for one in checks {
        let says = |key: &str| one[key].as_str().is_some_and(|words| words.len() > 5);
        let is_ok = one["state"] == "ok";
        assert!(is_ok || (says("why") && says("remedy")), "{one}");
        assert!(
            !is_ok || (one["why"].is_null() && one["remedy"].is_null()),
            "{one}"
        );
    }
    let one = checks.iter().find(|one| one["check"] == name).unwrap();
    (
        one["state"].as_str().unwrap(),
        one["found"].as_str().unwrap(),
    )
}

#[test]
fn a_sound_machine_has_no_fault_and_a_changed_policy_is_one() {
    if !root() {
        return;
    }
    let machine = Machine::new("doctor");
    let doctor = || machine.command("sockc", &["doctor", "--json"]);
    let ran = doctor();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    assert_eq!(report["format"], "sockc.doctor/1");
    assert_eq!(report["faults"], 0, "{report}");
    for name in ["kernel", "rights", "bpffs", "cards"] {
        assert_eq!(check(&report, name).0, "ok", "{report}");
    }
    let none = "none is in force in this network namespace";
    assert_eq!(check(&report, "policy"), ("ok", none));
    let (state, found) = check(&report, "nftables");
    assert!(
        state == "note" && found.ends_with("inet filter input"),
        "{found}"
    );

    // What is in force is spoken of, and what others took of it.
    let path = machine
        .folder
        .file("edge.sk", "default in allow\ndrop udp to port 9\n");
    let applied = machine.command("sockc", &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let report = doctor().json();
    assert_eq!(
        check(&report, "policy"),
        ("ok", "\"edge\" is in force, generation 1")
    );
    // An interface that the policy is for and does not hold on is one for both.
    let zoned = machine.folder.file(
        "zoned.sk",
        &format!("interfaces {FRONT}, zz*\ndefault in drop\n"),
    );
    assert_eq!(machine.command("sockc", &["apply", &zoned]).code, Some(0));
    assert_eq!(doctor().code, Some(0));
    let words = ["link", "add", "zz0", "type", "veth", "peer", "name", "yy0"];
    assert_eq!(machine.command("ip", &words).code, Some(0));
    let [status, ran] = ["status", "doctor"].map(|verb| machine.command("sockc", &[verb]));
    assert_eq!(
        (status.code, ran.code),
        (Some(5), Some(5)),
        "{}",
        ran.stdout
    );
    assert_eq!(machine.command("ip", &["link", "del", "zz0"]).code, Some(0));
    let applied = machine.command(
        "sockc",
        &["apply", &path, "--interface", FRONT, "--confirm", "1h"],
    );
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let ran = machine.command("sockc", &["doctor"]);
    assert!(
        ran.stdout.contains("it waits to be confirmed"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let confirmed = machine.command("sockc", &["confirm"]);
    assert_eq!(confirmed.code, Some(0), "{}", confirmed.stderr);
    let remove = || {
        let state = fs::read_dir("/sys/fs/bpf/sockc").unwrap().next().unwrap();
        let links = state.unwrap().path().join("link");
        let link = fs::read_dir(links).unwrap().next().unwrap();
        fs::remove_file(link.unwrap().path()).unwrap();
    };
    machine.lab.server.run(remove).unwrap();
    let ran = doctor();
    assert_eq!(ran.code, Some(5), "{}", ran.stdout);
    assert_eq!(check(&ran.json(), "policy").0, "fault");
    let text = machine.command("sockc", &["doctor"]);
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("fault  policy ")));
    assert!(
        lines
            .iter()
            .any(|line| line.trim().starts_with("do: `sockc status`"))
    );
    assert!(
        lines.last().unwrap().starts_with("1 fault"),
        "{}",
        text.stdout
    );
}

/// Nobody behind a name, a folder of generations that others can change, and a policy of another namespace that decides of a group.
#[test]
fn what_else_keeps_a_policy_from_what_it_says_is_told() {
    if !root() {
        return;
    }
    let machine = Machine::new("doctor-else");
    let text = "default in allow\nsocket web = tcp listen 127.0.0.1:7001\nredirect tcp to port 80 to sock web\n";
    let path = machine.folder.file("web.sk", text);
    let applied = machine.command("sockc", &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let ran = machine.command("sockc", &["doctor", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let report = ran.json();
    let (state, found) = check(&report, "sockets");
    assert_eq!(state, "note");
    assert!(found.starts_with("socket web tcp4  absent"), "{found}");
    let listens = || std::net::TcpListener::bind("127.0.0.1:7001").unwrap();
    let _listener = machine.lab.server.run(listens).unwrap();
    let filled = machine.command("sockc", &["socket", "refresh", "web"]);
    assert_eq!(filled.code, Some(0), "{}", filled.stderr);
    let report = machine.command("sockc", &["doctor", "--json"]).json();
    let mut checks = report["checks"].as_array().unwrap().iter();
    assert!(
        !checks.any(|one| one["check"] == "sockets" || one["check"] == "history"),
        "{report}"
    );
    let open = ["777", "/sys/fs/bpf/sockc-history"];
    assert_eq!(machine.command("chmod", &open).code, Some(0));
    let ran = machine.command("sockc", &["doctor", "--json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    let report = ran.json();
    let (state, found) = check(&report, "history");
    assert!(state == "fault" && found.contains("chmod 0750"), "{found}");
}

#[test]
fn what_is_missing_is_a_fault_and_what_may_not_be_seen_is_none() {
    if !root() {
        return;
    }
    let machine = Machine::new("doctor-less");
    let nowhere = machine.folder.0.to_str().unwrap();
    let ran = machine.command("sockc", &["doctor", "--json", "--bpffs", nowhere]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    let report = ran.json();
    assert_eq!(check(&report, "bpffs").0, "fault");
    let checks = report["checks"].as_array().unwrap();
    let bpffs = checks.iter().find(|one| one["check"] == "bpffs").unwrap();
    assert_eq!(
        bpffs["remedy"],
        format!("mount -t bpf -o mode=0700 bpf {nowhere}")
    );

    // Somebody without any right gets what may be seen, and is not told that nothing is wrong.
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let doctor = [env!("CARGO_BIN_EXE_sockc"), "doctor", "--json"];
    let words = [&words[..], &doctor].concat();
    let ran = machine.command("setpriv", &words);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    let unseen = report["unseen"].as_array().unwrap();
    for name in ["features", "policy"] {
        assert!(unseen.iter().any(|one| one == name), "{report}");
    }
    let text = machine.command("setpriv", &words[..words.len() - 1]);
    let last = text.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("nothing is wrong with what was looked at; not looked at: features, "),
        "{last}"
    );
    assert_eq!(report["faults"], 0, "{report}");
    let (state, found) = check(&report, "rights");
    assert_eq!(state, "note");
    assert!(
        found.contains("CAP_BPF") && found.contains("CAP_NET_ADMIN"),
        "{found}"
    );
    for name in ["features", "policy"] {
        assert!(check(&report, name).1.contains("not looked at"), "{report}");
    }

    let ran = machine.command("sockc", &["doctor", "--netns", "no-such-netns"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
}

/// A program of somebody else at XDP, which a policy there would be refused for, is told before there is one, and beside one elsewhere.
#[test]
fn a_program_at_xdp_that_is_in_the_way_is_told() {
    if !root() {
        return;
    }
    let machine = Machine::new("doctor-xdp");
    let file = |name: &str, text: &str| machine.folder.file(name, text);
    let [at_xdp, at_tc] = ["xdp", "tc"].map(|hook| {
        let text = format!("interfaces {FRONT}\ndefault in allow at {hook}\ndrop udp to port 9\n");
        file(&format!("{hook}.sk"), &text)
    });
    let object = machine.folder.0.join("other.o").display().to_string();
    let run = |program: &str, arguments: &[&str], code: i32| {
        let ran = machine.command(program, arguments);
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        ran
    };
    run("sockc", &["compile", &at_xdp, "-o", &object], 0);
    let on = [
        "link",
        "set",
        "dev",
        FRONT,
        "xdpgeneric",
        "obj",
        &object,
        "sec",
        "xdp",
    ];
    run("ip", &on, 0);
    let said = format!("at xdp of {FRONT}");
    let is_told = || {
        let report = run("sockc", &["doctor", "--json"], 0).json();
        let (state, found) = check(&report, "foreign");
        assert!(state == "note" && found.contains(&said), "{found}");
    };
    is_told();
    let refused = run("sockc", &["apply", &at_xdp], 3);
    assert!(
        refused.stderr.contains("another XDP program"),
        "{}",
        refused.stderr
    );
    run("sockc", &["apply", &at_tc], 0);
    is_told();
    // The policy's own program is nobody else's.
    run("ip", &["link", "set", FRONT, "xdpgeneric", "off"], 0);
    run("sockc", &["apply", &at_xdp], 0);
    let doctor = run("sockc", &["doctor"], 0);
    assert!(!doctor.stdout.contains("foreign"), "{}", doctor.stdout);
}
