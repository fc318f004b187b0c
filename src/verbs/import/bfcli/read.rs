//! A rule set of bpfilter as chains with their sets and rules, each as its words.
//!
//! Takes the text; gives the chains in its order, or the line at which it is no such file. The end of a rule is the next `rule`, `set` or
//! `chain`, so what is not known in it costs that rule alone. Not here: what a rule means.

use std::collections::BTreeMap;

use super::hook::{self, BEGINS, Hook};
use super::scan::{Token, scan};

/// What a chain does with what none of its rules decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Accept,
    Drop,
    Next,
}

impl Policy {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "ACCEPT" => Self::Accept,
            "DROP" => Self::Drop,
            "NEXT" => Self::Next,
            _ => return None,
        })
    }
}

/// Words that belong together, from the one that begins them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) line: usize,
    /// The words behind the first.
    pub(super) words: Vec<Token<'a>>,
    /// All of it in one line.
    pub(super) text: String,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain<'a> {
    /// Where it begins, without what is in it.
    pub(super) head: Part<'a>,
    pub(super) name: String,
    pub(super) hook: &'static Hook,
    /// Its options, by their names of today.
    pub(super) options: BTreeMap<&'a str, &'a str>,
    pub(super) policy: Policy,
    pub(super) sets: Vec<Part<'a>>,
    pub(super) rules: Vec<Part<'a>>,
}

impl<'a> Chain<'a> {
    /// Where it is attached; nothing where that is left to another command.
    pub(super) fn attached(&self) -> Option<&'a str> {
        let attach = self.options.get("attach").copied();
        let place = self.options.get(self.hook.sees.option()).copied();
        let is_off = matches!(attach, Some("no" | "false" | "0"));
        place.or(attach).filter(|_| !is_off)
    }
}

/// A line, and what is wrong there.
pub(super) type Mistake = (usize, String);

/// How a file begins, for messages.
const FORM: &str = "write `chain NAME BF_HOOK_… POLICY` ahead of its rules, as `bfcli ruleset set --from-file` takes it";

/// Reads a file.
pub(super) fn read(text: &str) -> Result<Vec<Chain<'_>>, Mistake> {
    let tokens = scan(text)?;
    let Some(first) = tokens.first() else {
        return Err((1, format!("it has no chain; {FORM}")));
    };
    if first.text != "chain" {
        let said = format!("`{}` begins no rule set of bpfilter; {FORM}", first.text);
        return Err((first.line, said));
    }
    let chains = parts(&tokens, &["chain"]).into_iter();
    chains.map(chain).collect()
}

/// The parts of words that each begin with one of these; the first word is one.
fn parts<'t, 'a>(tokens: &'t [Token<'a>], begin: &[&str]) -> Vec<&'t [Token<'a>]> {
    let starts = (0..tokens.len()).filter(|at| begin.contains(&tokens[*at].text));
    let starts: Vec<usize> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    let ranges = starts.iter().copied().zip(ends);
    ranges.map(|(start, end)| &tokens[start..end]).collect()
}

fn part<'a>(words: &[Token<'a>]) -> Part<'a> {
    let (first, rest) = match words {
        [first, rest @ ..] => (first.line, rest),
        [] => (1, words),
    };
    let text: Vec<&str> = words
        .iter()
        .flat_map(|word| word.text.split_whitespace())
        .collect();
    Part {
        line: first,
        words: rest.to_vec(),
        text: text.join(" "),
    }
}

fn chain<'a>(tokens: &[Token<'a>]) -> Result<Chain<'a>, Mistake> {
    const INSIDE: [&str; 2] = ["rule", "set"];
    let inside = tokens.iter().position(|one| INSIDE.contains(&one.text));
    let (head, inside) = tokens.split_at(inside.unwrap_or(tokens.len()));
    let head = part(head);
    let wrong = |said: String| (head.line, format!("{said}; {FORM}"));
    let mut words = head.words.as_slice();
    let name = match words {
        [name, rest @ ..] if !name.text.starts_with(BEGINS) => {
            words = rest;
            Some(name.text)
        }
        _ => None,
    };
    let [named, rest @ ..] = words else {
        return Err(wrong("the chain names no hook".to_owned()));
    };
    let hook = hook::named(named.text)
        .ok_or_else(|| wrong(format!("`{}` is no hook that is known here", named.text)))?;
    let (options, rest) = options(rest).map_err(wrong)?;
    let policy = match rest {
        [policy] => Policy::named(policy.text),
        [word, policy] if word.text == "policy" => Policy::named(policy.text),
        _ => None,
    };
    let policy = policy.ok_or_else(|| {
        wrong("the chain has no policy, which is ACCEPT, DROP or NEXT and nothing else, behind its hook".to_owned())
    })?;
    let short = named.text.trim_start_matches(BEGINS).to_lowercase();
    let name = name.or(options.get("name").copied()).unwrap_or(&short);
    let inside = parts(inside, &INSIDE).into_iter().map(part);
    let (rules, sets) = inside.partition(|one| one.text.starts_with("rule"));
    Ok(Chain {
        name: name.to_owned(),
        hook,
        options,
        policy,
        sets,
        rules,
        head,
    })
}

/// Options of a chain, and their names of today.
const OPTIONS: [(&str, &str); 7] = [
    ("ifindex", "ifindex"),
    ("cgpath", "cgpath"),
    ("cgroup", "cgpath"),
    ("priorities", "priorities"),
    ("family", "family"),
    ("name", "name"),
    ("attach", "attach"),
];

/// What stands behind a hook: options in braces, or as words; and what is behind these.
fn options<'t, 'a>(
    words: &'t [Token<'a>],
) -> Result<(BTreeMap<&'a str, &'a str>, &'t [Token<'a>]), String> {
    let is_option = |word: &&Token<'a>| word.text.starts_with('{') || word.text.contains('=');
    let count = words.iter().take_while(is_option).count();
    let (given, rest) = words.split_at(count);
    let is_between = |one: char| one.is_whitespace() || "{},".contains(one);
    let mut options = BTreeMap::new();
    for one in given.iter().flat_map(|word| word.text.split(is_between)) {
        if one.is_empty() {
            continue;
        }
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        let known = OPTIONS.iter().find(|(known, _)| *known == name);
        let (_, known) = known.ok_or_else(|| format!("`{one}` is no option of a hook"))?;
        if options.insert(*known, value).is_some() {
            return Err(format!("`{name}=` stands there twice"));
        }
    }
    Ok((options, rest))
}
