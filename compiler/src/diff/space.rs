//! The diagrams of two joined policies: what rules match, what becomes of it, what there can be.
//!
//! Takes rules; gives nodes of one store. Constant sets are drawn as what they hold, so that no answer is about packets
//! that there are not. Not here: which rules are asked about, and in which order.

use std::collections::HashMap;

use cranelift_entity::PrimaryMap;

use super::joint::{Joint, Which};
use super::report::About;
use super::topic::Topic;
use crate::diagram::classify::{
    Scope, SideFields, match_diagram, may_hold, new_flow, new_fragment, rate_diagram, sides, within,
};
use crate::diagram::possible::{possible, through};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::Verdict;
use crate::field::Field;
use crate::policy::{
    Action, DefaultVerdict, Direction, Family, Feed, GroupId, Match, RuleId, SetId, SetKind,
    SocketId,
};
use crate::protocol::IpProtocol;

pub(super) type Built = Result<Node, BudgetExceeded>;

/// What becomes of something, with shared ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Disposition {
    pub(super) verdict: Verdict,
    pub(super) mark: Option<u32>,
}

/// Values with numbers, so that they can be terminals.
pub(super) struct Interned<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Copy + Eq + std::hash::Hash> Interned<T> {
    /// The number of a value.
    pub(super) fn number(&mut self, value: T) -> u32 {
        let next = self.values.len() as u32;
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        number
    }

    /// The value with a number.
    pub(super) fn value(&self, number: u32) -> Option<T> {
        self.values.get(number as usize).copied()
    }
}

/// The diagrams.
pub(super) struct Space<'j, 'p> {
    pub(super) joint: &'j Joint<'p>,
    pub(super) store: Store,
    pub(super) outcomes: Interned<Disposition>,
    meters: &'j PrimaryMap<RuleId, RuleId>,
    /// What constant sets hold, by set and side.
    contents: HashMap<(SetId, usize), Node>,
}

impl<'j, 'p> Space<'j, 'p> {
    /// An empty space that holds at most so many nodes.
    pub(super) fn new(
        joint: &'j Joint<'p>,
        meters: &'j PrimaryMap<RuleId, RuleId>,
        budget: usize,
    ) -> Self {
        Self {
            joint,
            store: Store::with(budget, &fields(joint, meters)),
            outcomes: Interned::default(),
            meters,
            contents: HashMap::new(),
        }
    }

