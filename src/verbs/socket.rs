//! `sockc socket`: which sockets stand behind the names of the policy in force, and handing some over.

mod listen;
mod start;

use serde::Serialize;
use sockc_compiler::artifact::{SlotOrigin, SlotOwner, SocketSlots};
use sockc_runtime::{Handover, Held, SlotKind, SlotState};

use crate::cli::{
    Deployment, SocketPair, SocketRefresh, SocketRegister, SocketUnregister, SocketVerb,
};
use crate::exit::Exit;
use crate::machine::destinations;
use crate::machine::handed;
use crate::machine::slots::{self, Slot, Who, fill, since, who};
use crate::machine::{options, refused};
use crate::output::Output;

/// What stands for slots where there are none: sockets that are declared and that nothing leads to have none either.
const NONE: &str = "no rule of the policy in force leads to a named socket";

/// The JSON of changes.
#[derive(Serialize)]
struct Changed<'a> {
    format: &'static str,
    socket: &'a str,
    /// The slots that were filled or emptied: `tcp4`, `tcp6`, `udp4`, `udp6`; the kind of one whose queues take data.
    slots: Vec<String>,
}

/// The JSON of `list`.
#[derive(Serialize)]
struct List<'a> {
    format: &'static str,
    sockets: Vec<Row<'a>>,
    /// What was given to them; empty where nothing is counted.
    destinations: Vec<destinations::Row<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends: Vec<slots::End<'a>>,
}

/// A slot in JSON.
#[derive(Serialize)]
struct Row<'a> {
    socket: &'a str,
    origin: String,
    slot: String,
    /// Which member of its kind it is for, counted from 1; null where there is but one.
    member: Option<u32>,
    state: String,
    /// How many sockets began to listen at the address while all of its places were taken; told of the first of them.
    #[serde(skip_serializing_if = "slots::is_none")]
    turned_away: u64,
    /// The socket that is in the slot, or bound where it should come from.
    who: Option<Who<'a>>,
    /// Since when a socket that listens is in the slot, in seconds since 1970; null where that is not known.
    since: Option<u64>,
}

/// The JSON of `refresh`.
#[derive(Serialize)]
struct Refreshed<'a> {
    format: &'static str,
    sockets: Vec<Slot<'a>>,
    notes: &'a [String],
}

/// The JSON of `pair`, when it ends.
#[derive(Serialize)]
struct KeptPairs<'a> {
    format: &'static str,
    pairs: &'a str,
    joined: u64,
    ended: u64,
    reset: u64,
    refused: u64,
}

/// Runs it.
pub(crate) fn run(verb: &SocketVerb, output: &mut Output) -> Exit {
    let done = match verb {
        SocketVerb::Register(arguments) => register(arguments, output),
        SocketVerb::Unregister(arguments) => unregister(arguments, output),
        SocketVerb::Refresh(arguments) => refresh(arguments, output),
        SocketVerb::Pair(arguments) => pair(arguments, output),
        SocketVerb::Listen(arguments) => listen::run(arguments, output),
        SocketVerb::Run(arguments) => start::run(arguments, output),
        SocketVerb::List(place) => list(place, output),
    };
    done.err().unwrap_or(Exit::Done)
}

fn register(arguments: &SocketRegister, output: &mut Output) -> Result<(), Exit> {
    let sockets = match (arguments.pid.zip(arguments.fd), arguments.cookie) {
        (Some((pid, fd)), _) => vec![Handover::Process { pid, fd }],
        (None, Some(cookie)) => vec![Handover::Cookie(cookie)],
        (None, None) => handed_over().map_err(|mistake| {
            output.error(mistake);
            Exit::Usage
        })?,
    };
    let name = &arguments.socket;
    let place = options(&arguments.place);
    let registered = match (arguments.replace, sockets.as_slice()) {
        (None, sockets) => sockc_runtime::socket_register(&place, name, sockets),
        (Some(cookie), [socket]) => sockc_runtime::socket_replace(&place, name, *socket, cookie),
        (Some(_), sockets) => {
            output.error(format!(
                "{} sockets were handed over, and one can take the place of another; leave --replace out",
                sockets.len()
            ));
            return Err(Exit::Usage);
        }
    };
    let registered = registered.map_err(|error| refused(&error, output))?;
    changed(
        name,
        &registered.held,
        ("now holds", "nothing was registered"),
        output,
    );
    for note in &registered.notes {
        output.note(note);
    }
    Ok(())
}

/// What may be done where nothing is handed over.
const INSTEAD: &str = "name a socket by --pid and --fd, or by --cookie";

/// The descriptors that were handed to this command.
fn handed_over() -> Result<Vec<Handover>, String> {
    Ok(handed::descriptors(INSTEAD)?.map(Handover::Own).collect())
}

fn unregister(arguments: &SocketUnregister, output: &mut Output) -> Result<(), Exit> {
    let name = &arguments.socket;
    let place = options(&arguments.place);
    let slots = match arguments.cookie {
        Some(cookie) => sockc_runtime::socket_withdraw(&place, name, cookie),
        None => sockc_runtime::socket_unregister(&place, name, &arguments.slots),
    };
    let slots = slots.map_err(|error| refused(&error, output))?;
    let nothing = nothing_there(arguments);
    changed(name, &slots, ("no longer holds", &nothing), output);
    Ok(())
}

