//! What a runtime needs to know of programs and maps to attach and fill them; it travels in the object as JSON.

use serde::{Deserialize, Serialize};

use super::counters;
use crate::location::{self, Location};
use crate::policy::OWN;
use crate::protocol::IpProtocol;

impl Manifest {
    /// All of it but the counters, which are most of it where there are many rules.
    pub(crate) fn without_counters(&self) -> Self {
        Self {
            counters: Vec::new(),
            version: self.version,
            policy: self.policy.clone(),
            interfaces: self.interfaces.clone(),
            programs: self.programs.clone(),
            sockets: self.sockets.clone(),
            ends: self.ends.clone(),
            intercepts: self.intercepts.clone(),
            passing: self.passing.clone(),
            idle: self.idle.clone(),
            groups: self.groups.clone(),
            pairs: self.pairs.clone(),
            classes: self.classes.clone(),
            sets: self.sets.clone(),
            maps: self.maps.clone(),
            out_interfaces: self.out_interfaces.clone(),
            namespaces: self.namespaces.clone(),
            sources: self.sources.clone(),
            target: self.target.clone(),
            made: self.made.clone(),
        }
    }
}

/// The version of [`Manifest`]; another one is refused.
pub const MANIFEST_VERSION: u32 = 6;

/// What a runtime needs to know; travels in `.sockc.manifest` as JSON, the counters in rows of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The policy's name.
    pub policy: String,
    /// Interface patterns, as written.
    pub interfaces: Vec<String>,
    /// The programs and where they attach.
    pub programs: Vec<Attach>,
    /// The named sockets and their slots in the map `sockets`.
    pub sockets: Vec<SocketSlots>,
    /// The sockets whose queues take data, and their slots in the map `ends`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<EndPlan>,
    /// What redirects `at tc` need of the machine, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intercepts: Option<InterceptPlan>,
    /// Which classes rules of `forward` ask for, where they ask by which interface a packet came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passing: Option<PassingPlan>,
    /// Sockets that are declared and that no rule leads to, where no others have slots either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<String>,
    /// The groups.
    pub groups: Vec<GroupPlan>,
    /// The pairs that are spliced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairsPlan>,
    /// What the slots of the map `counters` count, by slot.
    #[serde(deserialize_with = "counters::read")]
    pub counters: Vec<Counter>,
    /// The classes of interfaces, by number; the first is that of every other interface.
    pub classes: Vec<ClassPlan>,
    /// The live sets.
    pub sets: Vec<SetPlan>,
    /// The live maps.
    pub maps: Vec<LiveMapPlan>,
    /// The interfaces that packets are sent out of, by name: slots of the map `ports`, whose values are `u32` interface
    /// indices (0 while unknown). The map and the word in JSON keep the name that objects and pins of earlier versions have.
    #[serde(rename = "ports")]
    pub out_interfaces: Vec<String>,
    /// The network namespaces that conditions name: slots of the map `namespaces`, whose values are `u32` namespace ids as
    /// seen from the policy's own namespace, plus 1 (0 while unknown).
    pub namespaces: Vec<String>,
    /// The sources: name and text.
    pub sources: Vec<(String, String)>,
    /// The target it was compiled for.
    pub target: String,
    /// What made it, and how: with the texts and the target's name, all that the bytes of the object depend on.
    pub made: Made,
}

/// The compiler that this is: its version, and the first digits of a sum over its texts.
pub const BUILD: &str = env!("SOCKC_BUILD");

/// What made an object, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The `BUILD` of the compiler.
    pub build: String,
    /// Whether it may use the long jump of its target ([`crate::target::Target::gotol`]).
    pub gotol: bool,
    /// Whether it may use atomic instructions that give the old value back ([`crate::target::Target::atomics`]).
    pub atomics: bool,
    /// Whether lookups may read the interface ([`crate::target::Target::lookup_interface`]).
    pub lookup_interface: bool,
    /// Whether rules count.
    pub counters: bool,
    /// The policies that take what arrives at TC because of the interfaces they are for: `""` is this one, others are those
    /// of its `for netns` blocks ([`crate::policy::Arriving::Costly`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costly: Vec<String>,
}

/// Where a program attaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The program's name.
    pub program: String,
    /// The point.
    pub point: AttachPoint,
    /// For packet hooks: the class of interfaces that it holds for, as an index into [`Manifest::classes`].
    pub class: Option<usize>,
}

/// A class of interfaces: those of the zone (or of none) that match exactly these of all patterns that rules name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPlan {
    /// The zone's name and its patterns.
    pub zone: Option<(String, Vec<String>)>,
    /// The patterns of `on interface`.
    pub patterns: Vec<String>,
}

