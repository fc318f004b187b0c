//! Many runs of a program in one system call, which only benchmarks ask for.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

use super::bpf::{address, attr, call, call_fd, info, number};

/// `BPF_F_TEST_XDP_LIVE_FRAMES`: each frame goes where the program's verdict sends it.
const LIVE_FRAMES: u32 = 1 << 1;
/// Bytes of `struct bpf_sk_lookup`.
pub(crate) const LOOKUP: usize = 72;
/// Where `struct xdp_md` has the index of the interface.
const INTERFACE: std::ops::Range<usize> = 12..16;

/// Runs an XDP program on frames that arrive at an interface of the calling thread's namespace; nanoseconds for each.
pub(crate) fn live(
    program: BorrowedFd<'_>,
    frame: &[u8],
    interface: u32,
    times: u32,
) -> io::Result<u32> {
    let mut context = [0u8; 24];
    let end = u32::try_from(frame.len()).map_err(io::Error::other)?;
    context[4..8].copy_from_slice(&end.to_ne_bytes());
    context[INTERFACE].copy_from_slice(&interface.to_ne_bytes());
    let mut a = on_frame(program, frame, times)?;
    a.test.ctx_in = address(context.as_slice());
    a.test.ctx_size_in = 24;
    a.test.flags = LIVE_FRAMES;
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut a)?;
    // SAFETY: the command just wrote this field of the union.
    Ok(unsafe { a.test.duration })
}

/// Runs a program on one frame again and again, which goes nowhere; its last answer and nanoseconds for each.
pub(crate) fn dry(program: BorrowedFd<'_>, frame: &[u8], times: u32) -> io::Result<(u32, u32)> {
    let mut a = on_frame(program, frame, times)?;
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut a)?;
    // SAFETY: the command just wrote these fields of the union.
    Ok(unsafe { (a.test.retval, a.test.duration) })
}

/// Runs a program of socket lookups again and again; whether it gave a socket, and nanoseconds for each.
pub(crate) fn lookup(
    program: BorrowedFd<'_>,
    context: &[u8; LOOKUP],
    times: u32,
) -> io::Result<(bool, u32)> {
    let mut after = [0; LOOKUP];
    let mut a = attr();
    a.test.prog_fd = number(program);
    a.test.ctx_in = address(context.as_slice());
    a.test.ctx_out = address(after.as_mut_slice());
    a.test.ctx_size_in = LOOKUP as u32;
    a.test.ctx_size_out = LOOKUP as u32;
    a.test.repeat = times;
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut a)?;
    // SAFETY: the command just wrote this field of the union.
    let duration = unsafe { a.test.duration };
    // A cookie says that a socket was chosen.
    Ok((after[..8] != [0; 8], duration))
}

/// What is pinned at a path.
pub(crate) fn pinned(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(path).map_err(io::Error::other)?;
    let mut a = attr();
    a.__bindgen_anon_4.pathname = address(path.as_ptr());
    call_fd(bpf_cmd::BPF_OBJ_GET, &mut a)
}

fn on_frame(program: BorrowedFd<'_>, frame: &[u8], times: u32) -> io::Result<bpf_attr> {
    let mut a = attr();
    a.test.prog_fd = number(program);
    a.test.data_in = address(frame);
    a.test.data_size_in = u32::try_from(frame.len()).map_err(io::Error::other)?;
    a.test.repeat = times;
    Ok(a)
}

/// How many instructions the verifier has processed for a program.
pub(crate) fn verified_insns(program: BorrowedFd<'_>) -> io::Result<u32> {
    let block: bpf_prog_info = info(program)?;
    Ok(block.verified_insns)
}
