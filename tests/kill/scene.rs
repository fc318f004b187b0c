//! Two network namespaces of their own with a bpf file system, policies for them, and packets that tell which is in force.
//!
//! The packets go over `lo`, where whatever is sent has met every hook before a later one arrives: so "does not arrive" needs
//! no waiting. Every hook has a port that the old policy drops and one that the new one does.

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use sockc_compiler::policy::Direction;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{BPFFS, Group, Netlink, Played, Space, play};
use sockc_testing::again;

use crate::guests;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The first port that the old policy drops; one for each hook follows.
const OLD: u16 = 1001;
/// The same of the new policy.
const NEW: u16 = 2001;
/// The port that members of the live set may not reach.
const BANNED: u16 = 5000;
/// Where a process of the group writes from, and to whom; a connected socket gets it.
const WRITER: &str = "127.0.9.1:0";
const FED: &str = "127.0.9.9:53";
/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// A port that nobody drops.
const OPEN: u16 = 999;
/// The block's namespace, as policies name it.
pub(crate) const BLOCK: &str = "blue";
/// Packet hooks that have a port. The port after theirs is the one that a group may not call.
const HOOKS: u16 = 4;

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Where commands run and packets flow.
pub(crate) struct Scene {
    /// Where the policy is in force.
    pub(crate) space: Space,
    /// The namespace of its `for netns` block.
    block: Option<Space>,
    /// The group whose calls are decided.
    group: Group,
    folder: PathBuf,
    /// The socket that both policies name.
    web: TcpListener,
    /// A socket that can be registered.
    late: TcpListener,
    /// A connection whose input takes what the group writes, and its peer, where the policies have one.
    kept: Option<[TcpStream; 2]>,
}

impl Scene {
    /// With or without a namespace for a `for netns` block.
    pub(crate) fn new(with_block: bool) -> Self {
        Self::made(with_block, false)
    }

    /// One whose policies put what the group writes into the queue of a connected socket.
    pub(crate) fn with_connected() -> Self {
        Self::made(false, true)
    }