/// A live set: an LPM trie and an array in the object, and mostly a table.
///
/// The trie has two sides, with room for `max` elements each. The array has one value of three `u64`: the side that holds, 0
/// or 1, which programs read; how many elements are in that side; and whether a change of them was not finished (0 for no).
/// So a runtime can fill the other side and put it in force by one write.
///
/// A key of the trie is a `u32` prefix length in host order (8 more than the prefix's own), one byte for family (4 or 6) and
/// side (their sum), and 16 bytes of address in network order, those of IPv4 first and zeros after that: 21 bytes, padded to 24.
/// A value is two `u64`, the time at which the element and everything that covers it has expired, and the element's own
/// time, both in nanoseconds of CLOCK_MONOTONIC, `u64::MAX` for never; then a `u32` with the prefix's own length, and
/// another that is 0. A packet's address is a member if the longest prefix's first time is to come.
///
/// With a table ([`SetTablePlan`]) an element is in the table or in the trie, the state has eight more bytes, and times of the trie
/// are those of what is in it. An address is a member by either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPlan {
    /// Its name in the policy.
    pub name: String,
    /// Its trie in the object.
    pub map: String,
    /// The array that says which side of the trie holds.
    pub state: String,
    /// The maximum number of elements.
    pub max: u32,
    /// How long an element stays, in milliseconds; `None` for ever.
    pub expires: Option<u64>,
    /// The prefixes it starts with.
    pub start: Vec<(std::net::IpAddr, u8)>,
    /// Its table, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<SetTablePlan>,
}

impl SetPlan {
    /// Whether it holds the addresses of the machine: no set that a policy declares has the name `self`.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name == OWN
    }
}

/// The table of a live set: three arrays, made with `BPF_F_MMAPABLE`, whose layouts stand at
/// [`member_table`](crate::member_table), with two sides each, of which the set's state says the one that holds. All zeros are a
/// table without elements, next to a trie that programs ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTablePlan {
    /// The array of plans, one for each side.
    pub plans: String,
    /// The array of the beginnings of chains.
    pub heads: String,
    /// The array of keys.
    pub nodes: String,
}

/// A live map: a table of keys, and for contents that it cannot hold a trie.
///
/// The table is three arrays, whose layouts stand at [`entry_table`](crate::entry_table), with two sides each. `heads` has, for
/// each side, the numbers of the first nodes of chains by the hashes of their keys; `nodes` the keys and what they lead to; `plans`
/// what a program has to know of a side. Element 0 of `state` begins with the `u32` that says what holds: which of the two
/// values of each node, which plan, or that the trie holds. So one write puts any change in force. All four are
/// made with `BPF_F_MMAPABLE`, so that a runtime can do that write as one. The rest of `state` is the runtime's own. All zeros
/// are a map without entries.
///
/// The trie and `classes` have two sides too. The array has two times 65,536 values of `u32`, for each side the class of each
/// port, 0 for ports that no entry's range tells from others. No
/// key has class 0, and programs look none up. A key of the trie is a `u32` prefix length in host order (64 more than the
/// prefix's own), the port class (`u32`, host order), protocol (6 or 17), family (4 or 6), side, a zero byte and 16 bytes of
/// address as in [`SetPlan`]: 28 bytes. A value is a `u32`, one more than the socket's number in [`Manifest::sockets`], then
/// a `u32` with the prefix's own length. A packet is looked up with its port's class and with class `u32::MAX`, which
/// stands for entries of every port; the longer prefix wins, and the port's class if both are as long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMapPlan {
    /// Its name in the policy.
    pub name: String,
    /// The array that says what holds.
    pub state: String,
    /// The array of plans.
    pub plans: String,
    /// The array of the beginnings of chains.
    pub heads: String,
    /// The array of keys.
    pub nodes: String,
    /// The trie.
    pub trie: String,
    /// The array of port classes.
    pub classes: String,
    /// The maximum number of entries.
    pub max: u32,
    /// The entries it starts with.
    pub start: Vec<LiveEntryPlan>,
}

/// The sides of a trie: one holds, the other is filled.
const SIDES: u32 = 2;

/// Keys that a trie has room for beyond a live set's elements: Linux before 6.13 wants room for a new element even where it
/// replaces one, and a runtime marks where it looks for elements inside a prefix.
const SPARE: u32 = 2;

/// Keys that a trie has room for, for each entry of a live map: one for each protocol, and more where its range of ports is cut
/// by others. Room that is not used costs nothing.
const KEYS: u32 = SIDES * 8;

