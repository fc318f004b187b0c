//! The resolved policy: names are ids, addresses are ranges, everything is typed.
//!
//! Made by the resolver from the syntax tree; read by `decide`, placement and everything after. Rules keep the place
//! they were written at, down to the last instruction. Not here: how anything is decided or compiled.

mod alone;
mod declared;
mod expect;
mod hook;
mod matching;
mod measure;

pub use crate::direction::{Deed, Direction};
pub use declared::{
    Class, Group, Listen, LiveEntry, LiveMap, NetnsPolicy, Owner, Pairs, Set, SetKind, Socket,
    SocketOrigin, Splice, Spread, Zone, lies_in,
};
pub(crate) use declared::{MAX_PAIRS, set_words};
pub use expect::{Expect, ExpectedVerdict, Region};
pub use hook::{Hook, Verb};
pub use matching::{
    AddressSet, Addresses, Condition, Endpoint, Family, FieldTest, IcmpMatch, Match, ProtocolMatch,
    Side, span_of,
};
pub use measure::{Log, Per, Rate};
pub use sockc_grammar::ast::{OWN, RateUnit, SocketState};

use cranelift_entity::{PrimaryMap, entity_impl};
use sockc_grammar::source::Span;

use crate::location::Location;

/// A rule of the policy, numbered in source order over all directions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u32);
entity_impl!(RuleId, "rule");

/// A named socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u32);
entity_impl!(SocketId, "sock");

/// A group of sockets: a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);
entity_impl!(GroupId, "group");

/// Pairs of connections that a proxy hands over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairsId(u32);
entity_impl!(PairsId, "pairs");

/// A zone: a name for some interfaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(u32);
entity_impl!(ZoneId, "zone");

/// A class of interfaces that the rules cannot tell apart. The first stands for every interface that no zone and no
/// `on interface` names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u32);
entity_impl!(ClassId, "class");

/// A set of addresses that is asked as one question: a live one, or one too large to be taken apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(u32);
entity_impl!(SetId, "set");

/// A live map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveMapId(u32);
entity_impl!(LiveMapId, "live");

/// An interface that rules send packets out of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutInterfaceId(u32);
entity_impl!(OutInterfaceId, "interface");

/// A network namespace that a condition names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId(u32);
entity_impl!(NetnsId, "netns");

/// A whole policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name: the `policy` line, else the file's stem.
    pub name: String,
    /// The rules in source order; the lists of the directions are this list filtered.
    pub rules: PrimaryMap<RuleId, Rule>,
    /// The `default` lines.
    pub defaults: Vec<Default>,
    /// Where the list of what arrives runs, as far as its rules name no hook. It changes no verdict.
    pub arriving: Arriving,
    /// The named sockets.
    pub sockets: PrimaryMap<SocketId, Socket>,
    /// The groups.
    pub groups: PrimaryMap<GroupId, Group>,
    /// The pairs.
    pub pairs: PrimaryMap<PairsId, Pairs>,
    /// The splices, in the order they were written. They are about all of their pairs and nothing else, so they stand in no
    /// list: no rule comes before or after them.
    pub splices: Vec<Splice>,
    /// Patterns of the interfaces that packet rules attach to, in the order they were written; those of the zones if
    /// no `interfaces` line is there.
    pub interfaces: Vec<String>,
    /// The zones.
    pub zones: PrimaryMap<ZoneId, Zone>,
    /// The classes of interfaces; never empty.
    pub classes: PrimaryMap<ClassId, Class>,
    /// The sets that are asked as one question.
    pub sets: PrimaryMap<SetId, Set>,
    /// Of a `for netns` block: the names of the live sets that the policy around declares, which are the same sets here, whether
    /// rules ask them or not.
    pub around: Vec<String>,
    /// The live maps.
    pub live_maps: PrimaryMap<LiveMapId, LiveMap>,
    /// Whether its live sets have tables: those of a file all have, or none has, since `for netns` blocks share them.
    pub member_tables: bool,
    /// The interfaces that rules send packets out of, by name.
    pub out_interfaces: PrimaryMap<OutInterfaceId, String>,
    /// The network namespaces that conditions name.
    pub namespaces: PrimaryMap<NetnsId, String>,
    /// The constant sets of addresses by name, in the order of their names: for words, since rules have their contents.
    pub named: Vec<(String, AddressSet)>,
    /// The `expect` lines.
    pub expects: Vec<Expect>,
    /// The policies of `for netns` blocks, in the order they were written. They have none of their own.
    pub netns: Vec<NetnsPolicy>,
}

