//! `sockc apply`: puts a policy, or an object made from one, in force.

use serde::Serialize;
use sockc_compiler::artifact::Manifest;
use sockc_compiler::guard::Guarded;
use sockc_compiler::kept::{KeptError, KeptTexts};
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::pipeline;
use sockc_compiler::target::Target;
use sockc_runtime::{Applied, Fill, Options, SlotState, probe};

use crate::cli;
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::guards::{self, Guards, judge, texts_of};
use crate::input::{self, Text};
use crate::lints::Lints;
use crate::output::Output;
use crate::place::{means, options, refused};

/// The first bytes of an ELF file.
const ELF: &[u8] = b"\x7fELF";

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
    protocol: &'static str,
    address: String,
    state: String,
}

/// Connections of a group that its rules do not hold for, in JSON.
#[derive(Serialize)]
struct Escaped<'a> {
    group: &'a str,
    connections: usize,
}

/// What is to be put in force.
struct Loaded {
    object: Vec<u8>,
    manifest: Manifest,
    /// Its text, if it was compiled just now.
    text: Option<Text>,
}

impl Loaded {
    /// Everything that it was compiled from.
    fn texts(&self) -> Result<KeptTexts, KeptError> {
        match &self.text {
            Some(text) => Ok(texts_of(text)),
            None => KeptTexts::of_object(&self.object, &self.manifest),
        }
    }
}

/// Compiles if need be, asks if somebody is there to answer, and applies.
pub(crate) fn run(arguments: &cli::Apply, output: &mut Output) -> Exit {
    apply(arguments, output).err().unwrap_or(Exit::Done)
}

fn apply(arguments: &cli::Apply, output: &mut Output) -> Result<(), Exit> {
    let guards = Guards::read(&arguments.guards, output)?;
    let loaded = load(arguments, output)?;
    let guarded = guarded(&guards, &loaded, output)?;
    let Loaded {
        object, manifest, ..
    } = loaded;
    let options = Options {
        interfaces: arguments.interfaces.clone(),
        ..options(&arguments.place)
    };
    output.watch().clear();
    let question = format!("Put the policy \"{}\" in force?", manifest.policy);
    if !output.consent(arguments.yes, question) {
        output.note("nothing was changed");
        return Ok(());
    }
    output.watch().stage("put in force");
    let applied = sockc_runtime::apply(&object, &manifest, &options)
        .map_err(|error| refused(&error, output))?;
    report(&manifest, &applied, guarded.as_ref(), output);
    Ok(())
}

/// The object and its manifest, from a policy or from an object file.
fn load(arguments: &cli::Apply, output: &mut Output) -> Result<Loaded, Exit> {
    let lints = Lints::new(&arguments.lints, output)?;
    let bytes = input::bytes(&arguments.file, output)?;
    if bytes.starts_with(ELF) {
        if arguments.counting.no_counters {
            output.error("--no-counters is for policies: an object is as it was compiled");
            return Err(Exit::Usage);
        }
        // The whole of it is read, since the loader of the runtime trusts what it is given.
        let artifact = object::read(&bytes).map_err(|error| {
            output.error(format!("{}: {error}", arguments.file.display()));
            Exit::Policy
        })?;
        return Ok(Loaded {
            object: bytes,
            manifest: artifact.manifest,
            text: None,
        });
    }
    let text = Text::new(&arguments.file, bytes, output)?;
    let target = target();
    let options = pipeline::Options {
        counters: arguments.counting.counters(),
        ..pipeline::Options::from(&target)
    };
    let compiled = Compiled::new(text, options, &lints, output)?;
    let object = compiled.object(output)?;
    Ok(Loaded {
        object,
        manifest: compiled.built.artifact.manifest,
        text: Some(compiled.text),
    })
}

/// Refuses a policy that does not keep to the guards.
fn guarded(guards: &Guards, loaded: &Loaded, output: &mut Output) -> Result<Option<Guarded>, Exit> {
    if guards.is_empty() {
        return Ok(None);
    }
    let texts = loaded.texts().map_err(|error| {
        output.error(format!(
            "the guards cannot be asked about this object: {error}; compile its policy again"
        ));
        Exit::Policy
    })?;
    let guarded = guards.check(&texts, output);
    judge(&guarded, output)?;
    Ok(Some(guarded))
}

/// The baseline, with what this kernel has beyond it.
pub(crate) fn target() -> Target {
    let features = probe();
    let mut target = Target::baseline();
    if features.gotol {
        target = target.with_gotol();
    }
    if features.atomics {
        target = target.with_atomics();
    }
    if features.lookup_interface {
        target = target.with_lookup_interface();
    }
    target
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
        output.line(format!(
            "in the network namespace \"{netns}\", generation {}",
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
            vec![
                format!("  socket {}", slot.socket),
                format!("{} {}", slot.protocol, slot.address),
                slot.state,
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
            protocol: if state.slot.protocol == 6 {
                "tcp"
            } else {
                "udp"
            },
            address: address(state),
            state: fill(state),
        })
        .collect()
}

/// Where a slot's socket listens; a slot for any address has a family only.
fn address(state: &SlotState) -> String {
    let slot = &state.slot;
    match (slot.port, slot.address.is_ipv4()) {
        (0, true) => "IPv4".into(),
        (0, false) => "IPv6".into(),
        (port, _) => std::net::SocketAddr::new(slot.address, port).to_string(),
    }
}

/// How a slot stands, in words.
pub(crate) fn fill(state: &SlotState) -> String {
    match state.state {
        Fill::Filled => "listening".into(),
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
