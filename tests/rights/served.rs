//! What becomes of a service for a group, and what those who ask are told: its socket is taken away, it is stopped, it is ended, or it
//! cannot begin.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use sockc_testing::again;

use super::answered::{AT, by_member, by_root, member, scene, service};
use super::{Scene, can_run, said};

/// A service whose messages are kept, at work.
fn begun(scene: &Scene) -> Child {
    let mut command = service(scene);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = scene.space.run(|| command.spawn().unwrap()).unwrap();
    let mut line = String::new();
    let mut heard = BufReader::new(child.stdout.as_mut().unwrap());
    again(|| heard.read_line(&mut line)).unwrap();
    assert!(line.contains("are answered for the group"), "{line}");
    child
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the call takes numbers; the process is ours and was not waited for.
    let sent = unsafe { libc::kill(child.id().cast_signed(), signal) };
    assert_eq!(sent, 0);
}

/// What is there where commands ask.
fn is_there(scene: &Scene) -> bool {
    let looks = || fs::symlink_metadata(AT).is_ok();
    scene.space.run(looks).unwrap()
}

fn refused(ran: &Output, says: &[&str], not: &[&str]) {
    let told = said(ran);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    for words in says {
        assert!(told.contains(words), "{words}: {told}");
    }
    for words in not {
        assert!(!told.contains(words), "{words}: {told}");
    }
}

#[test]
fn a_service_whose_socket_is_taken_away_ends_and_says_so() {
    if !can_run() {
        return;
    }
    let scene = scene("taken");
    let remove = || fs::remove_file(AT).unwrap();
    let replace = || {
        fs::rename(AT, "/run/sockc/moved").unwrap();
        File::create(AT).unwrap();
    };
    let remove_all = || fs::remove_dir_all("/run/sockc").unwrap();
    let ways: [&(dyn Fn() + Sync); 3] = [&remove, &replace, &remove_all];
    for takes in ways {
        let service = begun(&scene);
        let mut asks = member(&scene, "counters --watch=1");
        asks.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = scene.space.run(|| asks.spawn().unwrap()).unwrap();
        let mut line = String::new();
        let mut heard = BufReader::new(client.stdout.as_mut().unwrap());
        again(|| heard.read_line(&mut line)).unwrap();
        scene.space.run(takes).unwrap();
        let ended = service.wait_with_output().unwrap();
        refused(&ended, &[AT, "was removed, or replaced by another"], &[]);
        let client = client.wait_with_output().unwrap();
        refused(&client, &["ended the connection"], &[]);
        // What somebody put there stays.
        let _ = scene.space.run(|| fs::remove_file(AT));
    }
}

#[test]
fn a_service_ends_with_its_terminal_and_takes_its_socket_along() {
    if !can_run() {
        return;
    }
    let scene = scene("hangup");
    for number in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        let service = begun(&scene);
        assert!(is_there(&scene));
        signal(&service, number);
        let ended = service.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{number}: {}", said(&ended));
        assert!(!is_there(&scene), "{number}");
    }
    // Who is to outlive the terminal does.
    let mut command = service(&scene);
    command.stdout(Stdio::piped());
    let nohup = format!("trap '' HUP; exec {:?} \"$@\"", command.get_program());
    let mut ignoring = std::process::Command::new("sh");
    ignoring.args(["-c", &nohup, "sh"]).args(command.get_args());
    ignoring.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = scene.space.run(|| ignoring.spawn().unwrap()).unwrap();
    let mut line = String::new();
    let mut heard = BufReader::new(child.stdout.as_mut().unwrap());
    again(|| heard.read_line(&mut line)).unwrap();
    signal(&child, libc::SIGHUP);
    assert!(by_member(&scene, "status").status.success());
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn who_asks_a_service_that_is_stopped_is_told_so() {
    if !can_run() {
        return;
    }
    let scene = scene("stopped");
    let mut service = begun(&scene);
    signal(&service, libc::SIGSTOP);
    let began = Instant::now();
    let asked = by_member(&scene, "status");
    let says = ["has said nothing for 15 seconds", "it is stopped, or hangs"];
    refused(&asked, &says, &["needs the rights"]);
    assert!(began.elapsed() >= Duration::from_secs(15));
    signal(&service, libc::SIGCONT);
    assert!(by_member(&scene, "status").status.success());
    signal(&service, libc::SIGTERM);
    assert_eq!(service.wait().unwrap().code(), Some(0));
}

/// A command that has nothing to say for longer than a stopped service is waited for.
#[test]
fn a_command_that_is_silent_is_no_service_that_is_stopped() {
    if !can_run() {
        return;
    }
    let scene = scene("silent");
    let mut service = begun(&scene);
    let asked = by_member(&scene, "monitor --for 17s");
    assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
    signal(&service, libc::SIGTERM);
    assert_eq!(service.wait().unwrap().code(), Some(0));
}

#[test]
fn what_keeps_a_service_from_beginning_is_said_as_it_is() {
    if !can_run() {
        return;
    }
    let scene = scene("begins");
    let line = "answer --group 64400";
    // There is one path alone where commands ask.
    let not = ["another path"];
    let mut service = begun(&scene);
    refused(
        &by_root(&scene, line),
        &["somebody listens there", "end who does"],
        &not,
    );
    signal(&service, libc::SIGTERM);
    service.wait().unwrap();
    let is_file = || File::create(AT).map(drop).unwrap();
    scene.space.run(is_file).unwrap();
    refused(&by_root(&scene, line), &["no socket; move it away"], &not);
    let anew = || {
        fs::remove_dir_all("/run/sockc").unwrap();
        fs::DirBuilder::new()
            .mode(0o755)
            .create("/run/sockc")
            .unwrap();
        let mount = |line: &str| {
            let words = line.split(' ');
            let ran = std::process::Command::new("mount").args(words).status();
            assert!(ran.unwrap().success(), "{line}");
        };
        mount("-t tmpfs -o mode=0755 tmpfs /run/sockc");
        mount("-o remount,ro /run/sockc");
    };
    scene.space.run(anew).unwrap();
    let says = [
        "Read-only file system",
        "the file system of /run/sockc is mounted read-only",
    ];
    refused(&by_root(&scene, line), &says, &["bpf file system"]);
}
