//! Commands of sockc that messages suggest, as they have to be written where the one that says so was given `--bpffs`.
//!
//! Takes a message, in which commands stand as `` `sockc VERB …` ``; gives it with the folder in each command that takes one.
//! Not here: which messages there are.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command, CommandFactory};

use super::Arguments;

/// How a suggested command begins.
const BEGINS: &str = "`sockc ";
/// The option.
const OPTION: &str = "bpffs";

/// The bpf file system that was named on a command line.
pub(crate) fn named(matches: &ArgMatches) -> Option<PathBuf> {
    let mut inner = matches;
    while let Some((_, next)) = inner.subcommand() {
        inner = next;
    }
    let folder: &PathBuf = inner.try_get_one(OPTION).ok().flatten()?;
    let command = Arguments::command();
    let default = command.get_subcommands().find_map(default);
    (default.as_deref() != Some(folder)).then(|| folder.clone())
}

/// What a verb takes the option for where nobody gives it.
fn default(verb: &Command) -> Option<PathBuf> {
    let own = verb.get_arguments().find(|one| one.get_id() == OPTION);
    let own = own.and_then(|one| one.get_default_values().first());
    let inner = || verb.get_subcommands().find_map(default);
    own.map(PathBuf::from).or_else(inner)
}

/// The message with the folder in its commands.
pub(crate) fn on(message: &str, folder: &Path) -> String {
    let root = Arguments::command();
    let option = format!(" --{OPTION} {}", quoted(folder));
    let mut text = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(BEGINS) {
        let end = after.find('`').unwrap_or(after.len());
        let (command, beyond) = after.split_at(end);
        text.push_str(before);
        text.push_str(BEGINS);
        match place(&root, command) {
            Some(place) if !command.contains("--bpffs") => {
                let (verb, words) = command.split_at(place);
                text.extend([verb, &option, words]);
            }
            _ => text.push_str(command),
        }
        rest = beyond;
    }
    text + rest
}

/// Where the option stands in a command: after its verbs; nowhere if they do not take it.
fn place(root: &Command, command: &str) -> Option<usize> {
    let mut verb = root;
    let mut place = 0;
    for word in command.split_inclusive(' ') {
        let Some(next) = verb.find_subcommand(word.trim_end()) else {
            break;
        };
        verb = next;
        place += word.len();
    }
    let takes = verb.get_arguments().any(|one| one.get_id() == OPTION);
    takes.then(|| command[..place].trim_end().len())
}

/// A folder as one word of a shell.
fn quoted(folder: &Path) -> String {
    let name = folder.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%".contains(letter);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name,
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_for_the_folder_that_was_named() {
        let folder = Path::new("/run/bpf");
        for (said, wanted) in [
            (
                "`sockc apply` puts it back",
                "`sockc apply --bpffs /run/bpf` puts it back",
            ),
            (
                "take it away, with `sockc unload --netns b`, or `sockc apply --running`",
                "take it away, with `sockc unload --bpffs /run/bpf --netns b`, or `sockc apply --bpffs /run/bpf --running`",
            ),
            (
                "`sockc set clear banned` and `sockc socket register web …`",
                "`sockc set clear --bpffs /run/bpf banned` and `sockc socket register --bpffs /run/bpf web …`",
            ),
            // Of those that work on nothing in force it is no option.
            (
                "(`sockc check --json` lists all)",
                "(`sockc check --json` lists all)",
            ),
            (
                "`sockc unload --bpffs /x` takes it",
                "`sockc unload --bpffs /x` takes it",
            ),
            ("`sockc set` has verbs", "`sockc set` has verbs"),
            ("`sockc unload", "`sockc unload --bpffs /run/bpf"),
        ] {
            assert_eq!(on(said, folder), wanted);
        }
        assert_eq!(
            on("`sockc unload`", Path::new("/run/my bpf")),
            "`sockc unload --bpffs '/run/my bpf'`"
        );
    }

    #[test]
    fn the_folder_is_named_where_it_is_another() {
        let named = |line: &str| {
            let matches = Arguments::command().try_get_matches_from(line.split(' '));
            named(&matches.unwrap())
        };
        assert_eq!(named("sockc status"), None);
        assert_eq!(named("sockc status --bpffs /sys/fs/bpf"), None);
        assert_eq!(named("sockc check a.sk"), None);
        assert_eq!(named("sockc set list --bpffs /x"), Some("/x".into()));
    }
}