    fn made(with_block: bool, connected: bool) -> Self {
        let space = Space::with_bpffs().unwrap();
        let block = with_block.then(|| Space::new().unwrap());
        for one in [Some(&space), block.as_ref()].into_iter().flatten() {
            one.run(|| Netlink::open().unwrap().up("lo").unwrap())
                .unwrap();
        }
        let listen = |at: &'static str| space.run(|| TcpListener::bind(at).unwrap()).unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("sockc-kill-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        if let Some(block) = &block {
            let fd = format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                block.net().as_raw_fd()
            );
            space.run(|| name_namespace(&fd)).unwrap();
        }
        let scene = Self {
            web: listen("127.0.0.1:7001"),
            late: listen("127.0.0.1:7002"),
            kept: connected.then(|| space.run(pair).unwrap()),
            space,
            block,
            group: Group::new().unwrap(),
            folder,
        };
        scene.file("old.sk", &scene.policy(OLD, ""));
        let redirect = "redirect tcp to 127.0.0.9:80 to sock web\n";
        scene.file("new.sk", &scene.policy(NEW, redirect));
        scene
    }

    fn policy(&self, first: u16, more: &str) -> String {
        let rules = rules(first);
        let block = match &self.block {
            Some(_) => format!("for netns \"{BLOCK}\" {{\ninterfaces lo\n{rules}}}\n"),
            None => String::new(),
        };
        // Sockets with an owner are taken in another way than those without.
        let owner = self.block.as_ref().map_or("", |_| " owner uid 0");
        let fed = match &self.kept {
            Some(_) => format!(
                "socket kept = registered owner uid 0\ndefault send allow\n\
                 redirect send tcp from group jobs to {FED} to input of sock kept\n"
            ),
            None => String::new(),
        };
        format!(
            "interfaces lo\nlive set banned max 61\nlive map tenants max 100\n\
             socket web = tcp listen 127.0.0.1:7001{owner}\nsocket late = registered owner uid 0\n\
             group jobs = cgroup \"{}\"\ndefault connect allow\n\
             drop connect udp from group jobs to port {}\n{more}redirect tcp to 127.0.0.10:80 to sock late\nredirect tcp by @tenants\n{fed}{rules}{block}",
            self.group.path(),
            first + HOOKS,
        )
    }

    /// Writes a file; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The path of a file that was written.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The number of the socket that can be registered.
    pub(crate) fn late(&self) -> i32 {
        self.late.as_raw_fd()
    }

    /// The number of the connected socket.
    pub(crate) fn kept(&self) -> i32 {
        self.kept.as_ref().unwrap()[0].as_raw_fd()
    }

    /// The command, not run yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the command where the policy is in force.
    pub(crate) fn sockc(&self, arguments: &[&str]) -> Ran {
        let output = self
            .space
            .run(|| self.command(arguments).output().unwrap())
            .unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Has what is kept of the kernel be asked again.
    pub(crate) fn forget_kernel(&self) {
        let forget = || match Path::new("/run/sockc").exists() {
            true => fs::remove_dir_all("/run/sockc"),
            false => Ok(()),
        };
        self.space.run(forget).unwrap().unwrap();
    }

    /// Runs the command, which must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> Ran {
        let ran = self.sockc(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran
    }

    /// What becomes of every packet, in both namespaces.
    pub(crate) fn answers(&self) -> Vec<bool> {
        let mut answers = self.space.run(|| arrivals(&packets())).unwrap();
        answers.extend([OLD, NEW].map(|first| self.calls(first + HOOKS)));
        answers.extend(self.kept.iter().flat_map(|kept| self.moves(kept)));
        let connections = || [8, 9, 10].map(|last| connects([127, 0, 0, last], 80));
        answers.extend(self.space.run(connections).unwrap());
        // A full queue would keep later ones out.
        for listener in [&self.web, &self.late] {
            listener.set_nonblocking(true).unwrap();
            while listener.accept().is_ok() {}
        }
        if let Some(block) = &self.block {
            answers.extend(block.run(|| arrivals(&packets())).unwrap());
        }
        answers
    }

    /// Whether a packet that the old policy drops, and not the new one, arrives in every namespace: one packet each, so that to ask
    /// again and again holds nobody up.
    pub(crate) fn lets_through_what_the_old_drops(&self) -> bool {
        let spaces = [Some(&self.space), self.block.as_ref()];
        let arrives = |space: &Space| space.run(|| arrivals(&[(1, OLD)])).unwrap() == [true];
        spaces.into_iter().flatten().all(arrives)
    }

    /// Whether what a process of the group writes arrives, and whether it comes out of the connected socket.
    fn moves(&self, [own, _]: &[TcpStream; 2]) -> [bool; 2] {
        let ends = (
            IpProtocol::TCP,
            WRITER.parse().unwrap(),
            FED.parse().unwrap(),
        );
        let watched = [own.as_fd()];
        let played = play(&self.space, Direction::Send, &self.group, ends, &watched).unwrap();
        [Played::Done, Played::Elsewhere(0)].map(|wanted| played == wanted)
    }

    /// Whether a process of the group may send to a port.
    fn calls(&self, port: u16) -> bool {
        let [from, to] = [0, port].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let ends = (IpProtocol::UDP, from, to);
        let played = play(&self.space, Direction::Connect, &self.group, ends, &[]);
        played.unwrap() == Played::Done
    }

    /// The policies that `status` says are in force, after what else it says; it must end with 0.
    pub(crate) fn told(&self) -> Vec<String> {
        let ran = self.must(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let mut names = vec![format!("{} {}", status["policy"], status["drift"])];
        let inner = status["netns"].as_array().into_iter().flatten();
        names.extend(inner.map(|one| {
            let status = &one["status"];
            format!("{} {}", status["policy"], status["drift"])
        }));
        names.extend(self.kept.iter().map(|_| status["ends"].to_string()));
        names
    }

    /// What the live set and the live map hold, without when it goes; nothing where no policy is in force.
    pub(crate) fn held(&self) -> [String; 2] {
        [["set", "list", "banned"], ["map", "list", "tenants"]].map(|arguments| {
            let listed = self.sockc(&arguments).stdout;
            let lines = listed.lines().filter_map(|line| line.split("  ").next());
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    /// Every name in the state's folders, with `#` for every number: generations and what is called by them differ.
    pub(crate) fn tree(&self) -> Vec<String> {
        let root = Path::new(BPFFS).join("sockc");
        let mut found = Vec::new();
        self.space.run(|| collect(&root, &mut found)).unwrap();
        let mut names: Vec<String> = found.iter().map(|name| without_numbers(name)).collect();
        names.sort();
        names
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The command under test; a guest has a copy of it.
fn program() -> PathBuf {
    match guests::folder() {
        Some(folder) => folder.join("sockc"),
        None => PathBuf::from(env!("CARGO_BIN_EXE_sockc")),
    }
}

/// Both ends of a connection over `lo`.
fn pair() -> [TcpStream; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    [own, listener.accept().unwrap().0]
}

/// Gives a namespace the name of the block, in the mounts of the calling thread alone.
fn name_namespace(file: &str) {
    let nothing = None::<&str>;
    let tmpfs = Some("tmpfs");
    mount(tmpfs, "/run", tmpfs, MsFlags::empty(), nothing).unwrap();
    let name = Path::new("/run/netns").join(BLOCK);
    fs::create_dir("/run/netns").unwrap();
    fs::write(&name, "").unwrap();
    mount(Some(file), &name, nothing, MsFlags::MS_BIND, nothing).unwrap();
}

fn rules(first: u16) -> String {
    let [xdp, tc, out, lookup] = [first, first + 1, first + 2, first + 3];
    format!(
        "default in allow\ndefault out allow\ndrop udp from @banned to port {BANNED}\ndrop udp to port {xdp} at xdp\n\
         drop udp to port {tc} at tc\ndrop out udp to port {out}\n\
         reject udp to port {lookup} at sk_lookup\n"
    )
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found);
        }
    }
}

fn without_numbers(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        match letter.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(letter),
        }
    }
    out
}

/// The packets that tell: where they come from, by the last byte, and the port they go to.
fn packets() -> Vec<(u8, u16)> {
    let hooks = (OLD..OLD + HOOKS).chain(NEW..NEW + HOOKS);
    let mut packets: Vec<(u8, u16)> = hooks.map(|port| (1, port)).collect();
    packets.extend([11, 12, 13].map(|from| (from, BANNED)));
    packets
}

/// Which of these packets arrive in the present namespace.
fn arrivals(packets: &[(u8, u16)]) -> Vec<bool> {
    stay_on_one_cpu();
    let ports: BTreeSet<u16> = packets.iter().map(|(_, port)| *port).collect();
    let receivers: Vec<UdpSocket> = ports.iter().map(|port| bind(1, *port)).collect();
    let last = bind(1, OPEN);
    for (number, (from, port)) in (0u8..).zip(packets) {
        // A drop on the way out is told to the sender.
        let _ = bind(*from, 0).send_to(&[number], (Ipv4Addr::LOCALHOST, *port));
    }
    bind(1, 0)
        .send_to(&[0], (Ipv4Addr::LOCALHOST, OPEN))
        .unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    again(|| last.recv_from(&mut [0; 8])).expect("what nobody drops arrives");
    let mut arrived = vec![false; packets.len()];
    for receiver in receivers {
        receiver.set_nonblocking(true).unwrap();
        let mut number = [0];
        while again(|| receiver.recv_from(&mut number)).is_ok() {
            arrived[usize::from(number[0])] = true;
        }
    }
    arrived
}

/// A socket of 127.0.0.`host`. Commands that other threads just start hold what is open until they run their own program, so a
/// port that was let go may be taken for a moment.
fn bind(host: u8, port: u16) -> UdpSocket {
    let began = Instant::now();
    loop {
        match UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), port)) {
            Ok(socket) => return socket,
            Err(error) => assert!(began.elapsed() < PATIENCE, "port {port}: {error}"),
        }
        thread::yield_now();
    }
}

/// Packets over `lo` arrive in the order in which one CPU sends them.
fn stay_on_one_cpu() {
    // SAFETY: the set is integers, for which zeros are valid, and lives through the calls.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(usize::try_from(libc::sched_getcpu()).unwrap(), &mut set);
        let set_to = libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set);
        assert_eq!(set_to, 0);
    }
}

/// Whether somebody takes a connection. Nobody drops one, so the answer comes at once.
fn connects(host: [u8; 4], port: u16) -> bool {
    let to = SocketAddr::from((host, port));
    TcpStream::connect_timeout(&to, PATIENCE).is_ok()
}
