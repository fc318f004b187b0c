//! What is asked on a terminal, after what was shown, and what each answer does: on a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Stdio;

use sockc_runtime::lab::{FRONT, Lab};
use sockc_testing::again;

use super::{Folder, root, run, sockc};

const POLICY: &str = "default in drop\nssh: allow tcp to port 22\n";

/// A terminal: the end where somebody types and reads, and the end of the command.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut its) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: the kernel writes two descriptors, which nobody else owns; names and modes may be null.
    let opened =
        unsafe { libc::openpty(&raw mut ours, &raw mut its, none, none.cast(), none.cast()) };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened, and each gets one owner.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(its)) }
}

/// Runs a command on a terminal, where `answer` is typed once it asks; what stood on the screen, and how it ended.
fn on_terminal(lab: &Lab, arguments: &[&str], answer: &[u8]) -> (Option<i32>, String) {
    let (mut ours, its) = terminal();
    let copy = || Stdio::from(its.try_clone().unwrap());
    let mut child = lab
        .server
        .run(|| {
            let mut command = sockc(arguments);
            command.stdin(copy()).stdout(copy()).stderr(copy());
            command.spawn().unwrap()
        })
        .unwrap();
    // The terminal hangs up when the command, which has the last copies, is gone.
    drop(its);
    let (mut screen, mut typed) = (String::new(), false);
    let mut part = [0; 4096];
    loop {
        match again(|| ours.read(&mut part)) {
            Ok(0) => break,
            Ok(read) => screen += &String::from_utf8_lossy(&part[..read]),
            // EIO: the terminal has hung up.
            Err(_) => break,
        }
        if !typed && screen.contains("[y/N] ") {
            ours.write_all(answer).unwrap();
            typed = true;
        }
    }
    (child.wait().unwrap().code(), screen)
}

/// Ctrl-D on an empty line.
const END_OF_INPUT: &[u8] = b"\x04";

fn status(lab: &Lab) -> String {
    lab.server.run(|| run(&["status"])).unwrap().stdout
}

/// Where each of the parts stands; every one is there.
fn order(screen: &str, parts: &[&str]) {
    let places: Vec<usize> = parts
        .iter()
        .map(|part| {
            screen
                .find(part)
                .unwrap_or_else(|| panic!("{part}\n{screen}"))
        })
        .collect();
    assert!(places.is_sorted(), "{parts:?} {places:?}\n{screen}");
}

#[test]
fn apply_shows_what_it_would_do_and_does_it_on_a_yes_only() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("asking"));
    let path = folder.file("edge.sk", POLICY);
    let apply = ["apply", &path, "--interface", FRONT];
    let question = "Put the policy \"edge\" in force? [y/N]";
    for answer in [&b"n\n"[..], b"\n", b"yes please\n", END_OF_INPUT] {
        let (code, screen) = on_terminal(&lab, &apply, answer);
        assert_eq!(code, Some(1), "{answer:?}\n{screen}");
        order(
            &screen,
            &[
                "No policy runs",
                "kernel",
                FRONT,
                "is attached",
                question,
                "nothing was changed",
            ],
        );
        assert_eq!(
            status(&lab),
            "no policy is in force in this network namespace\n"
        );
    }
    for answer in [&b"y\n"[..], b"yes\n"] {
        let (code, screen) = on_terminal(&lab, &apply, answer);
        assert_eq!(code, Some(0), "{screen}");
        order(
            &screen,
            &["kernel", question, "policy \"edge\" is in force"],
        );
    }
    assert!(status(&lab).contains("generation 2"), "{}", status(&lab));
    let (code, screen) = on_terminal(&lab, &[&apply[..], &["--yes"]].concat(), b"");
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("[y/N]"), "{screen}");
}

#[test]
fn another_name_and_the_end_of_every_hook_are_said_before_the_question() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("asking-other"));
    let edge = folder.file("edge.sk", POLICY);
    let other = folder.file("other.sk", POLICY);
    let (code, screen) = on_terminal(&lab, &["apply", &edge, "--interface", FRONT], b"y\n");
    assert_eq!(code, Some(0), "{screen}");

    let (code, screen) = on_terminal(&lab, &["apply", &other, "--interface", FRONT], b"n\n");
    assert_eq!(code, Some(1), "{screen}");
    let said = "\"edge\" is replaced by a policy of another name, \"other\"";
    order(
        &screen,
        &[
            said,
            "Put the policy \"other\" in force instead of \"edge\"? [y/N]",
        ],
    );

    let edge = folder.file("edge.sk", "set kept = { 10.0.0.0/8 }\n");
    let (code, screen) = on_terminal(&lab, &["apply", &edge], END_OF_INPUT);
    assert_eq!(code, Some(1), "{screen}");
    order(
        &screen,
        &[
            "is taken off",
            "no hook is left in this network namespace: \"edge\" filters and steers nothing in it",
            "[y/N]",
        ],
    );
    assert!(
        status(&lab).contains("policy \"edge\" is in force, generation 1"),
        "{}",
        status(&lab)
    );
}

#[test]
fn unload_asks_and_a_no_is_no_success() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("asking-unload"));
    let edge = folder.file("edge.sk", POLICY);
    let applied = lab
        .server
        .run(|| run(&["apply", &edge, "--interface", FRONT]))
        .unwrap();
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    for answer in [&b"n\n"[..], END_OF_INPUT] {
        let (code, screen) = on_terminal(&lab, &["unload"], answer);
        assert_eq!(code, Some(1), "{screen}");
        assert!(
            status(&lab).contains("in force, generation 1"),
            "{}",
            status(&lab)
        );
    }
    let (code, screen) = on_terminal(&lab, &["unload"], b"y\n");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(
        status(&lab),
        "no policy is in force in this network namespace\n"
    );
}
