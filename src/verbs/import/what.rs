//! What a rule is about: a conjunction that can be met with another one exactly.
//!
//! Addresses, ports and protocols are sets of numbers, so that a negation is a set as any other, and two of them have one result.
//! Not here: how iptables or a policy writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::{Bound, RangeSet};

use super::interfaces::End;

mod held;

/// What packets of one family have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct What {
    /// The family.
    pub(super) family: Family,
    /// The protocols.
    pub(super) protocols: RangeSet<u8>,
    /// The sender.
    pub(super) from: Side,
    /// The receiver.
    pub(super) to: Side,
    /// The types of ICMP of the family, each with its code where one is meant: any of these.
    pub(super) icmp: Option<BTreeSet<Type>>,
    /// The interface by which it came in.
    pub(super) on: Option<Pattern>,
    /// The interface by which it leaves.
    pub(super) leaves: Option<Pattern>,
    /// The zone of the policy by whose interfaces it came in.
    pub(super) on_zone: Option<Zone>,
    /// The zone by whose interfaces it leaves.
    pub(super) to_zone: Option<Zone>,
    /// Interfaces by which it did not come in.
    pub(super) not_on: Vec<Pattern>,
    /// Interfaces by which it does not leave.
    pub(super) not_leaves: Vec<Pattern>,
    /// What else is asked.
    pub(super) conditions: Vec<Asked>,
    /// The rate.
    pub(super) rate: Option<Rate>,
}

/// A type of ICMP, and a code of it.
pub(super) type Type = (u8, Option<u8>);

/// One side of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    /// The addresses, as numbers of the family.
    pub(super) addresses: RangeSet<u128>,
    /// The ports; `None` also holds for packets without any.
    pub(super) ports: Option<RangeSet<u16>>,
    /// The set that has these addresses, if one has.
    pub(super) set: Option<Named>,
    /// A live set that has the address, or has not. Which addresses it has is known in force only.
    pub(super) live: Option<Live>,
}

/// A live set of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    /// Its name.
    pub(super) name: String,
    /// Whether all addresses are meant but those of the set.
    pub(super) negated: bool,
    /// What stands behind its name where it is declared.
    pub(super) declared: Rc<str>,
}

/// Which side of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    From,
    To,
}

impl Of {
    /// As the language says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
        }
    }
}

/// The name for the addresses of this machine, which no set can have.
pub(super) const OWN: &str = "self";

/// A set of the policy, or [`OWN`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its name.
    pub(super) name: String,
    /// Whether all addresses are meant but those of the set.
    pub(super) negated: bool,
    /// What is remarked of addresses of the set.
    pub(super) remarks: Rc<Remarks>,
}

/// What is remarked of addresses, from one to another.
pub(super) type Remarks = BTreeMap<(u128, u128), String>;

impl Named {
    /// A set of which nothing is remarked.
    pub(super) fn new(name: String, negated: bool) -> Self {
        Self {
            name,
            negated,
            remarks: Rc::default(),
        }
    }
}

/// A condition of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// As a rule says it.
    pub(super) text: String,
    /// What a packet says that has it, or nothing where a plain packet has it; `None` where no example is made.
    pub(super) with: Option<String>,
}

impl Asked {
    /// What has this condition and is told by it, or what has it not: no plain packet has it.
    pub(super) fn unless(negated: bool, text: String, with: Option<String>) -> Self {
        match negated {
            false => Self { text, with },
            true => Self {
                text: format!("no {text}"),
                with: None,
            },
        }
    }
}

/// A condition that any of some has to hold.
pub(super) fn any_of(mut texts: Vec<String>) -> String {
    match texts.len() {
        1 => texts.remove(0),
        _ => format!("any of {{ {} }}", texts.join(", ")),
    }
}

/// A rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Whether the excess is meant, and not what fits.
    pub(super) above: bool,
    /// How much, `per` what, and the burst, as a rule says it.
    pub(super) text: String,
    /// The name of the table that has its buckets, which other rules may name too.
    pub(super) bucket: Option<String>,
}

