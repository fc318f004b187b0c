//! Whose turn it is: of commands that end by themselves one runs at a time.
//!
//! Who waits is heard of now and then, so that whoever asked knows that somebody is there. Not here: what is done in a turn.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether somebody has it.
#[derive(Default)]
pub(super) struct Turn {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// A turn; it goes to the next when this goes.
pub(super) struct Taken<'a>(&'a Turn);

impl Turn {
    /// Takes a turn once it is free; until then `waits` is called so often, and what it refuses ends the wait.
    pub(super) fn take<E>(
        &self,
        every: Duration,
        mut waits: impl FnMut() -> Result<(), E>,
    ) -> Result<Taken<'_>, E> {
        let mut taken = self.state();
        while *taken {
            let waited = self.freed.wait_timeout(taken, every);
            let (now, time) = waited.unwrap_or_else(PoisonError::into_inner);
            taken = now;
            if *taken && time.timed_out() {
                drop(taken);
                waits()?;
                taken = self.state();
            }
        }
        *taken = true;
        Ok(Taken(self))
    }

    fn state(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.state() = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_has_the_turn_and_who_waits_is_heard_of() {
        let turn = Turn::default();
        let every = Duration::from_millis(1);
        let first = turn.take(every, || Err("nobody has it")).ok().unwrap();
        let mut heard = 0;
        let second = turn.take(every, || {
            heard += 1;
            if heard < 3 { Ok(()) } else { Err("gone") }
        });
        assert_eq!((second.err(), heard), (Some("gone"), 3));
        thread::scope(|scope| {
            let waits = scope.spawn(|| turn.take(every, || Ok::<_, ()>(())).is_ok());
            drop(first);
            assert!(waits.join().unwrap());
        });
        assert!(turn.take(every, || Err("somebody has it")).is_ok());
    }
}