/// The maximum number of keys of a live map: Linux 5.10 charges memory for all of them at once, 72 bytes each, and refuses more than 4 GiB.
const MAX_KEYS: u32 = 7 << 23;

/// Keys that the trie of a live set of so many elements has room for.
#[must_use]
pub fn set_keys(max: u32) -> u32 {
    max.saturating_mul(SIDES).saturating_add(SPARE)
}

/// What a map of interfaces holds for the interface of an index: it, and no program that its packets would meet
/// (`struct bpf_devmap_val`).
#[must_use]
pub fn in_slot(index: u32) -> [u8; 8] {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&index.to_ne_bytes());
    value
}

/// Keys that the trie of a live map of so many entries has room for.
#[must_use]
pub fn map_keys(max: u32) -> u32 {
    max.saturating_mul(KEYS).min(MAX_KEYS)
}

/// An entry of a live map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveEntryPlan {
    /// The prefix.
    pub prefix: (std::net::IpAddr, u8),
    /// The ports, inclusive.
    pub ports: (u16, u16),
    /// 6 or 17; `None` for both.
    pub protocol: Option<IpProtocol>,
    /// The socket's name.
    pub socket: String,
}

/// A kind of attach point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AttachPoint {
    /// XDP on every interface of the policy.
    Xdp,
    /// TC ingress on every interface of the policy.
    TcIn,
    /// TC egress on every interface of the policy.
    TcOut,
    /// sk_lookup on the network namespace.
    SkLookup,
    /// sk_msg on the map `peers…` of this group (index into [`Manifest::groups`]).
    SkMsg(usize),
    /// sk_skb on the map `readers…` of this group (index into [`Manifest::groups`]).
    SkSkb(usize),
    /// sock_ops on the cgroup of this group (index into [`Manifest::groups`]), or wherever it sees the group's connections.
    SockOps(usize),
    /// connect(2) to IPv4 on the cgroup of this group, or wherever it sees the group's calls.
    Connect4(usize),
    /// connect(2) to IPv6, there too.
    Connect6(usize),
    /// Datagrams to IPv4 with the address in the call, there too.
    Sendmsg4(usize),
    /// Datagrams to IPv6, there too.
    Sendmsg6(usize),
    /// setsockopt(2), there too.
    Setsockopt(usize),
    /// sk_skb on the map `sources…` of these pairs (index into [`Manifest::pairs`]).
    Splice(usize),
    /// Packets that arrive at the group's sockets, there too.
    CgroupSkb(usize),
    /// Packets that leave from the group's sockets, there too.
    CgroupSkbOut(usize),
}

/// A named socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketSlots {
    /// Its name.
    pub name: String,
    /// Whether an empty slot drops silently on the policy's interfaces; else it rejects.
    pub drop_if_absent: bool,
    /// Where its sockets come from.
    pub origin: SlotOrigin,
    /// Whose they have to be; anybody's where nothing is said.
    #[serde(default)]
    pub owner: Option<SlotOwner>,
    /// How many sockets of each family and protocol it may hold.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: u32,
    /// Whether all flows of a sender's address go to one of them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub spread_by_source: bool,
    /// Whether a socket is taken alone, and not with its reuseport group.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// Its slots; those of one family and protocol stand in a row, as many as there may be members.
    pub slots: Vec<Slot>,
}

fn one() -> u32 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_one(number: &u32) -> bool {
    *number == 1
}

impl SocketSlots {
    /// Which of the members of its kind a slot is for, counted from 1, and how many there may be; `None` where that is one.
    #[must_use]
    pub fn member(&self, slot: &Slot) -> Option<(u32, u32)> {
        let kind = self.slots.iter().filter(|other| other.is_of_kind(slot));
        let numbered = (1..).zip(kind);
        let (number, _) = numbered
            .filter(|_| self.members > 1)
            .find(|(_, other)| other.index == slot.index)?;
        Some((number, self.members))
    }

    /// Whether a slot is one of several for its address: sockets there are one reuseport group.
    #[must_use]
    pub fn shares_address(&self, slot: &Slot) -> bool {
        let mut others = self.slots.iter().filter(|other| other.is_for_address(slot));
        others.nth(1).is_some()
    }

    /// Whether rules lead to its queues alone, so that it is connected and has no slot ([`EndPlan`]).
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.slots.is_empty()
    }
}

