//! One case of a diagram of both policies, as each of them sees it.
//!
//! Takes the values of shared fields; gives events with a policy's own ids, a world that answers as the values say, and
//! the text of it all. Not here: which case is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cranelift_entity::PrimaryMap;

use super::joint::{Joint, Which};
use super::report::{About, Unsaid};
use super::space::Disposition;
use super::topic::Topic;
use crate::diagram::FieldValues;
use crate::diagram::values::header_of;
use crate::event::{Decision, Event, Header, Parsed, SocketAnswer, World};
use crate::field::Field;
use crate::packet::text::{Described, DescribedWorld, contents, describe_on, interface};
use crate::policy::{
    AddressSet, ClassId, Direction, Family, LiveMapId, NetnsId, RuleId, SetId, SetKind, SocketId,
};
use crate::protocol::IpProtocol;

/// A case of a topic.
pub(super) struct Case<'a, 'p> {
    joint: &'a Joint<'p>,
    meters: &'a PrimaryMap<RuleId, RuleId>,
    topic: Topic,
    values: &'a FieldValues,
    header: Header,
    socket: SocketAnswer,
}

/// The case as one of the policies sees it.
struct Seen<'a, 'p> {
    case: &'a Case<'a, 'p>,
    which: Which,
}

/// What a text leaves out, since it decides nothing.
#[derive(Clone, Copy, Default)]
struct LeftOut {
    rate_exceeded: bool,
    elsewhere: bool,
    absent: bool,
    members: bool,
    contents: bool,
}

impl<'a, 'p> Case<'a, 'p> {
    pub(super) fn new(
        joint: &'a Joint<'p>,
        meters: &'a PrimaryMap<RuleId, RuleId>,
        topic: Topic,
        values: &'a FieldValues,
    ) -> Self {
        let (header, socket) = header_of(values);
        Self {
            joint,
            meters,
            topic,
            values,
            header,
            socket,
        }
    }

    /// The class of the interface, and of what passes through that of the one by which it leaves.
    fn classes(&self) -> [ClassId; 2] {
        [Field::Interface, Field::Leaving].map(|field| ClassId::from_u32(self.values.get(field)))
    }

    /// What happens, with a policy's own ids; `None` where the policy has no such group.
    fn event(&self, which: Which) -> Option<Event> {
        let side = self.joint.side(which);
        let own = |class| side.own_classes.get(class).copied();
        let [class, leaves] = self.classes();
        let header = self.header.clone();
        Some(match self.topic.about {
            About::Process(direction) => Event::Process {
                direction,
                group: self.topic.own_group(self.joint, which)?,
                header,
            },
            About::Lookup => Event::Lookup {
                class: own(class)?,
                header,
            },
            About::In
            | About::Out
            | About::Passing
            | About::MalformedIn
            | About::MalformedOut
            | About::MalformedPassing => {
                let classes = [own(class)?, own(leaves)?];
                Event::of_packet(self.topic.direction(), classes, Parsed::Ip(header))
            }
        })
    }

    /// What the reference meaning of a policy says of it.
    pub(super) fn decide(&self, which: Which) -> Option<Decision> {
        let event = self.event(which)?;
        let seen = Seen { case: self, which };
        Some(self.joint.side(which).judge.decide(&event, &seen))
    }

    /// What a policy decided of it, with shared ids.
    pub(super) fn shared(&self, which: Which, found: &Decision) -> Disposition {
        Disposition {
            verdict: self.joint.verdict(which, found.verdict, &self.header),
            mark: found.mark,
        }
    }

    /// The same from every rule, as it is written in the language page.
    #[cfg(test)]
    pub(super) fn decide_in_full(&self, which: Which) -> Option<Decision> {
        let policy = self.joint.side(which).policy;
        let (event, seen) = (self.event(which)?, Seen { case: self, which });
        Some(crate::decide::decide(policy, &event, &seen))
    }

    /// The case in words, as short as both policies decide of the words what they decide here; and what decides besides
    /// them, if they do not. Words know one state of all rates.
    pub(super) fn text(&self) -> Option<(String, Option<Unsaid>)> {
        let exact = self.both_decide_so(LeftOut::default());
        let mut left_out = LeftOut::default();
        let leave: [fn(&mut LeftOut); 5] = [
            |out| out.rate_exceeded = true,
            |out| out.elsewhere = true,
            |out| out.absent = true,
            |out| out.contents = true,
            |out| out.members = true,
        ];
        // Asking both policies again and again takes long where they are large.
        let leave: &[fn(&mut LeftOut)] = if self.is_plain() { &[] } else { &leave };
        for leave in leave {
            let mut shorter = left_out;
            leave(&mut shorter);
            if !exact || self.both_decide_so(shorter) {
                left_out = shorter;
            }
        }
        let which = match self.event(Which::New) {
            Some(_) => Which::New,
            None => Which::Old,
        };
        let described = self.described(which, left_out)?;
        let policy = self.joint.side(which).policy;
        let unsaid = self.unsaid(exact, left_out);
        let words = describe_on(policy, &described, self.on(), self.joint.netns)?;
        Some((words, unsaid))
    }

