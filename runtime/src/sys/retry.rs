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

#[cfg(test)]
mod tests {
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
