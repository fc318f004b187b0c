//! Errors as data: whatever ends a command without a result, `--json` gives one document of one shape.

use std::fs;
use std::process::Command;

use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

const POLICY: &str =
    "default in drop\nlive set banned max 10\ndrop from @banned\nssh: allow tcp to port 22\n";

/// Checks that this is a refusal with the code, the only thing on standard output; gives it.
fn refusal(ran: &Ran, code: u8) -> serde_json::Value {
    assert_eq!(ran.code, Some(code.into()), "{}{}", ran.stdout, ran.stderr);
    let value = ran.json();
    assert_eq!(value["format"], "sockc.error/1", "{value}");
    assert_eq!(value["code"], code, "{value}");
    assert!(
        value["error"].as_str().is_some_and(|one| !one.is_empty()),
        "{value}"
    );
    assert!(
        value["errors"].is_array() && value["diagnostics"].is_array(),
        "{value}"
    );
    value
}

#[test]
fn what_the_machine_or_a_guard_refuses_is_one_shape() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("refusing"));
    let path = folder.file("edge.sk", POLICY);
    let guard = folder.file("guard.sk", "expect drop tcp from any to any:22\n");
    let on = |arguments: &[&str]| {
        let all = [arguments, &["--json"]].concat();
        lab.server.run(|| run(&all)).unwrap()
    };
    // 3: the machine.
    let missing = refusal(&on(&["apply", &path, "--interface", "nosuch0"]), 3);
    assert_eq!(missing["interface"], "nosuch0", "{missing}");
    refusal(&on(&["plan", &path, "--interface", "nosuch0"]), 3);
    refusal(&on(&["set", "add", "banned", "192.0.2.1"]), 3);
    // 4: a guard.
    let violated = refusal(
        &on(&["apply", &path, "--interface", FRONT, "--guard", &guard]),
        4,
    );
    let mut found = violated["diagnostics"].as_array().unwrap().iter();
    assert!(found.any(|one| one["code"] == "E0503"), "{violated}");
}

#[test]
fn what_others_changed_is_one_shape() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("refusing-changed"));
    let path = folder.file("edge.sk", POLICY);
    let applied = lab
        .server
        .run(|| run(&["apply", &path, "--interface", FRONT]))
        .unwrap();
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let record = lab.server.run(|| {
        let base = "/sys/fs/bpf/sockc";
        let found = Command::new("find")
            .arg(base)
            .args(["-name", "record"])
            .output()
            .unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        for path in found.lines() {
            fs::remove_file(path).unwrap();
        }
        found.lines().count()
    });
    assert_eq!(record.unwrap(), 1);
    for arguments in [
        &["set", "add", "banned", "192.0.2.1"][..],
        &["set", "list"],
        &["counters"],
    ] {
        let all = [arguments, &["--json"]].concat();
        refusal(&lab.server.run(|| run(&all)).unwrap(), 5);
    }
}
