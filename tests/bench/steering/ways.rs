//! The ways by which the packets of a flood find their socket, and how each of them is put in force on a stage.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use aya_obj::generated::bpf_prog_type;
use sockc_compiler::bpf::constant::TC_ACT_SHOT;
use sockc_runtime::lab::{CLIENT, FRONT, drops};
use socket2::{Domain, Protocol, Socket, Type};

use crate::code::Code;
use crate::flood::Flood;
use crate::stage::{Problem, Stage};
use crate::syscalls::prog;

/// The addresses that are flooded, from 10.7.0.0 on.
pub(crate) const FIRST: u32 = 0x0a07_0000;
pub(crate) const ADDRESSES: usize = 1000;
const PREFIX: &str = "10.7.0.0/22";
/// The port that is flooded.
pub(crate) const PORT: u16 = 80;
/// Where the proxy is bound that takes all of them.
const PROXY: &str = "127.0.0.1:1234";

/// A way to the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// None: a program at TC drops every packet, which is what all others cost at least.
    Dropped,
    /// One socket that is bound to the port of every address.
    Bind,
    /// A socket bound to each of the addresses.
    Binds,
    /// TPROXY of nftables, as the kernel's own document has it (Documentation/networking/tproxy.rst).
    Tproxy,
    /// A rule of ours at TC, with its mark, rule and table.
    Intercept,
    /// A rule of ours, at sk_lookup.
    Lookup,
}

/// Every way with its name, in the order of the table: first what costs least, then what the others are compared with.
pub(crate) const WAYS: &[(&str, Way)] = &[
    ("dropped at TC", Way::Dropped),
    ("one socket, bound to a port", Way::Bind),
    ("1,000 sockets, bound", Way::Binds),
    ("TPROXY of nftables", Way::Tproxy),
    ("redirect … at tc", Way::Intercept),
    ("redirect, at sk_lookup", Way::Lookup),
];

/// A way in force.
pub(crate) struct Ready {
    flood: Flood,
    sockets: Vec<Socket>,
    /// Links end with their last descriptor; so do programs that nothing else holds.
    _dropping: Option<OwnedFd>,
}

impl Ready {
    /// Puts a way in force on a stage.
    pub(crate) fn new(way: &Way, flood: Flood, stage: &mut Stage) -> Result<Self, Problem> {
        stage.inside(move || routed(*way))?;
        let sockets = stage.inside(|| sockets(*way, flood))?;
        let mut dropping = None;
        match way {
            Way::Dropped => dropping = Some(drop_all(stage)?),
            Way::Tproxy => stage.inside(|| fed("nft", &["-f", "-"], &tproxy()))?,
            Way::Lookup => stage.inside(|| applied("", &["apply", "-"]))?,
            Way::Intercept => {
                stage.inside(|| applied(" at tc", &["apply", "-", "--add-routes"]))?
            }
            Way::Bind | Way::Binds => {}
        }
        Ok(Self {
            flood,
            sockets,
            _dropping: dropping,
        })
    }

    /// How many packets got to the sockets so far: answered with a cookie, or without a place in a queue. `None` where
    /// none is to get there.
    pub(crate) fn arrived(&self, stage: &Stage) -> Result<Option<u64>, Problem> {
        if self.sockets.is_empty() {
            return Ok(None);
        }
        if self.flood == Flood::Syn {
            return Ok(Some(stage.inside(cookies)?));
        }
        let mut sum = 0;
        for socket in &self.sockets {
            sum += u64::from(drops(socket.as_fd())?);
        }
        Ok(Some(sum))
    }
}

/// Makes the addresses local, or, for TPROXY, every packet with its mark (ours makes that itself); and the senders to be reached by one neighbour.
fn routed(way: Way) -> Result<(), Problem> {
    let gateway = CLIENT[0].to_string();
    run(
        "ip",
        &[
            "route",
            "add",
            "10.128.0.0/9",
            "via",
            &gateway,
            "dev",
            FRONT,
        ],
    )?;
    // Every SYN is answered with a cookie, so that all of them cost the same.
    fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2")?;
    if way == Way::Intercept {
        return Ok(());
    }
    if way == Way::Tproxy {
        run("ip", &["rule", "add", "fwmark", "1", "lookup", "100"])?;
        let route = [
            "route", "add", "local", "default", "dev", "lo", "table", "100",
        ];
        return run("ip", &route);
    }
    run("ip", &["route", "add", "local", PREFIX, "dev", "lo"])
}

