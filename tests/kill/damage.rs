//! Pins that somebody removed: no command takes that for "nothing is in force", and `apply` heals what can be healed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sockc_runtime::lab::BPFFS;

use crate::campaign::points;
use crate::root;
use crate::scene::{BLOCK, Ran, Scene};

/// The pins of a scene, as paths.
fn pins(scene: &Scene) -> Vec<PathBuf> {
    let found = || {
        let mut found = Vec::new();
        collect(&Path::new(BPFFS).join("sockc"), &mut found);
        found.sort();
        found
    };
    scene.space.run(found).unwrap()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn remove(scene: &Scene, pin: &Path) {
    scene.space.run(|| fs::remove_file(pin).unwrap()).unwrap();
}

/// The pins with this end: one in each namespace.
fn named(scene: &Scene, name: &str) -> Vec<PathBuf> {
    let mut found = pins(scene);
    found.retain(|pin| pin.ends_with(name));
    assert!(!found.is_empty(), "{name}: {:?}", pins(scene));
    found
}

fn apply(scene: &Scene) -> Ran {
    scene.sockc(&["apply", &scene.path("old.sk")])
}

/// Every verb that neither puts a policy in force nor takes one away.
const OTHERS: [&[&str]; 10] = [
    &["set", "add", "banned", "10.0.0.1"],
    &["set", "clear", "banned"],
    &["set", "list", "banned"],
    &["socket", "unregister", "late"],
    &["socket", "refresh"],
    &["map", "list", "tenants"],
    &["map", "add", "tenants", "tcp 10.0.0.9:80 -> sock web"],
    &["map", "clear", "tenants"],
    &["counters"],
    &["status"],
];

#[test]
fn without_its_word_a_policy_stays_in_force_whatever_is_asked() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        scene.must(&["apply", &scene.path("old.sk")]);
        let (answers, tree) = (scene.answers(), scene.tree());
        for word in named(&scene, "control") {
            remove(&scene, &word);
        }
        let left = pins(&scene);
        for arguments in OTHERS {
            let ran = scene.sockc(arguments);
            assert_eq!(
                ran.code,
                Some(5),
                "{arguments:?}: {}{}",
                ran.stdout,
                ran.stderr
            );
            assert!(
                ran.stderr.contains("control"),
                "{arguments:?}: {}",
                ran.stderr
            );
            assert_eq!(scene.answers(), answers, "{arguments:?}");
            assert_eq!(pins(&scene), left, "{arguments:?}");
        }
        let applied = apply(&scene);
        assert_eq!(applied.code, Some(0), "{}", applied.stderr);
        assert_eq!(scene.answers(), answers);
        assert_eq!(scene.tree(), tree);
        scene.must(&["status"]);
    }
}

#[test]
fn without_its_word_a_policy_can_be_taken_away() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    scene.sockc(&["unload", "--yes"]);
    let free = scene.answers();
    scene.must(&["apply", &scene.path("old.sk")]);
    for word in named(&scene, "control") {
        remove(&scene, &word);
    }
    scene.must(&["unload", "--yes"]);
    assert_eq!(scene.answers(), free);
    assert!(scene.tree().is_empty(), "{:?}", scene.tree());
}

