//! Reading what the command line names.

use std::path::Path;

use sockc_grammar::source::{SourceId, SourceMap};

use crate::exit::Exit;
use crate::files::bounded;
use crate::files::saved::is_plan;
use crate::output::Output;

/// The first bytes of an ELF file.
pub(crate) const ELF: &[u8] = b"\x7fELF";

/// The name that stands for standard input.
const STDIN: &str = "-";

/// Whether the path stands for standard input or output.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// A policy's text, ready to be parsed.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// The sources, with the file as the only one.
    pub(crate) sources: SourceMap,
    /// The file.
    pub(crate) id: SourceId,
    /// The file's name without its ending.
    pub(crate) stem: String,
}

impl Text {
    /// Takes the bytes of a file; they must be UTF-8.
    pub(crate) fn new(path: &Path, bytes: Vec<u8>, output: &mut Output) -> Result<Self, Exit> {
        if let Some(what) = made(&bytes) {
            output.error(format!("{}: {what}", title(path)));
            return Err(Exit::Policy);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let utf16 = [&[0xff, 0xfe][..], &[0xfe, 0xff]];
            if utf16.iter().any(|mark| error.as_bytes().starts_with(mark)) {
                output.error(format!(
                    "{}: this is UTF-16 text; write it as UTF-8: `iconv -f UTF-16 -t UTF-8`",
                    path.display()
                ));
            } else {
                output.error(format!("{}: byte {at} is not UTF-8 text", path.display()));
            }
            Exit::Policy
        })?;
        let mut sources = SourceMap::default();
        let id = sources.add(title(path), text);
        Ok(Self {
            sources,
            id,
            stem: stem(path),
        })
    }

    /// Reads and takes a file.
    pub(crate) fn read(path: &Path, output: &mut Output) -> Result<Self, Exit> {
        Self::new(path, bytes(path, output)?, output)
    }
}

/// What a file is that sockc makes from a policy, and who takes it, if it is one: its bytes say nothing of that to a person.
fn made(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(ELF) {
        return Some(
            "this is an object file, and not the text of a policy; of those that `sockc compile` made `sockc apply` puts one in force, and `sockc plan` shows what that would change",
        );
    }
    is_plan(bytes).then_some(
        "this is a saved plan, and not the text of a policy; `sockc apply` carries it out",
    )
}

/// How a file is called.
pub(crate) fn title(path: &Path) -> String {
    if is_stream(path) {
        "<stdin>".into()
    } else {
        path.display().to_string()
    }
}

/// What the lines of a file mean to `read`; its mistakes are told, and that nothing was changed.
pub(crate) fn items<T>(
    path: &Path,
    read: impl FnOnce(&str) -> Result<Vec<T>, Vec<String>>,
    output: &mut Output,
) -> Result<Vec<T>, Exit> {
    let name = title(path);
    let text = list(path, output)?;
    read(&text).map_err(|mistakes| {
        for mistake in mistakes {
            output.error(format!("{name}, {mistake}"));
        }
        output.note("nothing was changed");
        Exit::Policy
    })
}

/// The text of a list, which may be larger than a policy; it must be UTF-8.
pub(crate) fn list(path: &Path, output: &mut Output) -> Result<String, Exit> {
    let bytes = bounded_bytes(path, |_| bounded::LIST, output)?;
    String::from_utf8(bytes).map_err(|_| {
        output.error(format!("{} is not UTF-8 text", title(path)));
        Exit::Policy
    })
}

/// The bytes of a file, or of standard input.
pub(crate) fn bytes(path: &Path, output: &mut Output) -> Result<Vec<u8>, Exit> {
    bounded_bytes(path, most, output)
}

fn bounded_bytes(
    path: &Path,
    most: impl Fn(&[u8]) -> u64,
    output: &mut Output,
) -> Result<Vec<u8>, Exit> {
    let read = if is_stream(path) {
        bounded::stdin(most)
    } else {
        bounded::read(path, most)
    };
    read.map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        output.error_about(message, &[("path", path.display().to_string())]);
        Exit::Refused
    })
}

/// The maximum number of bytes of a file that begins so.
fn most(beginning: &[u8]) -> u64 {
    if beginning.starts_with(ELF) || is_plan(beginning) {
        bounded::OBJECT
    } else {
        bounded::TEXT
    }
}

/// The file's name without folder and ending.
pub(crate) fn stem(path: &Path) -> String {
    if is_stream(path) {
        return "stdin".into();
    }
    path.file_stem().map_or_else(
        || "policy".into(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}
