//! The inputs of a run, one kind for each program type, and their context fields.

use std::net::{IpAddr, SocketAddr};

use super::datagram::{self, Arriving};
use super::{Cell, Content, Context, ip4, ip6};
use crate::artifact::Section;
use crate::bpf::constant::{AF_INET, AF_INET6, TCP_ESTABLISHED};
use crate::interpret::buffer::Packet;
use crate::interpret::socket::SocketModel;
use crate::protocol::IpProtocol;

/// What a program is run on.
#[derive(Clone, Debug)]
pub enum Input {
    /// XDP: `struct xdp_md`.
    Xdp(Xdp),
    /// TC: `struct __sk_buff`.
    Skb(Skb),
    /// sk_lookup: `struct bpf_sk_lookup`.
    Lookup(Lookup),
    /// sk_msg: `struct sk_msg_md`.
    Message(Message),
    /// sk_skb: `struct __sk_buff` with what is known of the socket.
    Arrival(Message),
    /// cgroup_skb: `struct __sk_buff` of a packet at its socket.
    Arriving(Arriving),
    /// cgroup_skb: the same of one that leaves.
    Leaving(Arriving),
    /// sock_ops: `struct bpf_sock_ops`.
    SockOps(SockOps),
    /// setsockopt(2): `struct bpf_sockopt`.
    Option(SocketOption),
    /// A call of a process that names an address: `struct bpf_sock_addr`.
    Call {
        /// Which, and of which family.
        section: Section,
        /// Of the socket.
        protocol: IpProtocol,
        /// The address: in calls of IPv6 one of IPv6, which may stand for one of IPv4.
        to: SocketAddr,
    },
}

/// A frame at XDP.
#[derive(Clone, Debug, Default)]
pub struct Xdp {
    /// The whole frame, all of it linear.
    pub frame: Vec<u8>,
    /// The interface it came in by.
    pub ingress_ifindex: u32,
    /// The queue it came in by.
    pub rx_queue_index: u32,
}

impl Xdp {
    /// A frame on interface 1.
    #[must_use]
    pub fn new(frame: Vec<u8>) -> Self {
        Self {
            frame,
            ingress_ifindex: 1,
            rx_queue_index: 0,
        }
    }
}

/// A frame at TC.
#[derive(Clone, Debug)]
pub struct Skb {
    /// The whole frame, from the Ethernet header on.
    pub frame: Vec<u8>,
    /// How many bytes of it are linear.
    pub linear: usize,
    /// EtherType, in host order.
    pub protocol: u16,
    /// `PACKET_HOST` (0) and so on.
    pub packet_type: u32,
    /// The mark.
    pub mark: u32,
    /// The transmit or receive queue.
    pub queue_mapping: u32,
    /// The tag the interface took off: EtherType and control word.
    pub vlan: Option<(u16, u16)>,
    /// The priority.
    pub priority: u32,
    /// The interface it came in by; 0 if it was made here.
    pub ingress_ifindex: u32,
    /// The interface of the hook.
    pub ifindex: u32,
    /// How many segments are joined in it; 0 for none.
    pub gso_segs: u32,
    /// A packet that leaves.
    pub egress: bool,
}

impl Skb {
    /// A linear frame that arrives on interface 1.
    #[must_use]
    pub fn new(frame: Vec<u8>) -> Self {
        let protocol = match frame.get(12..14) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]),
            _ => 0,
        };
        Self {
            linear: frame.len(),
            frame,
            protocol,
            packet_type: 0,
            mark: 0,
            queue_mapping: 0,
            vlan: None,
            priority: 0,
            ingress_ifindex: 1,
            ifindex: 1,
            gso_segs: 0,
            egress: false,
        }
    }

    /// The same with only so many bytes linear.
    #[must_use]
    pub fn with_linear(self, linear: usize) -> Self {
        Self { linear, ..self }
    }
}

/// A lookup for a packet that arrives: `remote` is the sender, `local` the receiver.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// 6 for TCP, 17 for UDP.
    pub protocol: IpProtocol,
    /// The sender.
    pub remote: SocketAddr,
    /// The receiver, of the same family.
    pub local: SocketAddr,
    /// The interface it came in by.
    pub ingress_ifindex: u32,
}

