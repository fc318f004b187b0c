//! The package in a clean Debian: installed, used, put over itself, removed and purged, while packets say what is in force.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sockc_runtime::lab::Space;
use sockc_testing::again;

use super::{Folder, SOCKC, bind_kernel, can_run, done, done_in, manual, source};

/// What is put in force there.
const POLICY: &str = "policy packaged\ninterfaces lo\ndefault in allow\ndrop udp to port 9999\n";
/// What removal says while something is in force.
const SAID: &str = "sockc: what is in force stays in force until the machine stops";

/// A systemctl for a Debian that has no systemd: it knows the units that are installed, and reaches no systemd.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1" = try-restart ] && exec test -e "/usr/lib/systemd/system/$2"
echo "systemctl: nobody answers $1" >&2
exit 1
"#;
/// What it says to the scripts of the package.
const UNANSWERED: &str = "systemctl: nobody answers daemon-reload";

/// A Debian with what is essential and nothing else, in a network of its own.
struct Clean {
    folder: Folder,
    space: Space,
}

impl Clean {
    fn new() -> Self {
        let folder = Folder::new("clean");
        let root = folder.0.join("root");
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=essential", &codename()]);
        done(make.arg(&root));
        let systemctl = root.join("usr/bin/systemctl");
        fs::write(&systemctl, SYSTEMCTL).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        let space = Space::with_bpffs().unwrap();
        bind_kernel(&space, &root, &["proc", "sys", "dev"]);
        done_in(&space, Command::new("ip").args(["link", "set", "lo", "up"]));
        Self { folder, space }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder
            .0
            .join("root")
            .join(name.trim_start_matches('/'))
    }

    /// Runs lines of a shell inside, all of them or up to the first that fails.
    fn runs(&self, lines: &[String]) -> String {
        let mut command = Command::new("chroot");
        command.arg(self.path("/")).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(["bash", "-euxc", &lines.join("\n")]);
        done_in(&self.space, &mut command)
    }

    fn run(&self, line: &str) -> String {
        self.runs(&[line.to_owned()])
    }

    /// The files, but for what dpkg and others write down of their work.
    fn files(&self) -> BTreeSet<String> {
        let listed = self.run(
            "set +x; cd /; find etc usr var opt root run srv home \
             ! -path 'var/lib/dpkg/*' ! -path 'var/log/*' ! -path 'var/cache/*' 2>&1",
        );
        let lines = listed.lines().filter(|line| !line.starts_with('+'));
        lines.map(str::to_owned).collect()
    }

    /// Whether a datagram to the port that the policy is about arrives. What is sent after it, to another port, has arrived by then.
    fn is_open(&self) -> bool {
        let ask = || {
            let [about, other] =
                [9999, 9998].map(|port| UdpSocket::bind(("127.0.0.1", port)).unwrap());
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            other
                .set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            for _ in 0..3 {
                sender.send_to(b"?", about.local_addr().unwrap()).unwrap();
                sender.send_to(b"!", other.local_addr().unwrap()).unwrap();
                again(|| other.recv(&mut [0; 1])).unwrap();
            }
            about.set_nonblocking(true).unwrap();
            match again(|| about.recv(&mut [0; 1])) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) => panic!("{error}"),
            }
        };
        self.space.run(ask).unwrap()
    }

    /// The generation in force, by the command of the test: that of the package may be gone.
    fn generation(&self) -> serde_json::Value {
        let said = done_in(&self.space, Command::new(SOCKC).args(["status", "--json"]));
        let status: serde_json::Value = serde_json::from_str(&said).unwrap();
        status["generation"].clone()
    }
}

/// The name of this machine's Debian: the binary wants its C library.
fn codename() -> String {
    let about = fs::read_to_string("/etc/os-release").unwrap();
    let mut lines = about.lines();
    let name = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap().to_owned()
}