impl std::default::Default for Policy {
    fn default() -> Self {
        let mut classes = PrimaryMap::new();
        classes.push(Class::default());
        Self {
            name: String::new(),
            rules: PrimaryMap::new(),
            defaults: Vec::new(),
            arriving: Arriving::default(),
            sockets: PrimaryMap::new(),
            groups: PrimaryMap::new(),
            pairs: PrimaryMap::new(),
            splices: Vec::new(),
            interfaces: Vec::new(),
            zones: PrimaryMap::new(),
            classes,
            sets: PrimaryMap::new(),
            around: Vec::new(),
            live_maps: PrimaryMap::new(),
            member_tables: false,
            out_interfaces: PrimaryMap::new(),
            namespaces: PrimaryMap::new(),
            named: Vec::new(),
            expects: Vec::new(),
            netns: Vec::new(),
        }
    }
}

impl Policy {
    /// The names of the live sets that it declares, of those of the policy around that its rules ask, and of `self` if it is named.
    #[must_use]
    pub fn live_sets(&self) -> Vec<String> {
        let sets = self.sets.values();
        let live = sets.filter(|set| matches!(set.kind, SetKind::Live { .. }));
        live.map(|set| set.name.clone()).collect()
    }

    /// Whether any rule looks at the addresses of frames. Each frame has others, so of recorded packets they are told only then.
    #[must_use]
    pub fn asks_for_frames(&self) -> bool {
        let mut conditions = self
            .rules
            .values()
            .flat_map(|rule| &rule.matches.conditions);
        conditions.any(Condition::asks_for_frames)
    }

    /// The class of interfaces that no zone and no `on interface` names.
    #[must_use]
    pub fn plain_class() -> ClassId {
        ClassId(0)
    }

    /// Where a rule puts data, as it says it: `input of sock cache`.
    #[must_use]
    pub fn feed_words(&self, feed: Feed) -> String {
        format!(
            "{} {}",
            feed.queue.words(),
            self.sockets[feed.socket].words()
        )
    }

    /// Whether it may decide anything but an allow about what a group does.
    #[must_use]
    pub fn governs(&self, group: GroupId, direction: Direction) -> bool {
        let mut rules = self.rules_of(direction);
        self.default_refuses(direction)
            || rules.any(|(_, rule)| {
                let allows = rule.action == Action::Allow || !rule.action.decides();
                !allows && rule.is_for(group)
            })
    }

    /// Whether what no rule of a direction is about is refused.
    #[must_use]
    pub fn default_refuses(&self, direction: Direction) -> bool {
        let default = self.default_of(direction);
        default.is_some_and(|line| line.verdict != DefaultVerdict::Allow)
    }

    /// Whether packets, or what processes do, meet a list of this direction: it has a rule or a default.
    #[must_use]
    pub fn has_list(&self, direction: Direction) -> bool {
        self.default_of(direction).is_some() || self.rules_of(direction).next().is_some()
    }

    /// The `default` line of a direction.
    #[must_use]
    pub fn default_of(&self, direction: Direction) -> Option<&Default> {
        self.defaults
            .iter()
            .find(|line| line.direction == direction)
    }

    /// The rules of a direction, in order.
    pub fn rules_of(&self, direction: Direction) -> impl Iterator<Item = (RuleId, &Rule)> {
        self.rules
            .iter()
            .filter(move |(_, rule)| rule.direction == direction)
    }
}

/// Where the list of what arrives runs, as far as its rules name no hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arriving {
    /// Each rule at the earliest hook that can evaluate it.
    #[default]
    Earliest,
    /// At the hook that the `default` line names.
    Named(Hook),
    /// At TC, since its interfaces are such that a program at XDP costs every packet that passes it.
    Costly,
}

impl Arriving {
    /// The hook, if it is settled.
    #[must_use]
    pub fn hook(self) -> Option<Hook> {
        match self {
            Self::Earliest => None,
            Self::Named(hook) => Some(hook),
            Self::Costly => Some(Hook::TcIn),
        }
    }
}

/// Where something was written, ready for messages and BTF line information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The span in the source map.
    pub span: Span,
    /// What is shown of it.
    pub location: Location,
}

impl std::ops::Deref for SourceLocation {
    type Target = Location;

    fn deref(&self) -> &Location {
        &self.location
    }
}

/// A `default` line.
#[derive(Clone, Debug)]
pub struct Default {
    /// Which list it ends.
    pub direction: Direction,
    /// What it does.
    pub verdict: DefaultVerdict,
    /// Whether it logs.
    pub log: Option<Log>,
    /// Where it was written.
    pub place: SourceLocation,
}

/// What a `default` line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefaultVerdict {
    /// Go on.
    Allow,
    /// Silently away.
    Drop,
    /// As if nobody listened; a malformed packet is dropped, since it cannot be answered.
    Reject,
}

