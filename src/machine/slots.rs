//! How the slots of named sockets stand, as lines and as JSON, the same for every verb.
//!
//! Takes what the runtime found in them; gives words. Not here: how they are filled.

use std::io;
use std::net::SocketAddr;

use serde::Serialize;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::{EndPhase, EndState, Fill, SlotKind, SlotState};

use crate::machine::clock::utc;
use crate::output::Output;

/// How a slot stands that is filled.
const LISTENING: &str = "listening";

/// Whether somebody is where a slot is filled from, and was not taken.
pub(crate) fn is_not_taken(state: &SlotState) -> bool {
    !matches!(state.state, Fill::Filled | Fill::Absent | Fill::Free)
}

/// Whether no socket is in a slot that a rule may lead to. A place that is free has others of its name.
pub(crate) fn is_empty(state: &SlotState) -> bool {
    !matches!(state.state, Fill::Filled | Fill::Free)
}

/// How a place of a name with members stands that nobody is in, while others are in other places.
const FREE: &str = "free";

/// A slot of a named socket in JSON.
#[derive(Serialize)]
pub(crate) struct Slot<'a> {
    socket: &'a str,
    /// `tcp4`, `tcp6`, `udp4` or `udp6`.
    slot: String,
    /// Which member of its kind it is for, counted from 1; null where there is but one.
    member: Option<u32>,
    /// The address that the policy names.
    address: Option<SocketAddr>,
    state: String,
    /// How many sockets began to listen at the address while all of its places were taken; told of the first of them.
    #[serde(skip_serializing_if = "is_none")]
    turned_away: u64,
    /// The socket that is in the slot, or bound where it should come from.
    who: Option<Who<'a>>,
    /// Since when a socket that listens is in the slot, in seconds since 1970; null where that is not known.
    since: Option<u64>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
pub(crate) fn is_none(count: &u64) -> bool {
    *count == 0
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

/// A line about slots of a named socket.
pub(crate) struct Line<'a> {
    pub(crate) state: &'a SlotState,
    /// How many places it speaks of.
    places: usize,
}

/// The lines: one for each slot; of places that are free, one for all of a name and kind.
pub(crate) fn lines(states: &[SlotState]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for state in states {
        let same = |line: &&mut Line<'_>| {
            let other = line.state;
            (state.state, other.state) == (Fill::Free, Fill::Free)
                && state.socket == other.socket
                && state.slot.is_of_kind(&other.slot)
        };
        match lines.iter_mut().find(same) {
            Some(line) => line.places += 1,
            None => lines.push(Line { state, places: 1 }),
        }
    }
    lines
}

impl Line<'_> {
    /// `tcp4`, or `tcp4 2/8` for the second of up to eight members.
    pub(crate) fn slot(&self) -> String {
        let kind = SlotKind::of(&self.state.slot).name();
        match self.state.member {
            Some((member, members)) if self.state.state != Fill::Free => {
                format!("{kind} {member}/{members}")
            }
            _ => kind,
        }
    }

    /// How it stands, with who is there.
    pub(crate) fn words(&self) -> String {
        match (self.state.state, self.places) {
            (Fill::Free, 1) => format!("{FREE}: 1 place"),
            (Fill::Free, places) => format!("{FREE}: {places} places"),
            _ => {
                let stands = with_who(self.state, who(self.state).as_ref());
                match self.state.turned_away {
                    0 => stands,
                    1 => format!("{stands}; 1 socket that began to listen there found no place"),
                    count => format!(
                        "{stands}; {count} sockets that began to listen there found no place"
                    ),
                }
            }
        }
    }
}

/// The lines in a table.
pub(crate) fn tell(states: &[SlotState], output: &mut Output) {
    let rows: Vec<_> = lines(states)
        .into_iter()
        .map(|line| {
            let there = line.state.who.as_ref().map(|who| who.local);
            let address = named_address(line.state).or(there);
            vec![
                format!("  socket {}", line.state.socket),
                line.slot(),
                address.map_or_else(String::new, |address| address.to_string()),
                output.suggested(&line.words()),
            ]
        })
        .collect();
    output.table(&rows);
}

/// The address that the policy names.
fn named_address(state: &SlotState) -> Option<SocketAddr> {
    let slot = &state.slot;
    (slot.port != 0).then(|| SocketAddr::new(slot.address, slot.port))
}

/// A socket whose queues take data, in JSON.
#[derive(Serialize)]
pub(crate) struct End<'a> {
    socket: &'a str,
    /// `input`, `output` or both.
    takes: Vec<&'static str>,
    /// `tcp4`, `tcp6`, `udp4`, `udp6`, `unix-stream` or `unix-datagram`; null where none is there.
    kind: Option<&'static str>,
    state: String,
}

impl End<'_> {
    /// What it is called, what is there, and how that stands.
    pub(crate) fn words(&self) -> String {
        let kind = self.kind.map(|kind| format!(" {kind}"));
        format!(
            "{}{}  {}",
            self.socket,
            kind.unwrap_or_default(),
            self.state
        )
    }
}

