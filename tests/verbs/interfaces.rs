//! Interfaces that come, go, are made again or get another name while a policy is in force.

use std::process::Command;

use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

/// A lab, a policy for the lab's interface and for every bridge, and how both are asked.
struct Place {
    lab: Lab,
    _folder: Folder,
    policy: String,
}

impl Place {
    fn new(name: &str, interfaces: &str) -> Self {
        let folder = Folder::new(name);
        let text = format!("interfaces {interfaces}\ndefault in drop\nssh: allow tcp to port 22\n");
        Self {
            lab: Lab::new().unwrap(),
            policy: folder.file("edge.sk", &text),
            _folder: folder,
        }
    }

    /// The command, on the server.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    /// The command, which must succeed.
    fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran
    }

    fn apply(&self) {
        self.done(&["apply", &self.policy]);
    }

    /// `ip`, on the server.
    fn ip(&self, line: &str) {
        let ip = || {
            let words = line.split(' ');
            let ran = Command::new("ip").args(words).output().unwrap();
            assert!(ran.status.success(), "{line}: {ran:?}");
        };
        self.lab.server.run(ip).unwrap();
    }

    /// What status says, which must end so.
    fn status(&self, code: i32) -> String {
        let status = self.run(&["status"]);
        let said = status.stdout + &status.stderr;
        assert_eq!(status.code, Some(code), "{said}");
        said
    }

    /// The interfaces that the policy holds on.
    fn held(&self) -> Vec<String> {
        let json = self.run(&["status", "--json"]).json();
        let hooks = json["hooks"].as_array().unwrap().iter();
        let alive = hooks.filter(|hook| hook["alive"] == true);
        let mut held: Vec<String> = alive
            .map(|hook| hook["target"].as_str().unwrap().to_owned())
            .collect();
        held.sort();
        held.dedup();
        held
    }
}

