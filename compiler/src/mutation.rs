//! What the tests of a policy would notice: each rule is changed in small ways, and what no `expect` line and no guard says is told.
//!
//! Takes the texts of a policy and of guards; gives how the policy's own lines stand ([`own`]), and of each small change of the
//! policy what becomes of it ([`run`]). Each mutant is a policy like any other, made by the same resolver. Whether it means
//! something else is asked of [`crate::diff`], whether a line breaks of [`crate::expect`]; of a change that nobody notices
//! the packet is the comparison's, which the reference meaning has confirmed. A line that would notice it is offered only if it
//! holds on the policy and breaks on the mutant. Not here: how it is told.

mod judge;
mod offer;
mod own;
mod site;
mod subject;
mod table;
#[cfg(test)]
mod tests;
mod value;

use sockc_grammar::diagnostic::Diagnostic;

use crate::diff::report::{Fate, Unsaid};
use crate::files::Files;
use crate::guard::GuardText;
use crate::kept::KeptTexts;
use crate::location::Location;
use crate::observer::Observer;

pub use own::own;
pub use table::KINDS;

use judge::{Became, Judged};
use offer::Offers;
use subject::Subject;

/// How much is tried, and how long each try may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The maximum number of changes that are tried: spread evenly over all of them, the first among them. `None` for all.
    pub at_most: Option<usize>,
    /// Steps that one comparison may take, and that the lines may take which are asked of one mutant: a bound of time.
    pub work: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            at_most: None,
            work: 20_000_000,
        }
    }
}

/// What became of all changes.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Changes that there are.
    pub made: usize,
    /// Those that were tried.
    pub tried: usize,
    /// Tried ones that mean the same: no gap.
    pub same: usize,
    /// Tried ones that are no policy, so that every command says so.
    pub refused: usize,
    /// Tried ones that break a line.
    pub noticed: usize,
    /// Those that break no line.
    pub unnoticed: Vec<Gap>,
    /// Those that change a fate only in what no line can speak of: a mark, which interface.
    pub beyond: Vec<Gap>,
    /// Those of which it is not known.
    pub unknown: Vec<Unknown>,
    /// The lines that are offered, each once, with the `for netns` block that each is for.
    pub offered: Vec<Offered>,
}

impl Outcome {
    /// Tried changes that were found to mean something else, and that a line could notice.
    #[must_use]
    pub fn differing(&self) -> usize {
        self.noticed + self.unnoticed.len()
    }
}

/// A change of a rule or default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which row of the table: one of [`KINDS`].
    pub kind: &'static str,
    /// The rule or default.
    pub rule: Location,
    /// The `for netns` block that it stands in.
    pub netns: Option<String>,
    /// What is done to it, in words.
    pub words: String,
}

/// A change that no line notices.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The change.
    pub change: Change,
    /// A packet that gets another fate, in the words that `explain` takes.
    pub packet: String,
    /// What decides it besides these words, if they do not say all of it.
    pub unsaid: Option<Unsaid>,
    /// What it gets.
    pub from: Fate,
    /// What it would get.
    pub to: Fate,
    /// A line that would notice it; `None` where none was found.
    pub line: Option<String>,
}

/// A change of which it is not known what it does, or whether a line notices it.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// The change.
    pub change: Change,
    /// Why, as a sentence without a full stop.
    pub why: String,
}

/// A line that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The `for netns` block that it is for.
    pub netns: Option<String>,
    /// The line.
    pub line: String,
}

/// Lines that are offered as a guard's text.
#[must_use]
pub fn text(offered: &[Offered]) -> String {
    let mut scopes: Vec<Option<&str>> = Vec::new();
    for one in offered {
        if !scopes.contains(&one.netns.as_deref()) {
            scopes.push(one.netns.as_deref());
        }
    }
    let of = |scope: &Option<&str>| {
        let lines = offered.iter().filter(|one| one.netns.as_deref() == *scope);
        let lines: Vec<String> = lines.map(|one| one.line.clone()).collect();
        offer::text(&lines, *scope)
    };
    scopes.iter().map(of).collect()
}

/// Tries changes of a policy that is sound and keeps to all its lines. `files` are those around the guards.
///
/// # Errors
///
/// The policy or a guard is wrong.
pub fn run(
    policy: &KeptTexts,
    guards: &[GuardText],
    files: &mut dyn Files,
    options: Options,
) -> Result<Outcome, Vec<Diagnostic>> {
    files.stage("read the policy");
    let subject = Subject::read(policy, guards, files)?;
    files.stage("change rules");
    Ok(of(&subject, options, files))
}

fn of(subject: &Subject, options: Options, observer: &mut dyn Observer) -> Outcome {
    let all = subject.mutations();
    let chosen = sample(all.len(), options.at_most);
    let mut outcome = Outcome {
        made: all.len(),
        tried: chosen.len(),
        ..Outcome::default()
    };
    let mutations: Vec<_> = chosen.into_iter().map(|place| &all[place]).collect();
    let judged = judge::all(subject, &mutations, options, observer);
    observer.stage("find lines");
    let mut offers = Offers::new(subject, options.work);
    for (done, one) in judged.into_iter().enumerate() {
        observer.progress(done as u64, mutations.len() as u64);
        outcome.take(one, &mut offers);
    }
    outcome.offered = offers.finish();
    outcome
}

/// The places of those that are tried, of so many: every n-th, evenly.
fn sample(all: usize, at_most: Option<usize>) -> Vec<usize> {
    let count = at_most.map_or(all, |most| most.min(all));
    (0..count).map(|place| place * all / count).collect()
}

impl Outcome {
    fn take(&mut self, one: Judged<'_>, offers: &mut Offers<'_>) {
        match one.became {
            Became::Same => self.same += 1,
            Became::Refused => self.refused += 1,
            Became::Noticed => self.noticed += 1,
            Became::Unknown(why) => self.unknown.push(Unknown {
                change: one.mutation.change.clone(),
                why,
            }),
            Became::Beyond(found) => self.beyond.push(gap(one.mutation, &found, None)),
            Became::Unnoticed(found) => {
                let line = offers.line(one.mutation, &found);
                self.unnoticed.push(gap(one.mutation, &found, line));
            }
        }
    }
}

fn gap(
    mutation: &site::Mutation,
    found: &crate::diff::report::Change,
    line: Option<String>,
) -> Gap {
    Gap {
        change: mutation.change.clone(),
        packet: found.example.clone(),
        unsaid: found.unsaid,
        from: found.from.clone(),
        to: found.to.clone(),
        line,
    }
}
