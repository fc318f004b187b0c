//! Signals that come to one thread of a test, which has a handler for them and does not ask for calls to be made again.
//!
//! A command has no handlers; but a stop of the process, a debugger and the freezer end its calls in the same way.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Who gets them.
pub(crate) struct Target(Mutex<Option<libc::pthread_t>>);

/// As long as it lives, signals come.
pub(crate) struct Pelted<'a>(&'a Target);

impl Target {
    /// From now on the calling thread gets them.
    pub(crate) fn here(&self) -> Pelted<'_> {
        // SAFETY: it only says which thread this is.
        *self.thread() = Some(unsafe { libc::pthread_self() });
        Pelted(self)
    }

    fn thread(&self) -> MutexGuard<'_, Option<libc::pthread_t>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pelted<'_> {
    fn drop(&mut self) {
        *self.0.thread() = None;
    }
}

/// Does something; at most so many signals come, a time apart.
pub(crate) fn pelted<T: Send>(
    times: usize,
    apart: Duration,
    work: impl FnOnce(&Target) -> T + Send,
) -> T {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: all zeros are a valid `sigaction`, without SA_RESTART; the handler does nothing.
    let handled = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(handled, 0);
    let target = Target(Mutex::new(None));
    thread::scope(|scope| {
        let worker = scope.spawn(|| work(&target));
        let mut left = times;
        while !worker.is_finished() {
            if let Some(thread) = *target.thread()
                && left > 0
            {
                // SAFETY: the thread lives: it takes itself out, with the lock, before it ends.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
                left -= 1;
            }
            thread::sleep(apart);
        }
        worker.join().unwrap()
    })
}
