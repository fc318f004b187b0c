//! A socket that sends and sees whole frames on one interface (AF_PACKET).
//!
//! One that is bound to an EtherType, as here, gets a frame where the IP stack gets it: after XDP and after TC
//! ingress. (One bound to every EtherType taps in between the two.) What it sends passes TC egress.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The largest frame: headers and the largest IP packet.
const FRAME: usize = 14 + 8 + 65_575;

/// An EtherType that no frame of a lab has: that of the second local experiment.
const UNUSED: u16 = 0x88b6;

/// A packet socket, bound to an interface and an EtherType.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    index: u32,
    ethertype: u16,
}

impl PacketSocket {
    /// A socket in the calling thread's namespace. It gets the frames of `ethertype` that arrive on `interface`.
    pub fn open(interface: &str, ethertype: u16) -> io::Result<Self> {
        let index = if_nametoindex(interface)?;
        // SAFETY: no memory is handed over; the result is checked before it becomes an owned descriptor.
        let fd = unsafe {
            let raw = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(raw)
        };
        let socket = Self {
            fd,
            index,
            ethertype,
        };
        socket.look(true)?;
        Ok(socket)
    }

    /// Whether it gets frames from now on. While one does, the stack gets a copy of each (`skb_share_check`), and the socket that
    /// a program gave the frame is not in it.
    pub fn look(&self, looks: bool) -> io::Result<()> {
        self.bind(self.index, if looks { self.ethertype } else { UNUSED })
    }

    fn bind(&self, index: u32, ethertype: u16) -> io::Result<()> {
        // SAFETY: `sockaddr_ll` is plain data, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ethertype.to_be();
        address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        let result = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                mem::size_of_val(&address) as libc::socklen_t,
            )
        };
        check(result as isize).map(|_| ())
    }

    /// Sends a whole frame. Its EtherType must be the socket's for the hooks to see the right protocol. That a hook threw it
    /// away (the kernel says ENOBUFS then) is no error.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and the length describe `frame`.
        let sent =
            unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        match check(sent) {
            Ok(length) if length == frame.len() => Ok(()),
            Ok(length) => Err(io::Error::other(format!(
                "{length} of {} bytes were sent",
                frame.len()
            ))),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next frame, if one is there.
    pub fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut frame = vec![0; FRAME];
        // SAFETY: the pointer and the length describe `frame`.
        let got = unsafe {
            libc::recv(
                self.fd.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
            )
        };
        match check(got) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next frame, waited for at most `milliseconds`.
    pub fn wait(&self, milliseconds: u16) -> io::Result<Option<Vec<u8>>> {
        let mut ready = [PollFd::new(self.fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut ready, PollTimeout::from(milliseconds)) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(0) => return Ok(None),
                Ok(_) => return self.receive(),
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