/// The package, made as the manual says of the binary that is there.
pub(super) fn build(into: &Path) -> PathBuf {
    let [line, install] = <[String; 2]>::try_from(manual::commands("A Debian package")).unwrap();
    let line = line.replace("target/release/sockc", SOCKC);
    let words: Vec<&str> = line.split(' ').collect();
    let [bash @ .., "."] = words.as_slice() else {
        panic!("{line}");
    };
    let mut make = Command::new(bash[0]);
    make.args(&bash[1..]).arg(into).current_dir(source(""));
    let package = PathBuf::from(done(&mut make).trim());
    assert!(
        install.ends_with(package.file_name().unwrap().to_str().unwrap()),
        "{install}"
    );
    package
}

#[test]
fn a_clean_debian_takes_it_uses_it_and_loses_it_again() {
    if !can_run(&["mmdebstrap", "dpkg-shlibdeps", "strip", "ip", "lintian"]) {
        return;
    }
    let clean = Clean::new();
    let package = build(&clean.folder.0);
    let said = done(
        Command::new("lintian")
            .args(["--allow-root", "--fail-on", "error"])
            .arg(&package),
    );
    assert!(!said.contains("E: "), "{said}");
    let name = package.file_name().unwrap();
    fs::copy(&package, clean.path("/root").join(name)).unwrap();
    let install = || {
        clean.run(&format!(
            "cd /root; {}",
            manual::commands("A Debian package")[1]
        ))
    };

    let before = clean.files();
    install();
    nothing_comes_into_force(&clean);
    is_whole(&clean);

    fs::create_dir(clean.path("/etc/sockc")).unwrap();
    fs::write(clean.path("/etc/sockc/policy.sk"), POLICY).unwrap();
    assert!(clean.is_open());
    clean.runs(&manual::commands("The first start"));
    assert!(!clean.is_open());
    let generation = clean.generation();

    let lines = manual::commands("Upgrade");
    clean.run(&format!("cd /root; {}", lines[0]));
    assert_eq!((clean.is_open(), clean.generation()), (false, generation));
    clean.runs(&lines[1..]);
    assert!(!clean.is_open());

    what_is_in_force_outlives_it(&clean);

    // From here on with a systemd that does not answer.
    fs::create_dir_all(clean.path("/run/systemd/system")).unwrap();
    let said = install();
    assert!(said.contains(UNANSWERED), "{said}");
    let said = clean.runs(&manual::commands("Removal"));
    assert!(!said.contains(SAID) && said.contains(UNANSWERED), "{said}");
    assert!(!said.contains("requires a unit"), "{said}");
    fs::remove_dir_all(clean.path("/run/systemd")).unwrap();
    assert!(clean.is_open());
    let after = clean.files();
    let left: Vec<&String> = after.symmetric_difference(&before).collect();
    let ours = ["etc/sockc", "etc/sockc/policy.sk"];
    assert_eq!(left, ours, "what the administrator made, and nothing else");
}

/// Right after installing.
fn nothing_comes_into_force(clean: &Clean) {
    assert!(!clean.path("/etc/sockc").exists());
    assert_eq!(
        clean.run("set +x; find /etc /var/lib/systemd -lname '*sockc*' 2> /dev/null || true"),
        "+ set +x\n"
    );
    // The kernel puts two files of its own there.
    let pinned = clean.run("set +x; find /sys/fs/bpf -mindepth 1 ! -name '*.debug'");
    assert_eq!(pinned, "+ set +x\n");
}

/// All that belongs to it is there, and is what it should be.
fn is_whole(clean: &Clean) {
    clean.run("bash -n /usr/share/bash-completion/completions/sockc");
    clean.run("head -n 1 /usr/share/zsh/vendor-completions/_sockc | grep -qx '#compdef sockc'");
    clean.run("grep -q '^complete -c sockc' /usr/share/fish/vendor_completions.d/sockc.fish");
    for page in ["sockc", "sockc-apply", "sockc-set-add"] {
        clean.run(&format!(
            "gzip -dc /usr/share/man/man1/{page}.1.gz | grep -q '^.TH'"
        ));
    }
    clean.run("sockc check /usr/share/doc/sockc/examples/rules/two-sentences.sk");
    clean.run("gzip -dc /usr/share/doc/sockc/changelog.gz | grep -q '^## Unreleased'");
    for licence in [
        "copyright",
        "LICENSE-MIT",
        "examples/rules/README.md",
        "docs/install.md",
    ] {
        assert!(
            clean.path("/usr/share/doc/sockc").join(licence).exists(),
            "{licence}"
        );
    }
    // What units start is what is installed.
    let units = clean.run("cd /usr/lib/systemd/system; cat sockc*");
    assert!(
        units.contains("ExecStart=/usr/bin/sockc") && !units.contains("/usr/local"),
        "{units}"
    );
    for unit in fs::read_dir(source("contrib/systemd")).unwrap() {
        let unit = unit.unwrap().file_name();
        let there = clean.path("/usr/lib/systemd/system").join(&unit);
        assert!(there.exists(), "{unit:?}");
    }
}

