//! `self`: the addresses of the machine, in the live set that programs ask for them.
//!
//! Takes the table `local` of a network namespace, and what table `main` routes elsewhere inside its prefixes; gives the prefixes
//! that are delivered here, what of them a set lacks, and the set
//! with exactly these. An apply fills it ahead of the switch, `apply --watch` brings it up to date at each change, and `status`
//! compares. Nobody else changes it. Not here: the table, and how it is heard that it changed.

mod shared;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::artifact::{Manifest, SetPlan};

use super::members::{Members, NEVER};
use super::sets;
use crate::active;
use crate::error::{Error, at};
use crate::groups::refused;
use crate::options::Options;
use crate::prefix::Prefix;
use crate::session;
use crate::state::record::Record;
use crate::state::{Access, State};
use crate::sys::local_table::Entry;
use crate::sys::{clock, local_route, local_table, route};

/// How `self` of a policy in force stands to the addresses of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnBehind {
    /// What is this machine's and not in it.
    pub missing: Vec<Prefix>,
    /// What is in it and not this machine's any more.
    pub gone: Vec<Prefix>,
    /// How many prefixes are this machine's and how many it holds at most, where these are fewer.
    pub outgrown: Option<(usize, u32)>,
}

impl OwnBehind {
    /// Whether it holds all of the machine's addresses and nothing else.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.gone.is_empty()
    }
}

/// The prefixes that are delivered to the namespace of the options, none inside another.
///
/// # Errors
///
/// Any [`Error`].
pub fn own_addresses(options: &Options) -> Result<Vec<Prefix>, Error> {
    session::enter(options, |_| Ok(delivered()?.0.into_iter().collect()))
}

/// Makes `self` of the policy in force in the namespace of the options hold the addresses of now, at once; says what of it was
/// behind. A policy that does not name it has nothing to be behind.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn own_refresh(options: &Options) -> Result<OwnBehind, Error> {
    active::with_trial(options, Access::Change, true, |active| {
        let Some(plan) = plan_of(&active.record.manifest) else {
            return Ok(OwnBehind::default());
        };
        let own = delivered()?;
        let maps = sets::open(plan, active.state(), active.record, Access::Change)?;
        let behind = compare(
            plan,
            &own,
            &maps.members(clock::now()).map_err(at(READING))?,
        );
        if behind.is_none() {
            return Ok(behind);
        }
        sets::refuse_of_one(active, plan)?;
        maps.replace(&fitting(plan, own)?).map_err(at(FILLING))?;
        refused::changed(active.state(), active.record);
        Ok(behind)
    })
}

/// What `self` of a policy in force lacks, in the calling thread's namespace.
pub(crate) fn behind(state: &State, record: &Record) -> Result<OwnBehind, Error> {
    let Some(plan) = plan_of(&record.manifest) else {
        return Ok(OwnBehind::default());
    };
    let maps = match sets::open(plan, state, record, Access::Read) {
        // A map that is gone, or another, is told by its pin.
        Err(Error::State { .. }) => return Ok(OwnBehind::default()),
        maps => maps?,
    };
    let members = maps.members(clock::now()).map_err(at(READING))?;
    Ok(compare(plan, &delivered()?, &members))
}

/// What `self` of a policy that is applied begins with, in the calling thread's namespace; of another set nothing.
pub(crate) fn begins(plan: &SetPlan, options: &Options) -> Result<Option<Members>, Error> {
    match (plan.is_own(), options.own_as_told) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(Members::default())),
        (true, false) => fitting(plan, delivered()?).map(Some),
    }
}

/// Refuses to change `self` by hand.
pub(crate) fn refuse_by_hand(plan: &SetPlan, options: &Options) -> Result<(), Error> {
    match plan.is_own() && !options.own_as_told {
        true => Err(Error::OwnSet),
        false => Ok(()),
    }
}

const READING: &str = "read what `self` holds";
pub(super) const FILLING: &str = "fill `self` with the addresses of this machine";

fn plan_of(manifest: &Manifest) -> Option<&SetPlan> {
    manifest.sets.iter().find(|plan| plan.is_own())
}

/// What is for many or for nobody whatever a local route says: the kernel has code of its own for these destinations
/// (`ip_route_input_rcu` for multicast, `ip_route_input_slow` for 0.0.0.0 and 255.255.255.255).
const NO_ONES: [(IpAddr, u8); 5] = [
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
];

