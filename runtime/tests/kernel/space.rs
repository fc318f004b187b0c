//! A place of its own for each test: a network namespace, a mount namespace with a bpf file system, a control group.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sockc_runtime::Options;
use sockc_testing::again;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a test works with.
pub(crate) struct Space {
    root: PathBuf,
    cgroups: PathBuf,
    /// The name of the test's control group, from the root of the hierarchy.
    pub(crate) cgroup: String,
    /// Options that keep the state in the test's own bpf file system.
    pub(crate) options: Options,
}

/// Runs a test in a space of its own, in a thread that nothing else runs in.
pub(crate) fn inside(test: impl FnOnce(&Space) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        return skip("root");
    }
    let name = format!(
        "sockc-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let cleanup = Cleanup::new(&name);
    let space = cleanup.space(&name);
    let done = thread::spawn(move || {
        enter(&space.root);
        test(&space);
    })
    .join();
    drop(cleanup);
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// Closes a socket of this thread's network namespace, and waits until the kernel has: a process that another test is starting has a
/// copy of it until it runs its program.
pub(crate) fn close(socket: impl AsFd) {
    let inode = nix::sys::stat::fstat(socket.as_fd())
        .unwrap()
        .st_ino
        .to_string();
    drop(socket);
    let is_there = |table: &str| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
        let mut inodes = table
            .lines()
            .filter_map(|line| line.split_whitespace().nth(9));
        inodes.any(|one| one == inode)
    };
    while ["tcp", "tcp6", "udp", "udp6"].into_iter().any(is_there) {
        thread::yield_now();
    }
}

/// Says that a test cannot run without something, which fails where everything must be tested.
pub(crate) fn skip(needed: &str) {
    let required = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
    assert!(!required, "needs {needed}");
    println!("skipped: needs {needed}");
}

fn enter(root: &Path) {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .unwrap();
    mount(
        Some("bpf"),
        &root.join("bpf"),
        Some("bpf"),
        MsFlags::empty(),
        nothing,
    )
    .unwrap();
    run("ip link set lo up");
}

/// Hides what is in a folder from the test.
pub(crate) fn hide(folder: &Path) {
    let (tmpfs, nothing) = (Some("tmpfs"), None::<&str>);
    mount(tmpfs, folder, tmpfs, MsFlags::empty(), nothing).unwrap();
}

/// Removes the folders whatever became of the test. The bpf file system goes with the mount namespace.
struct Cleanup {
    root: PathBuf,
    cgroups: PathBuf,
    cgroup: PathBuf,
}

impl Cleanup {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("bpf")).unwrap();
        let cgroups = cgroup_root();
        let cgroup = cgroups.join(name);
        fs::create_dir(&cgroup).unwrap();
        Self {
            root,
            cgroups,
            cgroup,
        }
    }

    fn space(&self, name: &str) -> Space {
        Space {
            root: self.root.clone(),
            cgroups: self.cgroups.clone(),
            cgroup: format!("/{name}"),
            options: Options {
                bpffs: self.root.join("bpf"),
                lock_wait: LOCK_WAIT,
                ..Options::default()
            },
        }
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.cgroup);
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let line = mounts
        .lines()
        .find(|line| line.contains(" cgroup2 "))
        .unwrap();
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

impl Space {
    /// The state folder and every name below it, sorted.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.options.bpffs, &mut found);
        // The kernel puts files of its own into every bpf file system, and `ip` folders into the first it finds.
        let ours = self.options.bpffs.join("sockc");
        found.retain(|name| Path::new(name).starts_with(&ours));
        found.sort();
        found
    }

    /// A folder for files of the test.
    pub(crate) fn folder(&self) -> &Path {
        &self.root
    }

    /// Mounts a control group and removes it.
    pub(crate) fn mount_dead_group(&self) {
        let group = self
            .cgroups
            .join(self.cgroup.trim_start_matches('/'))
            .join("dead");
        let point = self.root.join("dead");
        fs::create_dir(&group).unwrap();
        fs::create_dir(&point).unwrap();
        let nothing = None::<&str>;
        mount(Some(&group), &point, nothing, MsFlags::MS_BIND, nothing).unwrap();
        fs::remove_dir(&group).unwrap();
    }

    /// The folder of the test's control group.
    pub(crate) fn group_folder(&self) -> PathBuf {
        self.cgroups.join(self.cgroup.trim_start_matches('/'))
    }

    /// Moves a process into the test's control group.
    pub(crate) fn join_group(&self, process: u32) {
        let procs = self
            .cgroups
            .join(self.cgroup.trim_start_matches('/'))
            .join("cgroup.procs");
        fs::write(procs, process.to_string()).unwrap();
    }
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found);
        }
    }
}

/// Runs a command, which must succeed.
pub(crate) fn run(line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How long something may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a datagram or a connection is waited for before nothing is taken to come. Loopback delivers in a moment, but a
/// kernel thread does it where many processes run.
const SILENCE: Duration = Duration::from_millis(500);

/// How long another command is waited for. A process that is just being started holds our locks until it has become its
/// program.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A listener. An address that was let go may be taken for a moment: a process that is just being started by another
/// test has copies of all descriptors until it has become its program.
pub(crate) fn listener(at: &str) -> TcpListener {
    let mut found = None;
    wait_until(at, || {
        found = match TcpListener::bind(at) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => None,
            other => Some(other.unwrap()),
        };
        found.is_some()
    });
    found.unwrap()
}

/// Whether a datagram over `lo` arrives.
pub(crate) fn datagram_arrives() -> bool {
    let to = UdpSocket::bind("127.0.0.1:0").unwrap();
    to.set_read_timeout(Some(SILENCE)).unwrap();
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    // TC egress makes the drop visible to the sender.
    let _ = from.send_to(b"ping", to.local_addr().unwrap());
    again(|| to.recv_from(&mut [0; 8])).is_ok()
}

/// Whether the datagram that a connected socket has sent over `lo` comes to any of some sockets.
pub(crate) fn comes(from: &UdpSocket, sockets: &[&UdpSocket]) -> bool {
    let has = |socket: &&UdpSocket| {
        socket.set_nonblocking(true).unwrap();
        again(|| socket.recv(&mut [0; 8])).is_ok()
    };
    let began = Instant::now();
    while began.elapsed() < SILENCE {
        if sockets.iter().any(has) {
            return true;
        }
        // Nobody is there.
        if from.take_error().unwrap().is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

/// The port of the listener that a connection reaches; `None` if it reaches none.
pub(crate) fn reaches(address: &str, listeners: &[&TcpListener]) -> Option<u16> {
    let _stream = TcpStream::connect_timeout(&address.parse().unwrap(), 4 * SILENCE).ok()?;
    for listener in listeners {
        listener.set_nonblocking(true).unwrap();
    }
    let began = Instant::now();
    while began.elapsed() < 4 * SILENCE {
        let accepted = listeners.iter().find(|listener| listener.accept().is_ok());
        if let Some(listener) = accepted {
            return Some(listener.local_addr().unwrap().port());
        }
        thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Runs `work` in another, new network namespace, and gives what it gives.
pub(crate) fn elsewhere<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            run("ip link set lo up");
            work()
        });
        thread.join().unwrap()
    })
}
