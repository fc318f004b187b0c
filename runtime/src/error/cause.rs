//! What a refusal of the system means, and how it becomes an [`Error`].

use std::io;
use std::path::Path;

use sockc_compiler::names::nearest;

use super::Error;

/// Whether the system refused for a reason that passes by itself: want of memory or of descriptors, a signal, somebody who is
/// just busy with the same thing. It says nothing of what was asked for.
pub(crate) fn passes(cause: &io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(
            libc::ENOMEM
                | libc::EMFILE
                | libc::ENFILE
                | libc::EINTR
                | libc::EBUSY
                | libc::EAGAIN
                | libc::ENOBUFS
        )
    )
}

/// Whether the system refused for want of something, or since it fails. It says nothing of what was asked for, either.
pub(crate) fn is_machine(cause: &io::Error) -> bool {
    passes(cause) || matches!(cause.raw_os_error(), Some(libc::EIO | libc::ENOSPC))
}

/// What it means that something in the state folder cannot be read: damage only if neither the machine nor the rights of this
/// process are the reason.
pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::NoAccess {
            path: path.to_owned(),
            cause,
        },
        _ if is_machine(&cause) => at(format!("read {}", path.display()))(cause),
        Some(libc::ENOENT) => Error::State {
            path: path.to_owned(),
            cause: "it is gone".to_owned(),
        },
        _ => Error::State {
            path: path.to_owned(),
            cause: cause.to_string(),
        },
    }
}

/// What was found at a path; nothing if it is gone or damaged, which is told elsewhere. A refusal that has another reason is an
/// error: it must not look like that.
pub(crate) fn unless_passing<T>(
    path: &Path,
    found: io::Result<Option<T>>,
) -> Result<Option<T>, Error> {
    match found.map_err(|cause| unreadable(path, cause)) {
        Err(Error::State { .. }) => Ok(None),
        found => found,
    }
}

/// The system's refusal somewhere behind an error of a library.
pub(crate) fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let number = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if let Some(number) = number {
            return Some(io::Error::from_raw_os_error(number));
        }
        next = error.source();
    }
    None
}

/// An error and what lies behind it, on one line.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let after = error.to_string();
        // Some errors print what is behind them themselves.
        if !text.contains(&after) {
            text = format!("{text}: {after}");
        }
        cause = error.source();
    }
    text
}

/// That a policy declares nothing of a kind by a name.
pub(crate) fn undeclared<'a>(
    kind: &'static str,
    name: &str,
    declared: impl Iterator<Item = &'a str>,
) -> Error {
    let declared: Vec<&str> = declared.collect();
    Error::Unknown {
        kind,
        name: name.to_owned(),
        nearest: nearest(name, declared.iter().copied()).map(str::to_owned),
        declared: declared.into_iter().map(str::to_owned).collect(),
    }
}

/// Makes the `map_err` of a step.
pub(crate) fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |cause| Error::Kernel { what, cause }
}
