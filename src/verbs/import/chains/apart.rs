//! Rules about all interfaces but some.
//!
//! A rule of a policy names the interfaces that it is about, and has no word for all but some. So what has one of the others meets all that
//! stands behind the rule ahead of it: these rules stand once more, for those packets alone, down to the policy of the chain that the kernel
//! asked. Behind them the rule need not say which interfaces it is not about. Takes a rule that was met; gives what is left for it to be
//! about. Not here: rules that count or write a line alone, which are left out, as they take no packet anywhere.

use super::*;

/// So many rules of a list stand once more at most. A rule that would need more is left out.
const MOST_AGAIN: usize = 1_000;

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
        let made = self.made();
        let is_whole = others
            .iter()
            .all(|other| self.passed_over(other, behind, place).is_ok());
        let steps = self.steps[made.steps..].iter();
        let again = self.again + steps.filter_map(Step::rule).count();
        if !is_whole || again > MOST_AGAIN {
            self.go_back(made);
            // No other rule of the list has to try what takes so long.
            self.again = MOST_AGAIN;
            return met;
        }
        let left = met.by_any();
        // Of all that came to the rule nothing is left behind it, so that the list is no longer than before.
        if left != *within {
            self.again = again;
        }
        left
    }

    /// Keeps in mind what a rule took that was about all interfaces but some, so that no rule behind it is written for the same.
    pub(super) fn keep_gone(&mut self, goal: &Goal, left: What) {
        if self.ends_list(goal) && left.rate.is_none() && left.unsaid().is_none() {
            self.gone.push(left);
        }
    }

    /// Whether such packets are none any more, as a rule that need not say its interfaces took them all.
    pub(super) fn is_gone(&self, what: &What) -> bool {
        let mut gone = self.gone.iter();
        gone.any(|gone| what.and(gone).is_ok_and(|met| met.as_ref() == Some(what)))
    }

    /// Whether no packet that meets such a rule goes on.
    fn ends_list(&self, goal: &Goal) -> bool {
        match goal {
            Goal::Drop | Goal::Reject(_) => true,
            Goal::Accept => !self.is_asked_again(),
            _ => false,
        }
    }

    /// Whether a rule decides where packets go. One that goes on in an empty chain leaves its own.
    fn takes_somewhere(&self, goal: &Goal) -> bool {
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
        self.origin = made.origin;
    }
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
