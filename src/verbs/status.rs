//! `sockc status`: what is in force, as the kernel says.

mod connections;
mod deliveries;
mod facts;
mod interfaces;
pub(crate) mod own;

use serde::Serialize;
use sockc_runtime::{
    BlockStatus, Foreign, Holds, HookStatus, Inspected, Living, Lost, LostNamespace, Means, Status,
    of_namespaces, unseen,
};

use crate::cli::Deployment;
use crate::exit::Exit;
use crate::machine::drift::{Changed, drift_in_json, tell_drift, unverified};
use crate::machine::local::of_block;
use crate::machine::others::{self, Near};
use crate::machine::otherwise;
use crate::machine::slots::{self, Slot};
use crate::machine::{coverage, destinations};
use crate::machine::{means, options, refused_to_status, waiting};
use crate::output::Output;
pub(crate) use facts::Facts;

/// The JSON of this verb; `policy` is null where nothing is in force.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    policy: Option<&'a str>,
    generation: Option<u32>,
    /// Until when it waits to be confirmed; null where it does not.
    trial: Option<waiting::Row>,
    hooks: Vec<HookRow<'a>>,
    sockets: Vec<Slot<'a>>,
    destinations: Vec<destinations::Row<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intercepted: Vec<deliveries::Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends: Vec<slots::End<'a>>,
    connections: Vec<connections::Row<'a>>,
    /// Null where nothing was tried: nothing is in force, or an older sockc applied it.
    otherwise: Option<Vec<otherwise::Row<'a>>>,
    leftovers: &'a [String],
    drift: Vec<Changed<'a>>,
    interfaces: interfaces::Row<'a>,
    groups: Vec<interfaces::GroupRow<'a>>,
    named: Vec<interfaces::NamedRow<'a>>,
    #[serde(flatten)]
    facts: Option<&'a Facts>,
    #[serde(rename = "self", skip_serializing_if = "Option::is_none")]
    own: Option<own::Row>,
    lost_namespaces: Vec<LostRow<'a>>,
    netns: Vec<Inner<'a>>,
    /// Policies of other network namespaces that hold for groups: for those of the policy in force, and where nothing is, for any;
    /// null where that is not known, or cannot be seen.
    other_namespaces: Option<Vec<others::Row>>,
}

/// A network namespace that is not what it was, in JSON.
#[derive(Serialize)]
struct LostRow<'a> {
    netns: &'a str,
    lost: &'static str,
    block: bool,
    /// Whether the namespace goes on without its name.
    living: bool,
    /// What holds there then: `block`, `other`, `nothing`, or `unknown`.
    holds: Option<&'static str>,
    /// By what it is entered then, where somebody is seen who holds it.
    path: Option<&'a str>,
}

/// The policy of a `for netns` block in JSON; `status` is null where it is not in force, and `other` the policy that is instead.
#[derive(Serialize)]
struct Inner<'a> {
    netns: &'a str,
    other: Option<&'a str>,
    status: Option<Report<'a>>,
}

/// A hook in JSON.
#[derive(Serialize)]
struct HookRow<'a> {
    hook: &'a str,
    target: &'a str,
    /// The control group that it hangs on, if that is not the target.
    on: Option<&'a str>,
    means: &'static str,
    program: Option<u32>,
    alive: bool,
    /// Null where it cannot be seen.
    foreign: Option<Vec<&'a str>>,
    /// Of those of sockc, the marks of the network namespaces whose policies they are of.
    other_namespaces: Option<Vec<&'a str>>,
}

