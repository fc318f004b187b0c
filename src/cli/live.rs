//! Verbs on what changes while a policy is in force: live sets, live maps, registered sockets.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use sockc_runtime::{Expiry, SlotKind};

use super::Deployment;
use super::duration::expiry;

/// What to do with a live set.
#[derive(Debug, Subcommand)]
pub(crate) enum SetVerb {
    /// Put elements in; those that are in get a new time
    Add(SetAdd),
    /// Take everything out, at once
    Clear(SetClear),
    /// Take elements out
    Del(SetDel),
    /// Show what is in it; without a name, which live sets there are
    List(SetList),
    /// Replace everything that is in it by the elements of a file, at once
    Load(SetLoad),
    /// Say whether an address is in it, by which element and until when; ends with 1 if it is not
    Test(SetTest),
}

impl SetVerb {
    /// Where it works.
    pub(crate) fn place(&self) -> &Deployment {
        match self {
            Self::Add(add) => &add.place,
            Self::Clear(clear) => &clear.place,
            Self::Del(del) => &del.place,
            Self::List(list) => &list.place,
            Self::Load(load) => &load.place,
            Self::Test(test) => &test.place,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct SetAdd {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// Addresses and prefixes
    #[arg(required = true, value_name = "ELEMENT")]
    pub(crate) elements: Vec<String>,
    /// When they leave by themselves: `30s`, `10m`, `never` … [default: as the policy says]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    pub(crate) expires: Option<Expiry>,
    /// Do it though it cuts the SSH connection that this comes over, or lets no new one in
    #[arg(long)]
    pub(crate) lock_me_out: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetClear {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// Do it though it cuts the SSH connection that this comes over, or lets no new one in
    #[arg(long)]
    pub(crate) lock_me_out: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetDel {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// Addresses and prefixes, as they were put in
    #[arg(required = true, value_name = "ELEMENT")]
    pub(crate) elements: Vec<String>,
    /// Take out those that are in it, and say nothing of the others
    #[arg(long)]
    pub(crate) ignore_missing: bool,
    /// Do it though it cuts the SSH connection that this comes over, or lets no new one in
    #[arg(long)]
    pub(crate) lock_me_out: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetList {
    /// The live set; left out, all of them are named
    #[arg(value_name = "NAME")]
    pub(crate) set: Option<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetLoad {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// One address or prefix a line, `#` begins a comment; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Empty the set if the file holds no element, which is refused otherwise
    #[arg(long)]
    pub(crate) empty: bool,
    /// When they leave by themselves: `30s`, `10m`, `never` … [default: as the policy says]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    pub(crate) expires: Option<Expiry>,
    /// Do it though it cuts the SSH connection that this comes over, or lets no new one in
    #[arg(long)]
    pub(crate) lock_me_out: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetTest {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// The address
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// What to do with a live map.
#[derive(Debug, Subcommand)]
pub(crate) enum MapVerb {
    /// Put entries in
    Add(MapChange),
    /// Take everything out, at once
    Clear(MapClear),
    /// Take entries out
    Del(MapDel),
    /// Show what is in it; without a name, which live maps there are
    List(MapList),
    /// Replace everything that is in it by the entries of a file, at once
    Load(MapLoad),
}

#[derive(Args, Debug)]
pub(crate) struct MapChange {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    /// Entries as a policy writes them, such as 'tcp 198.51.100.7:* -> sock proxy'
    #[arg(required = true, value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// Put an entry in place of the one for the same packets, which is refused otherwise
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapClear {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapDel {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    /// Entries as a policy writes them; `-> sock …` may be left out
    #[arg(required = true, value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// Take out those that are in it, and say nothing of the others
    #[arg(long)]
    pub(crate) ignore_missing: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapLoad {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    /// One entry a line, as a policy writes it; `#` begins a comment; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Empty the map if the file holds no entry, which is refused otherwise
    #[arg(long)]
    pub(crate) empty: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapList {
    /// The live map; left out, all of them are named
    #[arg(value_name = "NAME")]
    pub(crate) map: Option<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// What to do with named sockets.
#[derive(Debug, Subcommand)]
pub(crate) enum SocketVerb {
    /// Hand sockets over to a name that the policy declares as `registered`
    Register(SocketRegister),
    /// Take registered sockets out again
    Unregister(SocketUnregister),
    /// Look for sockets again: where the policy says they listen, or in the processes that it names
    Refresh(SocketRefresh),
    /// Keep the pairs of connections that proxies hand over, until SIGTERM
    Pair(SocketPair),
    /// Take sockets that services hand over at a path, until SIGTERM
    Listen(SocketListen),
    /// Make sockets, hand them over to a name, and start the command that serves them
    Run(SocketRun),
    /// Show the named sockets and how they stand
    List(Deployment),
}

#[derive(Args, Debug)]
pub(crate) struct SocketPair {
    /// The name of the pairs in the policy
    #[arg(value_name = "NAME")]
    pub(crate) pairs: String,
    /// Where proxies connect: the path of a UNIX socket (SOCK_SEQPACKET), which is made
    #[arg(long, value_name = "PATH")]
    pub(crate) listen: PathBuf,
    /// Who may connect, as chmod(1) says it: 600 for root alone, 660 for the owner's group too
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = file_mode)]
    pub(crate) mode: u32,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SocketListen {
    /// Where services connect: the path of a UNIX socket (SOCK_SEQPACKET), which is made
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Take sockets of this name only; may be given several times [default: of every registered one]
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Who may connect, as chmod(1) says it: 600 for root alone, 660 for the owner's group too
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = file_mode)]
    pub(crate) mode: u32,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("address").required(true).multiple(true).args(["tcp", "udp"]))]
pub(crate) struct SocketRun {
    /// The socket's name in the policy
    #[arg(value_name = "NAME")]
    pub(crate) socket: String,
    /// Listen here, such as `127.0.0.1:8080` or `[::1]:8080`; with port 0 the kernel chooses one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) tcp: Vec<SocketAddr>,
    /// Be bound here
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) udp: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// The command and its arguments, behind `--`; it finds the sockets as those of systemd (LISTEN_FDS)
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Reads a mode in octal digits.
pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "write three octal digits, such as 660".to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct SocketRefresh {
    /// The socket's name in the policy [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) socket: Option<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("source").required(true).args(["pid", "cookie", "listen_fds"]))]
pub(crate) struct SocketRegister {
    /// The socket's name in the policy
    #[arg(value_name = "NAME")]
    pub(crate) socket: String,
    /// The process that has the socket
    #[arg(long, value_name = "PID", requires = "fd")]
    pub(crate) pid: Option<u32>,
    /// The socket's descriptor in that process
    #[arg(long, value_name = "FD", requires = "pid")]
    pub(crate) fd: Option<i32>,
    /// The cookie of the socket (SO_COOKIE), in decimal digits, or hexadecimal ones behind 0x
    #[arg(long, value_name = "N", value_parser = cookie)]
    pub(crate) cookie: Option<u64>,
    /// The sockets that were handed to this command by systemd's protocol (LISTEN_FDS)
    #[arg(long)]
    pub(crate) listen_fds: bool,
    /// Put the socket in the place of the one with this cookie, which `sockc socket list` shows
    #[arg(long, value_name = "N", value_parser = cookie)]
    pub(crate) replace: Option<u64>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SocketUnregister {
    /// The socket's name in the policy
    #[arg(value_name = "NAME")]
    pub(crate) socket: String,
    /// Only these: tcp4, tcp6, udp4, udp6 [default: all]
    #[arg(value_name = "SLOT", value_parser = slot_kind)]
    pub(crate) slots: Vec<SlotKind>,
    /// Only the socket with this cookie, which `sockc socket list` shows
    #[arg(long, value_name = "N", value_parser = cookie, conflicts_with = "slots")]
    pub(crate) cookie: Option<u64>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// Reads the cookie of a socket.
fn cookie(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "write a number, such as 4711, or 0x1267 as `ss -e` shows it".to_owned())
}

/// Reads the name of a slot.
pub(crate) fn slot_kind(text: &str) -> Result<SlotKind, String> {
    let found = SlotKind::all().find(|kind| kind.name() == text);
    found.ok_or_else(|| "write tcp4, tcp6, udp4 or udp6".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_named() {
        for kind in SlotKind::all() {
            assert_eq!(slot_kind(&kind.name()), Ok(kind));
        }
        assert!(slot_kind("tcp").is_err());
    }

    #[test]
    fn cookies_are_read_as_they_are_shown() {
        assert_eq!(cookie("4711"), Ok(4711));
        assert_eq!(cookie("0x1f"), Ok(31));
        for text in ["", "0x", "1f", "-1", "18446744073709551616"] {
            assert!(cookie(text).is_err(), "{text}");
        }
    }
}
