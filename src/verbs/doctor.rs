//! `sockc doctor`: what of this machine matters to sockc, and what to do where something is not as it should be.
//!
//! Takes what the runtime finds of the machine, and of what is in force; changes nothing. Works without any right as far as it goes,
//! and says what it could not look at. Not here: what `status` says of what is in force.

mod checks;
mod running;

use serde::Serialize;

use crate::cli::Deployment;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::{Output, count};

/// The format's name.
const FORMAT: &str = "sockc.doctor/1";

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Worth knowing, or not looked at.
    Note,
    /// Something does not work.
    Fault,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Fault => "fault",
        }
    }
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at, in a word.
    check: &'static str,
    state: State,
    /// How it stands.
    found: String,
    /// Why that matters; null where all is well.
    why: Option<String>,
    /// What to do; null where all is well, and never of anything else.
    remedy: Option<String>,
    /// Whether it was not looked at, or is not known: then nobody can say that nothing is wrong.
    #[serde(skip)]
    unseen: bool,
    /// How it ends the command.
    #[serde(skip)]
    ends: Exit,
    /// The line of the code that says it, by which a test knows that it has forced all of them.
    #[cfg(test)]
    #[serde(skip)]
    at: u32,
}

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    faults: usize,
    notes: usize,
    /// What was not looked at, by the words of the checks.
    unseen: &'a [&'static str],
    checks: &'a [Finding],
}

impl Finding {
    #[track_caller]
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            found: found.into(),
            why: None,
            remedy: None,
            unseen: false,
            ends: Exit::Done,
            #[cfg(test)]
            at: std::panic::Location::caller().line(),
        }
    }

    /// Worth knowing: why it matters, and what to do.
    #[track_caller]
    fn note(
        check: &'static str,
        found: impl Into<String>,
        (why, remedy): (impl Into<String>, impl Into<String>),
    ) -> Self {
        Self {
            state: State::Note,
            why: Some(why.into()),
            remedy: Some(remedy.into()),
            ..Self::ok(check, found)
        }
    }

    /// It was not looked at: why that matters, and what to do.
    #[track_caller]
    fn unseen(
        check: &'static str,
        found: impl Into<String>,
        advice: (impl Into<String>, impl Into<String>),
    ) -> Self {
        Self {
            unseen: true,
            ..Self::note(check, found, advice)
        }
    }

    /// The machine would refuse a policy: why that matters, and what to do.
    #[track_caller]
    fn fault(
        check: &'static str,
        found: impl Into<String>,
        advice: (impl Into<String>, impl Into<String>),
    ) -> Self {
        Self {
            state: State::Fault,
            ends: Exit::Refused,
            ..Self::note(check, found, advice)
        }
    }

    /// Without it nobody knows whether the machine would refuse a policy, or whether what is in force holds.
    fn needed(self) -> Self {
        Self {
            ends: Exit::Refused,
            ..self
        }
    }

    /// What is in force is not as sockc left it.
    fn changed(self) -> Self {
        Self {
            ends: Exit::Changed,
            ..self
        }
    }
}

/// Looks at all, and says it; ends with 3 where the machine would refuse, or whether it would was not looked at, and with 5 where what
/// is in force does not hold.
pub(crate) fn run(place: &Deployment, output: &mut Output) -> Exit {
    let options = options(place);
    let health = match sockc_runtime::health(&options) {
        Ok(health) => health,
        Err(error) => return refused(&error, output),
    };
    let mut found = checks::of(&health, &options);
    found.extend(running::of(&options, &health));
    for one in &mut found {
        one.found = output.suggested(&one.found);
        one.remedy = one.remedy.take().map(|words| output.suggested(&words));
    }
    let number = |state| found.iter().filter(|one| one.state == state).count();
    let (faults, notes) = (number(State::Fault), number(State::Note));
    let unseen = unseen(&found);
    if output.is_json() {
        output.value(&Report {
            format: FORMAT,
            faults,
            notes,
            unseen: &unseen,
            checks: &found,
        });
    } else {
        found.iter().for_each(|one| show(one, output));
        output.line(summary(faults, notes, &unseen));
    }
    let ends = found.iter().map(|one| one.ends).max();
    ends.unwrap_or(Exit::Done)
}

fn show(one: &Finding, output: &mut Output) {
    output.line(format!(
        "{:<6} {:<9} {}",
        one.state.word(),
        one.check,
        one.found
    ));
    let below = [("why", &one.why), ("do", &one.remedy)];
    for (word, words) in below {
        if let Some(words) = words {
            output.line(format!("{:17}{word}: {words}", ""));
        }
    }
}

/// What was not looked at, each once.
fn unseen(found: &[Finding]) -> Vec<&'static str> {
    let mut unseen: Vec<&'static str> = Vec::new();
    for one in found.iter().filter(|one| one.unseen) {
        if !unseen.contains(&one.check) {
            unseen.push(one.check);
        }
    }
    unseen
}

fn summary(faults: usize, notes: usize, unseen: &[&str]) -> String {
    let mut parts = vec![match (faults, unseen) {
        (0, []) => "nothing is wrong".to_owned(),
        (0, _) => "nothing is wrong with what was looked at".to_owned(),
        (faults, _) => count::of(faults, "fault"),
    }];
    if !unseen.is_empty() {
        parts.push(format!("not looked at: {}", unseen.join(", ")));
    }
    if notes > 0 {
        parts.push(format!("{} to read", count::of(notes, "note")));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrong_only_where_all_was_looked_at() {
        for (faults, notes, unseen, says) in [
            (0, 0, &[][..], "nothing is wrong"),
            (0, 1, &[], "nothing is wrong; 1 note to read"),
            (
                0,
                3,
                &["features", "policy"],
                "nothing is wrong with what was looked at; not looked at: features, policy; 3 notes to read",
            ),
            (1, 0, &[], "1 fault"),
            (
                2,
                1,
                &["nftables"],
                "2 faults; not looked at: nftables; 1 note to read",
            ),
        ] {
            assert_eq!(summary(faults, notes, unseen), says);
        }
    }

    #[test]
    fn what_was_not_looked_at_is_named_once() {
        let seen = Finding::note("cards", "", ("", ""));
        let found =
            ["features", "policy", "policy"].map(|check| Finding::unseen(check, "", ("", "")));
        let all = [&[seen], &found[..]].concat();
        assert_eq!(unseen(&all), ["features", "policy"]);
    }
}
