//! What an apply is about to touch, found before it touches anything: interfaces, control groups, what the kernel can do.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use sockc_compiler::artifact::{Attach, AttachPoint, Manifest};

use crate::attach::Target;
use crate::attach::guard;
use crate::code::segments;
use crate::error::{Error, at};
use crate::groups::{self, Group};
use crate::hook::{On, Point, Points};
use crate::names::classes::InTwoZones;
use crate::names::coverage;
use crate::names::interfaces::{self, Interface, There};
use crate::options::Options;
use crate::pairs::{self, SOURCES};
use crate::probe::{Features, probe};
use crate::session::Session;
use crate::sockets::refill;
use crate::state::State;
use crate::state::in_force::record_in_force;
use crate::state::record::Record;
use crate::sys::cgroup::{self, Cgroup};
use crate::sys::{bpffs, caps, netns};

/// What is known before anything is touched.
#[derive(Debug)]
pub(crate) struct Targets {
    /// The interfaces that packet programs hang on.
    pub(crate) interfaces: Vec<Interface>,
    /// Interfaces that a pattern covers but that packet programs cannot hang on.
    pub(crate) skipped: Vec<String>,
    /// Interfaces that only slots of named sockets are filled on.
    pub(crate) others: Vec<Interface>,
    /// Where packets fill slots of named sockets.
    pub(crate) fillers: Vec<Point>,
    /// Interfaces that are named and not there.
    pub(crate) missing: Vec<String>,
    /// Interfaces that are named and have another name now: the name in the policy, and the name now.
    pub(crate) renamed: Vec<(String, String)>,
    /// Interfaces in two zones that are no reason to leave the others open.
    pub(crate) two_zones: Vec<InTwoZones>,
    /// The groups, in the manifest's order.
    pub(crate) groups: Vec<Group>,
    /// The pairs, in the manifest's order: their numbers and names.
    pairs: Vec<(u64, String)>,
    /// The root of all control groups, where groups are followed by their paths from it (see [`crate::attach::guard`]).
    root: Option<PathBuf>,
    /// What may be used of the kernel.
    pub(crate) features: Features,
}

impl Targets {
    /// Finds out; an interface or a control group that is named and missing is an error.
    pub(crate) fn make(
        manifest: &Manifest,
        options: &Options,
        state: &State,
    ) -> Result<Self, Error> {
        let missing = caps::missing_to_load();
        if !missing.is_empty() {
            return Err(Error::rights(missing));
        }
        let before = in_force(state);
        let renamed = match &before {
            Some(before) => coverage::renamed(state, (&before.hooks, &before.fillers))?,
            None => Vec::new(),
        };
        let present = netns::interfaces().map_err(at("list the interfaces"))?;
        let ethernet = |name: &str| {
            netns::carries_ethernet(name).map_err(at(format!("look at the interface \"{name}\"")))
        };
        let there = There {
            present: &present,
            renamed: &renamed,
        };
        let choice = interfaces::choose(manifest, options, there, ethernet)?;
        let others = match refill::slots(manifest).next() {
            Some(_) => interfaces::others(manifest, options, &present, &choice)?,
            None => Vec::new(),
        };
        let features = options.features.unwrap_or_else(probe);
        receives(manifest, features)?;
        pairs::check(manifest, features)?;
        let follows =
            !manifest.groups.is_empty() && features.kernel_types && guard::follows(manifest);
        let root = follows.then(groups::root).transpose()?;
        let mut targets = Self {
            interfaces: choice.interfaces,
            skipped: choice.skipped,
            missing: choice.missing,
            renamed: choice.renamed,
            two_zones: choice.two_zones,
            others,
            fillers: Vec::new(),
            groups: groups::open(
                manifest,
                follows,
                before.as_ref(),
                (options.leave_out_missing, options.leave_out_unknown),
            )?,
            pairs: pairs::numbers(manifest),
            root,
            features,
        };
        targets.fillers = targets.fillers(manifest)?;
        Ok(targets)
    }