/// Names of interfaces: one, or all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// This one.
    One(String),
    /// Those that begin so.
    Begins(String),
}

impl Pattern {
    /// The name, or how names begin.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::One(name) | Self::Begins(name) => name,
        }
    }

    /// Whether all names of another one are in it.
    pub(super) fn has(&self, other: &Self) -> bool {
        self.both(other).as_ref() == Some(other)
    }

    /// The names that are in both, if any is.
    fn both(&self, other: &Self) -> Option<Self> {
        let (longer, shorter) = match (self, other) {
            (Self::One(_), Self::Begins(_)) => (self, other),
            (Self::Begins(_), Self::One(_)) => (other, self),
            (Self::Begins(one), Self::Begins(begins)) if one.len() < begins.len() => (other, self),
            _ => (self, other),
        };
        let is_in = match (longer, shorter) {
            (Self::One(name), Self::One(other)) => name == other,
            (Self::One(name) | Self::Begins(name), Self::Begins(begins)) => {
                name.starts_with(begins.as_str())
            }
            (Self::Begins(_), Self::One(_)) => false,
        };
        is_in.then(|| longer.clone())
    }
}

/// Interfaces that the policy has a name for. No interface is in two zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// Its name in the policy.
    pub(super) name: String,
    /// Its interfaces.
    pub(super) members: Vec<Pattern>,
}

/// The largest address of a family, as a number.
pub(super) fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}

