//! `sockc diff`: every region of packets whose fate is another in the second of two policies.
//!
//! The comparison is the compiler's; here it is asked for. Not here: how it is shown, which other verbs do too.

use std::panic::resume_unwind;
use std::thread;

use serde::Serialize;
use sockc_compiler::artifact::Artifact;
use sockc_compiler::diff::{self, Options, Report};
use sockc_compiler::expect;
use sockc_compiler::pipeline::{self, Compilation, SAYS_NOTHING};
use sockc_compiler::policy::Policy;
use sockc_grammar::source::SourceMap;

use crate::changes::text::Look;
use crate::changes::{MAX_CHANGES, Paint, bytecode, json, markdown, picture, stat, summary, text};
use crate::cli;
use crate::exit::Exit;
use crate::files::disk::Disk;
use crate::files::input::{Text, is_stream};
use crate::files::written;
use crate::output::Output;
use crate::output::watch::Watch;
use crate::policies::compiled::{Compiled, outcome_exit};
use crate::policies::lints::Lints;
use crate::replay::{self, Replayed};

/// Compares two policies and shows what it found.
pub(crate) fn run(arguments: &cli::Diff, output: &mut Output) -> Exit {
    diff(arguments, output).unwrap_or_else(|failed| failed)
}

fn diff(arguments: &cli::Diff, output: &mut Output) -> Result<Exit, Exit> {
    let view = View::new(arguments, output)?;
    let texts = [&arguments.old, &arguments.new].map(|path| Text::read(path, output));
    let [old, new] = checked(texts, output.watch());
    let old = old.and_then(|one| Version::of(one, arguments.bytecode, output));
    let new = new.and_then(|one| Version::of(one, arguments.bytecode, output));
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(failed), Ok(_)) | (Ok(_), Err(failed)) => return Err(failed),
        (Err(one), Err(other)) => return Err(one.max(other)),
    };
    let everything = arguments.view.all || view == View::Json || arguments.svg.is_some();
    let options = Options {
        most: (!everything).then_some(MAX_CHANGES),
        shadows: arguments.svg.is_some(),
        ..Options::default()
    };
    let report = diff::compare(&old.policy, &new.policy, options, output.watch());
    if let Some(path) = &arguments.svg {
        let title = format!("{} -> {}", old.name, new.name);
        let picture = picture::draw(&title, &report);
        written::result(path, picture.as_bytes(), &arguments.new, output)?;
    }
    let replayed = Replayed::of(&arguments.replay, &old.policy, &new.policy, output)?;
    let shown = Shown {
        report: &report,
        replayed: replayed.as_ref(),
        bytecode: arguments
            .bytecode
            .then(|| bytecode(&old, &new, output))
            .flatten(),
        old: &old.name,
        new: &new.name,
        all: arguments.view.all,
    };
    view.show(&shown, output);
    let played = replayed.as_ref().map_or(Exit::Done, Replayed::exit);
    Ok(match old.exit.max(new.exit).max(played) {
        Exit::Done => ending(&report, arguments.exit_code),
        wrong => wrong,
    })
}

/// How a comparison ends the command.
pub(crate) fn ending(report: &Report, exit_code: bool) -> Exit {
    match (report.is_complete(), report.differs()) {
        (false, _) => Exit::Policy,
        (true, true) if exit_code => Exit::Differs,
        (true, _) => Exit::Done,
    }
}

/// A text, and what was found of it.
struct Checked {
    text: Text,
    sources: SourceMap,
    outcome: Compilation,
}

impl Checked {
    fn of(text: Text, watch: &mut Watch) -> Self {
        let mut sources = text.sources.clone();
        let mut disk = Disk::new(watch);
        let outcome = pipeline::check_soundness(&mut sources, text.id, &text.stem, &mut disk);
        Self {
            text,
            sources,
            outcome,
        }
    }
}

/// Checks both texts at once: they have nothing to do with each other. The stages told are those of the old one.
fn checked(texts: [Result<Text, Exit>; 2], watch: &mut Watch) -> [Result<Checked, Exit>; 2] {
    let [old, new] = texts;
    thread::scope(|scope| {
        let work = move || new.map(|text| Checked::of(text, &mut Watch::quiet()));
        let new = scope.spawn(work);
        let old = old.map(|text| Checked::of(text, watch));
        let new = new.join().unwrap_or_else(|panic| resume_unwind(panic));
        [old, new]
    })
}

/// One of the two policies.
struct Version {
    /// The file, as in messages.
    name: String,
    policy: Policy,
    /// Its programs, if they are asked for.
    artifact: Option<Artifact>,
    /// How the command ends if nothing is worse: `expect` lines that do not hold are said, and do not keep the policy from
    /// being compared.
    exit: Exit,
}

