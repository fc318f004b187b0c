//! Runs a command under ptrace(2): numbers the system calls that matter, and kills the command before one of them or has one
//! refused.
//!
//! Takes a command and who decides what becomes of each call; gives how it ended, what it printed, and the calls. The calls of
//! all its threads are one row of numbers, in the order in which they began. What the calls are for is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use libc::{c_int, c_long, c_void, pid_t};

/// The commands of bpf(2) that make or change something, by their numbers in `enum bpf_cmd` of `linux/bpf.h`.
const BPF_CHANGES: [(u64, &str); 16] = [
    (0, "MAP_CREATE"),
    (2, "MAP_UPDATE_ELEM"),
    (3, "MAP_DELETE_ELEM"),
    (5, "PROG_LOAD"),
    (6, "OBJ_PIN"),
    (8, "PROG_ATTACH"),
    (9, "PROG_DETACH"),
    (18, "BTF_LOAD"),
    (21, "MAP_LOOKUP_AND_DELETE_ELEM"),
    (22, "MAP_FREEZE"),
    (25, "MAP_LOOKUP_AND_DELETE_BATCH"),
    (26, "MAP_UPDATE_BATCH"),
    (27, "MAP_DELETE_BATCH"),
    (28, "LINK_CREATE"),
    (29, "LINK_UPDATE"),
    (34, "LINK_DETACH"),
];

/// Calls that change folders, mounts, or what another end of a socket knows. Netlink is spoken by the last two.
const CHANGES: [(c_long, &str); 16] = [
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_link, "link"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_symlink, "symlink"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
];

/// Calls that look at what the command's state is made of, when they name a place in the bpf file system.
const LOOKS: [(c_long, &str, usize); 6] = [
    (libc::SYS_openat, "openat", 1),
    (libc::SYS_statx, "statx", 1),
    (libc::SYS_newfstatat, "newfstatat", 1),
    (libc::SYS_readlink, "readlink", 0),
    (libc::SYS_readlinkat, "readlinkat", 1),
    (libc::SYS_statfs, "statfs", 0),
];

/// Calls without a path that the command cannot do without.
const NEEDS: [(c_long, &str); 9] = [
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_membarrier, "membarrier"),
    (libc::SYS_getdents64, "getdents64"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_socket, "socket"),
];

/// Calls on files and folders of a disk, with the argument that names the place.
const ON_DISK: [(c_long, &str, usize); 8] = [
    (libc::SYS_openat, "openat", 1),
    (libc::SYS_open, "open", 0),
    (libc::SYS_mkdir, "mkdir", 0),
    (libc::SYS_unlink, "unlink", 0),
    (libc::SYS_unlinkat, "unlinkat", 1),
    (libc::SYS_rename, "rename", 0),
    (libc::SYS_link, "link", 0),
    (libc::SYS_linkat, "linkat", 1),
];

/// Calls on an open file, which is the first argument.
const ON_OPEN: [(c_long, &str); 3] = [
    (libc::SYS_write, "write"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
];

/// Calls by which a command that stays waits for something, and makes what it waits on.
const WAITS: [(c_long, &str); 9] = [
    (libc::SYS_poll, "poll"),
    (libc::SYS_ppoll, "ppoll"),
    (libc::SYS_epoll_create1, "epoll_create1"),
    (libc::SYS_epoll_ctl, "epoll_ctl"),
    (libc::SYS_epoll_wait, EPOLL_WAIT),
    (libc::SYS_inotify_init1, "inotify_init1"),
    (libc::SYS_inotify_add_watch, "inotify_add_watch"),
    (libc::SYS_setsockopt, "setsockopt"),
    (libc::SYS_bind, "bind"),
];

/// What a command that watches waits in.
pub(crate) const EPOLL_WAIT: &str = "epoll_wait";

/// Where the disk is that such calls are numbered of.
pub(crate) const DISK: &str = "/var/lib";

/// Which calls are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that change something.
    Changes,
    /// Those on what is kept on disk, and no others.
    Disk,
    /// Those that change something, and those that look at the state or make threads and sockets.
    All,
    /// All of these, and those by which a command waits for something, reads what came, and writes what it prints.
    Stays,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is made.
    Go,
    /// The command is killed before it.
    Kill,
    /// It is not made, and fails with this number.
    Refuse(c_int),
    /// The command gets this signal, and the call is made.
    Signal(c_int),
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its code; `None` if it was killed.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said besides that.
    pub(crate) stderr: String,
    /// The calls that were numbered, in words.
    pub(crate) calls: Vec<String>,
}

