//! The map `ends`: connected sockets whose queues take data that processes write to others.
//!
//! Takes what is handed over, and what the generation before held; gives how each slot stands. The kernel takes a socket out of
//! the map when it is closed or reset. Not here: which writes are put there, which is the compiler's.

pub(crate) mod connected;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_prog_type;
use sockc_compiler::artifact::{EndPlan, Manifest, MapKind};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use self::connected::EndKind;
use super::handover::{Handed, refused};
use super::lookup::{SCRATCH, put_in, take_out};
use super::owners::Owners;
use crate::active::Active;
use crate::code::{Code, Label};
use crate::error::{Error, at};
use crate::pairs;
use crate::state::State;
use crate::state::record::Record;
use crate::sys::{map, process, prog, socket};

/// Fields of `struct bpf_sock`: family, type, protocol and state.
const SK_FAMILY: i16 = 4;
const SK_TYPE: i16 = 8;
const SK_PROTOCOL: i16 = 12;
const SK_STATE: i16 = 72;
/// What a program gives that found nobody, or a socket of somebody else, or one that was not taken, or whose own arrivals would stop. What it gives of a socket that
/// is there is more: its family stands in the highest byte.
const NOBODY: i32 = 0;
const NOT_OWNER: i32 = 1;
const REFUSED: i32 = 2;
const READER: i32 = 3;
/// The packet that the programs run on: they do not look at it.
const NO_PACKET: [u8; 64] = [0; 64];

/// A slot, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndState {
    /// The socket's name in the policy.
    pub name: String,
    /// Whether rules put data into what it receives.
    pub input: bool,
    /// Whether rules put data into what it sends.
    pub output: bool,
    /// The socket that is in it; `None` where none was handed over, or it was closed or reset since.
    pub held: Option<EndHeld>,
}

/// A socket in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndHeld {
    /// What it is.
    pub kind: EndKind,
    /// How far its connection is.
    pub phase: EndPhase,
}

/// How far the connection of a socket is whose queues take data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndPhase {
    /// Both sides may send.
    Connected,
    /// Its peer has ended what it sends.
    PeerEnded,
    /// It has ended what it sends itself, so it takes no more data for its peer.
    Ended,
    /// The connection was reset, or has ended on both sides. Its program may still read.
    Over,
}

/// The slots of a generation, asked which of them holds a socket.
pub(crate) struct Ends {
    names: Vec<(String, u32)>,
    slots: Option<OwnedFd>,
}

impl Ends {
    /// Those of a policy.
    pub(crate) fn of(manifest: &Manifest, state: &State, generation: u32) -> Result<Self, Error> {
        let ends = &manifest.ends;
        let slots = (!ends.is_empty()).then(|| ends_map(state, generation));
        Ok(Self {
            names: ends
                .iter()
                .map(|end| (end.name.clone(), end.index))
                .collect(),
            slots: slots.transpose()?,
        })
    }

