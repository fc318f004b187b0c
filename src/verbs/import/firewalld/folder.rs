//! Where the files of firewalld are.
//!
//! Takes the folder of the machine, and that of what the package ships; gives files by kind and name: one of the machine stands in
//! place of one that is shipped. Not here: what files say.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::xml::File;
use crate::exit::Exit;
use crate::files::input::{self, title};
use crate::output::Output;

/// Where a package puts its files.
pub(super) const SHIPPED: &str = "/usr/lib/firewalld";
/// What the files of a folder end with that firewalld reads.
const ENDING: &str = "xml";

/// Both folders, and what was read of them.
pub(super) struct Folder<'a> {
    own: &'a Path,
    shipped: Option<&'a Path>,
    /// Every file that was read.
    pub(super) read: Vec<PathBuf>,
}

impl<'a> Folder<'a> {
    /// The folder of the machine, if it is one.
    pub(super) fn open(
        own: &'a Path,
        shipped: Option<&'a Path>,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        for folder in [Some(own), shipped].into_iter().flatten() {
            if !folder.is_dir() {
                return Err(no_folder(folder, output));
            }
        }
        is_of_firewalld(own, output)?;
        let shipped = shipped.or_else(|| Some(Path::new(SHIPPED)).filter(|path| path.is_dir()));
        Ok(Self {
            own,
            shipped,
            read: Vec::new(),
        })
    }

    /// The files of a kind, by name without ending; parts of a zone are in folders of the machine, and have a slash in their name.
    pub(super) fn names(
        &self,
        kind: &str,
        output: &mut Output,
    ) -> Result<BTreeMap<String, PathBuf>, Exit> {
        let mut all = BTreeMap::new();
        for folder in [self.shipped, Some(self.own)].into_iter().flatten() {
            all.extend(named(&folder.join(kind), output)?);
        }
        if kind == "zones" {
            all.extend(parts(&self.own.join(kind), output)?);
        }
        Ok(all)
    }

    /// Reads a file of the machine that has one place.
    pub(super) fn own(&mut self, name: &str, output: &mut Output) -> Result<Option<File>, Exit> {
        let path = self.own.join(name);
        let is_there = path.try_exists();
        let is_there = is_there.map_err(|error| unread(&path, &error, output))?;
        is_there.then(|| self.file(&path, output)).transpose()
    }

    /// Reads a file.
    pub(super) fn file(&mut self, path: &Path, output: &mut Output) -> Result<File, Exit> {
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            let no_file = io::Error::other("it is no regular file");
            return Err(unread(path, &no_file, output));
        }
        let text = input::list(path, output)?;
        self.read.push(path.to_owned());
        let short = path.strip_prefix(self.own).unwrap_or(path);
        Ok(File {
            title: title(short),
            number: self.read.len(),
            text,
        })
    }
}

/// What is in a folder; nothing where there is none. One that cannot be looked into is not taken for an empty one.
fn inside(folder: &Path, output: &mut Output) -> Result<Vec<PathBuf>, Exit> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unread(folder, &error, output)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: io::Result<Vec<PathBuf>> = paths.collect();
    paths.map_err(|error| unread(folder, &error, output))
}

/// Says that something cannot be read.
fn unread(path: &Path, error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("cannot read {}: {error}", path.display()));
    output.note("nothing was written");
    Exit::Refused
}

/// The files of a folder that firewalld reads, by name without ending.
fn named(folder: &Path, output: &mut Output) -> Result<BTreeMap<String, PathBuf>, Exit> {
    let paths = inside(folder, output)?.into_iter();
    let files = paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
    let named = files.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        Some((name, path))
    });
    Ok(named.collect())
}

/// The parts of zones: files in folders that are called like the zone.
fn parts(zones: &Path, output: &mut Output) -> Result<BTreeMap<String, PathBuf>, Exit> {
    let mut parts = BTreeMap::new();
    for folder in inside(zones, output)? {
        if !folder.is_dir() {
            continue;
        }
        let zone = folder.file_name().and_then(|name| name.to_str());
        let zone = zone.unwrap_or_default();
        let files = named(&folder, output)?.into_iter();
        parts.extend(files.map(|(name, path)| (format!("{zone}/{name}"), path)));
    }
    Ok(parts)
}

/// Refuses a folder that has nothing of firewalld, of which the package's own zones would become the policy.
fn is_of_firewalld(folder: &Path, output: &mut Output) -> Result<(), Exit> {
    const OF_IT: [&str; 6] = [
        "firewalld.conf",
        "zones",
        "services",
        "policies",
        "ipsets",
        "direct.xml",
    ];
    let paths = inside(folder, output)?;
    let mut names = paths.iter().filter_map(|path| path.file_name());
    if names.any(|name| OF_IT.iter().any(|one| name == *one)) {
        return Ok(());
    }
    output.error(format!(
        "{} has neither firewalld.conf nor zones in it; give the folder of firewalld: `sockc import firewalld /etc/firewalld`",
        title(folder)
    ));
    output.note("nothing was written");
    Err(Exit::Policy)
}

/// Says what is there in place of a folder, and what to give.
fn no_folder(path: &Path, output: &mut Output) -> Exit {
    let name = title(path);
    let said = match fs::read_to_string(path).ok() {
        None => "is no folder that can be read",
        Some(text) if is_listing(&text) => {
            "is what `firewall-cmd` prints, and it leaves out what services are"
        }
        Some(_) => "is a file, and what firewalld does stands in several",
    };
    output.error(format!(
        "{name} {said}; give the folder: `sockc import firewalld /etc/firewalld`, after `firewall-cmd --runtime-to-permanent` where something is not kept there"
    ));
    output.note("nothing was written");
    Exit::Policy
}

/// Whether a text is what `firewall-cmd --list-all` prints.
fn is_listing(text: &str) -> bool {
    let has = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    has("target:") && has("services:")
}