/// How many bits an address of a family has.
pub(super) fn bits(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// The first and the last address with so many bits in common with this one; nothing where an address has fewer.
pub(super) fn block(address: u128, length: u32, family: Family) -> Option<(u128, u128)> {
    let free = bits(family).checked_sub(length)?;
    let hosts = match free {
        128 => u128::MAX,
        free => (1 << free) - 1,
    };
    Some((address & !hosts, address | hosts))
}

/// Every address of a family.
pub(super) fn every(family: Family) -> RangeSet<u128> {
    RangeSet::from_ranges([(0, last(family))])
}

/// The values in both.
pub(super) fn both<T: Bound>(one: &RangeSet<T>, other: &RangeSet<T>) -> RangeSet<T> {
    one.minus(&RangeSet::full().minus(other))
}

impl Side {
    fn any(family: Family) -> Self {
        Self {
            addresses: every(family),
            ports: None,
            set: None,
            live: None,
        }
    }

    /// Why no rule can say it: a side of a rule is a live set or addresses, and has ports of the addresses that it names.
    fn unsaid(&self, family: Family) -> Option<String> {
        let live = self.live.as_ref()?;
        let name = &live.name;
        if self.addresses != every(family) {
            return Some(format!(
                "the live set {name} and addresses of the same side are meant; a rule names one of them"
            ));
        }
        (live.negated && self.ports.is_some()).then(|| {
            format!(
                "ports of all addresses but those of the live set {name} are meant; a rule names ports of addresses that it has"
            )
        })
    }

    fn and(&self, other: &Self) -> Self {
        let addresses = both(&self.addresses, &other.addresses);
        let has = |side: &&Self| side.addresses == addresses;
        let mut sides = [self, other].into_iter().filter(has);
        Self {
            set: sides.find_map(|side| side.set.clone()),
            addresses,
            ports: either(&self.ports, &other.ports, both),
            live: self.live.clone().or_else(|| other.live.clone()),
        }
    }

    /// Whether an address may have what both ask of live sets; or why no rule can say it.
    fn lives(&self, other: &Self) -> Result<bool, String> {
        match (&self.live, &other.live) {
            (Some(one), Some(other)) if one.name == other.name => Ok(one.negated == other.negated),
            (Some(one), Some(other)) => Err(format!(
                "the live sets {} and {} are meant together; a side of a rule names one",
                one.name, other.name
            )),
            _ => Ok(true),
        }
    }

    fn is_empty(&self) -> bool {
        self.addresses.is_empty() || self.ports.as_ref().is_some_and(RangeSet::is_empty)
    }
}

/// What two say together, of which each may say nothing.
fn either<T: Clone>(one: &Option<T>, other: &Option<T>, both: impl Fn(&T, &T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.clone().or_else(|| other.clone()),
    }
}

/// What is said where both have a rate: each would have a bucket of its own, which one rule has not.
const TWO_RATES: &str = "it has two rates, and a rule has one";

impl What {
    /// Every packet of a family.
    pub(super) fn any(family: Family) -> Self {
        Self {
            family,
            protocols: RangeSet::full(),
            from: Side::any(family),
            to: Side::any(family),
            icmp: None,
            on: None,
            leaves: None,
            on_zone: None,
            to_zone: None,
            not_on: Vec::new(),
            not_leaves: Vec::new(),
            conditions: Vec::new(),
            rate: None,
        }
    }

    /// Every packet of a protocol.
    pub(super) fn protocol(family: Family, number: u8) -> Self {
        Self {
            protocols: RangeSet::from_ranges([(number, number)]),
            ..Self::any(family)
        }
    }

    /// Every packet of which this is asked.
    pub(super) fn asked(family: Family, asked: Asked) -> Self {
        Self {
            conditions: vec![asked],
            ..Self::any(family)
        }
    }

    /// Packets with one of these addresses at a side, or with none of them. A set of the policy may have these.
    pub(super) fn addressed(
        held: RangeSet<u128>,
        negated: bool,
        name: Option<Named>,
        (of, family): (Of, Family),
    ) -> Self {
        let mut what = Self::any(family);
        let side = what.side_mut(of);
        side.addresses = match negated {
            true => every(family).minus(&held),
            false => held,
        };
        side.set = name;
        what
    }

    /// A side of it.
    pub(super) fn side(&self, of: Of) -> &Side {
        match of {
            Of::From => &self.from,
            Of::To => &self.to,
        }
    }

    /// The same, to be changed.
    pub(super) fn side_mut(&mut self, of: Of) -> &mut Side {
        match of {
            Of::From => &mut self.from,
            Of::To => &mut self.to,
        }
    }

    /// Whether another one differs in nothing but the addresses of a side.
    pub(super) fn is_but_for(&self, other: &Self, of: Of) -> bool {
        let mut same = other.clone();
        same.side_mut(of).addresses = self.side(of).addresses.clone();
        same == *self
    }

    /// The same without what it asks of live sets.
    pub(super) fn without_live(&self) -> Self {
        let mut what = self.clone();
        what.from.live = None;
        what.to.live = None;
        what
    }

    /// ICMP of the family with this type.
    pub(super) fn icmp(family: Family, kind: u8, code: Option<u8>) -> Self {
        Self {
            icmp: Some(BTreeSet::from([(kind, code)])),
            ..Self::protocol(family, icmp(family))
        }
    }

    /// Both, where they differ in nothing but the types of ICMP that they are about.
    fn or_types(&self, other: &Self) -> Option<Self> {
        let (Some(one), Some(more)) = (&self.icmp, &other.icmp) else {
            return None;
        };
        let joined = Self {
            icmp: Some(one.union(more).copied().collect()),
            ..self.clone()
        };
        let is_same = *other
            == Self {
                icmp: other.icmp.clone(),
                ..self.clone()
            };
        is_same.then_some(joined)
    }

    /// Why no rule can say it: a rule names interfaces, and not all but some. It need not say that what came in by one does not leave by it,
    /// as such packets meet no list of what passes through.
    pub(super) fn unsaid(&self) -> Option<String> {
        let came_in = self.on.is_some() && self.on_zone.is_some();
        let ends = [&self.from, &self.to].into_iter();
        if let Some(why) = ends.filter_map(|end| end.unsaid(self.family)).next() {
            return Some(why);
        }
        if came_in || self.leaves.is_some() && self.to_zone.is_some() {
            return Some("a zone and an interface are meant; a rule names one of them".to_owned());
        }
        let mut others = self.unsaid_interfaces();
        let name = match others.next()?.1 {
            Pattern::One(name) => name.clone(),
            Pattern::Begins(begins) => format!("{begins}+"),
        };
        Some(format!(
            "all interfaces but {name} are meant; a rule names those that it is about"
        ))
    }

    /// The interfaces that are not meant, of those that have to be said, each with its end of a packet.
    pub(super) fn unsaid_interfaces(&self) -> impl Iterator<Item = (End, &Pattern)> {
        let says = |not: &Pattern, other: &Option<Pattern>| {
            matches!(not, Pattern::One(_)) && other.as_ref() == Some(not)
        };
        let not_on = self.not_on.iter();
        let not_on = not_on.filter(move |one| !says(one, &self.leaves));
        let not_leaves = self.not_leaves.iter();
        let not_leaves = not_leaves.filter(move |one| !says(one, &self.on));
        let came_in = not_on.map(|one| (End::CameIn, one));
        came_in.chain(not_leaves.map(|one| (End::Leaves, one)))
    }

    /// The same, by whatever interfaces it comes and leaves.
    pub(super) fn by_any(&self) -> Self {
        Self {
            not_on: Vec::new(),
            not_leaves: Vec::new(),
            ..self.clone()
        }
    }

    /// Every packet of a family that has this interface at an end.
    pub(super) fn by(family: Family, end: End, pattern: &Pattern) -> Self {
        let mut what = Self::any(family);
        match end {
            End::CameIn => what.on = Some(pattern.clone()),
            End::Leaves => what.leaves = Some(pattern.clone()),
        }
        what
    }

    /// What is both; nothing where no packet is; an error where one rule cannot say it.
    pub(super) fn and(&self, other: &Self) -> Result<Option<Self>, String> {
        let protocols = both(&self.protocols, &other.protocols);
        let (from, to) = (self.from.and(&other.from), self.to.and(&other.to));
        let Some(icmp) = types(&self.icmp, &other.icmp) else {
            return Ok(None);
        };
        let (Some(on), Some(leaves)) = (
            patterns(&self.on, &other.on),
            patterns(&self.leaves, &other.leaves),
        ) else {
            return Ok(None);
        };
        let (Some(on_zone), Some(to_zone)) = (
            zones(&self.on_zone, &other.on_zone),
            zones(&self.to_zone, &other.to_zone),
        ) else {
            return Ok(None);
        };
        if protocols.is_empty() || from.is_empty() || to.is_empty() {
            return Ok(None);
        }
        if self.rate.is_some() && other.rate.is_some() {
            return Err(TWO_RATES.to_owned());
        }
        if !self.from.lives(&other.from)? || !self.to.lives(&other.to)? {
            return Ok(None);
        }
        let (Some(not_on), Some(not_leaves)) = (
            others([&self.not_on, &other.not_on], &on),
            others([&self.not_leaves, &other.not_leaves], &leaves),
        ) else {
            return Ok(None);
        };
        let mut conditions = self.conditions.clone();
        let more = other.conditions.iter();
        conditions.extend(more.filter(|one| !self.conditions.contains(one)).cloned());
        if is_never(&conditions, &protocols) {
            return Ok(None);
        }
        Ok(Some(Self {
            family: self.family,
            protocols,
            from,
            to,
            icmp,
            on,
            leaves,
            on_zone,
            to_zone,
            not_on,
            not_leaves,
            conditions,
            rate: self.rate.clone().or_else(|| other.rate.clone()),
        }))
    }
}

/// Whether no packet has all of these: one that is denied next to it, or a socket of a protocol that has none.
fn is_never(conditions: &[Asked], protocols: &RangeSet<u8>) -> bool {
    let has_sockets = protocols.contains(6) || protocols.contains(17);
    conditions.iter().any(|one| {
        let not = format!("no {}", one.text);
        let asks_socket = one.text.starts_with("socket ");
        asks_socket && !has_sockets || conditions.iter().any(|other| other.text == not)
    })
}

/// The number of the family's ICMP.
pub(super) fn icmp(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 58,
    }
}

