//! Chains as one list of rules: what a chain does stands where it is called, with the condition of the caller.
//!
//! Takes the chains of one family; gives for the chains that the kernel asks at one place the rules of one list in order, and says what
//! could not be carried over. A packet that RETURN takes out of the middle of a chain meets the rest of the callers: these rules stand once
//! more, for those packets alone, down to the policy of the chain that the kernel asked. Where the kernel asks several, what one of them
//! accepts meets the next one in the same way. So no negation is needed, and nothing is approximated. Not here: how rules are written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sockc_compiler::policy::Family;

mod apart;
mod gone;
mod logs;
mod steps;

pub(super) use steps::{End, Flat, Log, Step};

use gone::Gone;
use logs::most;

use super::alike;
use super::goal::Goal;
use super::line::{Line, Origin};
use super::list::List;
use super::report::{Effect, Entry, Kind, effect};
use super::rule::{Rule, Written};
use super::sample::packet;
use super::together;
use super::what::{Pattern, Rate, What, Zone};

/// More rules than these are not made of one chain.
pub(super) const MOST_RULES: usize = 50_000;
/// How many calls of chains may stand within each other. The kernel allows no more jumps than chains, and people use few.
/// Each takes about 6 KiB of the stack, as what only looks at a rule has a frame of its own (`inline(never)`): all of them fit into
/// the 2 MiB that a thread has.
const MOST_CALLS: usize = 200;

/// A chain as it stands there.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Whether what comes to its end is dropped. Chains that users made have no policy.
    pub(super) drops: bool,
    /// Its rules.
    pub(super) rules: Vec<Line>,
}

/// What a tool has, as it is read for one family and one list.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The file.
    pub(super) file: &'a str,
    /// The chains, by name.
    pub(super) chains: &'a BTreeMap<String, Chain>,
    /// Those that the kernel asks, in its order.
    pub(super) bases: &'a [String],
    /// Reads the rule of a chain with this number: one or several, which are asked one after another.
    pub(super) read: &'a dyn Fn(&[Line], usize) -> Vec<Rule>,
}

impl Source<'_> {
    fn rules(&self, chain: &str) -> usize {
        self.chains.get(chain).map_or(0, |chain| chain.rules.len())
    }

    fn drops(&self, base: usize) -> bool {
        let chain = self.bases.get(base).and_then(|name| self.chains.get(name));
        chain.is_some_and(|chain| chain.drops)
    }
}

/// Where evaluation goes on at the end of a chain.
struct Then<'a> {
    chain: &'a str,
    at: usize,
    then: Option<&'a Then<'a>>,
}

/// What is being made.
pub(super) struct Flattening<'a> {
    source: Source<'a>,
    list: List,
    pub(super) steps: Vec<Step>,
    pub(super) report: Vec<Entry>,
    /// Whether what comes to the end of the list is dropped.
    pub(super) drops: bool,
    /// Which of the chains that the kernel asks is asked now.
    base: usize,
    /// How many of them have accepted what is looked at now.
    accepted: usize,
    /// The rules that were read, by the place of their chain and their number.
    known: RefCell<BTreeMap<(*const Line, usize), Vec<Rule>>>,
    told: BTreeSet<[String; 3]>,
    buckets: BTreeMap<String, usize>,
    /// The rule that has the rate of a bucket.
    rated: BTreeMap<String, Line>,
    calls: usize,
    asked: usize,
    /// How many rules stand once more, for interfaces that another rule is not about.
    again: usize,
    /// The first rule ahead of which too many would stand once more: its place, and how many, if that is known.
    too_many: Option<(String, Option<usize>)>,
    /// What no rule behind these need be written for.
    gone: Vec<Gone>,
    /// Where the steps of a call begin that may become one rule only: no rule ahead of it is joined with one behind.
    floor: Option<usize>,
    /// What was written in other words that is being carried over, with the chains that it calls.
    origin: Option<Rc<Origin>>,
}

