//! Programs of sockc on the hooks of a namespace whose state folder knows nothing of them.
//!
//! They are pinned in a bpf file system that this process does not see: another mount namespace's, or one that something was
//! mounted over. Takes the namespace of a session; says on which hooks they are. What hangs on an interface or a namespace is
//! asked there; what hangs on control groups and on sockets holds for the whole machine, and is known to be a namespace's
//! policy by the mark of its maps. So is what policies of other namespaces have there, which this one's processes meet too
//! ([`others`]). Not here: what becomes of them.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sockc_compiler::artifact::{AttachPoint, GroupPlan, Manifest};

use crate::attach::foreign::{self, Foreign};
use crate::attach::whose::{self, Dispatcher};
use crate::error::{Error, at, unless_passing};
use crate::groups;
use crate::hook::{Hook, Means, Point, is_dispatcher};
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::{Access, Lock};
use crate::sys::link::{self, Description, On};
use crate::sys::netns::{Identity, of_mark};
use crate::sys::prog::AttachTarget;
use crate::sys::{bpffs, caps, cgroup, map, netns};

/// Hooks that hold programs of sockc.
#[derive(Debug, Default)]
pub(crate) struct Strange {
    /// The hooks, in words.
    pub(crate) hooks: Vec<String>,
    /// The indices of the interfaces that have an XDP program.
    pub(crate) xdp: Vec<u32>,
}

/// What a process does not know that may not ask for what others made. Nobody in a container may.
const UNSEEN_POLICY: &str = "whether a policy is in force that another bpf file system keeps cannot be seen without CAP_SYS_ADMIN of the machine";
const UNSEEN_GROUPS: &str = "whether policies of other network namespaces hold for groups cannot be seen without CAP_SYS_ADMIN of the machine";
const UNSEEN_BESIDE: &str = "whether others attached programs next to those here, but at XDP, cannot be seen without rights of the machine";

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
#[must_use]
pub fn is_blind() -> bool {
    !caps::may_ask_by_id()
}

/// What this process cannot see of others next to a policy, or next to none.
#[must_use]
pub fn unseen(manifest: Option<&Manifest>) -> Vec<&'static str> {
    let Some(manifest) = manifest else {
        return is_blind().then_some(UNSEEN_POLICY).into_iter().collect();
    };
    let mut programs = manifest.programs.iter();
    let beside = foreign::are_hidden() && programs.any(|one| one.point != AttachPoint::Xdp);
    let groups = is_blind() && !manifest.groups.is_empty();
    let told = [(beside, UNSEEN_BESIDE), (groups, UNSEEN_GROUPS)];
    let told = told.into_iter().filter(|(is, _)| *is);
    told.map(|(_, words)| words).collect()
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
    for one in on_groups().map_err(at(UNSAID))? {
        if one.dispatcher.marks.contains(&mark) {
            found.hooks.push(one.words().map_err(at(UNSAID))?);
        }
    }
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

/// A dispatcher on a control group or on the sockets of a group.
struct OnGroup {
    link: Description,
    dispatcher: Dispatcher,
}

fn on_groups() -> io::Result<Vec<OnGroup>> {
    if is_blind() {
        return Ok(Vec::new());
    }
    let links = link::all()?.into_iter().filter(|link| link.on != On::Other);
    let found = links.map(|link| {
        let dispatcher = whose::dispatcher(link.program)?;
        Ok(dispatcher.map(|dispatcher| OnGroup { link, dispatcher }))
    });
    found.filter_map(io::Result::transpose).collect()
}

impl OnGroup {
    /// Its hook. All control groups of the machine are looked through for it.
    fn words(&self) -> io::Result<String> {
        let group = self.dispatcher.group.map(whose::folder).transpose()?;
        let place = place(self.link.on, group.flatten().as_deref())?;
        Ok(format!("{place} (link {})", self.link.id))
    }
}

/// What a link hangs on, and the folder of the group that it is for, if that is another and is known.
fn place(on: On, group: Option<&Path>) -> io::Result<String> {
    let (title, hangs) = match on {
        On::Cgroup(id, attach) => {
            let title = Point::title_on_group(attach);
            let title = title.unwrap_or_else(|| format!("attach type {attach}"));
            let folder = cgroup::folder(id)?;
            (title, folder.ok_or_else(|| format!("control group {id}")))
        }
        On::Sockets | On::Other => (
            Point::Send(0).title(),
            Err("on the sockets of a group".to_owned()),
        ),
    };
    Ok(match (hangs, group) {
        (Ok(folder), Some(group)) if folder != group => {
            format!("{title} {} for {}", folder.display(), group.display())
        }
        (Ok(folder), _) => format!("{title} {}", folder.display()),
        (Err(hangs), Some(group)) => format!("{title} {hangs} for {}", group.display()),
        (Err(hangs), None) => format!("{title} {hangs}"),
    })
}

