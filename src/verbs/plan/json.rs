//! A plan as JSON, `sockc.plan/1`: what `diff` says, and next to it what becomes of the kernel's things.

use std::path::Path;

use serde::Serialize;
use sockc_runtime::{
    Carried, CounterForecast, DataForecast, Departing, Drift, Forecast, Holds, HookForecast,
    LinkFate, LostNamespace, NamedKind, ProgramFate, SlotKind,
};

use super::Planned;
use super::reach::{Becomes, Part, Reach};
use crate::changes::json::Body;
use crate::machine::drift::{Changed, drift_in_json};
use crate::machine::others;
use crate::policies::guards::{self, Row};
use crate::policies::lockout;
use crate::replay;

/// The format's name.
const FORMAT: &str = "sockc.plan/1";

/// The JSON of this verb.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    format: &'static str,
    running: Option<Known<'a>>,
    file: Known<'a>,
    drift: [(); 0],
    summary: String,
    /// Interfaces and groups that the policy comes to, or goes from.
    interfaces: Vec<Reached>,
    /// What else a person should know.
    notes: &'a [String],
    /// Policies of other network namespaces that hold for groups: for those of both policies, and where nothing runs, for any;
    /// null where that is not known.
    other_namespaces: Option<&'a [others::Row]>,
    #[serde(flatten)]
    body: Body<'a>,
    kernel: Kernel<'a>,
    guards: Vec<Row<'a>>,
    /// What becomes of the SSH connection that the command comes over; left out where it comes over none, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh: Option<lockout::Row<'a>>,
    /// Where the plan was saved.
    saved: Option<String>,
    /// What becomes of recorded packets, if that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<replay::Json<'a>>,
}

/// The JSON where others changed what runs: nothing else is said then.
#[derive(Serialize)]
pub(super) struct Drifted<'a> {
    format: &'static str,
    drift: Vec<Changed<'a>>,
}

/// What becomes of the packets of an interface, or of what a group does, as a whole.
#[derive(Serialize)]
struct Reached {
    netns: Option<String>,
    interface: Option<String>,
    group: Option<String>,
    /// What of the group: `send` or `connect`.
    direction: Option<&'static str>,
    /// Whether it is all of a namespace that had the name `netns`, and goes on without one.
    nameless: bool,
    from: &'static str,
    to: &'static str,
}

/// A policy.
#[derive(Serialize)]
struct Known<'a> {
    policy: &'a str,
    /// The one in force; of a file, the one that it would be.
    generation: u32,
    digest: &'a str,
}

/// What becomes of the kernel's things in one network namespace.
#[derive(Serialize)]
struct Kernel<'a> {
    hooks: Vec<Hook<'a>>,
    data: Vec<Data<'a>>,
    counters: Counters,
    netns: Vec<Inner<'a>>,
    released: Vec<&'a str>,
    nameless: Vec<Nameless<'a>>,
    untouched: Vec<Untouched<'a>>,
}

/// A namespace that goes on without the name of its block, and loses its policy; `path` leads into it where that is seen.
#[derive(Serialize)]
struct Nameless<'a> {
    netns: &'a str,
    path: Option<&'a str>,
}

/// A namespace that has no block any more and whose policy is not the block's: `policy` stays, which is null where none is there
/// or it cannot be known. `path` leads into it where it lost its name.
#[derive(Serialize)]
struct Untouched<'a> {
    netns: &'a str,
    path: Option<&'a str>,
    policy: Option<&'a str>,
}

/// The same for the namespace of a block.
#[derive(Serialize)]
struct Inner<'a> {
    netns: &'a str,
    kernel: Kernel<'a>,
}

#[derive(Serialize)]
struct Hook<'a> {
    hook: &'a str,
    target: &'a str,
    /// The control group that it hangs on, if that is not the target.
    on: Option<&'a str>,
    link: &'static str,
    program: &'static str,
    name: &'a str,
    /// Null where it cannot be seen.
    foreign: Option<Vec<Foreign<'a>>>,
}

#[derive(Serialize)]
struct Foreign<'a> {
    id: u32,
    name: &'a str,
    first: bool,
    /// The mark of the network namespace whose policy of sockc it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_namespace: Option<&'a str>,
}

#[derive(Serialize)]
struct Data<'a> {
    kind: &'static str,
    name: &'a str,
    fate: &'static str,
    elements: Option<usize>,
    /// Of a socket that is filled or emptied: `tcp4`, `tcp6`, `udp4` or `udp6`.
    slot: Option<String>,
}

#[derive(Serialize)]
struct Counters {
    kept: usize,
    new: usize,
    gone: usize,
}

