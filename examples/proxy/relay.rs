//! The proxy at work: a thread for each connection, which takes it, looks once, connects, and passes it on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::{ptr, thread};

use nix::unistd::pipe;

use super::pairs::{self, Outcome};

/// Bytes that are read to look at.
const FIRST: usize = 4096;
/// Bytes that are copied at once.
const PIECE: usize = 1 << 16;
/// Room of a pipe that data is spliced through.
const PIPE: libc::c_int = 1 << 20;

/// What is done with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// It is handed over to who keeps pairs, at this path.
    Pairs(PathBuf),
    /// It is copied here.
    Copy,
    /// It goes through a pipe, by splice(2).
    Splice,
}

/// Where connections go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstreams {
    /// What does not begin as TLS does.
    pub(crate) plain: SocketAddr,
    /// What does, if that goes elsewhere.
    pub(crate) tls: Option<SocketAddr>,
}

impl Upstreams {
    /// The one look at the first bytes: a handshake of TLS begins with 22.
    fn of(self, first: &[u8]) -> SocketAddr {
        match first {
            [22, ..] => self.tls.unwrap_or(self.plain),
            _ => self.plain,
        }
    }
}

/// Takes connections until the listener ends.
pub(crate) fn serve(listener: &TcpListener, upstreams: Upstreams, way: &Way) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        let way = way.clone();
        thread::spawn(move || {
            if let Err(error) = connection(client, upstreams, &way) {
                eprintln!("proxy: {error}");
            }
        });
    }
}

fn connection(mut client: TcpStream, upstreams: Upstreams, way: &Way) -> io::Result<()> {
    let mut first = vec![0; FIRST];
    let length = client.read(&mut first)?;
    first.truncate(length);
    let mut upstream = TcpStream::connect(upstreams.of(&first))?;
    for side in [&client, &upstream] {
        side.set_nodelay(true)?;
    }
    if let Way::Pairs(path) = way {
        match pairs::join(path, [&client, &upstream], &first) {
            // Both are closed here, and go on in the kernel.
            Outcome::Joined => return Ok(()),
            Outcome::Refused(why) => eprintln!("proxy: copies by itself: {why}"),
            Outcome::Lost => return Err(io::Error::other("a pair was lost on its way")),
        }
    }
    upstream.write_all(&first)?;
    let passes = match way {
        Way::Splice => spliced,
        Way::Pairs(_) | Way::Copy => copied,
    };
    thread::scope(|scope| {
        let back = scope.spawn(|| one_way(passes, &upstream, &client));
        one_way(passes, &client, &upstream)?;
        back.join()
            .map_err(|_| io::Error::other("a thread has ended"))?
    })
}

/// Passes on all that comes, then the end; what fails ends both connections.
fn one_way(
    passes: fn(&TcpStream, &TcpStream) -> io::Result<()>,
    from: &TcpStream,
    to: &TcpStream,
) -> io::Result<()> {
    let done = passes(from, to).and_then(|()| to.shutdown(Shutdown::Write));
    if done.is_err() {
        for side in [from, to] {
            let _ = side.shutdown(Shutdown::Both);
        }
    }
    done
}

fn copied(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; PIECE];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(()),
            count => to.write_all(&bytes[..count])?,
        }
    }
}

fn spliced(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (out, into) = pipe()?;
    // A smaller pipe does too, only slower.
    // SAFETY: fcntl(2) takes a descriptor, which lives through the call, and numbers.
    unsafe { libc::fcntl(into.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE) };
    loop {
        let mut left = splice(from, &into, PIPE as usize)?;
        if left == 0 {
            return Ok(());
        }
        while left > 0 {
            left -= splice(&out, to, left)?;
        }
    }
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, most: usize) -> io::Result<usize> {
    // SAFETY: splice(2) takes two descriptors, which live through the call, and no places in files.
    let moved = unsafe {
        libc::splice(
            from.as_raw_fd(),
            ptr::null_mut(),
            to.as_raw_fd(),
            ptr::null_mut(),
            most,
            libc::SPLICE_F_MOVE,
        )
    };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}
