//! The line that a rule writes, and how many of them there are.
//!
//! Takes what a rule is about and how its lines begin; gives the line. A rule that only writes one, ahead of a rule that decides about the same
//! packets, is the `log` of that one. Not here: where the rule stands.

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

    /// What a rule writes beside what it does.
    pub(super) fn beside(&mut self, log: &Written, line: &Line) -> Log {
        match &log.most {
            Some(most) => Log {
                prefix: log.prefix.clone(),
                most: most.clone(),
            },
            None => self.limited(&log.prefix, line),
        }
    }

    /// A rule that decides with the line that the rule ahead of it writes, and where it stands, if both are about the same packets, and about all
    /// interfaces but some: alone, the one that only writes could not be said. Other lines find their verdict when both are there (`push`).
    #[inline(never)]
    pub(super) fn with_line<'l>(
        &mut self,
        rules: &'l [Line],
        at: usize,
        parts: &[Rule],
        within: &What,
    ) -> Option<(Rule, &'l Line)> {
        let [logs] = parts else {
            return None;
        };
        let (prefix, about, own) = alone(logs)?;
        let met = within.and(about).ok().flatten()?;
        met.unsaid_interfaces().next()?;
        let (line, decides) = (rules.get(at)?, rules.get(at + 1)?);
        let [mut rule] = <[Rule; 1]>::try_from(self.read(rules, at + 1)).ok()?;
        let plain = What {
            rate: None,
            ..about.clone()
        };
        let is_same = rule.cases.as_slice() == [plain] && within.rate.is_none();
        let is_plain = rule.unread.is_none() && rule.log.is_none();
        let takes = |goal| self.takes_somewhere(goal);
        if !is_same || !is_plain || !rule.goal.as_ref().is_some_and(takes) {
            return None;
        }
        self.tell_changes(logs, &met, line);
        rule.comment = rule.comment.or_else(|| logs.comment.clone());
        rule.log = Some(Written {
            prefix: prefix.to_owned(),
            most: Some(own.unwrap_or_else(|| self.limited(prefix, line).most)),
            line: Some(line.clone()),
        });
        Some((rule, decides))
    }

    /// Leaves a rule out that cannot be said, and the line of the file that it writes with it.
    #[inline(never)]
    pub(super) fn leave_unsaid(&mut self, act: &Act<'_>, why: &str, met: &What, place: &Place<'_>) {
        if let Some(line) = act.log.and_then(|log| log.line.as_ref()) {
            let alone = Goal::Log(String::new());
            self.leave_out(line, Some(&alone), why, Some(met));
        }
        self.leave_out(place.line, Some(act.goal), why, Some(met));
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

/// How the lines of a rule begin that does nothing but write them, what it is about, and how many there are at most, if it says so.
fn alone(rule: &Rule) -> Option<(&str, &What, Option<String>)> {
    let (Some(Goal::Log(prefix)), None) = (&rule.goal, &rule.unread) else {
        return None;
    };
    let [about] = rule.cases.as_slice() else {
        return None;
    };
    let own = about.rate.as_ref().map(most);
    Some((prefix, about, own.map_or(Some(None), |own| own.map(Some))?))
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
