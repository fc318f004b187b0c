//! Descriptors that another process hands over, by a message on a UNIX socket.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::tcp::moved;

/// A message with descriptors.
pub(crate) struct Message {
    /// The descriptors that came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Bytes of the message.
    pub(crate) length: usize,
    /// Whether a part of it, or a descriptor, had no room.
    pub(crate) cut: bool,
}

/// Room for control messages: more descriptors than two are a mistake that is told.
const CONTROL: usize = 128;

/// The next message; `None` if there is none yet.
pub(crate) fn message(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Option<Message>> {
    #[repr(C, align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all zeros are a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    // C libraries do not agree on the types of these lengths.
    header.msg_controllen = CONTROL as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to buffers of the lengths that it says, which live through the call.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let Some(length) = moved(got)? else {
        return Ok(None);
    };
    Ok(Some(Message {
        descriptors: descriptors(&header),
        length,
        cut: header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    }))
}

fn descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    // SAFETY: the kernel has filled the control buffer; the macros stay inside it.
    unsafe {
        let mut one = libc::CMSG_FIRSTHDR(header);
        while !one.is_null() {
            let about = std::ptr::read_unaligned(one);
            if about.cmsg_level == libc::SOL_SOCKET && about.cmsg_type == libc::SCM_RIGHTS {
                let whole: usize = about.cmsg_len as _;
                let bytes = whole - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(one).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    // The kernel has just made each of them for us.
                    let fd = std::ptr::read_unaligned(first.add(index));
                    found.push(OwnedFd::from_raw_fd(fd));
                }
            }
            one = libc::CMSG_NXTHDR(header, one);
        }
    }
    found
}
