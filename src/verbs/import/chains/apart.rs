//! Rules about all interfaces, or all protocols, but some.
//!
//! A rule of a policy names the interfaces and the protocols that it is about, and has no word for all but some. So what has one of the others
//! meets all that stands behind the rule ahead of it: these rules stand once more, for those packets alone, down to the policy of the chain
//! that the kernel asked. Behind them the rule need not say what it is not about. Takes a rule that was met; gives what is left for it to be
//! about. Not here: rules that count or write a line alone, as they take no packet anywhere.

use sockc_compiler::ranges::RangeSet;

use super::*;

/// So many rules of a list stand once more at most. A rule that would need more is left out.
const MOST_AGAIN: usize = 1_000;
/// So many stand once more at most so that a rule need not name all protocols but some. One that would need more names them.
const MOST_FOR_PROTOCOLS: usize = 8;
/// So many protocols are named one by one.
const MOST_NAMED: u32 = 16;

/// What was made so far, to go back to.
struct Made {
    steps: usize,
    report: usize,
    told: BTreeSet<[String; 3]>,
    buckets: BTreeMap<String, usize>,
    rated: BTreeMap<String, Line>,
    calls: usize,
    asked: usize,
    gone: usize,
    base: usize,
    accepted: usize,
    origin: Option<Rc<Origin>>,
}

