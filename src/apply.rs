//! `sockc apply`: puts a policy, an object made from one, or a saved plan in force.

mod running;

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;
use sockc_compiler::artifact::Manifest;
use sockc_compiler::guard::Guarded;
use sockc_compiler::observer::Observer;
use sockc_runtime::{Applied, Error, Fill, Options, SlotKind, SlotState};

use crate::cli;
use crate::exit::Exit;
use crate::guards::{self, judge};
use crate::local;
use crate::output::Output;
use crate::place::{means, refused};
use crate::plan::preview;
use crate::ready::{Origin, Ready};

/// How a slot stands that is filled.
const LISTENING: &str = "listening";

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    policy: &'a str,
    generation: u32,
    guards: Vec<guards::Row<'a>>,
    interfaces: Vec<Attached<'a>>,
    sockets: Vec<Slot<'a>>,
    escaped: Vec<Escaped<'a>>,
    notes: &'a [String],
    netns: Vec<Inner<'a>>,
}

/// The policy of a `for netns` block in JSON.
#[derive(Serialize)]
struct Inner<'a> {
    netns: &'a str,
    /// Its path, if it lost its name.
    path: Option<&'a str>,
    generation: u32,
    interfaces: Vec<Attached<'a>>,
    sockets: Vec<Slot<'a>>,
    escaped: Vec<Escaped<'a>>,
    notes: &'a [String],
}

/// A hook on an interface in JSON.
#[derive(Serialize)]
struct Attached<'a> {
    interface: &'a str,
    hook: &'a str,
    means: &'static str,
}

/// A slot of a named socket in JSON.
#[derive(Serialize)]
pub(crate) struct Slot<'a> {
    socket: &'a str,
    /// `tcp4`, `tcp6`, `udp4` or `udp6`.
    slot: &'static str,
    /// The address that the policy names.
    address: Option<SocketAddr>,
    state: String,
    /// The socket that is in the slot, or bound where it should come from.
    who: Option<Who<'a>>,
}

/// A socket and who has it, in JSON.
#[derive(Serialize)]
pub(crate) struct Who<'a> {
    process: Option<u32>,
    name: Option<&'a str>,
    address: SocketAddr,
    uid: u32,
    inode: u64,
    cookie: u64,
    /// The interface that it is bound to.
    interface: Option<&'a str>,
}

/// Connections of a group that its rules do not hold for, in JSON.
#[derive(Serialize)]
struct Escaped<'a> {
    group: &'a str,
    connections: usize,
}

/// Why nothing was put in force.
enum Failure {
    /// It has been said.
    Told(Exit),
    /// The runtime refused.
    Refused(Error),
}

impl From<Exit> for Failure {
    fn from(exit: Exit) -> Self {
        Self::Told(exit)
    }
}

/// Compiles if need be, shows and asks if somebody is there to answer, and applies.
pub(crate) fn run(arguments: &cli::Apply, output: &mut Output) -> Exit {
    let applied = match &arguments.file {
        Some(file) => of_file(file, arguments, output),
        None => running::apply_running(arguments, output),
    };
    match applied {
        Ok(()) => Exit::Done,
        Err(Failure::Told(exit)) => exit,
        Err(Failure::Refused(error)) => refused(&error, output),
    }
}

fn of_file(file: &Path, arguments: &cli::Apply, output: &mut Output) -> Result<(), Failure> {
    let ready = Ready::read(file, &arguments.subject, output)?;
    apply(&ready, arguments, output)
}

/// Asks the guards, then whoever is there, and puts it in force.
fn apply(ready: &Ready, arguments: &cli::Apply, output: &mut Output) -> Result<(), Failure> {
    let guarded = ready.guarded(&arguments.subject, output)?;
    if let Some(guarded) = &guarded {
        judge(guarded, output)?;
    }
    let options = ready.options(&arguments.subject);
    let manifest = &ready.manifest;
    output.watch().clear();
    if let Origin::Plan(about) = &ready.origin {
        output.note(format!("the plan: {}", about.summary));
    }
    if !arguments.yes && output.can_ask() {
        ask(ready, &options, output)?;
    }
    output.watch().stage("put in force");
    let applied =
        sockc_runtime::apply(&ready.object, manifest, &options).map_err(Failure::Refused)?;
    report(manifest, &applied, guarded.as_ref(), output);
    if let Ok(policy) = ready.policy() {
        for note in local::notes(&policy, &options) {
            output.note(note);
        }
    }
    Ok(())
}

