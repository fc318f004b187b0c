//! `--guard`, `--guards`: a policy that does not keep to its guards does not come into force.

use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

const POLICY: &str = "\
set admins = { 10.20.0.0/16 }
default in drop
ssh: allow tcp from @admins to any:22
include <essentials>
";
const KEPT: &str = "expect allow tcp from @admins to any:22\n";
const VIOLATED: &str = "# Nobody.\nexpect drop tcp from any to any:22\n";
const PACKET: &str = "tcp from 10.20.0.1:40000 to 192.0.2.1:22";

fn apply(lab: &Lab, arguments: &[&str]) -> Ran {
    let all = [&["apply", "--interface", FRONT][..], arguments].concat();
    lab.server.run(|| run(&all)).unwrap()
}

fn in_force(lab: &Lab) -> bool {
    let status = lab.server.run(|| run(&["status", "--json"])).unwrap();
    !status.json()["policy"].is_null()
}

#[test]
fn a_violated_guard_keeps_a_policy_out() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("guards"));
    let path = folder.file("edge.sk", POLICY);
    let (kept, violated) = (
        folder.file("kept.guard", KEPT),
        folder.file("v.guard", VIOLATED),
    );
    let refused = apply(&lab, &[&path, "--guard", &kept, "--guard", &violated]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    for words in [
        "E0503",
        "v.guard:2",
        "expect drop tcp from any to any:22",
        PACKET,
        "edge.sk:3",
        "ssh: allow",
    ] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    assert!(!in_force(&lab));
    // The packet is one that `explain` takes, and it says the same.
    let explained = run(&["explain", &path, PACKET, "--json"]).json();
    assert_eq!(explained["verdict"], "allow");

    let applied = apply(&lab, &[&path, "--guard", &kept, "--json"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let guards = &applied.json()["guards"];
    assert_eq!(guards.as_array().unwrap().len(), 1);
    assert_eq!(guards[0]["holds"], true);
}

#[test]
fn guards_of_a_folder_are_always_read_and_objects_are_asked_too() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("guard-folder"));
    let path = folder.file("edge.sk", POLICY);
    let object = folder.0.join("edge.o").to_str().unwrap().to_owned();
    assert_eq!(run(&["compile", &path, "-o", &object]).code, Some(0));
    let guards = folder.0.join("guards");
    std::fs::create_dir(&guards).unwrap();
    let guards = guards.to_str().unwrap();
    std::fs::write(format!("{guards}/20-shell.sk"), VIOLATED).unwrap();
    std::fs::write(format!("{guards}/notes.txt"), "no guard").unwrap();
    for file in [&path, &object] {
        let refused = apply(&lab, &[file, "--guards", guards]);
        assert_eq!(refused.code, Some(4), "{file}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("20-shell.sk:2"),
            "{}",
            refused.stderr
        );
        assert!(!in_force(&lab));
    }
    std::fs::write(format!("{guards}/20-shell.sk"), KEPT).unwrap();
    for file in [&path, &object] {
        let applied = apply(&lab, &[file, "--guards", guards]);
        assert_eq!(applied.code, Some(0), "{file}: {}", applied.stderr);
    }
}

#[test]
fn a_guard_that_is_wrong_or_missing_is_no_pass() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("wrong-guards"));
    let path = folder.file("edge.sk", POLICY);
    let zone = folder.file("zone", "expect drop udp from any to any on zone dmz\n");
    let rule = folder.file("rule", "allow tcp to any:22\n");
    for (arguments, code, words) in [
        (["--guard", zone.as_str()], 1, "dmz"),
        (["--guard", &rule], 1, "E0504"),
        (["--guard", "/nowhere.sk"], 3, "/nowhere.sk"),
        (["--guards", "/nowhere"], 3, "/nowhere"),
    ] {
        let refused = apply(&lab, &[&path, arguments[0], arguments[1]]);
        assert_eq!(
            refused.code,
            Some(code),
            "{arguments:?}: {}",
            refused.stderr
        );
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!in_force(&lab));
    }
}

#[test]
fn check_asks_guards_without_a_kernel() {
    let folder = Folder::new("checked-guards");
    let path = folder.file("edge.sk", POLICY);
    let (kept, violated) = (folder.file("kept.sk", KEPT), folder.file("v.sk", VIOLATED));
    let silent = run(&["check", &path, "--guard", &kept]);
    assert_eq!((silent.code, silent.stderr.as_str()), (Some(0), ""));
    let told = run(&["check", &path, "--guard", &violated]);
    assert_eq!(told.code, Some(4));
    assert!(told.stderr.contains(PACKET), "{}", told.stderr);
    let json = run(&["check", "--json", &path, "--guard", &violated]);
    assert_eq!(json.code, Some(4));
    assert_eq!(json.json()["diagnostics"][0]["code"], "E0503");
}
