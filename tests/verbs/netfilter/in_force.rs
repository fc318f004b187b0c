//! `import … --live`: the rules in force where the command runs are those that a file would have.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::super::monitored::on_server as ran;
use super::super::{Folder, Ran, sockc};
use super::{Scene, iptables, listed, nft, restored};

/// What an import says, without the names of what was read.
fn told(ran: &Ran, names: &[&str]) -> String {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let said = ran.stderr.lines().map(|line| {
        let rest = names.iter().find_map(|name| line.split_once(name));
        format!("{}\n", rest.map_or(line, |(_, rest)| rest))
    });
    said.collect()
}

#[test]
fn the_rules_of_nftables_in_force_are_as_those_of_a_file() {
    if !nft() {
        return;
    }
    let folder = Folder::new("nft-in-force");
    let scene = Scene::new(0);
    let file = folder.file("rules.json", &listed(&scene, 0));
    let [live, saved] = ["--live", &file].map(|from| ran(&scene.lab, &["import", "nft", from]));
    assert_eq!(live.stdout, saved.stdout);
    assert!(live.stdout.contains("to port"), "{}", live.stdout);
    let names = ["nft -j list ruleset", file.as_str()];
    assert_eq!(told(&live, &names), told(&saved, &names));
    let both = ran(&scene.lab, &["import", "nft", "--live", &file]);
    assert_eq!(both.code, Some(64), "{}", both.stderr);
}

#[test]
fn the_rules_of_iptables_in_force_are_as_those_of_files() {
    if !iptables() || !nft() {
        return;
    }
    let folder = Folder::new("iptables-in-force");
    let scene = Scene::new(0);
    let v4 = folder.file("rules.v4", &restored(&scene, 0));
    let v6 = folder.file("rules.v6", &restored(&scene, 1));
    let import = ["import", "iptables-save"];
    let of_files = || ran(&scene.lab, &[&import[..], &[&v4, "--ip6", &v6]].concat());
    let in_force = || ran(&scene.lab, &[&import[..], &["--live"]].concat());
    let (live, saved) = (in_force(), of_files());
    assert_eq!(live.stdout, saved.stdout);
    let names = ["ip6tables-save", "iptables-save", v4.as_str(), v6.as_str()];
    assert_eq!(told(&live, &names), told(&saved, &names));
    // What others have in nftables no iptables-save prints.
    listed(&scene, 0);
    let beside = in_force();
    assert_eq!(beside.stdout, saved.stdout);
    let wanted = "nftables has tables of others in force beside these (inet filter, ip late)";
    assert!(beside.stderr.contains(wanted), "{}", beside.stderr);
    let strict = ran(&scene.lab, &[&import[..], &["--live", "--strict"]].concat());
    assert_eq!(strict.code, Some(1), "{}", strict.stderr);
}

/// Whether a test that needs ipset may run; says so where it may not.
fn ipset() -> bool {
    let is_there = Command::new("ipset").arg("--version").output().is_ok();
    if !is_there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs ipset");
        eprintln!("skipped: needs ipset");
    }
    is_there
}

#[test]
fn the_sets_of_ipset_in_force_are_read_where_rules_name_them() {
    if !iptables() || !ipset() {
        return;
    }
    let scene = Scene::new(0);
    let work = || {
        for command in [
            "ipset create office hash:net",
            "ipset add office 10.0.0.0/8",
            "iptables -A INPUT -m set --match-set office src -j DROP",
        ] {
            let mut words = command.split(' ');
            let mut run = Command::new(words.next().unwrap());
            assert!(run.args(words).status().unwrap().success(), "{command}");
        }
    };
    scene.lab.server.run(work).unwrap();
    let import = || sockc(&["import", "iptables-save", "--live"]);
    let live = ran(&scene.lab, &["import", "iptables-save", "--live"]);
    for line in ["set office = { 10.0.0.0/8 }\n", "drop from @office\n"] {
        assert!(live.stdout.contains(line), "{}{}", live.stdout, live.stderr);
    }
    // Where ipset is not there, the rules are, and the report says what is missing.
    let folder = Folder::new("ipset-not-there");
    for tool in ["iptables-save", "ip6tables-save"] {
        let script = format!("#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec {tool}\n");
        let file = folder.file(tool, &script);
        set_permissions(file, Permissions::from_mode(0o755)).unwrap();
    }
    let without = || Ran::of(import().env("PATH", &folder.0).output().unwrap());
    let without = scene.lab.server.run(without).unwrap();
    assert_eq!(without.code, Some(0), "{}", without.stderr);
    for said in ["there is no `ipset save` here", "what the set office holds"] {
        assert!(without.stderr.contains(said), "{}", without.stderr);
    }
}

#[test]
fn what_does_not_run_is_told_and_nothing_is_written() {
    let folder = Folder::new("none-in-force");
    let out = folder.0.join("edge.sk");
    for (form, command) in [
        ("nft", "nft -j list ruleset"),
        ("iptables-save", "iptables-save"),
    ] {
        let mut import = sockc(&["import", form, "--live", "-o", out.to_str().unwrap()]);
        let ran = Ran::of(import.env("PATH", &folder.0).output().unwrap());
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        let wanted = format!("there is no `{command}` here");
        assert!(ran.stderr.contains(&wanted), "{}", ran.stderr);
        assert!(!out.exists());
    }
}