/// What is delivered here, in the calling thread's namespace.
fn delivered() -> Result<Space, Error> {
    read().map_err(at("list the addresses of this machine"))
}

fn read() -> io::Result<Space> {
    let entries = local_table::entries()?;
    let mut entries: Vec<(Prefix, bool)> = entries.iter().map(of_entry).collect();
    let elsewhere = elsewhere(&entries)?;
    entries.extend(elsewhere.into_iter().map(|route| (route, false)));
    Ok(Space::of(entries.into_iter()).of_one_machine())
}

/// What table `main` routes elsewhere inside the prefixes of table `local`.
fn elsewhere(entries: &[(Prefix, bool)]) -> io::Result<Vec<Prefix>> {
    let local = shared::Local::of(entries);
    let mut routes = BTreeSet::new();
    local_table::each_of_main(|entry| {
        routes.extend(Some(entry.prefix).filter(|route| local.is_around(*route)));
    })?;
    let routes: Vec<Prefix> = routes.into_iter().collect();
    let socket = route::socket()?;
    local.elsewhere(&routes, |address| local_route::is_local(&socket, address))
}

fn of_entry(entry: &Entry) -> (Prefix, bool) {
    (entry.prefix, entry.is_local)
}

/// The members of `self`, if it has room for them.
fn fitting(plan: &SetPlan, own: Space) -> Result<Members, Error> {
    if own.0.len() > plan.max as usize {
        return Err(Error::OwnTooMany {
            size: own.0.len(),
            max: plan.max,
        });
    }
    Ok(Members::all_until(own.0, NEVER))
}

fn compare(plan: &SetPlan, own: &Space, members: &Members) -> OwnBehind {
    let mut held = Space::default();
    members.iter().for_each(|(element, _)| held.put(element));
    let size = own.0.len();
    OwnBehind {
        outgrown: (size > plan.max as usize).then_some((size, plan.max)),
        missing: own.without(&held),
        gone: held.without(own),
    }
}

/// Addresses as prefixes, none of which is inside another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Space(BTreeSet<Prefix>);

impl Space {
    /// The addresses for which the longest of these prefixes is a local one, as the kernel asks its table; of two entries of one
    /// prefix it asks the first.
    fn of(entries: impl Iterator<Item = (Prefix, bool)>) -> Self {
        let mut entries: Vec<(Prefix, bool)> = entries.collect();
        entries.sort_by_key(|(prefix, _)| (prefix.length(), *prefix));
        entries.dedup_by_key(|(prefix, _)| *prefix);
        let mut space = Self::default();
        for (prefix, is_local) in entries {
            match is_local {
                true => space.put(prefix),
                false => space.take(prefix),
            }
        }
        space
    }

    /// The same without what is no machine's own.
    fn of_one_machine(mut self) -> Self {
        let no_ones = NO_ONES.into_iter();
        let no_ones = no_ones.filter_map(|(address, length)| Prefix::new(address, length));
        no_ones.for_each(|prefix| self.take(prefix));
        self
    }

    /// The prefix that holds all of this one.
    fn covering(&self, prefix: Prefix) -> Option<Prefix> {
        let outer = |length| Prefix::truncate(prefix.address(), length);
        let mut outer = (0..=prefix.length()).filter_map(outer);
        outer.find(|outer| self.0.contains(outer))
    }

    fn put(&mut self, prefix: Prefix) {
        if self.covering(prefix).is_none() {
            self.drop_inside(prefix);
            self.0.insert(prefix);
        }
    }

    fn take(&mut self, prefix: Prefix) {
        self.drop_inside(prefix);
        let Some(outer) = self.covering(prefix) else {
            return;
        };
        self.0.remove(&outer);
        let mut around = Some(outer);
        // Of each half that holds the prefix the other half stays.
        while let Some([low, high]) = around.filter(|one| *one != prefix).and_then(Prefix::halves) {
            let (inner, other) = match low.covers(prefix) {
                true => (low, high),
                false => (high, low),
            };
            self.0.insert(other);
            around = Some(inner);
        }
    }

    /// Forgets the prefix and those inside it, which stand after it.
    fn drop_inside(&mut self, prefix: Prefix) {
        let inside = self.0.range(prefix..);
        let inside = inside.take_while(|one| prefix.covers(**one));
        let inside: Vec<Prefix> = inside.copied().collect();
        for one in inside {
            self.0.remove(&one);
        }
    }

