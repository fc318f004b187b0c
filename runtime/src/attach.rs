//! Attaches dispatchers to the kernel and takes them off again.
//!
//! Takes a point and a target; gives a pinned [`Attached`] hook. What is not ours is never touched: if another XDP program is
//! there, that is an error which names it. [`asleep`] is what stands in slots that are to be empty. [`dispatch`] writes the program that hangs there, [`guard`] what it asks of
//! connections first, [`layered`] what of sockets that are written to; [`foreign`] and [`filter`] say who else is there, [`whose`] of which policy a dispatcher is. Not here: which hooks a policy needs.

pub(crate) mod asleep;
pub(crate) mod dispatch;
mod filter;
pub(crate) mod foreign;
pub(crate) mod guard;
mod layered;
pub(crate) mod whose;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::programs::TcAttachType;
use aya::programs::tc::{self, NlOptions, SchedClassifier, TcAttachOptions};
use aya_obj::generated::{XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};

use crate::delivery::ports;
use crate::error::{Error, at, is_machine, reasons, system_error, unless_passing};
use crate::hook::{Hook, Means, On, Point};
use crate::pairs::SOURCES;
use crate::probe::Features;
use crate::state::State;
use crate::state::record::Attached;
use crate::sys::prog::AttachTarget;
use crate::sys::{bpffs, link, netns, prog};
use dispatch::{First, Words};
use guard::Guard;
use layered::Layered;

/// Ahead of every program that is there: one that returns something else than "next" decides alone, and would decide instead
/// of ours (`include/uapi/linux/bpf.h`; TCX is younger than this flag).
const BPF_F_BEFORE: u32 = 1 << 3;

/// What a hook hangs on.
#[derive(Debug)]
pub(crate) enum Target {
    /// An interface: index and name.
    Interface(u32, String),
    /// The network namespace, by inode.
    Namespace(u64, OwnedFd),
    /// A control group.
    Cgroup {
        /// The number of the group whose connections are looked at.
        number: u64,
        /// The folder that the program hangs on.
        directory: File,
        /// The path of the group.
        group: String,
        /// The path of what it hangs on, if that is not the group's own but one around it.
        on: Option<String>,
    },
    /// The sockets of a group: id and path of its control group, and a map that holds them.
    Sockets(u64, String, OwnedFd),
    /// The connections of pairs: number and name of them, and the map that holds those whose data is moved.
    Sources(u64, String, OwnedFd),
}

impl Target {
    /// Its number in the name of the pin.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Interface(index, _) => (*index).into(),
            Self::Namespace(number, _)
            | Self::Cgroup { number, .. }
            | Self::Sockets(number, ..)
            | Self::Sources(number, ..) => *number,
        }
    }

    /// What a person calls it.
    pub(crate) fn title(&self) -> &str {
        match self {
            Self::Interface(_, name) => name,
            Self::Namespace(..) => "",
            Self::Cgroup { group: path, .. } | Self::Sockets(_, path, _) => path,
            Self::Sources(_, name, _) => name,
        }
    }

    fn place(&self) -> AttachTarget<'_> {
        match self {
            Self::Interface(index, _) => AttachTarget::Interface(*index),
            Self::Namespace(_, fd) | Self::Sockets(_, _, fd) | Self::Sources(_, _, fd) => {
                AttachTarget::Fd(fd.as_fd())
            }
            Self::Cgroup { directory, .. } => AttachTarget::Fd(directory.as_fd()),
        }
    }
}

/// Attaches the dispatcher of a point to a target and pins it. It sleeps until generation `since` is in force.
pub(crate) fn attach(
    state: &State,
    point: Point,
    target: &Target,
    since: u32,
    features: Features,
) -> Result<Attached, Error> {
    let what = format!(
        "attach the {} program to {}",
        point.title(),
        title_of(target)
    );
    let hangs_on = (target.number(), target.title());
    let program = dispatcher(state, point, since, hangs_on).map_err(at(what.clone()))?;
    let hook = |means| Hook {
        point,
        target: target.number(),
        since,
        means,
    };
    let means = match point {
        Point::Xdp(_) => attach_xdp(state, program.as_fd(), target, &hook)?,
        Point::TcIn(_) | Point::TcOut(_) if !features.tcx => {
            attach_clsact(state, program.as_fd(), target, hook(Means::Clsact))?
        }
        Point::TcIn(_) | Point::TcOut(_) => pin_link(
            state,
            program.as_fd(),
            target,
            hook(Means::Tcx),
            BPF_F_BEFORE,
        )
        .map_err(at(what))?,
        Point::Send(_) | Point::Receive(_) | Point::Splice(_) if !features.sockmap_link => {
            attach_to_map(state, program.as_fd(), target, hook(Means::MapAttach))
                .map_err(at(what))?
        }
        _ => pin_link(state, program.as_fd(), target, hook(Means::Link), 0)
            .map_err(|cause| at(what)(with_reason(point, cause)))?,
    };
    Ok(Attached {
        hook: hook(means),
        target: target.title().to_owned(),
    })
}