impl DefaultVerdict {
    /// The word of the language.
    #[must_use]
    pub fn word(self) -> &'static str {
        Verb::from(self).word()
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `label:`
    pub label: Option<String>,
    /// Which list it stands in.
    pub direction: Direction,
    /// What it does.
    pub action: Action,
    /// What it matches.
    pub matches: Match,
    /// `at HOOK`: for `in`, `tc` is [`Hook::TcIn`], for `out` [`Hook::TcOut`].
    pub at: Option<Hook>,
    /// The rate, if there is one: a part of what it matches, asked when everything else holds.
    pub rate: Option<Rate>,
    /// `mark N`: what an allow sets the packet mark to.
    pub mark: Option<u32>,
    /// `log …`
    pub log: Option<Log>,
    /// For `audit VERB`: the verb that was written; `action` is [`Action::Count`] then.
    pub audit: Option<Verb>,
    /// A redirect by a map becomes several rules: one for each entry of a constant map, the most specific first, or one
    /// for each socket that a live map may name. This is the first of them; they share its counter.
    pub head: Option<RuleId>,
    /// `note "…"`
    pub note: Option<String>,
    /// Where it was written; for a redirect by a map, the rule, not the entry.
    pub place: SourceLocation,
}

impl Rule {
    /// A rule without label, hook, rate, mark and log.
    #[must_use]
    pub fn plain(
        direction: Direction,
        action: Action,
        matches: Match,
        place: SourceLocation,
    ) -> Self {
        Self {
            label: None,
            direction,
            action,
            matches,
            at: None,
            rate: None,
            mark: None,
            log: None,
            audit: None,
            head: None,
            note: None,
            place,
        }
    }

    /// Whether it runs in the socket lookup alone, and so is about new flows only: it says `at sk_lookup`.
    #[must_use]
    pub fn in_lookup(&self) -> bool {
        self.at == Some(Hook::SkLookup)
    }

    /// Whether it is about what sockets of this group write.
    #[must_use]
    pub fn is_for(&self, group: GroupId) -> bool {
        self.action.is_for(group) && self.matches.is_for(group)
    }

    /// The group of bulk rules that it stands for, in a policy that `bulk` made.
    #[must_use]
    pub fn first_match(&self) -> Option<u32> {
        match self.matches.conditions.as_slice() {
            [Condition::FirstMatch(group)] => Some(*group),
            _ => None,
        }
    }
}

/// The packet mark of what [`Action::Intercept`] hands over, and the number of the routing table that delivers what has it. It
/// has no bit of those that kube-proxy (0x4000, 0x8000), Cilium (0xf00), Tailscale (0xff0000) and Calico (the upper half) look at.
pub const INTERCEPTED: u32 = 0x20c5;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Go on to the stack or the peer.
    Allow,
    /// Silently away; for `send`, the write fails with EACCES.
    Drop,
    /// As if nobody listened; for `send`, the write fails with EACCES.
    Reject,
    /// Count, and go on in the list.
    Count,
    /// Allow, and hand new connections (TCP) or packets (UDP) to the socket.
    Redirect(SocketId),
    /// Allow, and hand what is new to the socket on the spot, whoever it is for, so that it need not be for this machine.
    Intercept(SocketId),
    /// Out of another interface, as it is.
    Forward(OutInterfaceId),
    /// Allow, and move the data past TCP/IP if the peer is a socket of the right group.
    Shortcut(Shortcut),
    /// Put the data into a queue of another socket; its own peer gets nothing of it.
    Feed(Feed),
}

/// A queue of a named socket that data is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feed {
    /// The socket.
    pub socket: SocketId,
    /// Which of its queues.
    pub queue: Queue,
}

listed! {
    /// A queue of a connected socket.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Queue {
        /// What it receives: its program reads the data.
        Input,
        /// What it sends: its peer gets the data.
        Output,
    }
}

impl Queue {
    /// As a rule names it: `input of`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Input => "input of",
            Self::Output => "output of",
        }
    }
}

/// Whose data a shortcut moves, and to whose sockets. Where these are two groups, a line of the policy is two rules: one for
/// what each of them writes to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shortcut {
    /// The group whose sockets write.
    pub from: GroupId,
    /// The group that the peer's socket has to be in.
    pub to: GroupId,
}

impl Shortcut {
    /// Between the sockets of one group.
    #[must_use]
    pub fn within(group: GroupId) -> Self {
        Self {
            from: group,
            to: group,
        }
    }

    /// The same for the answers.
    #[must_use]
    pub fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

impl Action {
    /// Whether the first rule of this kind that matches ends the list.
    #[must_use]
    pub fn decides(self) -> bool {
        self != Self::Count
    }

    /// The socket that packets are handed to, wherever that happens.
    #[must_use]
    pub fn receiver(self) -> Option<SocketId> {
        match self {
            Self::Redirect(socket) | Self::Intercept(socket) => Some(socket),
            _ => None,
        }
    }

    /// The same with another socket, of what hands packets to one.
    #[must_use]
    pub(crate) fn to(self, socket: SocketId) -> Self {
        match self {
            Self::Intercept(_) => Self::Intercept(socket),
            _ => Self::Redirect(socket),
        }
    }

    /// Whether sockets of this group are meant: a shortcut is for one group.
    #[must_use]
    pub fn is_for(self, group: GroupId) -> bool {
        !matches!(self, Self::Shortcut(near) if near.from != group)
    }
}
