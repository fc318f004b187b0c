//! What brings packets to their sockets that a redirect `at tc` takes: they may be for anybody, and the kernel delivers here only
//! what its routes say is local. So the programs give them a mark, a rule of routing leads the mark to a table, and that table
//! says that everything is local.
//!
//! Takes what a manifest says of such redirects; says what is missing for them in the namespace of the calling thread, makes it
//! if that is asked for, and takes back what it made and nothing else. What it made bears a number of its own (`ways`), and a pinned word
//! says for which families, written ahead of the first thing and removed after the last: what a killed command left is found by it.

mod families;
mod obstacles;
mod ways;

use std::fmt::Write;
use std::os::fd::AsFd;

use sockc_compiler::artifact::InterceptPlan;
use sockc_compiler::policy::Family;

use crate::error::{Error, at};
use crate::state::{State, WORD, open_or_make, read_word};
use crate::sys::netns::Namespace;
use crate::sys::{bpffs, map};
use families::{bit, flag};
use ways::Ways;

/// How the way of intercepted packets stands in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The family.
    pub family: Family,
    /// Whether what has the mark is local.
    pub leads: bool,
    /// Whether sockc made the rule and the route.
    pub made: bool,
}

/// What is being done where the kernel refuses.
const LOOK: &str = "look at the rules of routing";
const MAKE: &str = "lead intercepted packets to their sockets";
const REMOVE: &str = "take back the rule and the route of intercepted packets";

/// How the way stands, for each family that redirects `at tc` are about.
pub(crate) fn look(state: &State, plan: &InterceptPlan) -> Result<Vec<Delivery>, Error> {
    let ways = Ways::open(plan).map_err(at(LOOK))?;
    let made = read_word(&state.delivery())?.unwrap_or(0);
    let mut found = Vec::new();
    for family in families::of(plan) {
        found.push(Delivery {
            family,
            leads: ways.leads(family).map_err(at(LOOK))?,
            made: made & bit(family) != 0,
        });
    }
    Ok(found)
}

/// Refuses a policy whose packets would not get to their sockets; `add`: unless that is for want of a rule and a route that may be
/// made.
pub(crate) fn check(
    plan: &InterceptPlan,
    interfaces: &[String],
    add: bool,
) -> Result<Vec<Family>, Error> {
    let mut wrong = obstacles::found(plan, interfaces);
    let ways = Ways::open(plan).map_err(at(LOOK))?;
    let mut missing = Vec::new();
    for family in families::of(plan) {
        if ways.leads(family).map_err(at(LOOK))? {
            continue;
        }
        missing.push(family);
        let taken = ways.taken(family).map_err(at(LOOK))?;
        match taken {
            Some(taken) => wrong.push(taken),
            None if !add => wrong.push(no_way(plan, family)),
            None => {}
        }
    }
    match wrong.is_empty() {
        true => Ok(missing),
        false => Err(Error::Undelivered {
            wrong,
            addable: !add && !missing.is_empty(),
        }),
    }
}

/// Makes the rules and the routes of these families.
pub(crate) fn make(state: &State, plan: &InterceptPlan, families: &[Family]) -> Result<(), Error> {
    if families.is_empty() {
        return Ok(());
    }
    let bits = families.iter().fold(0, |bits, family| bits | bit(*family));
    let word = open_or_make(&state.delivery(), "sockc_delivery", WORD)?;
    let before = read_word(&state.delivery())?.unwrap_or(0);
    map::update(word.as_fd(), &[0; 4], &(before | bits).to_ne_bytes()).map_err(at(MAKE))?;
    let ways = Ways::open(plan).map_err(at(MAKE))?;
    for family in families {
        ways.make(*family).map_err(at(MAKE))?;
        if !ways.leads(*family).map_err(at(LOOK))? {
            let wrong = vec![format!(
                "with its rule and route, what has the mark {:#x} is not local over {}, since another rule of routing comes first (`ip {} rule`)",
                plan.mark,
                family.name(),
                flag(*family)
            )];
            let addable = false;
            return Err(Error::Undelivered { wrong, addable });
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

/// That a family has no way, and the commands that make it.
fn no_way(plan: &InterceptPlan, family: Family) -> String {
    let (name, flag) = (family.name(), flag(family));
    let (mark, table) = (plan.mark, plan.table);
    let mut text = format!(
        "over {name}, packets with the mark {mark:#x}, which redirects `at tc` give to what they take, are not local: "
    );
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "`ip {flag} route add local default dev lo table {table}` and `ip {flag} rule add fwmark {mark:#x} lookup {table}` make them so"
    );
    text
}
