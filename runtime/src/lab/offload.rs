//! Receive offload of an interface.
//!
//! What an XDP program at one end of a veth pair sends back or on gets to the other end only if that end polls, and it
//! polls while receive offload is on. Before Linux 5.13 it never does without a program of its own; what is sent back there
//! is lost.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::error::{Error, While};

/// `ETHTOOL_SGRO` of `linux/ethtool.h`.
const SET_RECEIVE_OFFLOAD: u32 = 0x2c;
/// `SIOCETHTOOL` of `linux/sockios.h`.
const ETHTOOL: libc::Ioctl = 0x8946;

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Turns generic receive offload on for an interface of the calling thread's namespace.
pub(super) fn receive(name: &str) -> Result<(), Error> {
    set(name).doing(|| format!("turning receive offload of interface `{name}` on"))
}

fn set(name: &str) -> io::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut value = Value {
        command: SET_RECEIVE_OFFLOAD,
        data: 1,
    };
    // SAFETY: the struct is integers, arrays of them and pointers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let place = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, byte) in place.zip(name.bytes()) {
        *to = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = ptr::from_mut(&mut value).cast();
    // SAFETY: the request and the value that it points to live through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), ETHTOOL, ptr::from_mut(&mut request)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