impl Flattening<'_> {
    /// What a rule is about once those packets have met what stands behind it that it is about but for their interface.
    #[inline(never)]
    pub(super) fn of_some(
        &mut self,
        (met, goal): (What, &Goal),
        within: &What,
        behind: &[Rule],
        place: &Place<'_>,
    ) -> What {
        let others: Vec<What> = others(&met, within);
        if others.is_empty() || !self.takes_somewhere(goal) || self.again >= MOST_AGAIN {
            return met;
        }
        let left = met.by_any();
        let rules = match self.ahead(&others, MOST_AGAIN - self.again, behind, place) {
            Ok(rules) => rules,
            Err(rules) => {
                // No other rule of the list has to try what takes so long.
                self.again = MOST_AGAIN;
                self.too_many = Some((place.line.place(), rules));
                return met;
            }
        };
        self.keep_others(others);
        // Where nothing is left behind the rule, the list is no longer than before.
        if left != *within || !self.ends_list(goal) {
            self.again += rules;
        }
        left
    }

    /// What a rule is about, without the protocols that it would name one by one, once the few others have met what stands behind it.
    pub(super) fn of_most(
        &mut self,
        (met, goal): (What, &Goal),
        within: &What,
        behind: &[Rule],
        place: &Place<'_>,
    ) -> What {
        let others = within.protocols.minus(&met.protocols);
        let has_words = count(&met.protocols) <= MOST_NAMED || count(&others) > MOST_NAMED;
        let is_plain = within.rate.is_none() && met.unsaid().is_none();
        if others.is_empty() || has_words || !self.takes_somewhere(goal) || !is_plain {
            return met;
        }
        let left = What {
            protocols: within.protocols.clone(),
            ..met.clone()
        };
        let other = What {
            protocols: others,
            rate: None,
            ..met.clone()
        };
        // Of some of what is asked no packet of these protocols is.
        let Ok(other) = other.and(&other) else {
            return met;
        };
        let others: Vec<What> = other.into_iter().collect();
        let made = self.ahead(&others, MOST_FOR_PROTOCOLS, behind, place);
        if made.is_err() {
            return met;
        }
        self.keep_others(others);
        left
    }

    /// Has packets meet what stands behind a rule ahead of it. How many rules that is; none are made where there would be more than so many,
    /// and it is said how many, if that is known.
    fn ahead(
        &mut self,
        others: &[What],
        most: usize,
        behind: &[Rule],
        place: &Place<'_>,
    ) -> Result<usize, Option<usize>> {
        let made = self.made();
        let is_whole = others
            .iter()
            .all(|other| self.passed_over(other, behind, place).is_ok());
        let steps = self.steps[made.steps..].iter();
        let rules = steps.filter_map(Step::rule).count();
        let fits = is_whole && rules <= most;
        if !fits {
            self.go_back(made);
        }
        match fits {
            true => Ok(rules),
            false => Err(is_whole.then_some(rules)),
        }
    }

    /// Why no rule can say what this one is about. Where that is for the number of rules that would stand once more, this is the reason.
    pub(super) fn unsaid(&self, met: &What, goal: &Goal, line: &Line) -> Option<String> {
        let why = met.unsaid()?;
        let is_spent = self.again >= MOST_AGAIN && self.takes_somewhere(goal);
        let Some((_, pattern)) = met.unsaid_interfaces().next().filter(|_| is_spent) else {
            return Some(why);
        };
        let (begin, name) = (why.split(';').next().unwrap_or_default(), pattern.name());
        let known = self.too_many.as_ref();
        let needed = match known.filter(|(place, _)| *place == line.place()) {
            Some((_, Some(rules))) => format!("{rules} rules"),
            _ => format!("more than {MOST_AGAIN} rules of the list"),
        };
        Some(format!(
            "{begin}, so what stands behind it would stand once more for {name}: these would be {needed}, and of a list no more than {MOST_AGAIN} do; fewer are where the rule stands further down, or names addresses or ports"
        ))
    }

    /// Whether no packet that meets such a rule goes on.
    pub(super) fn ends_list(&self, goal: &Goal) -> bool {
        match goal {
            Goal::Drop | Goal::Reject(_) => true,
            Goal::Accept => !self.is_asked_again(),
            _ => false,
        }
    }

    /// Whether a rule decides where packets go. One that goes on in an empty chain leaves its own.
    pub(super) fn takes_somewhere(&self, goal: &Goal) -> bool {
        match goal {
            Goal::Accept | Goal::Drop | Goal::Reject(_) | Goal::Return | Goal::Goto(_) => true,
            Goal::Jump(chain) => self.source.rules(chain) > 0,
            Goal::Log(_) | Goal::Count | Goal::Aside | Goal::Fill => false,
        }
    }

    /// All that a rule is ahead of, for packets that it is not about.
    fn passed_over(
        &mut self,
        within: &What,
        behind: &[Rule],
        place: &Place<'_>,
    ) -> Result<(), String> {
        let is_over = match self.rule(behind, within, place)? {
            Went::Over => true,
            Went::Left => false,
            Went::On => self.chain((place.chain, place.next), within, place.then)?,
        };
        match is_over {
            true => Ok(()),
            false => self.rest(place.then, within, place.line),
        }
    }

    #[inline(never)]
    fn made(&self) -> Made {
        Made {
            steps: self.steps.len(),
            report: self.report.len(),
            told: self.told.clone(),
            buckets: self.buckets.clone(),
            rated: self.rated.clone(),
            calls: self.calls,
            asked: self.asked,
            gone: self.gone.len(),
            base: self.base,
            accepted: self.accepted,
            origin: self.origin.clone(),
        }
    }

    #[inline(never)]
    fn go_back(&mut self, made: Made) {
        self.steps.truncate(made.steps);
        self.report.truncate(made.report);
        self.told = made.told;
        self.buckets = made.buckets;
        self.rated = made.rated;
        self.calls = made.calls;
        self.asked = made.asked;
        self.gone.truncate(made.gone);
        self.base = made.base;
        self.accepted = made.accepted;
        self.origin = made.origin;
    }
}

/// How many numbers there are.
fn count(protocols: &RangeSet<u8>) -> u32 {
    let ranges = protocols.ranges().iter();
    ranges.map(|&(low, high)| u32::from(high - low) + 1).sum()
}

/// The packets that would be met by another interface, for each that is not meant. A rate of the rule itself takes none of them.
fn others(met: &What, within: &What) -> Vec<What> {
    let any = What {
        rate: within.rate.clone(),
        ..met.by_any()
    };
    let by = |(end, pattern)| any.and(&What::by(met.family, end, pattern)).ok().flatten();
    met.unsaid_interfaces().filter_map(by).collect()
}
