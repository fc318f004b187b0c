//! A policy and the files that it names, written into a folder so that the policy can be checked there.
//!
//! Takes the texts by the names that they had; gives the policy's path. Files keep their places to each other: the policy stands as
//! deep in the folder as `..` in its names asks for. Nothing is written outside of the folder, and over nothing. What the policy
//! names by a whole path is not looked for in the folder by anybody: it is written below `absolute`, and told.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use sockc_compiler::files::{Texts, normal};
use sockc_compiler::pipeline;
use sockc_grammar::source::SourceMap;

use super::{Kind, Part};
use crate::exit::Exit;
use crate::files::input::stem;
use crate::files::written;
use crate::output::Output;

/// Writes them; gives where the policy is.
pub(super) fn write(folder: &Path, parts: &[Part], output: &mut Output) -> Result<PathBuf, Exit> {
    let laid = laid_out(parts);
    if let Some(name) = astray(&laid) {
        output.error(format!(
            "{name:?} is no name by which a file has a place of its own in {}; `sockc show running` prints the texts",
            folder.display()
        ));
        return Err(Exit::Policy);
    }
    prepare(folder, output)?;
    let mut main = None;
    for (place, part) in &laid {
        let path = folder.join(place);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| new_file(&path, &part.text))
            .map_err(|error| written::refused(&path, &error, output))?;
        if part.kind == Kind::Policy {
            main = Some(path);
        }
    }
    let main = main.ok_or_else(|| {
        output.error("this is a bug in sockc: a policy without a text");
        Exit::Bug
    })?;
    tell(folder, &laid, &main, output);
    Ok(main)
}

/// The name of a text that would stand outside of the folder, or in the place of another one: names come from objects, which may
/// be anybody's.
fn astray<'a>(laid: &[(PathBuf, &'a Part)]) -> Option<&'a str> {
    let mut taken = BTreeSet::new();
    let mut wrong = laid.iter().filter(|(place, _)| {
        let mut components = place.components();
        let inside = components.all(|one| matches!(one, Component::Normal(_)));
        !inside || place.as_os_str().is_empty() || !taken.insert(place)
    });
    wrong.next().map(|(_, part)| part.name.as_str())
}

/// Writes a file that was not there.
fn new_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Makes the folder; one that holds anything is left alone.
fn prepare(folder: &Path, output: &mut Output) -> Result<(), Exit> {
    let refused = |error: io::Error, output: &mut Output| {
        output.error(format!("cannot write into {}: {error}", folder.display()));
        Exit::Refused
    };
    fs::create_dir_all(folder).map_err(|error| refused(error, output))?;
    let mut there = fs::read_dir(folder).map_err(|error| refused(error, output))?;
    if there.next().is_some() {
        output.error(format!(
            "{} is not empty; name a folder that is, or is not there yet",
            folder.display()
        ));
        return Err(Exit::Usage);
    }
    Ok(())
}

/// Says what the folder's policy would not find there.
fn tell(folder: &Path, laid: &[(PathBuf, &Part)], main: &Path, output: &mut Output) {
    for (place, part) in laid.iter().filter(|(place, _)| place.starts_with(ABSOLUTE)) {
        output.note(format!(
            "{} is named by its whole path: its text is in {}, and `sockc check` reads what is there now",
            part.name,
            folder.join(place).display()
        ));
    }
    if !laid.iter().any(|(place, _)| place.starts_with(ABSOLUTE))
        && let Some(mistake) = unread(folder, laid, main)
    {
        output.note(format!(
            "{} is not whole by itself, since it names files by their whole paths: {mistake}",
            main.display()
        ));
    }
}

/// Reads the policy out of what was written alone; the first mistake if it cannot be read so.
fn unread(folder: &Path, laid: &[(PathBuf, &Part)], main: &Path) -> Option<String> {
    let mut texts = Texts::default();
    let mut sources = SourceMap::default();
    let mut id = None;
    for (place, part) in laid {
        let path = folder.join(place);
        if path == main {
            id = Some(sources.add(path.display().to_string(), &part.text));
        }
        texts = texts.with(&path, part.text.as_bytes());
    }
    let outcome = pipeline::resolve(&mut sources, id?, &stem(main), &mut texts);
    let mut wrong = outcome.diagnostics.into_iter();
    wrong
        .find(|one| one.severity == sockc_grammar::diagnostic::Severity::Error)
        .map(|one| one.message)
}

/// Where files stand that are named by whole paths.
const ABSOLUTE: &str = "absolute";

/// Each text that is a file, with its place in the folder.
fn laid_out(parts: &[Part]) -> Vec<(PathBuf, &Part)> {
    let files = parts.iter().filter(|part| part.kind != Kind::Builtin);
    let main = parts.first().map_or("", |part| part.name.as_str());
    let base = normal(Path::new(main));
    let base = base.parent().unwrap_or(Path::new("")).to_path_buf();
    let deepest = files.clone().filter_map(|part| ups(&base, &part.name));
    let below = stand(&base, deepest.max().unwrap_or(0));
    let placed = files.map(|part| (placed(&base, &below, part), part));
    placed.collect()
}

