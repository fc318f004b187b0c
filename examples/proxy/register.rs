//! Puts a listener behind a name of the policy, by `sockc socket listen`: what `sockc_register` of `examples/sockc.h` does, in Rust.

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::ask::ask;

/// Hands it over; an error says why it does not stand there.
pub(super) fn register(path: &Path, name: &str, listener: &TcpListener) -> io::Result<()> {
    let head = [2, 0].map(u32::to_ne_bytes).concat();
    let parts = [IoSlice::new(&head), IoSlice::new(name.as_bytes())];
    match ask(path, &parts, &[listener.as_raw_fd()])? {
        Some(answer) if answer.starts_with("ok ") => Ok(()),
        Some(why) => Err(io::Error::other(why)),
        None => Err(io::Error::other(format!(
            "no answer came; the socket may stand behind \"{name}\""
        ))),
    }
}
