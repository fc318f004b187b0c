//! Programs of sockc on the hooks of a namespace whose state folder knows nothing of them.
//!
//! They are pinned in a bpf file system that this process does not see: another mount namespace's, or one that something was
//! mounted over. Takes the namespace of a session; says on which hooks they are. What hangs on an interface or a namespace is
//! asked there; what hangs on control groups and on sockets holds for the whole machine, and is known to be a namespace's
//! policy by the mark of its maps. Not here: what to do about them.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use crate::attach::foreign::{self, Foreign};
use crate::error::{Error, at};
use crate::hook::{Hook, Means, Point, is_dispatcher};
use crate::session::Session;
use crate::state::{Access, Lock};
use crate::sys::link::{self, On};
use crate::sys::prog::{self, AttachTarget};
use crate::sys::{caps, cgroup, map, netns};

/// Hooks that hold programs of sockc.
#[derive(Debug, Default)]
pub(crate) struct Strange {
    /// The hooks, in words.
    pub(crate) hooks: Vec<String>,
    /// The indices of the interfaces that have an XDP program.
    pub(crate) xdp: Vec<u32>,
}

/// Refuses to say that nothing is in force where dispatchers are on hooks and no folder knows them.
pub(crate) fn refuse(session: &Session, bpffs: &Path) -> Result<(), Error> {
    if look(session)?.hooks.is_empty() {
        return Ok(());
    }
    // Where a folder is, a command is just putting a policy in force, and has attached them; they sleep.
    match Lock::take(&session.state, Access::Read, Duration::ZERO) {
        Ok(Some(_)) | Err(Error::Locked { .. }) => Ok(()),
        // Where a command has just taken a policy away, with its folder, they are gone by now.
        Ok(None) => look(session)?.refused(bpffs),
        Err(error) => Err(error),
    }
}

impl Strange {
    /// That they are there, as a refusal.
    pub(crate) fn refused(self, bpffs: &Path) -> Result<(), Error> {
        if self.hooks.is_empty() {
            return Ok(());
        }
        Err(Error::Elsewhere {
            bpffs: bpffs.to_owned(),
            hooks: self.hooks,
        })
    }
}

/// Whether this process may not ask for what others pinned, so that what is found is not all.
pub(crate) fn is_blind() -> bool {
    !caps::may_ask_by_id()
}

/// What is there.
pub(crate) fn look(session: &Session) -> Result<Strange, Error> {
    let mut found = Strange::default();
    for (index, name) in netns::interfaces().map_err(at("list the interfaces"))? {
        let xdp = foreign::xdp(index.into())?;
        if xdp.is_some_and(|(_, program)| is_dispatcher(&program)) {
            found.hooks.push(words(Point::Xdp(index), &name));
            found.xdp.push(index);
        }
        for point in [Point::TcIn(index), Point::TcOut(index)] {
            if ours(&on_tc(index, point)?) {
                found.hooks.push(words(point, &name));
            }
        }
    }
    if ours(&foreign::lookups(session.namespace.as_fd(), &[])?) {
        found.hooks.push(Point::Lookup.title());
    }
    let mark = session.namespace.mark();
    let on_groups = on_groups(&mark).map_err(at("say which programs are attached"))?;
    found.hooks.extend(on_groups);
    Ok(found)
}

fn on_tc(index: u32, point: Point) -> Result<Vec<Foreign>, Error> {
    let mut programs = foreign::on(AttachTarget::Interface(index), point.kind().attach, &[])?;
    let filters = Hook {
        point,
        target: index.into(),
        since: 0,
        means: Means::Clsact,
    };
    programs.extend(foreign::filters(&filters, None)?);
    Ok(programs)
}

/// Those on control groups and on sockets of groups whose programs use a map with this mark.
fn on_groups(mark: &str) -> io::Result<Vec<String>> {
    if is_blind() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for link in link::all()? {
        let place = match link.on {
            On::Cgroup(id, attach) => on_group(id, attach)?,
            On::Sockets => format!("{} on the sockets of a group", Point::Send(0).title()),
            On::Other => continue,
        };
        if is_marked(link.program, mark)? {
            found.push(format!("{place} (link {})", link.id));
        }
    }
    Ok(found)
}

fn on_group(id: u64, attach: u32) -> io::Result<String> {
    let title = Point::title_on_group(attach).unwrap_or_else(|| format!("attach type {attach}"));
    let root = cgroup::root()?;
    let folder = root
        .map(|root| cgroup::with_id(&root, id))
        .transpose()?
        .flatten();
    Ok(match folder {
        Some(folder) => format!("{title} {}", folder.display()),
        None => format!("{title} control group {id}"),
    })
}

/// Whether a program is a dispatcher that uses a map with this mark; one that has gone meanwhile is none.
fn is_marked(program: u32, mark: &str) -> io::Result<bool> {
    let marked = || {
        let program = prog::by_id(program)?;
        if !is_dispatcher(&prog::describe(program.as_fd())?.name) {
            return Ok(false);
        }
        for map in prog::maps(program.as_fd())? {
            if map::title(map::by_id(map)?.as_fd())? == mark {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match marked() {
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(false),
        marked => marked,
    }
}

fn ours(programs: &[Foreign]) -> bool {
    programs.iter().any(|one| is_dispatcher(&one.name))
}

fn words(point: Point, interface: &str) -> String {
    format!("{} {interface}", point.title())
}
