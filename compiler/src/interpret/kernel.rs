//! What a run asks the machine around it.

use std::net::SocketAddr;

use super::socket::SocketModel;

/// Which lookup helper asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupKind {
    /// `bpf_sk_lookup_tcp`: full sockets only; a request socket gives its listener.
    Tcp,
    /// `bpf_skc_lookup_tcp`: TIME_WAIT and request sockets too.
    SkcTcp,
    /// `bpf_sk_lookup_udp`
    Udp,
}

/// The addresses a lookup helper was given. For a packet that arrives, `source` is the sender's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// `saddr` and `sport`.
    pub source: SocketAddr,
    /// `daddr` and `dport`.
    pub destination: SocketAddr,
}

/// The network namespace a lookup helper looks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Netns {
    /// That of the context (`BPF_F_CURRENT_NETNS`, all 64 bits set).
    Current,
    /// The one with this id.
    Id(u32),
}

/// The machine around a program.
pub trait Kernel {
    /// The socket that a lookup finds.
    fn lookup(&mut self, kind: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel>;

    /// `bpf_ktime_get_ns`
    fn now(&mut self) -> u64;

    /// `bpf_get_netns_cookie`
    fn netns_cookie(&mut self) -> u64;

    /// `bpf_get_prandom_u32`
    fn random(&mut self) -> u32 {
        0
    }
}

/// A machine without sockets, whose clock and random numbers are given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bare {
    /// Nanoseconds since boot.
    pub now: u64,
    /// What every call for a random number gives.
    pub random: u32,
}

impl Kernel for Bare {
    fn lookup(&mut self, _: LookupKind, _: Tuple, _: Netns) -> Option<SocketModel> {
        None
    }

    fn now(&mut self) -> u64 {
        self.now
    }

    fn netns_cookie(&mut self) -> u64 {
        1
    }

    fn random(&mut self) -> u32 {
        self.random
    }
}

/// A machine without sockets, at time 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Kernel for Quiet {
    fn lookup(&mut self, _: LookupKind, _: Tuple, _: Netns) -> Option<SocketModel> {
        None
    }

    fn now(&mut self) -> u64 {
        0
    }

    fn netns_cookie(&mut self) -> u64 {
        1
    }
}
