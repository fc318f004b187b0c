//! `sockc history`: the generations that were in force, who put them there, from where and why.
//!
//! Takes what the runtime keeps; each object that is listed has the bytes it was written with. Changes nothing. Not here: whether
//! its code is what its text says, which `rollback`, `show` and `diff` ask of the one that they take.

use std::time::SystemTime;

use serde::Serialize;
use sockc_compiler::object;
use sockc_runtime::{Author, Error, Generation, History, Options};

use crate::cli::Deployment;
use crate::exit::Exit;
use crate::machine::author;
use crate::machine::clock::{age, utc};
use crate::machine::counted::rules;
use crate::machine::{options, refused, waiting};
use crate::output::Output;
use crate::policies::ready::digest;

/// The JSON of this verb, the newest generation first.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    /// Null where nothing is.
    in_force: Option<u32>,
    /// Until when that waits to be confirmed; left out where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<waiting::Row>,
    generations: Vec<Row>,
}

/// A generation in JSON.
#[derive(Serialize)]
struct Row {
    generation: u32,
    in_force: bool,
    /// Why it cannot come back; null if it can.
    damaged: Option<String>,
    /// Seconds since 1970; null where that is not known.
    applied: Option<u64>,
    #[serde(flatten)]
    by: By,
    policy: Option<String>,
    rules: Option<usize>,
    digest: Option<String>,
    /// Given instead of the policy's own.
    interfaces: Vec<String>,
}

/// Who put it in force, in JSON; nulls of an older sockc.
#[derive(Default, Serialize)]
struct By {
    uid: Option<u32>,
    user: Option<String>,
    sudo_user: Option<String>,
    file: Option<String>,
    /// The generation that it is again.
    again: Option<u32>,
    note: Option<String>,
    #[serde(skip)]
    words: String,
}

impl By {
    fn of(author: &Author) -> Self {
        Self {
            uid: Some(author.uid),
            user: author.user.clone(),
            sudo_user: author.sudo_user.clone(),
            file: author.file.clone(),
            again: author.again,
            note: author.note.clone(),
            words: author::words(author),
        }
    }
}

/// Lists them; ends with 5 if something that is kept is not as sockc left it.
pub(crate) fn run(place: &Deployment, output: &mut Output) -> Exit {
    let options = options(place);
    let history = match sockc_runtime::history(&options) {
        Ok(history) => history,
        Err(error) => return refused(&error, output),
    };
    let rows = match rows(&history, &options) {
        Ok(rows) => rows,
        Err(error) => return refused(&error, output),
    };
    if output.is_json() {
        output.value(&Report {
            format: "sockc.history/1",
            in_force: history.in_force.as_ref().map(|one| one.generation),
            trial: history.trial.as_ref().map(waiting::row),
            generations: rows,
        });
        return ending(&history);
    }
    show(&rows, &history, output);
    ending(&history)
}

fn ending(history: &History) -> Exit {
    match history.unreadable.is_empty() {
        true => Exit::Done,
        false => Exit::Changed,
    }
}

/// A row for each, the newest first. What turns out to be damaged is one of them.
fn rows(history: &History, options: &Options) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    if let Some(now) = &history.in_force {
        rows.push(Row {
            in_force: true,
            ..row(now, options)?
        });
    }
    for kept in &history.kept {
        match row(kept, options) {
            Ok(row) => rows.push(row),
            // Another command has let it go meanwhile.
            Err(Error::NotKept { .. }) => {}
            Err(error) => rows.push(damaged(kept.generation, &error)),
        }
    }
    let unreadable = history.unreadable.iter();
    rows.extend(unreadable.map(|one| damaged(one.generation, &one.error)));
    rows.sort_by_key(|row| (!row.in_force, std::cmp::Reverse(row.generation)));
    Ok(rows)
}

fn row(about: &Generation, options: &Options) -> Result<Row, Error> {
    let kept = sockc_runtime::kept(options, about.generation)?;
    let lists = object::read_lists(&kept.object).unwrap_or_default();
    Ok(Row {
        generation: about.generation,
        in_force: false,
        damaged: None,
        applied: about.applied,
        by: about.author.as_ref().map(By::of).unwrap_or_default(),
        policy: Some(kept.manifest.policy.clone()),
        rules: Some(rules(&kept.manifest)),
        digest: (!about.owned).then(|| digest(&kept.manifest, &lists)),
        interfaces: about.interfaces.clone(),
    })
}

fn damaged(generation: u32, error: &Error) -> Row {
    Row {
        generation,
        in_force: false,
        damaged: Some(error.to_string()),
        applied: None,
        by: By::default(),
        policy: None,
        rules: None,
        digest: None,
        interfaces: Vec::new(),
    }
}

fn show(rows: &[Row], history: &History, output: &mut Output) {
    if history.in_force.is_none() {
        output.line("no policy is in force in this network namespace");
    }
    if rows.is_empty() {
        output.line("no generation is kept");
        return;
    }
    let heading = [
        "generation",
        "applied",
        "age",
        "by",
        "policy",
        "rules",
        "digest",
        "from",
    ];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    let whole = rows.iter().filter(|row| row.damaged.is_none());
    table.extend(whole.map(|row| cells(row, history)));
    if table.len() > 1 {
        output.table(&table);
    }
    for row in rows {
        if let Some(why) = &row.damaged {
            output.error(format!(
                "generation {} cannot come back: {why}",
                row.generation
            ));
        }
    }
    if let Some(trial) = &history.trial {
        let [until, _] = waiting::words(trial);
        output.note(output.suggested(&until));
    }
    if let Some(one) = &history.in_force
        && one.owned
    {
        output.note(
            "what is in force is the policy of a `for netns` block, which goes and comes with the policy that has the block",
        );
    }
}

fn cells(row: &Row, history: &History) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let now = match (row.in_force, &history.trial) {
        (true, None) => " (in force)",
        (true, Some(_)) => " (on trial)",
        (false, _) => "",
    };
    let from = match (&row.by.again, &row.by.file) {
        (Some(again), Some(file)) => format!("generation {again} ({file})"),
        (Some(again), None) => format!("generation {again}"),
        (None, file) => or_dash(file.clone()),
    };
    let note = row.by.note.iter();
    let note: String = note.map(|note| format!("  \"{note}\"")).collect();
    let by = Some(row.by.words.clone()).filter(|words| !words.is_empty());
    vec![
        format!("{}{now}", row.generation),
        or_dash(row.applied.map(utc)),
        or_dash(row.applied.and_then(since)),
        or_dash(by),
        or_dash(row.policy.clone()),
        or_dash(row.rules.map(|rules| rules.to_string())),
        or_dash(row.digest.clone()),
        format!("{from}{note}"),
    ]
}

/// How long ago a time was; `None` if the clock was set back since.
fn since(seconds: u64) -> Option<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok()?.as_secs().checked_sub(seconds).map(age)
}
