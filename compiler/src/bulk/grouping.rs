//! Which rules are bulk, and the policy in which they stand as groups.

use std::collections::HashMap;
use std::fmt::Write;

use cranelift_entity::{PrimaryMap, SecondaryMap};

use super::conditions::told_apart;
use super::questions::most_asked;
use super::rated::in_levels;
use super::{Breadth, Bulk, Conditions, Group, Taking, is_terminal};
use crate::chain::Chain;
use crate::classifier::{is_answerable, is_in_pieces, is_plain, question};
use crate::field::{Field, FieldKind};
use crate::hook::{Ability, Hook};
use crate::place::{changes_on_the_way, fields, has_lookup};
use crate::policy::{
    Action, ClassId, Condition, Direction, GroupId, Match, Policy, RateUnit, Rule, RuleId, Side,
};

/// Directions whose hooks can ask for the first match.
fn directions() -> impl Iterator<Item = Direction> {
    Direction::ALL.into_iter().filter(|one| asks(*one))
}

fn asks(direction: Direction) -> bool {
    Hook::without(direction, FieldKind::FirstMatch).is_empty()
}

/// What rules of one group have in common.
type Kind<'p> = (
    Direction,
    Action,
    Option<Hook>,
    Option<&'p [ClassId]>,
    Option<GroupId>,
);

/// The reduced policy; `None` if it would be the policy as it is.
pub(super) fn reduced(policy: &Policy, least: usize, taking: &Taking) -> Option<Bulk> {
    let found = taken(policy, least, taking);
    let taken = &found.taken;
    if taken.values().all(|&bulk| !bulk) {
        return None;
    }
    let mut grouping = Grouping::default();
    for (id, rule) in &policy.rules {
        if taken[id] {
            grouping.take(id, rule);
        } else {
            grouping.keep(id, rule);
        }
    }
    // More groups than the field has values for could not be told apart.
    let last = grouping.groups.iter().map(|group| group.number).max()?;
    (last < Field::FirstMatch.max()).then(|| grouping.finish(policy, found))
}

/// How many rules of a direction could be bulk.
#[must_use]
pub(crate) fn plain(policy: &Policy, direction: Direction) -> usize {
    let looked_up = has_lookup(policy) && direction == Direction::In;
    let rules = policy.rules_of(direction);
    let asked = (Breadth::Every, Conditions::All);
    let plain = rules.filter(|(id, rule)| is_bulk(*id, rule, asked, looked_up));
    if asks(direction) { plain.count() } else { 0 }
}

/// The bulk rules, and those that are none because of their conditions alone.
struct Taken {
    taken: SecondaryMap<RuleId, bool>,
    unclassed: Vec<RuleId>,
    unasked: Vec<RuleId>,
    unmetered: Vec<RuleId>,
    levels: SecondaryMap<RuleId, u8>,
}

fn taken(policy: &Policy, least: usize, taking: &Taking) -> Taken {
    let lookup = has_lookup(policy);
    let mut taken = SecondaryMap::with_default(false);
    let (mut unclassed, mut unasked, mut unmetered) = (Vec::new(), Vec::new(), Vec::new());
    let mut levels = SecondaryMap::new();
    for direction in directions() {
        let asked = (taking.of(direction), taking.conditions);
        let looked_up = lookup && direction == Direction::In;
        let bulk: Vec<RuleId> = policy
            .rules_of(direction)
            .filter(|(id, rule)| is_bulk(*id, rule, asked, looked_up))
            .filter(|(id, _)| !taking.single[*id])
            .map(|(id, _)| id)
            .collect();
        let bulk = of_usual_protocols(policy, bulk);
        let (bulk, left) = most_asked(policy, bulk);
        unasked.extend(left);
        let (bulk, others) = told_apart(policy, bulk);
        unclassed.extend(others);
        let (bulk, others) = in_levels(policy, direction, bulk, &mut levels);
        unmetered.extend(others);
        unmetered.extend(twice_asked(policy, direction, taking, looked_up));
        if bulk.len() >= least {
            bulk.into_iter().for_each(|id| taken[id] = true);
        }
    }
    Taken {
        taken,
        unclassed,
        unasked,
        unmetered,
        levels,
    }
}

