//! What this kernel does otherwise on TCP connections that stand in its tables of sockets, found by trying it.
//!
//! A pair of sockets over loopback, in a network namespace of its own where that may be made, is put into a small map of its own
//! with a small program, as a group's connections are. Who tries may be in a group of the policy in force, which would have such sockets
//! in a map of its own by then: so they are made in the root of all control groups, where that may be done. Then a [`trial`](trials) does what a process would. Takes the way in
//! which data comes or goes; gives whether the kernel behaves otherwise than on a socket that is in no table. Not here: what a fault
//! is called, and whom it concerns.
//!
//! Never tried: TCP_ZEROCOPY_RECEIVE. On a socket in a table it follows a null pointer (`tcp_zerocopy_receive` of Linux 6.1, 6.12
//! and 6.18) with the socket locked, for good.

mod calls;
pub(crate) mod trials;

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use aya_obj::generated::{bpf_attach_type, bpf_map_type, bpf_prog_type};
use nix::poll::PollFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect,
    getsockname, listen, socket,
};
use serde::{Deserialize, Serialize};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::Register;

use crate::code::Code;
use crate::sys::retry::again;
use crate::sys::{cgroup, inside, map, prog};

/// `BPF_F_INGRESS`: into the queue of the socket, and not out of it.
const INGRESS: i32 = 1;
/// Where the socket that is looked at stands in the map, and where its peer does.
const NEAR: u32 = 0;
const FAR: u32 = 1;

/// Some port over loopback.
const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

/// How long a call may wait.
const PATIENCE: Duration = Duration::from_millis(500);

/// How connections stand in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// What is written is decided; what is read came by TCP.
    Send,
    /// What is read was put into the queue of the socket by a shortcut, or by a redirect to an input.
    Shortcut,
    /// What arrives is decided.
    Receive,
}

impl Way {
    /// Its word, in messages and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Shortcut => "shortcut",
            Self::Receive => "receive",
        }
    }
}

/// Two ends of a connection: the one that is looked at, and its peer.
pub(crate) struct Pair {
    way: Way,
    near: TcpStream,
    far: TcpStream,
}

/// A map with a program, in which sockets stand in one way.
pub(crate) struct Bench {
    way: Way,
    listener: TcpListener,
    /// What is yet to be connected.
    spare: RefCell<Vec<OwnedFd>>,
    sockets: OwnedFd,
    _program: OwnedFd,
}

impl Bench {
    /// The map and the program of a way, for so many pairs.
    pub(crate) fn new(way: Way, pairs: usize) -> io::Result<Self> {
        let sockets = map::create(
            "probe",
            map::Shape {
                kind: bpf_map_type::BPF_MAP_TYPE_SOCKMAP as u32,
                key: 4,
                value: 8,
                entries: 2,
            },
        )?;
        let mut code = Code::default();
        let (kind, attach) = match way {
            Way::Receive => (
                bpf_prog_type::BPF_PROG_TYPE_SK_SKB,
                bpf_attach_type::BPF_SK_SKB_VERDICT,
            ),
            Way::Send | Way::Shortcut => (
                bpf_prog_type::BPF_PROG_TYPE_SK_MSG,
                bpf_attach_type::BPF_SK_MSG_VERDICT,
            ),
        };
        // What is allowed goes out by the socket's own output, as under a policy.
        match way {
            Way::Send => redirect(&mut code, &sockets, 0),
            Way::Shortcut => redirect(&mut code, &sockets, INGRESS),
            Way::Receive => code.give(1),
        }
        let program = prog::load(&prog::Source {
            name: "sockc_probe",
            kind,
            attach: (way != Way::Receive).then_some(attach),
            code: &code.bytes()?,
        })?;
        prog::attach(program.as_fd(), sockets.as_fd(), attach)?;
        let mut spare = made(pairs + 1)?;
        let listener = spare.pop().ok_or(io::ErrorKind::NotFound)?;
        bind(listener.as_raw_fd(), &SockaddrIn::from(ANY))?;
        listen(&listener, Backlog::new(1)?)?;
        Ok(Self {
            way,
            listener: listener.into(),
            spare: spare.into(),
            sockets,
            _program: program,
        })
    }

    /// A connection that stands in the map. Its place is free again when it is closed.
    pub(crate) fn pair(&self) -> io::Result<Pair> {
        let spare = self.spare.borrow_mut().pop();
        let far = TcpStream::from(spare.ok_or(io::ErrorKind::NotFound)?);
        // A connect waits as long as a write.
        far.set_write_timeout(Some(PATIENCE))?;
        let to: SockaddrStorage = getsockname(self.listener.as_raw_fd())?;
        again(|| Ok(connect(far.as_raw_fd(), &to)?))?;
        calls::ready(self.listener.as_fd(), PollFlags::POLLIN)?;
        let (near, _) = self.listener.accept()?;
        // No trial waits for ever, whatever a kernel does.
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
        }
        let put = |slot: u32, socket: &TcpStream| {
            map::put_socket(self.sockets.as_fd(), &slot.to_ne_bytes(), socket.as_fd())
        };
        put(NEAR, &near)?;
        // A writer without a program writes by TCP.
        if self.way == Way::Shortcut {
            put(FAR, &far)?;
        }
        Ok(Pair {
            way: self.way,
            near,
            far,
        })
    }
}

/// So many sockets that belong to no group of a policy, where they may be made; else of this process's control group.
fn made(count: usize) -> io::Result<Vec<OwnedFd>> {
    let kind = [libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP];
    let apart = || {
        let root = cgroup::root()?.ok_or(io::ErrorKind::NotFound)?;
        let members = root.join("cgroup.procs");
        let members = OpenOptions::new().write(true).open(members)?;
        inside::sockets(members.as_fd(), kind, count)
    };
    apart().or_else(|_: io::Error| {
        let one = || {
            socket(
                AddressFamily::Inet,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
        };
        let all = (0..count).map(|_| one().map_err(io::Error::from));
        all.collect()
    })
}

/// What is written goes where the socket in the place `NEAR` stands.
fn redirect(code: &mut Code, sockets: &OwnedFd, flags: i32) {
    let near = code.number(NEAR);
    code.map(Register::R2, sockets.as_fd());
    code.add([
        asm::mov64_imm(Register::R3, near),
        asm::mov64_imm(Register::R4, flags),
        asm::call(Helper::MsgRedirectMap),
        asm::exit(),
    ]);
}

/// Does something in a network namespace that ends with it, so that no rule of this one is in the way; where none may be made, in
/// this one. No signal comes to who does it: one that ends a read early would be taken for the kernel's way.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        // Nothing but a set that is no address is refused.
        let _ = SigSet::all().thread_block();
        if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
            // Where it stays down nothing connects, and that is said.
            let _ = bring_up();
        }
        work()
    };
    thread::scope(|scope| {
        let inside = scope.spawn(inside).join();
        inside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Brings `lo` up.
fn bring_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: the structure is plain numbers, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request reads an `ifreq`, which lives until the call returns.
    calls::done(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    })
}

/// What the kernel does otherwise on connections that stand in its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// What was found.
    pub found: Vec<Fault>,
    /// Why not all could be tried.
    pub untried: Option<String>,
}

/// Something that the kernel does otherwise there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A word for it, as the manual has it.
    pub word: String,
    /// What it is.
    pub what: String,
    /// On which connections.
    pub ways: Vec<Way>,
}
