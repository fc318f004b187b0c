//! The maps of pairs of connections that a proxy hands over: where they are pinned, and how a policy finds them again.
//!
//! They belong to the name of the pairs and to no generation, so that pairs go on while the policy changes as long as it
//! declares them. Their room is not that of the declaration (`max`), so that it can change meanwhile. Takes a manifest; gives
//! numbers, names and maps. Not here: who puts sockets into the maps ([`crate::keeper`]), and the programs.

use std::cell::LazyCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::{Manifest, PairsPlan};

use crate::code::segments;
use crate::error::{Error, at, unreadable};
use crate::load::Kept;
use crate::probe::Features;
use crate::state::{State, names};
use crate::sys::process::{self, Hold};
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

const KEEP: &str = "look who keeps pairs";
/// How long it may take until all have looked who do so at the moment.
const LOOKED: Duration = Duration::from_millis(200);

const PINS: [&str; 5] = [TARGETS, SOURCES, JOINED, ALLOWED, MOVED];

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
            &plan.targets,
            &plan.sources,
            &plan.joined,
            &plan.allowed,
            &plan.moved,
        ];
        maps.into_iter().zip(PINS).map(move |(name, pin)| Kept {
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
    let known = LazyCell::new(|| segments::known(features.segments));
    for (place, plan) in manifest.pairs.iter().enumerate() {
        if !features.sk_skb_verdict {
            return Err(refused(
                plan,
                "this kernel cannot splice without losing data where the receiver is slow; Linux 5.13 and later can",
            ));
        }
        if let Err(why) = &*known {
            return Err(refused(plan, why));
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

/// The maps of who is joined with whom, by the names of the pairs.
pub(crate) fn joined(manifest: &Manifest, state: &State) -> Result<Vec<(String, OwnedFd)>, Error> {
    let open = |plan: &PairsPlan| {
        let path = state.pairs(number(&plan.name)).join(JOINED);
        let map = bpffs::open(&path).map_err(|cause| unreadable(&path, cause))?;
        Ok((plan.name.clone(), map))
    };
    manifest.pairs.iter().map(open).collect()
}

/// The name of the pairs that a socket with this cookie is in, of those whose maps these are.
pub(crate) fn joined_in(maps: &[(String, OwnedFd)], cookie: u64) -> io::Result<Option<&str>> {
    for (name, joined) in maps {
        let mut value = [0; PairsPlan::JOINED as usize];
        if map::lookup(joined.as_fd(), &cookie.to_ne_bytes(), &mut value)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// How many pairs there are now; `None` where somebody has removed the pin of the map that says it.
pub(crate) fn count(name: &str, state: &State) -> Result<Option<usize>, Error> {
    let what = "count the pairs";
    // A socket leaves this map when it is closed, whoever keeps the pairs.
    let targets = match bpffs::open(&state.pairs(number(name)).join(TARGETS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        targets => targets.map_err(at(what))?,
    };
    let sides = map::keys(targets.as_fd()).map_err(at(what))?;
    Ok(Some(sides.len().div_ceil(2)))
}

/// Takes the pairs of a name for this process as long as the folder is open; `None` if another one keeps them.
pub(crate) fn keep(name: &str, state: &State) -> Result<Option<File>, Error> {
    let folder = open_folder(name, state)?;
    let began = Instant::now();
    loop {
        if process::lock(folder.as_fd(), Hold::Alone).map_err(at(KEEP))? {
            return Ok(Some(folder));
        }
        // A `status` that looks has it for a moment.
        if began.elapsed() >= LOOKED {
            return Ok(None);
        }
        thread::sleep(LOOKED / 20);
    }
}

/// Whether a process keeps the pairs of a name.
pub(crate) fn are_kept(name: &str, state: &State) -> Result<bool, Error> {
    let folder = open_folder(name, state)?;
    Ok(!process::lock(folder.as_fd(), Hold::WithOthers).map_err(at(KEEP))?)
}

fn open_folder(name: &str, state: &State) -> Result<File, Error> {
    File::open(state.pairs(number(name))).map_err(at(KEEP))
}

/// Refuses to go on with some of the maps of a name and new ones beside them: those who use them would not see each other.
/// Where the kernel still has what lacks a pin, it was pinned again before.
pub(crate) fn check_pins(manifest: &Manifest, state: &State) -> Result<(), Error> {
    for plan in &manifest.pairs {
        let folder = state.pairs(number(&plan.name));
        let there = names(&folder)?.len();
        if there != 0 && there != PINS.len() {
            return Err(Error::State {
                path: folder,
                cause: format!("{there} maps of pairs are there, not {}", PINS.len()),
            });
        }
    }
    Ok(())
}