/// Shows what would be done, and asks. A "no" ends the command with 1, so that nothing goes on as if it was done.
fn ask(ready: &Ready, options: &Options, output: &mut Output) -> Result<(), Failure> {
    let forecast = sockc_runtime::forecast(&ready.object, &ready.manifest, options)
        .map_err(Failure::Refused)?;
    preview(ready, &forecast, options, output);
    let policy = &ready.manifest.policy;
    let instead = match &forecast.running {
        Some(running) if running.policy != *policy => {
            format!(" instead of \"{}\"", running.policy)
        }
        _ => String::new(),
    };
    if output.consent(
        false,
        format!("Put the policy \"{policy}\" in force{instead}?"),
    ) {
        return Ok(());
    }
    output.note("nothing was changed");
    Err(Failure::Told(Exit::Policy))
}

fn report(manifest: &Manifest, applied: &Applied, guarded: Option<&Guarded>, output: &mut Output) {
    if output.is_json() {
        output.value(&in_json(manifest, applied, guarded));
        return;
    }
    output.line(format!(
        "policy \"{}\" is in force, generation {}",
        manifest.policy, applied.generation
    ));
    if let Some(guarded) = guarded {
        output.line(format!("  guards  {} lines hold", guarded.lines.len()));
    }
    details(applied, output);
    for (netns, inner) in &applied.netns {
        let space = match &inner.entered {
            Some(path) => format!("{path}, which was \"{netns}\""),
            None => format!("\"{netns}\""),
        };
        output.line(format!(
            "in the network namespace {space}, generation {}",
            inner.generation
        ));
        details(inner, output);
    }
}

/// Hooks, slots and notes of one policy.
fn details(applied: &Applied, output: &mut Output) {
    let mut table = Vec::new();
    for hook in &applied.interfaces {
        let means = means(hook.means).to_owned();
        table.push(vec![
            format!("  {}", hook.interface),
            hook.hook.clone(),
            means,
        ]);
    }
    for hook in &applied.hooks {
        let means = means(hook.means).to_owned();
        table.push(vec![
            format!("  {}", hook.target).trim_end().to_owned(),
            hook.hook.clone(),
            means,
        ]);
    }
    output.table(&table);
    sockets(&applied.sockets, output);
    for (group, connections) in applied.escaped.iter().filter(|(_, count)| *count > 0) {
        output.note(format!(
            "{connections} connections of group \"{group}\" were made before; its rules do not hold for them"
        ));
    }
    for note in &applied.notes {
        output.note(note);
    }
}

fn in_json<'a>(
    manifest: &'a Manifest,
    applied: &'a Applied,
    guarded: Option<&'a Guarded>,
) -> Report<'a> {
    let inner = applied.netns.iter().map(|(netns, inner)| Inner {
        netns,
        path: inner.entered.as_deref(),
        generation: inner.generation,
        interfaces: attached(inner),
        sockets: slots(&inner.sockets),
        escaped: escaped(inner),
        notes: &inner.notes,
    });
    Report {
        format: "sockc.apply/1",
        policy: &manifest.policy,
        generation: applied.generation,
        guards: guarded.map(guards::rows).unwrap_or_default(),
        interfaces: attached(applied),
        sockets: slots(&applied.sockets),
        escaped: escaped(applied),
        notes: &applied.notes,
        netns: inner.collect(),
    }
}

fn attached(applied: &Applied) -> Vec<Attached<'_>> {
    let hooks = applied.interfaces.iter();
    hooks
        .map(|hook| Attached {
            interface: &hook.interface,
            hook: &hook.hook,
            means: means(hook.means),
        })
        .collect()
}

fn escaped(applied: &Applied) -> Vec<Escaped<'_>> {
    let groups = applied.escaped.iter();
    groups
        .map(|(group, connections)| Escaped {
            group,
            connections: *connections,
        })
        .collect()
}

/// A line for each slot of a named socket.
pub(crate) fn sockets(states: &[SlotState], output: &mut Output) {
    let rows: Vec<_> = slots(states)
        .into_iter()
        .map(|slot| {
            let there = slot.who.as_ref().map(|who| who.address);
            let address = slot.address.or(there);
            vec![
                format!("  socket {}", slot.socket),
                slot.slot.to_owned(),
                address.map_or_else(String::new, |address| address.to_string()),
                with_who(slot.state, slot.who.as_ref()),
            ]
        })
        .collect();
    output.table(&rows);
}

