//! Sockets that a process in another control group makes.
//!
//! A socket belongs for good to the control group of the process that made it. So a short-lived child that shares our descriptors
//! steps into the group, makes the sockets and is gone; this process never moves.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::retry::again;

/// Bytes of stack the child gets; it makes a few system calls.
const STACK: usize = 64 * 1024;

/// What the child is told, and where it puts descriptors; what it could not make is negative.
struct Order<'a> {
    members: RawFd,
    kind: [c_int; 3],
    made: &'a mut [c_int],
    error: c_int,
}

/// So many sockets of a kind (family, type, protocol) of the control group whose `cgroup.procs` is open for writing, in the calling
/// thread's network namespace.
pub(crate) fn sockets(
    members: BorrowedFd<'_>,
    kind: [c_int; 3],
    count: usize,
) -> io::Result<Vec<OwnedFd>> {
    let mut made = vec![-1; count];
    let mut order = Order {
        members: members.as_raw_fd(),
        kind,
        made: &mut made,
        error: 0,
    };
    let mut stack = vec![0u128; STACK / 16];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: with CLONE_VFORK this thread sleeps until the child has ended, so `stack` and `order` outlive it and are
    // touched by one side at a time; `obey` makes only system calls. The top of the stack is aligned to 16 bytes.
    let child = unsafe {
        libc::clone(
            obey,
            stack.as_mut_ptr().add(stack.len()).cast(),
            flags,
            (&raw mut order).cast(),
        )
    };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    let error = order.error;
    let made = made.into_iter().filter(|made| *made >= 0);
    // SAFETY: the child opened these descriptors in the table it shared with us, and nobody else knows of them.
    let made = made.map(|made| unsafe { OwnedFd::from_raw_fd(made) });
    let made: Vec<OwnedFd> = made.collect();
    let child = nix::unistd::Pid::from_raw(child);
    again(|| Ok(nix::sys::wait::waitpid(child, None)?))?;
    match error {
        0 => Ok(made),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The child: steps into the control group and makes the sockets.
extern "C" fn obey(order: *mut c_void) -> c_int {
    // SAFETY: `sockets` passes its own `Order`, and sleeps while this runs.
    let order = unsafe { &mut *order.cast::<Order<'_>>() };
    let [family, kind, protocol] = order.kind;
    // SAFETY: plain system calls; the only pointer is to one static byte. "0" means the writer itself.
    unsafe {
        if libc::write(order.members, c"0".as_ptr().cast(), 1) < 0 {
            order.error = *libc::__errno_location();
            return 0;
        }
        for made in order.made.iter_mut() {
            *made = libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol);
            if *made < 0 {
                order.error = *libc::__errno_location();
                return 0;
            }
        }
    }
    0
}
