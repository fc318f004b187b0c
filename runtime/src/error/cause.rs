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

/// Whether a refusal to look at a pin is one of what stands there: something that is no pin, or is pinned and of another kind.
/// Whatever else a call can be refused for says nothing of it: what is asked for is too big for this kernel, or forbidden by a
/// filter of calls.
fn is_of_the_thing(cause: &io::Error) -> bool {
    /// The kernel's own number for what a kind of map cannot do.
    const ENOTSUPP: i32 = 524;
    cause.raw_os_error().is_none_or(|number| {
        matches!(
            number,
            libc::EINVAL
                | libc::ENOTDIR
                | libc::EISDIR
                | libc::ELOOP
                | libc::ENXIO
                | libc::EOPNOTSUPP
                | ENOTSUPP
        )
    })
}

/// What it means that something in the state folder cannot be read: damage only if what stands there is the reason, and neither
/// the machine nor the rights of this process.
pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::NoAccess {
            path: path.to_owned(),
            cause,
        },
        Some(libc::ENOENT) => Error::State {
            path: path.to_owned(),
            cause: "it is gone".to_owned(),
        },
        _ if is_of_the_thing(&cause) => Error::State {
            path: path.to_owned(),
            cause: cause.to_string(),
        },
        _ => at(format!("read {}", path.display()))(cause),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_there_is_damage() {
        let told = |number| unreadable(Path::new("/pin"), io::Error::from_raw_os_error(number));
        for number in [libc::ENOENT, libc::EINVAL, libc::EISDIR, libc::ELOOP, 524] {
            assert!(matches!(told(number), Error::State { .. }), "{number}");
        }
        for number in [libc::EACCES, libc::EPERM] {
            assert!(matches!(told(number), Error::NoAccess { .. }), "{number}");
        }
        for number in [
            libc::ENOMEM,
            libc::EIO,
            libc::E2BIG,
            libc::ENOSYS,
            libc::EFAULT,
        ] {
            let error = told(number);
            assert!(matches!(error, Error::Kernel { .. }), "{number}: {error}");
            assert!(!error.is_damage(), "{number}");
        }
        let found = unreadable(Path::new("/pin"), io::Error::other("it is no pin"));
        assert!(found.is_damage());
    }
}