/// The kernel takes 64 lookup programs in a network namespace, and says E2BIG to the next (`netns_bpf_link_attach` of
/// `kernel/bpf/net_namespace.c`), and as many sock_ops programs on a control group (`BPF_CGROUP_MAX_PROGS`): "argument list too
/// long" tells nobody that.
fn with_reason(point: Point, cause: io::Error) -> io::Error {
    if !matches!(point.on(), On::Namespace | On::Group(_)) {
        return cause;
    }
    let kind = point.title().replace('-', "_");
    if cause.raw_os_error() != Some(libc::E2BIG) {
        return cause;
    }
    io::Error::other(format!(
        "64 {kind} programs are attached there already, which is the most that it takes; `bpftool link` names them, and the tools that attached them can take some off"
    ))
}

fn title_of(target: &Target) -> String {
    match target {
        Target::Namespace(..) => "the network namespace".to_owned(),
        Target::Cgroup {
            group,
            on: Some(on),
            ..
        } => format!("\"{on}\" for \"{group}\""),
        target => format!("\"{}\"", target.title()),
    }
}

/// The dispatcher of a point, for what it hangs on: the target's number and title.
fn dispatcher(
    state: &State,
    point: Point,
    since: u32,
    (target, title): (u64, &str),
) -> io::Result<OwnedFd> {
    let guard = Guard::of(point, target, title)?.map(First::Guard);
    let first = match guard {
        None => Layered::of(state, point)?.map(First::Layered),
        guard => guard,
    };
    let control = bpffs::open(&state.control())?;
    let outer = match bpffs::open(&state.outer()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        outer => Some(outer?),
    };
    let trial = match bpffs::open(&state.trial()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        trial => Some(trial?),
    };
    let held = match (point.on(), point.sockets()) {
        (On::Sockets(group), Some(pin)) => Some(bpffs::open(&state.group(group).join(pin))?),
        _ => None,
    };
    let words = Words {
        control: control.as_fd(),
        outer: outer.as_ref().map(AsFd::as_fd),
        trial: trial.as_ref().map(AsFd::as_fd),
        held: held.as_ref().map(AsFd::as_fd),
    };
    let slots = bpffs::open(&state.slots(point))?;
    dispatch::load(point, since, first.as_ref(), words, slots.as_fd())
}

fn pin_link(
    state: &State,
    program: BorrowedFd<'_>,
    target: &Target,
    hook: Hook,
    flags: u32,
) -> io::Result<Means> {
    let link = link::create(program, target.place(), hook.point.kind().attach, flags)?;
    bpffs::pin(link.as_fd(), &state.link(&hook))?;
    Ok(hook.means)
}

/// Native first. A driver without it, or one whose rings or MTU do not fit it, gets the generic hook, which has the same
/// meaning and a higher price.
fn attach_xdp(
    state: &State,
    program: BorrowedFd<'_>,
    target: &Target,
    hook: &impl Fn(Means) -> Hook,
) -> Result<Means, Error> {
    let native = pin_link(
        state,
        program,
        target,
        hook(Means::XdpNative),
        XDP_FLAGS_DRV_MODE,
    );
    let refused = match native {
        Ok(means) => return Ok(means),
        Err(error) => error,
    };
    let generic = match refused.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST | libc::ENODEV | libc::EPERM) => Err(refused),
        _ => pin_link(
            state,
            program,
            target,
            hook(Means::XdpGeneric),
            XDP_FLAGS_SKB_MODE,
        ),
    };
    generic.map_err(|cause| match cause.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => taken(target),
        _ => Error::Kernel {
            what: format!("attach the xdp program to \"{}\"", target.title()),
            cause,
        },
    })
}

/// Why an interface has no place for an XDP program: one is there, or one is on an interface above it, which the kernel refuses with the
/// same number (dev_xdp_attach, since Linux 5.15).
fn taken(target: &Target) -> Error {
    let interface = target.title().to_owned();
    let program = foreign::xdp(target.number());
    if !matches!(program, Ok(None)) {
        return Error::ForeignXdp {
            interface,
            program: program.ok().flatten(),
        };
    }
    // Only for the name of what it belongs to: what cannot be asked is not named.
    let index = u32::try_from(target.number()).ok();
    let above = index.and_then(|index| ports::above(index).ok().flatten());
    let has_one = |index: u32| matches!(foreign::xdp(index.into()), Ok(Some(_)));
    Error::XdpAbove {
        interface,
        above: above
            .filter(|(index, _)| has_one(*index))
            .map(|(_, name)| name),
    }
}

/// Puts our dispatcher back into one of our links that holds another program. What is in force stays so.
pub(crate) fn mend(state: &State, attached: Attached) -> Result<Attached, Error> {
    let hook = attached.hook;
    let what = format!("put the {} program back", hook.point.title());
    let hangs_on = (hook.target, attached.target.as_str());
    let mended = dispatcher(state, hook.point, hook.since, hangs_on).and_then(|program| {
        let link = bpffs::open(&state.link(&hook))?;
        link::update(link.as_fd(), program.as_fd())
    });
    mended.map(|()| attached).map_err(at(what))
}

