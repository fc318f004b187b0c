//! Rules next to each other that differ in the addresses of one side alone, as one rule with a set.
//!
//! Takes lists; gives them with such runs joined, and how many rules became how few. The rules of a run have one verdict, so their order among each
//! other means nothing. What somebody tells apart stays apart: rules with a line, a rate, a set or a command of their own. Remarks of rules stand at the elements of the set. Not here:
//! how a set is written.

use std::collections::BTreeMap;
use std::rc::Rc;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::alike::FEWEST;
use super::chains::{End, Flat, Step};
use super::line::Origin;
use super::list::List;
use super::lists::{Lists, steps};
use super::names::alike;
use super::text::hosts;
use super::what::{Named, Of, Remarks, every};

/// More addresses than these of a run stand in a set.
const INLINE: usize = 4;
/// More addresses than these of any rule do, unless all but fewer are meant.
const LONG: usize = 16;

/// What was joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    /// Rules that were joined.
    pub(super) rules: usize,
    /// The rules that they became.
    pub(super) into: usize,
}

impl Joined {
    /// What is to be known of it: counters go by rules.
    pub(super) fn said(self) -> Option<String> {
        let (rules, into) = (self.rules, self.into);
        let became = match into {
            0 => return None,
            1 => "one rule, which has one counter".to_owned(),
            into => format!("{into}, which have a counter each"),
        };
        Some(format!(
            "{rules} rules that stand next to each other and differ in the addresses of one side alone are {became}"
        ))
    }
}

/// Joins the runs of all lists.
pub(super) fn join(lists: &mut [Lists]) -> Joined {
    let mut sets = Sets::beside(lists);
    let mut joined = Joined::default();
    for side in lists.iter_mut().flat_map(|one| &mut one.sides) {
        let family = side.family;
        let mut left = std::mem::take(&mut side.steps).into_iter();
        while !left.as_slice().is_empty() {
            let (varies, length) = run(left.as_slice());
            let first: Vec<Step> = left.by_ref().take(length).collect();
            let is_run = length >= FEWEST;
            let made = is_run.then(|| one(&first, varies, family, &mut sets));
            match made.flatten() {
                Some(step) => {
                    joined.rules += length;
                    joined.into += 1;
                    side.steps.push(step);
                }
                None => side.steps.extend(first),
            }
        }
        let rules = side.steps.iter_mut().filter_map(Step::rule_mut);
        rules.for_each(|flat| name_long(flat, family, &mut sets));
    }
    joined
}

/// Gives a name to addresses that would make a long line.
fn name_long(flat: &mut Flat, family: Family, sets: &mut Sets) {
    for of in [Of::From, Of::To] {
        let side = flat.what.side(of);
        let is_long = side.set.is_none() && hosts(&side.addresses, family).len() > LONG;
        if !is_long || hosts(&every(family).minus(&side.addresses), family).len() <= LONG {
            continue;
        }
        let name = sets.name(&flat.chain, flat.end, family, &side.addresses);
        flat.what.side_mut(of).set = Some(Named::new(name, false));
    }
}

/// How many steps the first ones are that become one rule, and the side in which they differ; one step where nothing is to be joined.
fn run(steps: &[Step]) -> (Of, usize) {
    let length = |varies| {
        let Some(Step::Rule(first)) = steps.first() else {
            return 1;
        };
        let same = steps.iter().take_while(|step| is_like(first, step, varies));
        same.count()
    };
    let both = [Of::From, Of::To].map(|varies| (varies, length(varies)));
    let longest = both.into_iter().max_by_key(|(_, length)| *length);
    let (varies, length) = longest.unwrap_or((Of::From, 1));
    match length >= FEWEST {
        true => (varies, length),
        false => (varies, 1),
    }
}

/// Whether a step is a rule like the first but for the addresses of a side.
fn is_like(first: &Flat, step: &Step, varies: Of) -> bool {
    let Step::Rule(flat) = step else {
        return false;
    };
    if !is_plain(flat, varies) || flat.end != first.end || flat.chain != first.chain {
        return false;
    }
    first.what.is_but_for(&flat.what, varies)
}

