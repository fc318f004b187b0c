//! An apply by a process of the group that the policy is about.

use sockc_runtime::lab::{Group, Lab};

use super::*;

/// The command with its process in a control group.
fn within(group: &Group, arguments: &[&str]) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read go; exec \"$0\" \"$@\""]);
    shell.arg(env!("CARGO_BIN_EXE_sockc")).args(arguments);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.stderr(Stdio::piped()).spawn().unwrap();
    group.join(shell.id()).unwrap();
    shell.stdin.take().unwrap().write_all(b"\n").unwrap();
    Ran::of(shell.wait_with_output().unwrap())
}

/// What the kernel does otherwise, as an apply says that it found.
fn found(ran: &Ran) -> serde_json::Value {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("could not"), "{}", ran.stderr);
    let found = ran.json()["otherwise"].clone();
    assert!(found.as_array().unwrap().len() > 3, "{found}");
    found
}

/// Its own sockets would be the group's, on which the policy in force decides.
#[test]
fn what_the_kernel_does_otherwise_is_found_from_within_the_group() {
    if !root() {
        return;
    }
    let (lab, folder, group) = (
        Lab::new().unwrap(),
        Folder::new("within"),
        Group::new().unwrap(),
    );
    let text = format!(
        "group jobs = cgroup \"{}\"\ndefault send drop\ndefault receive drop\n\
         near: shortcut tcp within group jobs to 192.0.2.0/24\n",
        group.path()
    );
    let file = folder.file("within.sk", &text);
    let arguments = ["apply", &file, "--json"];
    let outside = found(&lab.server.run(|| run(&arguments)).unwrap());
    for _ in 0..2 {
        let within = lab.server.run(|| within(&group, &arguments)).unwrap();
        assert_eq!(found(&within), outside);
    }
    let status = lab.server.run(|| run(&["status", "--json"])).unwrap();
    assert_eq!(status.json()["otherwise"], outside);
    assert_eq!(lab.server.run(|| run(&["unload"])).unwrap().code, Some(0));
}