/// The two ends of a connection as its socket sees them. An IPv6 socket with an IPv4 peer has mapped addresses.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// This side.
    pub local: SocketAddr,
    /// The other side.
    pub remote: SocketAddr,
}

/// Data of a connection at one of its sockets.
#[derive(Clone, Debug)]
pub struct Message {
    /// The socket that writes or receives.
    pub socket: SocketModel,
    /// What it writes or receives.
    pub data: Vec<u8>,
}

/// A callback of a socket.
#[derive(Clone, Copy, Debug)]
pub struct SockOps {
    /// `BPF_SOCK_OPS_…_CB`
    pub op: i32,
    /// The two ends.
    pub connection: Connection,
    /// The TCP state.
    pub state: u32,
    /// The state that it gets: the second argument of that callback.
    pub new_state: u32,
    /// By which callbacks the socket calls.
    pub callbacks: u32,
    /// The next sequence number to send.
    pub snd_nxt: u32,
    /// The next sequence number to receive.
    pub rcv_nxt: u32,
    /// The socket; `None` for a request socket.
    pub socket: Option<SocketModel>,
}

/// An option of a socket that a process sets. Of the value programs that we make read nothing.
#[derive(Clone, Copy, Debug)]
pub struct SocketOption {
    /// Whose it is: `SOL_SOCKET`, or a protocol.
    pub level: i32,
    /// Which.
    pub name: i32,
    /// How many bytes the value has; negative where a program before this one answers the call.
    pub length: i32,
}