impl<'a> Flattening<'a> {
    /// The rules of the chains that the kernel asks; or why they are too many.
    pub(super) fn of(source: Source<'a>, family: Family, list: List) -> Result<Self, String> {
        let own: usize = source.bases.iter().map(|name| source.rules(name)).sum();
        if own > MOST_RULES {
            return Err(format!(
                "it has {own} rules, and of one chain no more than {MOST_RULES} are carried over; addresses that are all treated alike are better one rule with a set of them"
            ));
        }
        let mut flattening = Self {
            source,
            list,
            steps: Vec::new(),
            report: Vec::new(),
            drops: false,
            base: 0,
            accepted: 0,
            known: RefCell::default(),
            told: BTreeSet::new(),
            buckets: BTreeMap::new(),
            rated: BTreeMap::new(),
            calls: 0,
            asked: 0,
            again: 0,
            too_many: None,
            gone: Vec::new(),
            floor: None,
            origin: None,
        };
        flattening.all(&What::any(family))?;
        Ok(flattening)
    }

    /// The chains that the kernel asks, for all packets.
    fn all(&mut self, every: &What) -> Result<(), String> {
        let bases = self.source.bases;
        for (number, name) in bases.iter().enumerate() {
            self.base = number;
            let is_over = self.chain((name, 0), every, None)?;
            self.drops = self.source.drops(number);
            if is_over || self.drops {
                break;
            }
        }
        Ok(())
    }

    /// Whether what the chain that is asked now accepts meets another one.
    fn is_asked_again(&self) -> bool {
        self.base + 1 < self.source.bases.len()
    }

    /// What one of the chains that the kernel asks accepts, in the next of them.
    fn next(&mut self, within: &What, line: &Line) -> Result<(), String> {
        let bases = self.source.bases;
        let Some(name) = bases.get(self.base + 1) else {
            return Ok(());
        };
        self.base += 1;
        self.accepted += 1;
        let known = self.gone.len();
        let is_over = self.chain((name, 0), within, None)?;
        if !is_over {
            self.policy(within, line)?;
        }
        // All that was taken there is part of what this one accepted.
        self.gone.truncate(known);
        self.accepted -= 1;
        self.base -= 1;
        Ok(())
    }

    /// The rules of a chain from one on, for packets that are `within`. Whether none of these goes on behind the chain.
    fn chain(
        &mut self,
        (name, at): (&str, usize),
        within: &What,
        then: Option<&Then<'_>>,
    ) -> Result<bool, String> {
        self.calls += 1;
        if self.calls > MOST_CALLS {
            return Err(format!(
                "chains, with what is behind their calls, stand within each other {MOST_CALLS} deep at {name}, or a chain calls itself"
            ));
        }
        let chains = self.source.chains;
        let rules = chains.get(name).map(|chain| chain.rules.as_slice());
        let rules = rules.unwrap_or_default();
        let mut went = Went::On;
        let mut takes_out = false;
        let mut number = at;
        while let Some(line) = rules.get(number) {
            let mut parts = self.read(rules, number);
            let (mut line, mut next) = (line, number + 1);
            // Of rules that take packets out, the first tells for all of them.
            let is_first = !std::mem::replace(&mut takes_out, together::takes_out(&parts));
            if takes_out && is_first && self.all_out(rules, number, within) {
                went = Went::Left;
                break;
            }
            let passes = self.list == List::Forward;
            let read = (number, parts.as_slice());
            let again = |rules: &[Line], number: usize| self.read(rules, number);
            if let Some((rule, count)) = alike::from(&again, rules, read, passes) {
                parts = vec![rule];
                next = number + count;
            } else if let Some((rule, decides)) = self.with_line(rules, number, &parts, within) {
                parts = vec![rule];
                (line, next) = (decides, number + 2);
            }
            let place = Place {
                chain: name,
                next,
                is_last: next == rules.len(),
                line,
                then,
            };
            let origin = line.origin.clone().filter(|one| one.written.is_some());
            let before = self.origin.clone();
            self.origin = origin.or_else(|| before.clone());
            went = self.rule(&parts, within, &place)?;
            self.origin = before;
            if went != Went::On {
                break;
            }
            number = next;
        }
        self.calls -= 1;
        Ok(went == Went::Over)
    }

    /// Whether rules from this one on take all packets out of the chain together.
    #[inline(never)]
    fn all_out(&mut self, rules: &[Line], at: usize, within: &What) -> bool {
        let read = |rules: &[Line], number: usize| self.read(rules, number);
        let out = together::all_out(&read, rules, at, within);
        for (line, rule, met) in out.iter().flatten() {
            for met in met {
                self.tell_changes(rule, met, line);
            }
        }
        out.is_some()
    }

