//! Which capabilities each command takes: the table of `docs/rights.md`, run as another user than root.
//!
//! Every line runs with exactly the capabilities that it names, and without each of them in turn. Takes root, to become that user,
//! and setpriv(1); says `skipped: …` elsewhere, and `SOCKC_KERNEL=require` makes that a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod answered;
mod container;
mod delegated;
mod elsewhere;
mod outskirts;
mod served;
mod table;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio, id};

use sockc_runtime::lab::{BPFFS, Space, missing_rights};
use table::Row;

/// Somebody who owns a bpf file system and a folder, and nothing else.
const USER: u32 = 64_321;

const POLICY: &str = "interfaces lo
default in allow
live set banned max 10
socket proxy = tcp listen 127.0.0.1:1234
live map tenants max 10 = { tcp 198.51.100.0/28:443 -> sock proxy }
drop udp from @banned to port 9999
redirect by @tenants
";

/// Where that user works: a network of its own, a bpf file system and a folder with the files that the manual names.
struct Scene {
    space: Space,
    folder: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sockc-rights-{name}-{}", id()));
        fs::create_dir_all(&folder).unwrap();
        let files = [
            ("edge.sk", format!("policy edge\n{POLICY}")),
            ("next.sk", format!("policy next\n{POLICY}")),
            ("list", "192.0.2.9\n192.0.2.10\n".to_owned()),
            (
                "entries",
                "tcp 198.51.100.0/28:444 -> sock proxy\n".to_owned(),
            ),
        ];
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        // The folder that it was built in may be root's alone.
        fs::copy(env!("CARGO_BIN_EXE_sockc"), folder.join("sockc")).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let space = Space::with_bpffs().unwrap();
        let theirs = || chown(BPFFS, Some(USER), Some(USER)).unwrap();
        space.run(theirs).unwrap();
        Self { space, folder }
    }

    /// Runs a command line of the manual as that user, with these capabilities and no others.
    fn runs(&self, line: &str, capabilities: &[String]) -> Output {
        let names = capabilities
            .iter()
            .map(|name| name.trim_start_matches("CAP_"));
        let set = names.fold("-all".to_owned(), |set, name| {
            set + ",+" + &name.to_lowercase()
        });
        let user = USER.to_string();
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--no-new-privs",
        ]);
        command.args([
            "--inh-caps",
            &set,
            "--ambient-caps",
            &set,
            "--bounding-set",
            &set,
        ]);
        // The one network namespace that is sure to be there is the command's own.
        let line = line.replace("--netns blue", "--netns /proc/self/ns/net");
        let line = format!("cd {}; exec ./{line}", self.folder.display());
        command.args(["sh", "-c", &line]).stdin(Stdio::null());
        self.space.run(|| command.output().unwrap()).unwrap()
    }

    /// What that user sees of what is in force; it changes by every command that does anything.
    fn seen(&self) -> Vec<String> {
        let all = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].map(str::to_owned);
        let lines = [
            "sockc show running",
            "sockc counters",
            "sockc set list banned",
            "sockc map list tenants",
        ];
        let mut seen: Vec<String> = lines
            .iter()
            .map(|line| said(&self.runs(line, &all)))
            .collect();
        seen.extend(self.space.run(|| names_below(Path::new(BPFFS))).unwrap());
        seen
    }
}

/// The names of what is pinned, in order.
fn names_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            found.extend(names_below(&path));
        }
    }
    found.sort();
    found
}

fn said(output: &Output) -> String {
    let bytes = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(bytes).unwrap()
}

/// How a refusal names what misses: without CAP_SYS_ADMIN that misses, too, which it stands for.
fn named(missing: &str) -> &str {
    match missing {
        "CAP_SYS_ADMIN" => "CAP_BPF and CAP_SYS_ADMIN",
        one => one,
    }
}

/// Whether a test may run; says so where it may not.
fn can_run() -> bool {
    let missing = missing_rights();
    if !missing.is_empty() {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs {missing:?}");
        eprintln!("skipped: needs root");
    }
    missing.is_empty()
}

#[test]
fn each_command_takes_what_the_table_says_and_nothing_less() {
    if !can_run() {
        return;
    }
    let scene = Scene::new("table");
    for Row { command, takes } in table::rows() {
        for missing in &takes {
            let rest: Vec<String> = takes
                .iter()
                .filter(|name| *name != missing)
                .cloned()
                .collect();
            let before = scene.seen();
            let ran = scene.runs(&command, &rest);
            let told = said(&ran);
            assert_eq!(
                ran.status.code(),
                Some(3),
                "{command} without {missing}: {told}"
            );
            assert!(
                told.contains(&format!("this needs the rights {};", named(missing))),
                "{command} without {missing}: {told}"
            );
            assert_eq!(scene.seen(), before, "{command} without {missing}");
        }
        let ran = scene.runs(&command, &takes);
        assert_eq!(
            ran.status.code(),
            Some(0),
            "{command} with {takes:?}: {}",
            said(&ran)
        );
    }
}

#[test]
fn what_another_user_made_is_refused_and_says_what_to_do() {
    if !can_run() {
        return;
    }
    let scene = Scene::new("other");
    let takes = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].map(str::to_owned);
    let root = |line: &str| {
        let line = format!("cd {}; exec ./{line}", scene.folder.display());
        let mut command = Command::new("sh");
        command.args(["-c", &line]).stdin(Stdio::null());
        scene.space.run(|| command.output().unwrap()).unwrap()
    };
    assert!(
        scene
            .runs("sockc apply edge.sk --yes", &takes)
            .status
            .success()
    );
    // Root uses nothing that a user could have put there.
    for line in [
        "sockc status",
        "sockc apply next.sk --yes",
        "sockc unload --yes",
    ] {
        let ran = root(line);
        let told = said(&ran);
        assert_eq!(ran.status.code(), Some(3), "{line}: {told}");
        assert!(told.contains(&format!("{USER}")), "{line}: {told}");
    }
    assert!(scene.runs("sockc unload --yes", &takes).status.success());

    assert!(root("sockc apply edge.sk --yes").status.success());
    for line in [
        "sockc status",
        "sockc set list banned",
        "sockc apply next.sk --yes",
        "sockc unload --yes",
    ] {
        let ran = scene.runs(line, &takes);
        let told = said(&ran);
        assert_eq!(ran.status.code(), Some(3), "{line}: {told}");
        assert!(
            told.contains("Run the command as root, or with CAP_DAC_OVERRIDE besides"),
            "{line}: {told}"
        );
    }
    let more = [takes.as_slice(), &["CAP_DAC_OVERRIDE".to_owned()]].concat();
    for line in [
        "sockc status",
        "sockc set add banned 192.0.2.9",
        "sockc unload --yes",
    ] {
        let ran = scene.runs(line, &more);
        assert!(ran.status.success(), "{line}: {}", said(&ran));
    }
}
