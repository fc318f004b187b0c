//! Writes files that somebody names: whole or not at all.
//!
//! A file is written next to the one that is there, and moved into its place; a disk that is full leaves the old one. What is
//! no regular file, such as a pipe or `/dev/null`, is written into as it is. What a command left there that was killed meanwhile goes with
//! the next one that writes the file. Not here: standard output.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::exit::Exit;
use crate::output::Output;

/// Writes a file that is the result of a command made from `source`; says why it cannot be written. The source itself is not
/// written over: that is a slip of the command line.
pub(crate) fn result(
    path: &Path,
    bytes: &[u8],
    source: &Path,
    output: &mut Output,
) -> Result<(), Exit> {
    is_another(path, source, output)?;
    file(path, bytes).map_err(|error| refused(path, &error, output))
}

/// Refuses to write over what a result is made from.
pub(crate) fn is_another(path: &Path, source: &Path, output: &mut Output) -> Result<(), Exit> {
    if is_same(path, source) {
        output.error(format!(
            "{} is what this is made from; name another file to write into",
            path.display()
        ));
        return Err(Exit::Usage);
    }
    Ok(())
}

/// That a file cannot be written, and why: the words of every verb that writes one.
pub(crate) fn unwritten(path: &Path, why: &dyn Display) -> String {
    format!("cannot write {}: {why}", path.display())
}

/// Says that a file cannot be written; how the verb ends then.
pub(crate) fn refused(path: &Path, why: &dyn Display, output: &mut Output) -> Exit {
    output.error(unwritten(path, why));
    Exit::Refused
}

/// Writes a file next to the old one and moves it there, so that no moment has half of it.
pub(crate) fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let before = match fs::metadata(path) {
        Ok(about) if !about.is_file() => return fs::write(path, bytes),
        Ok(about) => Some(about.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A link stays a link, and leads to what is new.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let draft = draft(&path);
    let written = fs::write(&draft, bytes)
        .and_then(|()| before.map_or(Ok(()), |before| fs::set_permissions(&draft, before)))
        .and_then(|()| fs::rename(&draft, &path));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Writes a file that others read at any time, with mode 644: whole and at once. Whatever else is at the path is not written
/// through, since others may be able to make links there.
pub(crate) fn for_readers(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() && !about.is_symlink() => {
            return Err(io::Error::other("it is there, and is no regular file"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let draft = draft(path);
    let written = create(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// How the name of a file ends that is not written whole yet. Ahead of it stands the number of the process that writes it.
const DRAFT: &str = ".tmp";

/// Where a file is written first, beside its place. Those of processes that were killed are taken away.
fn draft(path: &Path) -> PathBuf {
    let beside = |number: &dyn Display| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}{DRAFT}"));
        PathBuf::from(name)
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let there = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter();
    let names = there.flatten().flatten().map(|one| one.file_name());
    for number in names.filter_map(|name| writer(path, &name)) {
        // One that cannot be taken away is in nobody's way, and nothing to refuse the file for.
        if kill(Pid::from_raw(number), None) == Err(Errno::ESRCH) {
            let _ = fs::remove_file(beside(&number));
        }
    }
    beside(&std::process::id())
}

/// The number of the process that writes a file under this name before it is moved to `path`, if it is such a name.
fn writer(path: &Path, name: &OsStr) -> Option<i32> {
    let rest = name.as_bytes().strip_prefix(path.file_name()?.as_bytes())?;
    let number = rest.strip_prefix(b".")?.strip_suffix(DRAFT.as_bytes())?;
    let number = std::str::from_utf8(number).ok()?;
    // 0 and numbers below it are groups of processes to kill(2).
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|number| digits && *number > 0)
}

/// Makes a file that was not there.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let make = || File::options().write(true).create_new(true).open(path);
    let mut file = match make() {
        // A process that was killed had the same number.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            make()
        }
        made => made,
    }?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()
}

/// Whether both are one regular file.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).ok().filter(|path| path.is_file());
    whole(one).is_some_and(|one| Some(one) == whole(other))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_keeps_its_place_and_rights_and_a_device_is_written_into() {
        let folder = std::env::temp_dir().join(format!("sockc-written-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (real, link) = (folder.join("real"), folder.join("link"));
        file(&real, b"old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        file(&link, b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&real).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert!(is_same(&link, &real) && !is_same(&folder, &folder));
        file(Path::new("/dev/null"), b"new").unwrap();
        assert!(file(Path::new("/dev/full"), b"new").is_err());
        assert!(file(&folder.join("none/file"), b"new").is_err());
        let names = fs::read_dir(&folder).unwrap().count();
        assert_eq!(names, 2, "nothing is left next to them");
        fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn what_a_killed_command_left_goes_with_the_next_one() {
        let folder = std::env::temp_dir().join(format!("sockc-drafts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.prom");
        // No process has a number beyond the kernel's largest (PID_MAX_LIMIT); process 1 is there.
        let stays = [
            "a.prom.1.tmp",
            "a.prom.x.tmp",
            "b.prom.99999999.tmp",
            "a.prom.99999999",
            "a.prom.-1.tmp",
        ];
        for is_for_readers in [false, true] {
            for name in stays.iter().chain(&["a.prom.99999999.tmp"]) {
                fs::write(folder.join(name), "half").unwrap();
            }
            let written = match is_for_readers {
                true => for_readers(&path, b"whole"),
                false => file(&path, b"whole"),
            };
            written.unwrap();
            assert!(!folder.join("a.prom.99999999.tmp").exists());
            assert!(stays.iter().all(|name| folder.join(name).exists()));
            assert_eq!(fs::read(&path).unwrap(), b"whole");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
