//! What a socket has to be for its queues to take data, and why another is refused: each refusal says what to hand over instead.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, getpeername, socketpair,
};
use nix::sys::stat::fstat;
use sockc_compiler::artifact::{EndPlan, MapKind};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{JumpOp, Register, Width};
use sockc_compiler::policy::Family;

use super::{Out, SK_PROTOCOL, carried, held, run};
use crate::code::kernel_types::ArrivalTypes;
use crate::code::owner::Belongs;
use crate::code::{Code, Label, arrivals};
use crate::error::{Error, at};
use crate::sockets::handover::refused;
use crate::sockets::lookup::SCRATCH;
use crate::sockets::owners::Owners;
use crate::sys::symbols::Symbol;
use crate::sys::{map, socket};

/// What a socket is whose queues take data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// TCP, of a family.
    Tcp(Family),
    /// UDP, of a family.
    Udp(Family),
    /// A UNIX stream.
    UnixStream,
    /// UNIX datagrams.
    UnixDatagram,
}

impl EndKind {
    /// `tcp4`, `tcp6`, `udp4`, `udp6`, `unix-stream` or `unix-datagram`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp(Family::V4) => "tcp4",
            Self::Tcp(Family::V6) => "tcp6",
            Self::Udp(Family::V4) => "udp4",
            Self::Udp(Family::V6) => "udp6",
            Self::UnixStream => "unix-stream",
            Self::UnixDatagram => "unix-datagram",
        }
    }

    /// By what the kernel says: `AF_…`, `SOCK_…` and the protocol.
    pub(super) fn of(family: i32, kind: i32, protocol: i32) -> Option<Self> {
        let of_ip = |six: bool| match six {
            true => Family::V6,
            false => Family::V4,
        };
        Some(match (family, kind, protocol) {
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_TCP) => {
                Self::Tcp(of_ip(family == libc::AF_INET6))
            }
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_UDP) => {
                Self::Udp(of_ip(family == libc::AF_INET6))
            }
            (libc::AF_UNIX, libc::SOCK_STREAM, _) => Self::UnixStream,
            (libc::AF_UNIX, libc::SOCK_DGRAM, _) => Self::UnixDatagram,
            _ => return None,
        })
    }
}

/// What a descriptor is, if it may stand behind a name whose queues take data.
pub(super) fn look(plan: &EndPlan, fd: BorrowedFd<'_>) -> Result<EndKind, Error> {
    let refuse = |cause: &str| refused(&plan.name, cause.to_owned());
    let option = |name| Ok::<_, io::Error>(socket::option(fd, name)? as i32);
    let asked = || {
        Ok::<_, io::Error>((
            option(libc::SO_DOMAIN)?,
            option(libc::SO_TYPE)?,
            option(libc::SO_PROTOCOL)?,
        ))
    };
    let (family, kind, protocol) = match asked() {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            return Err(refuse("the descriptor is no socket"));
        }
        asked => asked.map_err(at("look at a socket"))?,
    };
    if protocol == socket::MPTCP {
        return Err(refuse(
            "the socket speaks MPTCP, whose queues the kernel gives to nobody; have its program make a plain TCP connection",
        ));
    }
    let kind = EndKind::of(family, kind, protocol).ok_or_else(|| {
        refuse("rules put data into its queues, which only sockets of TCP, of UDP, and UNIX streams and datagrams can take; hand over one of these")
    })?;
    // Datagram sockets of UNIX have no such option before Linux 5.12.
    if option(libc::SO_ACCEPTCONN).unwrap_or(0) != 0 {
        return Err(refuse(
            "the socket listens; rules put data into its queues, so hand over a connected one, which `accept` or `connect` gave",
        ));
    }
    let connected = getpeername::<SockaddrStorage>(fd.as_raw_fd()).is_ok();
    if !connected || matches!(kind, EndKind::Tcp(_)) && !socket::is_established(fd) {
        return Err(refuse(
            "the socket is not connected, or one of its sides has ended; rules put data into its queues, so hand over a connected one",
        ));
    }
    if let Some(cause) = no_output(plan, kind) {
        return Err(refuse(&cause));
    }
    if matches!(kind, EndKind::Udp(_)) && !gives_to_datagrams() {
        return Err(refuse(&format!(
            "the socket is {}, and this kernel gives data of TCP connections to TCP sockets alone; hand over a TCP connection, or use Linux 5.15 or later",
            kind.name()
        )));
    }
    Ok(kind)
}

/// Why a socket of this kind cannot take what the rules put into what it sends.
fn no_output(plan: &EndPlan, kind: EndKind) -> Option<String> {
    let why = match kind {
        _ if !plan.output => return None,
        EndKind::Tcp(_) => return None,
        EndKind::UnixStream | EndKind::UnixDatagram if plan.relayed => return None,
        EndKind::Udp(_) if plan.relayed => {
            "which would lose what is longer than a datagram; hand over a TCP connection or a UNIX socket"
        }
        _ => "which the kernel does for TCP alone with what is written; hand over a TCP connection",
    };
    Some(format!(
        "the socket is {}, and rules put data into what it sends (`to output of`), {why}, or write `to input of`",
        kind.name()
    ))
}

