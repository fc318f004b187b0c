//! How the hooks of the policy in force stand.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use crate::attach;
use crate::attach::foreign::{self, Foreign};
use crate::error::{Error, at, unless_passing};
use crate::hook::{Hook, Means, Point};
use crate::session::Session;
use crate::sockets::refill;
use crate::state::pin::{self, Made};
use crate::state::record::{Attached, Record};
use crate::state::{State, side};
use crate::sys::{bpffs, cgroup, link, prog};

/// How a hook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStatus {
    /// `xdp`, `tc-in`, `tc-out`, `lookup`, `listen`, `fill`, `send`, `receive`, `sock-ops`, `connect4`, `connect6`,
    /// `sendmsg4`, `sendmsg6` or `setsockopt`.
    pub hook: String,
    /// The interface by its name at the apply, or the path of the control group; empty for the namespace.
    pub target: String,
    /// The interface's name now, if that is another.
    pub now: Option<String>,
    /// The folder of the control group that it hangs on, if that is not the one it is for.
    pub on: Option<String>,
    /// Whether it meets the packets of an interface.
    pub packets: bool,
    /// How it is attached.
    pub means: Means,
    /// The id of the policy's program; `None` if it is gone.
    pub program: Option<u32>,
    /// The id of the dispatcher that hangs there.
    pub dispatcher: Option<u32>,
    /// Whether it still hangs on something.
    pub alive: bool,
    /// Programs of others on the same place.
    pub foreign: Vec<Foreign>,
    /// How long the dispatcher ran, with the policy's program that it hands on to; `None` where that is not known.
    pub ran: Option<RunTime>,
}

/// How long a program ran while the kernel took the time (`kernel.bpf_stats_enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTime {
    /// In nanoseconds.
    pub nanoseconds: u64,
    /// How often.
    pub runs: u64,
    /// Whether the kernel takes the time now.
    pub counting: bool,
}

pub(super) fn describe(
    session: &Session,
    record: &Record,
    attached: &Attached,
    renamed: &[(u32, String)],
) -> Result<HookStatus, Error> {
    let hook = attached.hook;
    let mut renamed = renamed.iter();
    let now = renamed
        .find(|(index, _)| hook.point.is_packet() && u64::from(*index) == hook.target)
        .map(|(_, name)| name.clone());
    let link = attach::describe(&session.state, &hook)?;
    let dispatcher = link
        .map(|link| link.program)
        .filter(|program| *program != 0);
    Ok(HookStatus {
        hook: if record.fillers.contains(&hook.point) {
            refill::TITLE.to_owned()
        } else {
            hook.point.title()
        },
        target: attached.target.clone(),
        now,
        on: link
            .and_then(|link| hangs_on(link.on, &attached.target).transpose())
            .transpose()?,
        packets: hook.point.is_packet(),
        means: hook.means,
        program: program_of(&session.state, hook.point, record.generation)?,
        dispatcher,
        alive: link.is_some_and(|link| link.alive),
        foreign: foreign::near(session.place(), (&hook, &attached.target), dispatcher)?
            .into_iter()
            .filter(|one| Some(one.id) != left_on(record, &hook))
            .collect(),
        ran: dispatcher.and_then(run_time),
    })
}

/// The control group that a link hangs on, if it is not the one in the folder `meant`.
pub(crate) fn hangs_on(on: link::On, meant: &str) -> Result<Option<String>, Error> {
    let link::On::Cgroup(id, _) = on else {
        return Ok(None);
    };
    let folder = cgroup::folder(id).map_err(at("look at the control groups"))?;
    let folder = folder.filter(|folder| folder != Path::new(meant));
    Ok(folder.map(|folder| folder.display().to_string()))
}

/// The program that sockc left on a hook: it is ours also where somebody changed its pin, which is told.
fn left_on(record: &Record, hook: &Hook) -> Option<u32> {
    let path = Path::new("link").join(hook.name());
    let mut pins = record.pins.iter().flatten();
    match pins.find(|pin| pin.path == path)?.made {
        Made::Link(_, program) => program,
        Made::Program(id) => Some(id),
        _ => None,
    }
}

/// How long a program ran; `None` where the kernel does not say so.
fn run_time(id: u32) -> Option<RunTime> {
    let (nanoseconds, runs) = prog::run_time(prog::by_id(id).ok()?.as_fd()).ok()?;
    let switch = fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").ok()?;
    Some(RunTime {
        nanoseconds,
        runs,
        counting: switch.trim() == "1",
    })
}

/// The program in the slot.
fn program_of(state: &State, point: Point, generation: u32) -> Result<Option<u32>, Error> {
    let path = state.slots(point);
    let slot = bpffs::open(&path).and_then(|slots| pin::slot(slots.as_fd(), side(generation)));
    unless_passing(&path, slot.map(Some)).map(Option::flatten)
}
