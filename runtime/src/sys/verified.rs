//! Programs of objects: loaded with their types and source lines, and with what the verifier says where it refuses one.
//!
//! Programs that the runtime makes itself have neither; see [`super::prog`].

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::{
    bpf_attach_type, bpf_cmd, bpf_func_info, bpf_insn, bpf_line_info, bpf_prog_type,
};

use super::bpf::{address, attr, call_fd, name, number};
use super::{retry, token};

/// A program with what its object says of it.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Its name; the kernel keeps 15 bytes.
    pub(crate) name: &'a str,
    /// Its type.
    pub(crate) kind: bpf_prog_type,
    /// The attach type that the kernel wants to know at load.
    pub(crate) attach: Option<bpf_attach_type>,
    /// The instructions, with the descriptors of maps in them.
    pub(crate) code: &'a [bpf_insn],
    /// The license, which says what helpers it may call.
    pub(crate) license: &'a CStr,
    /// The types of the object.
    pub(crate) types: BorrowedFd<'a>,
    /// The types of its functions.
    pub(crate) functions: &'a [bpf_func_info],
    /// The source lines of its instructions.
    pub(crate) lines: &'a [bpf_line_info],
}

/// The kernel did not take a program.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the system says.
    pub(crate) cause: io::Error,
    /// What the verifier says; nothing if it was not asked.
    pub(crate) log: String,
}

/// `BPF_LOG_LEVEL1`: the log has the path to the refused instruction with its source lines (`pop_stack` in
/// kernel/bpf/verifier.c throws the other paths away); with `BPF_LOG_STATS` it ends with how much was processed.
const LEVEL: u32 = 1 | 4;
/// How long the log may be, first and at last. The kernel refuses a log that is too short with ENOSPC, whatever the program.
const LEAST: usize = 10 << 10;
const MOST: usize = 16 << 20;

/// Loads a program. The verifier is asked for its log only where it refuses.
pub(crate) fn load(source: &Source<'_>) -> Result<OwnedFd, Refusal> {
    let refused = match attempt(source, &mut []) {
        Ok(program) => return Ok(program),
        Err(refused) => refused,
    };
    let mut size = LEAST;
    loop {
        let mut log = vec![0; size];
        let cause = match attempt(source, &mut log) {
            Ok(program) => return Ok(program),
            Err(cause) => cause,
        };
        let is_short = cause.raw_os_error() == Some(libc::ENOSPC);
        if is_short && size < MOST {
            size = (size * 10).min(MOST);
            continue;
        }
        return Err(Refusal {
            cause: if is_short { refused } else { cause },
            log: text(&log),
        });
    }
}

fn attempt(source: &Source<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut a = attr();
    // SAFETY: all of the union is zeros, which are valid for this plain C struct of integers.
    let program = unsafe { &mut a.__bindgen_anon_3 };
    program.prog_type = source.kind as u32;
    program.expected_attach_type = source.attach.map_or(0, |attach| attach as u32);
    program.prog_name = name(source.name);
    program.insns = address(source.code);
    program.insn_cnt = count(source.code)?;
    program.license = address(source.license.to_bytes_with_nul());
    program.prog_btf_fd = number(source.types);
    program.func_info = address(source.functions);
    program.func_info_cnt = count(source.functions)?;
    program.func_info_rec_size = size_of::<bpf_func_info>() as u32;
    program.line_info = address(source.lines);
    program.line_info_cnt = count(source.lines)?;
    program.line_info_rec_size = size_of::<bpf_line_info>() as u32;
    (program.prog_flags, program.prog_token_fd) = token::passed();
    if !log.is_empty() {
        program.log_level = LEVEL;
        program.log_size = count(log)?;
        program.log_buf = address(std::ptr::from_mut(log));
    }
    let types = || token::of_program(source.kind, source.attach);
    let loaded = retry::verified(|| call_fd(bpf_cmd::BPF_PROG_LOAD, &mut a));
    loaded.map_err(|error| token::explained(error, &types()))
}

fn count<T>(of: &[T]) -> io::Result<u32> {
    u32::try_from(of.len()).map_err(io::Error::other)
}

/// A log, which may be cut off in the middle of a character.
fn text(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).into_owned()
}
