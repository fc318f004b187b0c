//! `import … --live`: the rules in force where the command runs are those that a file would have.

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
