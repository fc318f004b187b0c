//! Hands a pair over to `sockc socket pair`: what `sockc_pairs_join` of `examples/sockc.h` does, in Rust.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use socket2::SockRef;

use super::ask::ask;

/// What became of a pair.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The kernel moves its data from now on; the proxy closes its own descriptors.
    Joined,
    /// Nothing was touched, and why: the proxy copies by itself.
    Refused(io::Error),
    /// Whoever keeps the pairs ended in the middle of it, and nobody can tell what was moved: closing resets both connections.
    Lost,
}

/// Hands over the connection of the client and that to the upstream, with what was read from the client and not passed on.
pub(super) fn join(path: &Path, sides: [&TcpStream; 2], read: &[u8]) -> Outcome {
    match handed_over(path, sides, read) {
        Err(why) => Outcome::Refused(why),
        Ok(Some(answer)) if answer == "ok" => Outcome::Joined,
        Ok(Some(why)) => Outcome::Refused(io::Error::other(why)),
        Ok(None) => {
            for side in sides {
                let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
            }
            Outcome::Lost
        }
    }
}

fn handed_over(path: &Path, sides: [&TcpStream; 2], read: &[u8]) -> io::Result<Option<String>> {
    let length = u32::try_from(read.len()).map_err(io::Error::other)?;
    let head = [1, length, 0, 0].map(u32::to_ne_bytes).concat();
    let parts = [IoSlice::new(&head), IoSlice::new(read)];
    ask(path, &parts, &sides.map(AsRawFd::as_raw_fd))
}
