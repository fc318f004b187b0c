//! SIGKILL at the calls of an apply that lets a group read what is in force, or ends that: nothing is ever open to more than before it
//! or after it, and the next command makes the modes those of what is in force.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT};
use nix::unistd::Group;
use sockc_runtime::lab::BPFFS;

use crate::campaign::points;
use crate::root;
use crate::scene::Scene;
use crate::trace::{self, Ended, Fate, Which};

/// A group that every machine has.
const READERS: &str = "daemon";

/// The path, the mode and the group of everything that is pinned.
fn modes(scene: &Scene) -> Vec<(PathBuf, u32, u32)> {
    fn below(folder: &Path, found: &mut Vec<(PathBuf, u32, u32)>) {
        let about = fs::symlink_metadata(folder).unwrap();
        found.push((folder.to_owned(), about.mode(), about.gid()));
        if about.is_dir() {
            for entry in fs::read_dir(folder).unwrap() {
                below(&entry.unwrap().path(), found);
            }
        }
    }
    let all = || {
        let mut found = Vec::new();
        for folder in ["sockc", "sockc-history"] {
            below(&Path::new(BPFFS).join(folder), &mut found);
        }
        found
    };
    let mut found = scene.space.run(all).unwrap();
    found.retain(|(_, mode, _)| mode & S_IFMT != S_IFLNK);
    found
}

/// Whether a path is a folder of all namespaces, which anybody may pass through while a group reads.
fn is_above(path: &Path) -> bool {
    path.parent() == Some(Path::new(BPFFS))
}

/// The mode of what a group reads.
fn shared(path: &Path, is_folder: bool) -> u32 {
    let folder = path.parent().and_then(Path::file_name);
    match is_folder {
        true if path.starts_with(Path::new(BPFFS).join("sockc-history")) => 0o2750,
        true => 0o2710,
        false if folder.is_some_and(|name| name == "prog" || name == "link") => 0o600,
        false => 0o640,
    }
}

/// That nothing is open to others, and to a group only what it may read.
fn check_narrow(scene: &Scene, group: u32, at: &str) {
    for (path, mode, owner) in modes(scene) {
        let (bits, is_folder) = (mode & 0o7777, mode & S_IFMT == S_IFDIR);
        let passes = if is_above(&path) { 0o001 } else { 0 };
        assert_eq!(
            bits & 0o007 & !passes,
            0,
            "{at}: {} {bits:o}",
            path.display()
        );
        if owner == group {
            let most = shared(&path, is_folder) | 0o700;
            assert_eq!(bits & !most, 0, "{at}: {} {bits:o}", path.display());
        } else {
            assert_eq!(
                (owner, bits & 0o2020),
                (0, 0),
                "{at}: {} {bits:o}",
                path.display()
            );
        }
    }
}

/// That all modes are those of a policy that the group reads, or does not.
fn check_settled(scene: &Scene, readers: Option<u32>, at: &str) {
    for (path, mode, owner) in modes(scene) {
        let is_folder = mode & S_IFMT == S_IFDIR;
        let wanted = match readers {
            Some(_) if is_above(&path) => (0o751, 0),
            Some(group) => (shared(&path, is_folder), group),
            None if is_folder => (0o750, 0),
            None => (0o600, 0),
        };
        assert_eq!((mode & 0o7777, owner), wanted, "{at}: {}", path.display());
    }
}

#[test]
fn a_killed_apply_opens_nothing_wider() {
    if !root() {
        return;
    }
    let group = Group::from_name(READERS).unwrap().unwrap().gid.as_raw();
    let scene = Scene::new(false);
    let narrow = || fs::set_permissions(BPFFS, fs::Permissions::from_mode(0o711)).unwrap();
    scene.space.run(narrow).unwrap();
    let paths = ["old.sk", "new.sk"].map(|name| scene.path(name));
    let ways = [&["--no-group"][..], &["--group", READERS]];
    for (before, after) in [(ways[0], ways[1]), (ways[1], ways[0])] {
        let prepare = || scene.must(&[&["apply", &paths[0]][..], before].concat());
        let arguments = [&["apply", &paths[1]][..], after].concat();
        let run = |kill: Option<usize>| -> Ended {
            let mut command = scene.command(&arguments);
            let fate = |number, _: &str| match Some(number) == kill {
                true => Fate::Kill,
                false => Fate::Go,
            };
            let traced = || trace::run(&mut command, Which::Changes, fate);
            scene.space.run(traced).unwrap()
        };
        prepare();
        let whole = run(None);
        assert_eq!(whole.code, Some(0), "{}", whole.stderr);
        let taken = points(whole.calls.len(), |point| {
            prepare();
            run(Some(point));
            let at = format!("{after:?}, killed before call {point}");
            check_narrow(&scene, group, &at);
            let told = scene.must(&["status", "--json"]).stdout;
            let reads = told.contains(&format!("\"readers\": \"{READERS}\""));
            check_settled(&scene, reads.then_some(group), &at);
        });
        println!("{after:?}: {taken} of {}", whole.calls.len());
    }
}
