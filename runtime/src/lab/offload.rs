//! Offloads of an interface that decide whether what XDP sends back over a veth pair ever arrives.
//!
//! What an XDP program at one end of a veth pair sends back or on gets to the other end only if that end polls, and it
//! polls while receive offload is on. Before Linux 5.13 it never does without a program of its own; what is sent back there
//! is lost. Without such a program nobody wakes it for what XDP sends, either (`veth_xdp_flush` of drivers/net/veth.c): the frames
//! wait for the next one that goes through the same ring. Ordinary frames do so only while the sending end cuts no TCP segments
//! (`veth_skb_is_eligible_for_gro`, since Linux 5.15), so that is turned off there.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::error::{Error, While};

/// `ETHTOOL_SGRO` of `linux/ethtool.h`.
const SET_RECEIVE_OFFLOAD: u32 = 0x2c;
/// `ETHTOOL_STSO`
const SET_SEGMENTATION: u32 = 0x1f;
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
    set(name, SET_RECEIVE_OFFLOAD, 1)
        .doing(|| format!("turning receive offload of interface `{name}` on"))
}

/// Turns the segmentation of TCP off for an interface of the calling thread's namespace.
pub(super) fn segment_no_more(name: &str) -> Result<(), Error> {
    set(name, SET_SEGMENTATION, 0)
        .doing(|| format!("turning the segmentation of interface `{name}` off"))
}

fn set(name: &str, command: u32, data: u32) -> io::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut value = Value { command, data };
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