    /// The name that a socket with this cookie stands behind.
    pub(crate) fn named(&self, cookie: u64) -> io::Result<Option<&str>> {
        let Some(slots) = &self.slots else {
            return Ok(None);
        };
        for (name, index) in &self.names {
            // What a SOCKMAP says of a socket to processes (`sock_map_lookup_sys`).
            let mut held = [0; 8];
            if map::lookup(slots.as_fd(), &index.to_ne_bytes(), &mut held)?
                && u64::from_ne_bytes(held) == cookie
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Puts a socket into the slot of one whose queues take data, in place of the one that is there.
pub(super) fn register(
    active: &Active<'_>,
    plan: &EndPlan,
    handed: &[Handed],
) -> Result<(EndKind, Option<String>), Error> {
    let name = &plan.name;
    let [Handed { fd, holder }] = handed else {
        let cause =
            "rules put data into its queues, so it holds one socket; hand over one".to_owned();
        return Err(refused(name, cause));
    };
    let kind = connected::look(plan, fd.as_fd())?;
    let owners = Owners::of_ends(&active.record.manifest)?;
    connected::check_owner(plan, fd.as_fd(), &owners)?;
    in_no_pair(active, name, fd.as_fd())?;
    connected::check_reader(plan, kind, fd.as_fd())?;
    let slots = ends_map(active.state(), active.record.generation)?;
    let put = map::put_socket(slots.as_fd(), &plan.index.to_ne_bytes(), fd.as_fd());
    put.map_err(|error| connected::not_taken(plan, kind, &error))?;
    let note = holder.and_then(waiting_reader).filter(|_| plan.input);
    Ok((kind, note))
}

/// What rules put into the queues of a spliced connection would come between what is spliced, and be counted as that.
fn in_no_pair(active: &Active<'_>, name: &str, fd: BorrowedFd<'_>) -> Result<(), Error> {
    let Some(cookie) = socket::cookie(fd) else {
        return Ok(());
    };
    let maps = pairs::joined(&active.record.manifest, active.state())?;
    match pairs::joined_in(&maps, cookie).map_err(at("look into the pairs"))? {
        None => Ok(()),
        Some(pairs) => Err(refused(
            name,
            format!(
                "the connection is in a pair of \"{pairs}\", and its data is the other one's; hand over another"
            ),
        )),
    }
}

/// A read that waits now looks only for what comes from the peer: the kernel chose the function that reads when the call began
/// (`sk->sk_prot->recvmsg`). It goes on waiting where rules put data into the queue, and later reads find it.
fn waiting_reader((pid, fd): (u32, i32)) -> Option<String> {
    process::reads_from(pid, fd).then(|| {
        format!(
            "process {pid} waits for data of this socket already, and that read sees only what its peer sends; reads that begin from now on see what rules put there"
        )
    })
}

/// Empties a slot; gives what was in it.
pub(crate) fn unregister(active: &Active<'_>, plan: &EndPlan) -> Result<Option<EndKind>, Error> {
    let slots = ends_map(active.state(), active.record.generation)?;
    let held = state(plan, slots.as_fd())?.held;
    map::empty_slot(slots.as_fd(), plan.index)
        .map_err(at(format!("empty the slot of \"{}\"", plan.name)))?;
    Ok(held.map(|held| held.kind))
}

/// How every slot of a generation stands.
pub(crate) fn states(
    manifest: &Manifest,
    state: &State,
    generation: u32,
) -> Result<Vec<EndState>, Error> {
    if manifest.ends.is_empty() {
        return Ok(Vec::new());
    }
    let slots = ends_map(state, generation)?;
    let plans = manifest.ends.iter();
    plans.map(|plan| self::state(plan, slots.as_fd())).collect()
}

fn state(plan: &EndPlan, slots: BorrowedFd<'_>) -> Result<EndState, Error> {
    let given = run(|code| carried(code, plan.index, slots, |_, _| {}));
    let given = given.map_err(at("look into the slots of sockets that take data"))?;
    Ok(EndState {
        name: plan.name.clone(),
        input: plan.input,
        output: plan.output,
        held: held(given),
    })
}

/// Copies what the generation before holds to the slots of the same names; what was left out, and why.
pub(crate) fn carry(
    manifest: &Manifest,
    before: Option<&Record>,
    state: &State,
    generation: u32,
) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    let Some(before) = before else {
        return Ok(notes);
    };
    notes.extend(taken_off(manifest, before, state)?);
    for (old, plan) in shared(&before.manifest, manifest) {
        let from = ends_map(state, before.generation)?;
        let to = ends_map(state, generation)?;
        let owners = Owners::of_ends(manifest)?;
        let what = "carry sockets over that take data";
        let copied = run(|code| {
            carried(code, old.index, from.as_fd(), |code, out| {
                admit(code, plan, &owners, out);
                put_in(code, plan.index, to.as_fd());
                code.jump_if(JumpOp::Ne, Register::R0, 0, out.refused);
            })
        });
        let why = match copied.map_err(at(what))?.cast_signed() {
            NOT_OWNER => "it is not of the owner that the policy names",
            REFUSED => "it cannot take what the rules put there now",
            READER => connected::STOPS,
            _ => continue,
        };
        notes.push(format!(
            "the socket \"{}\" is absent: {why}; hand over another by `sockc socket register {0}`",
            plan.name
        ));
    }
    Ok(notes)
}

/// Sockets that were handed over and that no rule of the new policy leads to.
fn taken_off(manifest: &Manifest, before: &Record, state: &State) -> Result<Vec<String>, Error> {
    let held = states(&before.manifest, state, before.generation)?;
    let gone = held.into_iter().filter(|old| {
        let mut kept = manifest.ends.iter();
        old.held.is_some() && !kept.any(|plan| plan.name == old.name)
    });
    let told = gone.map(|old| {
        format!(
            "the socket \"{0}\" is taken off: no rule of this policy leads to it; hand it over again by `sockc socket register {0}` once one does",
            old.name
        )
    });
    Ok(told.collect())
}

/// A socket that two policies name, were the second one put in force.
pub(crate) struct Carriable {
    /// Its name.
    pub(crate) name: String,
    /// Whether one is there now.
    pub(crate) there: bool,
    /// Whether that one would be carried over.
    pub(crate) stays: bool,
}

/// What becomes of the sockets that both policies name.
pub(crate) fn carriable(
    before: &Record,
    manifest: &Manifest,
    state: &State,
) -> Result<Vec<Carriable>, Error> {
    let mut found = Vec::new();
    for (old, plan) in shared(&before.manifest, manifest) {
        let from = ends_map(state, before.generation)?;
        let owners = Owners::of_ends(manifest)?;
        let given = run(|code| {
            carried(code, old.index, from.as_fd(), |code, out| {
                admit(code, plan, &owners, out);
            })
        });
        let given = given.map_err(at("look into the slots of sockets that take data"))?;
        found.push(Carriable {
            name: plan.name.clone(),
            there: given.cast_signed() != NOBODY,
            stays: held(given).is_some(),
        });
    }
    Ok(found)
}

/// Those that both have, by name.
fn shared<'a>(
    before: &'a Manifest,
    now: &'a Manifest,
) -> impl Iterator<Item = (&'a EndPlan, &'a EndPlan)> {
    now.ends.iter().filter_map(|plan| {
        let old = before.ends.iter().find(|old| old.name == plan.name)?;
        Some((old, plan))
    })
}

/// Where a program goes that does not take the socket in R7.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    not_owner: Label,
    refused: Label,
    reader: Label,
}

