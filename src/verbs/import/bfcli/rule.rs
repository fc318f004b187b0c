//! A rule of bpfilter as what it is about and what it does, for one family and one list.
//!
//! Takes the words of a rule; gives conjunctions that share no packet, of which any has to hold, and the goal; or the first thing in it that
//! cannot be carried over, with what else was understood. Not here: where the chain is attached.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::asking::{self, unasked_header};
use super::chain::Known;
use super::matchers::{self, Field, Matcher, Op};
use super::scan::Token;
use super::sets::{self, Set};
use super::values::{is_byte, number, values};
use crate::verbs::import::goal::Goal;
use crate::verbs::import::list::List;
use crate::verbs::import::rule::{Asks, Rule};
use crate::verbs::import::types::with_codes;
use crate::verbs::import::what::{Live, Named, What};

/// The words that something else begins with than a form of a log.
const BEGIN: [&str; 8] = [
    "ACCEPT", "DROP", "CONTINUE", "NEXT", "REDIRECT", "counter", "log", "mark",
];

/// Whether a word begins something in a rule.
fn is_known(word: &str) -> bool {
    BEGIN.contains(&word) || matchers::named(word).is_some()
}

/// A rule that is being read.
struct Reading<'a> {
    known: &'a Known<'a>,
    /// What NEXT does.
    next: Goal,
    family: Family,
    list: List,
    rule: Rule,
    words: std::iter::Peekable<std::slice::Iter<'a, Token<'a>>>,
    /// Codes of ICMP, until all types are known.
    codes: Vec<RangeSet<u128>>,
    /// Options that stand there.
    given: Vec<&'static str>,
    /// Whether it is about packets of the other family only.
    is_elsewhere: bool,
    is_over: bool,
}

/// Reads the words of a rule of a chain.
pub(super) fn read<'a>(
    words: &'a [Token<'a>],
    known: &'a Known<'a>,
    next: &Goal,
    (family, list): (Family, List),
) -> Rule {
    let mut rule = Rule::any(family);
    rule.goal = None;
    let mut reading = Reading {
        known,
        next: next.clone(),
        family,
        list,
        rule,
        words: words.iter().peekable(),
        codes: Vec::new(),
        given: Vec::new(),
        is_elsewhere: false,
        is_over: false,
    };
    while let Some(word) = reading.words.next() {
        if let Err(why) = reading.word(word.text) {
            reading.rule.refuse(why);
        }
    }
    reading.finish()
}

impl<'a> Reading<'a> {
    fn word(&mut self, word: &'a str) -> Result<(), String> {
        if self.is_over {
            return Err(format!("`{word}` stands behind its verdict"));
        }
        match word {
            "ACCEPT" => self.ends(Goal::Accept),
            "DROP" => self.ends(Goal::Drop),
            "CONTINUE" => self.ends(Goal::Count),
            "NEXT" => self.ends(self.next.clone()),
            "REDIRECT" => {
                self.ends(Goal::Accept);
                let to = self.following()?;
                self.following()?;
                self.rule.goal = None;
                return Err(format!(
                    "it hands packets to {to}; write `redirect … to interface NAME` with their destinations by hand"
                ));
            }
            "counter" => return self.once("counter"),
            "log" => return self.log(),
            "mark" => return self.mark(),
            _ => return self.asked(word),
        }
        Ok(())
    }

    /// What the packet has to be. Where that is a field that no rule can say so, an example might be none.
    fn asked(&mut self, word: &'a str) -> Result<(), String> {
        let done = match word.starts_with('(') {
            true => self.in_set(word),
            false => self.matches(word),
        };
        let field = matchers::named(word).map(|one| one.field);
        if done.is_err() && !matches!(field, None | Some(Field::Unasked(_))) {
            self.rule.cases.clear();
        }
        done
    }

    fn ends(&mut self, goal: Goal) {
        self.rule.goal = Some(goal);
        self.is_over = true;
    }

