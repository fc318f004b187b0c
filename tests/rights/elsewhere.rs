//! What another user than root needs besides capabilities: a bpf file system, and a folder for what comes back at the next start.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};

use super::{Scene, USER, can_run, said};
use sockc_runtime::lab::BPFFS;

const TAKES: [&str; 3] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];

/// Puts an empty folder over one of the machine's, for this scene alone.
pub(super) fn hide(scene: &Scene, folder: &str) {
    let over = || {
        let nothing = None::<&str>;
        mount(
            Some("none"),
            folder,
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )
        .unwrap();
    };
    scene.space.run(over).unwrap();
}

/// The line of root's that makes a bpf file system for `edge`.
fn mounting() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rights.md");
    let page = fs::read_to_string(page).unwrap();
    let mut lines = page.lines().filter_map(|line| line.strip_prefix("# "));
    lines
        .find(|line| line.contains("mount -t bpf"))
        .unwrap()
        .to_owned()
}

#[test]
fn the_file_system_that_root_makes_is_that_users_alone() {
    if !can_run() {
        return;
    }
    let scene = Scene::new("mounted");
    hide(&scene, "/run");
    // This machine has no user of that name.
    let line = mounting().replace("chown edge ", &format!("chown {USER} "));
    let mut shell = Command::new("sh");
    shell.args(["-euc", &line]).stdin(Stdio::null());
    let ran = scene.space.run(|| shell.output().unwrap()).unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    let about = scene
        .space
        .run(|| fs::metadata("/run/edge-bpf").unwrap())
        .unwrap();
    assert_eq!((about.uid(), about.mode() & 0o777), (USER, 0o700));
    let takes = TAKES.map(str::to_owned);
    for verb in ["apply edge.sk --yes", "status", "unload --yes"] {
        let ran = scene.runs(&format!("sockc {verb} --bpffs /run/edge-bpf"), &takes);
        assert_eq!(ran.status.code(), Some(0), "{verb}: {}", said(&ran));
    }
}

/// Names the scene's network namespace, as `ip netns add` would: what is kept of one goes by its name.
fn name_namespace(name: &str) {
    let path = Path::new("/run/netns").join(name);
    fs::create_dir("/run/netns").unwrap();
    fs::write(&path, "").unwrap();
    let (own, nothing) = (Path::new("/proc/thread-self/ns/net"), None::<&str>);
    mount(Some(own), &path, nothing, MsFlags::MS_BIND, nothing).unwrap();
}

/// What a start of the machine does to what is in force.
fn forget(scene: &Scene) {
    let folder = Path::new(BPFFS).join("sockc");
    scene
        .space
        .run(|| fs::remove_dir_all(&folder).unwrap())
        .unwrap();
}

#[test]
fn what_another_user_keeps_comes_back_for_that_user_alone() {
    if !can_run() {
        return;
    }
    let scene = Scene::new("kept");
    hide(&scene, "/run");
    hide(&scene, "/var/lib");
    let made = || {
        name_namespace("edge");
        let folder = "/var/lib/sockc/netns/edge";
        fs::create_dir_all(folder).unwrap();
        chown(folder, Some(USER), Some(USER)).unwrap();
    };
    scene.space.run(made).unwrap();
    let takes = TAKES.map(str::to_owned);
    let ran = scene.runs("sockc apply edge.sk --yes", &takes);
    let told = said(&ran);
    assert!(
        ran.status.success() && !told.contains("is not kept"),
        "{told}"
    );
    forget(&scene);
    let ran = scene.runs("sockc apply --boot --yes", &takes);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    forget(&scene);
    let line = format!(
        "cd {}; exec ./sockc apply --boot --yes",
        scene.folder.display()
    );
    let mut root = Command::new("sh");
    root.args(["-c", &line]).stdin(Stdio::null());
    let ran = scene.space.run(|| root.output().unwrap()).unwrap();
    let told = said(&ran);
    assert_ne!(ran.status.code(), Some(0), "{told}");
    assert!(
        told.contains(&format!("it belongs to the user {USER}")),
        "{told}"
    );
}