    fn unsaid(&self, exact: bool, left_out: LeftOut) -> Option<Unsaid> {
        if !exact {
            return Some(if self.rates_disagree() {
                Unsaid::Rates
            } else {
                Unsaid::Held
            });
        }
        // A lookup's packet is explained as one that arrives.
        if self.topic.about == About::Lookup {
            return Some(Unsaid::Lookup);
        }
        (!self.same_words(left_out)).then_some(Unsaid::Names)
    }

    /// Whether there is nothing to say but the packet itself.
    fn is_plain(&self) -> bool {
        Which::BOTH.into_iter().all(|which| {
            let said = self.described(which, LeftOut::default());
            said.is_none_or(|said| {
                let nothing = said.elsewhere.is_empty() && said.absent.is_empty();
                let nothing = nothing && said.contents.is_empty();
                let nothing = nothing && said.members.is_empty() && said.around.is_empty();
                nothing && !said.rate_exceeded
            })
        })
    }

    /// Whether the words are the same for both policies: what only one of them knows, or has under this name with another
    /// answer, no words can tell both.
    fn same_words(&self, left_out: LeftOut) -> bool {
        let [old, new] = Which::BOTH.map(|which| {
            let policy = self.joint.side(which).policy;
            let said = self.described(which, left_out)?;
            let absent = said.absent.iter().map(|id| &policy.sockets[*id].name);
            let asked = said.members.into_iter();
            let asked = asked.map(|(id, held)| (policy.sets[id].name.clone(), held));
            let elsewhere = said.elsewhere.iter();
            let contents = said.contents.iter();
            Some((
                contents
                    .map(|(id, held)| (&policy.live_maps[*id].name, contents::words(policy, held)))
                    .collect::<BTreeMap<_, _>>(),
                absent.collect::<BTreeSet<_>>(),
                asked.chain(said.around).collect::<BTreeMap<_, _>>(),
                elsewhere
                    .map(|(id, answer)| (&policy.namespaces[*id], *answer as u32))
                    .collect::<BTreeMap<_, _>>(),
            ))
        });
        let alike = old.is_none() || new.is_none() || old == new;
        alike && self.same_group()
    }

    /// Whether both policies mean the same processes by the name of the group.
    fn same_group(&self) -> bool {
        let Some(group) = self.topic.group else {
            return true;
        };
        let path = &self.joint.tables.groups[group].cgroup;
        let [old, new] = Which::BOTH.map(|which| {
            let own = self.topic.own_group(self.joint, which)?;
            let own = self.joint.side(which).policy.groups.get(own)?;
            (own.cgroup == *path).then_some(&own.name)
        });
        old.is_some() && old == new
    }

    /// Whether both policies decide of the text what they decide here.
    fn both_decide_so(&self, left_out: LeftOut) -> bool {
        Which::BOTH.into_iter().all(|which| {
            let Some(wanted) = self.decide(which) else {
                return true;
            };
            let policy = self.joint.side(which).policy;
            self.described(which, left_out).is_some_and(|said| {
                let world = DescribedWorld::new(policy, &said);
                let judge = &self.joint.side(which).judge;
                let found = judge.decide(&said.event, &world);
                (found.verdict, found.decider) == (wanted.verdict, wanted.decider)
            })
        })
    }

    /// The case as a text of a policy describes it.
    fn described(&self, which: Which, left_out: LeftOut) -> Option<Described> {
        let policy = self.joint.side(which).policy;
        let (event, seen) = (self.event(which)?, Seen { case: self, which });
        let mut said = Described::of_world(policy, event, &self.header, self.socket, &seen);
        said.around = self.around(which);
        said.rate_exceeded = !left_out.rate_exceeded && self.exceeds();
        if left_out.elsewhere {
            said.elsewhere.clear();
        }
        if left_out.absent {
            said.absent.clear();
        }
        if left_out.members {
            said.members.clear();
            said.around.clear();
        }
        if left_out.contents {
            said.contents.clear();
        }
        Some(said)
    }

