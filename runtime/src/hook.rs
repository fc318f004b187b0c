//! Where our programs hang in the kernel, and how that is named in the state folder.
//!
//! A [`Point`] is a place with one pair of program slots, for instance what arrives on one interface; a [`Hook`] is the
//! attachment of a dispatcher that calls the program in these slots. Slots belong to an interface and not to a class of
//! interfaces, so that one word moves an interface from one class to another together with everything else. A hook's whole description is in the name of its pin, so that what a killed
//! command left can be removed without any other record.

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use serde::{Deserialize, Serialize};
use sockc_compiler::artifact::AttachPoint;
use sockc_compiler::{hook as compiled, listed};

/// The points, each with the word for it in the names of pins.
macro_rules! points {
    (
        $(#[$doc:meta])*
        pub(crate) enum $point:ident {
            $($(#[$of:meta])* $name:ident $(($target:ty))? = $word:literal,)*
        }
    ) => {
        $(#[$doc])*
        pub(crate) enum $point {
            $($(#[$of])* $name $(($target))?,)*
        }

        impl $point {
            /// The words, in order.
            const WORDS: &'static [&'static str] = &[$($word),*];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $word,)*
                }
            }

            /// That of a word, for what has this number.
            fn of(word: &str, number: u64) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name $((<$target>::try_from(number).ok()?))?),)*
                    _ => None,
                }
            }
        }
    };
}

points! {
    /// A place.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub(crate) enum Point {
        /// Data written to the sockets of the control group with this id.
        Send(u64) = "send",
        /// Data that arrives on the sockets of the control group with this id.
        Receive(u64) = "receive",
        /// Data that arrives on the connections of the pairs with this number.
        Splice(u64) = "splice",
        /// Connections made in the control group with this id.
        SockOps(u64) = "sock-ops",
        /// connect(2) to IPv4 in the control group with this id.
        Connect4(u64) = "connect4",
        /// connect(2) to IPv6 there.
        Connect6(u64) = "connect6",
        /// Datagrams to IPv4 with the address in the call there.
        Sendmsg4(u64) = "sendmsg4",
        /// Datagrams to IPv6 there.
        Sendmsg6(u64) = "sendmsg6",
        /// setsockopt(2) there.
        Setsockopt(u64) = "setsockopt",
        /// Packets that arrive at the sockets of the control group with this id.
        Datagrams(u64) = "datagrams",
        /// Packets that leave from the sockets of the control group with this id.
        Leaving(u64) = "leaving",
        /// Sockets of the whole machine that begin to listen.
        Listen = "listen",
        /// Packets that arrive on the interface with this index, before the stack sees them.
        Xdp(u32) = "xdp",
        /// Packets that arrive on the interface with this index.
        TcIn(u32) = "tc-in",
        /// Packets that leave by the interface with this index.
        TcOut(u32) = "tc-out",
        /// Lookups of listening sockets.
        Lookup = "lookup",
    }
}

/// The pin of the map that holds a group's sockets.
pub(crate) const PEERS: &str = "peers";

/// The pin of the map of those whose data is seen as it arrives.
pub(crate) const READERS: &str = "readers";
/// The pin of the map that says which byte comes next to each of these.
pub(crate) const NEXT: &str = "next";

/// What a point hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The interface with this index.
    Interface(u32),
    /// The network namespace.
    Namespace,
    /// The root of all control groups.
    Root,
    /// A map of the sockets of the control group with this id; which one, [`Point::sockets`] says.
    Sockets(u64),
    /// The map of the connections of the pairs with this number.
    Pairs(u64),
    /// The control group with this id, or wherever it sees what is done in that.
    Group(u64),
}

/// The points of a program of the manifest.
pub(crate) enum Points {
    /// One for each interface of its class.
    Interfaces(fn(u32) -> Point),
    /// One.
    Namespace(Point),
    /// One on the sockets of this group (index into the manifest's), by the number of its control group.
    Sockets(usize, fn(u64) -> Point),
    /// One on the connections of these pairs (index into the manifest's), by their number.
    Pairs(usize, fn(u64) -> Point),
    /// One on the control group of this group.
    Group(usize, fn(u64) -> Point),
}