/// That nothing of what was named was there to be taken away.
fn nothing_there(arguments: &SocketUnregister) -> String {
    if let Some(cookie) = arguments.cookie {
        return format!("no socket with the cookie {cookie} was registered");
    }
    if arguments.slots.is_empty() {
        return "nothing was registered".to_owned();
    }
    let kinds: Vec<String> = arguments.slots.iter().map(|slot| slot.name()).collect();
    format!("no {} was registered", kinds.join(" or "))
}

fn changed(name: &str, held: &[Held], (what, nothing): (&str, &str), output: &mut Output) {
    let slots: Vec<String> = held.iter().map(|held| held.name()).collect();
    if output.is_json() {
        output.value(&Changed {
            format: "sockc.socket/1",
            socket: name,
            slots,
        });
    } else if slots.is_empty() {
        output.line(format!("socket \"{name}\": {nothing}"));
    } else {
        output.line(format!("socket \"{name}\" {what} {}", slots.join(", ")));
    }
}

fn pair(arguments: &SocketPair, output: &mut Output) -> Result<(), Exit> {
    let place = options(&arguments.place);
    let name = &arguments.pairs;
    let listen = (arguments.listen.as_path(), arguments.mode);
    let mut ready = || {
        if !output.is_json() {
            let path = arguments.listen.display();
            output.line(format!("pairs \"{name}\" are taken at {path}"));
        }
    };
    let kept = sockc_runtime::keep_pairs(&place, name, listen, &mut ready)
        .map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&KeptPairs {
            format: "sockc.pairs/1",
            pairs: name,
            joined: kept.joined,
            ended: kept.ended,
            reset: kept.reset,
            refused: kept.refused,
        });
    } else {
        output.line(format!(
            "pairs \"{name}\": {} joined, {} ended, {} reset, {} refused",
            kept.joined, kept.ended, kept.reset, kept.refused
        ));
    }
    Ok(())
}

fn refresh(arguments: &SocketRefresh, output: &mut Output) -> Result<(), Exit> {
    let place = options(&arguments.place);
    let refreshed = sockc_runtime::socket_refresh(&place, arguments.socket.as_deref())
        .map_err(|error| refused(&error, output))?;
    let taken = match refreshed.states.iter().any(slots::is_not_taken) {
        true => Err(Exit::Refused),
        false => Ok(()),
    };
    if output.is_json() {
        output.value(&Refreshed {
            format: "sockc.socket-refresh/1",
            sockets: slots::slots(&refreshed.states),
            notes: &refreshed.notes,
        });
        return taken;
    }
    if refreshed.states.is_empty() {
        output.line(format_args!("{NONE} that could be looked for"));
    }
    slots::tell(&refreshed.states, output);
    for note in &refreshed.notes {
        output.note(note);
    }
    taken
}

fn list(place: &Deployment, output: &mut Output) -> Result<(), Exit> {
    let place = options(place);
    let sockets = sockc_runtime::socket_list(&place).map_err(|error| refused(&error, output))?;
    let given = sockc_runtime::socket_destinations(&place);
    let given = given.map_err(|error| refused(&error, output))?;
    let ends = sockc_runtime::socket_ends(&place).map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&List {
            format: "sockc.socket-list/1",
            sockets: sockets
                .iter()
                .flat_map(|(socket, states)| states.iter().map(|state| row(socket, state)))
                .collect(),
            destinations: destinations::rows(&given),
            ends: slots::ends(&ends),
        });
        return Ok(());
    }
    if sockets.is_empty() && ends.is_empty() {
        output.line(NONE);
    }
    let lines = sockets.iter().flat_map(|(socket, states)| {
        let lines = slots::lines(states).into_iter();
        lines.map(|line| {
            vec![
                socket.name.clone(),
                origin(socket, line.state),
                line.slot(),
                line.words(),
            ]
        })
    });
    output.table(&lines.collect::<Vec<_>>());
    destinations::tell(&given, output);
    slots::tell_ends(&ends, output);
    Ok(())
}

fn row<'a>(socket: &'a SocketSlots, state: &'a SlotState) -> Row<'a> {
    Row {
        socket: &socket.name,
        origin: origin(socket, state),
        slot: SlotKind::of(&state.slot).name(),
        member: state.member.map(|(member, _)| member),
        state: fill(state),
        turned_away: state.turned_away,
        who: who(state),
        since: since(state),
    }
}

fn origin(socket: &SocketSlots, state: &SlotState) -> String {
    let address = std::net::SocketAddr::new(state.slot.address, state.slot.port);
    let origin = match &socket.origin {
        SlotOrigin::Listen => format!("listen {address}"),
        SlotOrigin::Process(file) => format!("process {file} listen {address}"),
        SlotOrigin::Registered => "registered".into(),
        SlotOrigin::Systemd(unit, None) => format!("systemd {unit}"),
        SlotOrigin::Systemd(unit, Some(name)) => format!("systemd {unit} name {name}"),
    };
    let owner = match &socket.owner {
        None => String::new(),
        Some(SlotOwner::Uid(uid)) => format!(" owner uid {uid}"),
        Some(SlotOwner::User(name)) => format!(" owner uid {name}"),
        Some(SlotOwner::Cgroup(path)) => format!(" owner cgroup {path}"),
    };
    let members = match socket.members {
        1 => String::new(),
        members => format!(" members {members}"),
    };
    let spread = match socket.spread_by_source {
        true => " spread by source",
        false => "",
    };
    let pinned = if socket.pinned { " pinned" } else { "" };
    format!("{origin}{owner}{members}{spread}{pinned}")
}
