//! Programs: load, run once, attach without a link, query, describe.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::{
    BPF_F_QUERY_EFFECTIVE, bpf_attach_type, bpf_cmd, bpf_prog_info, bpf_prog_type,
};

use super::bpf::{address, attr, call, call_fd, info, info_into, name, number, text};
use super::token;

/// A program that the runtime makes itself.
#[derive(Clone, Debug)]
pub(crate) struct Source<'a> {
    /// Its name; the kernel keeps 15 bytes.
    pub(crate) name: &'a str,
    /// Its type.
    pub(crate) kind: bpf_prog_type,
    /// The attach type that the kernel wants to know at load.
    pub(crate) attach: Option<bpf_attach_type>,
    /// The instructions, 8 bytes each.
    pub(crate) code: &'a [u8],
}

/// What the kernel says of a loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Its id.
    pub(crate) id: u32,
    /// Its name.
    pub(crate) name: String,
}

/// Loads a program; the kernel's verifier log goes into the error.
pub(crate) fn load(source: &Source<'_>) -> io::Result<OwnedFd> {
    let first = load_with_log(source, &mut []);
    let error = match first {
        Err(error) if !token::is_of_delegation(&error) => error,
        // The verifier was not asked.
        first => return first,
    };
    let mut log = vec![0u8; 64 << 10];
    match load_with_log(source, &mut log) {
        Ok(fd) => Ok(fd),
        Err(_) => Err(with_log(&error, &log)),
    }
}

fn load_with_log(source: &Source<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let mut a = attr();
    a.__bindgen_anon_3.prog_type = source.kind as u32;
    a.__bindgen_anon_3.insn_cnt = u32::try_from(source.code.len() / 8).map_err(io::Error::other)?;
    a.__bindgen_anon_3.insns = address(source.code);
    a.__bindgen_anon_3.license = address(license.to_bytes_with_nul());
    a.__bindgen_anon_3.prog_name = name(source.name);
    a.__bindgen_anon_3.expected_attach_type = source.attach.map_or(0, |attach| attach as u32);
    (
        a.__bindgen_anon_3.prog_flags,
        a.__bindgen_anon_3.prog_token_fd,
    ) = token::passed();
    if !log.is_empty() {
        a.__bindgen_anon_3.log_level = 1;
        a.__bindgen_anon_3.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
        a.__bindgen_anon_3.log_buf = address(log);
    }
    let types = || token::of_program(source.kind, source.attach);
    let refused = |error| token::explained(error, &types());
    call_fd(bpf_cmd::BPF_PROG_LOAD, &mut a).map_err(refused)
}

fn with_log(error: &io::Error, log: &[u8]) -> io::Error {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let log = String::from_utf8_lossy(&log[..end]);
    io::Error::new(error.kind(), format!("{error}; the verifier says: {log}"))
}

/// Runs a program once on `data` in the network namespace of the calling thread and gives what it returned.
pub(crate) fn run(program: BorrowedFd<'_>, data: &[u8]) -> io::Result<u32> {
    let mut a = attr();
    a.test.prog_fd = number(program);
    a.test.data_in = address(data);
    a.test.data_size_in = u32::try_from(data.len()).map_err(io::Error::other)?;
    a.test.repeat = 1;
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut a)?;
    // SAFETY: the command just wrote this field of the union.
    Ok(unsafe { a.test.retval })
}

/// Attaches a program to a map without a link.
pub(crate) fn attach(
    program: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    kind: bpf_attach_type,
) -> io::Result<()> {
    attachment(bpf_cmd::BPF_PROG_ATTACH, program, target, kind)
}

/// Takes a program that was attached without a link off its map.
pub(crate) fn detach(
    program: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    kind: bpf_attach_type,
) -> io::Result<()> {
    attachment(bpf_cmd::BPF_PROG_DETACH, program, target, kind)
}

fn attachment(
    command: bpf_cmd,
    program: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    kind: bpf_attach_type,
) -> io::Result<()> {
    let mut a = attr();
    a.__bindgen_anon_5.__bindgen_anon_1.target_fd = number(target);
    a.__bindgen_anon_5.attach_bpf_fd = number(program);
    a.__bindgen_anon_5.attach_type = kind as u32;
    call(command, &mut a).map(drop)
}

/// Where programs are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AttachTarget<'a> {
    /// An interface, by index, in the network namespace of the calling thread.
    Interface(u32),
    /// A namespace, a control group or a map.
    Fd(BorrowedFd<'a>),
}

/// The ids of the programs at a place, in the order in which they run.
pub(crate) fn query(place: AttachTarget<'_>, kind: bpf_attach_type) -> io::Result<Vec<u32>> {
    ask(place, kind, 0, MOST)
}

/// The ids of the programs that run for a control group, in their order: its own, then those of the groups above it
/// (`compute_effective_progs` of `kernel/bpf/cgroup.c`).
pub(crate) fn query_effective(
    cgroup: BorrowedFd<'_>,
    kind: bpf_attach_type,
) -> io::Result<Vec<u32>> {
    let place = AttachTarget::Fd(cgroup);
    ask(place, kind, BPF_F_QUERY_EFFECTIVE, MOST * MAX_LEVELS)
}

/// The most programs that any place takes (`BPF_CGROUP_MAX_PROGS`, `BPF_MPROG_MAX`, `MAX_PROGS` of lookups).
const MOST: usize = 64;
/// Control groups above each other that are full of programs.
const MAX_LEVELS: usize = 64;

fn ask(
    place: AttachTarget<'_>,
    kind: bpf_attach_type,
    flags: u32,
    most: usize,
) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; most];
    let mut a = attr();
    match place {
        AttachTarget::Interface(index) => a.query.__bindgen_anon_1.target_ifindex = index,
        AttachTarget::Fd(fd) => a.query.__bindgen_anon_1.target_fd = number(fd),
    }
    a.query.attach_type = kind as u32;
    a.query.query_flags = flags;
    a.query.prog_ids = address(ids.as_mut_slice());
    a.query.__bindgen_anon_2.prog_cnt = u32::try_from(most).map_err(io::Error::other)?;
    call(bpf_cmd::BPF_PROG_QUERY, &mut a)?;
    // SAFETY: the command just wrote this field of the union.
    let count = unsafe { a.query.__bindgen_anon_2.prog_cnt } as usize;
    Ok(ids.iter().copied().take(count).collect())
}

/// What the kernel says of a program.
pub(crate) fn describe(program: BorrowedFd<'_>) -> io::Result<Description> {
    let block: bpf_prog_info = info(program)?;
    Ok(Description {
        id: block.id,
        name: text(&block.name),
    })
}

/// For how many nanoseconds a program ran, and how often, while the kernel took the time.
pub(crate) fn run_time(program: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let block: bpf_prog_info = info(program)?;
    Ok((block.run_time_ns, block.run_cnt))
}

/// The ids of the maps that a program uses.
pub(crate) fn maps(program: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let count = info::<bpf_prog_info>(program)?.nr_map_ids;
    let mut ids = vec![0u32; usize::try_from(count).map_err(io::Error::other)?];
    // SAFETY: a plain C struct of integers, for which zeros are valid.
    let mut block: bpf_prog_info = unsafe { std::mem::zeroed() };
    block.nr_map_ids = count;
    block.map_ids = address(ids.as_mut_slice());
    info_into(program, &mut block)?;
    Ok(ids)
}

/// A program by its id.
pub(crate) fn by_id(id: u32) -> io::Result<OwnedFd> {
    let mut a = attr();
    a.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    call_fd(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut a)
}