/// Shows it; ends with 5 if something of ours is gone.
pub(crate) fn run(place: &Deployment, output: &mut Output) -> Exit {
    let found = match sockc_runtime::inspect(&options(place)) {
        Ok(found) => found,
        Err(error) => return refused_to_status(&error, output),
    };
    let Inspected {
        status,
        leftovers,
        is_read_only,
    } = found;
    let left = match is_read_only {
        true => "what an earlier command left stays, since the bpf file system is read-only",
        false => "removed what an earlier command left",
    };
    let facts = status
        .as_ref()
        .map(|status| Facts::look(status, &options(place)));
    if status.is_none() && !output.is_json() {
        output.line("no policy is in force in this network namespace");
    }
    let near = status
        .as_ref()
        .map(|status| Near::look(&options(place), &[&status.manifest]));
    let near = match near.transpose() {
        Ok(near) => near,
        Err(error) => return refused_to_status(&error, output),
    };
    let other_namespaces = match &near {
        Some(near) => near.rows(),
        None => others::tell(&options(place), output),
    };
    if output.is_json() {
        let report = in_json(status.as_ref(), facts.as_ref());
        output.value(&Report {
            leftovers: status.as_ref().map_or(&leftovers, |one| &one.leftovers),
            other_namespaces,
            ..report
        });
    }
    let Some(status) = status else {
        if !output.is_json() {
            tell_left(left, &leftovers, output);
        }
        unseen(None).into_iter().for_each(|note| output.note(note));
        return Exit::Done;
    };
    if !output.is_json() {
        show(&status, facts.as_ref(), left, output);
        let foreign = status.hooks.iter().flat_map(|hook| &hook.foreign);
        let told = of_namespaces(foreign);
        let near = near.iter().flat_map(|near| near.words(&told));
        near.for_each(|note| output.note(note));
        let unseen = unseen(Some(&status.manifest));
        unseen.into_iter().for_each(|note| output.note(note));
    }
    let sound = facts.as_ref().is_none_or(|facts| facts.tell(output));
    if let Some(why) = &status.unverified {
        output.note(unverified(why));
    }
    // A remedy for a block's policy is applied where the policy is that has the block.
    if status.owned {
        output.suggests_elsewhere();
    }
    let whole = tell_losses(&status, own::remedy(&status), output) && sound;
    if status.owned && !whole {
        output.note(OF_A_BLOCK);
    }
    if whole { Exit::Done } else { Exit::Changed }
}

/// Whether there is an interface, a network namespace or a control group that the policy in force, or that of a block, is for and
/// does not hold on, or knows as another one.
pub(crate) fn is_behind(status: &Status) -> bool {
    let coverage = &status.coverage;
    let behind = coverage.is_open()
        || !coverage.groups.is_empty()
        || coverage.named.iter().any(|one| one.again)
        || !status.lost_namespaces.is_empty();
    let mut inner = status.netns.iter().filter_map(|(_, inner)| inner.status());
    behind || inner.any(is_behind)
}

/// How many things `status` says that are not as the policy in force needs them, those of its blocks among them.
pub(crate) fn faults(status: &Status) -> u64 {
    let mut silent = Output::silent();
    tell_losses(status, own::remedy(status), &mut silent);
    silent.errors()
}

/// Where a remedy for a block's policy is applied.
const OF_A_BLOCK: &str = "this is the policy of a `for netns` block: run `sockc apply` and `sockc apply --running` in the network namespace whose policy has the block";

/// Says what of ours is gone, and with what remedy `self` is brought up to date; `true` if nothing is.
fn tell_losses(status: &Status, remedy: &str, output: &mut Output) -> bool {
    let mut whole = tell_drift(&status.drift, output) & tell_coverage(status, output);
    whole &= tell_overtaken(status, output) & deliveries::tell(status, output);
    whole &= own::tell(&status.own, remedy, output);
    let lost = status.hooks.iter();
    let lost = lost.filter(|hook| is_lost(hook) && !interfaces::is_gone(status, hook));
    // What is told by its pin already need not be told again.
    for lost in lost.filter(|_| status.drift.is_empty()) {
        whole = false;
        output.error(format!(
            "the {} hook {} is not what sockc left; `sockc apply` puts it back",
            lost.hook, lost.target
        ));
    }
    for other in &status.competing {
        whole = false;
        output.error(format!("{}; {}", other.escape(), other.remedy));
    }
    for lost in &status.lost_namespaces {
        whole = false;
        output.error(lost_namespace(lost));
    }
    let is_lost = |netns: &str| {
        let lost = &mut status.lost_namespaces.iter();
        lost.any(|lost| lost.of_block && lost.name == netns)
    };
    for (netns, inner) in &status.netns {
        whole &= match inner {
            BlockStatus::InForce(inner) => {
                let place = of_block(netns, status.path_of(netns));
                output.about(place, |output| tell_losses(inner, remedy, output))
            }
            _ if is_lost(netns) => false,
            BlockStatus::Other(policy) => {
                output.error(format!(
                    "in the network namespace \"{netns}\" another policy is in force, \"{policy}\", and not that of its `for netns` block; `sockc unload --netns {netns}` and then `sockc apply --running` put that of the block there"
                ));
                false
            }
            BlockStatus::Nothing => {
                output.error(format!(
                    "the policy of the network namespace \"{netns}\" is gone; `sockc apply` puts it back"
                ));
                false
            }
        };
    }
    whole
}