impl<'a> Json<'a> {
    /// The JSON of a plan.
    pub(super) fn new(planned: &'a Planned<'_>, saved: Option<&Path>) -> Self {
        let running = planned.forecast.running.as_ref();
        let digest = planned.digests.0.as_deref().unwrap_or_default();
        Self {
            format: FORMAT,
            running: running.map(|running| Known {
                policy: &running.policy,
                generation: running.generation,
                digest,
            }),
            file: Known {
                policy: &planned.ready.manifest.policy,
                generation: planned.forecast.generation,
                digest: &planned.digests.1,
            },
            drift: [],
            summary: planned.summary(),
            interfaces: reached(&planned.reach),
            notes: &planned.notes,
            other_namespaces: planned.others.as_deref(),
            body: Body::new(&planned.report),
            kernel: kernel(planned.forecast),
            guards: planned
                .guarded
                .as_ref()
                .map(guards::rows)
                .unwrap_or_default(),
            ssh: planned.lockout.row(),
            saved: saved.map(|path| path.display().to_string()),
            replay: planned.replayed.as_ref().map(replay::Json::new),
        }
    }
}

impl<'a> Drifted<'a> {
    /// The JSON of these changes.
    pub(super) fn new(drift: &'a [Drift]) -> Self {
        Self {
            format: FORMAT,
            drift: drift_in_json(drift),
        }
    }
}

fn reached(reach: &[Reach]) -> Vec<Reached> {
    let reach = reach.iter().cloned();
    reach
        .map(|one| {
            let (from, to) = match one.becomes {
                Becomes::Held if matches!(one.part, Part::Named(..)) => ("policy", "policy"),
                Becomes::Held => ("allow", "policy"),
                Becomes::Free => ("policy", "allow"),
                Becomes::Renamed(_) => ("policy", "policy"),
            };
            let mut netns = one.netns;
            let mut nameless = false;
            let mut direction = None;
            let (interface, group) = match one.part {
                Part::Interface(name) => (Some(name), None),
                Part::Group(group) => {
                    direction = Some(group.deed.direction.word());
                    (None, Some(group.name))
                }
                Part::Named(NamedKind::Lookups | NamedKind::CameIn | NamedKind::Target, name) => {
                    (Some(name), None)
                }
                Part::Sockets | Part::Named(NamedKind::Namespace, _) => (None, None),
                Part::Nameless(lost) => {
                    (netns, nameless) = (Some(lost.name), true);
                    (None, None)
                }
            };
            Reached {
                netns,
                interface,
                group,
                direction,
                nameless,
                from,
                to,
            }
        })
        .collect()
}

fn kernel(forecast: &Forecast) -> Kernel<'_> {
    let CounterForecast { kept, new, gone } = forecast.counters;
    let inner = forecast.netns.iter().map(|(netns, inner)| Inner {
        netns,
        kernel: kernel(inner),
    });
    let departing = || forecast.departing.iter();
    let released = departing().filter(|one| one.goes() && one.lost.is_none());
    Kernel {
        hooks: forecast.hooks.iter().map(hook).collect(),
        data: forecast.data.iter().map(data).collect(),
        counters: Counters { kept, new, gone },
        netns: inner.collect(),
        released: released.map(|one| one.name.as_str()).collect(),
        nameless: departing()
            .filter_map(Departing::opens)
            .map(nameless)
            .collect(),
        untouched: departing()
            .filter(|one| !one.goes())
            .map(untouched)
            .collect(),
    }
}

fn untouched(one: &Departing) -> Untouched<'_> {
    Untouched {
        netns: &one.name,
        path: one.lost.as_ref().and_then(LostNamespace::path),
        policy: match &one.holds {
            Holds::Other(policy) => Some(policy),
            Holds::Block | Holds::Nothing | Holds::Unknown => None,
        },
    }
}

fn nameless(lost: &LostNamespace) -> Nameless<'_> {
    Nameless {
        netns: &lost.name,
        path: lost.path(),
    }
}

fn hook(hook: &HookForecast) -> Hook<'_> {
    let is_seen = !sockc_runtime::Foreign::are_hidden_at(&hook.hook);
    let foreign = hook.foreign.iter().map(|one| Foreign {
        id: one.id,
        name: &one.name,
        first: one.first,
        other_namespace: one.namespace.as_deref(),
    });
    Hook {
        hook: &hook.hook,
        target: &hook.target,
        on: hook.on.as_deref(),
        link: match hook.link {
            LinkFate::Kept => "kept",
            LinkFate::Mended => "mended",
            LinkFate::Attached => "attached",
            LinkFate::Ahead => "ahead",
            LinkFate::Detached => "detached",
        },
        program: match hook.program {
            ProgramFate::Same => "same",
            ProgramFate::Changed => "changed",
            ProgramFate::New => "new",
            ProgramFate::Gone => "gone",
        },
        name: &hook.name,
        foreign: is_seen.then(|| foreign.collect()),
    }
}

fn data(data: &DataForecast) -> Data<'_> {
    Data {
        kind: data.kind,
        name: &data.name,
        fate: match data.fate {
            Carried::Kept => "kept",
            Carried::Refilled => "refilled",
            Carried::Copied => "copied",
            Carried::Begins => "begins",
            Carried::Filled => "filled",
            Carried::Emptied => "emptied",
            Carried::Goes => "goes",
        },
        elements: data.elements,
        slot: data
            .slot
            .as_ref()
            .map(|state| SlotKind::of(&state.slot).name()),
    }
}
