//! What brings packets to their sockets that a redirect `at tc` takes: they may be for anybody, and the kernel delivers here only
//! what its routes say is local. So the programs give them a mark, a rule of routing leads the mark to a table, and that table
//! says that everything is local.
//!
//! Takes what a manifest says of such redirects; says what is missing for them in the namespace of the calling thread, makes it
//! if that is asked for, and takes back what it made and nothing else. What it made bears a number of its own (`ways`), and a pinned word
//! says for which families, written ahead of the first thing and removed after the last: what a killed command left is found by it.

mod families;
mod obstacles;
pub(crate) mod ports;
mod probe;
mod rules;
mod ways;

use std::os::fd::AsFd;

use sockc_compiler::artifact::{InterceptPlan, Manifest};
use sockc_compiler::policy::Family;

use crate::error::{Error, at};
use crate::state::record::Record;
use crate::state::{State, WORD, open_or_make, read_word};
use crate::sys::netns::Namespace;
use crate::sys::{bpffs, map};
use families::{bit, flag};
pub use rules::Maker;
use ways::{Way, Ways};

/// How the way of intercepted packets stands in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The family.
    pub family: Family,
    /// Whether what has the mark is local.
    pub leads: bool,
    /// Who made the rule; `None` if there is none of the mark and the table that sockc uses.
    pub rule: Option<Maker>,
    /// Who made the route; `None` if there is none in that table.
    pub route: Option<Maker>,
}

/// How all stands that redirects `at tc` need of their network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// The ways of the families that they are about.
    pub ways: Vec<Delivery>,
    /// What keeps packets from their sockets, or answers from leaving, each with what to do.
    pub wrong: Vec<String>,
    /// The same, of what apply may make.
    pub missing: Vec<(Family, String)>,
}

/// What connections meet that are forwarded when a redirect `at tc` begins to hold.
pub const CUTS: &str = "connections that are forwarded now and that a redirect `at tc` takes from now on end: the rest of their packets comes to a proxy that does not know them";

/// What they meet that its socket has when it goes.
pub const ENDS: &str = "connections that a proxy holds by a redirect `at tc` that goes end, at the latest when a route changes: nothing brings their packets here any more";

/// What is being done where the kernel refuses.
const LOOK: &str = "look at the rules of routing";
const MAKE: &str = "lead intercepted packets to their sockets";
/// Nothing is delivered over an interface that is down.
const LO: &str =
    "`lo` is down, by which packets for others are delivered here: `ip link set lo up`";
const REMOVE: &str = "take back the rule and the route of intercepted packets";

/// How all stands that the redirects `at tc` of a policy need, which are on these interfaces.
pub(crate) fn look(manifest: &Manifest, interfaces: &[String]) -> Result<Deliveries, Error> {
    let mut found = Deliveries::default();
    let Some(plan) = &manifest.intercepts else {
        return Ok(found);
    };
    found.wrong = ports::enslaved(interfaces).map_err(at("look at the interfaces"))?;
    found.wrong.extend(obstacles::found(plan, interfaces));
    if !ports::is_lo_up().map_err(at("look at lo"))? {
        found.wrong.push(LO.to_owned());
    }
    let ways = Ways::open(plan).map_err(at(LOOK))?;
    for family in families::of(plan) {
        let way = ways.look(family, interfaces).map_err(at(LOOK))?;
        found.ways.push(Delivery {
            family,
            leads: way.leads,
            rule: way.rule,
            route: way.route,
        });
        if !way.leads {
            found.wrong.extend(obstacles::disabled(family));
        }
        match (way.obstacle.clone(), way.first) {
            (None, _) if way.leads => {}
            (None, _) => found.missing.push((family, no_way(plan, family, &way))),
            // Ours, which apply may put first.
            (Some(late), Some(_)) => found.missing.push((family, late)),
            (Some(obstacle), None) => found.wrong.push(obstacle),
        }
    }
    Ok(found)
}

/// Refuses a policy whose packets would not get to their sockets; `add`: unless that is for want of a rule and a route that may be
/// made. Gives the families for which they are to be made.
pub(crate) fn check(
    manifest: &Manifest,
    interfaces: &[String],
    add: bool,
) -> Result<Vec<Family>, Error> {
    let Deliveries {
        mut wrong, missing, ..
    } = look(manifest, interfaces)?;
    let addable = !add && !missing.is_empty();
    let (families, why): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    if !add {
        wrong.extend(why);
    }
    match wrong.is_empty() {
        true => Ok(families),
        false => Err(Error::Undelivered {
            wrong,
            addable,
            netns: None,
        }),
    }
}