/// Runs a command to its end; `fate` is asked for each call with its number, from 0.
pub(crate) fn run(
    command: &mut Command,
    which: Which,
    fate: impl FnMut(usize, &str) -> Fate,
) -> Ended {
    let (mut stdout, mut stderr) = (memory(), memory());
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap());
    // SAFETY: between fork and exec only this call is made, which allocates nothing.
    unsafe {
        command.pre_exec(|| request(libc::PTRACE_TRACEME, 0, 0, 0).map(drop));
    }
    #[allow(
        clippy::zombie_processes,
        reason = "whoever traces it waits for it: `follow` does, to its end"
    )]
    let child = command.spawn().unwrap();
    let child = pid_t::try_from(child.id()).unwrap();
    let mut traced = Traced {
        child,
        which,
        fate,
        calls: Vec::new(),
        known: BTreeSet::new(),
        refused: BTreeMap::new(),
    };
    let code = traced.follow();
    Ended {
        code,
        stdout: text(&mut stdout),
        stderr: text(&mut stderr),
        calls: traced.calls,
    }
}

/// A file in memory, so that no pipe fills up while nobody reads.
fn memory() -> File {
    // SAFETY: the name lives through the call, and the descriptor is new and nobody else's.
    unsafe {
        let fd = libc::memfd_create(c"printed".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        File::from_raw_fd(fd)
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request(what: libc::c_uint, pid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: the caller gives addresses that live through the call.
    let done = unsafe { libc::ptrace(what, pid, address as *mut c_void, data as *mut c_void) };
    match done {
        -1 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}

/// A command with all its threads.
struct Traced<F> {
    child: pid_t,
    which: Which,
    fate: F,
    calls: Vec<String>,
    /// Threads that have been seen; a new one begins with a stop that is no signal of anybody.
    known: BTreeSet<pid_t>,
    /// Threads whose present call was turned away, and what it is to give.
    refused: BTreeMap<pid_t, c_int>,
}

impl<F: FnMut(usize, &str) -> Fate> Traced<F> {
    /// Goes on until the last thread has ended.
    fn follow(&mut self) -> Option<i32> {
        let mut code = None;
        loop {
            let mut status = 0;
            // Only what this thread traces: other tests run commands of their own next to this one.
            let flags = libc::__WALL | libc::__WNOTHREAD;
            // SAFETY: the status lives through the call.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
            if pid < 0 {
                match io::Error::last_os_error().raw_os_error() {
                    Some(libc::EINTR) => continue,
                    _ => return code,
                }
            }
            if libc::WIFSTOPPED(status) {
                let signal = self.stopped(pid, status);
                // A thread that was killed meanwhile is gone, and that is told next.
                let _ = request(libc::PTRACE_SYSCALL, pid, 0, signal.unsigned_abs() as usize);
            } else if pid == self.child {
                code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            }
        }
    }

    /// What a stop is; gives the signal to go on with.
    fn stopped(&mut self, pid: pid_t, status: c_int) -> c_int {
        let signal = libc::WSTOPSIG(status);
        let new = self.known.insert(pid);
        if new && pid == self.child {
            let options = libc::PTRACE_O_TRACESYSGOOD
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACEFORK
                | libc::PTRACE_O_TRACEVFORK
                // Else a command that another one runs gets a signal as it begins, which ends it.
                | libc::PTRACE_O_TRACEEXEC
                | libc::PTRACE_O_EXITKILL;
            let set = request(
                libc::PTRACE_SETOPTIONS,
                pid,
                0,
                options.unsigned_abs() as usize,
            );
            set.unwrap();
            return 0;
        }
        if signal == libc::SIGTRAP | 0x80 {
            self.at_call(pid);
            return 0;
        }
        let told = status >> 16 != 0 || new;
        if told { 0 } else { signal }
    }

    /// A thread enters a call or leaves one.
    fn at_call(&mut self, pid: pid_t) {
        // SAFETY: the struct is integers, for which zeros are valid.
        let mut about: libc::ptrace_syscall_info = unsafe { mem::zeroed() };
        let size = mem::size_of_val(&about);
        let told = request(
            libc::PTRACE_GET_SYSCALL_INFO,
            pid,
            size,
            (&raw mut about).addr(),
        );
        if told.is_err() {
            return;
        }
        if about.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: this member is filled at an entry.
            let entry = unsafe { about.u.entry };
            self.enter(pid, entry.nr, entry.args);
        } else if let Some(number) = self.refused.remove(&pid) {
            change_registers(pid, |registers| registers.rax = (-i64::from(number)) as u64);
        }
    }

    fn signal(&self, signal: c_int) {
        // SAFETY: numbers only; the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.child, signal) };
    }

    fn enter(&mut self, pid: pid_t, number: u64, arguments: [u64; 6]) {
        let waits = self.which == Which::Stays && !self.calls.is_empty();
        let words = in_words(pid, self.which, number, arguments)
            .or_else(|| waits.then(|| waiting(pid, number, arguments)).flatten());
        let Some(words) = words else {
            return;
        };
        let fate = (self.fate)(self.calls.len(), &words);
        self.calls.push(words);
        match fate {
            Fate::Go => {}
            Fate::Kill => {
                turn_away(pid);
                self.signal(libc::SIGKILL);
            }
            Fate::Signal(signal) => self.signal(signal),
            Fate::Refuse(number) => {
                turn_away(pid);
                self.refused.insert(pid, number);
            }
        }
    }
}

/// A call by which a command waits, reads what came or prints, in words. What it begins with, as every program does, is none.
fn waiting(pid: pid_t, number: u64, arguments: [u64; 6]) -> Option<String> {
    let number = c_long::try_from(number).ok()?;
    if let Some((_, name)) = WAITS.iter().find(|(one, _)| *one == number) {
        return Some((*name).to_owned());
    }
    let name = match number {
        libc::SYS_read => "read",
        libc::SYS_write => "write",
        libc::SYS_mmap if arguments[3] & libc::MAP_SHARED as u64 != 0 => {
            return Some("mmap".into());
        }
        _ => return None,
    };
    let file = fs::read_link(format!("/proc/{pid}/fd/{}", arguments[0])).ok()?;
    let file = file.display().to_string();
    // What is printed goes to memory.
    let told = ["anon_inode:", "socket:", "/memfd:"];
    told.iter()
        .any(|begin| file.starts_with(begin))
        .then(|| format!("{name}({file})"))
}

/// The call becomes one that does not exist.
fn turn_away(pid: pid_t) {
    change_registers(pid, |registers| registers.orig_rax = u64::MAX);
}

fn change_registers(pid: pid_t, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: the struct is integers, for which zeros are valid.
    let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
    let place = (&raw mut registers).addr();
    request(libc::PTRACE_GETREGS, pid, 0, place).unwrap();
    change(&mut registers);
    request(libc::PTRACE_SETREGS, pid, 0, place).unwrap();
}

/// A call in words, if it is one that is numbered.
fn in_words(pid: pid_t, which: Which, number: u64, arguments: [u64; 6]) -> Option<String> {
    let number = c_long::try_from(number).ok()?;
    if which == Which::Disk {
        return on_disk(pid, number, arguments);
    }
    if number == libc::SYS_bpf {
        let change = BPF_CHANGES.iter().find(|(one, _)| *one == arguments[0]);
        return match (change, which) {
            (Some((_, name)), _) => Some(format!("bpf({name})")),
            (None, Which::All | Which::Stays) => Some(format!("bpf({})", arguments[0])),
            (None, Which::Changes | Which::Disk) => None,
        };
    }
    if let Some((_, name)) = CHANGES.iter().find(|(one, _)| *one == number) {
        return Some((*name).to_owned());
    }
    if number == libc::SYS_mmap && is_shared(arguments) {
        return Some("mmap".to_owned());
    }
    if which == Which::Changes {
        return None;
    }
    if let Some((_, name)) = NEEDS.iter().find(|(one, _)| *one == number) {
        return Some((*name).to_owned());
    }
    let (_, name, place) = LOOKS.iter().find(|(one, ..)| *one == number)?;
    let path = string(pid, *arguments.get(*place)?)?;
    path.starts_with("/sys/fs/bpf")
        .then(|| format!("{name}({path})"))
}

/// A call on a file or a folder of the disk, in words.
fn on_disk(pid: pid_t, number: c_long, arguments: [u64; 6]) -> Option<String> {
    let (name, path) = match ON_OPEN.iter().find(|(one, _)| *one == number) {
        Some((_, name)) => {
            let open = format!("/proc/{pid}/fd/{}", arguments[0]);
            (name, fs::read_link(open).ok()?.display().to_string())
        }
        None => {
            let (_, name, place) = ON_DISK.iter().find(|(one, ..)| *one == number)?;
            (name, string(pid, *arguments.get(*place)?)?)
        }
    };
    path.starts_with(DISK).then(|| format!("{name}({path})"))
}

/// Whether a mapping is of memory that others see and this command writes: what it writes there it writes without calls.
fn is_shared([_, _, protection, flags, ..]: [u64; 6]) -> bool {
    let has = |bits: u64, flag: c_int| bits & u64::from(flag.unsigned_abs()) != 0;
    has(protection, libc::PROT_WRITE) && has(flags, libc::MAP_SHARED)
}

/// A string in the command's memory.
fn string(pid: pid_t, address: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; 256];
    let read = memory.read_at(&mut bytes, address).ok()?;
    let text = bytes.get(..read)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