/// The hooks on groups of a policy that was applied in another network namespace. What they decide holds for the processes of
/// the groups in every namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherNamespace {
    /// The name of the map by which its programs are known to be its.
    pub mark: String,
    /// The hooks, in words.
    pub hooks: Vec<String>,
    /// The ids of the programs that hang there.
    pub programs: Vec<u32>,
    /// Its state folder, if that is in the bpf file system that was asked.
    pub state: Option<PathBuf>,
    /// Whether it has the sockets of a group in its tables.
    pub(crate) takes_in: bool,
    /// Whether it takes connections in of groups that rules of `send` or `receive` here are about.
    pub competes: bool,
    /// A path by which the namespace is entered, if somebody who holds it is seen.
    pub path: Option<PathBuf>,
    /// What takes the hooks off.
    pub remedy: String,
}

/// The policies of other network namespaces that have hooks on groups; only for CAP_SYS_ADMIN, else none.
///
/// # Errors
///
/// Any [`Error`].
pub fn others(options: &Options) -> Result<Vec<OtherNamespace>, Error> {
    session::enter(options, |session| all(session, &options.bpffs, |_| true))
}

/// Those of them that are for groups which have processes in common with groups of these policies.
///
/// # Errors
///
/// Any [`Error`].
pub fn others_near(
    options: &Options,
    manifests: &[&Manifest],
) -> Result<Vec<OtherNamespace>, Error> {
    session::enter(options, |session| near(session, &options.bpffs, manifests))
}

/// The same within a session.
pub(crate) fn near(
    session: &Session,
    bpffs: &Path,
    manifests: &[&Manifest],
) -> Result<Vec<OtherNamespace>, Error> {
    let mut near = beside(session, bpffs, folders(manifests, |_| true)?)?;
    let competing = competing(session, bpffs, manifests)?;
    for other in &mut near {
        other.competes = competing.iter().any(|one| one.mark == other.mark);
    }
    Ok(near)
}

/// Those that take connections in of groups which these policies take connections in of: the kernel gives each to one of both.
pub(crate) fn competing(
    session: &Session,
    bpffs: &Path,
    manifests: &[&Manifest],
) -> Result<Vec<OtherNamespace>, Error> {
    let mut found = beside(session, bpffs, folders(manifests, GroupPlan::takes_in)?)?;
    found.retain(|other| other.takes_in);
    Ok(found)
}

/// The folders of the control groups of some groups.
fn folders(
    manifests: &[&Manifest],
    wanted: impl Fn(&GroupPlan) -> bool,
) -> Result<Vec<PathBuf>, Error> {
    let plans = manifests.iter().flat_map(|manifest| &manifest.groups);
    let plans = plans.filter(|plan| wanted(plan));
    let paths: BTreeSet<&str> = plans.map(|plan| plan.cgroup.as_str()).collect();
    let Some(root) = groups::mounted()?.filter(|_| !paths.is_empty()) else {
        return Ok(Vec::new());
    };
    let folders = paths.into_iter();
    let folders = folders.map(|path| root.join(path.trim_start_matches('/')));
    Ok(folders.collect())
}

/// Those that are for groups which have processes in common with those of the control groups in these folders.
fn beside(
    session: &Session,
    bpffs: &Path,
    folders: impl IntoIterator<Item = PathBuf>,
) -> Result<Vec<OtherNamespace>, Error> {
    let mut related = BTreeSet::new();
    for folder in folders {
        related.extend(whose::related(&folder).map_err(at(UNSAID))?);
    }
    if related.is_empty() {
        return Ok(Vec::new());
    }
    all(session, bpffs, |group| related.contains(&group))
}

/// One of them that has sockets of the group in this folder in its tables. The kernel takes a socket into the tables of one alone
/// (`sock_map_link` of `net/core/sock_map.c` gives EBUSY), and asks nobody else about it.
pub(crate) fn taking_in(
    session: &Session,
    bpffs: &Path,
    folder: &Path,
) -> Result<Option<OtherNamespace>, Error> {
    let near = beside(session, bpffs, [folder.to_owned()])?;
    Ok(near.into_iter().find(|other| other.takes_in))
}

