//! What `counters`, `set` and `monitor` say where others took hooks of the policy in force away, or its interfaces: what `status` says
//! of these.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sockc_runtime::lab::{FRONT, Lab};

use super::dropped::Sampling;
use super::monitored::{done, in_force, on_server};
use super::{Folder, ip, root};

const POLICY: &str = "default in allow\nlive set banned max 10\nnamed: drop from @banned\n";
const CHANGED: &str = "sockc left";

/// Takes the hooks away, and gives what `status` says of it.
fn unhook(lab: &Lab) -> Vec<String> {
    let removed = lab.server.run(|| {
        let netns = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let links = fs::read_dir(format!("/sys/fs/bpf/sockc/{netns}/link")).unwrap();
        // The kernel takes a link away with its last pin.
        links
            .map(|link| fs::remove_file(link.unwrap().path()).unwrap())
            .count()
    });
    assert_ne!(removed.unwrap(), 0);
    let status = on_server(lab, &["status"]);
    assert_eq!(status.code, Some(5), "{}", status.stderr);
    let errors = status.stderr.lines();
    let errors = errors.filter_map(|line| line.strip_prefix("error: "));
    let said: Vec<String> = errors
        .filter(|line| line.contains("/link/") && line.contains(CHANGED))
        .map(str::to_owned)
        .collect();
    assert!(!said.is_empty(), "{}", status.stderr);
    said
}

/// That a command says it beside what it does, while it is so.
fn is_said_by(name: &str, arguments: &[&str]) {
    let (lab, _folder, path) = in_force(name, POLICY);
    assert!(!done(&lab, arguments).stderr.contains(CHANGED));
    let said = unhook(&lab);
    let beside = done(&lab, arguments).stderr;
    for line in said {
        assert!(beside.contains(&format!("note: {line}")), "{beside}");
    }
    assert!(
        beside.contains("`sockc apply` puts a policy in force again"),
        "{beside}"
    );
    done(&lab, &["apply", &path, "--interface", FRONT]);
    assert!(!done(&lab, arguments).stderr.contains(CHANGED));
}

#[test]
fn counters_say_which_hooks_are_gone() {
    if root() {
        is_said_by("unhooked-counters", &["counters"]);
    }
}

#[test]
fn sets_say_which_hooks_are_gone() {
    if root() {
        is_said_by("unhooked-list", &["set", "list", "banned"]);
        let add = ["set", "add", "banned", "192.0.2.1"];
        is_said_by("unhooked-add", &add);
    }
}

/// A policy that logs is not said to log nothing where its log was taken away.
#[test]
fn a_log_that_was_taken_away_is_no_policy_that_does_not_log() {
    if !root() {
        return;
    }
    let policy = "default in allow log \"seen\"\n";
    let (lab, _folder, path) = in_force("unhooked-log", policy);
    let taken = lab.server.run(|| {
        let netns = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let state = fs::read_dir(format!("/sys/fs/bpf/sockc/{netns}")).unwrap();
        state
            .map(|one| one.unwrap().path().join("map/log"))
            .filter(|log| fs::remove_file(log).is_ok())
            .count()
    });
    assert_eq!(taken.unwrap(), 1);
    let said = on_server(&lab, &["monitor", "--for", "1ms"]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains("map/log"), "{}", said.stderr);
    assert!(!said.stderr.contains("waiting for"), "{}", said.stderr);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    done(&lab, &["monitor", "--for", "1ms"]);
}

#[test]
fn monitors_say_which_hooks_are_gone() {
    if !root() {
        return;
    }
    let once = ["monitor", "--drops", "--for", "1ms"];
    is_said_by("unhooked-begun", &once);
    // One that runs says it when it happens.
    let (lab, ..) = in_force("unhooked-running", POLICY);
    let mut monitor = Sampling::new(&lab, &["--drops"]);
    let said = unhook(&lab);
    for line in &said {
        monitor.hears(&format!("note: {line}"));
    }
    monitor.signal(libc::SIGINT);
    let ended = monitor.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in said {
        assert!(!ended.stderr.contains(&line), "{}", ended.stderr);
    }
}

/// An interface that was deleted and made again, on which nothing is filtered: all of these say what `status` says of it.
#[test]
fn an_interface_that_was_made_again_is_said_by_all_who_look() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("unhooked-again"));
    let path = folder.file("edge.sk", &format!("interfaces v0, {FRONT}\n{POLICY}"));
    let make = || ip(&lab.server, "link add v0 type veth peer name p-v0");
    make();
    done(&lab, &["apply", &path]);
    let once = ["monitor", "--for", "1ms"];
    let looking = [&["counters"][..], &["set", "list", "banned"], &once];
    let mut monitor = Sampling::new(&lab, &["--drops"]);
    let mut watch = Sampling::heard(&lab, &["counters", "--watch"]);
    for (change, says) in [
        ("del", "v0 was removed: if it is made again"),
        ("make", "v0 was removed and made again: the policy does not"),
    ] {
        match change {
            "del" => ip(&lab.server, "link del v0"),
            _ => make(),
        }
        let status = on_server(&lab, &["status"]);
        assert_eq!(status.code, Some(5), "{}", status.stderr);
        let error = format!("error: {says}");
        let mut errors = status.stderr.lines();
        let said = errors.find(|line| line.starts_with(&error));
        let said = said.unwrap_or_else(|| panic!("{}", status.stderr));
        let said = said.replace("error: ", "note: ");
        for arguments in looking {
            let ran = done(&lab, arguments);
            assert!(ran.stderr.contains(&said), "{arguments:?}: {}", ran.stderr);
        }
        monitor.hears(&said);
        watch.hears(&said);
    }
    done(&lab, &["apply", "--running", "--yes"]);
    for arguments in looking {
        let ran = done(&lab, arguments);
        assert!(!ran.stderr.contains("v0"), "{arguments:?}: {}", ran.stderr);
    }
    for running in [monitor, watch] {
        running.signal(libc::SIGINT);
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("v0"), "{}", ended.stderr);
    }
}