    /// Ahead of the first program that an arriving packet meets, or alone.
    fn fillers(&self, manifest: &Manifest) -> Result<Vec<Point>, Error> {
        if refill::slots(manifest).next().is_none() {
            return Ok(Vec::new());
        }
        let mut early = Vec::new();
        for attach in manifest
            .programs
            .iter()
            .filter(|attach| attach.point == AttachPoint::Xdp)
        {
            early.extend(self.points(attach)?);
        }
        let places = self
            .interfaces
            .iter()
            .chain(&self.others)
            .map(|one| one.index);
        let point = |index| match Point::Xdp(index) {
            point if early.contains(&point) => point,
            _ => Point::TcIn(index),
        };
        Ok(places.map(point).collect())
    }

    /// An interface that something hangs on.
    fn interface(&self, index: u32) -> Option<&Interface> {
        let mut all = self.interfaces.iter().chain(&self.others);
        all.find(|one| one.index == index)
    }

    /// What the interfaces are called now that redirects `at tc` are on.
    pub(crate) fn intercepting(&self, manifest: &Manifest) -> Vec<String> {
        let is_on = |class| {
            let plan = manifest.intercepts.as_ref();
            plan.is_some_and(|plan| plan.is_on(class))
        };
        let interfaces = self.interfaces.iter().filter(|one| is_on(one.class));
        interfaces.map(|one| one.name.clone()).collect()
    }

    /// The interface of a point of packets.
    pub(crate) fn interface_of(&self, point: Point) -> Option<&Interface> {
        match point.on() {
            On::Interface(index) => self.interface(index),
            _ => None,
        }
    }

    /// The points of a program of the manifest: of a packet program one for each interface of its class.
    pub(crate) fn points(&self, attach: &Attach) -> Result<Vec<Point>, Error> {
        Ok(match Points::of(&attach.point) {
            Points::Interfaces(point) => self.on_interfaces(attach.class, point),
            Points::Namespace(point) => vec![point],
            Points::Sockets(index, point) => vec![point(self.cgroup(index)?)],
            Points::Pairs(index, point) => vec![point(self.pairs(index)?)],
            Points::Group(index, point) => {
                let number = self.cgroup(index)?;
                let gone = self.gone_groups().any(|group| group.number == number);
                // On the root of all control groups it hangs whether the group is there or not.
                match gone && !self.follows() {
                    true => Vec::new(),
                    false => vec![point(number)],
                }
            }
        })
    }

    /// A program without a class is for interfaces of every class.
    fn on_interfaces(&self, class: Option<usize>, point: fn(u32) -> Point) -> Vec<Point> {
        let interfaces = self.interfaces.iter();
        let same = interfaces.filter(|one| class.is_none_or(|class| class == one.class));
        same.map(|one| point(one.index)).collect()
    }

    fn pairs(&self, index: usize) -> Result<u64, Error> {
        let pairs = self.pairs.get(index).ok_or_else(|| Error::Object {
            cause: "a program belongs to pairs that are not there".to_owned(),
        })?;
        Ok(pairs.0)
    }

    fn cgroup(&self, index: usize) -> Result<u64, Error> {
        let group = self.groups.get(index).ok_or_else(|| Error::Object {
            cause: "a program belongs to a group that is not there".to_owned(),
        })?;
        Ok(group.number)
    }

    /// What the programs of a point hang on.
    pub(crate) fn of(&self, point: Point, session: &Session) -> Result<Vec<Target>, Error> {
        Ok(match point.on() {
            On::Interface(index) => self.interface_target(index),
            On::Namespace => vec![namespace(session)?],
            On::Root => vec![control_group(&groups::root()?)?],
            On::Group(id) => vec![self.connections_of(id)?],
            On::Sockets(id) => vec![self.sockets(point, id, session)?],
            On::Pairs(number) => vec![self.sources(number, session)?],
        })
    }

    /// The number and the name of what the program of a point hangs on, whether anything is there yet or not.
    pub(crate) fn place(&self, point: Point, session: &Session) -> Result<(u64, String), Error> {
        Ok(match point.on() {
            On::Interface(index) => (
                index.into(),
                self.interface(index)
                    .map(|one| one.name.clone())
                    .unwrap_or_default(),
            ),
            On::Namespace => (session.namespace.inode, String::new()),
            On::Root => {
                let root = control_group(&groups::root()?)?;
                (root.number(), root.title().to_owned())
            }
            On::Pairs(number) => (number, self.name_of(number)),
            On::Group(id) | On::Sockets(id) => (id, self.path_of(id).display().to_string()),
        })
    }

