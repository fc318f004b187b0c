//! Commands of sockc that messages suggest, as they have to be written where the one that says so was given `--bpffs` or `--netns`.
//!
//! Takes a message, in which commands stand as `` `sockc VERB …` ``; gives it with these options in each command that takes them.
//! Not here: which messages there are.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command, CommandFactory};

use super::Arguments;

/// How a suggested command begins.
const BEGINS: &str = "`sockc ";
/// The option that names the bpf file system.
const BPFFS: &str = "bpffs";
/// The option that names the network namespace.
const NETNS: &str = "netns";

/// Where a command works, if that is elsewhere than without options: these options, each with its value as one word of a shell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Vec<(&'static str, String)>);

impl Place {
    /// The same without the network namespace: for commands that work in another one.
    pub(crate) fn without_netns(mut self) -> Self {
        self.0.retain(|(option, _)| *option != NETNS);
        self
    }
}

/// Where a command line says that it works.
pub(crate) fn named(matches: &ArgMatches) -> Place {
    let mut inner = matches;
    while let Some((_, next)) = inner.subcommand() {
        inner = next;
    }
    let mut place = Place::default();
    if let Ok(Some(folder)) = inner.try_get_one::<PathBuf>(BPFFS) {
        let command = Arguments::command();
        let default = command.get_subcommands().find_map(default);
        if default.as_deref() != Some(folder) {
            place.0.push((BPFFS, quoted(folder)));
        }
    }
    if let Ok(Some(name)) = inner.try_get_one::<String>(NETNS) {
        place.0.push((NETNS, quoted(Path::new(name))));
    }
    place
}

/// What a verb takes the option for where nobody gives it.
fn default(verb: &Command) -> Option<PathBuf> {
    let own = verb.get_arguments().find(|one| one.get_id() == BPFFS);
    let own = own.and_then(|one| one.get_default_values().first());
    let inner = || verb.get_subcommands().find_map(default);
    own.map(PathBuf::from).or_else(inner)
}

/// The message with the options in its commands.
pub(crate) fn on(message: &str, place: &Place) -> String {
    if place.0.is_empty() {
        return message.to_owned();
    }
    let root = Arguments::command();
    let mut text = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(BEGINS) {
        let end = after.find('`').unwrap_or(after.len());
        let (command, beyond) = after.split_at(end);
        let (verb, length) = verb_of(&root, command);
        let (verbs, words) = command.split_at(length);
        text.extend([before, BEGINS, verbs]);
        for (option, value) in &place.0 {
            let takes = verb.get_arguments().any(|one| one.get_id() == option);
            if takes && !words.contains(&format!("--{option}")) {
                text.extend([" --", option, " ", value]);
            }
        }
        text.push_str(words);
        rest = beyond;
    }
    text + rest
}

/// The innermost verb of a command, and where its name ends.
fn verb_of<'a>(root: &'a Command, command: &str) -> (&'a Command, usize) {
    let (mut verb, mut place) = (root, 0);
    for word in command.split_inclusive(' ') {
        let Some(next) = verb.find_subcommand(word.trim_end()) else {
            break;
        };
        verb = next;
        place += word.len();
    }
    (verb, command[..place].trim_end().len())
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
        let place = Place(vec![(BPFFS, "/run/bpf".to_owned())]);
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
            assert_eq!(on(said, &place), wanted);
        }
    }

    #[test]
    fn commands_are_for_the_namespace_that_was_named() {
        let place = Place(vec![
            (BPFFS, "/run/bpf".to_owned()),
            (NETNS, "blue".to_owned()),
        ]);
        for (said, wanted) in [
            (
                "`sockc apply` or `sockc unload --netns b`",
                "`sockc apply --bpffs /run/bpf --netns blue` or `sockc unload --bpffs /run/bpf --netns b`",
            ),
            ("`sockc check a.sk`", "`sockc check a.sk`"),
        ] {
            assert_eq!(on(said, &place), wanted);
        }
    }

    #[test]
    fn what_was_named_is_what_is_another() {
        let named = |line: &str| {
            let matches = Arguments::command().try_get_matches_from(line.split(' '));
            named(&matches.unwrap()).0
        };
        let other = |option, value: &str| vec![(option, value.to_owned())];
        assert_eq!(named("sockc status"), []);
        assert_eq!(named("sockc status --bpffs /sys/fs/bpf"), []);
        assert_eq!(named("sockc check a.sk"), []);
        assert_eq!(named("sockc set list --bpffs /x"), other(BPFFS, "/x"));
        assert_eq!(named("sockc unload --netns b"), other(NETNS, "b"));
        assert_eq!(named("sockc status --bpffs /a;b"), other(BPFFS, "'/a;b'"));
    }
}
