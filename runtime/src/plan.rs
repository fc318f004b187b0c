//! What an apply is about to touch, found before it touches anything: interfaces, control groups, what the kernel can do.

use std::os::fd::AsFd;
use std::path::Path;

use sockc_compiler::artifact::{AttachPoint, Manifest};

use crate::attach::Target;
use crate::error::{Error, at};
use crate::groups::{self, Group, PEERS};
use crate::hook::Point;
use crate::interfaces;
use crate::options::Options;
use crate::probe::{Features, probe};
use crate::session::Session;
use crate::sys::{bpffs, cgroup, netns};

/// What is known before anything is touched.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Index and name of the interfaces that packet programs hang on.
    pub(crate) interfaces: Vec<(u32, String)>,
    /// Interfaces that a pattern covers but that packet programs cannot hang on.
    pub(crate) skipped: Vec<String>,
    /// The groups, in the manifest's order.
    pub(crate) groups: Vec<Group>,
    /// What may be used of the kernel.
    pub(crate) features: Features,
}

impl Plan {
    /// Finds out; an interface or a control group that is named and missing is an error.
    pub(crate) fn make(manifest: &Manifest, options: &Options) -> Result<Self, Error> {
        let present = netns::interfaces().map_err(at("list the interfaces"))?;
        let ethernet = |name: &str| {
            netns::carries_ethernet(name).map_err(at(format!("look at the interface \"{name}\"")))
        };
        let choice = interfaces::choose(manifest, options, &present, ethernet)?;
        Ok(Self {
            interfaces: choice.interfaces,
            skipped: choice.skipped,
            groups: groups::open(manifest)?,
            features: options.features.unwrap_or_else(probe),
        })
    }

    /// The point of a program of the manifest.
    pub(crate) fn point(&self, point: &AttachPoint) -> Result<Point, Error> {
        Ok(match point {
            AttachPoint::Xdp => Point::Xdp,
            AttachPoint::TcIn => Point::TcIn,
            AttachPoint::TcOut => Point::TcOut,
            AttachPoint::SkLookup => Point::Lookup,
            AttachPoint::SkMsg(index) => Point::Send(self.cgroup(*index)?),
            AttachPoint::SockOps(index) => Point::SockOps(self.cgroup(*index)?),
        })
    }

    fn cgroup(&self, index: usize) -> Result<u64, Error> {
        let group = self.groups.get(index).ok_or_else(|| Error::Object {
            cause: "a program belongs to a group that is not there".to_owned(),
        })?;
        Ok(group.cgroup.id)
    }

    /// What the programs of a point hang on.
    pub(crate) fn targets(&self, point: Point, session: &Session) -> Result<Vec<Target>, Error> {
        Ok(match point {
            Point::Xdp | Point::TcIn | Point::TcOut => self.interface_targets(),
            Point::Lookup => vec![namespace(session)?],
            Point::Listen => vec![control_group(&cgroup::root().ok_or(Error::NoCgroups)?)?],
            Point::SockOps(id) => vec![control_group(self.path_of(id))?],
            Point::Send(id) => vec![self.peers(id, session)?],
        })
    }

    fn interface_targets(&self) -> Vec<Target> {
        let interfaces = self.interfaces.iter();
        interfaces
            .map(|(index, name)| Target::Interface(*index, name.clone()))
            .collect()
    }

    fn path_of(&self, id: u64) -> &Path {
        let group = self.groups.iter().find(|group| group.cgroup.id == id);
        group.map_or(Path::new(""), |group| &group.path)
    }

    fn peers(&self, id: u64, session: &Session) -> Result<Target, Error> {
        let pin = session.state.group(id).join(PEERS);
        let map = bpffs::open(&pin).map_err(at(format!("open {}", pin.display())))?;
        let path = self.path_of(id).display().to_string();
        Ok(Target::Peers(id, path, map))
    }
}

fn namespace(session: &Session) -> Result<Target, Error> {
    let namespace = &session.namespace;
    let fd = namespace.as_fd().try_clone_to_owned();
    let fd = fd.map_err(at("hold the network namespace"))?;
    Ok(Target::Namespace(namespace.inode, fd))
}

fn control_group(path: &Path) -> Result<Target, Error> {
    let group = cgroup::open(path).map_err(at(format!("open {}", path.display())))?;
    Ok(Target::Cgroup(
        group.id,
        group.directory,
        path.display().to_string(),
    ))
}