/// The types in both; `None` where there is none.
fn types(
    one: &Option<BTreeSet<Type>>,
    other: &Option<BTreeSet<Type>>,
) -> Option<Option<BTreeSet<Type>>> {
    let (Some(one), Some(other)) = (one, other) else {
        return Some(one.clone().or_else(|| other.clone()));
    };
    let pairs = one
        .iter()
        .flat_map(|one| other.iter().map(move |other| (one, other)));
    let met: BTreeSet<Type> = pairs
        .filter(|((kind, code), (other, other_code))| {
            let codes_meet = code.is_none() || other_code.is_none() || code == other_code;
            kind == other && codes_meet
        })
        .map(|((kind, code), (_, other_code))| (*kind, code.or(*other_code)))
        .collect();
    (!met.is_empty()).then_some(Some(met))
}

/// Cases that differ in the types of ICMP alone as one.
pub(super) fn with_types(cases: Vec<What>) -> Vec<What> {
    let mut joined: Vec<What> = Vec::new();
    for case in cases {
        let same = joined
            .iter_mut()
            .find_map(|one| Some((one.or_types(&case)?, one)));
        match same {
            Some((both, one)) => *one = both,
            None => joined.push(case),
        }
    }
    joined
}

/// The interfaces in both; `None` where there is none.
fn patterns(one: &Option<Pattern>, other: &Option<Pattern>) -> Option<Option<Pattern>> {
    match (one, other) {
        (Some(one), Some(other)) => one.both(other).map(Some),
        _ => Some(one.clone().or_else(|| other.clone())),
    }
}

