//! bpf(2) itself.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::retry::again;

/// An attribute block of zeros, which is what every field that is not meant must be.
pub(super) fn attr() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of plain C structs of integers, for which zeros are valid.
    unsafe { mem::zeroed() }
}

/// Calls bpf(2), again if a signal interrupts it; what it returns is not negative.
pub(super) fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    again(|| call_once(command, attr))
}

fn call_once(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the attribute block lives through the call, and its size is passed with it. Buffers it points to are kept
    // alive by the callers in this folder.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            mem::size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Calls a command of bpf(2) that makes a file descriptor.
pub(super) fn call_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = i32::try_from(call(command, attr)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor as the unsigned number that the attribute block holds.
pub(super) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// The address of a buffer as the attribute block holds it.
pub(super) fn address<T: ?Sized>(buffer: *const T) -> u64 {
    buffer.cast::<u8>() as u64
}

/// A kernel object name: at most 15 bytes of letters, digits, `_` and `.`; the rest is cut off or replaced.
pub(super) fn name(text: &str) -> [libc::c_char; 16] {
    let mut name = [0; 16];
    for (place, byte) in name.iter_mut().take(15).zip(text.bytes()) {
        let plain = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        *place = if plain { byte } else { b'_' }.cast_signed();
    }
    name
}

/// The text of a kernel object name.
pub(super) fn text(name: &[libc::c_char]) -> String {
    let bytes: Vec<u8> = name
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fills a kernel `bpf_*_info` block of an object.
pub(super) fn info<T: Copy>(fd: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: only instantiated with the `bpf_*_info` structs of `aya_obj::generated`, for which zeros are valid.
    let mut block: T = unsafe { mem::zeroed() };
    info_into(fd, &mut block)?;
    Ok(block)
}

/// The same for a block that names buffers, which the caller keeps alive.
pub(super) fn info_into<T: Copy>(fd: BorrowedFd<'_>, block: &mut T) -> io::Result<()> {
    let mut a = attr();
    a.info.bpf_fd = number(fd);
    a.info.info_len = u32::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    a.info.info = address(std::ptr::from_mut(block));
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut a).map(drop)
}