impl Input {
    /// What a program of a section is run on that decides what a process does with a socket of a protocol: the socket of
    /// `from`, toward `to`; or that of `to`, if it receives. Nothing where programs of the section decide no such thing.
    #[must_use]
    pub fn of_process(
        section: Section,
        protocol: IpProtocol,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<Self> {
        match section {
            Section::SkMsg => (protocol == IpProtocol::TCP).then(|| {
                Self::Message(Message {
                    socket: SocketModel::listener(0, from).connected(TCP_ESTABLISHED, to),
                    data: vec![0],
                })
            }),
            Section::SkSkb => (protocol == IpProtocol::TCP).then(|| {
                Self::Arrival(Message {
                    socket: SocketModel::listener(0, to).connected(TCP_ESTABLISHED, from),
                    data: vec![0],
                })
            }),
            Section::CgroupSkb => {
                (protocol == IpProtocol::UDP).then(|| Self::Arriving(Arriving::datagram(from, to)))
            }
            Section::Connect4 | Section::Connect6 | Section::Sendmsg4 | Section::Sendmsg6 => {
                let to = match to.ip() {
                    IpAddr::V4(v4) if section.is_call_of_v6() => {
                        SocketAddr::new(v4.to_ipv6_mapped().into(), to.port())
                    }
                    _ => to,
                };
                Some(Self::Call {
                    section,
                    protocol,
                    to,
                })
            }
            Section::Xdp
            | Section::Classifier
            | Section::SkLookup
            | Section::SockOps
            | Section::CgroupSkbOut
            | Section::Setsockopt => None,
        }
    }
}

impl Context {
    pub(in crate::interpret) fn of(input: Input) -> (Self, Packet) {
        match input {
            Input::Xdp(xdp) => {
                let context = plain(Section::Xdp, xdp_cells(&xdp));
                (context, Packet::in_page(xdp.frame))
            }
            Input::Skb(skb) => {
                let context = Self {
                    egress: skb.egress,
                    ethertype: skb.protocol,
                    ..plain(Section::Classifier, skb_cells(&skb))
                };
                (context, Packet::new(skb.frame, skb.linear))
            }
            Input::Lookup(lookup) => {
                let context = Self {
                    wanted: Some((lookup.protocol, family(lookup.local))),
                    ..plain(Section::SkLookup, lookup_cells(&lookup))
                };
                (context, Packet::default())
            }
            Input::Message(message) => {
                let context = Self {
                    own: Some(message.socket),
                    ..plain(Section::SkMsg, message_cells(&message))
                };
                (context, whole(message.data))
            }
            Input::Arrival(message) => {
                let context = Self {
                    own: Some(message.socket),
                    ..plain(Section::SkSkb, arrival_cells(&message))
                };
                (context, whole(message.data))
            }
            Input::Arriving(packet) => at_socket(Section::CgroupSkb, packet),
            Input::Leaving(packet) => at_socket(Section::CgroupSkbOut, packet),
            Input::Option(option) => (
                plain(Section::Setsockopt, option_cells(option)),
                Packet::default(),
            ),
            Input::Call {
                section,
                protocol,
                to,
            } => (
                plain(section, call_cells(section, protocol, to)),
                Packet::default(),
            ),
            Input::SockOps(ops) => {
                let context = Self {
                    own: ops.socket,
                    op: ops.op.cast_unsigned(),
                    ..plain(Section::SockOps, sock_ops_cells(&ops))
                };
                (context, Packet::default())
            }
        }
    }
}

/// A packet with its socket.
fn at_socket(section: Section, packet: Arriving) -> (Context, Packet) {
    let context = Context {
        own: Some(packet.socket),
        ..plain(section, datagram::cells(&packet))
    };
    (context, Packet::new(packet.packet, packet.linear))
}

fn plain(section: Section, cells: Vec<Cell>) -> Context {
    Context {
        section,
        cells,
        own: None,
        wanted: None,
        egress: false,
        ethertype: 0,
        op: 0,
    }
}

fn whole(bytes: Vec<u8>) -> Packet {
    let linear = bytes.len();
    Packet::new(bytes, linear)
}

fn xdp_cells(xdp: &Xdp) -> Vec<Cell> {
    vec![
        Cell::pointer(0, 4, Content::Data),
        Cell::pointer(4, 4, Content::DataEnd),
        // No metadata: it begins and ends where the packet begins.
        Cell::pointer(8, 4, Content::Data),
        Cell::word(12, xdp.ingress_ifindex),
        Cell::word(16, xdp.rx_queue_index),
    ]
}

/// The fields for sk_skb (family and addresses) are not for TC: the kernel refuses them there.
fn skb_cells(skb: &Skb) -> Vec<Cell> {
    let length = u32::try_from(skb.frame.len()).unwrap_or(u32::MAX);
    let (vlan_proto, vlan_tci) = skb.vlan.unwrap_or((0, 0));
    let scratch = (0..5).map(|word| Cell::narrow(48 + 4 * word, 0).writable());
    let mut cells = vec![
        Cell::narrow(0, length),
        Cell::narrow(4, skb.packet_type),
        Cell::narrow(8, skb.mark).writable(),
        Cell::narrow(12, skb.queue_mapping).writable(),
        Cell::narrow(16, u32::from(skb.protocol.to_be())),
        Cell::narrow(20, u32::from(skb.vlan.is_some())),
        Cell::narrow(24, u32::from(vlan_tci)),
        Cell::narrow(28, u32::from(vlan_proto.to_be())),
        Cell::narrow(32, skb.priority).writable(),
        Cell::narrow(36, skb.ingress_ifindex),
        Cell::narrow(40, skb.ifindex),
        Cell::narrow(44, 0).writable(),
        Cell::pointer(76, 4, Content::Data),
        Cell::pointer(80, 4, Content::DataEnd),
        Cell::narrow(164, skb.gso_segs),
    ];
    cells.extend(scratch);
    cells
}

fn lookup_cells(lookup: &Lookup) -> Vec<Cell> {
    let (remote, local) = (lookup.remote, lookup.local);
    let mut cells = vec![
        Cell::narrow(8, family(local).cast_unsigned()),
        Cell::narrow(12, u32::from(lookup.protocol)),
        Cell::narrow(16, only_ip4(remote)),
        // Network order in two bytes, then zero padding that may be loaded too.
        Cell::narrow(36, u32::from(remote.port().to_be())),
        Cell::narrow(40, only_ip4(local)),
        Cell::narrow(60, u32::from(local.port())),
        Cell::narrow(64, lookup.ingress_ifindex),
    ];
    cells.extend(ip6(20, remote, true));
    cells.extend(ip6(44, local, true));
    cells
}

fn message_cells(message: &Message) -> Vec<Cell> {
    let connection = Connection {
        local: message.socket.local,
        remote: message.socket.remote,
    };
    let size = u32::try_from(message.data.len()).unwrap_or(u32::MAX);
    let mut cells = connection_cells(connection, 16, 60);
    cells.push(Cell::pointer(0, 8, Content::Data));
    cells.push(Cell::pointer(8, 8, Content::DataEnd));
    cells.push(Cell::word(68, size));
    cells.push(Cell::pointer(72, 8, Content::OwnSocket));
    cells
}

/// What `sk_skb_is_valid_access` of net/core/filter.c allows to be read. Of a packet's own fields most are refused, and
/// those of the socket may not be read in parts.
fn arrival_cells(message: &Message) -> Vec<Cell> {
    let connection = Connection {
        local: message.socket.local,
        remote: message.socket.remote,
    };
    let size = u32::try_from(message.data.len()).unwrap_or(u32::MAX);
    let mut cells = connection_cells(connection, 88, 132);
    cells.push(Cell::narrow(0, size));
    cells.push(Cell::pointer(76, 4, Content::Data));
    cells.push(Cell::pointer(80, 4, Content::DataEnd));
    cells
}

fn sock_ops_cells(ops: &SockOps) -> Vec<Cell> {
    let mut cells = connection_cells(ops.connection, 20, 64);
    cells.extend([
        Cell::word(0, ops.op.cast_unsigned()),
        Cell::word(8, ops.new_state),
        Cell::word(72, u32::from(ops.socket.is_some())),
        Cell::word(84, ops.callbacks),
        Cell::word(88, ops.state),
        Cell::word(100, ops.rcv_nxt),
        Cell::word(104, ops.snd_nxt),
        Cell::pointer(184, 8, Content::OwnSocket),
    ]);
    cells
}

/// The kernel lets programs of IPv4's calls read the IPv4 address only, and those of IPv6's the other
/// (`sock_addr_is_valid_access` of net/core/filter.c). They may write what they may read of the receiver.
fn call_cells(section: Section, protocol: IpProtocol, to: SocketAddr) -> Vec<Cell> {
    let mut cells = vec![
        Cell::word(0, family(to).cast_unsigned()),
        Cell::narrow(24, u32::from(to.port().to_be())).writable(),
        Cell::word(28, family(to).cast_unsigned()),
        Cell::word(36, u32::from(protocol)),
    ];
    match section.is_call_of_v6() {
        true => cells.extend(ip6(8, to, true).into_iter().map(Cell::writable)),
        false => cells.push(Cell::narrow(4, ip4(to)).writable()),
    }
    cells
}

/// Programs may write each of them (`cg_sockopt_is_valid_access` of kernel/bpf/cgroup.c); ours write the length.
fn option_cells(option: SocketOption) -> Vec<Cell> {
    vec![
        Cell::word(24, option.level.cast_unsigned()),
        Cell::word(28, option.name.cast_unsigned()),
        Cell::word(32, option.length.cast_unsigned()).writable(),
    ]
}

/// Family, addresses and ports, which follow each other in both contexts of streams. The remote port is in network
/// order in the upper half of its word, the local one in host order.
fn connection_cells(connection: Connection, start: usize, ports: usize) -> Vec<Cell> {
    let Connection { local, remote } = connection;
    let mut cells = vec![
        Cell::word(start, family(local).cast_unsigned()),
        Cell::word(start + 4, ip4(remote)),
        Cell::word(start + 8, ip4(local)),
        Cell::word(ports, u32::from(remote.port()).to_be()),
        Cell::word(ports + 4, u32::from(local.port())),
    ];
    cells.extend(ip6(start + 12, remote, false));
    cells.extend(ip6(start + 28, local, false));
    cells
}

fn family(address: SocketAddr) -> i32 {
    match address {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    }
}

/// At sk_lookup an IPv6 packet has no IPv4 address, mapped or not.
fn only_ip4(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => ip4(address),
        SocketAddr::V6(_) => 0,
    }
}
