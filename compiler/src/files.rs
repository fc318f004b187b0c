//! The files that a policy names: included texts and the lists of sets.
//!
//! The compiler reads nothing itself: whoever calls it hands over a [`Files`]. [`Texts`] is one that holds everything in
//! memory. Not here: which file is named where, and what stands in it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::observer::Observer;

/// Where the files that a policy names come from. It is told too how far a compile has come.
pub trait Files: Observer {
    /// The bytes of a file. The path is relative to the current folder, or absolute.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, in words that follow "cannot read …: ".
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String>;
}

/// Files that are held in memory.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Texts {
    /// The same with one more file; a file of the same path is replaced.
    #[must_use]
    pub fn with(mut self, path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(normal(path.as_ref()), bytes.into());
        self
    }
}

impl Observer for Texts {}

impl Files for Texts {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let found = self.files.get(&normal(path));
        found.cloned().ok_or_else(|| "there is no such file".into())
    }
}

/// The path of a file that another file names: relative to the folder of that one.
pub(crate) fn beside(name_of_other: &str, written: &str) -> PathBuf {
    let folder = Path::new(name_of_other).parent().unwrap_or(Path::new(""));
    folder.join(written)
}

/// The path without `.` and, as far as possible, without `..`: what two spellings of one path have in common.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_file_that_names_it() {
        for (other, written, expected) in [
            ("rules/edge.sk", "common.sk", "rules/common.sk"),
            ("edge.sk", "lists/a.txt", "lists/a.txt"),
            ("rules/edge.sk", "/etc/common.sk", "/etc/common.sk"),
            ("<stdin>", "common.sk", "common.sk"),
        ] {
            assert_eq!(beside(other, written), Path::new(expected));
        }
    }

    #[test]
    fn spellings_of_one_path_have_one_normal_form() {
        for (path, expected) in [
            ("./a/./b", "a/b"),
            ("a/../b", "b"),
            ("a/b/../../c", "c"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            ("/../a", "/../a"),
        ] {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn texts_are_found_by_any_spelling() {
        let mut texts = Texts::default().with("rules/a.sk", "allow");
        assert_eq!(
            texts.read(Path::new("./rules/b/../a.sk")).unwrap(),
            b"allow"
        );
        assert!(texts.read(Path::new("a.sk")).is_err());
    }
}
