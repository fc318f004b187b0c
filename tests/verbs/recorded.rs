//! `monitor --pcap-out`: what is shown is recorded, can be read however the command ends, and is refused where it cannot be written.

use std::fs;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sockc_runtime::lab::{CLIENT, FRONT, Lab, SERVER};

use super::monitored::{Running, done, in_force, on_server, send};
use super::{Folder, root, sockc};

const POLICY: &str = "\
default in allow
knocks: count udp to port 9 log \"knock\" max 1_000_000/second
dropped: drop udp to port 10 log max 1_000_000/second
audited: audit drop udp to port 11 log max 1_000_000/second
";
/// How pcapng begins.
const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A lab with the policy in force.
fn applied(name: &str) -> (Lab, Folder, String) {
    in_force(name, POLICY)
}

#[test]
fn what_is_shown_is_recorded_and_read_back_after_a_kill() {
    if !root() {
        return;
    }
    let (lab, folder, policy) = applied("recorded-back");
    let file = folder.0.join("log.pcapng").to_str().unwrap().to_owned();
    let rules = ["--rule", "knocks", "--rule", "dropped", "--rule", "audited"];
    let arguments: Vec<&str> = [["--pcap-out", &file].as_slice(), &rules].concat();
    let mut monitor = Running::new(&lab, &arguments);
    send(&lab, [9, 10, 11]);
    for label in ["knocks", "dropped", "audited"] {
        let line = monitor.line();
        assert!(line.contains(label), "{line}");
    }
    // Whatever was shown is there by then.
    monitor.signal(libc::SIGKILL);
    monitor.end();
    let explained = done(&lab, &["explain", &policy, "--pcap", &file, "--json"]).json();
    let packets = explained["packets"].as_array().unwrap().iter();
    let packets: Vec<&str> = packets.map(|one| one["packet"].as_str().unwrap()).collect();
    let from = format!("udp from {}:4000 to {}", CLIENT[0], SERVER[0]);
    let wanted = [9, 10, 11].map(|port| format!("{from}:{port}"));
    assert_eq!(packets.len(), 3, "{explained}");
    for (packet, words) in packets.iter().zip(&wanted) {
        assert!(packet.contains(words.as_str()), "{packet}");
    }
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(&MAGIC));
    let text = String::from_utf8_lossy(&bytes);
    let log = "made from what the log tells: ";
    for words in [
        FRONT.to_owned(),
        format!("count by knocks ({policy}:2) \"knock\"; {log}{}", wanted[0]),
        format!("drop by dropped ({policy}:3); {log}{}", wanted[1]),
        format!("audit drop by audited ({policy}:4); {log}{}", wanted[2]),
    ] {
        assert!(text.contains(&words), "{words}: {text}");
    }
}

#[test]
fn a_recording_on_standard_output_takes_the_place_of_lines() {
    if !root() {
        return;
    }
    let (lab, folder, policy) = applied("recorded-stdout");
    send(&lab, [9, 10]);
    let arguments = ["monitor", "--pcap-out", "-", "--count", "2"];
    let ran = lab.server.run(|| sockc(&arguments).output().unwrap());
    let ran = ran.unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with(&MAGIC));
    let file = folder.0.join("out.pcapng");
    fs::write(&file, &ran.stdout).unwrap();
    let file = file.to_str().unwrap();
    let explained = done(&lab, &["explain", &policy, "--pcap", file, "--json"]).json();
    assert_eq!(explained["packets"].as_array().unwrap().len(), 2);
}

#[test]
fn a_recording_that_cannot_be_written_is_refused() {
    if !root() {
        return;
    }
    let (lab, folder, _) = applied("recorded-refused");
    let none = on_server(
        &lab,
        &[
            "monitor",
            "--for",
            "1s",
            "--pcap-out",
            "/nowhere/log.pcapng",
        ],
    );
    assert_eq!(none.code, Some(3), "{}", none.stderr);
    let why = "cannot write /nowhere/log.pcapng";
    assert!(none.stderr.contains(why), "{}", none.stderr);
    let both = on_server(
        &lab,
        &["monitor", "--for", "1s", "--pcap-out", "-", "--json"],
    );
    assert_eq!(both.code, Some(64), "{}", both.stderr);
    assert!(both.stderr.contains("standard output"), "{}", both.stderr);
    // A disk that is full ends it, and says where.
    let full = on_server(&lab, &["monitor", "--for", "1s", "--pcap-out", "/dev/full"]);
    assert_eq!(full.code, Some(3), "{}", full.stderr);
    let why = "cannot write /dev/full";
    assert!(full.stderr.contains(why), "{}", full.stderr);
    // A pipe is, before it is waited for: without a reader and with one.
    let pipe = folder.0.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let arguments = [
        "monitor",
        "--for",
        "1s",
        "--pcap-out",
        pipe.to_str().unwrap(),
    ];
    let unread = on_server(&lab, &arguments);
    let reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let read = on_server(&lab, &arguments);
    drop(reader);
    for ran in [unread, read] {
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("it is a pipe; write `-`"),
            "{}",
            ran.stderr
        );
    }
    // What is refused for another reason leaves the file that is there.
    let file = folder.file("kept.pcapng", "kept");
    let rule = on_server(
        &lab,
        &[
            "monitor",
            "--for",
            "1s",
            "--rule",
            "nobody",
            "--pcap-out",
            &file,
        ],
    );
    assert_eq!(rule.code, Some(64), "{}", rule.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}
