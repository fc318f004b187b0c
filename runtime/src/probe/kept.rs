//! What was found of this kernel, kept until the machine starts again: trying takes some dozen system calls.
//!
//! Takes a file; gives what it says, if it was written by this sockc, since this boot, on this kernel, by root alone, and is as it
//! was written: its last line is a sum over the others. Anything else is no file, and the kernel is asked. What it says is never more than what to try first: a kernel that cannot do
//! what the file says refuses the program or the link, and with it the apply. Not here: how the kernel is asked.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::{AccessFlags, access, geteuid};
use sockc_compiler::artifact::BUILD;

use super::{Features, probe};
use crate::sys::{caps, token};

/// The folder and the file in it. Not in the bpf file system, which holds pins only; this one ends with the machine, too.
const FOLDER: &str = "/run/sockc";
const FILE: &str = "kernel";
/// Longer is no file of ours.
const MOST: u64 = 4_096;

/// A feature: its name, and where it stands.
type Row = (&'static str, fn(&mut Features) -> &mut bool);

/// The features by name, in the order of the file. A feature more is a row more, and older files are none then.
const ROWS: [Row; 9] = [
    ("tcx", |all| &mut all.tcx),
    ("sockmap_link", |all| &mut all.sockmap_link),
    ("sk_skb_verdict", |all| &mut all.sk_skb_verdict),
    ("segments", |all| &mut all.segments),
    ("netns_cookie_in_sock_ops", |all| {
        &mut all.netns_cookie_in_sock_ops
    }),
    ("gotol", |all| &mut all.gotol),
    ("atomics", |all| &mut all.atomics),
    ("lookup_interface", |all| &mut all.lookup_interface),
    ("kernel_types", |all| &mut all.kernel_types),
];

/// What this kernel can do: as it was found since the machine started, else by trying it, with what the bpf file system at that
/// folder delegates where capabilities miss.
#[must_use]
pub fn known_features(bpffs: &Path) -> Features {
    token::seek(bpffs);
    // In a user namespace what is found is what is delegated, and that may be more or less next time.
    if token::is_inside() || !caps::missing_to_load().is_empty() {
        return probe();
    }
    let kept = head().and_then(|head| parse(&read(&place())?, &head));
    kept.unwrap_or_else(probe)
}

/// Keeps what was found, unless the file says so already. What cannot be kept is found again next time.
pub fn keep_features(features: Features) {
    if token::is_inside() || !caps::missing_to_load().is_empty() {
        return;
    }
    let Some(head) = head() else { return };
    let text = text(features, &head);
    if read(&place()).as_ref() != Some(&text) && probe() == features {
        // What the kernel refused once may have been want of memory: only what it says twice is kept. Whoever cannot write there only asks the kernel again.
        let _ = write(Path::new(FOLDER), &text);
    }
}

/// How it stands with what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It is kept since then.
    Since(SystemTime),
    /// The next apply keeps it.
    Next,
    /// Nobody can write there.
    Unwritable,
    /// Others than root can change the folder, so nothing in it is used.
    Exposed,
    /// Something stands at its path that is no folder.
    NoFolder,
    /// This process may not write there, nor read what is kept.
    Unknown,
}

/// How it stands with what was found.
pub(crate) fn stands() -> Remembered {
    stands_in(Path::new(FOLDER), since())
}

fn since() -> Option<SystemTime> {
    let place = place();
    parse(&read(&place)?, &head()?)?;
    fs::metadata(place).ok()?.modified().ok()
}

fn stands_in(folder: &Path, since: Option<SystemTime>) -> Remembered {
    if let Some(since) = since {
        return Remembered::Since(since);
    }
    let there = match fs::symlink_metadata(folder) {
        Ok(about) if !about.is_dir() => return Remembered::NoFolder,
        Ok(about) if !is_roots_alone(&about) => return Remembered::Exposed,
        Ok(_) => Some(folder),
        Err(_) => folder.parent(),
    };
    match there {
        Some(there) if geteuid().is_root() => match access(there, AccessFlags::W_OK) {
            Ok(()) => Remembered::Next,
            Err(_) => Remembered::Unwritable,
        },
        _ => Remembered::Unknown,
    }
}

/// Whether root alone can change it.
fn is_roots_alone(about: &fs::Metadata) -> bool {
    about.uid() == 0 && about.mode() & 0o022 == 0
}

fn place() -> PathBuf {
    Path::new(FOLDER).join(FILE)
}

/// What the file holds for: this sockc, this boot, this kernel; `None` if the kernel does not tell.
fn head() -> Option<String> {
    let told = |path: &str| fs::read_to_string(path).ok();
    let boot = told("/proc/sys/kernel/random/boot_id")?;
    let release = told("/proc/sys/kernel/osrelease")?;
    Some(format!(
        "sockc {BUILD}\nboot {}\nkernel {}\n",
        boot.trim(),
        release.trim()
    ))
}