/// The pin comes first: it tells a later command what to look for if this one is killed in between.
fn attach_clsact(
    state: &State,
    program: BorrowedFd<'_>,
    target: &Target,
    hook: Hook,
) -> Result<Means, Error> {
    let what = format!(
        "attach the {} program to \"{}\"",
        hook.point.title(),
        target.title()
    );
    let refused = |cause: &(dyn std::error::Error + 'static)| Error::Kernel {
        what: what.clone(),
        cause: system_error(cause).unwrap_or_else(|| io::Error::other(reasons(cause))),
    };
    let path = state.link(&hook);
    bpffs::pin(program, &path).map_err(|error| refused(&error))?;
    // It is there already if another tool, or an earlier generation, put filters here.
    let _ = tc::qdisc_add_clsact(target.title());
    let mut classifier = SchedClassifier::from_pin(&path).map_err(|error| refused(&error))?;
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let id = classifier
        .attach_with_options(target.title(), direction(hook.point), options)
        .map_err(|error| refused(&error))?;
    let filter = classifier.take_link(id).map_err(|error| refused(&error))?;
    // The filter stays when this process ends; dropping aya's handle would remove it.
    std::mem::forget(filter);
    Ok(hook.means)
}

fn direction(point: Point) -> TcAttachType {
    match point {
        Point::TcOut(_) => TcAttachType::Egress,
        _ => TcAttachType::Ingress,
    }
}

fn attach_to_map(
    state: &State,
    program: BorrowedFd<'_>,
    target: &Target,
    hook: Hook,
) -> io::Result<Means> {
    bpffs::pin(program, &state.link(&hook))?;
    if let Target::Sockets(_, _, map) | Target::Sources(_, _, map) = target {
        prog::attach(program, map.as_fd(), hook.point.kind().attach)?;
    }
    Ok(hook.means)
}

/// What the kernel says of a hook; `None` if its pin is not there, or none of a hook.
pub(crate) fn describe(state: &State, hook: &Hook) -> Result<Option<link::Description>, Error> {
    let path = state.link(hook);
    let found = bpffs::open(&path).and_then(|fd| look(hook, fd.as_fd()));
    unless_passing(&path, found.map(Some))
}

fn look(hook: &Hook, pinned: BorrowedFd<'_>) -> io::Result<link::Description> {
    if hook.means.is_link() {
        return link::describe(pinned);
    }
    let program = prog::describe(pinned)?;
    Ok(link::Description {
        id: 0,
        program: program.id,
        alive: hook.means == Means::MapAttach || has_filter(hook, program.id)?,
        on: link::On::Other,
    })
}

/// Whether the filter of a hook is there; a kernel that does not tell leaves us the interface to go by.
fn has_filter(hook: &Hook, program: u32) -> io::Result<bool> {
    match filter::is_there(hook.target, hook.point, program) {
        Err(cause) if !is_machine(&cause) => Ok(name_of(hook.target)?.is_some()),
        answered => answered,
    }
}

/// Takes a hook off the kernel and removes its pin. `peers` gives the map of a group's sockets.
pub(crate) fn detach(state: &State, hook: &Hook) -> io::Result<()> {
    let path = state.link(hook);
    let pinned = match bpffs::open(&path) {
        Err(error) if is_machine(&error) => return Err(error),
        pinned => pinned.ok(),
    };
    if let Some(fd) = pinned {
        match hook.means {
            Means::Clsact => {
                let program = prog::describe(fd.as_fd())?.id;
                filter::remove(hook.target, hook.point, program)?;
            }
            Means::MapAttach => detach_from_map(state, hook, fd.as_fd()),
            // Unlinking would do, but only some time later: packets would still meet it while the command says that they do not.
            _ => match link::detach(fd.as_fd()) {
                Err(error) if !is_no_link(&error) => return Err(error),
                _ => {}
            },
        }
    }
    // Somebody may have put a folder there.
    bpffs::remove_tree(&path)
}

/// Whether what is pinned is no link, or one of a kind that only ends with its pin (`link_detach` of kernel/bpf/syscall.c, which
/// passes on `ENOTSUPP` of the kernel's own numbers, 524).
fn is_no_link(error: &io::Error) -> bool {
    const ENOTSUPP: i32 = 524;
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EBADF | libc::EOPNOTSUPP | ENOTSUPP)
    )
}

fn detach_from_map(state: &State, hook: &Hook, program: BorrowedFd<'_>) {
    let pin = match hook.point.on() {
        On::Pairs(number) => Some(state.pairs(number).join(SOURCES)),
        _ => hook
            .point
            .sockets()
            .map(|pin| state.group(hook.target).join(pin)),
    };
    // The map may have gone, or hold the program of a later hook: then the kernel says so and nothing is lost.
    if let Some(Ok(map)) = pin.map(|pin| bpffs::open(&pin)) {
        let _ = prog::detach(program, map.as_fd(), hook.point.kind().attach);
    }
}

/// The name of an interface of this namespace.
fn name_of(index: u64) -> io::Result<Option<String>> {
    let mut interfaces = netns::interfaces()?.into_iter();
    let found = interfaces.find(|(there, _)| u64::from(*there) == index);
    Ok(found.map(|(_, name)| name))
}