    /// The addresses that the other one has not.
    fn without(&self, other: &Self) -> Vec<Prefix> {
        let mut rest = self.clone();
        other.0.iter().for_each(|prefix| rest.take(*prefix));
        rest.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    /// A set with room for so many.
    fn plan(max: u32) -> SetPlan {
        SetPlan {
            name: "self".to_owned(),
            map: "set_self".to_owned(),
            state: "cur_self".to_owned(),
            max,
            expires: None,
            start: Vec::new(),
            table: None,
        }
    }

    fn space(entries: &[(&str, bool)]) -> Space {
        let entries = entries.iter().map(|(text, local)| (prefix(text), *local));
        Space::of(entries)
    }

    fn words(prefixes: impl IntoIterator<Item = Prefix>) -> String {
        let words: Vec<String> = prefixes.into_iter().map(|one| one.to_string()).collect();
        words.join(" ")
    }

    #[test]
    fn what_the_longest_prefix_of_the_table_delivers_is_own() {
        for (entries, own) in [
            (
                &[("127.0.0.0/8", true), ("127.0.0.1/32", true)][..],
                "127.0.0.0/8",
            ),
            // The broadcast addresses of a prefix that is all ours are not.
            (
                &[
                    ("198.51.100.7/32", false),
                    ("198.51.100.0/29", true),
                    ("198.51.100.0/32", false),
                ],
                "198.51.100.1 198.51.100.2/31 198.51.100.4/31 198.51.100.6",
            ),
            // Of what is refused a part may be delivered again.
            (
                &[
                    ("10.0.0.0/30", true),
                    ("10.0.0.2/31", false),
                    ("10.0.0.3/32", true),
                ],
                "10.0.0.0/31 10.0.0.3",
            ),
            (&[("10.0.0.1/32", true), ("10.0.0.1/32", false)], "10.0.0.1"),
            (&[("10.0.0.1/32", false), ("10.0.0.1/32", true)], ""),
            (
                &[
                    ("::1/128", true),
                    ("ff00::/8", false),
                    ("fe80::/128", false),
                ],
                "::1",
            ),
            (&[("0.0.0.0/0", true), ("128.0.0.0/1", false)], "0.0.0.0/1"),
        ] {
            assert_eq!(words(space(entries).0), own, "{entries:?}");
        }
    }

    #[test]
    fn what_is_for_many_is_nobodys_own() {
        let all = space(&[("0.0.0.0/0", true), ("224.0.0.1/32", true), ("::/0", true)]);
        let own = all.of_one_machine();
        for (address, is_own) in [
            ("0.0.0.0", false),
            ("0.0.0.1", true),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.0", true),
            ("255.255.255.254", true),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", true),
            ("feff::1", true),
            ("ff02::1:ff00:1", false),
        ] {
            let host = Prefix::host(address.parse().unwrap());
            assert_eq!(own.covering(host).is_some(), is_own, "{address}");
        }
    }

    #[test]
    fn more_prefixes_than_fit_are_told() {
        let own = space(&[("10.0.0.0/30", true), ("192.0.2.7/32", true)]);
        let found = compare(&plan(1), &own, &Members::default());
        assert_eq!(found.outgrown, Some((2, 1)));
    }

    #[test]
    fn what_is_behind_is_said_by_addresses_and_not_by_prefixes() {
        let held = |prefixes: &[&str]| {
            let all = prefixes.iter().map(|text| prefix(text));
            Members::all_until(all, NEVER)
        };
        let own = space(&[("10.0.0.0/30", true), ("192.0.2.7/32", true)]);
        for (members, missing, gone) in [
            (&["10.0.0.0/31", "10.0.0.2/31", "192.0.2.7/32"][..], "", ""),
            (&["10.0.0.0/30"], "192.0.2.7", ""),
            (&["10.0.0.0/29", "192.0.2.7/32"], "", "10.0.0.4/30"),
            (
                &["10.0.0.1/32", "10.0.0.9/32"],
                "10.0.0.0 10.0.0.2/31 192.0.2.7",
                "10.0.0.9",
            ),
        ] {
            let found = compare(&plan(4), &own, &held(members));
            assert_eq!(found.outgrown, None);
            assert_eq!(words(found.missing), missing, "{members:?}");
            assert_eq!(words(found.gone), gone, "{members:?}");
        }
    }
}
