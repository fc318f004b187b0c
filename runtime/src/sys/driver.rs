//! The driver of an interface, by its name: what `ethtool -i` shows first; and whether its card joins packets.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType};

/// `SIOCETHTOOL` of `linux/sockios.h`.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// `ETHTOOL_GDRVINFO` of `linux/ethtool.h`.
const GDRVINFO: u32 = 3;
/// `ETHTOOL_GFLAGS` and `ETH_FLAG_LRO`.
const GFLAGS: u32 = 0x25;
const LRO: u32 = 1 << 15;

/// `struct ethtool_drvinfo` of `linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// The driver of an interface of the calling thread's namespace; `None` if it does not say.
pub(crate) fn driver(interface: &str) -> io::Result<Option<String>> {
    let mut info = DriverInfo {
        command: GDRVINFO,
        driver: [0; 32],
        rest: [0; 160],
    };
    if !ask(interface, &mut info)? {
        return Ok(None);
    }
    let end = info.driver.iter().position(|byte| *byte == 0);
    let name = info.driver.get(..end.unwrap_or(info.driver.len()));
    Ok(name.map(|name| String::from_utf8_lossy(name).into_owned()))
}

/// Whether the card of an interface joins packets as they arrive (LRO); `None` if it does not say.
pub(crate) fn joins(interface: &str) -> io::Result<Option<bool>> {
    let mut value = Value {
        command: GFLAGS,
        data: 0,
    };
    let told = ask(interface, &mut value)?;
    Ok(told.then_some(value.data & LRO != 0))
}

/// Has the kernel write what a command of ethtool asks for, one that writes no more than its struct; false if the interface does
/// not say.
fn ask<T>(interface: &str, question: &mut T) -> io::Result<bool> {
    let kind = SockType::Datagram;
    let socket = socket::socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: the struct is integers and arrays of them, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let place = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, byte) in place.zip(interface.bytes()) {
        *to = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(question).cast();
    // SAFETY: the request and what it points to live through the call, and the kernel writes no more than the struct that the
    // command names.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            SIOCETHTOOL as _,
            std::ptr::from_mut(&mut request),
        )
    };
    if result < 0 {
        let cause = io::Error::last_os_error();
        return match cause.raw_os_error() {
            Some(libc::EOPNOTSUPP) => Ok(false),
            _ => Err(cause),
        };
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_is_as_long_as_the_kernels() {
        assert_eq!(mem::size_of::<DriverInfo>(), 196);
        assert_eq!(mem::size_of::<Value>(), 8);
    }

    #[test]
    fn one_that_is_not_there_is_an_error() {
        assert!(driver("no-such-if").is_err());
        assert!(joins("no-such-if").is_err());
        // The loopback says, and joins nothing.
        assert_eq!(joins("lo").unwrap_or(Some(false)), Some(false));
    }
}
