//! A rule of nft as what it is about and what it does, for one family and one list.
//!
//! Takes the statements of a rule; gives rules that are asked one after another: a verdict map is a rule for each of its elements, and a
//! line ahead of another match is a rule of its own. Statements are read in order, as each is about what those ahead of it let on.
//! Not here: where the rule is reached from.

use serde_json::Value;
use sockc_compiler::policy::Family;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::ranges::RangeSet;

use super::fields::{self, Field};
use super::limits;
use super::listed::{self, Listed, Table, chain_of};
use super::statements::{LETS_ON, is_steady, undone, without};
use super::values::{self, pattern, plain};
use crate::verbs::import::goal::{Goal, PLAIN_ANSWER};
use crate::verbs::import::hardware;
use crate::verbs::import::interfaces;
use crate::verbs::import::kinds::{self, Kinds};
use crate::verbs::import::list::List;
use crate::verbs::import::rule::{Asks, Rule};
use crate::verbs::import::states::States;
use crate::verbs::import::what::{Asked, Named, Rate, What, every};

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
        self.rule.log = self.log.take();
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
        for element in &elements {
            self.rule = before.clone();
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

    fn compares(&mut self, field: Field, op: &str, right: &Value) -> Result<(), String> {
        if field.family().is_some() {
            self.is_of_family = true;
        }
        if field.family().is_some_and(|family| family != self.family) {
            self.rule.cases.clear();
            return Ok(());
        }
        match field {
            Field::State => self.states(op, right),
            Field::Family => self.of_family(op, right),
            Field::Interface(end) => self.interface(end, op, right),
            Field::Flags(mask) => self.flags(mask, op, right),
            Field::Mark(mask) => self.marks(mask, op, right),
            Field::IcmpCode(_) => self.codes(op, right),
            Field::KindOfReceiver => self.kinds(op, right),
            Field::HasFragmentHeader => self.fragments(op, right),
            Field::Hardware(word) => self.hardware(word, op, right),
            _ => {
                if field.is_of_any_carrier() && !self.rule.cases.iter().all(has_known_ports) {
                    self.rule.changed.push("`th` is the ports of TCP, UDP and SCTP here; there it is also what stands in their place in other protocols".to_owned());
                }
                let values = self.values(field, op, right)?;
                let mut asks = field.asks(&values, self.family, self.list)?;
                if let Some(set) = self.named(op, right) {
                    call(&mut asks, field, &set);
                }
                self.ask(asks)
            }
        }
    }

    /// The set of the policy that stands for a set of a table.
    fn named(&self, op: &str, right: &Value) -> Option<Named> {
        let name = right.as_str()?.strip_prefix('@')?;
        Some(Named {
            name: self.listed.name_of(self.table, name),
            negated: op == "!=",
        })
    }

    /// The numbers that a comparison means.
    fn values(&self, field: Field, op: &str, right: &Value) -> Result<RangeSet<u128>, String> {
        let (kind, last) = (field.kind(), field.last());
        let every = RangeSet::from_ranges([(0, last)]);
        let elements = self.elements(right)?;
        let ranges = elements
            .into_iter()
            .map(|one| values::range(kind, plain(one)?));
        let ranges = ranges.collect::<Result<Vec<_>, String>>()?;
        let first = ranges.first().map_or((0, 0), |range| *range);
        let low_to = |high: Option<u128>| {
            high.map_or_else(RangeSet::default, |high| {
                RangeSet::from_ranges([(0, high.min(last))])
            })
        };
        let high_from = |low: u128| match low <= last {
            true => RangeSet::from_ranges([(low, last)]),
            false => RangeSet::default(),
        };
        let given = RangeSet::from_ranges(ranges);
        Ok(match op {
            "==" => given,
            "!=" => every.minus(&given),
            "<" => low_to(first.0.checked_sub(1)),
            "<=" => low_to(Some(first.1)),
            ">" => high_from(first.1.saturating_add(1)),
            ">=" => high_from(first.0),
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        })
    }

    fn states(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let is_list = right.is_array();
        let negated = match op {
            "in" => false,
            "==" if !is_list => false,
            "!=" if !is_list => true,
            "!" => true,
            _ => return Err("states are compared in a way that is not known here".to_owned()),
        };
        let elements = match right.as_array() {
            Some(all) => all.iter().collect(),
            None => self.elements(right)?,
        };
        let names: Option<Vec<String>> = elements
            .into_iter()
            .map(|name| name.as_str().map(str::to_uppercase))
            .collect();
        let names = names.ok_or_else(|| "a state is no word".to_owned())?;
        let states = States::named(names.iter().map(String::as_str), negated)?;
        self.write()?;
        self.late |= self.rate.is_some();
        self.rule.asks_states(states, self.family, self.list)
    }

    fn of_family(&mut self, op: &str, right: &Value) -> Result<(), String> {
        self.is_of_family = true;
        let elements = self.elements(right)?;
        let has = elements
            .into_iter()
            .any(|one| fields::family(one) == Some(self.family));
        let holds = match op {
            "==" => has,
            "!=" => !has,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        if !holds {
            self.rule.cases.clear();
        }
        Ok(())
    }

    fn interface(&mut self, end: interfaces::End, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        let elements = self.elements(right)?.into_iter();
        let patterns = elements.map(|one| pattern(plain(one)?));
        let mut patterns = patterns.collect::<Result<Vec<_>, String>>()?;
        // One that is in another one would be a case of its own.
        let all = patterns.clone();
        patterns.retain(|one| !all.iter().any(|other| other != one && other.has(one)));
        if patterns.is_empty() && !negated {
            self.rule.cases.clear();
            return Ok(());
        }
        let asks = interfaces::asks(end, &patterns, negated, self.family, self.list);
        self.ask(asks)
    }

    fn flags(&mut self, mask: u8, op: &str, right: &Value) -> Result<(), String> {
        let family = self.family;
        let sets: Vec<u8> = match right.is_array() {
            true => vec![fields::flags(right)?],
            false => {
                let elements = self.elements(right)?.into_iter();
                elements.map(fields::flags).collect::<Result<_, String>>()?
            }
        };
        let asks = match (op, sets.as_slice()) {
            ("==", sets) => fields::of_flags(mask, sets, false, family),
            ("!=", sets) => fields::of_flags(mask, sets, true, family),
            ("in", [bits]) => fields::any_flag(bits & mask, family),
            ("!", [bits]) => fields::of_flags(bits & mask, &[0], false, family),
            _ => return Err("flags are compared in a way that is not known here".to_owned()),
        };
        self.ask(asks)
    }

    fn hardware(&mut self, word: &str, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        let elements = self.elements(right)?.into_iter();
        let addresses = elements.map(|one| {
            let address = plain(one)?.as_str();
            address.ok_or_else(|| "only a part of a hardware address is meant".to_owned())
        });
        let addresses = addresses.collect::<Result<Vec<_>, String>>()?;
        let asks = hardware::asks(word, &addresses, negated, self.family, self.list)?;
        self.ask(asks)
    }

    fn marks(&mut self, mask: u32, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err("a mark is compared in a way that is not known here".to_owned()),
        };
        let elements = self.elements(right)?.into_iter();
        let marks = elements.map(|one| {
            let mark = plain(one)?
                .as_u64()
                .and_then(|mark| u32::try_from(mark).ok());
            mark.filter(|mark| mark & !mask == 0)
                .ok_or_else(|| "a mark is no number, or has bits that its mask has not".to_owned())
        });
        let marks = marks.collect::<Result<Vec<_>, String>>()?;
        let asks = fields::of_marks(mask, &marks, negated, self.family, self.list);
        self.ask(asks)
    }

    /// Codes of ICMP, of types that were asked for ahead of them.
    fn codes(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let values = self.values(Field::IcmpCode(self.family), op, right)?;
        let [(low, high)] = *values.ranges() else {
            return Err("several codes of ICMP are meant; a rule names one".to_owned());
        };
        let code = u8::try_from(low).ok().filter(|_| low == high);
        let code =
            code.ok_or_else(|| "several codes of ICMP are meant; a rule names one".to_owned())?;
        let typed = |case: &What| case.icmp.is_some();
        if !self.rule.cases.iter().all(typed) {
            return Err("a code of ICMP is meant without a type".to_owned());
        }
        self.write()?;
        self.late |= self.rate.is_some();
        self.rule.cases.retain_mut(|case| match &mut case.icmp {
            Some((_, had)) => *had.get_or_insert(code) == code,
            None => false,
        });
        Ok(())
    }

    fn kinds(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        let mut all = RangeSet::default();
        let mut is_exact = true;
        for one in self.elements(right)? {
            let name = one.as_str().unwrap_or_default().to_uppercase();
            let kinds = Kinds::named(&name, self.list == List::In, self.family);
            // IPv6 has no addresses for broadcast.
            let none = name == "BROADCAST" && self.family == Family::V6;
            match kinds {
                Some(kinds) => {
                    let ranges = [kinds.addresses.ranges(), all.ranges()].concat();
                    all = RangeSet::from_ranges(ranges);
                    is_exact &= kinds.is_exact;
                }
                None if none => {}
                None => {
                    return Err(format!(
                        "which addresses are {} only the machine knows; name them",
                        name.to_lowercase()
                    ));
                }
            }
        }
        let mut what = What::any(self.family);
        what.to.addresses = match negated {
            true => every(self.family).minus(&all),
            false => all,
        };
        let cases = if what.to.addresses.is_empty() {
            Vec::new()
        } else {
            vec![what]
        };
        self.ask(Asks {
            cases,
            changed: (!is_exact).then(|| kinds::SUBNETS.to_owned()),
            note: None,
        })
    }

    /// The header of IPv6 that parts of a datagram have.
    fn fragments(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let has = match (op, right.as_bool()) {
            ("==", Some(has)) => has,
            ("!=", Some(has)) => !has,
            _ => return Err("headers between are stepped over, and not asked".to_owned()),
        };
        let (text, with) = match has {
            true => ("fragment", Some("fragment")),
            false => ("no fragment", None),
        };
        let what = What::asked(
            self.family,
            Asked {
                text: text.to_owned(),
                with: with.map(ToOwned::to_owned),
            },
        );
        self.ask(Asks {
            changed: Some("a datagram in one part may have the header, too, and is whole here; and where connections are tracked, no chain sees parts".to_owned()),
            ..what.into()
        })
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

/// Whether it is about protocols alone whose ports are known.
fn has_known_ports(case: &What) -> bool {
    let ports = IpProtocol::WITH_PORTS.map(|one| u128::from(one.0));
    let numbers = case.protocols.ranges().iter();
    let mut numbers = numbers.flat_map(|&(low, high)| low..=high);
    numbers.all(|number| ports.contains(&u128::from(number)))
}

/// Calls addresses by the set that has them. One that holds nothing, or all, has no need of a name.
fn call(asks: &mut Asks, field: Field, set: &Named) {
    for case in &mut asks.cases {
        let side = match field {
            Field::From(_) => &mut case.from,
            Field::To(_) => &mut case.to,
            _ => continue,
        };
        if side.addresses != every(case.family) && !side.addresses.is_empty() {
            side.set = Some(set.clone());
        }
    }
}