/// The sockets of a way.
fn sockets(way: Way, flood: Flood) -> Result<Vec<Socket>, Problem> {
    let host = |number: usize| Ipv4Addr::from_bits(FIRST + number as u32);
    let at = |address: Ipv4Addr| SocketAddr::from((address, PORT));
    match way {
        Way::Dropped => Ok(Vec::new()),
        Way::Bind => Ok(vec![socket(flood, at(Ipv4Addr::UNSPECIFIED))?]),
        Way::Binds => (0..ADDRESSES)
            .map(|one| socket(flood, at(host(one))))
            .collect(),
        Way::Tproxy | Way::Intercept | Way::Lookup => {
            let proxy = socket(flood, PROXY.parse()?)?;
            proxy.set_ip_transparent_v4(way != Way::Lookup)?;
            Ok(vec![proxy])
        }
    }
}

/// A socket that nobody reads: a datagram costs what it costs to find the socket and its queue full.
fn socket(flood: Flood, address: SocketAddr) -> Result<Socket, Problem> {
    let (kind, protocol) = match flood {
        Flood::Syn => (Type::STREAM, Protocol::TCP),
        Flood::Datagrams => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
    socket.set_recv_buffer_size(1)?;
    socket.bind(&address.into())?;
    if flood == Flood::Syn {
        socket.listen(4096)?;
    }
    Ok(socket)
}

fn drop_all(stage: &mut Stage) -> Result<OwnedFd, Problem> {
    let mut code = Code::default();
    code.give(TC_ACT_SHOT);
    let program = prog::load(&prog::Source {
        name: "drop_all",
        kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
        attach: None,
        code: &code.finish(TC_ACT_SHOT),
    })?;
    stage.attach_tc(program.as_fd())?;
    Ok(program)
}

/// What somebody who follows the kernel's document writes.
fn tproxy() -> String {
    let to = |protocol: &str| {
        format!(
            "ip daddr {PREFIX} {protocol} dport {PORT} tproxy to {PROXY} meta mark set 1 accept\n"
        )
    };
    format!(
        "table ip steering {{\nchain divert {{\ntype filter hook prerouting priority mangle;\n\
         meta l4proto tcp socket transparent 1 meta mark set 1 accept\n{}{}}}\n}}\n",
        to("tcp"),
        to("udp")
    )
}

/// Our own rule, by the command.
fn applied(at: &str, arguments: &[&str]) -> Result<(), Problem> {
    let interfaces = match at {
        "" => String::new(),
        _ => format!("interfaces {FRONT}\ndefault in allow\n"),
    };
    let policy = format!(
        "{interfaces}socket proxy = tcp listen {PROXY}, udp listen {PROXY} owner uid 0\n\
         redirect {PREFIX}:{PORT} to sock proxy{at}\n"
    );
    fed(env!("CARGO_BIN_EXE_sockc"), arguments, &policy)
}

/// How many SYNs of the calling thread's namespace were answered with a cookie.
fn cookies() -> Result<u64, Problem> {
    let all = fs::read_to_string("/proc/thread-self/net/netstat")?;
    let mut lines = all.lines().filter(|line| line.starts_with("TcpExt:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return Err("the kernel shows no numbers of TCP".into());
    };
    let mut both = names.split(' ').zip(numbers.split(' '));
    let sent = both.find(|(name, _)| *name == "SyncookiesSent");
    Ok(sent.ok_or("the kernel counts no cookies")?.1.parse()?)
}

fn run(name: &str, arguments: &[&str]) -> Result<(), Problem> {
    fed(name, arguments, "")
}

/// Runs a command with a text as its input; it must succeed.
fn fed(name: &str, arguments: &[&str], text: &str) -> Result<(), Problem> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .ok_or("no input")?
        .write_all(text.as_bytes())?;
    let done = child.wait_with_output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{name} {}: {said}", arguments.join(" ")).into())
}