#[test]
fn an_interface_that_comes_later_is_told_and_taken_in() {
    if !root() {
        return;
    }
    let place = Place::new("later", &format!("br-*, {FRONT}"));
    place.apply();
    let quiet = place.status(0);
    assert!(quiet.contains("no interface is called `br-*`"), "{quiet}");

    place.ip("link add br-x type veth peer name p-br-x");
    let said = place.status(5);
    assert!(
        said.contains("the policy is for the interface br-x and does not hold on it"),
        "{said}"
    );
    assert!(!said.contains("no interface is called"), "{said}");
    let json = place.run(&["status", "--json"]).json();
    assert_eq!(json["interfaces"]["open"][0], "br-x");

    let planned = place.run(&["plan", &place.policy, "--exit-code"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stderr);
    assert!(
        planned
            .stdout
            .contains("packets on br-x: allow -> the policy's verdicts"),
        "{}",
        planned.stdout
    );
    assert!(
        !planned.stdout.contains("No change in effect"),
        "{}",
        planned.stdout
    );
    let planned = place.run(&["plan", &place.policy, "--json"]).json();
    assert_eq!(planned["interfaces"][0]["interface"], "br-x");

    // The file is not needed, and what is not the policy's is left alone.
    std::fs::remove_file(&place.policy).unwrap();
    place.ip("link add other0 type veth peer name p-other0");
    let other = place.done(&["apply", "--running", "--interface", "other0"]);
    assert!(
        other.stderr.contains("is not for other0"),
        "{}",
        other.stderr
    );
    assert_eq!(place.held(), [FRONT]);
    place.done(&["apply", "--running", "--interface", "br-x"]);
    assert_eq!(place.held(), ["br-x", FRONT]);
    place.status(0);
    let again = place.done(&["apply", "--running", "--interface", "br-x"]);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
}

#[test]
fn a_removed_interface_is_told_in_plain_words_and_comes_back() {
    if !root() {
        return;
    }
    let place = Place::new("again", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link del v0");
    let gone = place.status(5);
    assert!(gone.contains("v0 was removed"), "{gone}");
    assert!(gone.contains("detached"), "{gone}");
    assert!(!gone.contains("sockc left"), "{gone}");

    // What is named and not there keeps the policy off nothing else.
    place.ip("link add br-x type veth peer name p-br-x");
    let refused = place.run(&["apply", &place.policy]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    let applied = place.done(&["apply", "--running"]);
    assert!(
        applied.stderr.contains("there is no interface \"v0\""),
        "{}",
        applied.stderr
    );
    assert_eq!(place.held(), [FRONT]);

    place.ip("link add v0 type veth peer name p-v0");
    place.status(5);
    place.apply();
    place.ip("link del v0");
    place.ip("link add v0 type veth peer name p-v0");
    let again = place.status(5);
    assert!(
        again.contains("v0 was removed and made again: the policy does not hold on it"),
        "{again}"
    );
    let planned = place.run(&["plan", &place.policy]);
    assert!(
        planned
            .stdout
            .contains("packets on v0: allow -> the policy's verdicts"),
        "{}{}",
        planned.stdout,
        planned.stderr
    );
    place.done(&["apply", "--running", "--interface", "v0"]);
    assert_eq!(place.held(), [FRONT, "v0"]);
    place.status(0);
}

#[test]
fn a_policy_that_holds_on_no_interface_is_told_and_no_success() {
    if !root() {
        return;
    }
    let place = Place::new("nowhere", "br-*");
    place.apply();
    let said = place.status(5);
    assert!(
        said.contains("error: the packet rules hold on no interface at all"),
        "{said}"
    );
    place.ip("link add br-x type veth peer name p-br-x");
    place.done(&["apply", "--running"]);
    place.status(0);

    let place = Place::new("nobody", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link del v0");
    place.done(&["apply", "--running"]);
    let said = place.status(5);
    assert!(said.contains("error: there is no interface v0"), "{said}");
}

#[test]
fn a_renamed_interface_keeps_its_policy() {
    if !root() {
        return;
    }
    let place = Place::new("renamed", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link set v0 name v9");
    let said = place.status(0);
    assert!(said.contains("v0 is called v9 now"), "{said}");
    assert!(said.contains("v9 (was v0)"), "{said}");
    let planned = place.done(&["plan", &place.policy, "--exit-code"]);
    assert!(
        planned.stdout.contains("called \"v9\" now"),
        "{}",
        planned.stdout
    );
    place.apply();
    assert_eq!(place.held().len(), 2);
    // An interface of the old name is the one that the policy names.
    place.ip("link add v0 type veth peer name p-v1");
    let said = place.status(5);
    assert!(
        said.contains("interface v0 and does not hold on it"),
        "{said}"
    );
    place.apply();
    assert_eq!(place.held(), [FRONT, "v0"]);
}

#[test]
fn what_a_pattern_covered_and_is_gone_is_no_loss() {
    if !root() {
        return;
    }
    let place = Place::new("pods", &format!("pod*, {FRONT}"));
    place.ip("link add pod1 type veth peer name p-pod1");
    place.apply();
    place.ip("link del pod1");
    let said = place.status(0);
    assert!(said.contains("pod1 was removed"), "{said}");
    place.done(&["plan", &place.policy]);
}

#[test]
fn another_policy_and_one_without_hooks_are_told() {
    if !root() {
        return;
    }
    let place = Place::new("name", FRONT);
    place.apply();
    let again = place.done(&["apply", &place.policy]);
    assert!(!again.stderr.contains("another name"), "{}", again.stderr);
    let other = Folder::new("other");
    let file = other.file("other.sk", "set a = { 192.0.2.1 }\n");
    let planned = place.run(&["plan", &file]);
    let applied = place.done(&["apply", &file, "--yes"]);
    for said in [&planned.stdout, &applied.stderr] {
        assert!(
            said.contains("\"edge\" is replaced by a policy of another name, \"other\""),
            "{said}"
        );
        assert!(said.contains("every hook is taken off"), "{said}");
    }
}