#[test]
fn what_asks_for_a_map_that_is_gone_says_so() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    scene.must(&["apply", &scene.path("old.sk")]);
    let answers = scene.answers();
    let of_set: &[&[&str]] = &[
        &["set", "list", "banned"],
        &["set", "add", "banned", "10.0.0.1"],
        &["set", "clear", "banned"],
        &["status"],
    ];
    let all: [(&str, &[&[&str]]); 8] = [
        ("map/counters", &[&["counters"], &["status"]]),
        ("map/carried", &[&["counters"], &["status"]]),
        (
            "map/sockets",
            &[
                &["socket", "unregister", "late"],
                &["socket", "list"],
                &["socket", "refresh"],
                &["status"],
            ],
        ),
        ("map/set_banned", of_set),
        ("map/spl_banned", of_set),
        ("map/shd_banned", of_set),
        ("map/snd_banned", of_set),
        (
            "map/key_tenants-entries",
            &[&["map", "list", "tenants"], &["map", "clear", "tenants"]],
        ),
    ];
    for (name, verbs) in all {
        let pin = named(&scene, name).remove(0);
        remove(&scene, &pin);
        for arguments in verbs {
            let ran = scene.sockc(arguments);
            assert_eq!(
                ran.code,
                Some(5),
                "{arguments:?}: {}{}",
                ran.stdout,
                ran.stderr
            );
            assert!(ran.stderr.contains(name), "{arguments:?}: {}", ran.stderr);
            assert_eq!(scene.answers(), answers, "{arguments:?}");
        }
        let applied = apply(&scene);
        if applied.code != Some(0) {
            assert_eq!(applied.code, Some(5), "{name}: {}", applied.stderr);
            assert!(
                applied.stderr.contains("`sockc unload` first"),
                "{name}: {}",
                applied.stderr
            );
            scene.must(&["unload", "--yes"]);
            scene.must(&["apply", &scene.path("old.sk")]);
        }
        scene.must(&["status"]);
    }
}

#[test]
fn apply_heals_whichever_pin_is_gone_or_says_what_to_do() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        scene.must(&["apply", &scene.path("old.sk")]);
        scene.must(&["set", "add", "banned", "127.0.0.11"]);
        scene.must(&["map", "add", "tenants", "tcp 127.0.0.9:80 -> sock web"]);
        let (answers, tree) = (scene.answers(), scene.tree());
        let count = pins(&scene).len();
        let taken = points(count, |number| {
            let pin = pins(&scene).remove(number);
            // The link is for people.
            if pin.ends_with("current") {
                return;
            }
            remove(&scene, &pin);
            let said = heals(&scene, &pin);
            assert_eq!(scene.answers(), answers, "{said}");
            assert_eq!(scene.tree(), tree, "{said}");
        });
        println!("pins that are gone: {taken} of {count} points");
    }
}

/// Applies the policy after a pin is gone, as the command says; gives what was said.
fn heals(scene: &Scene, pin: &Path) -> String {
    let told = scene.sockc(&["status"]);
    let applied = apply(scene);
    let said = format!("{}: {}\n{}", pin.display(), told.stderr, applied.stderr);
    let is_entries = pin.ends_with("key_tenants-entries");
    assert_eq!(told.code, Some(5), "{said}");
    if applied.code != Some(0) {
        assert_eq!(applied.code, Some(5), "{said}");
        assert!(applied.stderr.contains("`sockc unload` first"), "{said}");
        // Only they hold what nothing else in the kernel does.
        assert!(is_entries || pin.ends_with("record"), "{said}");
        scene.must(&["unload", "--yes"]);
        scene.must(&["apply", &scene.path("old.sk")]);
        scene.must(&["set", "add", "banned", "127.0.0.11"]);
        scene.must(&["map", "add", "tenants", "tcp 127.0.0.9:80 -> sock web"]);
    }
    scene.must(&["status"]);
    said
}

#[test]
fn unload_finds_blocks_without_a_record_or_says_which_it_cannot_know() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    scene.sockc(&["unload", "--yes"]);
    let free = scene.answers();
    // The folders of the namespaces tell, as long as one of them tells anything.
    for of in ["record", "control"] {
        scene.must(&["apply", &scene.path("old.sk")]);
        for pin in named(&scene, of) {
            remove(&scene, &pin);
        }
        let unloaded = scene.sockc(&["unload", "--yes"]);
        assert_eq!(unloaded.code, Some(0), "{of}: {}", unloaded.stderr);
        assert_eq!(scene.answers(), free, "{of}");
        assert!(scene.tree().is_empty(), "{of}: {:?}", scene.tree());
    }
    scene.must(&["apply", &scene.path("old.sk")]);
    let answers = scene.answers();
    for pin in ["record", "control"]
        .iter()
        .flat_map(|of| named(&scene, of))
    {
        remove(&scene, &pin);
    }
    let unloaded = scene.sockc(&["unload", "--yes"]);
    assert_eq!(
        unloaded.code,
        Some(5),
        "{}{}",
        unloaded.stdout,
        unloaded.stderr
    );
    let remedy = format!("`sockc unload --netns {BLOCK}`");
    assert!(unloaded.stderr.contains(&remedy), "{}", unloaded.stderr);
    assert_eq!(scene.answers(), answers);
    scene.must(&["unload", "--yes", "--netns", BLOCK]);
    scene.must(&["unload", "--yes"]);
    assert_eq!(scene.answers(), free);
    assert!(scene.tree().is_empty(), "{:?}", scene.tree());
}

