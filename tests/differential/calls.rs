//! The bpf(2) calls of the differential tests: a run of a program on a packet with its mark, and elements of maps.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_cmd;

use crate::syscalls::{call, empty};

/// Where `struct __sk_buff` has the mark.
const MARK: std::ops::Range<usize> = 8..12;
/// Room for what a program puts after a packet.
const ROOM: usize = 512;

/// What a program did to a packet.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) frame: Vec<u8>,
    /// The mark, of a packet at TC.
    pub(crate) mark: u32,
}

/// Runs an XDP program (`mark` is `None`) or a TC program on a packet with this mark.
pub(crate) fn run(program: BorrowedFd<'_>, frame: &[u8], mark: Option<u32>) -> io::Result<Done> {
    let mut out = vec![0u8; frame.len() + ROOM];
    let (mut given, mut left) = ([0u8; 192], [0u8; 192]);
    let mut attr = empty();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.repeat = 1;
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.data_out = out.as_mut_ptr() as u64;
    attr.test.data_size_out = out.len() as u32;
    if let Some(mark) = mark {
        given[MARK].copy_from_slice(&mark.to_ne_bytes());
        attr.test.ctx_in = given.as_ptr() as u64;
        attr.test.ctx_size_in = given.len() as u32;
        attr.test.ctx_out = left.as_mut_ptr() as u64;
        attr.test.ctx_size_out = left.len() as u32;
    }
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has filled this member of the union.
    let (code, length) = unsafe { (attr.test.retval, attr.test.data_size_out) };
    out.truncate(length as usize);
    Ok(Done {
        code: code.cast_signed(),
        frame: out,
        mark: u32::from_ne_bytes(left[MARK].try_into().unwrap()),
    })
}

/// What is pinned at a path.
pub(crate) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut attr = empty();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    let fd = call(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The value of a key, of `size` bytes; `None` if it is not there.
pub(crate) fn look_up(map: BorrowedFd<'_>, key: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut value = vec![0u8; size];
    let mut attr = empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_ptr() as u64;
    element.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
    call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr).ok()?;
    Some(value)
}

/// Takes a key out; it need not be there.
pub(crate) fn delete(map: BorrowedFd<'_>, key: &[u8]) {
    let mut attr = empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_ptr() as u64;
    let _ = call(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr);
}
