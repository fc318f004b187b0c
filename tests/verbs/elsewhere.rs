//! Commands in network namespaces where what sockc keeps is not at hand, or that are gone.

use std::process::Command;

use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, NetnsName, Ran, root, run};

/// A lab whose client has the policy of a block, applied from the server, with the name of its namespace.
struct Place {
    lab: Lab,
    folder: Folder,
    policy: String,
    _name: NetnsName,
}

impl Place {
    fn new(name: &str) -> Self {
        let lab = Lab::new().unwrap();
        let folder = Folder::new(name);
        let name = NetnsName::new(name, &lab.client);
        let netns = name.0.clone();
        let text = format!(
            "interfaces {FRONT}\ndefault in drop\nsocket px = tcp listen 127.0.0.1:9100\nssh: allow tcp to port 22\nfor netns \"{netns}\" {{\n  interfaces {FRONT}\n  default in drop\n  ssh: allow tcp to port 22\n}}\n"
        );
        let policy = folder.file("host.sk", &text);
        let place = Self {
            lab,
            folder,
            policy,
            _name: name,
        };
        let applied = place.run(&["apply", &place.policy]);
        assert_eq!(applied.code, Some(0), "{}", applied.stderr);
        place
    }

    /// The command, on the server.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }
}

#[test]
fn rights_that_are_not_enough_to_load_are_named() {
    if !root() {
        return;
    }
    let place = Place::new("rights");
    let few = "-all,+bpf,+net_admin,+dac_override";
    for verb in ["plan", "apply"] {
        let file = place.folder.file(
            "few.sk",
            &format!("policy few\ninterfaces {FRONT}\ndefault in drop\n"),
        );
        let ran = || {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", few, "--inh-caps", "-all"]);
            command.args([env!("CARGO_BIN_EXE_sockc"), verb, &file]);
            Ran::of(command.output().unwrap())
        };
        let ran = place.lab.server.run(ran).unwrap();
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("needs the rights CAP_PERFMON"),
            "{}",
            ran.stderr
        );
    }
}

/// Who may not ask the kernel is told so, and what for; nothing is said of the policy, and nothing happens to it.
#[test]
fn another_user_is_told_what_status_needs() {
    if !root() {
        return;
    }
    let place = Place::new("another-user");
    let before = place.run(&["status", "--json"]).stdout;
    for verb in [
        &["status"][..],
        &["counters"],
        &["unload", "--yes"],
        &["socket", "list"],
    ] {
        let ran = || {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
            command.arg(env!("CARGO_BIN_EXE_sockc")).args(verb);
            Ran::of(command.output().unwrap())
        };
        let ran = place.lab.server.run(ran).unwrap();
        assert_eq!(ran.code, Some(3), "{verb:?}: {}{}", ran.stdout, ran.stderr);
        for right in ["CAP_BPF", "CAP_NET_ADMIN"] {
            assert!(ran.stderr.contains(right), "{verb:?}: {}", ran.stderr);
        }
        assert_eq!(ran.stdout, "", "{verb:?}");
    }
    assert_eq!(place.run(&["status", "--json"]).stdout, before);
}

/// A pin in the bpf file system can have no dot in its name, and interfaces and namespaces often have.
#[test]
fn names_with_dots_come_and_go() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::with(&["wan.5"]).unwrap(), Folder::new("dots"));
    let netns = NetnsName::new("a.b", &lab.client);
    let text = format!(
        "interfaces wan.5\ndefault in allow\ndrop udp to port 9 at xdp\ndrop udp to port 10 at tc\n\
         for netns \"{}\" {{\n  interfaces wan.5\n  default in allow\n  drop udp to port 9\n}}\n",
        netns.0
    );
    let policy = folder.file("dots.sk", &text);
    let says = |arguments: &[&str]| {
        let ran: Ran = lab.server.run(|| run(arguments)).unwrap();
        assert_eq!(
            ran.code,
            Some(0),
            "{arguments:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    };
    for _ in 0..2 {
        says(&["apply", &policy]);
    }
    let status = says(&["status"]);
    assert!(
        status.contains("wan.5") && status.contains(&netns.0),
        "{status}"
    );
    says(&["unload", "--yes"]);
    let status = says(&["status"]);
    assert!(!status.contains("wan.5"), "{status}");
}