    fn following(&mut self) -> Result<&'a str, String> {
        let next = self.words.next().map(|word| word.text);
        next.ok_or_else(|| "it ends too early".to_owned())
    }

    /// Takes the next word if it is this one.
    fn takes(&mut self, text: &str) -> bool {
        self.words.next_if(|word| word.text == text).is_some()
    }

    fn once(&mut self, option: &'static str) -> Result<(), String> {
        if self.given.contains(&option) {
            return Err(format!("`{option}` stands there twice"));
        }
        self.given.push(option);
        Ok(())
    }

    /// A line for what matches. Which headers are shown is the reader's choice here, and another form of it costs the rule nothing.
    fn log(&mut self) -> Result<(), String> {
        const HEADERS: [&str; 3] = ["link", "internet", "transport"];
        self.once("log")?;
        let is_form = |word: &str| word != "every" && !word.starts_with('(') && !is_known(word);
        while let Some(word) = self.words.next_if(|word| is_form(word.text)) {
            let mut names = word.text.split(',').filter(|one| !one.is_empty());
            if word.text == "5-tuple" {
                self.rule
                    .notes
                    .push("there, it writes lines for TCP and UDP alone".to_owned());
            } else if !names.all(|name| HEADERS.contains(&name)) {
                self.rule.changed.push(format!(
                    "`log {}` is a form that is not known here; its line has what every `log` has",
                    word.text
                ));
            }
        }
        if self.takes("every") {
            let time = self.following()?;
            self.rule
                .notes
                .push(format!("there, it writes at most one line in {time}"));
        }
        self.rule.log = Some(self.known.chain.to_owned().into());
        Ok(())
    }

    fn mark(&mut self) -> Result<(), String> {
        self.once("mark")?;
        let mark = self.following()?;
        number(mark).ok_or_else(|| format!("`{mark}` is no mark"))?;
        self.rule.changed.push(format!(
            "the mark {mark} is not set, and later rules that ask for a mark see the one that the packet came with; where it is needed, write `mark {mark}` behind the `allow`"
        ));
        Ok(())
    }

    fn matches(&mut self, word: &'a str) -> Result<(), String> {
        let matcher = matchers::named(word).ok_or_else(|| format!("`{word}` is not known here"))?;
        let negated = self.takes("not");
        let next = self.following()?;
        if next == "in" && matcher.is_key {
            let braces = self.following()?;
            if !braces.starts_with('{') {
                return Err(format!(
                    "a set is asked for by its key in parentheses: write `({word}) in {braces}`"
                ));
            }
            let set = Set::read(vec![matcher.field], braces)?;
            return self.set(&set, negated, None);
        }
        let (op, value) = match Op::named(next) {
            Some(op) => (op, self.following()?),
            None => (Op::Eq, next),
        };
        if !matcher.ops.contains(&op) {
            return Err(format!("`{word}` is not compared by `{next}`"));
        }
        let value = self.whole(value);
        self.compares(matcher, (op, negated), &value)
    }

    /// A value with the bytes behind it, where it is printed as these.
    fn whole(&mut self, value: &str) -> String {
        let mut whole = value.to_owned();
        let is_more = |word: &&&Token<'_>| is_byte(value) && is_byte(word.text);
        while let Some(byte) = self.words.next_if(|word| is_more(&word)) {
            whole.push(' ');
            whole.push_str(byte.text);
        }
        whole
    }

    fn compares(
        &mut self,
        matcher: &Matcher,
        (op, negated): (Op, bool),
        value: &str,
    ) -> Result<(), String> {
        let (field, of) = (matcher.field, (self.family, self.list));
        if !self.has(field) {
            self.is_elsewhere = true;
            return Ok(());
        }
        let asks = match field {
            Field::Unasked(why) => return Err(why.to_owned()),
            Field::Interface => {
                let name = self.known.interface(value)?;
                asking::of_interface(&name, negated, of)
            }
            Field::Flags => {
                let bits = values(field, op, value)?;
                let bits = bits.ranges().first().map_or(0, |one| one.0);
                asking::of_bits(op, u8::try_from(bits).unwrap_or(0), negated, self.family)
            }
            _ => {
                let given = values(field, op, value)?;
                if let (Field::NextHeader, Some(why)) = (field, unasked_header(&given)) {
                    return Err(why.to_owned());
                }
                let all = RangeSet::from_ranges([(0, field.last())]);
                let meant = if negated { all.minus(&given) } else { given };
                return self.asks(field, &meant);
            }
        };
        self.rule.asks(asks)
    }

    fn asks(&mut self, field: Field, meant: &RangeSet<u128>) -> Result<(), String> {
        if matches!(field, Field::IcmpCode(_)) {
            self.codes.push(meant.clone());
            return Ok(());
        }
        let asks = asking::of_values(field, meant, (self.family, self.list))?;
        self.rule.asks(asks)
    }

    /// Whether packets of the family may have a field.
    fn has(&self, field: Field) -> bool {
        field.family().is_none_or(|family| family == self.family)
    }

    fn in_set(&mut self, key: &str) -> Result<(), String> {
        let key = sets::key(key)?;
        let negated = self.takes("not");
        if !self.takes("in") {
            return Err("a key is compared with `in`".to_owned());
        }
        let name = self.following()?;
        if name.starts_with('{') {
            return self.set(&Set::read(key, name)?, negated, None);
        }
        let set = self.known.sets.get(name);
        let set = set.ok_or_else(|| format!("its chain has no set {name}"))?;
        let set = set
            .as_ref()
            .map_err(|why| format!("of its set {name}, {why}"))?;
        if set.key != key {
            return Err(format!("the set {name} has another key"));
        }
        self.set(set, negated, Some(name))
    }

    /// Joins what a set asks: any of its combinations.
    fn set(&mut self, set: &Set, negated: bool, name: Option<&str>) -> Result<(), String> {
        if let Some(name) = name.filter(|_| set.grows()) {
            return self.growing(set, negated, name);
        }
        if set.is_empty() {
            let said = "its set is empty, and bpfilter leaves such a rule out itself";
            self.rule.notes.push(said.to_owned());
            self.rule.cases.clear();
            return Ok(());
        }
        if set.key.iter().any(|field| !self.has(*field)) {
            self.is_elsewhere = true;
            return Ok(());
        }
        let mut cases = Vec::new();
        for combination in set.combinations(negated) {
            cases.extend(self.combination(&set.key, &combination)?);
        }
        let label = name.map(|name| self.known.name_of(name));
        if let (Some(label), [Field::Address(_, of)]) = (label, set.key.as_slice()) {
            for case in &mut cases {
                case.side_mut(*of).set = Some(Named::new(label.clone(), negated));
            }
        }
        self.rule.asks(Asks {
            cases,
            ..Asks::default()
        })
    }

    /// Joins what a set asks to which elements come while it is asked: a live set, where one holds them.
    fn growing(&mut self, set: &Set, negated: bool, name: &str) -> Result<(), String> {
        let (Some(declared), [Field::Address(family, of)]) = (set.declared(), set.key.as_slice())
        else {
            return Err(format!(
                "`bfcli chain update-set` fills its set {name}, and a live set here holds addresses of one side alone"
            ));
        };
        if *family != self.family {
            self.is_elsewhere = true;
            return Ok(());
        }
        let called = self.known.name_of(name);
        self.rule.notes.push(format!("elements may come to its set {name} (`min-size`), so it is a live set, which holds no more than it is declared with: `sockc set add {called} ADDRESS` in place of `bfcli chain update-set`"));
        let mut what = What::any(self.family);
        what.side_mut(*of).live = Some(Live {
            name: called,
            negated,
            declared: declared.into(),
        });
        self.rule.asks(what.into())
    }

    /// What one combination asks.
    fn combination(
        &self,
        key: &[Field],
        combination: &[RangeSet<u128>],
    ) -> Result<Vec<What>, String> {
        let mut rule = Rule::any(self.family);
        let mut codes = Vec::new();
        for (field, meant) in key.iter().zip(combination) {
            match field {
                Field::IcmpCode(_) => codes.push(meant),
                _ => rule.asks(asking::of_key(*field, meant, (self.family, self.list))?)?,
            }
        }
        for codes in codes {
            with_codes(&mut rule.cases, codes)?;
        }
        Ok(rule.cases)
    }

    fn finish(mut self) -> Rule {
        for codes in std::mem::take(&mut self.codes) {
            if let Err(why) = with_codes(&mut self.rule.cases, &codes) {
                self.rule.refuse(why);
                self.rule.cases.clear();
            }
        }
        if self.rule.goal.is_none() {
            self.rule.refuse("it has no verdict".to_owned());
        }
        if self.is_elsewhere {
            self.rule.cases.clear();
            self.rule.unread = None;
            self.rule.changed.clear();
            self.rule.notes.clear();
        }
        self.rule.finish(self.list);
        self.rule
    }
}