/// Goes on if the socket in R7 may stand behind a name.
fn admit(code: &mut Code, plan: &EndPlan, owners: &Owners, out: Out) {
    if plan.output {
        let takes = code.label();
        code.add([asm::load(Width::W, Register::R1, Register::R7, SK_PROTOCOL)]);
        code.jump_if(JumpOp::Eq, Register::R1, libc::IPPROTO_TCP, takes);
        if plan.relayed {
            code.add([asm::load(Width::W, Register::R1, Register::R7, SK_FAMILY)]);
            code.jump_if(JumpOp::Eq, Register::R1, libc::AF_UNIX, takes);
        }
        code.jump(out.refused);
        code.place(takes);
    }
    connected::check_arrivals(code, plan, out.reader);
    owners.check(code, &plan.name, Register::R7, SCRATCH, out.not_owner);
}

/// Takes what is in a slot of a map, and does with the one in R7 what may leave to one of the outs; gives what it is.
fn carried(code: &mut Code, index: u32, from: BorrowedFd<'_>, taken: impl FnOnce(&mut Code, Out)) {
    let (nobody, release) = (code.label(), code.label());
    let out = Out {
        not_owner: code.label(),
        refused: code.label(),
        reader: code.label(),
    };
    take_out(code, index, from, nobody);
    // The verifier refuses code that no way leads to, and not every caller goes out.
    code.add([asm::mov64_imm(Register::R8, NOBODY)]);
    code.jump_if(JumpOp::Eq, Register::R8, NOT_OWNER, out.not_owner);
    code.jump_if(JumpOp::Eq, Register::R8, REFUSED, out.refused);
    code.jump_if(JumpOp::Eq, Register::R8, READER, out.reader);
    taken(code, out);
    code.add([asm::mov64_imm(Register::R8, 0)]);
    for (field, more) in [
        (SK_FAMILY, 8),
        (SK_PROTOCOL, 8),
        (SK_TYPE, 8),
        (SK_STATE, 0),
    ] {
        code.add([
            asm::load(Width::W, Register::R1, Register::R7, field),
            asm::alu64_imm(AluOp::And, Register::R1, 0xff),
            asm::alu64_reg(AluOp::Or, Register::R8, Register::R1),
            asm::alu64_imm(AluOp::Lsh, Register::R8, more),
        ]);
    }
    code.jump(release);
    let outs = [
        (out.not_owner, NOT_OWNER),
        (out.refused, REFUSED),
        (out.reader, READER),
    ];
    for (label, given) in outs {
        code.place(label);
        code.add([asm::mov64_imm(Register::R8, given)]);
        code.jump(release);
    }
    code.place(release);
    code.add([
        asm::mov64_reg(Register::R1, Register::R7),
        asm::call(Helper::SkRelease),
        asm::mov64_reg(Register::R0, Register::R8),
        asm::exit(),
    ]);
    code.place(nobody);
    code.give(NOBODY);
}

/// Runs a program once; what it gives.
fn run(write: impl FnOnce(&mut Code)) -> io::Result<u32> {
    let mut code = Code::default();
    write(&mut code);
    let program = prog::load(&prog::Source {
        name: "sockc_end",
        kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
        attach: None,
        code: &code.bytes()?,
    })?;
    prog::run(program.as_fd(), &NO_PACKET)
}

/// What a program says of a socket that is there; the states are those of `net/tcp_states.h`, in which other sockets are
/// `TCP_ESTABLISHED` as long as they are connected.
fn held(given: u32) -> Option<EndHeld> {
    let [family, protocol, kind, state] = given.to_be_bytes();
    let kind = EndKind::of(family.into(), kind.into(), protocol.into())?;
    let phase = match state {
        // `TCP_ESTABLISHED`
        1 => EndPhase::Connected,
        // `TCP_CLOSE_WAIT`
        8 => EndPhase::PeerEnded,
        // `TCP_FIN_WAIT1` and `TCP_FIN_WAIT2`
        4 | 5 => EndPhase::Ended,
        _ => EndPhase::Over,
    };
    Some(EndHeld { kind, phase })
}

/// The map of a generation.
fn ends_map(state: &State, generation: u32) -> Result<OwnedFd, Error> {
    state.open_map(generation, "ends", MapKind::SockMap)
}
