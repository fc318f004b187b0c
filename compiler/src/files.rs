//! The files that a policy names: included texts and the lists of sets.
//!
//! The compiler reads nothing itself: its caller hands over a [`Files`]. [`Texts`] is one that holds everything in
//! memory. Not here: which file is named where, and what stands in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use sockc_grammar::source::SourceMap;

use crate::artifact::Manifest;
use crate::observer::Observer;

/// The texts that the compiler brings: name and text.
pub const BUILTINS: &[(&str, &str)] = &[("essentials", include_str!("essentials.sk"))];

/// Where the files that a policy names come from. It is told too how far a compile has come.
pub trait Files: Observer {
    /// The bytes of a file. The path is relative to the current folder, or absolute.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, in words that follow "cannot read …: ".
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String>;

    /// The text that `include <NAME>` means; `None` if there is none of this name.
    fn builtin(&self, name: &str) -> Option<Cow<'static, str>> {
        let found = BUILTINS.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| Cow::Borrowed(*text))
    }
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

    /// Everything that a policy was compiled from, as its object keeps it: the texts of its manifest, and its lists.
    #[must_use]
    pub fn of_object(manifest: &Manifest, lists: &[(String, String)]) -> Self {
        let kept = manifest.sources.iter().chain(lists);
        kept.fold(Self::default(), |texts, (name, text)| {
            texts.with(name, text.as_bytes())
        })
    }

    /// Everything that was read for a compile.
    #[must_use]
    pub fn of_sources(sources: &SourceMap) -> Self {
        sources.iter().fold(Self::default(), |texts, (_, source)| {
            texts.with(&source.name, source.text.as_bytes())
        })
    }
}

impl Observer for Texts {}

impl Files for Texts {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let found = self.files.get(&normal(path));
        found.cloned().ok_or_else(|| "there is no such file".into())
    }

    /// One that is held goes before the one that comes with this sockc, which may be another by now.
    fn builtin(&self, name: &str) -> Option<Cow<'static, str>> {
        let kept = self.files.get(Path::new(&title_of_builtin(name)));
        let kept = kept.and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let brought = || BUILTINS.iter().find(|(known, _)| *known == name);
        kept.map(Cow::Owned)
            .or_else(|| brought().map(|(_, text)| Cow::Borrowed(*text)))
    }
}

/// The name in the source map of a text that comes with sockc.
pub(crate) fn title_of_builtin(name: &str) -> String {
    format!("<{name}>")
}

/// The path of a file that another file names: relative to the folder of that one.
pub(crate) fn next_to(name_of_other: &str, written: &str) -> PathBuf {
    let folder = Path::new(name_of_other).parent().unwrap_or(Path::new(""));
    folder.join(written)
}

/// The path without `.` and, as far as possible, without `..`: what two spellings of one path have in common.
#[must_use]
pub fn normal(path: &Path) -> PathBuf {
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
            assert_eq!(next_to(other, written), Path::new(expected));
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
    fn a_text_that_was_kept_goes_before_the_one_of_today() {
        let today = Texts::default();
        assert!(today.builtin("essentials").unwrap().contains("allow"));
        assert_eq!(today.builtin("other"), None);
        let kept = Texts::default().with("<essentials>", "default in drop");
        assert_eq!(kept.builtin("essentials").unwrap(), "default in drop");
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
