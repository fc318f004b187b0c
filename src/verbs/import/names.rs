//! Names of sockets for labels of tubular, which may hold any text.
//!
//! Takes labels; gives each a name of its own. A label that is a name keeps it; another gets what is left of it and some
//! digits of its SHA-256, so that its name depends on no other label: sockets keep theirs when labels come and go.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use sockc_grammar::ast::Statement;
use sockc_grammar::source::SourceMap;

/// How much of a label stands in a name that is made for it.
const KEPT: usize = 40;
/// How many more digits a name gets where another one has it.
const DIGITS: usize = 8;
/// What stands in front of the digits where nothing of a label can be kept.
const PLAIN: &str = "label";

/// The names of labels, in the order of labels.
#[derive(Debug, Default)]
pub(super) struct Names {
    of: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// Names for all of these.
    pub(super) fn new<'a>(labels: impl Iterator<Item = &'a str>) -> Self {
        let labels: BTreeSet<&str> = labels.collect();
        let (plain, other): (Vec<&str>, Vec<&str>) =
            labels.into_iter().partition(|label| is_name(label));
        let mut names = Self::default();
        for label in plain {
            names.taken.insert(label.to_owned());
            names.of.insert(label.to_owned(), label.to_owned());
        }
        for label in other {
            let name = names.free(label);
            names.of.insert(label.to_owned(), name);
        }
        names
    }

    /// The name of a label; of one that was not among those that names were made for, itself.
    pub(super) fn of<'a>(&'a self, label: &'a str) -> &'a str {
        self.of.get(label).map_or(label, String::as_str)
    }

    /// Every label with its name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of
            .iter()
            .map(|(label, name)| (label.as_str(), name.as_str()))
    }

    /// Takes a name that nobody has for something that is no name.
    pub(super) fn free(&mut self, label: &str) -> String {
        let digest: String = Sha256::digest(label.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let begins = kept(label);
        let tries = (1..).map(|round| match digest.get(..round * DIGITS) {
            Some(digits) => format!("{begins}-{digits}"),
            None => format!("{begins}-{digest}-{round}"),
        });
        let mut free = tries.filter(|name| !self.taken.contains(name));
        let name = free.next().unwrap_or(digest);
        self.taken.insert(name.clone());
        name
    }
}

/// What of a label may begin a name.
fn kept(label: &str) -> String {
    let text = words(label);
    if is_name(&format!("{text}-0")) {
        text
    } else {
        PLAIN.to_owned()
    }
}

/// A name that reads as a label does, if there is one: the label, its words, or these behind a word for what it is called for.
pub(super) fn alike(label: &str, word: &str) -> Option<String> {
    let words = words(label);
    let tries = [label.to_owned(), words.clone(), format!("{word}-{words}")];
    let is_there = !words.is_empty();
    tries.into_iter().find(|name| is_there && is_name(name))
}

/// The words of a label, as far as they are short.
fn words(label: &str) -> String {
    let words = label.split(|character: char| !character.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut text = words.join("-");
    text.truncate(KEPT);
    text.trim_end_matches('-').to_owned()
}

/// Whether the language takes a text as the name of a socket, and of a set.
fn is_name(text: &str) -> bool {
    let mut sources = SourceMap::default();
    let both = format!("socket {text} = registered\nset {text} = {{ 192.0.2.1 }}");
    let id = sources.add("<name>", both);
    let (file, mistakes) = sockc_grammar::parse(&sources, id);
    let [first, _] = file.statements.as_slice() else {
        return false;
    };
    let is_it = matches!(&first.value, Statement::Socket(socket) if socket.name.value == text);
    is_it && mistakes.is_empty()
}