#[test]
fn unload_finds_a_block_beside_a_word_that_is_another_map() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    scene.sockc(&["unload", "--yes"]);
    let free = scene.answers();
    scene.must(&["apply", &scene.path("old.sk")]);
    // The folder of the block says whose it is by its pin `outer`.
    let block = named(&scene, "outer").remove(0);
    let block = block.parent().unwrap();
    let outer = |name: &str| {
        let mut found = named(&scene, name);
        found.retain(|pin| !pin.starts_with(block));
        found.remove(0)
    };
    let (word, record) = (outer("control"), outer("record"));
    let aside = word.with_file_name("aside");
    let exchange = || {
        for (from, to) in [(&record, &aside), (&word, &record), (&aside, &word)] {
            fs::rename(from, to).unwrap();
        }
    };
    scene.space.run(exchange).unwrap();
    let unloaded = scene.sockc(&["unload", "--yes"]);
    assert_eq!(unloaded.code, Some(0), "{}", unloaded.stderr);
    assert_eq!(scene.answers(), free, "{}", unloaded.stdout);
    assert!(scene.tree().is_empty(), "{:?}", scene.tree());
}

/// Makes an array with many elements and pins it.
fn make(path: &Path) -> bool {
    let mut command = Command::new("bpftool");
    command.args(["map", "create"]).arg(path);
    command.args(["type", "array", "key", "4", "value", "4", "name", "other"]);
    command.args(["entries", &(1 << 24).to_string()]);
    command.status().is_ok_and(|status| status.success())
}

/// Whether bpftool is there.
fn bpftool() -> bool {
    let there = Command::new("bpftool").arg("version").output().is_ok();
    if !there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs bpftool");
        eprintln!("skipped: needs bpftool");
    }
    there
}

/// Puts something else where a pin was.
fn put_other(pin: &Path, what: &str) {
    fs::remove_file(pin).unwrap();
    match what {
        "map" => assert!(make(pin)),
        "folder" => fs::create_dir(pin).unwrap(),
        _ => std::os::unix::fs::symlink("/etc/passwd", pin).unwrap(),
    }
}

#[test]
fn whatever_stands_where_a_pin_was_is_damage_and_goes_with_unload() {
    if !root() || !bpftool() {
        return;
    }
    let scene = Scene::new(true);
    scene.sockc(&["unload", "--yes"]);
    let free = scene.answers();
    let policy = scene.path("new.sk");
    let verbs: [&[&str]; 4] = [
        &["plan", &policy],
        &["set", "add", "banned", "10.0.0.1"],
        &["map", "add", "tenants", "tcp 10.0.0.9:80 -> sock web"],
        &["apply", "--yes", &policy],
    ];
    scene.must(&["apply", &scene.path("old.sk")]);
    let count = pins(&scene).len();
    let others = ["map", "folder", "link"];
    let taken = points(count * others.len(), |point| {
        scene.must(&["apply", &scene.path("old.sk")]);
        let pin = pins(&scene).remove(point % count);
        let what = others[point / count];
        scene.space.run(|| put_other(&pin, what)).unwrap();
        let is_for_people = pin.ends_with("current");
        let told = scene.sockc(&["status"]);
        let at = format!("a {what} at {}: {}", pin.display(), told.stderr);
        assert_eq!(told.code, Some(if is_for_people { 0 } else { 5 }), "{at}");
        let mut applied = None;
        for arguments in verbs {
            let ran = scene.sockc(arguments);
            let at = format!("{at}\n{arguments:?}: {:?} {}", ran.code, ran.stderr);
            assert!(matches!(ran.code, Some(0 | 5)), "{at}");
            let lies = [
                "compile the policy",
                "(os error 13)",
                "another bpf file system",
            ];
            assert!(!lies.iter().any(|words| ran.stderr.contains(words)), "{at}");
            applied = ran.code;
        }
        let after = scene.sockc(&["status"]);
        assert_eq!(after.code, applied, "{at}\nafter apply: {}", after.stderr);
        let unloaded = scene.sockc(&["unload", "--yes"]);
        assert_eq!(unloaded.code, Some(0), "{at}\nunload: {}", unloaded.stderr);
        assert_eq!(scene.answers(), free, "{at}");
        assert!(scene.tree().is_empty(), "{at}\n{:?}", scene.tree());
    });
    println!(
        "other things where pins were: {taken} of {} points",
        count * others.len()
    );
}