/// Says where the policy does not hold; `true` if it holds wherever it should.
fn tell_coverage(status: &Status, output: &mut Output) -> bool {
    let mut whole = true;
    for told in coverage::told(&status.coverage) {
        match told.is_loss {
            true => output.error(told.words),
            false => output.note(told.words),
        }
        whole &= !told.is_loss;
    }
    whole
}

/// That a network namespace which the policy names is not the one it was, and what that means.
fn lost_namespace(lost: &LostNamespace) -> String {
    let name = &lost.name;
    if let Some(living) = &lost.living {
        return nameless(lost, living);
    }
    let became = match lost.lost {
        Lost::Removed => "was removed",
        Lost::MadeAnew => "was removed, and one has its name again",
    };
    let meaning = match (lost.lost, lost.of_block) {
        (Lost::Removed, false) => {
            "conditions `in netns` find no socket there, at the latest once its last process has left it; make it again and run `sockc apply --running`, or apply a policy without it"
        }
        (Lost::MadeAnew, false) => {
            "conditions `in netns` do not look into what has the name now; `sockc apply --running` has them look there"
        }
        (Lost::Removed, true) => {
            "the policy of its `for netns` block goes with it; make it again and run `sockc apply --running`, or apply a policy without it"
        }
        (Lost::MadeAnew, true) => {
            "the policy of its `for netns` block does not hold in the new one; `sockc apply --running` puts it there"
        }
    };
    format!("the network namespace \"{name}\" {became}: {meaning}")
}

/// That the namespace of a block lost its name and goes on, what holds there, and what opens it.
fn nameless(lost: &LostNamespace, living: &Living) -> String {
    let name = &lost.name;
    let known = match lost.lost {
        Lost::Removed => format!("the name of the network namespace \"{name}\" was removed: "),
        Lost::MadeAnew => format!(
            "another network namespace has the name \"{name}\" now, and the policy does not hold in it. Of the one that had the name before: "
        ),
    };
    known + &holds(living) + &outlook(lost, living)
}

/// What holds in a namespace that goes on without its name.
fn holds(living: &Living) -> String {
    let Some(path) = &living.path else {
        let whose = match &living.holds {
            Holds::Block => "the policy of its `for netns` block".to_owned(),
            Holds::Other(policy) => format!("another policy, \"{policy}\","),
            Holds::Nothing | Holds::Unknown => "a policy that cannot be known".to_owned(),
        };
        return format!(
            "hooks of {whose} still hang on interfaces and hold there, until whoever has them, which cannot be seen here, lets them go"
        );
    };
    let on = format!("the namespace goes on as {path}, and");
    match &living.holds {
        Holds::Block => format!(
            "{on} the policy of its `for netns` block holds there (`sockc status --netns {path}`)"
        ),
        Holds::Other(policy) => format!(
            "{on} another policy is in force there by now, \"{policy}\", and not that of its `for netns` block (`sockc status --netns {path}`)"
        ),
        Holds::Nothing => {
            format!("{on} the policy of its `for netns` block does not hold there: no policy does")
        }
        Holds::Unknown => format!(
            "{on} what is left of a policy there is damaged, and does not say whose it is (`sockc status --netns {path}`)"
        ),
    }
}

