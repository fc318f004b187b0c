//! The maps of pairs of connections that a proxy hands over: where they are pinned, and how a policy finds them again.
//!
//! They belong to the name of the pairs and to no generation, so that pairs go on while the policy changes as long as it
//! declares them. Their room is not that of the declaration (`max`), so that it can change meanwhile. Takes a manifest; gives
//! numbers, names and maps. Not here: who puts sockets into the maps ([`crate::keeper`]), and the programs.

use std::os::fd::AsFd;

use sockc_compiler::artifact::{Manifest, PairsPlan};

use crate::code::segments;
use crate::error::{Error, at};
use crate::load::Kept;
use crate::probe::Features;
use crate::state::State;
use crate::sys::{bpffs, map};

/// The pin of the map of the sockets that data goes to, in the folder of the pairs.
pub(crate) const TARGETS: &str = "targets";
/// The pin of the map of those that it comes from.
pub(crate) const SOURCES: &str = "sources";
/// The pin of the map that says who is joined with whom.
pub(crate) const JOINED: &str = "joined";
/// The pin of the array of how much may be moved.
pub(crate) const ALLOWED: &str = "allowed";
/// The pin of the ring that says what was moved.
pub(crate) const MOVED: &str = "moved";

/// The number by which a state folder knows pairs of a name (FNV-1a): names may be longer than the names of pins.
pub(crate) fn number(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The numbers and names of the pairs of a manifest, in its order.
pub(crate) fn numbers(manifest: &Manifest) -> Vec<(u64, String)> {
    let plans = manifest.pairs.iter();
    plans
        .map(|plan| (number(&plan.name), plan.name.clone()))
        .collect()
}

/// The maps that a policy goes on with.
pub(crate) fn kept(manifest: &Manifest, state: &State) -> Vec<Kept> {
    let kept = manifest.pairs.iter().flat_map(|plan| {
        let folder = state.pairs(number(&plan.name));
        let maps = [
            (&plan.targets, TARGETS),
            (&plan.sources, SOURCES),
            (&plan.joined, JOINED),
            (&plan.allowed, ALLOWED),
            (&plan.moved, MOVED),
        ];
        maps.map(|(name, pin)| Kept {
            name: name.clone(),
            pin: folder.join(pin),
            again: false,
        })
    });
    kept.collect()
}

/// Refuses pairs where the kernel would lose data or move it twice, or whose numbers are one.
pub(crate) fn check(manifest: &Manifest, features: Features) -> Result<(), Error> {
    let refused = |plan: &PairsPlan, cause: &str| Error::Pairs {
        pairs: plan.name.clone(),
        cause: cause.to_owned(),
    };
    for (place, plan) in manifest.pairs.iter().enumerate() {
        if !features.sk_skb_verdict {
            return Err(refused(
                plan,
                "this kernel cannot splice without losing data where the receiver is slow; Linux 5.13 and later can",
            ));
        }
        if !features.segments {
            return Err(refused(plan, &segments::why_not()));
        }
        let mut before = manifest.pairs[..place].iter();
        if before.any(|other| number(&other.name) == number(&plan.name)) {
            return Err(refused(
                plan,
                "other pairs have the same number; give them another name",
            ));
        }
    }
    Ok(())
}

/// The name of the pairs that a socket with this cookie is in.
pub(crate) fn joined_in<'a>(
    manifest: &'a Manifest,
    state: &State,
    cookie: u64,
) -> Result<Option<&'a str>, Error> {
    let what = "look into the pairs";
    for plan in &manifest.pairs {
        let joined =
            bpffs::open(&state.pairs(number(&plan.name)).join(JOINED)).map_err(at(what))?;
        let mut value = [0; PairsPlan::JOINED as usize];
        let found = map::lookup(joined.as_fd(), &cookie.to_ne_bytes(), &mut value);
        if found.map_err(at(what))? {
            return Ok(Some(&plan.name));
        }
    }
    Ok(None)
}

/// How many pairs there are now.
pub(crate) fn count(name: &str, state: &State) -> Result<usize, Error> {
    let what = "count the pairs";
    // A socket leaves this map when it is closed, whoever keeps the pairs.
    let targets = bpffs::open(&state.pairs(number(name)).join(TARGETS)).map_err(at(what))?;
    let sides = map::keys(targets.as_fd()).map_err(at(what))?;
    Ok(sides.len().div_ceil(2))
}
