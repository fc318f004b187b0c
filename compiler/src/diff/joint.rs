//! Two policies in one space of ids, so that their diagrams can be compared.
//!
//! Takes two policies; gives the tables that both share, and each side's matches and actions rewritten to the shared ids.
//! What has one name and one meaning has one id: sockets with the same addresses, live sets and maps, interfaces to leave
//! by and namespaces by name, groups by their control group, constant sets by what they hold. Not here: which rules are
//! the same.

mod classes;
mod rewrite;
mod sockets;

use std::borrow::Cow;

use cranelift_entity::{EntityRef, PrimaryMap};

use self::classes::{Classes, TooMany};
use self::sockets::{Sockets, same_receiver};
pub(super) use self::sockets::{come_alike, kinds, taken_alike};
use super::groups;
use super::judge::Judge;
use crate::coverage::{Coverage, is_on};
use crate::decide::Lookups;
use crate::event::{Header, Verdict};
use crate::policy::{
    Action, ClassId, Family, Feed, Group, GroupId, LiveMap, LiveMapId, Match, NetnsId,
    OutInterfaceId, Policy, Rule, RuleId, Set, SetId, SetKind, Socket, SocketId,
};

/// Which of the two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Which {
    Old,
    New,
}

impl Which {
    pub(super) const BOTH: [Self; 2] = [Self::Old, Self::New];

    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// Two policies in one space of ids.
pub(super) struct Joint<'p> {
    /// What the ids stand for. It has no rules.
    pub(super) tables: Policy,
    /// Which of the sockets are one, and in what.
    pub(super) sockets: Sockets,
    /// How a class of interfaces is named to both policies; `None` for those that nothing names.
    pub(super) interfaces: PrimaryMap<ClassId, Option<String>>,
    sides: [Version<'p>; 2],
    /// The namespace of the `for netns` block that both are of; `None` of policies themselves.
    pub(super) netns: Option<&'p str>,
}

/// One of the policies.
pub(super) struct Version<'p> {
    /// As it was resolved, with its own ids.
    pub(super) policy: &'p Policy,
    /// What its rules match, with shared ids.
    pub(super) matches: PrimaryMap<RuleId, Cow<'p, Match>>,
    /// What its rules do, with shared ids.
    pub(super) actions: PrimaryMap<RuleId, Action>,
    /// From its own ids to shared ones.
    pub(super) ids: Ids,
    /// What it decides.
    pub(super) judge: Judge<'p>,
    /// Which of its rules socket lookups ask.
    pub(super) lookups: Lookups,
    /// For each shared class its own.
    pub(super) own_classes: PrimaryMap<ClassId, ClassId>,
}

/// From the ids of one policy to shared ones.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) sockets: PrimaryMap<SocketId, SocketId>,
    pub(super) groups: PrimaryMap<GroupId, GroupId>,
    pub(super) sets: PrimaryMap<SetId, SetId>,
    pub(super) live_maps: PrimaryMap<LiveMapId, LiveMapId>,
    pub(super) out_interfaces: PrimaryMap<OutInterfaceId, OutInterfaceId>,
    pub(super) namespaces: PrimaryMap<NetnsId, NetnsId>,
    /// Several shared classes may be one of its own.
    classes: PrimaryMap<ClassId, Vec<ClassId>>,
}

impl Ids {
    /// The same queue of the shared socket.
    pub(super) fn feed(&self, feed: Feed) -> Feed {
        Feed {
            socket: self.sockets[feed.socket],
            ..feed
        }
    }
}

impl<'p> Joint<'p> {
    /// Joins two policies; an error if their interfaces make too many kinds.
    pub(super) fn new(
        old: &'p Policy,
        new: &'p Policy,
        netns: Option<&'p str>,
    ) -> Result<Self, TooMany> {
        let classes = Classes::of(old, new)?;
        let mut tables = Policy::default();
        tables.classes.clear();
        for _ in classes.names.keys() {
            tables.classes.push(Default::default());
        }
        let sides = [(old, 0), (new, 1)].map(|(policy, number)| {
            let mut ids = enter(&mut tables, policy);
            ids.classes = classes.shared(number, policy);
            (policy, ids, &classes.sides[number])
        });
        let sockets = Sockets::new(&tables.sockets);
        let sides = sides.map(|(policy, ids, of)| rewrite::side(policy, ids, &sockets, of.clone()));
        Ok(Self {
            tables,
            sockets,
            interfaces: classes.names,
            sides,
            netns,
        })
    }

