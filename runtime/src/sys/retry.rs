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
    use super::*;

    #[test]
    fn only_what_was_interrupted_is_made_again() {
        let mut answers = vec![
            Err(io::Error::from_raw_os_error(libc::ENOMEM)),
            Err(io::Error::from_raw_os_error(libc::EINTR)),
            Ok(7),
            Err(io::Error::from_raw_os_error(libc::EINTR)),
        ];
        assert_eq!(again(|| answers.pop().unwrap()).unwrap(), 7);
        let refused = again(|| answers.pop().unwrap()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
    }
}