/// The zone that both mean; `None` where they mean two, which share no interface.
fn zones(one: &Option<Zone>, other: &Option<Zone>) -> Option<Option<Zone>> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => None,
        _ => Some(one.clone().or_else(|| other.clone())),
    }
}

/// The interfaces that are not meant, of those at one end of a packet: without those that are none of this end anyway. `None` where nothing
/// is left.
fn others(not: [&Vec<Pattern>; 2], this: &Option<Pattern>) -> Option<Vec<Pattern>> {
    let mut left: Vec<Pattern> = Vec::new();
    for pattern in not.into_iter().flatten() {
        let met = this.as_ref().map(|this| this.both(pattern));
        if met.is_some() && met.as_ref() == Some(this) {
            return None;
        }
        let is_apart = matches!(met, Some(None));
        if !is_apart && !left.contains(pattern) {
            left.push(pattern.clone());
        }
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(low: u128, high: u128) -> What {
        let mut what = What::any(Family::V4);
        what.from.addresses = RangeSet::from_ranges([(low, high)]);
        what
    }

    #[test]
    fn two_negations_have_one_result() {
        let all = every(Family::V4);
        let without = |low, high| {
            let mut what = from(low, high);
            what.from.addresses = all.minus(&what.from.addresses);
            what
        };
        let met = without(0, 9).and(&without(20, 29)).unwrap().unwrap();
        let last = last(Family::V4);
        assert_eq!(met.from.addresses.ranges(), [(10, 19), (30, last)]);
        assert_eq!(from(0, 9).and(&from(10, 20)), Ok(None));
    }

    #[test]
    fn ports_types_interfaces_and_rates_meet() {
        let any = What::any(Family::V4);
        let mut ports = any.clone();
        ports.to.ports = Some(RangeSet::from_ranges([(22, 80)]));
        let met = any.and(&ports).unwrap().unwrap();
        assert_eq!(met, ports);
        let icmp = |kind, code| What::icmp(Family::V4, kind, code);
        assert_eq!(
            icmp(3, None).and(&icmp(3, Some(4))),
            Ok(Some(icmp(3, Some(4))))
        );
        assert_eq!(icmp(3, Some(1)).and(&icmp(3, Some(4))), Ok(None));
        assert_eq!(icmp(3, None).and(&icmp(8, None)), Ok(None));
        let some = with_types(vec![
            icmp(3, Some(1)),
            ports.clone(),
            icmp(8, None),
            icmp(3, Some(4)),
        ]);
        assert_eq!((some.len(), &some[1]), (2, &ports));
        let met = some[0].and(&icmp(3, None)).unwrap().unwrap();
        assert_eq!(met, icmp(3, Some(1)).or_types(&icmp(3, Some(4))).unwrap());
        assert_eq!(some[0].and(&icmp(0, None)), Ok(None));
        let on = |pattern| What {
            on: Some(pattern),
            ..What::any(Family::V4)
        };
        let one = |name: &str| on(Pattern::One(name.into()));
        let begins = |name: &str| on(Pattern::Begins(name.into()));
        assert_eq!(begins("eth").and(&one("eth0")), Ok(Some(one("eth0"))));
        assert_eq!(one("eth0").and(&begins("eth")), Ok(Some(one("eth0"))));
        assert_eq!(begins("e").and(&begins("eth")), Ok(Some(begins("eth"))));
        assert_eq!(begins("wl").and(&one("eth0")), Ok(None));
        assert_eq!(one("eth1").and(&one("eth0")), Ok(None));
        let but = |pattern: &str| What {
            not_leaves: vec![Pattern::One(pattern.into())],
            ..What::any(Family::V4)
        };
        let leaves = |name: &str| What {
            leaves: Some(Pattern::One(name.into())),
            ..What::any(Family::V4)
        };
        // What came in by an interface and leaves by it is none of these packets.
        let passed = one("eth0").and(&but("eth0")).unwrap().unwrap();
        assert_eq!(passed.unsaid(), None);
        assert_eq!(passed.and(&leaves("eth0")), Ok(None));
        assert!(
            one("eth1")
                .and(&but("eth0"))
                .unwrap()
                .unwrap()
                .unsaid()
                .is_some()
        );
        assert_eq!(leaves("eth0").and(&but("eth0")), Ok(None));
        assert_eq!(leaves("eth1").and(&but("eth0")), Ok(Some(leaves("eth1"))));
        let both = but("eth0").and(&but("eth1")).unwrap().unwrap();
        assert_eq!(both.not_leaves.len(), 2);
        assert_eq!(both.and(&but("eth1")), Ok(Some(both.clone())));
        let zone = |name: &str| What {
            on_zone: Some(Zone {
                name: name.into(),
                members: vec![Pattern::One("eth0".into())],
            }),
            ..What::any(Family::V4)
        };
        assert_eq!(zone("lan").and(&zone("lan")), Ok(Some(zone("lan"))));
        assert_eq!(zone("lan").and(&zone("wan")), Ok(None));
        let twice = zone("lan").and(&one("eth0")).unwrap().unwrap();
        assert!(twice.unsaid().unwrap().contains("names one of them"));
        let rated = What {
            rate: Some(Rate {
                above: false,
                text: "1 packets/second".into(),
                bucket: None,
            }),
            ..any
        };
        assert!(rated.and(&rated).is_err());
    }

    #[test]
    fn live_sets_are_met_as_far_as_a_side_can_say() {
        let live = |name: &str, negated| {
            let mut what = What::any(Family::V4);
            what.from.live = Some(Live {
                name: name.to_owned(),
                negated,
                declared: Rc::from("max 9"),
            });
            what
        };
        let (has, has_not) = (live("a", false), live("a", true));
        assert_eq!(has.and(&has), Ok(Some(has.clone())));
        assert_eq!(has.and(&has_not), Ok(None));
        assert!(has.and(&live("b", false)).is_err());
        assert_eq!(has.unsaid(), None);
        let mut both = has.clone();
        both.from.addresses = RangeSet::from_ranges([(1, 9)]);
        assert!(
            both.unsaid()
                .unwrap()
                .contains("addresses of the same side")
        );
        let mut ported = has_not;
        ported.from.ports = Some(RangeSet::full());
        assert!(
            ported
                .unsaid()
                .unwrap()
                .contains("ports of all addresses but")
        );
        ported.from.ports = None;
        assert_eq!(ported.unsaid(), None);
    }
}