    /// What a rule of a chain says. Rules that stand once more for some packets are read once.
    fn read(&self, rules: &[Line], number: usize) -> Vec<Rule> {
        let place = (rules.as_ptr(), number);
        let known = self.known.borrow().get(&place).cloned();
        known.unwrap_or_else(|| {
            let read = (self.source.read)(rules, number);
            self.known.borrow_mut().insert(place, read.clone());
            read
        })
    }

    /// One rule, for packets that are `within`.
    fn rule(&mut self, parts: &[Rule], within: &What, place: &Place<'_>) -> Result<Went, String> {
        self.asked += 1;
        if self.asked > MOST_RULES {
            return Err(format!(
                "its chains would be more than {MOST_RULES} rules of one list; chains that are called often, or left by RETURN, are repeated"
            ));
        }
        let mut left = parts;
        while let [part, behind @ ..] = left {
            let went = self.part((part.clone(), behind), within, place)?;
            if went != Went::On {
                return Ok(went);
            }
            left = behind;
        }
        Ok(Went::On)
    }

    /// One of the rules that a line is, ahead of others of them.
    fn part(
        &mut self,
        (mut rule, behind): (Rule, &[Rule]),
        within: &What,
        place: &Place<'_>,
    ) -> Result<Went, String> {
        let Some(goal) = self.understood(&rule, within, place.line) else {
            return Ok(Went::On);
        };
        for rate in rule.cases.iter_mut().filter_map(|case| case.rate.as_mut()) {
            let bucket = rate.bucket.get_or_insert_with(|| place.line.place());
            self.rated.insert(bucket.clone(), place.line.clone());
        }
        // A line that is written beyond a rate has one of its own, which says how many lines there are.
        let mut lines = None;
        if let (Goal::Log(_), Some(_), [case]) = (&goal, &within.rate, rule.cases.as_mut_slice()) {
            lines = case.rate.as_ref().and_then(most);
            case.rate = case.rate.take().filter(|_| lines.is_none());
        }
        if rule.cases.is_empty() {
            self.tell_notes(&rule, place.line);
        }
        let mut went = Went::On;
        for (number, case) in rule.cases.iter().enumerate() {
            match within.and(case) {
                Ok(Some(met)) if self.list == List::Forward && turns_back(&met) => {
                    self.leave_turning_back(place.line);
                }
                Ok(Some(met)) => {
                    self.tell_changes(&rule, &met, place.line);
                    let is_of_some = met.unsaid_interfaces().next().is_some();
                    let met = self.of_some((met, &goal), within, behind, place);
                    let later = rule.behind_case(number + 1).into_iter();
                    let behind: Vec<Rule> = later.chain(behind.iter().cloned()).collect();
                    let met = self.of_most((met, &goal), within, &behind, place);
                    let is_all = met == *within;
                    let act = Act {
                        goal: &goal,
                        log: rule.log.as_ref(),
                        most: lines.as_deref(),
                        comment: rule.comment.as_deref(),
                        is_all,
                        is_rated: case.rate.is_some(),
                    };
                    let step = self.act(&act, &met, within, place)?;
                    self.keep_gone((met, &goal), is_of_some, place);
                    if is_all || step == Went::Left {
                        went = step;
                    }
                }
                Ok(None) => {}
                Err(why) => self.leave_out(place.line, Some(&goal), &why, Some(case)),
            }
        }
        Ok(went)
    }

    /// The goal of a rule that is carried over; of another one it is said that it is not.
    #[inline(never)]
    fn understood(&mut self, rule: &Rule, within: &What, line: &Line) -> Option<Goal> {
        let why = match (&rule.unread, &rule.goal) {
            (None, Some(goal)) => return Some(goal.clone()),
            (Some(why), _) => why.as_str(),
            (None, None) => "it has no target that is known here",
        };
        let first = rule.cases.first();
        let met = first.and_then(|case| within.and(case).ok().flatten());
        self.leave_out(line, rule.goal.as_ref(), why, met.as_ref());
        None
    }