#[test]
fn a_program_of_ours_is_nobody_elses_where_its_pin_was_exchanged() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    scene.must(&["apply", &scene.path("old.sk")]);
    let is_tc = |pin: &PathBuf| pin.to_str().is_some_and(|pin| pin.contains("link/tc-"));
    let links: Vec<PathBuf> = pins(&scene).into_iter().filter(is_tc).collect();
    let [one, other] = links.as_slice() else {
        panic!("{links:?}");
    };
    let aside = one.with_file_name("aside");
    let exchange = || {
        for (from, to) in [(one, &aside), (other, one), (&aside, other)] {
            fs::rename(from, to).unwrap();
        }
    };
    scene.space.run(exchange).unwrap();
    let told = scene.sockc(&["status"]);
    assert_eq!(told.code, Some(5), "{}", told.stderr);
    assert!(
        told.stderr.contains("sockc left the link"),
        "{}",
        told.stderr
    );
    assert!(!told.stderr.contains("of somebody else"), "{}", told.stderr);
}

#[test]
fn a_huge_map_in_the_place_of_the_record_is_not_read() {
    if !root() || !bpftool() {
        return;
    }
    let scene = Scene::new(false);
    scene.must(&["apply", &scene.path("old.sk")]);
    let pin = named(&scene, "record").remove(0);
    remove(&scene, &pin);
    assert!(scene.space.run(|| make(&pin)).unwrap());
    for (arguments, code) in [
        (&["status"][..], 5),
        (&["set", "list", "banned"], 5),
        (&["unload", "--yes"], 0),
    ] {
        let began = Instant::now();
        let ran = scene.sockc(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(30), "{arguments:?}: {took:?}");
    }
}

#[test]
fn a_policy_that_is_pinned_elsewhere_is_not_said_to_be_nothing() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    scene.must(&["apply", &scene.path("old.sk")]);
    let other = scene.path("bpf");
    let nothing = None::<&str>;
    let mount_other = || {
        fs::create_dir(&other).unwrap();
        mount(
            Some("bpf"),
            other.as_str(),
            Some("bpf"),
            MsFlags::empty(),
            nothing,
        )
        .unwrap();
    };
    scene.space.run(mount_other).unwrap();
    let asked = ["status", "--bpffs", &other];
    let told = scene.sockc(&asked);
    assert_eq!(told.code, Some(5), "{}{}", told.stdout, told.stderr);
    for hook in [
        "xdp lo",
        "tc-in lo",
        "tc-out lo",
        "lookup",
        "connect4 /",
        "sendmsg6 /",
    ] {
        assert!(told.stderr.contains(hook), "{hook}: {}", told.stderr);
    }
    scene.must(&["status"]);
    // With the last pin the kernel frees everything, some time later; then nothing is in force indeed.
    // The machine may have one of its own underneath.
    let gone = || {
        umount2(BPFFS, MntFlags::MNT_DETACH).unwrap();
        while umount2(BPFFS, MntFlags::MNT_DETACH).is_ok() {}
    };
    scene.space.run(gone).unwrap();
    let began = Instant::now();
    while scene.sockc(&asked).code != Some(0) {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(scene.sockc(&["status"]).code, Some(3));
    let unmount = || umount2(other.as_str(), MntFlags::MNT_DETACH).unwrap();
    scene.space.run(unmount).unwrap();
}
