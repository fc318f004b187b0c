//! The bpf(2) calls that aya does not offer: a load that gives the verifier's statistics, and a run of sk_lookup.
//!
//! Takes and gives plain bytes and file descriptors. Not here: reading objects, making maps (aya does both).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn};

/// `log_level` 4: statistics only, on every kernel since 5.2.
const LOG_STATISTICS: u32 = 4;

/// The type of a program, as the kernel counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// `enum bpf_prog_type`
    pub(crate) program_type: u32,
    /// `enum bpf_attach_type`; the kernel refuses sk_lookup without it.
    pub(crate) attach_type: u32,
}

/// Loads a program and gives the verifier's statistics.
pub(crate) fn load_for_statistics(
    kind: Kind,
    insns: &[bpf_insn],
    license: &CStr,
) -> io::Result<String> {
    let mut log = vec![0u8; 64 * 1024];
    let mut attr = empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = kind.program_type;
    load.expected_attach_type = kind.attach_type;
    load.insns = insns.as_ptr() as u64;
    load.insn_cnt = insns.len() as u32;
    load.license = license.as_ptr() as u64;
    load.log_level = LOG_STATISTICS;
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = log.len() as u32;
    let fd = call(bpf_cmd::BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    Ok(String::from_utf8_lossy(&log[..end]).into_owned())
}

/// Loads a program of these bytes.
pub(crate) fn load(kind: Kind, code: &[u8], license: &CStr) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = kind.program_type;
    load.expected_attach_type = kind.attach_type;
    load.insns = code.as_ptr() as u64;
    load.insn_cnt = (code.len() / size_of::<bpf_insn>()) as u32;
    load.license = license.as_ptr() as u64;
    let fd = call(bpf_cmd::BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs a program on a frame and gives what it returned.
pub(crate) fn run_on_frame(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<u32> {
    let mut attr = empty();
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    run(program, attr)
}

/// Runs a program on a frame and gives what it returned, and the frame as it left it.
pub(crate) fn rewrite(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    let mut out = vec![0u8; frame.len() + 256];
    let mut attr = empty();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.repeat = 1;
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.data_out = out.as_mut_ptr() as u64;
    attr.test.data_size_out = out.len() as u32;
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has filled this member of the union.
    let (returned, length) = unsafe { (attr.test.retval, attr.test.data_size_out) };
    out.truncate(length as usize);
    Ok((returned, out))
}

/// Runs an sk_lookup program on a context; what it returned, and the cookie of the socket it chose (0 for none).
pub(crate) fn run_lookup(program: BorrowedFd<'_>, context: &[u8; 72]) -> io::Result<(u32, u64)> {
    let mut out = [0u8; 72];
    let mut attr = empty();
    attr.test.ctx_in = context.as_ptr() as u64;
    attr.test.ctx_size_in = context.len() as u32;
    attr.test.ctx_out = out.as_mut_ptr() as u64;
    attr.test.ctx_size_out = out.len() as u32;
    let returned = run(program, attr)?;
    let mut cookie = [0; 8];
    cookie.copy_from_slice(&out[..8]);
    Ok((returned, u64::from_ne_bytes(cookie)))
}

/// Sets an element of a map.
pub(crate) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attr = empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_ptr() as u64;
    element.__bindgen_anon_1.value = value.as_ptr() as u64;
    call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

fn run(program: BorrowedFd<'_>, mut attr: bpf_attr) -> io::Result<u32> {
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.repeat = 1;
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has filled this member of the union.
    Ok(unsafe { attr.test.retval })
}

pub(crate) fn empty() -> bpf_attr {
    // SAFETY: the union is plain data, and all zero bits are what the kernel wants in fields that are not used.
    unsafe { std::mem::zeroed() }
}

pub(crate) fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the pointers in `attr` come from slices that live until the call returns.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer as i32)
    }
}
