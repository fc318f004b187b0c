//! What is kept on disk for the start of the machine, where the command that writes it is killed before its calls on the disk, or
//! has them refused.

use std::fs;
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};
use sockc_runtime::{KeptOnDisk, OnDisk, Options};

use crate::campaign::points;
use crate::root;
use crate::scene::Scene;
use crate::trace::{self, DISK, Ended, Fate, Which};

/// The namespace's name, and its folder.
const NAME: &str = "own";
const FOLDER: &str = "/var/lib/sockc/netns/own";

/// A scene whose namespace has a name, and a disk on which it is kept.
fn scene() -> Scene {
    let scene = Scene::new(false);
    let make = || {
        let (nothing, tmpfs) = (None::<&str>, Some("tmpfs"));
        for at in ["/run", DISK] {
            mount(tmpfs, at, tmpfs, MsFlags::empty(), nothing).unwrap();
        }
        let name = PathBuf::from("/run/netns").join(NAME);
        fs::create_dir("/run/netns").unwrap();
        fs::write(&name, "").unwrap();
        let own = Some("/proc/thread-self/ns/net");
        mount(own, &name, nothing, MsFlags::MS_BIND, nothing).unwrap();
        fs::create_dir_all(FOLDER).unwrap();
    };
    scene.space.run(make).unwrap();
    for port in [1, 2, 3] {
        let text =
            format!("policy p{port}\ninterfaces lo\ndefault in allow\ndrop udp to port {port}\n");
        scene.file(&format!("p{port}.sk"), &text);
    }
    scene
}

/// The policies that the last file and the one before hold, in words; what no machine would start with is none.
fn kept(scene: &Scene) -> [String; 2] {
    let options = Options {
        kept_in: Some(PathBuf::from("/var/lib/sockc")),
        ..Options::default()
    };
    let found = scene
        .space
        .run(|| sockc_runtime::on_disk(&options))
        .unwrap()
        .unwrap();
    let words = |one: &OnDisk| match &one.found {
        Ok(KeptOnDisk::Policy(about, _)) => about.policy.clone(),
        Ok(KeptOnDisk::Unloaded(_)) => "unloaded".to_owned(),
        Err(_) => String::new(),
    };
    [words(&found[0]), words(&found[1])]
}

fn run(scene: &Scene, arguments: &[&str], fate: impl Fn(usize) -> Fate + Sync) -> Ended {
    let mut command = scene.command(arguments);
    let traced = || trace::run(&mut command, Which::Disk, |number, _| fate(number));
    scene.space.run(traced).unwrap()
}

/// Runs a command with each of its calls on the disk ended in some way; gives the number of calls.
fn campaign(arguments: &[&str], fate: Fate, after: [&str; 2]) {
    let scene = scene();
    let prepare = || {
        for port in [1, 2] {
            scene.must(&["apply", &scene.path(&format!("p{port}.sk"))]);
        }
        assert_eq!(kept(&scene), ["p2", "p1"]);
    };
    let file;
    let arguments = match arguments {
        ["apply"] => {
            file = scene.path("p3.sk");
            vec!["apply", &file]
        }
        other => other.to_vec(),
    };
    prepare();
    let whole = run(&scene, &arguments, |_| Fate::Go);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_eq!(kept(&scene), after);
    let calls = whole.calls.len();
    assert!(calls > 6, "{:?}", whole.calls);
    let taken = points(calls, |point| {
        prepare();
        let ended = run(&scene, &arguments, |number| match number == point {
            true => fate,
            false => Fate::Go,
        });
        let call = ended.calls.get(point).map_or("none", |call| call.as_str());
        let at = format!(
            "{arguments:?}, {fate:?} at call {point} of {calls}, {call}: {}",
            ended.stderr
        );
        let [last, before] = kept(&scene);
        assert!(last == "p2" || last == after[0], "{at}: {last}");
        if fate == Fate::Kill {
            assert_eq!(ended.code, None, "{at}");
        } else {
            // Nothing waits for the disk, and what it has not is told.
            assert_eq!(ended.code, Some(0), "{at}");
            let told = ended.stderr.contains("next start of the machine");
            assert!(told || last == after[0], "{at}");
            let outlook = ended.stderr.contains("of the policy \"p2\" in force then");
            assert!(!told || last != "p2" || outlook, "{at}");
        }
        // There is always something to go back to, unless nothing is to be.
        assert!(
            last == "unloaded" || ["p1", "p2"].contains(&before.as_str()),
            "{at}: {before}"
        );
        // The next command leaves what it would have left.
        let next = run(&scene, &arguments, |_| Fate::Go);
        assert_eq!(next.code, Some(0), "{at}: {}", next.stderr);
        assert_eq!(kept(&scene)[0], after[0], "{at}");
        let names = scene
            .space
            .run(|| fs::read_dir(FOLDER).unwrap().count())
            .unwrap();
        assert!(names <= 2, "{at}: something is left beside them");
    });
    println!("kept, {arguments:?}, {fate:?}: {taken} of {calls} points");
}

