//! A rule of nft as what it is about and what it does, for one family and one list.
//!
//! Takes the statements of a rule; gives rules that are asked one after another: a verdict map is a rule for each of its elements, and a
//! line ahead of another match is a rule of its own. Statements are read in order, as each is about what those ahead of it let on.
//! Not here: where the rule is reached from.

mod compares;

use serde_json::Value;
use sockc_compiler::policy::Family;

use super::fields::{self, Field};
use super::listed::{self, Listed, Table, chain_of};
use super::statements::{LETS_ON, is_steady, undone, without};
use super::values::plain;
use crate::verbs::import::goal::{Goal, PLAIN_ANSWER};
use crate::verbs::import::limits;
use crate::verbs::import::list::List;
use crate::verbs::import::rule::{Asks, Rule};
use crate::verbs::import::what::{Rate, What};

/// A rule that is being read.
struct Reading<'a> {
    listed: &'a Listed,
    table: &'a Table,
    family: Family,
    list: List,
    rule: Rule,
    /// Rules that are read to their end.
    done: Vec<Rule>,
    rate: Option<Rate>,
    /// Whether something was asked behind the rate.
    late: bool,
    /// How the line begins that is written for what comes this far.
    log: Option<String>,
    /// Whether it is about packets of one family only.
    is_of_family: bool,
    is_over: bool,
    /// Why what stands behind is about fewer packets than were asked for.
    narrow: Option<String>,
}

/// Reads a rule; nothing comes of one that is about no packet of the family.
pub(super) fn read(listed: &Listed, rule: &listed::Rule, family: Family, list: List) -> Vec<Rule> {
    let mut reading = Reading {
        listed,
        table: &rule.table,
        family,
        list,
        rule: Rule::any(family),
        done: Vec::new(),
        rate: None,
        late: false,
        log: None,
        is_of_family: rule.table.0 != "inet",
        is_over: false,
        narrow: None,
    };
    reading.rule.comment.clone_from(&rule.comment);
    for statement in &rule.statements {
        let is_never = reading.rule.cases.is_empty() && reading.rule.unread.is_none();
        if is_never {
            return reading.done;
        }
        if let Err(why) = reading.statement(statement) {
            reading.rule.refuse(why);
            reading.forgets_what_it_does(statement);
        }
    }
    reading.finish()
}

/// The word of a statement, and what stands with it.
fn parts(statement: &Value) -> Option<(&str, &Value)> {
    let mut entries = statement.as_object()?.iter();
    entries.next().map(|(word, of)| (word.as_str(), of))
}

/// Whether an element of a verdict map accepts.
fn accepts(element: &Value) -> bool {
    let verdict = element.get(1).and_then(parts);
    verdict.is_some_and(|(word, _)| word == "accept")
}