/// The place of a text in the folder; the policy's folder there is `below`.
fn placed(base: &Path, below: &Path, part: &Part) -> PathBuf {
    if part.kind == Kind::Policy {
        let path = Path::new(&part.name);
        let name = match part
            .name
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'))
        {
            Some(stream) if !stream.contains('/') => format!("{stream}.sk").into(),
            _ => path
                .file_name()
                .unwrap_or("policy.sk".as_ref())
                .to_os_string(),
        };
        return below.join(name);
    }
    let path = normal(Path::new(&part.name));
    match relative(base, &path) {
        Some(path) => normal(&below.join(path)),
        None => {
            let inner = path
                .components()
                .filter(|one| matches!(one, Component::Normal(_)));
            inner.fold(PathBuf::from(ABSOLUTE), |path, one| path.join(one))
        }
    }
}

/// How many folders a file is above the policy's.
fn ups(base: &Path, name: &str) -> Option<usize> {
    let path = relative(base, &normal(Path::new(name)))?;
    let ups = path.components();
    Some(ups.filter(|one| *one == Component::ParentDir).count())
}

/// The last folders of the policy's, so many; made up where it has not as many.
fn stand(base: &Path, depth: usize) -> PathBuf {
    let names = base.components().filter_map(|one| match one {
        Component::Normal(name) => Some(name.to_os_string()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    let missing = depth.saturating_sub(names.len());
    let made_up = (0..missing).map(|_| "policy".into());
    let known = names[names.len().saturating_sub(depth)..].iter().cloned();
    made_up.chain(known).collect()
}

/// The way from a folder to a path; `None` where one of both is a whole path alone, or the folder is above where anybody knows.
fn relative(base: &Path, path: &Path) -> Option<PathBuf> {
    if base.is_absolute() != path.is_absolute() {
        return None;
    }
    let common = base.components().zip(path.components());
    let common = common.take_while(|(one, other)| one == other).count();
    let up = base.components().skip(common);
    if up.clone().any(|one| one == Component::ParentDir) {
        return None;
    }
    let up: PathBuf = up.map(|_| Component::ParentDir).collect();
    Some(
        path.components()
            .skip(common)
            .fold(up, |all, one| all.join(one)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(names: &[&str]) -> Vec<Part> {
        let part = |(place, name): (usize, &&str)| Part {
            name: (*name).to_owned(),
            kind: match place {
                0 => Kind::Policy,
                _ => Kind::List,
            },
            text: String::new(),
        };
        names.iter().enumerate().map(part).collect()
    }

    fn laid(names: &[&str]) -> Vec<String> {
        let parts = parts(names);
        let laid = laid_out(&parts).into_iter();
        laid.map(|(place, _)| place.display().to_string()).collect()
    }

    #[test]
    fn what_would_stand_elsewhere_or_upon_another_is_found() {
        for (names, wrong) in [
            (&["edge.sk", "a"][..], None),
            (&["<../../../etc/x>", "a"], None),
            (&["..", "a"], None),
            (&["<..>"], None),
            (&["<stdin>", "stdin.sk"], Some("stdin.sk")),
            (&["edge.sk", "/a", "absolute/a"], Some("absolute/a")),
        ] {
            let parts: Vec<Part> = parts(names);
            let laid = laid_out(&parts);
            assert_eq!(astray(&laid), wrong, "{names:?}");
        }
        let part = &parts(&["a"])[0];
        for place in ["../a", "/a", "a/../../b", ""] {
            assert_eq!(astray(&[(place.into(), part)]), Some("a"), "{place}");
        }
    }

    #[test]
    fn files_keep_their_places_to_each_other_within_the_folder() {
        for (names, places) in [
            (
                &["edge.sk", "lists/a.txt"][..],
                &["edge.sk", "lists/a.txt"][..],
            ),
            (
                &["/etc/sockc/edge.sk", "/etc/sockc/lists/a"],
                &["edge.sk", "lists/a"],
            ),
            (
                &["/etc/sockc/edge.sk", "/etc/sockc/../a"],
                &["sockc/edge.sk", "a"],
            ),
            (
                &["rules/edge.sk", "rules/../../a"],
                &["policy/rules/edge.sk", "a"],
            ),
            (
                &["edge.sk", "../a", "../../b"],
                &["policy/policy/edge.sk", "policy/a", "b"],
            ),
            (&["edge.sk", "/etc/a"], &["edge.sk", "absolute/etc/a"]),
            (&["../x/edge.sk", "../x/a"], &["edge.sk", "a"]),
            (&["../x/edge.sk", "../y/a"], &["x/edge.sk", "y/a"]),
            (&["<stdin>", "a"], &["stdin.sk", "a"]),
        ] {
            assert_eq!(laid(names), places, "{names:?}");
        }
    }
}
