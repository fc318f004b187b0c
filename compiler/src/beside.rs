//! Two pieces of work at once.
//!
//! Neither sees what the other does, so that what comes out depends on neither clock nor cores. Not here: what is worth it.

use std::panic::resume_unwind;
use std::thread;

/// Whether so many of something are worth a thread: more than a few of them.
pub(crate) fn is_much(count: usize, few: usize) -> bool {
    #[cfg(test)]
    match ways::way() {
        ways::Way::Alone => return false,
        ways::Way::Always => return count > 1,
        ways::Way::Usual => {}
    }
    count > few
}

/// What both give; `one` is done in a thread of its own if it is `much` work and there is one to be had.
pub(crate) fn beside<A: Send, B>(
    much: bool,
    one: impl Fn() -> A + Sync,
    other: impl FnOnce() -> B,
) -> (A, B) {
    if !much {
        return (one(), other());
    }
    thread::scope(|scope| {
        let started = thread::Builder::new().spawn_scoped(scope, &one);
        let other = other();
        let one = match started {
            Ok(started) => started.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => one(),
        };
        (one, other)
    })
}

/// How tests have all work done, to see that what comes out is the same.
#[cfg(test)]
pub(crate) mod ways {
    use std::cell::Cell;

    /// Who is asked whether work is worth a thread.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Way {
        Usual,
        /// Nothing is.
        Alone,
        /// Everything is.
        Always,
    }

    thread_local! {
        static WAY: Cell<Way> = const { Cell::new(Way::Usual) };
    }

    pub(super) fn way() -> Way {
        WAY.get()
    }

    /// Does something in this way.
    pub(crate) fn by<T>(way: Way, work: impl FnOnce() -> T) -> T {
        let before = WAY.replace(way);
        let done = work();
        WAY.set(before);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn both_are_done_whether_at_once_or_not() {
        for much in [false, true] {
            let text = String::from("one");
            let mut done = 0;
            let both = beside(much, || text.len(), || done += 1);
            assert_eq!((both.0, done), (3, 1));
        }
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_bug_of_the_one_is_a_bug() {
        beside(true, || panic!("a bug"), || ());
    }
}
