//! What a dispatcher tells by the names of the maps that it uses: whose it is, and which group it is for.
//!
//! Rules of groups hold in every network namespace, and what is pinned of them may not be seen here. Takes the id of a
//! program; gives its marks. Not here: who asks.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::guard;
use crate::hook::{On, Point, is_dispatcher};
use crate::sys::{cgroup, map, netns, prog};

/// What the slots of a group's points are called by; the number follows, as far as the kernel keeps a name.
const GROUP: char = 'g';
/// So much of a group's number fits into the name of a map.
const KEPT: u64 = u64::MAX >> 8;

/// A dispatcher of sockc.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    /// The marks of the network namespaces whose words it reads.
    pub(crate) marks: Vec<String>,
    /// What is kept of the number of its group; `None` of other points.
    pub(crate) group: Option<u64>,
}

/// The name of the map with the program slots of a point.
pub(crate) fn slots_title(point: Point) -> String {
    match point.on() {
        On::Group(number) | On::Sockets(number) => format!("{GROUP}{:014x}", number & KEPT),
        On::Interface(_) | On::Namespace | On::Root | On::Pairs(_) => "sockc_slots".to_owned(),
    }
}

/// What a program is, if it is a dispatcher; one that has gone meanwhile is none.
pub(crate) fn dispatcher(program: u32) -> io::Result<Option<Dispatcher>> {
    match asked(program) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        asked => asked,
    }
}

fn asked(program: u32) -> io::Result<Option<Dispatcher>> {
    let program = prog::by_id(program)?;
    if !is_dispatcher(&prog::describe(program.as_fd())?.name) {
        return Ok(None);
    }
    let maps = prog::maps(program.as_fd())?.into_iter();
    let titles = maps.map(|id| map::title(map::by_id(id)?.as_fd()));
    let titles: Vec<String> = titles.collect::<io::Result<_>>()?;
    let number = |title: &String| u64::from_str_radix(title.strip_prefix(GROUP)?, 16).ok();
    Ok(Some(Dispatcher {
        group: titles.iter().find_map(number),
        marks: titles
            .into_iter()
            .filter(|one| netns::is_mark(one))
            .collect(),
    }))
}

/// What is kept of the numbers by which groups are known that have sockets in common with the one in a folder: those above
/// and below it, by their path and by their id.
pub(crate) fn related(folder: &Path) -> io::Result<BTreeSet<u64>> {
    let Some(root) = cgroup::root()? else {
        return Ok(BTreeSet::new());
    };
    let mut folders = cgroup::all_below(folder)?;
    let above = folder.ancestors().filter(|one| one.starts_with(&root));
    folders.extend(above.map(Path::to_owned));
    let mut found = BTreeSet::new();
    for folder in folders {
        found.extend(numbers(&root, &folder)?);
    }
    Ok(found)
}

/// The folder of the control group that is known by this much of a number.
pub(crate) fn folder(group: u64) -> io::Result<Option<PathBuf>> {
    let Some(root) = cgroup::root()? else {
        return Ok(None);
    };
    let mut folders = cgroup::all_below(&root)?;
    folders.push(root.clone());
    for folder in folders {
        if numbers(&root, &folder)?.contains(&group) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// What is kept of the numbers of the control group in a folder; of one that is gone, that of its path.
fn numbers(root: &Path, folder: &Path) -> io::Result<Vec<u64>> {
    let path = folder.strip_prefix(root).unwrap_or(folder);
    let by_path = guard::number(&path.to_string_lossy());
    let id = cgroup::unless_gone(fs::metadata(folder))?.map(|about| about.ino());
    Ok([Some(by_path), id]
        .into_iter()
        .flatten()
        .map(|number| number & KEPT)
        .collect())
}