#[test]
fn apply_is_killed() {
    if root() {
        campaign(&["apply"], Fate::Kill, ["p3", "p2"]);
    }
}

#[test]
fn apply_is_refused_the_disk() {
    if root() {
        campaign(&["apply"], Fate::Refuse(libc::ENOSPC), ["p3", "p2"]);
    }
}

#[test]
fn unload_is_killed() {
    if root() {
        campaign(&["unload", "--yes"], Fate::Kill, ["unloaded", ""]);
    }
}

#[test]
fn unload_is_refused_the_disk() {
    if root() {
        campaign(
            &["unload", "--yes"],
            Fate::Refuse(libc::EIO),
            ["unloaded", ""],
        );
    }
}

/// What a killed confirmation left of the disk, the next one does; one that has nothing to do says that nothing waits.
#[test]
fn confirm_is_killed() {
    if !root() {
        return;
    }
    let scene = scene();
    let confirm = ["confirm", "--same-connection"];
    let prepare = || {
        scene.sockc(&["rollback"]);
        for port in [1, 2] {
            scene.must(&["apply", &scene.path(&format!("p{port}.sk"))]);
        }
        scene.must(&["apply", &scene.path("p3.sk"), "--confirm", "1h"]);
        assert_eq!(kept(&scene), ["p2", "p1"]);
    };
    prepare();
    let whole = run(&scene, &confirm, |_| Fate::Go);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_eq!(kept(&scene), ["p3", "p2"]);
    let again = scene.sockc(&confirm);
    assert_eq!(again.code, Some(4), "{}", again.stderr);
    assert!(
        again.stderr.contains("in force for good"),
        "{}",
        again.stderr
    );
    let calls = whole.calls.len();
    let taken = points(calls, |point| {
        prepare();
        let ended = run(&scene, &confirm, |number| match number == point {
            true => Fate::Kill,
            false => Fate::Go,
        });
        let at = format!("killed at call {point} of {calls}: {}", ended.stderr);
        assert_eq!(ended.code, None, "{at}");
        let was_kept = kept(&scene)[0] == "p3";
        let next = run(&scene, &confirm, |_| Fate::Go);
        let wanted = if was_kept { 4 } else { 0 };
        assert_eq!(next.code, Some(wanted), "{at}: {}", next.stderr);
        assert_eq!(kept(&scene)[0], "p3", "{at}");
    });
    println!("kept, confirm, killed: {taken} of {calls} points");
}

/// A disk whose files have one name each keeps both policies all the same.
#[test]
fn a_disk_without_links_is_no_reason() {
    if !root() {
        return;
    }
    let scene = scene();
    for port in [1, 2] {
        scene.must(&["apply", &scene.path(&format!("p{port}.sk"))]);
    }
    let path = scene.path("p3.sk");
    let mut command = scene.command(&["apply", &path]);
    let is_link = |words: &str| words.starts_with("link");
    let traced = || {
        trace::run(&mut command, Which::Disk, |_, words| match is_link(words) {
            true => Fate::Refuse(libc::EPERM),
            false => Fate::Go,
        })
    };
    let ended = scene.space.run(traced).unwrap();
    assert!(
        ended.calls.iter().any(|call| is_link(call)),
        "{:?}",
        ended.calls
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("next start"), "{}", ended.stderr);
    assert_eq!(kept(&scene), ["p3", "p2"]);
}