/// Removed and purged with a policy in force and a unit enabled.
fn what_is_in_force_outlives_it(clean: &Clean) {
    let kept = clean.path("/var/lib/sockc/host/last");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::write(&kept, "what is kept").unwrap();
    let wants = clean.path("/etc/systemd/system/sysinit.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(
        "/usr/lib/systemd/system/sockc.service",
        wants.join("sockc.service"),
    )
    .unwrap();
    symlink("/nowhere/theirs.service", wants.join("theirs.service")).unwrap();
    let generation = clean.generation();
    let requiring = units_of_the_administrator(clean);

    let said = clean.run("dpkg -r sockc");
    assert!(said.contains(SAID), "{said}");
    let named = said.lines().filter_map(|line| {
        let (name, _) = line
            .strip_prefix("sockc: ")?
            .split_once(" requires a unit")?;
        Some(name.to_owned())
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), requiring, "{said}");
    assert!(!clean.path("/usr/bin/sockc").exists());
    assert!(kept.exists() && wants.join("sockc.service").is_symlink());
    assert_eq!(
        (clean.is_open(), clean.generation()),
        (false, generation.clone())
    );

    clean.run("dpkg -P sockc");
    assert!(!clean.path("/var/lib/sockc").exists());
    assert!(
        !wants.join("sockc.service").is_symlink(),
        "a later installation would come into force"
    );
    assert!(wants.join("theirs.service").is_symlink());
    assert_eq!(
        fs::read_to_string(clean.path("/etc/sockc/policy.sk")).unwrap(),
        POLICY
    );
    assert_eq!((clean.is_open(), clean.generation()), (false, generation));
    let units = clean.path("/etc/systemd/system");
    fs::remove_dir_all(wants).unwrap();
    for name in ["edge.service.d", "edge.service.requires"] {
        fs::remove_dir_all(units.join(name)).unwrap();
    }
}

/// Units that an administrator may have written, of which some do not start without ours: which these are.
fn units_of_the_administrator(clean: &Clean) -> BTreeSet<String> {
    const UNITS: &str = "/etc/systemd/system";
    let there = clean.path(UNITS);
    let (dropped, linked) = (
        there.join("edge.service.d"),
        there.join("edge.service.requires"),
    );
    for folder in [&dropped, &linked] {
        fs::create_dir_all(folder).unwrap();
    }
    let files = [
        // As docs/boot.md says.
        ("boot", "Requires=sockc.service sockc-watch.service\n", true),
        (
            "bound",
            "BindsTo = their.service sockc-watch.service\n",
            true,
        ),
        (
            "long",
            "Requisite=their.service \\\n  sockc.service\n",
            true,
        ),
        ("late", "After=sockc.service\nWants=sockc.service\n", false),
        (
            "other",
            "Requires=oursockc.service\n#Requires=sockc.service\n",
            false,
        ),
    ];
    let mut requiring = BTreeSet::new();
    for (name, line, is_named) in files {
        fs::write(
            dropped.join(format!("{name}.conf")),
            format!("[Unit]\n{line}"),
        )
        .unwrap();
        requiring.extend(is_named.then(|| format!("{UNITS}/edge.service.d/{name}.conf")));
    }
    let unit = "/usr/lib/systemd/system/sockc.service";
    symlink(unit, linked.join("sockc.service")).unwrap();
    requiring.insert(format!("{UNITS}/edge.service.requires/sockc.service"));
    requiring
}