/// What an apply does to a namespace that goes on without its name.
fn outlook(lost: &LostNamespace, living: &Living) -> String {
    let again = name_again(&lost.name, living);
    let comes = "`sockc apply --running` puts the policy into the one that has the name now";
    match (lost.lost, &living.holds, &living.path) {
        (Lost::Removed, Holds::Block, _) => format!(
            "{again}. An apply when another namespace has the name, or of a policy without the block, takes that policy away, and every packet passes there"
        ),
        (Lost::Removed, Holds::Nothing, Some(_)) => {
            format!("; `sockc apply --running` puts it there{again}")
        }
        (Lost::Removed, Holds::Other(_), Some(path)) => format!(
            "{again}. Every apply leaves the other policy as it is; `sockc unload --netns {path}` and then `sockc apply --running` put that of the block there"
        ),
        (Lost::Removed, _, _) => again,
        (Lost::MadeAnew, Holds::Block, _) => {
            format!(". {comes}, and takes it away from the other: every packet passes there then")
        }
        (Lost::MadeAnew, _, _) => {
            format!(". {comes}, and changes nothing in the other")
        }
    }
}

/// How a namespace gets its name again, with its policy as it is; nothing where nobody knows how to enter it.
fn name_again(name: &str, living: &Living) -> String {
    let Some(path) = &living.path else {
        return String::new();
    };
    let process = path.strip_prefix("/proc/");
    let process = process.and_then(|path| path.strip_suffix("/ns/net"));
    match process {
        Some(process) if !process.contains('/') => {
            format!("; `ip netns attach {name} {process}` gives it the name again")
        }
        _ => format!(
            "; `nsenter --net={path} sh -c 'ip netns attach {name} $$'` gives it the name again"
        ),
    }
}

/// Whether somebody took our program away, or what it hung on is gone.
fn is_lost(hook: &HookStatus) -> bool {
    !hook.alive || hook.program.is_none()
}

/// Whether a program was put ahead of ours where ours was first: TCX takes ours ahead of what is there.
fn overtakes(hook: &HookStatus, foreign: &Foreign) -> bool {
    hook.means == Means::Tcx && foreign.first
}

/// Says who was put ahead of ours; `true` if nobody was.
fn tell_overtaken(status: &Status, output: &mut Output) -> bool {
    let mut whole = true;
    for hook in &status.hooks {
        for foreign in hook.foreign.iter().filter(|one| overtakes(hook, one)) {
            whole = false;
            output.error(format!(
                "program {} \"{}\" of somebody else was put ahead of ours on {} {}: what it decides never comes to the policy; `sockc apply` puts ours first again",
                foreign.id, foreign.name, hook.hook, hook.target
            ));
        }
    }
    whole
}

/// What is in force, or was left so where others changed something since: then whether it holds is not certain.
fn stands(status: &Status) -> String {
    let Status {
        policy, generation, ..
    } = status;
    match status.drift.is_empty() {
        true => format!("policy \"{policy}\" is in force, generation {generation}"),
        false => format!(
            "policy \"{policy}\" was put in force, generation {generation}, and changed by others since: it may not hold"
        ),
    }
}

fn show(status: &Status, facts: Option<&Facts>, left: &str, output: &mut Output) {
    output.line(stands(status));
    // Of a block it is the outer policy's, which says so.
    if !status.owned
        && let Some(trial) = &status.trial
    {
        let [until, _] = waiting::words(trial);
        output.line(format!("  {}", output.suggested(&until)));
    }
    if let Some(facts) = facts {
        facts.show(output);
    }
    let rows: Vec<_> = status
        .hooks
        .iter()
        .map(|hook| {
            let program = match hook.program {
                _ if !hook.alive => "detached".to_owned(),
                None => "gone".to_owned(),
                Some(id) => format!("program {id}"),
            };
            vec![
                format!("  {}", hook.hook),
                interfaces::name(hook),
                means(hook.means).to_owned(),
                program,
            ]
        })
        .collect();
    output.table(&rows);
    slots::tell(&status.sockets, output);
    destinations::tell(&status.destinations, output);
    deliveries::show(status, output);
    slots::tell_ends(&status.ends, output);
    connections::show(&status.groups, output);
    if let Some(faults) = &status.faults {
        otherwise::list(faults, output);
    }
    for hook in &status.hooks {
        for foreign in hook.foreign.iter().filter(|one| !overtakes(hook, one)) {
            output.note(foreign.beside(&hook.hook, &hook.target));
        }
    }
    tell_left(left, &status.leftovers, output);
    for (netns, inner) in &status.netns {
        if let Some(inner) = inner.status() {
            let place = of_block(netns, status.path_of(netns));
            output.line(format!("{place}:"));
            let facts = facts.and_then(|facts| facts.block(netns));
            output.about(place, |output| show(inner, facts, left, output));
        }
    }
}