    fn act(
        &mut self,
        act: &Act<'_>,
        met: &What,
        within: &What,
        place: &Place<'_>,
    ) -> Result<Went, String> {
        let is_end = match act.goal {
            Goal::Accept => !self.is_asked_again(),
            goal => matches!(
                goal,
                Goal::Drop | Goal::Reject(_) | Goal::Log(_) | Goal::Count
            ),
        };
        if is_end {
            return Ok(self.ends(act, met, place));
        }
        if act.is_rated {
            return self.once(act, met, within, place);
        }
        if let Some(log) = act.log {
            let line = Act {
                goal: &Goal::Log(log.prefix.clone()),
                log: None,
                most: log.most.as_deref(),
                ..*act
            };
            self.ends(&line, met, place);
        }
        match act.goal {
            Goal::Accept => {
                self.next(met, place.line)?;
                Ok(Went::Over)
            }
            Goal::Jump(chain) => {
                let then = Then {
                    chain: place.chain,
                    at: place.next,
                    then: place.then,
                };
                let is_over = self.chain((chain, 0), met, Some(&then))?;
                Ok(if is_over { Went::Over } else { Went::On })
            }
            Goal::Goto(chain) => {
                if self.chain((chain, 0), met, place.then)? {
                    return Ok(Went::Over);
                }
                self.leave(act, met, place)
            }
            _ => self.leave(act, met, place),
        }
    }

    /// Takes packets out of a chain: those that are left meet what comes behind its call.
    fn leave(&mut self, act: &Act<'_>, met: &What, place: &Place<'_>) -> Result<Went, String> {
        match (act.is_all, place.is_last) {
            (true, _) => return Ok(Went::Left),
            (false, true) => {}
            (false, false) => self.rest(place.then, met, place.line)?,
        }
        Ok(Went::On)
    }

    /// All that callers do, down to the policy of the built-in chain, for packets that a rule takes out of a chain.
    fn rest(&mut self, then: Option<&Then<'_>>, within: &What, line: &Line) -> Result<(), String> {
        let Some(then) = then else {
            return self.policy(within, line);
        };
        let origin = self.origin.take();
        let is_over = self.chain((then.chain, then.at), within, then.then)?;
        self.origin = origin;
        match is_over {
            true => Ok(()),
            false => self.rest(then.then, within, line),
        }
    }

    /// The policy of the chain that the kernel asked, for packets that a rule sends to it.
    #[inline(never)]
    fn policy(&mut self, within: &What, line: &Line) -> Result<(), String> {
        let drops = self.source.drops(self.base);
        if !drops && self.is_asked_again() {
            return self.next(within, line);
        }
        if self.is_gone(within, None) {
            return Ok(());
        }
        if let Some(why) = within.unsaid() {
            self.leave_out(line, Some(&Goal::Return), &why, Some(within));
            return Ok(());
        }
        let base = self.source.bases.get(self.base);
        self.count_buckets(within, line);
        self.steps.push(Step::Rule(Box::new(Flat {
            what: within.clone(),
            end: if drops { End::Drop } else { End::Allow },
            log: None,
            chain: base.cloned().unwrap_or_default(),
            comment: None,
            origin: None,
        })));
        Ok(())
    }

    /// A call, or the end of one, that has a rate: a bucket belongs to one rule, so only one may come of it. Where a rate ends a chain,
    /// the rest of the chain is for what goes beyond the rate, and the other way round.
    #[inline(never)]
    fn once(
        &mut self,
        act: &Act<'_>,
        met: &What,
        within: &What,
        place: &Place<'_>,
    ) -> Result<Went, String> {
        let (begin, said, told) = (self.steps.len(), self.report.len(), self.told.clone());
        let floor = self.floor.replace(begin);
        let unrated = What {
            rate: None,
            ..met.clone()
        };
        let went = match (act.goal, met.rate.as_ref()) {
            (Goal::Return, Some(rate)) if unrated == *within => {
                let beyond = What {
                    rate: Some(Rate {
                        above: !rate.above,
                        ..rate.clone()
                    }),
                    ..unrated
                };
                self.chain((place.chain, place.next), &beyond, place.then)?;
                Went::Left
            }
            _ => {
                let plain = Act {
                    is_rated: false,
                    is_all: false,
                    ..*act
                };
                self.act(&plain, met, within, place)?;
                Went::On
            }
        };
        self.floor = floor;
        let rules = self.steps[begin..].iter();
        if rules.filter(|step| matches!(step, Step::Rule(_))).count() <= 1 {
            return Ok(went);
        }
        self.steps.truncate(begin);
        self.report.truncate(said);
        self.told = told;
        let why = "a rate belongs to one rule, and this one decides about several";
        self.leave_out(place.line, Some(act.goal), why, Some(met));
        Ok(Went::On)
    }

