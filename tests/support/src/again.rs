//! Calls that a signal interrupts are made again.
//!
//! The kernel restarts no call on a socket that has a time limit (signal(7)): it ends with EINTR, also where the signal means nothing
//! to the process. A test that waits so beside tests that start commands meets that: where a thread that starts one has signals
//! blocked, the end of another command is told to any thread that has not.

use std::io;

/// Makes a call until no signal interrupts it. Its time limit begins anew each time.
///
/// # Errors
///
/// What the call refuses otherwise.
pub fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
