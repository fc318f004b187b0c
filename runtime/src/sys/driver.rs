//! The driver of an interface, by its name: what `ethtool -i` shows first.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType};

/// `SIOCETHTOOL` of `linux/sockios.h`.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// `ETHTOOL_GDRVINFO` of `linux/ethtool.h`.
const GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo` of `linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// The driver of an interface of the calling thread's namespace; `None` if it does not say.
pub(crate) fn driver(interface: &str) -> io::Result<Option<String>> {
    let kind = SockType::Datagram;
    let socket = socket::socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    let mut info = DriverInfo {
        command: GDRVINFO,
        driver: [0; 32],
        rest: [0; 160],
    };
    // SAFETY: the struct is integers and arrays of them, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let place = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, byte) in place.zip(interface.bytes()) {
        *to = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut info).cast();
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
            Some(libc::EOPNOTSUPP) => Ok(None),
            _ => Err(cause),
        };
    }
    let end = info.driver.iter().position(|byte| *byte == 0);
    let name = info.driver.get(..end.unwrap_or(info.driver.len()));
    Ok(name.map(|name| String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_is_as_long_as_the_kernels() {
        assert_eq!(mem::size_of::<DriverInfo>(), 196);
    }

    #[test]
    fn one_that_is_not_there_is_an_error() {
        assert!(driver("no-such-if").is_err());
    }
}