/// Where the sockets of a named socket come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotOrigin {
    /// Any process of the network namespace that listens on the slots' addresses.
    Listen,
    /// The process whose id stands in this file, listening on the slots' addresses.
    Process(String),
    /// Handed over later.
    Registered,
    /// Held by systemd for this unit, under this name of the file descriptor if there are several.
    Systemd(String, Option<String>),
}

/// Whose a socket in a slot has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotOwner {
    /// The user of this number.
    Uid(u32),
    /// The user whom the machine calls so.
    User(String),
    /// The processes of the control group with this path from the root of the cgroup-v2 hierarchy, and of those below it.
    Cgroup(String),
}

/// One slot of the map `sockets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Index in the map.
    pub index: u32,
    /// 6 for TCP, 17 for UDP.
    pub protocol: IpProtocol,
    /// The listening address, exactly; where the policy names none, the unspecified address of the slot's family.
    pub address: std::net::IpAddr,
    /// The port; 0 where the policy names none.
    pub port: u16,
}

impl Slot {
    /// Whether another is for the same protocol and family.
    #[must_use]
    pub fn is_of_kind(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.address.is_ipv4() == other.address.is_ipv4()
    }

    /// Whether another is for the same protocol and address.
    #[must_use]
    pub fn is_for_address(&self, other: &Self) -> bool {
        (self.protocol, self.address, self.port) == (other.protocol, other.address, other.port)
    }
}

/// A connected socket that is handed over, and whose queues take data that was written to others or arrives on others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndPlan {
    /// Its name.
    pub name: String,
    /// Index in the map.
    pub index: u32,
    /// Whether rules put data into what it receives.
    pub input: bool,
    /// Whether some of that is what arrives on others (`redirect receive`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub arrivals: bool,
    /// Whether rules put data into what it sends.
    pub output: bool,
    /// Whether all that does is what arrives on others (`redirect receive`), and nothing that is written to them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub relayed: bool,
    /// Whose it has to be; anybody's where nothing is said.
    pub owner: Option<SlotOwner>,
}

/// Where the structure `sk_buff` of the kernel has its field `cb`, on every kernel of 64 bits, which begins as
/// `tcp_skb_cb`: two `u32`, the sequence numbers at which a segment begins and ends. Programs that are asked about what arrives read
/// them there.
pub const SEGMENT: u32 = 40;

/// What redirects `at tc` need: what they take bears a mark, and the kernel delivers it here only where its routes say that what
/// has the mark is local. Sockets that answer in the name of any address are transparent (`IP_TRANSPARENT`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptPlan {
    /// The packet mark.
    pub mark: u32,
    /// The routing table where everything is local, as sockc makes it.
    pub table: u32,
    /// For each family that they are about, addresses that they are for; none of a family that they are not about.
    pub samples: Vec<std::net::IpAddr>,
    /// The named sockets that they lead to.
    pub sockets: Vec<String>,
    /// The numbers of the classes of interfaces that they are on; `None` for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<usize>>,
}

/// Which of what passes through rules of `forward` tell by the interface by which it came in. They ask for its class, as socket
/// lookups do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassingPlan {
    /// The numbers of the classes that they name with `on`.
    pub came_in: Vec<usize>,
    /// Those that rules of socket lookups name with `on`.
    pub lookups: Vec<usize>,
}

impl InterceptPlan {
    /// Whether they are on interfaces of a class.
    #[must_use]
    pub fn is_on(&self, class: usize) -> bool {
        let mut classes = self.classes.iter().flatten();
        self.classes.is_none() || classes.any(|one| *one == class)
    }