fn text(mut features: Features, head: &str) -> String {
    let rows = ROWS.iter();
    let rows = rows.map(|(name, of)| format!("{name} {}\n", u8::from(*of(&mut features))));
    let text = rows.fold(head.to_owned(), |text, row| text + &row);
    let sum = sum(&text);
    text + &format!("sum {sum:016x}\n")
}

/// A sum over a text (FNV-1a). It tells edits, not forgery: whoever writes there as root may do more than that.
fn sum(text: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(PRIME);
    text.bytes().fold(BASIS, step)
}

/// A kernel that can do nothing of it.
const NOTHING: Features = Features {
    tcx: false,
    sockmap_link: false,
    sk_skb_verdict: false,
    segments: false,
    netns_cookie_in_sock_ops: false,
    gotol: false,
    atomics: false,
    lookup_interface: false,
    kernel_types: false,
};

/// What a text says; nothing unless it is, byte for byte, one that is written for this head.
fn parse(said: &str, head: &str) -> Option<Features> {
    let mut features = NOTHING;
    let rows = said.strip_prefix(head)?;
    for ((name, of), row) in ROWS.iter().zip(rows.lines()) {
        *of(&mut features) = row == format!("{name} 1");
    }
    (text(features, head) == said).then_some(features)
}

/// What a file holds that only root can have written, in a folder that only root can have changed.
fn read(path: &Path) -> Option<String> {
    let folder = fs::symlink_metadata(path.parent()?).ok()?;
    let mut options = OpenOptions::new();
    let options = options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    let about = file.metadata().ok()?;
    let is_whole = folder.is_dir() && about.is_file();
    if !is_whole || !is_roots_alone(&folder) || !is_roots_alone(&about) {
        return None;
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes the file next to the old one and moves it there.
fn write(folder: &Path, text: &str) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let draft = folder.join(format!("{FILE}.{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&draft)
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.write_all(text.as_bytes())
        })
        .and_then(|()| fs::rename(&draft, folder.join(FILE)));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_change_keeps_nothing() {
        let folder = std::env::temp_dir().join(format!("sockc-stands-{}", std::process::id()));
        let allow = |mode| fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        fs::create_dir(&folder).unwrap();
        allow(0o1777);
        let exposed = stands_in(&folder, None);
        allow(0o755);
        let sound = stands_in(&folder, None);
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        let file = stands_in(&folder, None);
        fs::remove_file(&folder).unwrap();
        assert_eq!((exposed, file), (Remembered::Exposed, Remembered::NoFolder));
        let wanted = match geteuid().is_root() {
            true => Remembered::Next,
            // It is not root's.
            false => Remembered::Exposed,
        };
        assert_eq!(sound, wanted);
    }

    const HEAD: &str = "sockc 1\nboot b\nkernel k\n";

    fn some() -> Features {
        let mut features = NOTHING;
        for (number, (_, of)) in ROWS.iter().enumerate() {
            *of(&mut features) = number % 2 == 1;
        }
        features
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let features = some();
        assert!(features.sockmap_link && features.segments && !features.tcx);
        assert_eq!(parse(&text(features, HEAD), HEAD), Some(features));
    }

    #[test]
    fn what_is_of_another_boot_kernel_or_sockc_or_damaged_is_nothing() {
        let kept = text(some(), HEAD);
        for (from, to) in [
            ("boot b", "boot c"),
            ("kernel k", "kernel l"),
            ("sockc 1", "sockc 2"),
            ("tcx 0", "tcx 2"),
            ("tcx 0", "tcx 1"),
            ("segments 1", "segments 0"),
            ("sum ", "sum 0"),
            ("tcx 0\n", ""),
            ("kernel_types 0\n", "kernel_types 0\nmore 1\n"),
            ("kernel_types 0\n", "kernel_types 0"),
        ] {
            let other = kept.replacen(from, to, 1);
            assert_ne!(other, kept);
            assert_eq!(parse(&other, HEAD), None, "{other}");
        }
        assert_eq!(parse("", HEAD), None);
    }

    #[test]
    fn only_what_root_alone_can_write_is_read() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = std::env::temp_dir().join(format!("sockc-kept-{}", std::process::id()));
        write(&folder, "words").unwrap();
        let path = folder.join(FILE);
        assert_eq!(read(&path).as_deref(), Some("words"));
        for open in [&path, &folder] {
            let before = fs::metadata(open).unwrap().permissions();
            fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
            assert_eq!(read(&path), None);
            fs::set_permissions(open, before).unwrap();
        }
        assert!(read(&path).is_some());
        fs::rename(&path, folder.join("there")).unwrap();
        std::os::unix::fs::symlink(folder.join("there"), &path).unwrap();
        assert_eq!(read(&path), None);
        fs::remove_dir_all(&folder).unwrap();
    }
}
