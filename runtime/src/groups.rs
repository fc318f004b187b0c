//! The control groups of a policy's groups, and the maps that hold their sockets.
//!
//! Takes a manifest; gives its groups with their control groups, opened, and says of which maps they go on. [`moved`] says
//! which are gone or others now, [`concern`] which connections its rules mean, [`bound`] how much
//! a shortcut brings; [`entry`] takes those in that exist, [`escaped`]
//! counts those that cannot be, [`faults`] says what the kernel does otherwise on them, [`places`] those that are in, [`refused`] lets those go on that the policy before refused, and
//! [`waiting`] says in which data waits that would be lost.
//! Not here: the programs, and the hooks that they hang on.

mod asked;
pub(crate) mod bound;
pub(crate) mod concern;
mod connections;
pub(crate) mod entry;
pub(crate) mod escaped;
pub(crate) mod faults;
mod judge;
mod makers;
pub(crate) mod moved;
pub(crate) mod places;
pub(crate) mod refused;
mod waiting;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use sockc_compiler::artifact::Manifest;

use crate::attach::guard;
use crate::error::{Error, at};
use crate::hook::{NEXT, PEERS, READERS};
use crate::load::Kept;
use crate::state::record::Record;
use crate::state::{OTHERS, OWN, State};
use crate::sys::cgroup::{self, Cgroup};
use crate::sys::{bpffs, map, token};

/// A group of the policy with its open control group.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
    /// The folder of the control group.
    pub(crate) path: PathBuf,
    /// The control group; nothing of one that is gone and is left out.
    pub(crate) cgroup: Option<Cgroup>,
    /// By which the policy's state knows the group: one number for its path where programs can follow that, else the id of
    /// the control group.
    pub(crate) number: u64,
}

/// The folder that all control groups are in.
pub(crate) fn root() -> Result<PathBuf, Error> {
    mounted()?.ok_or(Error::NoCgroups)
}

/// The same, if they are mounted.
pub(crate) fn mounted() -> Result<Option<PathBuf>, Error> {
    cgroup::root().map_err(at("look where control groups are mounted"))
}

/// What it means that control groups are those of the whole machine.
pub const REACH_OUT: &str = "rules for groups reach processes outside of this user namespace, too";

/// What a container needs, so that they are not.
pub const OWN_GROUPS: &str =
    "give the container a control group namespace of its own, with cgroup2 mounted in that";

/// Whether the control groups below this folder are those of the whole machine, and this process is in a user namespace of its
/// own. A program hangs on whatever control group is opened: the kernel asks for no more (`cgroup_bpf_link_attach` of
/// kernel/bpf/cgroup.c).
pub(crate) fn are_of_all(root: &Path) -> bool {
    token::is_inside() && cgroup::is_first(root)
}

/// What a person should know of the groups of a policy where control groups are those of the whole machine.
#[must_use]
pub fn reach_out(manifest: &Manifest) -> Option<String> {
    // Outside of a container nothing is looked for.
    let asked = !manifest.groups.is_empty() && token::is_inside();
    let root = asked.then(cgroup::root)?.ok().flatten()?;
    are_of_all(&root).then(|| {
        format!(
            "the control groups that are mounted here are those of the whole machine, so {REACH_OUT}: {OWN_GROUPS}"
        )
    })
}

