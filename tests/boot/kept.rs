//! What is kept on disk for the start of the machine, and `apply --boot`, which puts it in force.
//!
//! A machine that starts again is a new lab with the same disk: nothing but that is left of the one before. The command is
//! process 1 of its own process namespace, so that the network namespace it is in is the machine's own.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use sockc_runtime::lab::{FRONT, Group, Lab, Space};

use super::{Folder, Named, Ran, ip, root, run};

/// The address that services are at.
const SERVICE: &str = "1.1.1.77";
/// No minimal policy.
const NO_MINIMAL: &str = "/nonexistent/minimal.sk";

/// A disk, and the machine that has it.
struct Machine {
    disk: Folder,
    lab: Lab,
    listeners: Vec<TcpListener>,
}

impl Machine {
    fn new(name: &str) -> Self {
        let disk = Folder::new(name);
        let lab = started(&disk);
        let listeners = serve(&lab);
        Self {
            disk,
            lab,
            listeners,
        }
    }

    /// Nothing is left but the disk.
    fn starts_again(&mut self) {
        self.listeners.clear();
        self.lab = started(&self.disk);
        self.listeners = serve(&self.lab);
    }

    /// The command where the machine's own network namespace is.
    fn sockc(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]);
        command.arg(env!("CARGO_BIN_EXE_sockc")).args(arguments);
        let output = self.lab.server.run(|| command.output().unwrap()).unwrap();
        Ran::of(output)
    }

    fn must(&self, arguments: &[&str]) -> Ran {
        let ran = self.sockc(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran
    }

    /// `apply --boot`, as it has to end, without the minimal policy of the machine that runs this test.
    fn boots(&self, code: i32) -> Ran {
        let ran = self.sockc(&["apply", "--boot", "--minimal", NO_MINIMAL]);
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The policy that lets in what comes to one port.
    fn policy(&self, port: u16) -> String {
        let text = format!(
            "policy p{port}\ninterfaces {FRONT}\ndefault in drop\nallow tcp to port {port}\n"
        );
        self.disk.file(&format!("p{port}.sk"), &text)
    }

    /// Which of the ports can be reached from outside.
    fn reached(&self) -> Vec<u16> {
        let reached = |port: &u16| {
            let to = SocketAddr::new(SERVICE.parse().unwrap(), *port);
            TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok()
        };
        let all = || PORTS.into_iter().filter(reached).collect();
        self.lab.client.run(all).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.disk.0.join("sockc/container").join(name)
    }

    /// Writes something else into the middle of a file.
    fn damage(&self, name: &str) {
        let path = self.file(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

/// The ports that services are at.
const PORTS: [u16; 3] = [22, 53, 54];

fn started(disk: &Folder) -> Lab {
    let lab = Lab::new().unwrap();
    let from = disk.0.clone();
    let bind = || {
        let tmpfs = Some("tmpfs");
        mount(tmpfs, "/run", tmpfs, MsFlags::empty(), None::<&str>)?;
        mount(
            Some(&from),
            "/var/lib",
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
    };
    lab.server.run(bind).unwrap().unwrap();
    lab.serve(SERVICE.parse().unwrap(), 32).unwrap();
    lab
}

fn serve(lab: &Lab) -> Vec<TcpListener> {
    let listen = |port| TcpListener::bind((SERVICE, port)).unwrap();
    let all = || PORTS.into_iter().map(listen).collect();
    lab.server.run(all).unwrap()
}

fn says(ran: &Ran, words: &[&str]) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(all.contains(word), "{word}\n{all}");
    }
}

#[test]
fn what_was_in_force_for_good_is_again_when_the_machine_has_started() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("boots");
    machine.must(&["apply", &machine.policy(53), "--note", "NET-88"]);
    machine.starts_again();
    assert_eq!(machine.reached(), PORTS, "nothing is in force");
    let ran = machine.boots(0);
    says(
        &ran,
        &[
            "policy \"p53\" is in force",
            "which was generation 1, of 20",
        ],
    );
    assert_eq!(machine.reached(), [53]);

    // It stays, and it is what is kept.
    let again = machine.boots(0);
    says(
        &again,
        &["is in force already, generation 1; nothing was changed"],
    );
    machine.must(&["apply", "--running", "--yes"]);
    says(&machine.boots(0), &["is in force already"]);

    // What is on trial is not in force for good, whatever ends the trial.
    machine.must(&["apply", &machine.policy(54), "--confirm", "1h"]);
    let meanwhile = fs::read(machine.file("last")).unwrap();
    machine.must(&["rollback"]);
    assert_eq!(fs::read(machine.file("last")).unwrap(), meanwhile);
    machine.must(&["apply", &machine.policy(54), "--confirm", "1h"]);
    machine.must(&["confirm", "--same-connection"]);
    machine.starts_again();
    let ran = machine.sockc(&["apply", "--boot", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = ran.json();
    assert_eq!(
        (&told["start"], &told["policy"]),
        (&"last".into(), &"p54".into())
    );
    assert_eq!(machine.reached(), [54]);
    let history = machine.must(&["history", "--json"]).json();
    assert!(
        history["generations"][0]["file"]
            .as_str()
            .unwrap()
            .ends_with("p54.sk")
    );
}

#[test]
fn where_the_last_one_is_damaged_the_one_before_is_in_force_and_else_a_minimal_one() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("damaged");
    machine.must(&["apply", &machine.policy(53)]);
    machine.must(&["apply", &machine.policy(54)]);
    machine.damage("last");
    machine.starts_again();
    let ran = machine.boots(4);
    says(
        &ran,
        &[
            "container/last is not used: it is damaged",
            "policy \"p53\" is in force, generation 1\n",
            "the last policy could not be put in force",
        ],
    );
    assert_eq!(machine.reached(), [53]);
    // It is not what is kept as the last one, and that is not written over.
    let kept = fs::read(machine.file("last")).unwrap();
    says(&machine.boots(5), &["is not what is kept for the start"]);
    machine.must(&["apply", "--running", "--yes"]);
    assert_eq!(fs::read(machine.file("last")).unwrap(), kept);

    // Nothing of both.
    machine.damage("before");
    let minimal = machine.disk.file(
        "minimal.sk",
        &format!("interfaces {FRONT}\ndefault in drop\nallow tcp to port 54\n"),
    );
    machine.starts_again();
    let ran = machine.sockc(&["apply", "--boot", "--minimal", &minimal]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    says(
        &ran,
        &[
            "policy \"minimal\" is in force",
            "the minimal policy of this machine",
        ],
    );
    assert_eq!(machine.reached(), [54]);

    // What others can write to is none.
    fs::set_permissions(&minimal, fs::Permissions::from_mode(0o666)).unwrap();
    machine.starts_again();
    let ran = machine.sockc(&["apply", "--boot", "--json", "--minimal", &minimal]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    says(
        &ran,
        &["others than its owner can write to it", "which lets in SSH"],
    );
    assert_eq!(ran.json()["start"], "built-in");
    assert_eq!(machine.reached(), [22]);
    // What the machine asks itself is answered.
    let own = || {
        TcpStream::connect_timeout(
            &SocketAddr::new(SERVICE.parse().unwrap(), 53),
            Duration::from_secs(5),
        )
    };
    machine.lab.server.run(own).unwrap().unwrap();
}

/// How the disk is left.
type Left = (&'static str, fn(&Machine));

#[test]
fn whatever_stands_in_the_places_of_both_nothing_is_open() {
    if !root() {
        return;
    }
    let cases: [Left; 4] = [
        ("is empty", |machine| {
            for name in ["last", "before"] {
                fs::write(machine.file(name), "").unwrap();
            }
        }),
        ("no regular file", |machine| {
            for name in ["last", "before"] {
                fs::remove_file(machine.file(name)).unwrap();
                fs::create_dir(machine.file(name)).unwrap();
            }
        }),
        ("symbolic link", |machine| {
            for name in ["last", "before"] {
                let there = machine.disk.0.join(name);
                fs::rename(machine.file(name), &there).unwrap();
                symlink(there, machine.file(name)).unwrap();
            }
        }),
        ("others than its owner", |machine| {
            let all = machine.disk.0.join("sockc");
            fs::set_permissions(all, fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    let mut machine = Machine::new("rubbish");
    for (said, leave) in cases {
        machine.must(&["apply", &machine.policy(53)]);
        machine.must(&["apply", &machine.policy(54)]);
        leave(&machine);
        machine.starts_again();
        says(&machine.boots(5), &[said]);
        assert_eq!(machine.reached(), [22], "{said}");
        fs::remove_dir_all(machine.disk.0.join("sockc")).unwrap();
        machine.starts_again();
    }
    says(&machine.boots(5), &["No such file"]);
    assert_eq!(machine.reached(), [22]);
}

#[test]
fn after_an_unload_nothing_comes_back() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("unloaded");
    machine.must(&["apply", &machine.policy(53)]);
    machine.must(&["apply", &machine.policy(54)]);
    machine.must(&["unload", "--yes"]);
    machine.starts_again();
    says(
        &machine.boots(0),
        &["nothing is put in force: `sockc unload` took the policy away at 20"],
    );
    assert_eq!(machine.reached(), PORTS);
    // Where nothing is in force, what is kept goes all the same.
    machine.must(&["apply", &machine.policy(53)]);
    machine.starts_again();
    let ran = machine.must(&["unload", "--yes"]);
    says(
        &ran,
        &["what was kept for the next start of the machine is not any more"],
    );
    says(&machine.boots(0), &["nothing is put in force"]);
    assert_eq!(machine.must(&["unload", "--yes"]).stderr, "");
}

#[test]
fn what_cannot_be_kept_is_told_with_what_is_in_force_then() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("full");
    let small = || {
        let tmpfs = Some("tmpfs");
        mount(tmpfs, "/var/lib", tmpfs, MsFlags::empty(), Some("size=64k")).unwrap();
        fs::write("/var/lib/filled", vec![0; 60 << 10]).unwrap();
    };
    machine.lab.server.run(small).unwrap();
    let ran = machine.must(&["apply", &machine.policy(53)]);
    says(
        &ran,
        &[
            "note: generation 1 is not kept for the next start of the machine: No space left on device",
            "`sockc apply --boot` would put a minimal policy in force then, since nothing is kept",
        ],
    );
    assert_eq!(machine.reached(), [53]);
    machine
        .lab
        .server
        .run(|| fs::remove_file("/var/lib/filled"))
        .unwrap()
        .unwrap();
    machine.must(&["apply", &machine.policy(53)]);
    let fill = || fs::write("/var/lib/filled", vec![0; 64 << 10]);
    let _ = machine.lab.server.run(fill).unwrap();
    let ran = machine.must(&["apply", &machine.policy(54)]);
    says(
        &ran,
        &["would put generation 2 of the policy \"p53\" in force then"],
    );
    let ran = machine.must(&["unload", "--yes"]);
    says(
        &ran,
        &["would put generation 2 of the policy \"p53\" in force then"],
    );
    machine.starts_again();
    assert!(!machine.disk.0.join("sockc").exists());
}

/// Of other network namespaces only where somebody asks for it; a command that is not in the machine's own writes nothing.
#[test]
fn of_other_namespaces_nothing_is_kept_unless_there_is_a_folder() {
    if !root() {
        return;
    }
    let machine = Machine::new("others");
    let mut named = Named::new("blue", &machine.lab.server);
    let apply = [
        "apply",
        &machine.policy(53),
        "--interface",
        "lo",
        "--netns",
        "blue",
    ];
    let own = machine.policy(54);
    let within = |arguments: &[&str]| machine.lab.server.run(|| run(arguments)).unwrap();
    assert_eq!(within(&["apply", &own]).code, Some(0));
    machine.must(&apply);
    assert!(!machine.disk.0.join("sockc").exists());
    let folder = machine.disk.0.join("sockc/netns/blue");
    fs::create_dir_all(&folder).unwrap();
    machine.must(&apply);
    assert!(folder.join("last").exists());
    assert!(!machine.disk.0.join("sockc/container").exists());
    let boot = ["apply", "--boot", "--netns", "blue"];
    says(&machine.must(&boot), &["is in force already"]);
    // Another one gets the number of one that ended, and has what was pinned for that. The kernel gives a number back later, and what
    // other tests make may take it: so there are several that had a policy.
    let number = || {
        let look = || fs::metadata(Named::path("blue")).unwrap().ino();
        machine.lab.server.run(look).unwrap()
    };
    let until = Instant::now() + Duration::from_secs(20);
    let mut before = BTreeSet::new();
    while before.insert(number()) {
        assert!(Instant::now() < until, "no namespace got a number again");
        machine.must(&apply);
        drop(named);
        named = Named::new("blue", &machine.lab.server);
    }
    let ran = machine.must(&boot);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!said.contains("is in force already"), "{said}");
    let status = machine.must(&["status", "--netns", "blue"]);
    says(&status, &["generation 1"]);
}

/// What a policy names and is not there yet is no reason to leave the rest open.
#[test]
fn what_comes_later_is_left_out_and_told() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("later");
    let (named, group) = (
        Named::new("blue", &machine.lab.server),
        Group::new().unwrap(),
    );
    let name = named.name.clone();
    let policy = machine.disk.file(
        "later.sk",
        &format!(
            "interfaces {FRONT}, late0\ndefault in drop\nallow tcp to port 53\n\
             allow udp if socket exists in netns \"{name}\"\n\
             group jobs = cgroup \"{}\"\ndefault connect allow\ndrop connect udp from group jobs to port 9\n\
             for netns \"{name}\" {{\ninterfaces lo\ndefault in drop\n}}\n",
            group.path()
        ),
    );
    ip(
        &machine.lab.server,
        "link add late0 type veth peer name late1",
    );
    machine.must(&["apply", &policy]);
    drop((named, group));
    machine.starts_again();
    let ran = machine.boots(0);
    says(
        &ran,
        &[
            "there is no interface \"late0\" now",
            &format!(
                "there is no network namespace \"{name}\" now; when there is, the policy of its `for netns` block"
            ),
            &format!("there is no network namespace \"{name}\" now: `in netns`"),
        ],
    );
    assert_eq!(machine.reached(), [53]);
    let status = machine.sockc(&["status"]);
    assert_eq!(status.code, Some(5), "{}", status.stderr);
    says(&status, &["late0", &name]);
    // They come.
    let _named = Named::new(&name, &machine.lab.server);
    ip(
        &machine.lab.server,
        "link add late0 type veth peer name late1",
    );
    machine.must(&["apply", "--running", "--yes"]);
    let status = machine.sockc(&["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
}

/// What is kept is what is in force, whichever of both was the later one.
#[test]
fn two_commands_at_once_keep_one_of_both() {
    if !root() {
        return;
    }
    let machine = Machine::new("twice");
    let policies = [machine.policy(53), machine.policy(54)];
    let space: &Space = &machine.lab.server;
    thread::scope(|scope| {
        for policy in &policies {
            scope.spawn(|| {
                let mut command = Command::new("unshare");
                command.args(["--pid", "--fork", "--mount-proc"]);
                command.args([env!("CARGO_BIN_EXE_sockc"), "apply", policy]);
                let ran = Ran::of(space.run(|| command.output().unwrap()).unwrap());
                assert_eq!(ran.code, Some(0), "{}", ran.stderr);
                assert!(!ran.stderr.contains("not kept"), "{}", ran.stderr);
            });
        }
    });
    says(&machine.boots(0), &["is in force already, generation 2"]);
}

/// What is kept is not asked whether it cuts the SSH connection of whoever wants it back.
#[test]
fn over_ssh_nothing_is_put_back_unless_somebody_wants_it_so() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("boot-ssh");
    machine.must(&["apply", &machine.policy(53)]);
    machine.starts_again();
    let boot = |more: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]);
        command.arg(env!("CARGO_BIN_EXE_sockc"));
        command
            .args(["apply", "--boot", "--minimal", NO_MINIMAL])
            .args(more);
        command.env("SSH_CONNECTION", "192.0.2.7 40000 1.1.1.77 22");
        Ran::of(
            machine
                .lab
                .server
                .run(|| command.output().unwrap())
                .unwrap(),
        )
    };
    let refused = boot(&[]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("nothing was changed"),
        "{}",
        refused.stderr
    );
    assert_eq!(machine.reached(), PORTS);
    let wanted = boot(&["--lock-me-out"]);
    assert_eq!(wanted.code, Some(0), "{}", wanted.stderr);
    assert_eq!(machine.reached(), [53]);
}

/// An unload that was killed before it removed the policy before the last one leaves none that comes back later.
#[test]
fn what_was_unloaded_is_before_nothing() {
    if !root() {
        return;
    }
    let mut machine = Machine::new("boot-unloaded");
    machine.must(&["apply", &machine.policy(53)]);
    machine.must(&["apply", &machine.policy(22)]);
    let kept = machine.disk.0.join("kept");
    fs::hard_link(machine.file("before"), &kept).unwrap();
    machine.must(&["unload", "--yes"]);
    fs::hard_link(&kept, machine.file("before")).unwrap();
    machine.must(&["apply", &machine.policy(54)]);
    machine.damage("last");
    machine.starts_again();
    machine.boots(5);
    assert_eq!(machine.reached(), [22]);
}
