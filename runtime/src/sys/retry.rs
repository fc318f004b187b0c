//! Calls that a signal interrupts are made again.

use std::io;

/// Makes a call until no signal interrupts it.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// How often a program is handed to the verifier while signals wait; libbpf's number (`PROG_LOAD_ATTEMPTS`).
const VERIFIED: usize = 5;

/// Makes a call that has the verifier work, again where a signal waits: `do_check` of the kernel ends with EAGAIN then.
pub(crate) fn verified<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..VERIFIED {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_verifier_is_asked_five_times_at_most() {
        let refusal = std::io::Error::from_raw_os_error;
        for (signals, works) in [(0, true), (1, true), (4, true), (5, false)] {
            let mut asked = 0;
            let done = super::verified(|| {
                asked += 1;
                (asked > signals)
                    .then_some(7)
                    .ok_or_else(|| refusal(libc::EAGAIN))
            });
            assert_eq!((done.is_ok(), asked), (works, signals.min(4) + 1));
        }
        let mut asked = 0;
        let refused = super::verified(|| {
            asked += 1;
            Err::<(), _>(refusal(libc::EACCES))
        });
        assert_eq!((refused.is_err(), asked), (true, 1));
    }

    #[test]
    fn only_what_was_interrupted_is_made_again() {
        let refusal = std::io::Error::from_raw_os_error;
        let mut answers = vec![
            Err(refusal(libc::ENOMEM)),
            Err(refusal(libc::EINTR)),
            Ok(7),
            Err(refusal(libc::EINTR)),
        ];
        assert_eq!(super::again(|| answers.pop().unwrap()).unwrap(), 7);
        let refused = super::again(|| answers.pop().unwrap()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
    }
}
