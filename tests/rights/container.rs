//! A container: a user, a mount and a network namespace of its own, with a bpf file system that delegates what a test says.
//!
//! Takes root and Linux 6.9; gives what runs in it. As a container manager does it, the new process makes the file system, so that
//! it is its user namespace's, and somebody with the rights of the machine says what it delegates (`bpf_parse_param` of
//! kernel/bpf/inode.c). Not here: what sockc does there.

use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use sockc_testing::Folder;

/// The first user of the container, as the machine numbers it.
const FIRST: u32 = 1_000_000;
/// How long a step of the other process may take.
const PATIENCE: Duration = Duration::from_secs(60);
const BPFFS: &CStr = c"/sys/fs/bpf";

/// What the file system delegates: options of its mount and their values.
pub(super) type Delegated<'a> = &'a [(&'a str, &'a str)];

/// It, with files of a policy; its processes end with it.
pub(super) struct Container {
    init: Child,
    pub(super) folder: Folder,
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}

impl Container {
    /// A new one; an error where the kernel has no such delegation.
    pub(super) fn new(name: &str, delegated: Delegated<'_>) -> io::Result<Self> {
        let folder = Folder::new(name);
        fs::set_permissions(&folder.0, Permissions::from_mode(0o777))?;
        fs::copy(env!("CARGO_BIN_EXE_sockc"), folder.0.join("sockc"))?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut command = Command::new("sleep");
        command.arg("infinity").stdin(Stdio::null());
        let end = theirs.as_raw_fd();
        // SAFETY: between fork and exec there is one thread, which makes system calls alone.
        unsafe { command.pre_exec(move || enter(end)) };
        let init = thread::scope(|scope| {
            let starts = scope.spawn(|| command.spawn());
            let led = lead(ours, delegated);
            let init = starts.join().unwrap();
            // What the other process says is why it ended.
            let mut init = init?;
            if led.is_err() {
                init.kill()?;
                init.wait()?;
            }
            led.map(|()| init)
        })?;
        let container = Self { init, folder };
        let ran = container.sh("ip link set lo up");
        assert!(ran.status.success(), "{ran:?}");
        Ok(container)
    }

    /// Runs a line of shell in it, as its root.
    pub(super) fn sh(&self, line: &str) -> Output {
        self.after("true", line)
    }

    /// The same in a process that was something else before: a line of the machine's root.
    pub(super) fn after(&self, first: &str, line: &str) -> Output {
        let id = self.init.id();
        let enter = format!(
            "{first}; exec nsenter --target {id} --user --mount --net --setuid 0 --setgid 0 sh -c \"$0\""
        );
        let line = format!("cd {}; {line}", self.folder.0.display());
        let mut command = Command::new("sh");
        command.args(["-c", &enter, &line]).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs a line of shell as the machine's root, who sees what is mounted there, and its network.
    pub(super) fn sh_outside(&self, line: &str) -> Output {
        let line = format!("cd {}; {line}", self.folder.0.display());
        let target = self.init.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &target, "--mount", "--net", "sh", "-c", &line]);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Does something in its network.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.init.id())).unwrap();
        let there = move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap())
    }
}

/// What the new process does before it becomes `sleep`.
fn enter(end: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open in the process that was forked; it is closed there once and never used again.
    let mut end = unsafe { UnixStream::from_raw_fd(end) };
    unshare(CloneFlags::CLONE_NEWUSER)?;
    end.write_all(&std::process::id().to_ne_bytes())?;
    end.read_exact(&mut [0])?;
    nix::unistd::setgid(0.into())?;
    nix::unistd::setuid(0.into())?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    let nothing = None::<&CStr>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, c"/", nothing, private, nothing)?;
    // SAFETY: the name lives through the call.
    let opened = call(unsafe { libc::syscall(libc::SYS_fsopen, c"bpf".as_ptr(), 0) })?;
    end.write_all(&opened.to_ne_bytes())?;
    end.read_exact(&mut [0])?;
    // SAFETY: plain numbers.
    let made = call(unsafe { libc::syscall(libc::SYS_fsmount, opened, 0, 0) })?;
    // SAFETY: the paths live through the call.
    call(unsafe {
        let (empty, whole) = (c"".as_ptr(), libc::MOVE_MOUNT_F_EMPTY_PATH);
        let place = BPFFS.as_ptr();
        libc::syscall(
            libc::SYS_move_mount,
            made,
            empty,
            libc::AT_FDCWD,
            place,
            whole,
        )
    })?;
    Ok(())
}

/// What has the rights of the machine does meanwhile.
fn lead(mut ours: UnixStream, delegated: Delegated<'_>) -> io::Result<()> {
    let mut number = [0; 4];
    ours.read_exact(&mut number)?;
    let id = u32::from_ne_bytes(number);
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{id}/{map}"), format!("0 {FIRST} 65536"))?;
    }
    ours.write_all(b"m")?;
    ours.read_exact(&mut number)?;
    // SAFETY: plain numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) })?;
    let theirs = i32::from_ne_bytes(number);
    let raw = process.as_raw_fd();
    // SAFETY: plain numbers.
    let system = owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, raw, theirs, 0) })?;
    for (name, value) in delegated {
        configure(&system, libc::FSCONFIG_SET_STRING, Some((name, value)))?;
    }
    configure(&system, libc::FSCONFIG_CMD_CREATE, None)?;
    ours.write_all(b"c")
}

fn configure(system: &OwnedFd, command: u32, option: Option<(&str, &str)>) -> io::Result<()> {
    let texts = option.map(|(name, value)| [name, value].map(|text| CString::new(text).unwrap()));
    let [name, value] = match &texts {
        Some(texts) => texts.each_ref().map(|text| text.as_ptr()),
        None => [std::ptr::null(); 2],
    };
    let system = system.as_raw_fd();
    // SAFETY: the texts live through the call.
    call(unsafe { libc::syscall(libc::SYS_fsconfig, system, command, name, value, 0) })?;
    Ok(())
}

fn call(result: libc::c_long) -> io::Result<i32> {
    match result {
        0.. => i32::try_from(result).map_err(io::Error::other),
        _ => Err(io::Error::last_os_error()),
    }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = call(result)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