    /// One of the two.
    pub(super) fn side(&self, which: Which) -> &Version<'p> {
        &self.sides[which as usize]
    }

    /// A verdict of one of the policies about a header, with shared ids: whoever gets the same flows is the same.
    pub(super) fn verdict(&self, which: Which, own: Verdict, header: &Header) -> Verdict {
        let ids = &self.side(which).ids;
        match own {
            Verdict::Redirect(socket) => {
                let kind = (Family::of(header.to), header.protocol);
                Verdict::Redirect(self.sockets.receiver(ids.sockets[socket], kind))
            }
            Verdict::Forward(port) => Verdict::Forward(ids.out_interfaces[port]),
            Verdict::Shortcut(group) => Verdict::Shortcut(ids.groups[group]),
            Verdict::Feed(feed) => Verdict::Feed(self.sockets.feed(ids.feed(feed))),
            Verdict::Allow | Verdict::Drop | Verdict::Reject => own,
        }
    }

    /// A side's own id of the socket of this name, if it has one.
    pub(super) fn own_socket(&self, which: Which, first: SocketId) -> Option<SocketId> {
        let mut ids = self.side(which).ids.sockets.iter();
        let found = ids.find(|(_, shared)| self.sockets.named[**shared] == first);
        found.map(|(own, _)| own)
    }

    /// A side's own id of the group whose rules hold for the sockets of a shared one: of that itself, or of one around it.
    pub(super) fn own_group(&self, which: Which, shared: GroupId) -> Option<GroupId> {
        groups::around(self.side(which).policy, &self.tables.groups[shared].cgroup)
    }

    /// Both policies as they were resolved.
    pub(super) fn policies(&self) -> [&'p Policy; 2] {
        Which::BOTH.map(|which| self.side(which).policy)
    }

    /// A shared group in words.
    pub(super) fn group_words(&self, shared: GroupId) -> String {
        groups::words(self.policies(), &self.tables.groups[shared].cgroup)
    }

    /// Whether one of the policies may be on an interface of this class.
    pub(super) fn covers(&self, class: ClassId) -> bool {
        let Some(name) = &self.interfaces[class] else {
            return true;
        };
        self.sides.iter().any(|side| {
            let own = side.own_classes[class];
            // Of its plain class a policy knows no more than that it names none of these interfaces.
            is_on(side.policy, name)
                || own != Policy::plain_class() && Coverage::of(side.policy).covers(own)
        })
    }

    /// The classes that are one interface, as one of the policies says.
    pub(super) fn alone(&self) -> impl Iterator<Item = ClassId> {
        let is_alone = |class: &ClassId| {
            let mut sides = self.sides.iter();
            sides.any(|side| side.policy.is_one_interface(side.own_classes[*class]))
        };
        self.interfaces.keys().filter(is_alone)
    }

    /// The zone of a class, if both policies have it and mean the same interfaces by it.
    pub(super) fn zone_of(&self, class: ClassId) -> Option<&str> {
        let zones = self.sides.each_ref().map(|side| {
            let own = side.own_classes[class];
            let zone = side.policy.classes[own].zone?;
            Some(&side.policy.zones[zone])
        });
        let [Some(old), Some(new)] = zones else {
            return None;
        };
        let alike = old.name == new.name && old.patterns == new.patterns;
        alike.then_some(new.name.as_str())
    }
}

impl Version<'_> {
    /// A rule as it was written.
    pub(super) fn rule(&self, id: RuleId) -> &Rule {
        &self.policy.rules[id]
    }
}

/// Enters what a policy declares into the tables; what is there already keeps its id.
fn enter(tables: &mut Policy, policy: &Policy) -> Ids {
    Ids {
        sockets: each(&policy.sockets, &mut tables.sockets, same_socket),
        groups: each(&policy.groups, &mut tables.groups, |one: &Group, other| {
            one.cgroup == other.cgroup
        }),
        sets: each(&policy.sets, &mut tables.sets, same_set),
        live_maps: each(
            &policy.live_maps,
            &mut tables.live_maps,
            |one: &LiveMap, other| one.name == other.name,
        ),
        out_interfaces: each(
            &policy.out_interfaces,
            &mut tables.out_interfaces,
            PartialEq::eq,
        ),
        namespaces: each(&policy.namespaces, &mut tables.namespaces, PartialEq::eq),
        classes: PrimaryMap::new(),
    }
}

fn each<K: EntityRef, V: Clone>(
    from: &PrimaryMap<K, V>,
    to: &mut PrimaryMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> PrimaryMap<K, K> {
    let mut ids = PrimaryMap::new();
    for value in from.values() {
        let known = to.iter().find(|(_, other)| same(value, other));
        let id = known.map(|(id, _)| id);
        ids.push(id.unwrap_or_else(|| to.push(value.clone())));
    }
    ids
}

fn same_socket(one: &Socket, other: &Socket) -> bool {
    same_receiver(one, other) && one.drop_if_absent == other.drop_if_absent
}

/// What a live set holds is the machine's; of others only what they hold counts.
fn same_set(one: &Set, other: &Set) -> bool {
    match (&one.kind, &other.kind) {
        (SetKind::Live { .. }, SetKind::Live { .. }) => one.name == other.name,
        (SetKind::Constant(one), SetKind::Constant(other)) => one == other,
        _ => false,
    }
}