    /// Forgets every node but these roots, which are changed to what became of them.
    pub(super) fn keep_only<'n>(&mut self, roots: impl IntoIterator<Item = &'n mut Node>) {
        let roots: Vec<&mut Node> = roots.into_iter().collect();
        let all = roots.iter().map(|root| **root);
        let kept = self
            .store
            .keep_only(all.chain(self.contents.values().copied()));
        for root in roots {
            *root = kept.now(*root);
        }
        for root in self.contents.values_mut() {
            *root = kept.now(*root);
        }
    }

    /// The number by which the rate of a rule is known.
    fn meter(&self, which: Which, id: RuleId) -> RuleId {
        match which {
            Which::Old => id,
            Which::New => self.meters[id],
        }
    }

    /// The line of a rule whose rate is known by this number.
    pub(super) fn line_of_meter(&self, meter: RuleId) -> u32 {
        let new = self.joint.side(Which::New).policy;
        let named = self.meters.iter().find(|(_, known)| **known == meter);
        let place = match named {
            Some((id, _)) => &new.rules[id].place,
            None => &self.joint.side(Which::Old).rule(meter).place,
        };
        place.line
    }

    /// 1 for what a topic is about.
    pub(super) fn base(&mut self, topic: Topic) -> Built {
        self.base_saying(topic, |_| true)
    }

    /// The same, in which only of some sockets it is said that they are absent for what they may not hold.
    pub(super) fn base_saying(&mut self, topic: Topic, of: impl Fn(SocketId) -> bool) -> Built {
        let direction = topic.direction();
        let mut node = possible(&mut self.store, &self.joint.tables, direction)?;
        let presence = self.presence(of)?;
        node = self.store.and(node, presence)?;
        if direction.passes() {
            let through = through(&mut self.store, self.joint.alone())?;
            node = self.store.and(node, through)?;
        }
        match topic.about {
            About::Lookup => {
                let looked_up = self.lookups()?;
                node = self.store.and(node, looked_up)?;
            }
            About::Process(_) => {}
            About::In
            | About::Out
            | About::Passing
            | About::MalformedIn
            | About::MalformedOut
            | About::MalformedPassing => {
                let covered = self.covered(direction)?;
                node = self.store.and(node, covered)?;
            }
        }
        Ok(node)
    }

    /// 1 for packets of interfaces that one of the policies is on: of others no packet hook sees any. What passes through is seen
    /// where it leaves.
    fn covered(&mut self, direction: Direction) -> Built {
        let held = match direction.passes() {
            true => Field::Leaving,
            false => Field::Interface,
        };
        let covered: Vec<(u32, u32)> = self
            .joint
            .interfaces
            .keys()
            .filter(|class| self.joint.covers(*class))
            .map(|class| (class.as_u32(), class.as_u32()))
            .collect();
        if covered.len() == self.joint.interfaces.len() {
            return Ok(Node::TRUE);
        }
        self.store.ranges(held, &covered, Node::TRUE, Node::FALSE)
    }

    /// 1 where these named sockets are absent for what they may not hold, and those of one name are there together for what
    /// both may hold.
    fn presence(&mut self, of: impl Fn(SocketId) -> bool) -> Built {
        let mut node = Node::TRUE;
        for (socket, &first) in &self.joint.sockets.presence {
            if socket == first && of(socket) {
                let may = may_hold(&mut self.store, &self.joint.tables.sockets[socket])?;
                let absent = self.is(Field::Absent(socket), 1)?;
                let either = self.store.or(may, absent)?;
                node = self.store.and(node, either)?;
            }
        }
        for (one, other) in self.joint.sockets.unlike() {
            let alike = self.there_alike(one, other)?;
            node = self.store.and(node, alike)?;
        }
        Ok(node)
    }

    /// 1 where two sockets of one name are both there or both absent, for what both may hold.
    fn there_alike(&mut self, one: SocketId, other: SocketId) -> Built {
        let tables = &self.joint.tables;
        let one_may = may_hold(&mut self.store, &tables.sockets[one])?;
        let other_may = may_hold(&mut self.store, &tables.sockets[other])?;
        let both_may = self.store.and(one_may, other_may)?;
        let [one, other] = [one, other].map(Field::Absent);
        let (absent, present) = (self.is(other, 1)?, self.is(other, 0)?);
        let one = self.is(one, 1)?;
        let alike = self.store.ite(one, absent, present)?;
        self.store.ite(both_may, alike, Node::TRUE)
    }

    /// 1 for packets that a lookup is made for, as it sees them: whole, and of no connected socket.
    fn lookups(&mut self) -> Built {
        let whole = self.is(Field::Fragment, 0)?;
        let free = self.is(Field::Socket, 0)?;
        let node = self.store.and(whole, free)?;
        let looked_up = self.store.ranges(
            Field::Protocol,
            &[(6, 6), (17, 17)],
            Node::TRUE,
            Node::FALSE,
        )?;
        self.store.and(node, looked_up)
    }

    /// 1 where a field has this value.
    pub(super) fn is(&mut self, field: Field, value: u32) -> Built {
        self.store
            .range(field, value, value, Node::TRUE, Node::FALSE)
    }

    /// 1 for what a rule matches.
    pub(super) fn matched(&mut self, topic: Topic, which: Which, id: RuleId) -> Built {
        let joint = self.joint;
        let side = joint.side(which);
        let rule = side.rule(id);
        let group = topic.shared_group(joint, which);
        let mut node = self.of_match(group, &side.matches[id])?;
        if let Some(rate) = &rule.rate {
            let meter = self.meter(which, id);
            let rate = rate_diagram(&mut self.store, meter, (rule.direction, rate))?;
            node = self.store.and(node, rate)?;
        }
        if rule.in_lookup() {
            let new = new_flow(&mut self.store)?;
            node = self.store.and(node, new)?;
        }
        Ok(node)
    }

    /// 1 for what a match with shared ids speaks of, of what a group does if it is about that.
    pub(super) fn of_match(&mut self, group: Option<GroupId>, matches: &Match) -> Built {
        let scope = Scope { group };
        let node = match_diagram(&mut self.store, matches, scope)?;
        self.with_contents(node)
    }

    /// The diagram with the questions about constant sets answered.
    fn with_contents(&mut self, node: Node) -> Built {
        let joint = self.joint;
        let mut node = node;
        for (set, data) in &joint.tables.sets {
            if !matches!(data.kind, SetKind::Constant(_)) {
                continue;
            }
            for (number, field) in [Field::FromIn(set), Field::ToIn(set)]
                .into_iter()
                .enumerate()
            {
                if self.store.fields(node).contains(field) {
                    let inside = self.contents(set, number)?;
                    let yes = self.store.restrict(node, field, 1)?;
                    let no = self.store.restrict(node, field, 0)?;
                    node = self.store.ite(inside, yes, no)?;
                }
            }
        }
        Ok(node)
    }

    /// 1 where the address of a side (0 for the sender's) is in a constant set.
    fn contents(&mut self, set: SetId, side: usize) -> Built {
        if let Some(&known) = self.contents.get(&(set, side)) {
            return Ok(known);
        }
        let joint = self.joint;
        let SetKind::Constant(addresses) = &joint.tables.sets[set].kind else {
            return Ok(Node::FALSE);
        };
        let fields: [SideFields; 2] = sides();
        let node = within(&mut self.store, addresses, &fields[side])?;
        self.contents.insert((set, side), node);
        Ok(node)
    }

    /// What becomes of what a rule matches, as numbers of outcomes.
    pub(super) fn outcome(&mut self, topic: Topic, which: Which, id: RuleId) -> Built {
        let joint = self.joint;
        let side = joint.side(which);
        let mark = match topic.about {
            About::Lookup => None,
            _ => side.rule(id).mark,
        };
        let verdict = match side.actions[id] {
            Action::Allow | Action::Count => Verdict::Allow,
            Action::Drop => Verdict::Drop,
            Action::Reject => Verdict::Reject,
            Action::Forward(port) => Verdict::Forward(port),
            Action::Shortcut(near) => Verdict::Shortcut(near.to),
            Action::Feed(feed) => return self.fed(feed, mark),
            Action::Redirect(socket) => return self.redirected(topic, socket, mark),
            Action::Intercept(socket) => return self.intercepted(topic, socket, mark),
        };
        self.terminal(verdict, mark)
    }

    fn terminal(&mut self, verdict: Verdict, mark: Option<u32>) -> Built {
        let ends = matches!(verdict, Verdict::Drop | Verdict::Reject);
        let mark = mark.filter(|_| !ends);
        let number = self.outcomes.number(Disposition { verdict, mark });
        self.store.terminal(number)
    }

    /// New flows get the socket, or what an absent one gives; others go on.
    fn redirected(&mut self, topic: Topic, socket: SocketId, mark: Option<u32>) -> Built {
        let absent = match topic.about {
            About::Lookup => Verdict::Reject,
            _ => Verdict::of_absent(&self.joint.tables.sockets[socket]),
        };
        let moved = self.moved(socket, mark)?;
        let absent = self.terminal(absent, mark)?;
        let there = self.held(socket)?;
        let new = self.store.ite(there, moved, absent)?;
        let is_new = new_flow(&mut self.store)?;
        let stays = self.terminal(Verdict::Allow, mark)?;
        self.store.ite(is_new, new, stays)
    }

    /// Each kind of flow gets whoever receives that kind.
    fn moved(&mut self, socket: SocketId, mark: Option<u32>) -> Built {
        let mut families = [Node::FALSE; 2];
        for (node, family) in families.iter_mut().zip([Family::V4, Family::V6]) {
            let mut to = |protocol| {
                let receiver = self.joint.sockets.receiver(socket, (family, protocol));
                self.terminal(Verdict::Redirect(receiver), mark)
            };
            let (tcp, udp) = (to(IpProtocol::TCP)?, to(IpProtocol::UDP)?);
            let is_tcp = self.is(Field::Protocol, IpProtocol::TCP.into())?;
            *node = self.store.ite(is_tcp, tcp, udp)?;
        }
        let is_v4 = self.is(Field::Family, 0)?;
        self.store.ite(is_v4, families[0], families[1])
    }

    /// The same at TC, where new flows that come in parts are dropped.
    fn intercepted(&mut self, topic: Topic, socket: SocketId, mark: Option<u32>) -> Built {
        let whole = self.redirected(topic, socket, mark)?;
        let dropped = self.terminal(Verdict::Drop, mark)?;
        let parts = new_fragment(&mut self.store)?;
        self.store.ite(parts, dropped, whole)
    }

    /// Writes go into the queue, or get what an absent socket gives.
    fn fed(&mut self, feed: Feed, mark: Option<u32>) -> Built {
        let absent = Verdict::of_absent(&self.joint.tables.sockets[feed.socket]);
        let moved = self.terminal(Verdict::Feed(self.joint.sockets.feed(feed)), mark)?;
        let absent = self.terminal(absent, mark)?;
        let there = self.held(feed.socket)?;
        self.store.ite(there, moved, absent)
    }

    /// 1 where the named socket is there for the packet.
    fn held(&mut self, socket: SocketId) -> Built {
        let first = self.joint.sockets.presence[socket];
        let present = self.is(Field::Absent(first), 0)?;
        let may = may_hold(&mut self.store, &self.joint.tables.sockets[socket])?;
        self.store.and(may, present)
    }

    /// The number of what becomes of what no rule decides.
    pub(super) fn default(&mut self, topic: Topic, which: Which) -> u32 {
        let verdict = match topic.default(self.joint, which) {
            DefaultVerdict::Allow => Verdict::Allow,
            DefaultVerdict::Drop => Verdict::Drop,
            DefaultVerdict::Reject => Verdict::Reject,
        };
        let mark = None;
        self.outcomes.number(Disposition { verdict, mark })
    }

    /// Those of the packets that are not others.
    pub(super) fn without(&mut self, node: Node, others: Node) -> Built {
        self.store.minus(node, others)
    }

    /// 1 where two diagrams differ.
    pub(super) fn differs(&mut self, one: Node, other: Node) -> Built {
        if one == other {
            return Ok(Node::FALSE);
        }
        let differ = &mut |one, other| u32::from(one != other);
        self.store.apply2(one, other, differ)
    }
}

/// The variables: those of the shared tables, and the rates of both policies.
fn fields(joint: &Joint<'_>, meters: &PrimaryMap<RuleId, RuleId>) -> Vec<Field> {
    let mut fields = Field::of(&joint.tables);
    fields.extend(metered(joint, meters).into_iter().map(Field::Conforms));
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// The numbers by which the rates of both policies are known.
pub(super) fn metered(joint: &Joint<'_>, meters: &PrimaryMap<RuleId, RuleId>) -> Vec<RuleId> {
    let mut all = Vec::new();
    for which in Which::BOTH {
        let rated = joint.side(which).judge.rated.iter().copied();
        all.extend(rated.map(|id| match which {
            Which::Old => id,
            Which::New => meters[id],
        }));
    }
    all.sort_unstable();
    all.dedup();
    all
}