    /// What the program hangs on that sees the connections of a group: the root of all control groups, or the group's own. Its
    /// pin is named by the group's number in any case, since many groups may hang on the root.
    fn connections_of(&self, id: u64) -> Result<Target, Error> {
        let path = self.path_of(id);
        let Some(root) = &self.root else {
            return control_group(path);
        };
        Ok(Target::Cgroup {
            number: id,
            directory: open(root)?.directory,
            group: path.display().to_string(),
            on: self.hangs_on(id),
        })
    }

    /// The folder of the control group that what sees the connections of a group hangs on, if it is not the group's own.
    fn hangs_on(&self, id: u64) -> Option<String> {
        let root = self.root.as_deref();
        let root = root.filter(|root| *root != self.path_of(id));
        root.map(|root| root.display().to_string())
    }

    /// The same of a point.
    pub(crate) fn instead_of_group(&self, point: Point) -> Option<String> {
        match point.on() {
            On::Group(id) => self.hangs_on(id),
            On::Interface(_) | On::Namespace | On::Root | On::Sockets(_) | On::Pairs(_) => None,
        }
    }

    fn interface_target(&self, index: u32) -> Vec<Target> {
        self.interface(index)
            .map(|one| Target::Interface(index, one.name.clone()))
            .into_iter()
            .collect()
    }

    /// The groups whose control groups are gone, and which are left out.
    pub(crate) fn gone_groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.cgroup.is_none())
    }

    /// Whether groups are followed by their paths.
    pub(crate) fn follows(&self) -> bool {
        self.root.is_some()
    }

    fn path_of(&self, id: u64) -> &Path {
        let group = self.groups.iter().find(|group| group.number == id);
        group.map_or(Path::new(""), |group| &group.path)
    }

    /// The name of pairs.
    fn name_of(&self, number: u64) -> String {
        let pairs = self.pairs.iter().find(|(own, _)| *own == number);
        pairs.map(|(_, name)| name.clone()).unwrap_or_default()
    }

    fn sources(&self, number: u64, session: &Session) -> Result<Target, Error> {
        let pin = session.state.pairs(number).join(SOURCES);
        let map = bpffs::open(&pin).map_err(at(format!("open {}", pin.display())))?;
        Ok(Target::Sources(number, self.name_of(number), map))
    }

    fn sockets(&self, point: Point, id: u64, session: &Session) -> Result<Target, Error> {
        let folder = session.state.group(id);
        let pin = point
            .sockets()
            .map_or(folder.clone(), |pin| folder.join(pin));
        let map = bpffs::open(&pin).map_err(at(format!("open {}", pin.display())))?;
        let path = self.path_of(id).display().to_string();
        Ok(Target::Sockets(id, path, map))
    }
}

/// Refuses what arrives on connections where the kernel does not hand all of it to a program, or some of it twice.
fn receives(manifest: &Manifest, features: Features) -> Result<(), Error> {
    let mut programs = manifest.programs.iter();
    let receives = programs.any(|one| matches!(one.point, AttachPoint::SkSkb(_)));
    if !receives {
        return Ok(());
    }
    let able = match features.sk_skb_verdict {
        true => segments::known(features.segments),
        false => Err("this kernel takes no sk_skb programs without a parser (BPF_SK_SKB_VERDICT, Linux 5.13), and hands what arrives before a connection is accepted to its reader unseen".to_owned()),
    };
    able.map_err(|why| Error::Kernel {
        what: "attach the receive program to a group".to_owned(),
        cause: io::Error::other(format!(
            "{why}; name `udp` in the rules of `receive` and let its default allow, or decide by packets with `in`"
        )),
    })
}

/// The policy in force. A record that cannot be read is told where it is read under the lock.
fn in_force(state: &State) -> Option<Record> {
    record_in_force(state).ok().flatten()
}

fn namespace(session: &Session) -> Result<Target, Error> {
    let namespace = &session.namespace;
    let fd = namespace.as_fd().try_clone_to_owned();
    let fd = fd.map_err(at("hold the network namespace"))?;
    Ok(Target::Namespace(namespace.inode, fd))
}

fn control_group(path: &Path) -> Result<Target, Error> {
    let group = open(path)?;
    Ok(Target::Cgroup {
        number: group.id,
        directory: group.directory,
        group: path.display().to_string(),
        on: None,
    })
}

fn open(path: &Path) -> Result<Cgroup, Error> {
    cgroup::open(path).map_err(at(format!("open {}", path.display())))
}