impl Version {
    /// Says what is wrong with a policy. Warnings are for `check`.
    fn of(checked: Checked, programs: bool, output: &mut Output) -> Result<Self, Exit> {
        let Checked {
            text,
            sources,
            mut outcome,
        } = checked;
        let name = text.sources.get(text.id).name.clone();
        Lints::silent().judge(&mut outcome.diagnostics);
        // Nothing may be put in force, and can be compared with.
        outcome.diagnostics.retain(|one| one.code != SAYS_NOTHING);
        output.diagnostics(&sources, &outcome.diagnostics);
        let exit = outcome_exit(&outcome, output);
        let mut found = outcome.diagnostics.iter();
        if exit > Exit::Policy || !found.all(|one| one.code == expect::BROKEN) {
            return Err(exit);
        }
        let policy = outcome.policy.ok_or(Exit::Policy)?;
        let artifact = if programs && exit == Exit::Done {
            let compiled = Compiled::unwarned(text, output)?;
            Some(compiled.built.artifact)
        } else {
            None
        };
        Ok(Self {
            name,
            policy,
            artifact,
            exit,
        })
    }
}

/// The difference of the programs, where both policies could be compiled.
fn bytecode(old: &Version, new: &Version, output: &mut Output) -> Option<String> {
    if let (Some(old), Some(new)) = (&old.artifact, &new.artifact) {
        return Some(bytecode::text(old, new));
    }
    output.note("instructions are compared when every `expect` line holds");
    None
}

/// What is shown.
struct Shown<'a> {
    report: &'a Report,
    /// What becomes of recorded packets, if that is asked for.
    replayed: Option<&'a Replayed>,
    /// The difference of the programs, if it is asked for; empty where there is none.
    bytecode: Option<String>,
    old: &'a str,
    new: &'a str,
    all: bool,
}

/// The forms of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Text,
    Json,
    Markdown,
    Stat,
}

impl View {
    /// What the command line asks for: one form, and not two policies from one standard input.
    fn new(arguments: &cli::Diff, output: &mut Output) -> Result<Self, Exit> {
        if is_stream(&arguments.old) && is_stream(&arguments.new) {
            output.error("only one of the two policies can come from standard input");
            return Err(Exit::Usage);
        }
        let cli::View { markdown, stat, .. } = arguments.view;
        match (output.is_json(), markdown, stat) {
            (false, false, false) => Ok(Self::Text),
            (true, false, false) => Ok(Self::Json),
            (false, true, false) => Ok(Self::Markdown),
            (false, false, true) => Ok(Self::Stat),
            _ => {
                output.error(
                    "--json, --markdown and --stat are three forms of one result: choose one",
                );
                Err(Exit::Usage)
            }
        }
    }

    fn show(self, shown: &Shown<'_>, output: &mut Output) {
        let Shown {
            report,
            bytecode,
            all,
            ..
        } = shown;
        let look = Look {
            paint: Paint(output.colors_results()),
            all: *all,
            terminal: output.is_terminal(),
        };
        match self {
            Self::Json => output.value(&Json {
                format: "sockc.diff/1",
                old: shown.old,
                new: shown.new,
                body: json::Body::new(report),
                bytecode: bytecode.as_deref(),
                replay: shown.replayed.map(replay::Json::new),
            }),
            Self::Text => output.bytes(text::text(report, &summary::line(report), look).as_bytes()),
            Self::Stat => output.bytes(stat::text(report).as_bytes()),
            Self::Markdown => {
                let title = markdown::title(shown.old, shown.new);
                output.bytes(markdown::text(&title, report, *all).as_bytes());
            }
        }
        if let Some(replayed) = shown.replayed {
            self.show_replay(replayed, output);
        }
        if let Some(difference) = bytecode {
            self.show_programs(difference, look.paint, output);
        }
    }

    fn show_replay(self, replayed: &Replayed, output: &mut Output) {
        match self {
            Self::Json => {}
            Self::Markdown => {
                output.bytes(markdown::recording(&replayed.text()).as_bytes());
            }
            Self::Text | Self::Stat => {
                output.line("");
                output.bytes(replayed.text().as_bytes());
            }
        }
    }

    fn show_programs(self, difference: &str, paint: Paint, output: &mut Output) {
        match self {
            Self::Json => {}
            Self::Markdown => output.bytes(markdown::programs(difference).as_bytes()),
            Self::Text | Self::Stat if difference.is_empty() => {
                output.line("\nThe instructions are the same.");
            }
            Self::Text | Self::Stat => {
                output.line("");
                output.bytes(paint.difference(difference).as_bytes());
            }
        }
    }
}

/// The JSON of this verb.
#[derive(Serialize)]
struct Json<'a> {
    format: &'static str,
    old: &'a str,
    new: &'a str,
    #[serde(flatten)]
    body: json::Body<'a>,
    /// The difference of the programs, if it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytecode: Option<&'a str>,
    /// What becomes of recorded packets, if that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<replay::Json<'a>>,
}