impl Reading<'_> {
    /// Of a statement that is not understood nobody knows whether it drops or accepts.
    fn forgets_what_it_does(&mut self, statement: &Value) {
        let lets_on = parts(statement).is_some_and(|(word, _)| LETS_ON.contains(&word));
        if !lets_on && self.rule.goal == Some(Goal::Count) {
            self.rule.goal = None;
        }
    }

    fn statement(&mut self, statement: &Value) -> Result<(), String> {
        let (word, of) =
            parts(statement).ok_or_else(|| format!("`{statement}` is no statement"))?;
        if self.is_over {
            return Err("something stands behind its verdict".to_owned());
        }
        let is_counter = word == "counter" && is_steady(of);
        if let Some(why) = self.narrow.take_if(|_| !is_counter) {
            return Err(why);
        }
        match word {
            "match" => self.matches(of),
            "limit" => self.limit(of),
            "meter" => self.meter(of),
            "set" => self.set(of),
            "log" => self.log(of),
            "counter" => {
                if of.is_string() {
                    let said =
                        "each rule has a counter of its own here, and none is shared by a name";
                    self.rule.notes.push(said.to_owned());
                }
                self.narrows(word, of);
                Ok(())
            }
            "vmap" => self.map(of),
            "continue" => Ok(()),
            "mangle" | "notrack" | "dup" | "ct helper" | "ct timeout" | "ct expectation"
            | "flow" | "secmark" => {
                self.rule.changed.push(undone(word).to_owned());
                self.narrows(word, of);
                Ok(())
            }
            _ => {
                let goal = self.goal(word, of)?;
                self.ends(goal);
                Ok(())
            }
        }
    }

    /// A statement that reads a packet is about those that have what it reads, and a map about what it has an element for: the kernel
    /// ends the rule for all others (`NFT_BREAK`).
    fn narrows(&mut self, word: &str, of: &Value) {
        if word == "flow" || !is_steady(of) {
            self.narrow = Some(format!(
                "what stands behind `{word}` is about those packets alone that it finds something for"
            ));
        }
    }

    /// What a verdict does.
    fn goal(&mut self, word: &str, of: &Value) -> Result<Goal, String> {
        let target = || {
            let name = of.get("target").and_then(Value::as_str);
            let name = name.ok_or_else(|| "it names no chain".to_owned())?;
            let key = chain_of(self.table, name);
            match self.listed.chains.contains_key(&key) {
                true => Ok(key),
                false => Err(format!("the chain {name} is not there")),
            }
        };
        Ok(match word {
            "accept" => Goal::Accept,
            "drop" => Goal::Drop,
            "return" => Goal::Return,
            "continue" => Goal::Count,
            "jump" => Goal::Jump(target()?),
            "goto" => Goal::Goto(target()?),
            "reject" => self.reject(of)?,
            _ => return Err(without(word)),
        })
    }

    /// Rejects. What is answered belongs to a protocol or a family, which has the packet, too.
    fn reject(&mut self, of: &Value) -> Result<Goal, String> {
        let kind = of.get("type").and_then(Value::as_str).unwrap_or("icmpx");
        let with = of.get("expr").and_then(Value::as_str);
        let only = match kind {
            "tcp reset" => {
                self.ask(What::protocol(self.family, 6).into())?;
                return Ok(Goal::Reject("tcp-reset".to_owned()));
            }
            "icmp" => Some(Family::V4),
            "icmpv6" => Some(Family::V6),
            _ => None,
        };
        if only.is_some_and(|only| only != self.family) {
            self.write()?;
            self.rule.cases.clear();
        }
        Ok(Goal::Reject(with.unwrap_or(PLAIN_ANSWER).to_owned()))
    }

    /// The verdict of the rule.
    fn ends(&mut self, goal: Goal) {
        self.rule.goal = Some(goal);
        self.rule.log = self.log.take().map(Into::into);
        self.is_over = true;
    }

    /// Joins what is asked. What was to be written is written of the packets that came to it.
    fn ask(&mut self, asks: Asks) -> Result<(), String> {
        self.write()?;
        self.late |= self.rate.is_some();
        let is_known = self.rule.unread.is_none();
        let asked = self.rule.asks(asks);
        if !is_known {
            self.rule.cases.clear();
        }
        asked
    }

    /// Ends a line ahead of what is asked of its packets next, as a rule of its own.
    fn write(&mut self) -> Result<(), String> {
        let Some(prefix) = self.log.take() else {
            return Ok(());
        };
        if self.rate.is_some() {
            return Err(
                "its line and what stands behind are about other packets, and share a rate"
                    .to_owned(),
            );
        }
        let mut line = self.rule.clone();
        line.goal = Some(Goal::Log(prefix));
        line.finish(self.list);
        self.done.push(line);
        Ok(())
    }

    fn log(&mut self, of: &Value) -> Result<(), String> {
        self.write()?;
        let prefix = of.get("prefix").and_then(Value::as_str).unwrap_or_default();
        self.log = Some(prefix.to_owned());
        let says_more = of
            .as_object()
            .is_some_and(|of| of.keys().any(|key| key != "prefix"));
        if says_more {
            let said = "how a line is written is not chosen here; `sockc monitor` prints it";
            self.rule.notes.push(said.to_owned());
        }
        Ok(())
    }

    fn limit(&mut self, of: &Value) -> Result<(), String> {
        self.write()?;
        let (of, bucket) = match of.as_str() {
            Some(name) => {
                let key = (self.table.clone(), name.to_owned());
                let named = self.listed.limits.get(&key);
                let named =
                    named.ok_or_else(|| format!("the limit {name} does not stand there"))?;
                let (family, table) = self.table;
                (named, Some(format!("limit {family} {table} {name}")))
            }
            None => (of, None),
        };
        self.rated(limits::rate(of, "", bucket)?)
    }

    fn rated(&mut self, rate: Rate) -> Result<(), String> {
        match self.rate.replace(rate) {
            Some(_) => Err("it has two rates, and a rule has one".to_owned()),
            None => Ok(()),
        }
    }

    /// A rate for each sender or receiver.
    fn meter(&mut self, of: &Value) -> Result<(), String> {
        let key = of.get("key").unwrap_or(&Value::Null);
        let statement = of.get("stmt").unwrap_or(&Value::Null);
        self.rate_per(key, statement)
    }

    /// A set that the rule puts something into: with a rate that is a meter, else nothing is put into it here.
    fn set(&mut self, of: &Value) -> Result<(), String> {
        let elem = of.get("elem").unwrap_or(&Value::Null);
        let key = elem
            .get("elem")
            .and_then(|elem| elem.get("val"))
            .unwrap_or(elem);
        let statements = of.get("stmt").and_then(Value::as_array);
        match statements.map(Vec::as_slice) {
            Some([statement]) => self.rate_per(key, statement),
            Some([_, ..]) => {
                Err("what it asks of each element of a set is not known here".to_owned())
            }
            _ => {
                let name = of.get("set").and_then(Value::as_str).unwrap_or_default();
                let name = name.trim_start_matches('@');
                self.rule.changed.push(format!(
                    "no rule puts anything into the set {name} here; a program does, by `sockc set add`"
                ));
                self.narrow = Some(format!(
                    "what stands behind `add @{name}` is about those packets alone that the set has room for"
                ));
                Ok(())
            }
        }
    }

    fn rate_per(&mut self, key: &Value, statement: &Value) -> Result<(), String> {
        let of = statement.get("limit").filter(|of| of.is_object());
        let of = of.ok_or_else(|| "what it asks for each of many is no rate".to_owned())?;
        let (family, per) = match fields::field(key)? {
            Field::From(family) => (family, "source"),
            Field::To(family) => (family, "destination"),
            _ => return Err("a rate is for all, per source, or per destination".to_owned()),
        };
        self.write()?;
        if family != self.family {
            self.rule.cases.clear();
            return Ok(());
        }
        self.is_of_family = true;
        let per = match family {
            Family::V4 => format!(" per {per}/32"),
            Family::V6 => format!(" per {per}/32/128"),
        };
        self.rule.changed.push("a bucket that is not used for long fills at its rate here; there it is forgotten with its element and full again, and what its set has no room for does not match".to_owned());
        self.rated(limits::rate(of, &per, None)?)
    }

    fn matches(&mut self, of: &Value) -> Result<(), String> {
        // Also where no packet of this family is left: those that came here have their line.
        self.write()?;
        let part = |name: &str| of.get(name).unwrap_or(&Value::Null);
        let op = part("op").as_str().unwrap_or("==");
        let (left, right) = (part("left"), part("right"));
        let done = match left.get("concat").and_then(Value::as_array) {
            Some(keys) => self.joined(keys, op, right),
            None => fields::field(left).and_then(|field| self.compares(field, op, right)),
        };
        if done.is_err() {
            // An example might be none.
            self.rule.cases.clear();
        }
        done
    }

    /// The elements of a set, or the one value.
    fn elements<'v>(&'v self, right: &'v Value) -> Result<Vec<&'v Value>, String> {
        if let Some(all) = right.get("set") {
            return Ok(all
                .as_array()
                .map_or_else(|| vec![all], |all| all.iter().collect()));
        }
        match right.as_str().filter(|name| name.starts_with('@')) {
            Some(name) => self.listed.elements(self.table, name),
            None => Ok(vec![right]),
        }
    }

    /// Several fields together: each element of the set is a case of its own.
    fn joined(&mut self, keys: &[Value], op: &str, right: &Value) -> Result<(), String> {
        if !matches!(op, "==" | "in") {
            return Err(
                "all but some combinations are meant; a rule names those that it is about"
                    .to_owned(),
            );
        }
        let elements: Vec<Value> = self.elements(right)?.into_iter().cloned().collect();
        self.write()?;
        self.late |= self.rate.is_some();
        let before = self.rule.clone();
        let mut cases = Vec::new();
        for element in &elements {
            self.rule.cases.clone_from(&before.cases);
            self.element(keys, element)?;
            cases.append(&mut self.rule.cases);
        }
        self.rule.cases = cases;
        self.rule.changed.sort();
        self.rule.changed.dedup();
        self.rule.notes.dedup();
        Ok(())
    }

    /// The fields of one element.
    fn element(&mut self, keys: &[Value], element: &Value) -> Result<(), String> {
        let element = plain(element)?;
        let parts = match element.get("concat").and_then(Value::as_array) {
            Some(parts) => parts.as_slice(),
            None => std::slice::from_ref(element),
        };
        if parts.len() != keys.len() {
            return Err("an element has not as many parts as it is asked for".to_owned());
        }
        for (key, part) in keys.iter().zip(parts) {
            self.compares(fields::field(key)?, "==", part)?;
            if self.rule.cases.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// A verdict map: each element is a rule, and no packet has two of them.
    fn map(&mut self, of: &Value) -> Result<(), String> {
        let key = of.get("key").unwrap_or(&Value::Null);
        let keys = match key.get("concat").and_then(Value::as_array) {
            Some(keys) => keys.as_slice(),
            None => std::slice::from_ref(key),
        };
        let data = of.get("data").unwrap_or(&Value::Null);
        let elements: Vec<Value> = self.elements(data)?.into_iter().cloned().collect();
        self.write()?;
        if self.rate.is_some() {
            return Err(
                "a rate belongs to one rule, and this one decides about several".to_owned(),
            );
        }
        let before = self.rule.clone();
        let mut onward = before.clone();
        onward.cases.clear();
        // The end of a handshake is ESTABLISHED and NEW here; where both do the same, it does not matter which of them it is.
        let is_apart = !elements.iter().all(accepts);
        for element in &elements {
            self.rule = before.clone();
            self.rule.is_apart = is_apart;
            let [key, verdict] = element.as_array().map(Vec::as_slice).unwrap_or_default() else {
                return Err("an element of its map has no verdict".to_owned());
            };
            let done = self.element(keys, key);
            let goal =
                parts(verdict).ok_or_else(|| "an element of its map has no verdict".to_owned());
            let goal = goal.and_then(|(word, of)| self.goal(word, of));
            let is_never = self.rule.cases.is_empty();
            if let Err(why) = done {
                self.rule.cases.clear();
                self.rule.refuse(why);
            } else if is_never {
                continue;
            }
            match goal {
                // They go on in the rule.
                Ok(Goal::Count) if self.rule.unread.is_none() => {
                    onward.cases.append(&mut self.rule.cases);
                    onward.changed.append(&mut self.rule.changed);
                    onward.notes.append(&mut self.rule.notes);
                    continue;
                }
                Ok(goal) => self.rule.goal = Some(goal),
                Err(why) => {
                    self.rule.refuse(why);
                    self.rule.goal = None;
                }
            }
            let mut rule = self.rule.clone();
            rule.finish(self.list);
            self.done.push(rule);
        }
        // What is in no element goes on behind the rule, and what an element lets on behind the map.
        for said in [&mut onward.changed, &mut onward.notes] {
            said.sort();
            said.dedup();
        }
        self.is_over = onward.cases.is_empty();
        self.rule = onward;
        Ok(())
    }

    /// The rules, once all was read.
    fn finish(mut self) -> Vec<Rule> {
        if self.rule.unread.is_some() {
            self.done.clear();
        } else if self.is_over && self.rule.cases.is_empty() {
            return self.done;
        }
        if let Some(prefix) = self.log.take() {
            self.rule.goal = Some(Goal::Log(prefix));
        }
        if let Some(rate) = self.rate.take() {
            if !self.is_of_family {
                self.rule
                    .changed
                    .push("IPv4 and IPv6 have a rate each here, and share one there".to_owned());
            }
            self.rule.limit(&rate, self.late);
        }
        self.rule.finish(self.list);
        self.done.push(self.rule);
        self.done
    }
}