    /// What is in live sets around the blocks that only the rules of the other one ask.
    fn around(&self, which: Which) -> Vec<(String, AddressSet)> {
        let around = &self.joint.side(which).policy.around;
        let sets = self.joint.tables.sets.iter();
        let sets = sets.filter(|(id, set)| {
            let own = &self.joint.side(which).ids.sets;
            matches!(set.kind, SetKind::Live { .. })
                && around.contains(&set.name)
                && !own.values().any(|own| own == id)
        });
        let ends = [self.header.to, self.header.from].into_iter();
        let is_in = |set, end| self.values.is_member(&self.header, set, end);
        let held = |set| AddressSet::of(ends.clone().filter(|&end| is_in(set, end)));
        let mut held: Vec<_> = sets.map(|(id, set)| (set.name.clone(), held(id))).collect();
        held.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        held
    }

    /// Whether some rate of either policy is exceeded.
    fn exceeds(&self) -> bool {
        self.rates().contains(&false)
    }

    /// Whether some rate is exceeded and another is not.
    fn rates_disagree(&self) -> bool {
        let rates = self.rates();
        rates.contains(&true) && rates.contains(&false)
    }

    /// Of each rate of either policy, whether the packet conforms.
    fn rates(&self) -> Vec<bool> {
        let of = |which| {
            let seen = Seen { case: self, which };
            let rated = self.joint.side(which).judge.rated.iter();
            rated.map(move |&id| seen.conforms(id, &self.header))
        };
        Which::BOTH.into_iter().flat_map(of).collect()
    }

    /// `on …`, and of what passes through `to …`, in words that both policies take for the same interfaces.
    fn on(&self) -> Option<String> {
        if self.topic.group.is_some() {
            return None;
        }
        let [class, leaves] = self.classes();
        let leaves = Some(leaves).filter(|_| self.topic.direction().passes());
        let on = self.named(class);
        let leaves = leaves.and_then(|leaves| self.leaving(leaves, on.as_ref()));
        let ends = [("on", on), ("to", leaves)].into_iter();
        let said = ends.filter_map(|(word, words)| Some(format!("{word} {}", words?)));
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join(" "))
    }

    /// An interface by which it leaves: another one than that by which it came in.
    fn leaving(&self, class: ClassId, on: Option<&String>) -> Option<String> {
        let words = self.named(class)?;
        if on != Some(&words) || words.starts_with("zone ") {
            return Some(words);
        }
        let [old, new] = Which::BOTH.map(|which| self.joint.side(which));
        let mut others = interface::examples(new.policy, new.own_classes[class])
            .into_iter()
            .filter(|name| interface::class_of(old.policy, name) == old.own_classes[class])
            .map(|name| format!("interface {}", interface::pattern(&name)));
        others.find(|other| *other != words).or(Some(words))
    }

    /// An interface of a class.
    fn named(&self, class: ClassId) -> Option<String> {
        let name = self.joint.interfaces.get(class)?.as_ref();
        let sides = Which::BOTH.map(|which| self.joint.side(which));
        let own = sides.map(|side| side.own_classes[class]);
        let policies = sides.map(|side| side.policy);
        let words = interface::class_words(policies[1], own[1]);
        let zone_alike = || {
            let zone = policies[1].classes[own[1]].zone?;
            let wanted = &policies[1].zones[zone].name;
            let mut zones = policies[0].zones.iter();
            let (other, _) = zones.find(|(_, zone)| zone.name == *wanted)?;
            let alike = interface::class_of_zone(policies[0], other) == own[0]
                && interface::class_of_zone(policies[1], zone) == own[1];
            alike.then_some(())
        };
        if zone_alike().is_some() {
            return words;
        }
        name.map(|name| format!("interface {}", interface::pattern(name)))
    }
}

impl World for Seen<'_, '_> {
    fn socket(&self, _: Direction, netns: Option<NetnsId>, _: &Header) -> SocketAnswer {
        let ids = &self.case.joint.side(self.which).ids.namespaces;
        self.case.values.socket(netns.map(|own| ids[own]))
    }

    fn present(&self, socket: SocketId, _: Family, _: IpProtocol) -> bool {
        let joint = self.case.joint;
        let shared = joint.side(self.which).ids.sockets[socket];
        self.case.values.is_there(joint.sockets.presence[shared])
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        let shared = self.case.joint.side(self.which).ids.sets[set];
        let case = self.case;
        case.values.is_member(&case.header, shared, address)
    }

    fn entry(&self, map: LiveMapId, _: &Header) -> Option<SocketId> {
        let joint = self.case.joint;
        let shared = joint.side(self.which).ids.live_maps[map];
        joint.own_socket(self.which, self.case.values.entry(shared)?)
    }

    fn conforms(&self, rule: RuleId, _: &Header) -> bool {
        self.case.values.conforms(match self.which {
            Which::Old => rule,
            Which::New => self.case.meters[rule],
        })
    }
}