/// The rules with rates of packets that arrive which are none because two hooks would ask for them.
fn twice_asked<'p>(
    policy: &'p Policy,
    direction: Direction,
    taking: &'p Taking,
    looked_up: bool,
) -> impl Iterator<Item = RuleId> + 'p {
    let is_twice = taking.conditions == Conditions::Lasting && direction == Direction::In;
    let asked = taking.of(direction);
    let is_bulk_by = move |id, rule: &Rule, by| is_bulk(id, rule, (asked, by), looked_up);
    policy
        .rules_of(direction)
        .filter(move |(id, rule)| {
            is_twice
                && rule.rate.is_some()
                && is_bulk_by(*id, rule, Conditions::All)
                && !is_bulk_by(*id, rule, Conditions::Lasting)
        })
        .map(|(id, _)| id)
}

/// Protocols that a classifier tells apart, of at most [`crate::classifier::MAX_CLASSES`] classes: some have two, one of
/// them for later fragments, and one is that of all the others.
const MAX_PROTOCOLS: usize = 56;

/// The rules that name none but the most frequent protocols; one for each of 256 protocols is better off in the tree.
fn of_usual_protocols(policy: &Policy, bulk: Vec<RuleId>) -> Vec<RuleId> {
    let numbers = |id: &RuleId| {
        let protocols = &policy.rules[*id].matches.protocols;
        protocols.iter().map(|one| one.number)
    };
    let mut often = [0usize; 256];
    for number in bulk.iter().flat_map(numbers) {
        often[usize::from(number.0)] += 1;
    }
    let mut usual: Vec<u8> = (0..=u8::MAX).collect();
    usual.sort_by_key(|&number| std::cmp::Reverse(often[usize::from(number)]));
    usual.truncate(MAX_PROTOCOLS);
    bulk.into_iter()
        .filter(|id| numbers(id).all(|number| usual.contains(&number.0)))
        .collect()
}

/// What keeps a rule out of all tables, whatever the others are; in words that follow how many there are. A shortcut stands by
/// itself: whom it is about is asked from the other end too ([`crate::chain::concern`]).
pub(crate) fn obstacle(rule: &Rule) -> Option<&'static str> {
    let matches = || {
        let there = !is_answerable(&rule.matches) && !is_in_pieces(&rule.matches);
        there.then_some("with conditions that no tables answer")
    };
    obstacle_beside_matches(rule).or_else(matches)
}

/// The same of everything but what it matches.
fn obstacle_beside_matches(rule: &Rule) -> Option<&'static str> {
    if !asks(rule.direction) {
        return Some("of a list that has none");
    }
    let obstacles = [
        (!rule.action.decides(), "with `count`"),
        (
            matches!(rule.action, Action::Shortcut(_)),
            "with `shortcut`",
        ),
        (rule.rate.is_some() && !may_be_metered(rule), "with a rate"),
        (rule.mark.is_some(), "with a mark"),
        (rule.log.is_some(), "with `log`"),
        (rule.in_lookup(), "for new flows alone"),
    ];
    let mut there = obstacles.into_iter().filter(|(there, _)| *there);
    there.next().map(|(_, why)| why)
}

/// Whether a rule decides by what it matches alone, and a classifier can tell that. A rule `at sk_lookup` does not: it
/// matches new flows only. Where there is a lookup, which is one program for all interfaces, no rule with `on` is bulk; nor is
/// one of what passes through, whose program is for the interfaces by which it leaves.
fn is_bulk(
    id: RuleId,
    rule: &Rule,
    (breadth, conditions): (Breadth, Conditions),
    looked_up: bool,
) -> bool {
    let free = rule.at.is_none() && !matches!(rule.action, Action::Redirect(_));
    breadth != Breadth::Nothing
        && obstacle_beside_matches(rule).is_none()
        && is_answerable(&rule.matches)
        && (breadth == Breadth::Every || free)
        && !(looked_up && rule.matches.on.is_some())
        && !(rule.direction.passes() && rule.matches.on.is_some())
        && (asks_header_alone(rule) || may_ask(id, rule, conditions, looked_up))
}

