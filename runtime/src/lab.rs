//! A throw-away pair of network namespaces in which a policy meets real packets.
//!
//! ```text
//!   client ── front ══ front ── server        the policy's interface is the server's `front`, or those it names
//!          └─ back ═══ back ──┘               answers of the server take `back`, where none of our programs sits
//! ```
//!
//! Takes root; gives namespaces without names, joined by two veth pairs, closures run inside them ([`Space`]), routes and
//! sockets for any address a policy speaks of, and a [`Probe`] that says whether a frame got past the hooks. The server also has
//! a mount namespace with its own bpffs at [`BPFFS`]. Everything ends when the [`Lab`] is dropped: the kernel takes namespaces
//! away with the last descriptor, so nothing of them can stay behind. A [`Desk`] is a folder for temporary files, which stays behind after a kill. A [`Group`] is a folder of the machine's control groups; it
//! goes when it is dropped, and stays behind, empty, after a kill. Not here: policies, packets' meaning, verdicts.

mod error;
mod exchange;
mod group;
mod listener;
mod netlink;
mod offload;
mod packet_socket;
mod pair;
mod probe;
mod rights;
mod space;
mod state;
mod sysctl;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::event::{Header, hardware_octets};

use error::While as _;

pub use error::Error;
pub use exchange::{Played, drops, exchange, play};
pub use group::Group;
pub use listener::{Listener, Reply};
pub use netlink::Netlink;
pub use packet_socket::PacketSocket;
pub use pair::{Desk, pair};
pub use probe::{Pinned, Probe, Seen};
pub use rights::missing_rights;
#[cfg(test)]
pub(crate) use rights::permitted;
pub use space::{BPFFS, Space};
pub use state::{Held, State, hold};

/// The name of the pair of interfaces that the policy is about.
pub const FRONT: &str = "front";
/// The name of the pair of interfaces that the server answers by.
pub const BACK: &str = "sockc-back";
/// The hardware address of every interface of the lab. With one address and no ARP, each end takes every frame of the
/// other for its own, whatever IP address it is for, and no neighbour is ever asked for.
pub const MAC: [u8; 6] = hardware_octets(Header::PLAIN.ether_to);
/// The largest IP packet that fits through; native XDP on veth takes a page less its headroom.
pub const MTU: u32 = 3400;

/// How long an interface may take until it runs: a second or two on a machine where many come and go.
const PATIENCE: Duration = Duration::from_secs(20);

/// The client's own addresses on [`FRONT`]: from the end of what is set aside for tests of networks, and local ones.
pub const CLIENT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 19, 255, 253)),
    IpAddr::V6(Ipv6Addr::new(0xfd73, 0x6f63, 0x6b63, 0, 0, 0, 0, 1)),
];
/// The server's own addresses on [`FRONT`].
pub const SERVER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 19, 255, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd73, 0x6f63, 0x6b63, 0, 0, 0, 0, 2)),
];

/// The client's and the server's namespace, joined.
#[derive(Debug)]
pub struct Lab {
    /// Where packets come from.
    pub client: Space,
    /// Where the policy is in force.
    pub server: Space,
}

impl Lab {
    /// Makes the namespaces and joins them by [`FRONT`] and [`BACK`].
    pub fn new() -> Result<Self, Error> {
        Self::with(&[FRONT])
    }

    /// The same with pairs of these names, at least one, in place of [`FRONT`]. The first has the addresses.
    pub fn with(fronts: &[&str]) -> Result<Self, Error> {
        let lab = Self {
            client: Space::new()?,
            server: Space::with_bpffs()?,
        };
        for space in [&lab.client, &lab.server] {
            space.run(sysctl::quiet)??;
        }
        let client = lab.client.net();
        lab.server.run(|| {
            let mut netlink = Netlink::open()?;
            let mut names = fronts.iter().chain([&BACK]);
            names.try_for_each(|name| netlink.veth(name, client))
        })??;
        for (space, addresses) in [(&lab.client, CLIENT), (&lab.server, SERVER)] {
            space.run(|| raise(fronts, addresses))??;
        }
        lab.client
            .run(|| fronts.iter().try_for_each(|name| offload::receive(name)))??;
        lab.server.run(|| {
            let mut fronts = fronts.iter();
            fronts.try_for_each(|name| offload::segment_no_more(name))
        })??;
        for space in [&lab.client, &lab.server] {
            space.run(|| settle(fronts))??;
        }
        Ok(lab)
    }

    /// Makes the server a router, or no router any more.
    pub fn pass_on(&self, passes: bool) -> Result<(), Error> {
        self.server.run(|| sysctl::pass_on(passes))?
    }

    /// Makes a prefix the server's own, reached from the client by `front`.
    pub fn serve(&self, address: IpAddr, length: u8) -> Result<(), Error> {
        self.server
            .run(|| Netlink::open()?.local(address, length))??;
        self.client
            .run(|| Netlink::open()?.route(address, length, FRONT))?
    }

    /// Makes a prefix the client's own, reached from the server by `interface`: [`FRONT`], or [`BACK`] to keep the
    /// server's answers away from the policy.
    pub fn own(&self, address: IpAddr, length: u8, interface: &str) -> Result<(), Error> {
        self.client
            .run(|| Netlink::open()?.local(address, length))??;
        self.reach(address, length, interface)
    }

    /// Lets the server reach a prefix by `interface`, whoever has it.
    pub fn reach(&self, address: IpAddr, length: u8, interface: &str) -> Result<(), Error> {
        self.server
            .run(|| Netlink::open()?.route(address, length, interface))?
    }
}

/// Brings the interfaces of the present namespace up and gives it its addresses. A machine without IPv6 gets none.
fn raise(fronts: &[&str], addresses: [IpAddr; 2]) -> Result<(), Error> {
    let mut netlink = Netlink::open()?;
    for name in fronts.iter().chain(&["lo", BACK]) {
        netlink.up(name)?;
    }
    let Some(first) = fronts.first() else {
        return Ok(());
    };
    let known = |address: &IpAddr| address.is_ipv4() || Path::new("/proc/sys/net/ipv6").exists();
    addresses.into_iter().filter(known).try_for_each(|address| {
        let length = if address.is_ipv4() { 30 } else { 126 };
        netlink.address(first, address, length)
    })
}

/// Waits until frames can leave by every interface of the present namespace.
fn settle(fronts: &[&str]) -> Result<(), Error> {
    let mut netlink = Netlink::open()?;
    for name in fronts.iter().chain([&BACK]) {
        let began = Instant::now();
        while !netlink.is_running(name)? {
            if began.elapsed() > PATIENCE {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Err(late).doing(|| format!("waiting for interface `{name}` to run"));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
