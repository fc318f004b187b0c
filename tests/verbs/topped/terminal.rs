//! A terminal with a command on it, and a model of what it shows.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{Termios, tcgetattr};
use sockc_runtime::lab::Lab;
use sockc_testing::again;

use super::super::sockc;

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever cannot be told that a command ended asks that often.
const PAUSE: Duration = Duration::from_millis(10);

/// A command on a terminal of 160 columns and 30 lines, which is its own.
pub(super) struct OnTerminal {
    child: Child,
    /// The side of whoever looks and types; nothing after a hang-up.
    near: Option<File>,
    /// The command's side.
    far: File,
    /// How the terminal was ahead of the command.
    before: Termios,
    model: vt100::Parser,
}

impl OnTerminal {
    pub(super) fn new(lab: &Lab, arguments: &[&str]) -> Self {
        Self::begin(lab, || sockc(arguments))
    }

    /// A shell with job control that does this; the command is its `"$@"`.
    pub(super) fn of_shell(lab: &Lab, does: &str, arguments: &[&str]) -> Self {
        Self::begin(lab, || {
            let command = sockc(arguments);
            let mut shell = Command::new("sh");
            shell.args(["-m", "-c", does, "sh"]);
            shell.arg(command.get_program()).args(command.get_args());
            let all = command.get_envs();
            shell.envs(all.filter_map(|(name, value)| Some((name, value?))));
            shell
        })
    }

    fn begin(lab: &Lab, command: impl Fn() -> Command + Sync) -> Self {
        // Commands that other threads start must not hold it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let near = posix_openpt(flags).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname_r(&near).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let far = options
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(name)
            .unwrap();
        set_size(&far, 160, 30);
        let before = tcgetattr(&far).unwrap();
        let start = || {
            let mut command = command();
            let end = || Stdio::from(far.try_clone().unwrap());
            command.stdin(end()).stdout(end()).stderr(end());
            command.env("TERM", "xterm");
            // SAFETY: between fork and exec only these calls are made, which allocate nothing.
            unsafe {
                command.pre_exec(|| {
                    libc::setsid();
                    libc::ioctl(0, libc::TIOCSCTTY, 0);
                    Ok(())
                });
            }
            command.spawn().unwrap()
        };
        Self {
            child: lab.server.run(start).unwrap(),
            near: Some(File::from(std::os::fd::OwnedFd::from(near))),
            far,
            before,
            model: vt100::Parser::new(30, 160, 0),
        }
    }

    pub(super) fn before(&self) -> &Termios {
        &self.before
    }

    /// How the terminal treats what is typed and written.
    pub(super) fn modes(&self) -> Termios {
        tcgetattr(&self.far).unwrap()
    }

    /// Whether it is drawn on a screen of its own.
    pub(super) fn is_apart(&self) -> bool {
        self.model.screen().alternate_screen()
    }

    pub(super) fn has_cursor(&self) -> bool {
        !self.model.screen().hide_cursor()
    }

    pub(super) fn shown(&self) -> String {
        self.model.screen().contents()
    }