    /// A rule that does something itself.
    #[inline(never)]
    fn ends(&mut self, act: &Act<'_>, met: &What, place: &Place<'_>) -> Went {
        if self.is_gone(met, Some(place.chain)) {
            return Went::Over;
        }
        if let Some(why) = self.unsaid(met, act.goal, place.line) {
            self.leave_unsaid(act, &why, met, place);
            return Went::On;
        }
        let mut flat = Flat {
            what: met.clone(),
            end: End::Count,
            log: None,
            chain: place.chain.to_owned(),
            comment: act.comment.map(ToOwned::to_owned),
            origin: self.origin.clone(),
        };
        match act.goal {
            Goal::Accept => flat.end = End::Allow,
            Goal::Drop => flat.end = End::Drop,
            Goal::Reject(with) => {
                flat.end = self.rejected(with, met, place.line);
            }
            Goal::Log(prefix) => {
                flat.log = Some(self.log((prefix, act.most), &mut flat.what, place.line));
            }
            _ => {}
        }
        if let Some(log) = act.log {
            flat.log = Some(self.beside(log, place.line));
        }
        let went = match flat.end {
            End::Count => Went::On,
            _ => Went::Over,
        };
        self.push(flat, place.line);
        went
    }

    /// How packets are rejected here, and what is another answer.
    fn rejected(&mut self, with: &str, what: &What, line: &Line) -> End {
        let is_tcp = what.protocols.contains(6);
        let is_other = what.protocols.ranges() != [(6, 6)];
        let changed = match (self.list, is_tcp, is_other) {
            (List::Out, ..) => "what leaves cannot be answered, so it is dropped".to_owned(),
            (_, true, false) if with == "tcp-reset" => return End::Reject,
            (_, false, true) if with == "port-unreachable" => return End::Reject,
            (_, true, false) => format!("TCP is answered with a reset, and not with {with}"),
            (_, false, _) => format!("it is answered with port-unreachable, and not with {with}"),
            (_, true, true) if with == "port-unreachable" => {
                "TCP is answered with a reset, and not with port-unreachable".to_owned()
            }
            (_, true, true) => {
                format!(
                    "TCP is answered with a reset and all else with port-unreachable, not with {with}"
                )
            }
        };
        self.tell(Kind::Changed, line, changed, Some(what));
        match self.list {
            List::Out => End::Drop,
            List::In | List::Forward => End::Reject,
        }
    }

    /// Says where several rules come of one bucket.
    fn count_buckets(&mut self, what: &What, line: &Line) {
        let Some(bucket) = what.rate.as_ref().and_then(|rate| rate.bucket.clone()) else {
            return;
        };
        // What decides may stand in a chain that a rule with the rate calls.
        let line = self.rated.get(&bucket).unwrap_or(line).clone();
        let rules = self.buckets.entry(bucket).or_default();
        *rules += 1;
        if *rules > 1 {
            let said = "several rules here have a rate of their own where one bucket stands there";
            self.tell(Kind::Changed, &line, said.to_owned(), Some(what));
        }
    }

    /// A rule of the list. One that logs and one that decides about the very same packets are one.
    fn push(&mut self, flat: Flat, line: &Line) {
        let is_new = self.steps.len() <= self.floor.unwrap_or_default();
        if let Some(Step::Rule(before)) = self.steps.last_mut()
            && !is_new
            && before.end == End::Count
            && before.log.is_some()
            && flat.log.is_none()
            && flat.end != End::Count
            && before.what == flat.what
            && (flat.what.rate.is_none() || self.floor.is_some())
        {
            before.end = flat.end;
            before.comment = flat.comment.or(before.comment.take());
            return;
        }
        self.count_buckets(&flat.what, line);
        self.steps.push(Step::Rule(Box::new(flat)));
    }