    /// Whether they are for addresses that those of another plan were not for, as far as the samples of both tell.
    #[must_use]
    pub fn goes_beyond(&self, before: Option<&Self>) -> bool {
        let held = |sample| before.is_some_and(|plan| plan.samples.contains(sample));
        !self.samples.iter().all(held)
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// Its name.
    pub name: String,
    /// The cgroup's path from the root of the cgroup-v2 hierarchy.
    pub cgroup: String,
    /// The SOCKHASH that holds its sockets; it and the storages have no name where none are taken in.
    pub peers: String,
    /// The SOCKHASH that holds those of its sockets whose data is seen as it arrives. It has no name where that of none is.
    #[serde(default)]
    pub readers: String,
    /// The hash map that holds for each of these, by its socket's cookie, the sequence number of the byte that comes next. It has
    /// no name where that of readers has none, and in objects of earlier versions.
    #[serde(default)]
    pub next: String,
    /// The socket storage that holds each socket's peer key.
    pub storage: String,
    /// The socket storage that holds each socket's own key, also of those that were left alone, since no rule concerned their
    /// connections: a policy that concerns them later takes them in by that key. Empty in objects of earlier versions.
    #[serde(default)]
    pub own: String,
    /// The socket storage that holds how much each socket may still put into its peer's queue. It and `bound`
    /// have no name where no shortcut begins at the group, and in objects of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ways: String,
    /// The array of one program, which a write goes on with that finds no more room there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bound: String,
}

impl GroupPlan {
    /// Whether its sockets are taken into maps; else its programs see what is done in its cgroup, and no more is kept.
    #[must_use]
    pub fn takes_in(&self) -> bool {
        !self.peers.is_empty()
    }
}

/// Pairs of connections that a proxy hands over, to be joined: what one side receives, the other sends.
///
/// The key of a connection is its socket's cookie, a `u64` in host order, in three maps. `targets` holds the sockets of all
/// pairs, and has no program; `sources` those whose data is moved, and has it. A value of `joined` is three `u64`: the cookie of
/// the other side; the bytes from here that were left to this side's reader, and those that were moved, both of which the
/// program counts; and four `u32`: the side's slot in `allowed`; 0 for the side that called the proxy, 1 for the other; the
/// sequence number of TCP of the byte that comes next; and whether the program has found data that it cannot put in order. Bytes
/// that came before are no data: TCP hands on the whole of a segment of which a part came before.
///
/// A value of the array `allowed` is two `u64`, which the keeper of the pairs writes: how many of the bytes that were left to the
/// reader were sent to the other side by it; and how many bytes may be moved in all. While some that were left are not sent, or
/// where more would be moved than may be, the program leaves what comes to the reader: so all goes in order, and not more
/// than the keeper allows is on its way. Its last slot, [`PairsPlan::ROOM`], counts what could not be said in the ring `moved`: that is the cookie
/// of a side, whenever its bytes that were moved pass a multiple of [`PairsPlan::STEP`], and when the first is left to the reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairsPlan {
    /// Their name.
    pub name: String,
    /// The maximum number of them.
    pub max: u32,
    /// The SOCKHASH of where data goes to.
    pub targets: String,
    /// The SOCKHASH of where it comes from.
    pub sources: String,
    /// The hash map of who is joined with whom.
    pub joined: String,
    /// The array of how much may be moved.
    pub allowed: String,
    /// The ring buffer.
    pub moved: String,
}

impl PairsPlan {
    /// Bytes of one direction after which the program says that they were moved.
    pub const STEP: u64 = 1 << 20;
    /// Size of a value of the map `joined`.
    pub const JOINED: u32 = 40;
    /// Size of a value of the map `allowed`.
    pub const ALLOWED: u32 = 16;
    /// How many sides there can be: a pair is two connections.
    pub const ROOM: u32 = 1 << 17;
}

/// What one slot of the map `counters` counts. Where it stands there, [`crate::counter_blocks`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// What is counted.
    pub kind: CounterKind,
    /// The rule's label.
    pub label: Option<String>,
    /// Where the line of its statement begins, and what it says; of no statement at all, line 0 of a file without a name.
    #[serde(flatten, serialize_with = "location::beside")]
    pub location: Location,
    /// `in`, `out` or `send`.
    pub direction: String,
    /// The verb: `allow`, `drop`, `reject`, `count`, `redirect`, `shortcut`; of an audited rule, what is audited.
    pub verdict: String,
    /// Whether the rule is audited: it only counts and logs.
    pub audit: bool,
    /// The text of its `log`, if it has one.
    pub log: Option<String>,
    /// Whether the programs count here. A slot that nothing counts still names its rule in the records of logs.
    #[serde(skip_serializing_if = "is_counted")]
    pub counted: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A manifest says nothing of a counter that counts.
fn is_counted(counted: &bool) -> bool {
    *counted
}

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CounterKind {
    /// A rule; a redirect counts lookups.
    Rule,
    /// A `default` line.
    Default,
    /// Malformed packets of a direction.
    Malformed,
    /// Sockets of a group that could not be taken in (MPTCP, map full).
    Escaped,
    /// Packets with data of these, where `default send` refuses: they are dropped.
    Refused,
    /// What comes back on spliced pairs: from whom the proxy has called. The rule's own row is what goes there.
    Back,
    /// What was asked for a shortcut and went by TCP: the slot after that of its rule.
    ByTcp,
    /// What was asked for the queue of a socket while nobody stood there who takes it: the slot after that of its rule.
    Absent,
    /// Answers to rejected packets that are beyond their limits: these packets are dropped.
    Withheld,
    /// Records of logs that found no room in the ring. They are counted also where rules do not count.
    Lost,
}