/// Whether nobody tells a rule apart. Counting rules do not end the list, so that one of them is not as several.
fn is_plain(flat: &Flat, varies: Of) -> bool {
    let is_command = Origin::written(flat.origin.as_ref()).is_some();
    let has_words = flat.log.is_some() || is_command;
    let side = flat.what.side(varies);
    let has_name = side.set.is_some() || side.live.is_some() || flat.what.rate.is_some();
    flat.end != End::Count && !has_words && !has_name
}

/// The rule that a run becomes; nothing where remarks of its rules would be lost.
fn one(run: &[Step], varies: Of, family: Family, sets: &mut Sets) -> Option<Step> {
    let rules: Vec<&Flat> = run.iter().filter_map(Step::rule).collect();
    let ranges = rules
        .iter()
        .flat_map(|flat| flat.what.side(varies).addresses.ranges());
    let addresses = RangeSet::from_ranges(ranges.copied());
    let mut flat = (*rules.first()?).clone();
    let is_set = hosts(&addresses, family).len() > INLINE;
    let is_one_remark = rules.iter().all(|one| one.comment == flat.comment);
    if !is_set && !is_one_remark {
        return None;
    }
    let remarks = match is_one_remark {
        true => Remarks::new(),
        false => remarks(&rules, varies),
    };
    if !is_one_remark {
        flat.comment = None;
    }
    let side = flat.what.side_mut(varies);
    side.set = is_set.then(|| Named {
        name: sets.name(&flat.chain, flat.end, family, &addresses),
        negated: false,
        remarks: Rc::new(remarks),
    });
    side.addresses = addresses;
    Some(Step::Rule(Box::new(flat)))
}

/// What the rules remark, of the addresses of each.
fn remarks(rules: &[&Flat], varies: Of) -> Remarks {
    let mut remarks = Remarks::new();
    for flat in rules {
        for range in flat.what.side(varies).addresses.ranges() {
            let Some(said) = flat.comment.as_ref().filter(|said| !said.is_empty()) else {
                continue;
            };
            let before = remarks.entry(*range).or_default();
            if !before.is_empty() {
                before.push_str("; ");
            }
            before.push_str(said);
        }
    }
    remarks
}

/// The names of sets.
struct Sets {
    /// What each of them holds; nothing is known of those that were there before.
    named: BTreeMap<String, Option<(Family, RangeSet<u128>)>>,
}

impl Sets {
    /// Names beside those that the rules have already.
    fn beside(lists: &[Lists]) -> Self {
        let rules = steps(lists).filter_map(Step::rule);
        let names = rules.flat_map(|flat| {
            let what = &flat.what;
            let sides = [&what.from, &what.to];
            let live = sides.map(|side| side.live.as_ref().map(|live| &live.name));
            let sets = sides.map(|side| side.set.as_ref().map(|set| &set.name));
            let zones =
                [&what.on_zone, &what.to_zone].map(|zone| zone.as_ref().map(|zone| &zone.name));
            sets.into_iter().chain(live).chain(zones).flatten()
        });
        Self {
            named: names.map(|name| (name.clone(), None)).collect(),
        }
    }

    /// A name for these addresses, after their chain; the same for the same ones.
    fn name(
        &mut self,
        chain: &str,
        end: End,
        family: Family,
        addresses: &RangeSet<u128>,
    ) -> String {
        let begins = begins(chain, end, family);
        let mut number = 1;
        loop {
            let name = match number {
                1 => begins.clone(),
                _ => format!("{begins}-{number}"),
            };
            match self.named.get(&name) {
                None => {
                    let held = Some((family, addresses.clone()));
                    self.named.insert(name.clone(), held);
                    return name;
                }
                Some(Some((of, held))) if *of == family && held == addresses => return name,
                Some(_) => number += 1,
            }
        }
    }
}

/// How the name of a set begins: as its chain, or, where that is one that the kernel asks, as what becomes of its packets.
fn begins(chain: &str, end: End, family: Family) -> String {
    let chain = chain.rsplit(' ').next().unwrap_or(chain);
    let is_own = !List::is_built_in(&chain.to_uppercase());
    let own = is_own.then(|| alike(chain, "chain")).flatten();
    let begins = own.unwrap_or_else(|| {
        let verdict = match end {
            End::Allow => "allowed",
            End::Drop => "dropped",
            End::Reject => "rejected",
            End::Count => "counted",
        };
        verdict.to_owned()
    });
    match family {
        Family::V4 => begins,
        Family::V6 => format!("{begins}-v6"),
    }
}