/// Those whose groups, as far as their numbers are known, are `wanted`.
fn all(
    session: &Session,
    bpffs: &Path,
    wanted: impl Fn(u64) -> bool,
) -> Result<Vec<OtherNamespace>, Error> {
    let own = session.namespace.mark();
    let mut found: Vec<OtherNamespace> = Vec::new();
    for one in on_groups().map_err(at(UNSAID))? {
        let marks = &one.dispatcher.marks;
        // Without a group it only sees who listens.
        let group = one.dispatcher.group.filter(|group| wanted(*group));
        let (Some(_), false) = (group, marks.contains(&own)) else {
            continue;
        };
        let Some(mark) = marks.first() else {
            continue;
        };
        let known = found.iter().position(|other| other.mark == *mark);
        let place = known.unwrap_or(found.len());
        if known.is_none() {
            found.push(other(session, bpffs, mark.clone())?);
        }
        found[place].hooks.push(one.words().map_err(at(UNSAID))?);
        found[place].programs.push(one.link.program);
        found[place].takes_in |= one.link.takes_in();
    }
    Ok(found)
}

fn other(session: &Session, bpffs: &Path, mark: String) -> Result<OtherNamespace, Error> {
    let inode = marked(session, &mark)?;
    let entrance = |inode| {
        let cookie = session.namespace.cookie.and_then(|_| of_mark(&mark));
        netns::entrance(Identity { inode, cookie }).map_err(at("look for a network namespace"))
    };
    let path = inode.map(entrance).transpose()?.flatten();
    let state = inode.map(|inode| session.state.sibling(inode).root().to_owned());
    let remedy = match (&path, &state) {
        (Some(path), _) => format!(
            "`sockc unload --netns {} --bpffs {}` takes it away",
            path.display(),
            bpffs.display()
        ),
        (None, Some(state)) => format!(
            "nobody is seen here who is in that namespace: `sockc unload` there takes the policy away; where the namespace has ended, `rm -r {}` does",
            state.display()
        ),
        (None, None) => format!(
            "it is pinned in another bpf file system than {}: an unload where that is seen takes it away; where that namespace has ended, removing its folder `sockc/INODE` in that file system does",
            bpffs.display()
        ),
    };
    Ok(OtherNamespace {
        mark,
        hooks: Vec::new(),
        programs: Vec::new(),
        state,
        takes_in: false,
        competes: false,
        path,
        remedy,
    })
}

/// The network namespace whose folder has the word with this mark.
fn marked(session: &Session, mark: &str) -> Result<Option<u64>, Error> {
    for inode in session.state.others()? {
        let path = session.state.sibling(inode).control();
        let title = bpffs::open(&path).and_then(|control| map::title(control.as_fd()).map(Some));
        if unless_passing(&path, title)?.is_some_and(|title| title == mark) {
            return Ok(Some(inode));
        }
    }
    Ok(None)
}

impl OtherNamespace {
    /// Whether all of its programs are among these, which are told next to ours.
    fn is_among(&self, told: &[u32]) -> bool {
        self.programs.iter().all(|program| told.contains(program))
    }

    /// That it is there, and what to do; only that, and of which namespace it is, where all of its programs are `told` next to
    /// ours.
    #[must_use]
    pub fn words(&self, told: &[u32]) -> String {
        let Self {
            mark,
            hooks,
            remedy,
            ..
        } = self;
        let escape = match self.competes {
            true => format!("{}; ", self.escape()),
            false => String::new(),
        };
        if self.is_among(told) {
            return format!("of the policy of sockc with the mark {mark}: {escape}{remedy}");
        }
        format!(
            "a policy of sockc that was applied in another network namespace (with the mark {mark}) has hooks on groups, and holds for their processes in every namespace, whatever a policy here allows: {}; {escape}{remedy}",
            hooks.join(", ")
        )
    }

    /// What it means that it [competes](Self::competes). The kernel takes a socket into the tables of one policy alone.
    #[must_use]
    pub fn escape(&self) -> String {
        format!(
            "rules of `send` and `receive` here do not hold for the connections that the policy with the mark {} has taken in",
            self.mark
        )
    }
}

/// What was asked, where that is refused.
const UNSAID: &str = "say which programs are attached";

fn ours(programs: &[Foreign]) -> bool {
    programs.iter().any(|one| is_dispatcher(&one.name))
}

fn words(point: Point, interface: &str) -> String {
    format!("{} {interface}", point.title())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_told_with_our_hooks_if_all_its_programs_are() {
        let other = OtherNamespace {
            mark: "mark".to_owned(),
            hooks: vec!["connect4 /a".to_owned(), "sendmsg4 /a".to_owned()],
            programs: vec![7, 8],
            state: None,
            takes_in: false,
            competes: false,
            path: None,
            remedy: String::new(),
        };
        let told = [&[][..], &[7], &[8], &[8, 9, 7]].map(|told| other.is_among(told));
        assert_eq!(told, [false, false, false, true]);
        let words = [&[7][..], &[7, 8]].map(|told| other.words(told));
        let hooks = words.each_ref().map(|words| words.contains("connect4 /a"));
        assert_eq!(hooks, [true, false]);
        assert!(words.iter().all(|words| words.contains("mark")));
    }
}
