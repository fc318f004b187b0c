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
