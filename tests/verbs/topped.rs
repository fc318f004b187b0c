//! `top` on a terminal: what it draws, what keys do, and that it gives the terminal back.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::{Child, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, root, run, sockc};

const PATIENCE: Duration = Duration::from_secs(60);
const POLICY: &str = "\
default in allow
live set banned max 100 = { 192.0.2.9 }
socket proxy = tcp listen 127.0.0.1:1234
listed: drop udp from @banned to port 9
proxied: redirect tcp 3.3.3.3:* to sock proxy
";

/// A command on a terminal of 100 columns and 20 lines.
struct OnTerminal {
    child: Child,
    screen: File,
    drawn: String,
}

impl OnTerminal {
    fn new(lab: &Lab, arguments: &[&str]) -> Self {
        let (mut near, mut far) = (-1, -1);
        let size = libc::winsize {
            ws_row: 20,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the call writes two numbers and reads the size.
        let made = unsafe {
            libc::openpty(
                &raw mut near,
                &raw mut far,
                ptr::null_mut(),
                ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(made, 0);
        // SAFETY: the kernel has just made both for us.
        let (near, far) = unsafe { (OwnedFd::from_raw_fd(near), OwnedFd::from_raw_fd(far)) };
        let start = || {
            let mut command = sockc(arguments);
            let end = || Stdio::from(far.try_clone().unwrap());
            command.stdin(end()).stdout(end()).stderr(end());
            command.env("TERM", "xterm").spawn().unwrap()
        };
        Self {
            child: lab.server.run(start).unwrap(),
            screen: near.into(),
            drawn: String::new(),
        }
    }

    /// Waits until all of this was drawn since the last time.
    fn sees(&mut self, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while !words.iter().all(|word| self.drawn.contains(word)) {
            assert!(Instant::now() < deadline, "{words:?}: {}", self.drawn);
            self.read();
        }
        self.drawn.clear();
    }

    fn read(&mut self) {
        let mut wait = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
        if !poll(&mut wait, 100u8).is_ok_and(|ready| ready > 0) {
            return;
        }
        let mut bytes = [0; 4096];
        let length = self.screen.read(&mut bytes).unwrap_or(0);
        self.drawn
            .push_str(&String::from_utf8_lossy(&bytes[..length]));
    }

    fn key(&mut self, key: &str) {
        self.screen.write_all(key.as_bytes()).unwrap();
    }

    /// How it ended.
    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                self.read();
                return ended.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            self.read();
        }
    }
}

/// What gives a terminal back as it was.
const BACK: &str = "\u{1b}[?1049l";

#[test]
fn top_draws_until_it_is_told_to_end() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("top"));
    let path = folder.file("edge.sk", POLICY);
    let on_server = |arguments: &[&str]| lab.server.run(|| run(arguments)).unwrap();
    let none = on_server(&["top"]);
    assert_eq!(none.code, Some(64));
    assert!(none.stderr.contains("counters --watch"), "{}", none.stderr);

    // Nothing is in force at first.
    let mut top = OnTerminal::new(&lab, &["top", "--every", "0.1"]);
    top.sees(&["no policy is in force"]);
    let applied = on_server(&["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    top.sees(&["listed", "banned", "1 of 100", "proxy", "absent"]);
    top.key("d");
    top.sees(&["what is dropped alone"]);
    top.key("q");
    assert_eq!(top.end(), Some(0), "{}", top.drawn);
    assert!(top.drawn.contains(BACK), "{:?}", top.drawn);

    let mut killed = OnTerminal::new(&lab, &["top"]);
    killed.sees(&["listed"]);
    // SAFETY: the call takes numbers; the process is ours and was not waited for.
    let sent = unsafe { libc::kill(killed.child.id().cast_signed(), libc::SIGTERM) };
    assert_eq!(sent, 0);
    assert_eq!(killed.end(), Some(0));
    assert!(killed.drawn.contains(BACK), "{:?}", killed.drawn);
    assert_eq!(on_server(&["unload", "--yes"]).code, Some(0));
}