/// Whether code that asks for the first match can take the tokens of a rule's rate.
fn may_be_metered(rule: &Rule) -> bool {
    let begins = rule
        .rate
        .is_some_and(|rate| rate.unit == RateUnit::Connections);
    // Which datagrams begin a flow the walk asks of sockets, and what passes through has none.
    let of_sockets = begins && rule.direction.passes();
    !rule.direction.of_processes() && !of_sockets && question(&rule.matches).is_none()
}

/// Whether a rule asks for nothing but addresses, ports and protocols.
fn asks_header_alone(rule: &Rule) -> bool {
    rule.rate.is_none() && is_plain(&rule.matches)
}

/// Whether all who ask for the first match find the same one with a rule that is not plain.
fn may_ask(id: RuleId, rule: &Rule, conditions: Conditions, looked_up: bool) -> bool {
    let asked = fields(id, rule).into_iter();
    let mut asked = asked.filter(|field| !matches!(field, Field::Interface | Field::Leaving));
    // Whom a list is about is asked when a connection is made, and then again: the same one has to be found.
    let lasts = question(&rule.matches).is_none() || !Hook::leave_alone(rule.direction);
    conditions != Conditions::Nothing
        && lasts
        && asked.all(|field| {
            let moved = rule.direction == Direction::In && changes_on_the_way(field);
            !(moved && conditions == Conditions::Lasting)
                && Hook::of(rule.direction).all(|hook| {
                    // Whoever asks for a socket does not ask rules that take packets away.
                    let out = hook.is_lookup() && (!looked_up || is_terminal(rule.action));
                    out || hook.reads(field) == Ability::Yes
                        || hook.spec().sees.absent.contains(&field.kind())
                })
        })
}

impl Bulk {
    /// Whether two hooks that a packet meets one after the other both ask for the first match, and may find different ones,
    /// since a rule asks for what changes from one to the next.
    #[must_use]
    pub(crate) fn is_unsettled(&self, whole: &Policy, chains: &[Chain]) -> bool {
        let changes = |id: &RuleId| {
            let rule = &whole.rules[*id];
            let mut asked = fields(*id, rule).into_iter();
            rule.direction == Direction::In && asked.any(changes_on_the_way)
        };
        let mut members = self.groups.iter().flat_map(|group| &group.members);
        if !members.any(changes) {
            return false;
        }
        let asks = |chain: &&Chain| {
            let mut rules = chain
                .entries
                .iter()
                .map(|entry| &self.policy.rules[entry.rule]);
            chain.hook.is_packet()
                && chain.hook.direction() == Direction::In
                && rules.any(|rule| rule.first_match().is_some())
        };
        let mut classes = whole.classes.keys();
        classes.any(|class| {
            let of_class = chains.iter().filter(|chain| chain.class == Some(class));
            of_class.filter(asks).count() > 1
        })
    }

    /// Whether a rule that is not plain is in a group.
    #[must_use]
    pub(crate) fn asks_more(&self, whole: &Policy) -> bool {
        let mut members = self.groups.iter().flat_map(|group| &group.members);
        members.any(|id| !asks_header_alone(&whole.rules[*id]))
    }
}

/// A reduced policy in the making.
#[derive(Default)]
struct Grouping<'p> {
    rules: PrimaryMap<RuleId, Rule>,
    origins: PrimaryMap<RuleId, RuleId>,
    /// For each rule that is kept, its id in the reduced policy.
    kept: SecondaryMap<RuleId, Option<RuleId>>,
    groups: Vec<Group>,
    /// The groups that the next bulk rule may join, by kind: places in `groups`.
    open: HashMap<Kind<'p>, usize>,
    /// How many groups each direction has.
    counts: HashMap<Direction, u32>,
}

