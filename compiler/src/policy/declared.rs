//! What a policy declares by name: sockets, groups, zones, sets, live maps, policies of other namespaces.

use std::net::{IpAddr, SocketAddr};

use sockc_grammar::ast::OWN;

use super::{AddressSet, Family, PairsId, Policy, SocketId, SourceLocation, ZoneId};
use crate::protocol::IpProtocol;

/// A named socket.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub origin: SocketOrigin,
    /// Whose socket may stand behind the name; anybody's where nothing is said.
    pub owner: Option<Owner>,
    /// How many sockets of each family and protocol it may hold at once: 1 unless it says `members`.
    pub members: u32,
    /// What keeps flows together that are spread over members.
    pub spread: Spread,
    /// Whether of a reuseport group only the socket itself gets something, and no other one of the group.
    pub pinned: bool,
    /// True for `if absent drop`, false for `if absent reject` (the default).
    pub drop_if_absent: bool,
    /// Whether rules put data into its queues: then it is a connected socket, and nothing is steered to it.
    pub fed: bool,
    /// Where it was declared.
    pub place: SourceLocation,
}

impl Socket {
    /// Whether it may hold a socket for this family and protocol (6 or 17).
    #[must_use]
    pub fn may_hold(&self, family: Family, protocol: IpProtocol) -> bool {
        match self.origin.listen() {
            Some(listen) => listen
                .iter()
                .any(|one| one.protocol == protocol && Family::of(one.address) == family),
            None => protocol.has_socket(),
        }
    }
}

impl Socket {
    /// As a rule names it: `sock proxy`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("sock {}", self.name)
    }

    /// The same with where it comes from: `sock proxy (tcp 127.0.0.1:1234)`.
    #[must_use]
    pub(crate) fn words_in_full(&self) -> String {
        let absent = match self.drop_if_absent {
            true => ", if absent drop",
            false => "",
        };
        format!("{} ({}{absent})", self.words(), self.whence())
    }

    /// Where it comes from and who shares it, as a declaration says it.
    pub(crate) fn whence(&self) -> String {
        let owner = self.owner.as_ref().map_or_else(String::new, Owner::words);
        format!("{}{owner}{}", self.origin.words(), self.sharing())
    }

    /// ` members 8 spread by source pinned`, as a declaration says it; nothing where it says none of that.
    fn sharing(&self) -> String {
        let members = match self.members {
            1 => String::new(),
            members => format!(" members {members}"),
        };
        let spread = match self.spread {
            Spread::ByFlow => "",
            Spread::BySource => " spread by source",
        };
        let pinned = if self.pinned { " pinned" } else { "" };
        format!("{members}{spread}{pinned}")
    }
}

/// What keeps new flows together that are spread over the members of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spread {
    /// Each flow is on its own: its protocol, both addresses and both ports.
    #[default]
    ByFlow,
    /// The sender's address: all that comes from it goes to one member.
    BySource,
}

/// Whose a socket has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The user of this number.
    Uid(u32),
    /// The user whom the machine calls so.
    User(String),
    /// The processes of the control group with this path from the root, and of those below it.
    Cgroup(String),
}

impl Owner {
    /// ` owner uid 33`, as a declaration says it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Uid(uid) => format!(" owner uid {uid}"),
            Self::User(name) => format!(" owner uid {name}"),
            Self::Cgroup(path) => format!(" owner cgroup \"{path}\""),
        }
    }
}

/// Where a named socket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOrigin {
    /// Any process of the network namespace: at most as many addresses for each of (family, protocol) as there may be members.
    Listen(Vec<Listen>),
    /// The process whose id stands in a file.
    Process {
        /// The file.
        pid_file: String,
        /// The addresses, as for `Listen`.
        listen: Vec<Listen>,
    },
    /// Handed over later; any of the four (family, protocol).
    Registered,
    /// Held by systemd for a unit; any of the four (family, protocol).
    Systemd {
        /// The unit.
        unit: String,
        /// The name of the file descriptor, if there are several.
        name: Option<String>,
    },
}

impl SocketOrigin {
    /// As a policy declares it, in short.
    fn words(&self) -> String {
        let listen = || {
            let listen = self.listen().unwrap_or_default().iter();
            listen.map(Listen::words).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Listen(_) => listen(),
            Self::Process { pid_file, .. } => format!("process \"{pid_file}\" {}", listen()),
            Self::Registered => "registered".into(),
            Self::Systemd { unit, name } => {
                let name = name.as_ref();
                let name = name.map_or_else(String::new, |name| format!(" name \"{name}\""));
                format!("systemd \"{unit}\"{name}")
            }
        }
    }

    /// The listening addresses, where the policy names them.
    #[must_use]
    pub fn listen(&self) -> Option<&[Listen]> {
        match self {
            Self::Listen(listen) | Self::Process { listen, .. } => Some(listen),
            Self::Registered | Self::Systemd { .. } => None,
        }
    }

    /// The protocols that a socket may hold, in order; one that is handed over may be of either.
    #[must_use]
    pub fn protocols(&self) -> Vec<IpProtocol> {
        let Some(listen) = self.listen() else {
            return IpProtocol::WITH_SOCKETS.to_vec();
        };
        let mut held: Vec<IpProtocol> = listen.iter().map(|one| one.protocol).collect();
        held.sort_unstable();
        held.dedup();
        held
    }
}

