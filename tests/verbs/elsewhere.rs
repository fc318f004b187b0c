//! Commands in network namespaces where what sockc keeps is not at hand, or that are gone.

use std::process::Command;

use sockc_runtime::lab::{FRONT, Lab, Space};

use super::{Folder, NetnsName, Ran, root, run};

/// A lab whose client has the policy of a block, applied from the server, with the name of its namespace.
struct Place {
    lab: Lab,
    folder: Folder,
    netns: String,
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
            netns,
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

/// What a shell prints that has mounts of its own, in the network namespace of a space. `$0` is the command.
fn shell(space: &Space, script: &str) -> Ran {
    let sockc = env!("CARGO_BIN_EXE_sockc");
    let ran = || {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", script, sockc]);
        Ran::of(command.output().unwrap())
    };
    space.run(ran).unwrap()
}

#[test]
fn a_program_of_sockc_is_not_called_foreign_where_its_policy_is_not_at_hand() {
    if !root() {
        return;
    }
    let place = Place::new("kept-elsewhere");
    let other = "mount -t bpf -o mode=0700 bpf /sys/fs/bpf; ";
    let file = place.folder.file(
        "edge.sk",
        &format!("interfaces {FRONT}\ndefault in drop\nallow tcp to port 22\n"),
    );
    let apply = format!("{other}\"$0\" apply {file}");
    let applied = shell(&place.lab.client, &apply);
    assert_eq!(applied.code, Some(3), "{}", applied.stderr);
    assert!(
        applied.stderr.contains("its name says that sockc made it")
            && !applied.stderr.contains("did not make"),
        "{}",
        applied.stderr
    );
}

#[test]
fn in_a_named_namespace_the_remedy_is_its_name() {
    if !root() {
        return;
    }
    let space = Space::new().unwrap();
    let script = "mount -t tmpfs run /run; mkdir /run/netns; : > /run/netns/blue; \
        mount --bind /proc/self/ns/net /run/netns/blue; mount -t sysfs sys /sys; \"$0\" status";
    let status = shell(&space, script);
    assert_eq!(status.code, Some(3), "{}", status.stderr);
    assert!(
        status.stderr.contains("`--netns blue`"),
        "{}",
        status.stderr
    );
    assert!(!status.stderr.contains("mount one"), "{}", status.stderr);
}

#[test]
fn a_socket_that_no_rule_uses_is_not_said_to_be_undeclared() {
    if !root() {
        return;
    }
    let place = Place::new("unused-socket");
    let list = place.run(&["socket", "list"]);
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    assert_eq!(
        list.stdout,
        "no rule of the policy in force uses a named socket\n"
    );
}

#[test]
fn a_policy_of_a_block_is_mended_from_where_the_block_is() {
    if !root() {
        return;
    }
    let place = Place::new("owned");
    let text = std::fs::read_to_string(&place.policy).unwrap();
    let inner = format!("{{\n  interfaces {FRONT}");
    let wide = text.replace(&inner, &format!("{{\n  interfaces w*, {FRONT}"));
    assert_ne!(text, wide);
    std::fs::write(&place.policy, wide).unwrap();
    assert_eq!(place.run(&["apply", &place.policy]).code, Some(0));
    let made = shell(&place.lab.client, "ip link add w0 type veth peer name w-p");
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let status = place.run(&["status", "--netns", &place.netns]);
    assert_eq!(status.code, Some(5), "{}", status.stderr);
    assert!(
        status.stderr.contains("is to be run there"),
        "{}",
        status.stderr
    );
    let applied = place.run(&["apply", "--running", "--netns", &place.netns]);
    assert_eq!(applied.code, Some(3), "{}", applied.stderr);
    assert!(
        applied.stderr.contains("change it in that policy")
            && !applied.stderr.contains("changed after it was compiled"),
        "{}",
        applied.stderr
    );
    assert_eq!(place.run(&["apply", "--running"]).code, Some(0));
    assert_eq!(place.run(&["status"]).code, Some(0));
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
