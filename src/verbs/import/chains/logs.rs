//! How many lines a rule writes.
//!
//! Takes what a rule is about and how its lines begin; gives the line. Not here: where the rule stands.

use super::*;

impl Flattening<'_> {
    /// What a line is written by: a rate of all packets is how many lines there are at most.
    pub(super) fn log(
        &mut self,
        (prefix, known): (&str, Option<&str>),
        what: &mut What,
        line: &Line,
    ) -> Log {
        let own = what.rate.as_ref().filter(|_| self.floor.is_none());
        let own = own.and_then(most);
        if own.is_some() {
            what.rate = None;
        }
        match known.map(ToOwned::to_owned).or(own) {
            Some(most) => Log {
                prefix: prefix.to_owned(),
                most,
            },
            None => self.limited(prefix, line),
        }
    }

    /// A line of which nothing says how often it is written.
    pub(super) fn limited(&mut self, prefix: &str, line: &Line) -> Log {
        let said = format!("no more than {MOST_LINES} lines are written for it");
        self.tell(Kind::Note, line, said, None);
        Log {
            prefix: prefix.to_owned(),
            most: MOST_LINES.to_owned(),
        }
    }
}

/// How many lines a rule writes at most where it has no rate.
const MOST_LINES: &str = "10/second";

/// A rate as the most lines in a time, if it is one of all packets that fit.
pub(super) fn most(rate: &Rate) -> Option<String> {
    let mut words = rate.text.split(' ');
    let (count, unit) = (words.next()?, words.next()?);
    let period = unit.strip_prefix("packets/")?;
    let is_of_all = !rate.above && !rate.text.contains(" per ");
    is_of_all.then(|| format!("{count}/{period}"))
}
