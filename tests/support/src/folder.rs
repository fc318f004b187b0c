//! A folder for the files of one test.
//!
//! Takes a name that tells people whose it is; gives a path that no other test has, also one of the same process and name. Not here:
//! what stands in it.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder where temporary files are, removed with everything in it when this goes.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one. Tests of one process run beside each other and may ask for one name, so each path has a number.
    ///
    /// # Panics
    ///
    /// If it cannot be made: a test has nothing to go on with.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sockc-test-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        done(fs::create_dir(&path));
        Self(path)
    }

    /// A file in it with this text: its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[expect(
        clippy::must_use_candidate,
        reason = "a file may be wanted for its name alone"
    )]
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        done(fs::write(&path, text));
        let text = path.to_str().ok_or(Error::from(ErrorKind::InvalidFilename));
        done(text).to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear away.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[allow(clippy::panic, reason = "a test ends where something is wrong")]
fn done<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("a test's folder: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_one_name_are_two() {
        let (one, two) = (Folder::new("same"), Folder::new("same"));
        let path = one.file("here", "text");
        assert!(!two.0.join("here").exists());
        drop(two);
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("text"));
        drop(one);
        assert!(!fs::exists(path).unwrap_or(true));
    }
}
