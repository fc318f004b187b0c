//! The few route-netlink requests a lab needs, in the namespace of the thread that opened the socket.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use nix::net::if_::if_nametoindex;

use super::error::{Error, While};
use super::{MAC, MTU};
use crate::sys::route;

/// The kernel's table of local addresses.
const TABLE_LOCAL: u8 = 255;
/// The ordinary routing table.
const TABLE_MAIN: u8 = 254;

/// A route-netlink socket.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        let socket = route::socket().doing(|| "opening a netlink socket".into())?;
        Ok(Self { socket })
    }

    /// Makes a veth pair: one end here, the other with the same name in the namespace `peer`.
    pub(super) fn veth(&mut self, name: &str, peer: BorrowedFd<'_>) -> Result<(), Error> {
        let mut far = end(name);
        far.attributes
            .push(LinkAttribute::NetNsFd(peer.as_raw_fd()));
        let mut near = end(name);
        near.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]));
        self.ask(
            RouteNetlinkMessage::NewLink(near),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .doing(|| format!("making the veth pair `{name}`"))
    }

    /// Brings an interface up, without ARP.
    pub fn up(&mut self, name: &str) -> Result<(), Error> {
        let doing = || format!("bringing interface `{name}` up");
        let mut message = LinkMessage::default();
        message.header.index = if_nametoindex(name).doing(doing)?;
        message.header.flags = LinkFlags::Up | LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Up | LinkFlags::Noarp;
        self.ask(RouteNetlinkMessage::SetLink(message), 0)
            .doing(doing)
    }

    /// Whether frames can leave by an interface. A device drops what it is given until the kernel has noticed, in its own
    /// time, that the other end is up too; on newer kernels the question itself makes it notice.
    pub(super) fn is_running(&mut self, name: &str) -> Result<bool, Error> {
        let doing = || format!("asking whether interface `{name}` is running");
        let mut message = LinkMessage::default();
        message.header.index = if_nametoindex(name).doing(doing)?;
        let question = RouteNetlinkMessage::GetLink(message);
        match route::ask(&self.socket, question, 0).doing(doing)? {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                Ok(link.header.flags.contains(LinkFlags::Running))
            }
            _ => Ok(false),
        }
    }

    /// Gives an interface an address of its own.
    pub fn address(&mut self, name: &str, address: IpAddr, length: u8) -> Result<(), Error> {
        let doing = || format!("giving interface `{name}` the address {address}/{length}");
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        // Without this an address of IPv6 is tentative until a worker of the kernel has found that nobody is to be asked (`addrconf_dad_work`).
        message.header.flags = AddressHeaderFlags::Nodad;
        message.header.index = if_nametoindex(name).doing(doing)?;
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
        ];
        self.ask(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .doing(doing)
    }

    /// Makes every address of a prefix this namespace's own (AnyIP), without configuring any.
    pub fn local(&mut self, address: IpAddr, length: u8) -> Result<(), Error> {
        self.add(address, length, "lo", RouteType::Local)
    }

    /// Routes a prefix out of an interface.
    pub fn route(&mut self, address: IpAddr, length: u8, interface: &str) -> Result<(), Error> {
        self.add(address, length, interface, RouteType::Unicast)
    }

    /// Takes a [`Self::local`] away again.
    pub fn remove_local(&mut self, address: IpAddr, length: u8) -> Result<(), Error> {
        self.remove(address, length, "lo", RouteType::Local)
    }

    /// Takes a [`Self::route`] away again.
    pub fn remove_route(
        &mut self,
        address: IpAddr,
        length: u8,
        interface: &str,
    ) -> Result<(), Error> {
        self.remove(address, length, interface, RouteType::Unicast)
    }

    fn add(
        &mut self,
        address: IpAddr,
        length: u8,
        interface: &str,
        kind: RouteType,
    ) -> Result<(), Error> {
        let doing = || format!("routing {address}/{length} to `{interface}`");
        let message = route(address, length, interface, kind).doing(doing)?;
        self.ask(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
        .doing(doing)
    }

    fn remove(
        &mut self,
        address: IpAddr,
        length: u8,
        interface: &str,
        kind: RouteType,
    ) -> Result<(), Error> {
        let doing = || format!("taking the route {address}/{length} to `{interface}` away");
        let message = route(address, length, interface, kind).doing(doing)?;
        self.ask(RouteNetlinkMessage::DelRoute(message), 0)
            .doing(doing)
    }

    /// Has the kernel do something.
    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        match route::ask(&self.socket, message, NLM_F_ACK | flags)? {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
        }
    }
}

/// One end of a veth pair.
fn end(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Mtu(MTU),
        LinkAttribute::Address(MAC.to_vec()),
    ];
    message
}

fn route(
    address: IpAddr,
    length: u8,
    interface: &str,
    kind: RouteType,
) -> nix::Result<RouteMessage> {
    let local = kind == RouteType::Local;
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = length;
    message.header.table = if local { TABLE_LOCAL } else { TABLE_MAIN };
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if local {
        RouteScope::Host
    } else {
        RouteScope::Link
    };
    message.header.kind = kind;
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(address)),
        RouteAttribute::Oif(if_nametoindex(interface)?),
    ];
    Ok(message)
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