/// Says what a killed command left, and what became of it.
fn tell_left(what: &str, leftovers: &[String], output: &mut Output) {
    for left in leftovers {
        output.note(format!("{what}: {left}"));
    }
}

fn inner_in_json<'a>(
    (netns, block): &'a (String, BlockStatus),
    facts: Option<&'a Facts>,
) -> Inner<'a> {
    let facts = facts.and_then(|facts| facts.block(netns));
    Inner {
        netns,
        other: match block {
            BlockStatus::Other(policy) => Some(policy),
            BlockStatus::InForce(_) | BlockStatus::Nothing => None,
        },
        status: block.status().map(|status| in_json(Some(status), facts)),
    }
}

fn lost_row(lost: &LostNamespace) -> LostRow<'_> {
    LostRow {
        netns: &lost.name,
        lost: match lost.lost {
            Lost::Removed => "removed",
            Lost::MadeAnew => "made-anew",
        },
        block: lost.of_block,
        living: lost.living.is_some(),
        holds: lost.holds().map(|holds| match holds {
            Holds::Block => "block",
            Holds::Other(_) => "other",
            Holds::Nothing => "nothing",
            Holds::Unknown => "unknown",
        }),
        path: lost.path(),
    }
}

/// Programs of others on the place of a hook; `None` where they cannot be seen.
fn foreign(hook: &HookStatus) -> Option<impl Iterator<Item = &Foreign>> {
    (!Foreign::are_hidden_at(&hook.hook)).then(|| hook.foreign.iter())
}

fn in_json<'a>(status: Option<&'a Status>, facts: Option<&'a Facts>) -> Report<'a> {
    let hooks = status.map_or(&[][..], |status| &status.hooks);
    Report {
        format: "sockc.status/1",
        policy: status.map(|status| status.policy.as_str()),
        generation: status.map(|status| status.generation),
        trial: status.and_then(|status| status.trial.as_ref().map(waiting::row)),
        hooks: hooks
            .iter()
            .map(|hook| HookRow {
                hook: &hook.hook,
                target: &hook.target,
                on: hook.on.as_deref(),
                means: means(hook.means),
                program: hook.program,
                alive: hook.alive,
                foreign: foreign(hook).map(|all| all.map(|one| one.name.as_str()).collect()),
                other_namespaces: foreign(hook)
                    .map(|all| all.filter_map(|one| one.namespace.as_deref()).collect()),
            })
            .collect(),
        sockets: status
            .map(|status| slots::slots(&status.sockets))
            .unwrap_or_default(),
        destinations: destinations::rows(status.map_or(&[], |status| &status.destinations)),
        intercepted: status.map(deliveries::rows).unwrap_or_default(),
        ends: status
            .map(|status| slots::ends(&status.ends))
            .unwrap_or_default(),
        connections: connections::rows(status.map_or(&[], |status| &status.groups)),
        otherwise: status
            .and_then(|status| status.faults.as_ref())
            .map(otherwise::rows),
        leftovers: status.map_or(&[], |status| &status.leftovers),
        drift: drift_in_json(status.map_or(&[], |status| &status.drift)),
        interfaces: interfaces::row(status.map(|status| &status.coverage)),
        groups: interfaces::groups(status.map(|status| &status.coverage)),
        named: interfaces::named(status.map(|status| &status.coverage)),
        facts,
        own: status.and_then(|status| own::row(&status.own)),
        lost_namespaces: status
            .map_or(&[][..], |status| &status.lost_namespaces)
            .iter()
            .map(lost_row)
            .collect(),
        netns: status
            .map_or(&[][..], |status| &status.netns)
            .iter()
            .map(|inner| inner_in_json(inner, facts))
            .collect(),
        other_namespaces: Some(Vec::new()),
    }
}