/// The slots in JSON.
pub(crate) fn slots(states: &[SlotState]) -> Vec<Slot<'_>> {
    states
        .iter()
        .map(|state| Slot {
            socket: &state.socket,
            slot: SlotKind::of(&state.slot).name(),
            address: (state.slot.port != 0)
                .then(|| SocketAddr::new(state.slot.address, state.slot.port)),
            state: fill(state),
            who: who(state),
        })
        .collect()
}

/// The socket that is in a slot, or bound where it should come from.
pub(crate) fn who(state: &SlotState) -> Option<Who<'_>> {
    state.who.as_ref().map(|who| Who {
        process: who.process.as_ref().map(|(pid, _)| *pid),
        name: who.process.as_ref().map(|(_, name)| name.as_str()),
        address: who.local,
        uid: who.uid,
        inode: who.inode,
        cookie: who.cookie,
        interface: who.interface.as_deref(),
    })
}

/// How a slot stands, with who is in it.
pub(crate) fn with_who(state: String, who: Option<&Who<'_>>) -> String {
    let Some(who) = who.filter(|_| state == LISTENING) else {
        return state;
    };
    let process = match (who.process, who.name) {
        (Some(pid), Some(name)) => format!("process {pid} ({name}), "),
        _ => String::new(),
    };
    let bound = who.interface.map_or_else(String::new, |name| {
        format!(", bound to the interface {name}, by which alone it answers")
    });
    format!("{state}: {process}inode {}{bound}", who.inode)
}

/// Who is bound where a socket is looked for.
fn somebody(state: &SlotState) -> String {
    match state.who.as_ref().map(|who| (&who.process, who.uid)) {
        Some((Some((pid, name)), _)) => format!("process {pid} ({name})"),
        Some((None, uid)) => format!("a socket of the user {uid}"),
        None => "somebody".to_owned(),
    }
}

/// Why the kernel does not find a socket that no program hides.
fn hidden(state: &SlotState) -> String {
    let interface = state.who.as_ref().and_then(|who| who.interface.as_ref());
    match interface {
        Some(name) => format!(
            "absent: {} is bound there to the interface {name}, and only packets that come in by {name} find it",
            somebody(state)
        ),
        None => format!(
            "absent: {} is bound there, and the kernel finds it for no packet from anywhere",
            somebody(state)
        ),
    }
}

/// The lookup programs that hide a socket.
fn hiding(state: &SlotState) -> String {
    let programs = state.foreign.iter();
    let programs: Vec<String> = programs
        .map(|one| format!("program {} \"{}\"", one.id, one.name))
        .collect();
    programs.join(", ")
}

/// How a slot stands, in words.
pub(crate) fn fill(state: &SlotState) -> String {
    match state.state {
        Fill::Filled => LISTENING.into(),
        Fill::Unknown(errno) => format!(
            "absent: who listens there cannot be found out here: {}",
            std::io::Error::from_raw_os_error(errno)
        ),
        Fill::Waiting => format!(
            "absent: {} is bound there since; `sockc socket refresh` takes it",
            somebody(state)
        ),
        Fill::Shadowed => format!(
            "absent: {} is bound there, and a socket of another owner at the same address hides it from packets (`ss -lnpe` shows both); `sockc socket refresh` takes it",
            somebody(state)
        ),
        Fill::Hidden if state.foreign.is_empty() => hidden(state),
        Fill::Hidden => format!(
            "absent: {} is bound there, and {} of somebody else, which decides socket lookups here too, hides it from sockc",
            somebody(state),
            hiding(state)
        ),
        Fill::NotOwner => format!(
            "absent: {} is bound there for the user {}, and is not the owner",
            somebody(state),
            state.who.as_ref().map_or(0, |who| who.uid)
        ),
        Fill::OtherProcess => format!(
            "absent: {} is bound there, and is not the process that the policy names",
            somebody(state)
        ),
        Fill::Absent if state.slot.port == 0 => "absent".into(),
        Fill::Absent => "absent: nobody listens there".into(),
        Fill::WildcardOnly => "absent: only a socket for every address listens on that port".into(),
        Fill::NotListening => "absent: the socket that is there does not listen".into(),
        Fill::Mptcp => "absent: the socket speaks MPTCP, which cannot be steered to".into(),
        Fill::Refused(errno) => format!(
            "absent: the kernel refused the socket: {}",
            std::io::Error::from_raw_os_error(errno)
        ),
    }
}