/// One listening address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// 6 for TCP, 17 for UDP.
    pub protocol: IpProtocol,
    /// The address it is bound to, exactly.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl Listen {
    fn words(&self) -> String {
        let protocol = if self.protocol == IpProtocol::TCP {
            "tcp"
        } else {
            "udp"
        };
        format!("{protocol} {}", SocketAddr::new(self.address, self.port))
    }
}

/// A group of sockets.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The cgroup's path from the root of the cgroup-v2 hierarchy; begins with `/`, no `/` at the end unless it is the root.
    pub cgroup: String,
    /// Where it was declared.
    pub place: SourceLocation,
}

/// Whether the control group of a path is that of another, or lies inside it.
#[must_use]
pub fn lies_in(inner: &str, outer: &str) -> bool {
    let below = inner.strip_prefix(outer);
    outer == "/" || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The maximum number of pairs of one name: their maps have room for so many, whatever `max` says, so that it can change while
/// they are there.
pub(crate) const MAX_PAIRS: u32 = 65_536;

/// Pairs of connections that a proxy hands over.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Their name.
    pub name: String,
    /// The maximum number of them at once.
    pub max: u32,
    /// Where they were declared.
    pub place: SourceLocation,
}

/// Pairs that are joined in the kernel: what one side receives, the other sends.
#[derive(Clone, Debug)]
pub struct Splice {
    /// `label:`
    pub label: Option<String>,
    /// Which.
    pub pairs: PairsId,
    /// `note "…"`
    pub note: Option<String>,
    /// Where it was written.
    pub place: SourceLocation,
}

/// A zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Patterns of its interfaces.
    pub patterns: Vec<String>,
    /// Where it was declared.
    pub place: SourceLocation,
}

/// What tells the interfaces of a class from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// The zone they are in.
    pub zone: Option<ZoneId>,
    /// The patterns of `on interface` and `for interface` that they match, each once, in the order they were written.
    pub patterns: Vec<String>,
}

/// A set that is asked as one question.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub kind: SetKind,
    /// Where it was declared.
    pub place: SourceLocation,
}

/// The maximum number of prefixes of `self`. The room is taken when a policy is applied, as that of a live set: a machine has
/// a few addresses, a node that balances for a cluster some thousand.
pub(crate) const MAX_OWN: u32 = 16_384;

impl Set {
    /// The addresses of the machine, whatever they are while the policy is in force: a live set that the runtime keeps, and
    /// that no statement declares. Its place is where it is first named.
    #[must_use]
    pub(crate) fn own(place: SourceLocation) -> Self {
        Self {
            name: OWN.to_owned(),
            kind: SetKind::Live {
                max: MAX_OWN,
                expires: None,
                start: Vec::new(),
            },
            place,
        }
    }

    /// Whether it holds the addresses of the machine. The word is reserved, so no set that is declared has this name.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name == OWN
    }

    /// As a rule names it: `@banned`, or `self`.
    #[must_use]
    pub fn words(&self) -> String {
        set_words(&self.name)
    }
}

/// A set of this name as a rule names it: `@banned`, or `self`.
#[must_use]
pub(crate) fn set_words(name: &str) -> String {
    match name == OWN {
        true => name.to_owned(),
        false => format!("@{name}"),
    }
}

/// What is in a set.
#[derive(Clone, Debug)]
pub enum SetKind {
    /// These addresses, always.
    Constant(AddressSet),
    /// What was added while running.
    Live {
        /// The maximum number of elements.
        max: u32,
        /// How long an element stays, in milliseconds; `None` for ever.
        expires: Option<u64>,
        /// The prefixes it starts with: address and length, sorted, each once.
        start: Vec<(IpAddr, u8)>,
    },
}

/// A live map: packets to sockets, changed while running.
#[derive(Clone, Debug)]
pub struct LiveMap {
    /// Its name.
    pub name: String,
    /// The maximum number of entries.
    pub max: u32,
    /// The entries it starts with.
    pub start: Vec<LiveEntry>,
    /// Where it was declared.
    pub place: SourceLocation,
}

/// An entry of a live map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveEntry {
    /// The prefix.
    pub prefix: (IpAddr, u8),
    /// The ports, inclusive.
    pub ports: (u16, u16),
    /// 6 or 17; `None` for those of its socket.
    pub protocol: Option<IpProtocol>,
    /// The socket.
    pub socket: SocketId,
}

impl LiveEntry {
    /// The protocols that it is for: of those that its socket may hold the one that it names, or all.
    #[must_use]
    pub fn protocols(&self, policy: &Policy) -> Vec<IpProtocol> {
        let mut held = policy.sockets[self.socket].origin.protocols();
        held.retain(|number| self.protocol.is_none_or(|own| own == *number));
        held
    }
}

/// The policy of a `for netns` block.
#[derive(Clone, Debug)]
pub struct NetnsPolicy {
    /// The namespace's name.
    pub name: String,
    /// What holds in it.
    pub policy: Policy,
}