/// A line for each socket whose queues take data.
pub(crate) fn tell_ends(states: &[EndState], output: &mut Output) {
    let rows: Vec<_> = ends(states)
        .into_iter()
        .map(|end| {
            vec![
                format!("  socket {}", end.socket),
                end.takes.join(", "),
                end.kind.unwrap_or_default().to_owned(),
                output.suggested(&end.state),
            ]
        })
        .collect();
    output.table(&rows);
}

/// The same in JSON.
pub(crate) fn ends(states: &[EndState]) -> Vec<End<'_>> {
    states
        .iter()
        .map(|state| End {
            socket: &state.name,
            takes: takes(state),
            kind: state.held.map(|held| held.kind.name()),
            state: end(state),
        })
        .collect()
}

fn takes(state: &EndState) -> Vec<&'static str> {
    let queues = [(state.input, "input"), (state.output, "output")];
    let taking = queues.into_iter().filter(|(takes, _)| *takes);
    taking.map(|(_, queue)| queue).collect()
}

/// How a socket stands whose queues take data.
fn end(state: &EndState) -> String {
    let Some(held) = state.held else {
        return format!(
            "absent: none was handed over, or it was closed since; `sockc socket register {}` hands one over",
            state.name
        );
    };
    match held.phase {
        EndPhase::Connected => "connected".into(),
        EndPhase::PeerEnded => "connected, and its peer has ended what it sends".into(),
        EndPhase::Ended if state.output => {
            "connected, and has ended what it sends: writes into its output fail".into()
        }
        EndPhase::Ended => "connected, and has ended what it sends".into(),
        EndPhase::Over => format!(
            "its connection was reset or is over; `sockc socket register {}` hands another over",
            state.name
        ),
    }
}

/// The slots in JSON.
pub(crate) fn slots(states: &[SlotState]) -> Vec<Slot<'_>> {
    states
        .iter()
        .map(|state| Slot {
            socket: &state.socket,
            slot: SlotKind::of(&state.slot).name(),
            member: state.member.map(|(member, _)| member),
            address: named_address(state),
            state: fill(state),
            turned_away: state.turned_away,
            who: who(state),
            since: since(state),
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

/// Since when the socket is in a slot that listens, in seconds since 1970.
pub(crate) fn since(state: &SlotState) -> Option<u64> {
    state.since.and_then(sockc_runtime::wall_time)
}

/// How a slot stands, with who is in it and since when.
fn with_who(slot: &SlotState, who: Option<&Who<'_>>) -> String {
    let state = fill(slot);
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
    let since = since(slot).map(|since| format!(", since {}", utc(since)));
    format!(
        "{state}: {process}{}, inode {}, cookie {}{}{bound}",
        who.address,
        who.inode,
        who.cookie,
        since.unwrap_or_default()
    )
}

/// Who is bound where a socket is looked for.
fn somebody(state: &SlotState) -> String {
    match state.who.as_ref().map(|who| (&who.process, who.uid)) {
        Some((Some((pid, name)), _)) => format!("process {pid} ({name})"),
        Some((None, uid)) => format!("a socket of the user {uid}"),
        None => "somebody".to_owned(),
    }
}

/// By which packets a socket is found that is bound to an interface.
fn of_interface(state: &SlotState) -> String {
    let interface = state.who.as_ref().and_then(|who| who.interface.as_ref());
    let name = interface.map_or("an interface", String::as_str);
    format!(
        "absent: {} is bound there to the interface {name}, and only packets that come in by {name} find it",
        somebody(state)
    )
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
            io::Error::from_raw_os_error(errno)
        ),
        Fill::Waiting => format!(
            "absent: {} is bound there since; `sockc socket refresh` takes it",
            somebody(state)
        ),
        Fill::Shadowed => format!(
            "absent: {} is bound there, and a socket of another owner at the same address hides it from packets (`ss -lnpe` shows both); `sockc socket refresh` takes it",
            somebody(state)
        ),
        Fill::OfInterface => of_interface(state),
        Fill::Hidden if state.foreign.is_empty() => format!(
            "absent: {} is bound there, and the kernel finds it for no packet from anywhere; `sockc socket refresh` takes it",
            somebody(state)
        ),
        Fill::Hidden => format!(
            "absent: {} is bound there, and {} of somebody else, which decides socket lookups here too, hides it from packets; `sockc socket refresh` takes it",
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
        Fill::Free => FREE.into(),
        Fill::Absent if state.slot.port == 0 => "absent".into(),
        Fill::Absent => "absent: nobody listens there".into(),
        Fill::WildcardOnly if state.slot.address.is_unspecified() => {
            "absent: only a socket of the other IP version listens on that port".into()
        }
        Fill::WildcardOnly => "absent: only a socket for every address listens on that port".into(),
        Fill::NotListening if state.slot.protocol == IpProtocol::UDP => {
            "absent: the socket that is there is not bound, or is connected to one peer".into()
        }
        Fill::NotListening => "absent: the socket that is there does not listen".into(),
        Fill::Mptcp => format!(
            "absent: {} speaks MPTCP there, which cannot be steered to; turn that off in the program (of Go: GODEBUG=multipathtcp=0)",
            somebody(state)
        ),
        Fill::Refused(errno) => format!(
            "absent: the kernel refused the socket: {}",
            io::Error::from_raw_os_error(errno)
        ),
    }
}