/// Opens the control groups, in the manifest's order. One that is gone is an error, unless the policy of `before` has known it,
/// and either programs follow its path, so that the rules hold for the next one there, or they are to hold where they still
/// can (`lenient`). When the machine has just started (`unknown`), one that programs follow may come for the first time.
pub(crate) fn open(
    manifest: &Manifest,
    follows: bool,
    before: Option<&Record>,
    (lenient, unknown): (bool, bool),
) -> Result<Vec<Group>, Error> {
    if manifest.groups.is_empty() {
        return Ok(Vec::new());
    }
    let root = root()?;
    let mut groups: Vec<Group> = Vec::new();
    for plan in &manifest.groups {
        let path = root.join(plan.cgroup.trim_start_matches('/'));
        let refused = |cause| Error::Cgroup {
            group: plan.name.clone(),
            path: path.clone(),
            cause,
        };
        let followed = follows.then(|| guard::number(&plan.cgroup));
        let (number, cgroup) = match cgroup::open(&path) {
            Ok(cgroup) => (followed.unwrap_or(cgroup.id), Some(cgroup)),
            Err(cause) => {
                let gone = cgroup::is_gone(&cause);
                let known = before.filter(|_| gone).and_then(|before| match followed {
                    Some(number) => before.cgroups.contains(&number).then_some(number),
                    None => before.number_of(plan).filter(|_| lenient),
                });
                let known = known.or(followed.filter(|_| gone && unknown));
                (known.ok_or_else(|| refused(cause))?, None)
            }
        };
        let same = |group: &&Group| {
            let there = group.cgroup.as_ref().zip(cgroup.as_ref());
            there.is_some_and(|(one, other)| one.id == other.id)
        };
        if let Some(other) = groups.iter().find(same) {
            return Err(Error::SameCgroup {
                groups: [other.name.clone(), plan.name.clone()],
                path,
            });
        }
        groups.push(Group {
            name: plan.name.clone(),
            path,
            number,
            cgroup,
        });
    }
    Ok(groups)
}

/// The maps of the groups' sockets: sockets stay in them over generations, so a new policy finds them there.
///
/// So do the storages of their own keys and of their peers'. How much a socket may put into its peer's queue is of one generation: what
/// it has written by TCP under the policy before must be read before a shortcut is taken again ([`bound`]).
pub(crate) fn kept(manifest: &Manifest, groups: &[Group], state: &State) -> Vec<Kept> {
    let plans = manifest.groups.iter().zip(groups);
    let kept = plans.flat_map(|(plan, group)| {
        let folder = state.group(group.number);
        let maps = [
            (&plan.peers, PEERS),
            (&plan.readers, READERS),
            (&plan.next, NEXT),
            (&plan.own, OWN),
            (&plan.storage, OTHERS),
        ];
        maps.map(|(name, pin)| Kept {
            name: name.clone(),
            pin: folder.join(pin),
            again: false,
        })
    });
    // Not every group has readers, and objects of earlier versions kept no key of every socket.
    kept.filter(|kept| !kept.name.is_empty()).collect()
}

/// The pin of the map without programs that holds a group's refused sockets while that one does not.
pub(crate) const PARKED: &str = "parked";

/// Takes the sockets out of the maps of a group and removes the group's folder. Without the first, the sockets would stay
/// under the last policy until the kernel frees the map, some time later. Readers stay until they are closed, and so do sockets
/// where data of a shortcut waits: what they have not read yet would be lost with their place in the map. Their dispatcher keeps
/// it for them (see [`crate::attach::dispatch`]).
pub(crate) fn release(folder: &Path) -> Result<(), Error> {
    let what = "release the sockets of a group";
    let sockets = |pin| bpffs::open(&folder.join(pin));
    if let Ok(parked) = sockets(PARKED) {
        empty(parked.as_fd()).map_err(at(what))?;
    }
    if let Ok(peers) = sockets(PEERS) {
        match sockets(OWN) {
            Ok(own) => waiting::let_go_of_others(peers.as_fd(), own.as_fd()),
            // Versions of before kept no key of every socket, and their dispatchers no map.
            Err(_) => empty(peers.as_fd()),
        }
        .map_err(at(what))?;
    }
    bpffs::remove_tree(folder).map_err(at(format!("remove {}", folder.display())))
}

fn empty(sockets: BorrowedFd<'_>) -> io::Result<()> {
    for key in map::keys(sockets)? {
        map::delete(sockets, &key)?;
    }
    Ok(())
}