impl Points {
    /// Those of a kind of attach point.
    pub(crate) fn of(point: &AttachPoint) -> Self {
        match *point {
            AttachPoint::Xdp => Self::Interfaces(Point::Xdp),
            AttachPoint::TcIn => Self::Interfaces(Point::TcIn),
            AttachPoint::TcOut => Self::Interfaces(Point::TcOut),
            AttachPoint::SkLookup => Self::Namespace(Point::Lookup),
            AttachPoint::SkMsg(group) => Self::Sockets(group, Point::Send),
            AttachPoint::SkSkb(group) => Self::Sockets(group, Point::Receive),
            AttachPoint::SockOps(group) => Self::Group(group, Point::SockOps),
            AttachPoint::Connect4(group) => Self::Group(group, Point::Connect4),
            AttachPoint::Connect6(group) => Self::Group(group, Point::Connect6),
            AttachPoint::Sendmsg4(group) => Self::Group(group, Point::Sendmsg4),
            AttachPoint::Sendmsg6(group) => Self::Group(group, Point::Sendmsg6),
            AttachPoint::Setsockopt(group) => Self::Group(group, Point::Setsockopt),
            AttachPoint::Splice(pairs) => Self::Pairs(pairs, Point::Splice),
            AttachPoint::CgroupSkb(group) => Self::Group(group, Point::Datagrams),
            AttachPoint::CgroupSkbOut(group) => Self::Group(group, Point::Leaving),
        }
    }

    /// What the kernel wants to know of them, which is the same wherever they are.
    pub(crate) fn kind(&self) -> Kind {
        let point = match self {
            Self::Interfaces(of) => of(0),
            Self::Namespace(point) => *point,
            Self::Sockets(_, of) | Self::Pairs(_, of) | Self::Group(_, of) => of(0),
        };
        point.kind()
    }
}

/// What the kernel wants to know of a point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The type of its programs.
    pub(crate) program: bpf_prog_type,
    /// The attach type given at load; TC and sk_skb programs have none, and a program array takes only equals.
    pub(crate) load: Option<bpf_attach_type>,
    /// The attach type given at attach.
    pub(crate) attach: bpf_attach_type,
    /// What a program returns to let go on what it saw.
    pub(crate) pass: i32,
}

impl Point {
    /// What the kernel wants to know.
    pub(crate) fn kind(self) -> Kind {
        use bpf_attach_type as attach;
        use bpf_prog_type as program;
        let call = |attach| (program::BPF_PROG_TYPE_CGROUP_SOCK_ADDR, true, attach);
        let (program, load, attach) = match self {
            Self::Xdp(_) => (program::BPF_PROG_TYPE_XDP, true, attach::BPF_XDP),
            Self::TcIn(_) => (
                program::BPF_PROG_TYPE_SCHED_CLS,
                false,
                attach::BPF_TCX_INGRESS,
            ),
            Self::TcOut(_) => (
                program::BPF_PROG_TYPE_SCHED_CLS,
                false,
                attach::BPF_TCX_EGRESS,
            ),
            Self::Lookup => (
                program::BPF_PROG_TYPE_SK_LOOKUP,
                true,
                attach::BPF_SK_LOOKUP,
            ),
            Self::Send(_) => (
                program::BPF_PROG_TYPE_SK_MSG,
                true,
                attach::BPF_SK_MSG_VERDICT,
            ),
            Self::Receive(_) => (
                program::BPF_PROG_TYPE_SK_SKB,
                false,
                attach::BPF_SK_SKB_STREAM_VERDICT,
            ),
            Self::Splice(_) => (
                program::BPF_PROG_TYPE_SK_SKB,
                false,
                attach::BPF_SK_SKB_VERDICT,
            ),
            Self::Connect4(_) => call(attach::BPF_CGROUP_INET4_CONNECT),
            Self::Connect6(_) => call(attach::BPF_CGROUP_INET6_CONNECT),
            Self::Sendmsg4(_) => call(attach::BPF_CGROUP_UDP4_SENDMSG),
            Self::Sendmsg6(_) => call(attach::BPF_CGROUP_UDP6_SENDMSG),
            Self::Setsockopt(_) => (
                program::BPF_PROG_TYPE_CGROUP_SOCKOPT,
                true,
                attach::BPF_CGROUP_SETSOCKOPT,
            ),
            Self::Datagrams(_) => (
                program::BPF_PROG_TYPE_CGROUP_SKB,
                true,
                attach::BPF_CGROUP_INET_INGRESS,
            ),
            Self::Leaving(_) => (
                program::BPF_PROG_TYPE_CGROUP_SKB,
                true,
                attach::BPF_CGROUP_INET_EGRESS,
            ),
            Self::SockOps(_) | Self::Listen => (
                program::BPF_PROG_TYPE_SOCK_OPS,
                true,
                attach::BPF_CGROUP_SOCK_OPS,
            ),
        };
        Kind {
            program,
            load: load.then_some(attach),
            attach,
            // To programs of sock_ops and of pairs it is all the same, and those of setsockopt and at egress let go on by 1.
            pass: self.decides().map_or(1, |hook| hook.spec().codes.pass),
        }
    }

