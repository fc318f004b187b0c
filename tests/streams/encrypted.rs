//! Kernel TLS on an allowed connection: what is to be encrypted must not go round it.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use crate::egress::TALK;
use crate::full::{CLOSED, MUCH, drain, fill, wait_for_room};
use crate::place::*;
use crate::shortcut::all_of;

/// Puts TLS between the process and TCP, as it is before there are keys.
fn layer(stream: &TcpStream) -> io::Result<()> {
    let (level, name, value) = (libc::IPPROTO_TCP, libc::TCP_ULP, b"tls");
    let size = u32::try_from(value.len()).unwrap();
    // SAFETY: the value and the descriptor live through the call.
    let done =
        unsafe { libc::setsockopt(stream.as_raw_fd(), level, name, value.as_ptr().cast(), size) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What is redirected goes past TLS (`tcp_bpf_push`), so such a socket is let go in the plain way; that shows in what the
/// kernel remembers. Keys are not given here: current kernels refuse them on a socket in a SOCKMAP (EINVAL).
#[test]
fn what_tls_is_put_on_is_not_redirected() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        if let Err(error) = layer(&pair.client) {
            println!("{error}");
            // This machine's own kernel may be built without it.
            if crate::guests::folder().is_some() {
                skip("TLS of the kernel");
            }
            return;
        }
        let written = fill(&mut pair.client);
        place.apply(CLOSED);
        drain(&mut pair.server, written / 2);
        wait_for_room(&pair.client);
        let more = io::Write::write(&mut pair.client, &vec![8; MUCH]).unwrap();
        pair.client.shutdown(Shutdown::Write).unwrap();
        let rest = written - written / 2 + more;
        assert_eq!(all_of(&mut pair.server).len(), rest);
    });
}