impl<'p> Grouping<'p> {
    /// A rule that stays as it is ends the groups of its direction: what is after it is decided later.
    fn keep(&mut self, id: RuleId, rule: &Rule) {
        self.open
            .retain(|(direction, ..), _| *direction != rule.direction);
        let head = rule.head.and_then(|head| match head == id {
            true => Some(self.rules.next_key()),
            false => self.kept[head],
        });
        let reduced = self.rules.push(Rule {
            head,
            ..rule.clone()
        });
        self.origins.push(id);
        self.kept[id] = Some(reduced);
    }

    fn take(&mut self, id: RuleId, rule: &'p Rule) {
        let kind = (
            rule.direction,
            rule.action,
            rule.at,
            rule.matches.held_on(rule.direction),
            rule.matches.group(),
        );
        if let Some(&place) = self.open.get(&kind) {
            self.groups[place].members.push(id);
            return;
        }
        let number = self.counts.entry(rule.direction).or_default();
        *number += 1;
        let of_group = |side: &Option<Side>| side.clone().filter(|side| side.group().is_some());
        let matches = Match {
            from: of_group(&rule.matches.from),
            to: of_group(&rule.matches.to),
            conditions: vec![Condition::FirstMatch(*number)],
            on: rule.matches.on.clone(),
            leaves: rule.matches.leaves.clone(),
            ..Match::default()
        };
        let reduced = self.rules.push(Rule {
            at: rule.at,
            ..Rule::plain(rule.direction, rule.action, matches, rule.place.clone())
        });
        self.origins.push(id);
        self.open.insert(kind, self.groups.len());
        self.groups.push(Group {
            direction: rule.direction,
            number: *number,
            rule: reduced,
            members: vec![id],
        });
    }

    fn finish(mut self, policy: &Policy, found: Taken) -> Bulk {
        for group in &self.groups {
            let place = &mut self.rules[group.rule].place;
            place.location.text = title(group, &place.text).into();
        }
        Bulk {
            policy: with_rules(policy, self.rules),
            groups: self.groups,
            unclassed: found.unclassed,
            unasked: found.unasked,
            unmetered: found.unmetered,
            levels: found.levels,
            origins: self.origins,
        }
    }
}

/// What a group is called where a rule would show its text.
fn title(group: &Group, first: &str) -> String {
    let mut count = String::new();
    let digits = group.members.len().to_string();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            count.push(',');
        }
        count.push(digit);
    }
    let mut text = format!("first match {}: {count} rule", group.number);
    // Writing to a string cannot fail.
    let _ = match group.members.len() {
        1 => write!(text, ": {first}"),
        _ => write!(text, "s, first: {first}"),
    };
    text
}

/// The policy with other rules; whatever is asked of the whole policy alone is left out.
fn with_rules(policy: &Policy, rules: PrimaryMap<RuleId, Rule>) -> Policy {
    Policy {
        name: policy.name.clone(),
        rules,
        defaults: policy.defaults.clone(),
        arriving: policy.arriving,
        sockets: policy.sockets.clone(),
        groups: policy.groups.clone(),
        pairs: policy.pairs.clone(),
        splices: policy.splices.clone(),
        interfaces: policy.interfaces.clone(),
        zones: policy.zones.clone(),
        classes: policy.classes.clone(),
        sets: policy.sets.clone(),
        around: policy.around.clone(),
        live_maps: policy.live_maps.clone(),
        member_tables: policy.member_tables,
        out_interfaces: policy.out_interfaces.clone(),
        namespaces: policy.namespaces.clone(),
        named: Vec::new(),
        expects: Vec::new(),
        netns: Vec::new(),
    }
}