    /// Says once of a line that it is not carried over.
    #[inline(never)]
    fn leave_out(&mut self, line: &Line, goal: Option<&Goal>, why: &str, what: Option<&What>) {
        let is_empty = |name: &String| self.source.rules(name) == 0;
        let goal = match goal {
            Some(Goal::Jump(chain)) if is_empty(chain) => Some(&Goal::Aside),
            goal => goal,
        };
        let said = format!("{why}; {}", effect(goal));
        if self.tell(Kind::LeftOut, line, said, what) {
            if let Some(entry) = self.report.last_mut() {
                entry.effect = Effect::of(goal);
            }
            self.steps
                .push(Step::LeftOut(line.place(), line.text.clone()));
        }
    }

    /// Says once that packets which go back where they came from meet no list of what passes through, so that no rule of it stands for them.
    #[inline(never)]
    fn leave_turning_back(&mut self, line: &Line) {
        let said = "what goes back out of the interface by which it came meets `in` and `out` here, and no rule of `forward`; what a bridge passes between its ports meets neither where the policy is not on the ports, so where this drops, that gets through";
        if self.tell(Kind::LeftOut, line, said.to_owned(), None) {
            self.steps
                .push(Step::LeftOut(line.place(), line.text.clone()));
        }
    }

    #[inline(never)]
    fn tell_changes(&mut self, rule: &Rule, met: &What, line: &Line) {
        for said in &rule.changed {
            self.tell(Kind::Changed, line, said.clone(), Some(met));
        }
        self.tell_notes(rule, line);
    }

    /// What is worth knowing of a rule, also of one about no packet.
    fn tell_notes(&mut self, rule: &Rule, line: &Line) {
        for said in &rule.notes {
            self.tell(Kind::Note, line, said.clone(), None);
        }
    }

    /// Says something of a line, unless it was said before.
    #[inline(never)]
    fn tell(&mut self, kind: Kind, line: &Line, said: String, what: Option<&What>) -> bool {
        let key = [line.place(), line.text.clone(), said.clone()];
        let is_new = self.told.insert(key);
        // Of what goes back where it came from no packet of this list is an example.
        let what = what.filter(|what| self.list != List::Forward || !turns_back(what));
        if is_new {
            self.report.push(Entry {
                kind,
                file: line.file().unwrap_or(self.source.file).to_owned(),
                line: line.place.is_none().then_some(line.number),
                place: line.place.clone(),
                order: Some(line.number),
                rule: Some(line.text.clone()),
                said,
                packet: what.and_then(|what| match kind {
                    // What is left out declares no live set.
                    Kind::LeftOut => packet(&what.without_live(), self.list),
                    Kind::Changed | Kind::Note => packet(what, self.list),
                }),
                effect: None,
            });
        }
        is_new
    }
}

/// Whether only packets are meant that leave by the interface by which they came in.
fn turns_back(what: &What) -> bool {
    let (on, leaves) = [(&what.on, &what.on_zone), (&what.leaves, &what.to_zone)]
        .map(|(one, zone)| only(one, zone))
        .into();
    matches!((on, leaves), (Some(Pattern::One(on)), Some(Pattern::One(leaves))) if on == leaves)
}

/// The interface that is meant, if that is one.
fn only<'a>(one: &'a Option<Pattern>, zone: &'a Option<Zone>) -> Option<&'a Pattern> {
    let members = zone.as_ref().map(|zone| zone.members.as_slice());
    match (one, members) {
        (Some(one), _) => Some(one),
        (None, Some([only])) => Some(only),
        _ => None,
    }
}

/// Where evaluation goes on behind a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// At the next rule of the chain, for some packets at least.
    On,
    /// Behind the call of the chain.
    Left,
    /// Nowhere.
    Over,
}

/// What a rule does, and how much of what comes to it.
#[derive(Clone, Copy)]
struct Act<'a> {
    goal: &'a Goal,
    /// The line that it writes beside.
    log: Option<&'a Written>,
    /// How many lines there are at most, where the rule says so apart from what it is about.
    most: Option<&'a str>,
    comment: Option<&'a str>,
    /// Whether all packets that come to it are meant.
    is_all: bool,
    /// Whether the rule has a rate itself.
    is_rated: bool,
}

/// Where a rule stands.
struct Place<'a> {
    chain: &'a str,
    /// The number of the rule behind it.
    next: usize,
    is_last: bool,
    line: &'a Line,
    then: Option<&'a Then<'a>>,
}