/// Whether this kernel puts data of TCP into the queues of other sockets. Linux 5.10 takes UDP sockets into a SOCKMAP and refuses every
/// redirect to them (`sock_map_redirect_allowed`); UNIX sockets are taken since 5.15, which gives to both.
fn gives_to_datagrams() -> bool {
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::Datagram,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    let put = pair.map_err(io::Error::from).and_then(|(one, _other)| {
        let slots = slot()?;
        map::put_socket(slots.as_fd(), &[0; 4], one.as_fd())
    });
    put.is_ok()
}

/// A map with one slot.
fn slot() -> io::Result<OwnedFd> {
    let shape = map::Shape {
        kind: MapKind::SockMap as u32,
        key: 4,
        value: 8,
        entries: 1,
    };
    map::create("sockc_end", shape)
}

/// Whether a socket is of the owner that its name has.
pub(super) fn check_owner(
    plan: &EndPlan,
    fd: BorrowedFd<'_>,
    owners: &Owners,
) -> Result<(), Error> {
    let Some(owner) = owners.belongs(&plan.name) else {
        return Ok(());
    };
    let what = "look at whose the socket is";
    let theirs = match owner {
        Belongs::User(uid) => fstat(fd).map(|about| about.st_uid == *uid),
        Belongs::Cgroup(_) if !owners.can_ask() => {
            return Err(refused(
                &plan.name,
                format!(
                    "this machine does not say whose a socket is, and it has to belong to its owner, {}",
                    owner.words()
                ),
            ));
        }
        Belongs::Cgroup(_) => Ok(is_of(plan, fd, owners).map_err(at(what))?),
    };
    if theirs.map_err(io::Error::from).map_err(at(what))? {
        return Ok(());
    }
    Err(refused(
        &plan.name,
        format!("the socket does not belong to its owner, {}", owner.words()),
    ))
}

/// Why a socket is left out whose own arrivals a program decides about.
pub(super) const STOPS: &str = "rules decide about what arrives on it (`receive`), and that could stop once something else was put into its input";

/// Whether what arrives on a socket itself could stop, if a program decides about it. The kernel may count what was put into its input for what came
/// by the connection, and hands on no more of that until as much has come (`tcp_epollin_ready` asks by `copied_seq`, which
/// `tcp_bpf_recvmsg_parser` moves). That happens on every kernel where rules lead to its input what arrives on itself.
fn may_stop(plan: &EndPlan) -> bool {
    plan.input && (plan.arrivals || counts_twice())
}

/// Whether this kernel takes all that is put into an input for what came by the connection. `__sk_msg_recvmsg` came with the mend, to
/// tell apart what came from other sockets.
fn counts_twice() -> bool {
    !Symbol::SkMsgRecvmsg.is_there()
}

/// Goes on unless the socket in R7 is one whose own arrivals would stop. Where the kernel does not describe its types, no policy
/// decides about arrivals.
pub(super) fn check_arrivals(code: &mut Code, plan: &EndPlan, reader: Label) {
    if !may_stop(plan) {
        return;
    }
    let Ok(types) = ArrivalTypes::read() else {
        return;
    };
    let other = code.label();
    code.add([asm::load(Width::W, Register::R1, Register::R7, SK_PROTOCOL)]);
    code.jump_if(JumpOp::Ne, Register::R1, libc::IPPROTO_TCP, other);
    arrivals::check(code, types, Register::R7, SCRATCH.stack, reader);
    code.place(other);
}

/// The same of one that is handed over.
pub(super) fn check_reader(plan: &EndPlan, kind: EndKind, fd: BorrowedFd<'_>) -> Result<(), Error> {
    if !matches!(kind, EndKind::Tcp(_)) || !may_stop(plan) {
        return Ok(());
    }
    let asked = || {
        let slots = slot()?;
        map::put_socket(slots.as_fd(), &[0; 4], fd)?;
        run(|code| {
            carried(code, 0, slots.as_fd(), |code, out: Out| {
                check_arrivals(code, plan, out.reader);
            })
        })
    };
    match held(asked().map_err(at("look at who decides about a socket"))?) {
        Some(_) => Ok(()),
        None => Err(refused(
            &plan.name,
            format!("{STOPS}; hand over a connection that no rule of `receive` concerns"),
        )),
    }
}

/// A program asks the kernel, of the socket in a map of its own.
fn is_of(plan: &EndPlan, fd: BorrowedFd<'_>, owners: &Owners) -> io::Result<bool> {
    let slots = slot()?;
    map::put_socket(slots.as_fd(), &[0; 4], fd)?;
    let given = run(|code| {
        carried(code, 0, slots.as_fd(), |code, out: Out| {
            owners.check(code, &plan.name, Register::R7, SCRATCH, out.not_owner);
        })
    })?;
    Ok(held(given).is_some())
}

/// The kernel did not take a socket that looked right.
pub(super) fn not_taken(plan: &EndPlan, kind: EndKind, error: &io::Error) -> Error {
    let kind = kind.name();
    let cause = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => format!(
            "this kernel puts no data into the queues of {kind} sockets; hand over a TCP connection"
        ),
        Some(libc::EINVAL) => format!(
            "the kernel does not take this {kind} socket ({error}): it has a protocol above TCP, as kTLS is, or is no plain connection"
        ),
        Some(libc::EBUSY) => format!(
            "the kernel does not take this {kind} socket ({error}): a program of another SOCKMAP, or a stream parser, has its data"
        ),
        _ => format!("the kernel does not take this {kind} socket: {error}"),
    };
    refused(&plan.name, cause)
}