    /// The hook of the rules that its programs run, if they run any.
    pub(crate) fn decides(self) -> Option<compiled::Hook> {
        Some(match self {
            Self::Xdp(_) => compiled::Hook::Xdp,
            Self::TcIn(_) => compiled::Hook::TcIn,
            Self::TcOut(_) => compiled::Hook::TcOut,
            Self::Lookup => compiled::Hook::SkLookup,
            Self::Send(_) => compiled::Hook::SkMsg,
            Self::Receive(_) => compiled::Hook::SkSkb,
            Self::Connect4(_) => compiled::Hook::Connect4,
            Self::Connect6(_) => compiled::Hook::Connect6,
            Self::Sendmsg4(_) => compiled::Hook::Sendmsg4,
            Self::Sendmsg6(_) => compiled::Hook::Sendmsg6,
            Self::Datagrams(_) => compiled::Hook::CgroupSkb,
            Self::SockOps(_)
            | Self::Setsockopt(_)
            | Self::Leaving(_)
            | Self::Listen
            | Self::Splice(_) => return None,
        })
    }

    /// Whether packets of an interface meet it.
    pub(crate) fn is_packet(self) -> bool {
        matches!(self.on(), On::Interface(_))
    }

    /// What it hangs on.
    pub(crate) fn on(self) -> On {
        match self {
            Self::Xdp(index) | Self::TcIn(index) | Self::TcOut(index) => On::Interface(index),
            Self::Lookup => On::Namespace,
            Self::Listen => On::Root,
            Self::Send(id) | Self::Receive(id) => On::Sockets(id),
            Self::Splice(number) => On::Pairs(number),
            Self::SockOps(id)
            | Self::Connect4(id)
            | Self::Connect6(id)
            | Self::Sendmsg4(id)
            | Self::Sendmsg6(id)
            | Self::Setsockopt(id)
            | Self::Datagrams(id)
            | Self::Leaving(id) => On::Group(id),
        }
    }

