//! The options of a rule: which is negated, and what follows it.
//!
//! Takes the text of a rule; gives its options in their order, each under the one name that iptables-save writes. Not here:
//! what an option means.

use super::words::{Word, words};

/// An option with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Its name, with its dashes.
    pub(super) name: String,
    /// Whether `!` stands ahead of it.
    pub(super) negated: bool,
    /// What follows it.
    pub(super) values: Vec<String>,
}

impl Given {
    /// Its only value.
    pub(super) fn value(&self) -> Result<&str, String> {
        match self.values.as_slice() {
            [value] => Ok(value),
            _ => Err(format!("`{self}` has not the one value that it takes")),
        }
    }

    /// Its only value, of an option that cannot be negated here.
    pub(super) fn plain(&self) -> Result<&str, String> {
        match self.negated {
            true => Err(format!("`{self}` is negated, which is not carried over")),
            false => self.value(),
        }
    }
}

/// As it stands in a rule.
impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.negated {
            f.write_str("! ")?;
        }
        f.write_str(&self.name)?;
        self.values
            .iter()
            .try_for_each(|value| write!(f, " {value}"))
    }
}

/// Other spellings, and the one that iptables-save writes.
const SPELLINGS: [(&str, &str); 20] = [
    ("--append", "-A"),
    ("--insert", "-I"),
    ("--protocol", "-p"),
    ("--proto", "-p"),
    ("--source", "-s"),
    ("--src", "-s"),
    ("--destination", "-d"),
    ("--dst", "-d"),
    ("--in-interface", "-i"),
    ("--out-interface", "-o"),
    ("--match", "-m"),
    ("--jump", "-j"),
    ("--goto", "-g"),
    ("--fragment", "-f"),
    ("--source-port", "--sport"),
    ("--destination-port", "--dport"),
    ("--source-ports", "--sports"),
    ("--destination-ports", "--dports"),
    ("--ctstate", "--state"),
    ("--hashlimit", "--hashlimit-upto"),
];

/// Options that no value follows.
const ALONE: [&str; 9] = [
    "-f",
    "--syn",
    "--ecn-tcp-cwr",
    "--ecn-tcp-ece",
    "--log-tcp-sequence",
    "--log-tcp-options",
    "--log-ip-options",
    "--log-uid",
    "--log-macdecode",
];

/// How many values follow an option for certain; `None` where its name does not tell.
fn taken(name: &str) -> Option<usize> {
    match name {
        "--tcp-flags" => Some(2),
        _ if ALONE.contains(&name) => Some(0),
        "-A" | "-p" | "-s" | "-d" | "-i" | "-o" | "-m" | "-j" | "-g" | "--comment"
        | "--log-prefix" | "--nflog-prefix" => Some(1),
        _ => None,
    }
}

/// The options of a rule.
pub(super) fn options(text: &str) -> Result<Vec<Given>, String> {
    let words = words(text)?;
    let mut words = words.into_iter().peekable();
    let mut options = Vec::new();
    let mut negated = false;
    while let Some(word) = words.next() {
        if word.is("!") && !negated {
            negated = true;
            continue;
        }
        if !word.is_option() {
            return Err(format!("`{}` belongs to no option", word.text));
        }
        let mut given = Given {
            name: spelling(word.text),
            negated: std::mem::take(&mut negated),
            values: Vec::new(),
        };
        // Files from before iptables 1.4.3 have `-s ! 10.0.0.0/8`.
        if words.peek().is_some_and(|next| next.is("!")) && follows_negation(&given.name) {
            words.next();
            given.negated = !given.negated;
        }
        take(&mut given, &mut words);
        options.push(given);
    }
    match negated {
        true => Err("a `!` has nothing behind it".to_owned()),
        false => Ok(options),
    }
}

/// Whether an option has a value, so that a `!` behind it is of that value and not of the next option.
fn follows_negation(name: &str) -> bool {
    matches!(
        name,
        "-p" | "-s" | "-d" | "-i" | "-o" | "--sport" | "--dport" | "--icmp-type"
    )
}

fn spelling(name: String) -> String {
    let known = SPELLINGS.iter().find(|(other, _)| *other == name);
    known.map_or(name, |(_, one)| (*one).to_owned())
}

/// Takes the values of an option.
fn take(given: &mut Given, words: &mut std::iter::Peekable<impl Iterator<Item = Word>>) {
    match taken(&given.name) {
        Some(count) => {
            let values = words.by_ref().take(count).map(|word| word.text);
            given.values.extend(values);
        }
        None => {
            while let Some(word) = words.next_if(|next| !next.is_option() && !next.is("!")) {
                given.values.push(word.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_their_negation_and_their_values() {
        let text = "-A INPUT ! --source 10.0.0.0/8 -p ! tcp -m tcp --tcp-flags SYN,ACK SYN --log-prefix -x -f --unknown a b";
        let said: Vec<String> = options(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            said,
            [
                "-A INPUT",
                "! -s 10.0.0.0/8",
                "! -p tcp",
                "-m tcp",
                "--tcp-flags SYN,ACK SYN",
                "--log-prefix -x",
                "-f",
                "--unknown a b"
            ]
        );
        for wrong in ["-A INPUT x y", "-A INPUT !", "tcp"] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
    }
}
