//! The maps of pairs of connections that a proxy hands over: where they are pinned, and how a policy finds them again.
//!
//! They belong to the name of the pairs and to no generation, so that pairs go on while the policy changes as long as it
//! declares them. Their room is not that of the declaration (`max`), so that it can change meanwhile. Takes a manifest; gives
//! numbers, names and maps. Not here: who puts sockets into the maps ([`crate::keeper`]), and the programs.

use std::os::fd::AsFd;

use sockc_compiler::artifact::{Manifest, PairsPlan};

use crate::code::kernel_types::SegmentTypes;
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
        segments_are_known().map_err(|cause| refused(plan, &cause))?;
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

/// Whether the kernel keeps the numbers of a segment where the programs look for them.
fn segments_are_known() -> Result<(), String> {
    let types = SegmentTypes::read().map_err(|why| {
        format!("where a segment begins cannot be known here, so data could be moved twice: {why}")
    })?;
    match u32::from(types.control) == PairsPlan::SEGMENT && types.numbers == [0, 4] {
        true => Ok(()),
        false => Err(
            "this kernel keeps where a segment begins in a place that is not known, so data could be moved twice"
                .to_owned(),
        ),
    }
}

/// How many pairs there are now.
pub(crate) fn count(name: &str, state: &State) -> Result<usize, Error> {
    let what = "count the pairs";
    // A socket leaves this map when it is closed, whoever keeps the pairs.
    let targets = bpffs::open(&state.pairs(number(name)).join(TARGETS)).map_err(at(what))?;
    let sides = map::keys(targets.as_fd()).map_err(at(what))?;
    Ok(sides.len().div_ceil(2))
}