    /// The pin of the map of a group's sockets that it hangs on, in the folder of the group.
    pub(crate) fn sockets(self) -> Option<&'static str> {
        match self {
            Self::Send(_) => Some(PEERS),
            Self::Receive(_) => Some(READERS),
            _ => None,
        }
    }

    /// Where the context of its programs has the socket that something is done with, for those on a control group: `sk` of
    /// `struct bpf_sock_ops`, of `struct bpf_sockopt`, of `struct __sk_buff`, or of `struct bpf_sock_addr`.
    pub(crate) fn socket_at(self) -> i16 {
        match self {
            Self::SockOps(_) => 184,
            Self::Setsockopt(_) => 0,
            Self::Datagrams(_) | Self::Leaving(_) => 168,
            _ => 64,
        }
    }

    /// What a person calls it: its kind. What it hangs on is told next to it.
    pub(crate) fn title(self) -> String {
        self.word().to_owned()
    }

    /// The name of the pin of its program slots.
    pub(crate) fn name(self) -> String {
        match self.on() {
            On::Sockets(id) | On::Group(id) | On::Pairs(id) => format!("{}_{id}", self.word()),
            On::Interface(index) => format!("{}_{index}", self.word()),
            On::Namespace | On::Root => self.word().to_owned(),
        }
    }

    /// Whether the point of this name is on an interface: its programs run where the kernel has switched off softirqs.
    pub(crate) fn meets_packets(name: &str) -> bool {
        let word = name.split('_').next();
        let point = word.and_then(|word| Self::of(word, 0));
        point.is_some_and(Self::is_packet)
    }

    /// What a program on a control group is called that was attached with this type; of types that we do not use nothing.
    pub(crate) fn title_on_group(attach: u32) -> Option<String> {
        let points = Self::WORDS.iter().filter_map(|word| Self::of(word, 0));
        let mut on_groups = points.filter(|point| matches!(point.on(), On::Group(_)));
        let point = on_groups.find(|point| point.kind().attach as u32 == attach);
        point.map(Self::title)
    }
}

listed! {
    /// How a hook is attached.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum Means:
        /// Each, with its word in the names of pins.
        (&'static str)
    {
        /// XDP in the driver.
        XdpNative = ("native"),
        /// XDP in the generic path.
        XdpGeneric = ("generic"),
        /// TC by a link.
        Tcx = ("tcx"),
        /// TC by a filter under the qdisc clsact, on kernels without TCX.
        Clsact = ("clsact"),
        /// A link on a namespace, a control group or a map.
        Link = ("link"),
        /// On a map without a link, on kernels without links for maps.
        MapAttach = ("map"),
    }
}

impl Means {
    /// Whether a link is pinned; else it is the program.
    pub(crate) fn is_link(self) -> bool {
        !matches!(self, Self::Clsact | Self::MapAttach)
    }
}

/// One attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Hook {
    /// The place.
    pub(crate) point: Point,
    /// The index of the interface, the inode of the namespace, the id of the control group, or the number of the pairs.
    pub(crate) target: u64,
    /// The generation it was made for; below it the dispatcher lets everything go on.
    pub(crate) since: u32,
    /// How it is attached.
    pub(crate) means: Means,
}

impl Hook {
    /// The name of its pin.
    pub(crate) fn name(&self) -> String {
        let (_, means) = Means::TABLE[self.means as usize];
        format!(
            "{}_{}_{}_{means}",
            self.point.word(),
            self.target,
            self.since
        )
    }

    /// The hook of a pin's name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('_').collect();
        let [point, target, since, means] = parts.as_slice() else {
            return None;
        };
        let target = target.parse().ok()?;
        Some(Self {
            point: Point::of(point, target)?,
            target,
            since: since.parse().ok()?,
            means: Means::TABLE.iter().find(|(_, word)| word == means)?.0,
        })
    }
}

/// The name of the dispatchers that were made for a generation.
pub(crate) fn dispatcher_name(since: u32) -> String {
    format!("{DISPATCHER}{since:x}")
}

/// What all of them begin with.
const DISPATCHER: &str = "sockc_";

/// Whether a program is called as dispatchers are.
pub(crate) fn is_dispatcher(name: &str) -> bool {
    let since = name.strip_prefix(DISPATCHER);
    since.is_some_and(|since| u32::from_str_radix(since, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_name_says_everything() {
        let points = Point::WORDS.iter().map(|word| Point::of(word, 7).unwrap());
        for point in points {
            for (means, _) in Means::TABLE {
                let hook = Hook {
                    point,
                    target: 7,
                    since: 3,
                    means,
                };
                assert_eq!(Hook::parse(&hook.name()), Some(hook));
                assert!(!hook.name().contains('.'), "bpffs refuses dots");
            }
        }
        assert_eq!(Hook::parse("xdp_1_2"), None);
        assert_eq!(Hook::parse("xdp_1_2_other"), None);
    }
}