    /// Waits until the screen is so.
    pub(super) fn sees(&mut self, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.shown()) {
            assert!(Instant::now() < deadline, "it shows:\n{}", self.shown());
            self.read();
        }
    }

    /// Waits until something more is drawn.
    pub(super) fn is_drawn_on(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.take() == 0 {
            assert!(Instant::now() < deadline, "nothing is drawn");
        }
    }

    fn read(&mut self) {
        self.take();
    }

    /// Shows the model what was drawn; gives how many bytes that were.
    fn take(&mut self) -> usize {
        let Some(near) = &mut self.near else {
            return 0;
        };
        let mut wait = [PollFd::new(near.as_fd(), PollFlags::POLLIN)];
        if !poll(&mut wait, 100u8).is_ok_and(|ready| ready > 0) {
            return 0;
        }
        let mut bytes = [0; 4096];
        let length = again(|| near.read(&mut bytes)).unwrap_or(0);
        self.model.process(&bytes[..length]);
        length
    }

    pub(super) fn key(&mut self, key: &str) {
        let near = self.near.as_mut().unwrap();
        near.write_all(key.as_bytes()).unwrap();
    }

    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        // What was drawn for the old size is not mistaken for what is drawn for the new one.
        while self.has_more() {
            self.read();
        }
        let (wide, high) = match (columns, rows) {
            (0, 0) => (80, 24),
            size => size,
        };
        self.model = vt100::Parser::new(high, wide, 0);
        set_size(&self.far, columns, rows);
    }

    fn has_more(&self) -> bool {
        let mut wait = [PollFd::new(
            self.near.as_ref().unwrap().as_fd(),
            PollFlags::POLLIN,
        )];
        poll(&mut wait, 0u8).is_ok_and(|ready| ready > 0)
    }

    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    /// The process group that has the terminal.
    fn front(&self) -> i32 {
        let mut group: libc::pid_t = 0;
        let near = self.near.as_ref().unwrap().as_raw_fd();
        // SAFETY: the call writes the number, which lives through it.
        let asked = unsafe { libc::ioctl(near, libc::TIOCGPGRP, &raw mut group) };
        assert_eq!(asked, 0);
        group
    }

    /// Gives a signal to the shell's job that has the terminal.
    pub(super) fn signal_front(&self, signal: i32) {
        let front = self.front();
        assert_ne!(front, self.child.id().cast_signed(), "no job is in front");
        // SAFETY: the call takes numbers; the group is of this terminal, whose session the test made.
        let sent = unsafe { libc::kill(front, signal) };
        assert_eq!(sent, 0);
    }

    /// Waits until the shell's job ends by no signal any more.
    pub(super) fn hears_signals(&mut self) {
        let shell = self.child.id();
        let children = format!("/proc/{shell}/task/{shell}/children");
        let blocks = || {
            let jobs = fs::read_to_string(&children).unwrap_or_default();
            let job = jobs.split_whitespace().next()?;
            let status = fs::read_to_string(format!("/proc/{job}/status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("SigBlk:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        let terminated = 1 << (libc::SIGTERM - 1);
        let deadline = Instant::now() + PATIENCE;
        while blocks().is_none_or(|all| all & terminated == 0) {
            assert!(Instant::now() < deadline, "it hears no signals");
            self.read();
        }
    }

    /// What was shown is not mistaken for what is shown from now on.
    pub(super) fn forget(&mut self) {
        self.model = vt100::Parser::new(30, 160, 0);
    }

    /// Waits until the shell has the terminal again, and reads what it wrote ahead of that.
    pub(super) fn has_stopped(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.front() != self.child.id().cast_signed() {
            assert!(Instant::now() < deadline, "it does not stop");
            self.read();
        }
        while self.has_more() {
            self.read();
        }
    }

    /// Writes until the terminal takes nothing more, which nobody reads from now on.
    pub(super) fn fill(&mut self) {
        let path = format!("/proc/self/fd/{}", self.far.as_raw_fd());
        let mut options = OpenOptions::new();
        options
            .write(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
        let mut full = options.open(path).unwrap();
        while full.write(&[b' '; 256]).is_ok() {}
        // What it draws for a key finds no room.
        self.key("s");
        let deadline = Instant::now() + PATIENCE;
        while self.is_typed_ahead() {
            assert!(Instant::now() < deadline, "it reads no key");
            thread::sleep(PAUSE);
        }
    }

    /// Whether a key was not read yet.
    fn is_typed_ahead(&self) -> bool {
        let mut count: libc::c_int = 0;
        // SAFETY: the call writes the number, which lives through it.
        let asked = unsafe { libc::ioctl(self.far.as_raw_fd(), libc::FIONREAD, &raw mut count) };
        assert_eq!(asked, 0);
        count > 0
    }

    /// How it ended, while nobody reads.
    pub(super) fn end_unread(&mut self) -> Option<i32> {
        self.wait(|_| thread::sleep(PAUSE))
    }

    /// How it ended.
    pub(super) fn end(&mut self) -> Option<i32> {
        let code = self.wait(Self::read);
        while self.has_more() {
            self.read();
        }
        code
    }

    /// Takes the terminal away; gives how the command ended.
    pub(super) fn hang_up(&mut self) -> Option<i32> {
        self.near = None;
        self.wait(|_| thread::sleep(PAUSE))
    }

    fn wait(&mut self, meanwhile: impl Fn(&mut Self)) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            meanwhile(self);
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // A test that failed leaves no command behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the call reads the size, which lives through it.
    let set = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(set, 0);
}
