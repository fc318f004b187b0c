//! The units of `contrib/systemd/`, under a systemd that starts a machine of its own.
//!
//! `machine.sh` makes the machine, from this one's /usr: each start takes a second. What is asked there is asked by a service
//! that starts as those do that bring a network up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use sockc_runtime::lab::Space;

use super::{Folder, root};

/// What is asked when the firewall has to be in force.
const PROBE: &str = "sockc status > /out/status 2>&1
systemctl show -P ActiveState -P ExecMainStatus sockc.service > /out/unit
";

/// A machine that is off.
struct Machine {
    folder: Folder,
}

impl Machine {
    /// One whose disk has two policies, `first` and `last`.
    fn new(name: &str) -> Self {
        let machine = Self {
            folder: Folder::new(name),
        };
        for below in ["disk", "etc/feeds", "out"] {
            fs::create_dir_all(machine.folder.0.join(below)).unwrap();
        }
        let space = Space::with_bpffs().unwrap();
        let from = machine.folder.0.join("disk");
        let bind = || {
            let (nothing, tmpfs) = (None::<&str>, Some("tmpfs"));
            mount(tmpfs, "/var/lib", tmpfs, MsFlags::empty(), nothing).unwrap();
            fs::create_dir("/var/lib/sockc").unwrap();
            mount(
                Some(&from),
                "/var/lib/sockc",
                nothing,
                MsFlags::MS_BIND,
                nothing,
            )
            .unwrap();
        };
        space.run(bind).unwrap();
        for policy in ["first", "last"] {
            let file = machine.policy(&format!("{policy}.sk"), policy);
            let mut apply = Command::new("unshare");
            apply.args(["--pid", "--fork", "--mount-proc"]);
            apply.args([env!("CARGO_BIN_EXE_sockc"), "apply", &file]);
            let ran = space.run(|| apply.output().unwrap()).unwrap();
            assert!(ran.status.success(), "{ran:?}");
        }
        machine
    }

    /// Writes a policy of this name.
    fn policy(&self, file: &str, name: &str) -> String {
        let text = format!(
            "policy {name}\ninterfaces lo\ndefault in allow\nlive set banned max 10\ndrop udp from @banned\n"
        );
        self.folder.file(file, &text)
    }

    /// Writes something else into the middle of a file of the disk.
    fn damage(&self, name: &str) {
        let path = self.folder.0.join("disk/container").join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Starts it, has something asked, and waits until it is off; gives what the firewall's unit said.
    fn starts(&self, probe: &str) -> String {
        self.folder.file("probe", probe);
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut machine = Command::new("bash");
        machine
            .arg(source.join("tests/boot/machine.sh"))
            .arg(&self.folder.0)
            .arg(env!("CARGO_BIN_EXE_sockc"))
            .arg(source.join("contrib/systemd"))
            .stdin(Stdio::null());
        let ran = machine.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let said = self.out("said");
        let _ = fs::remove_file(self.folder.0.join("out/said"));
        said
    }

    fn out(&self, name: &str) -> String {
        let path = self.folder.0.join("out").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| format!("{name}: {error}"))
    }
}

#[test]
fn the_policy_is_in_force_before_the_network_comes() {
    if !root() {
        return;
    }
    let machine = Machine::new("units");
    machine.policy("etc/policy.sk", "next");
    let feed = machine
        .folder
        .file("etc/feeds/banned", "#!/bin/sh\necho 203.0.113.7\n");
    fs::set_permissions(feed, fs::Permissions::from_mode(0o755)).unwrap();
    let said = machine.starts(&format!(
        "{PROBE}
cd /etc/systemd/system
systemd-analyze verify --man=no sockc.service sockc-watch.service sockc-exporter.service sockc-exporter.socket \
    sockc-answer.service sockc-answer.socket \
    sockc-set@banned.service sockc-set@banned.timer > /out/verify 2>&1
echo $? >> /out/verify
systemctl show -P Requires -P RequiresMountsFor sockc.service > /out/needs
systemctl start sockc-watch.service
systemctl show -P ActiveState sockc-watch.service > /out/watch
systemctl stop sockc-watch.service sockc.service
sockc status > /out/stopped 2>&1
systemctl start sockc.service && systemctl reload sockc.service
sockc status > /out/reloaded 2>&1
systemctl start sockc-exporter.socket
curl -sS http://127.0.0.1:9814/metrics > /out/metrics 2>&1
systemctl --job-mode=ignore-dependencies start sockc-set@banned.service
sockc set list banned > /out/banned 2>&1
"
    ));
    let status = machine.out("status");
    assert!(
        status.starts_with("policy \"last\" is in force, generation 1\n"),
        "{status}\n{said}"
    );
    assert_eq!(machine.out("unit"), "0\nactive\n", "{said}");
    assert_eq!(machine.out("verify"), "0\n");
    assert_eq!(machine.out("watch"), "active\n");
    // Where a disk does not come, the unit starts all the same.
    assert!(
        !machine.out("needs").contains("var"),
        "{}",
        machine.out("needs")
    );
    assert!(
        machine.out("stopped").starts_with("policy \"last\""),
        "{}",
        machine.out("stopped")
    );
    let reloaded = machine.out("reloaded");
    assert!(
        reloaded.starts_with("policy \"next\""),
        "{reloaded}\n{said}"
    );
    assert!(
        machine.out("metrics").contains("policy=\"next\""),
        "{}\n{said}",
        machine.out("metrics")
    );
    assert!(
        machine.out("banned").contains("203.0.113.7"),
        "{}\n{said}",
        machine.out("banned")
    );
    // What was reloaded is what comes back; no process of the first life is there any more.
    let said = machine.starts(PROBE);
    assert!(
        machine
            .out("status")
            .starts_with("policy \"next\" is in force, generation 1\n"),
        "{said}"
    );
}

#[test]
fn what_is_damaged_makes_the_unit_fail_and_opens_nothing() {
    if !root() {
        return;
    }
    let machine = Machine::new("fallback");
    machine.damage("last");
    let said = machine.starts(PROBE);
    assert!(
        machine
            .out("status")
            .starts_with("policy \"first\" is in force"),
        "{said}"
    );
    assert_eq!(machine.out("unit"), "4\nfailed\n", "{said}");
    assert!(said.contains("last is not used: it is damaged"), "{said}");
    machine.damage("before");
    machine.policy("etc/minimal.sk", "own");
    let said = machine.starts(PROBE);
    assert!(
        machine
            .out("status")
            .starts_with("policy \"own\" is in force"),
        "{said}"
    );
    assert_eq!(machine.out("unit"), "5\nfailed\n", "{said}");
}