/// The families for which sockc made a rule and a route that are needed no more.
pub(crate) fn spare(state: &State, kept: Option<&InterceptPlan>) -> Result<Vec<Family>, Error> {
    let made = read_word(&state.delivery())?.unwrap_or(0);
    let needed =
        |family: &Family| kept.is_some_and(|plan| families::of(plan).any(|one| one == *family));
    let both = [Family::V4, Family::V6].into_iter();
    Ok(both
        .filter(|family| made & bit(*family) != 0 && !needed(family))
        .collect())
}

/// Whether one plan has redirects `at tc` that another has not: of a new one beyond the old one they cut connections that are
/// forwarded ([`CUTS`]), of the old one beyond the new one they end those of their sockets ([`ENDS`]).
pub(crate) fn goes_beyond(one: Option<&InterceptPlan>, other: Option<&InterceptPlan>) -> bool {
    one.is_some_and(|one| one.goes_beyond(other))
}

/// What becomes of what redirects `at tc` take as their policy goes. What cannot be read now is told by the step that takes it
/// back.
pub(crate) fn given_up(state: &State, record: Option<&Record>) -> Vec<String> {
    let before = record.and_then(|record| record.manifest.intercepts.as_ref());
    let spare = spare(state, None).unwrap_or_default().into_iter();
    let ends = goes_beyond(before, None).then(|| ENDS.to_owned());
    spare.map(taken_back).chain(ends).collect()
}

/// That they are taken back.
#[must_use]
pub fn taken_back(family: Family) -> String {
    format!(
        "what sockc made that delivered here, over {}, what redirects `at tc` took is taken back",
        family.name()
    )
}

/// Makes the rules and the routes of these families.
pub(crate) fn make(
    state: &State,
    (plan, interfaces): (&InterceptPlan, &[String]),
    families: &[Family],
) -> Result<(), Error> {
    if families.is_empty() {
        return Ok(());
    }
    let bits = families.iter().fold(0, |bits, family| bits | bit(*family));
    let word = open_or_make(&state.delivery(), "sockc_delivery", WORD)?;
    let before = read_word(&state.delivery())?.unwrap_or(0);
    map::update(word.as_fd(), &[0; 4], &(before | bits).to_ne_bytes()).map_err(at(MAKE))?;
    let ways = Ways::open(plan).map_err(at(MAKE))?;
    for family in families {
        let over = format!("{MAKE} over {}", family.name());
        ways.make(*family, interfaces).map_err(at(over))?;
        let way = ways.look(*family, interfaces).map_err(at(LOOK))?;
        if !way.leads || way.obstacle.is_some() {
            let why = || no_way(plan, *family, &way);
            let wrong = vec![way.obstacle.clone().unwrap_or_else(why)];
            return Err(Error::Undelivered {
                wrong,
                addable: false,
                netns: None,
            });
        }
    }
    Ok(())
}

/// Takes back what was made and is not needed by what is kept. In another namespace than that of the folder, whose own has
/// ended, nothing is left of it but the word.
pub(crate) fn take_back(state: &State, kept: Option<&InterceptPlan>) -> Result<(), Error> {
    let Some(made) = read_word(&state.delivery())? else {
        return Ok(());
    };
    let kept = kept.into_iter().flat_map(families::of);
    let kept = kept.fold(0, |bits, family| bits | bit(family)) & made;
    let here = Namespace::current().map_err(at(REMOVE))?;
    if state.is_of(here.inode) {
        let ways = Ways::own().map_err(at(REMOVE))?;
        for family in [Family::V4, Family::V6] {
            if made & !kept & bit(family) != 0 {
                ways.remove(family).map_err(at(REMOVE))?;
            }
        }
    }
    if kept == 0 {
        return bpffs::unpin(&state.delivery()).map_err(at(REMOVE));
    }
    let word = open_or_make(&state.delivery(), "sockc_delivery", WORD)?;
    map::update(word.as_fd(), &[0; 4], &kept.to_ne_bytes()).map_err(at(REMOVE))
}

/// That a family has no way, and the commands that make what of it is missing.
fn no_way(plan: &InterceptPlan, family: Family, way: &Way) -> String {
    let (name, flag) = (family.name(), flag(family));
    let (mark, table) = (plan.mark, plan.table);
    let route = format!("`ip {flag} route add local default dev lo table {table}`");
    let rule = format!("`ip {flag} rule add fwmark {mark:#x} lookup {table}`");
    let remedy = match (way.rule, way.route) {
        (None, None) => format!("{route} and {rule} make them so"),
        (Some(_), None) => format!("{route} makes them so"),
        (None, Some(_)) => format!("{rule} makes them so"),
        (Some(_), Some(_)) => format!(
            "the rule and the route for that are there, but the kernel does not follow them (`ip {flag} route get ADDRESS mark {mark:#x}`)"
        ),
    };
    format!(
        "over {name}, packets with the mark {mark:#x}, which redirects `at tc` give to what they take, are not local: {remedy}"
    )
}
