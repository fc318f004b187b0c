//! `sockc diff`: every region of packets whose fate is another in the second of two policies.
//!
//! The comparison is the compiler's; here it is asked for. Not here: how it is shown, which other verbs do too.

use std::path::Path;

use serde::Serialize;
use sockc_compiler::artifact::Artifact;
use sockc_compiler::diff::{self, Options, Report};
use sockc_compiler::expect;
use sockc_compiler::object;
use sockc_compiler::pipeline::{self, SAYS_NOTHING};
use sockc_compiler::policy::Policy;

use crate::changes::text::Look;
use crate::changes::{MAX_CHANGES, Paint, bytecode, json, markdown, picture, stat, summary, text};
use crate::cli;
use crate::exit::Exit;
use crate::files::disk::Disk;
use crate::files::input::{Text, is_stream};
use crate::files::written;
use crate::machine::options;
use crate::output::Output;
use crate::policies::compiled::{Compiled, outcome_exit};
use crate::policies::kept::{self, Kept, Which};
use crate::policies::lints::Lints;
use crate::replay::{self, Replayed};

/// Compares two policies and shows what it found.
pub(crate) fn run(arguments: &cli::Diff, output: &mut Output) -> Exit {
    diff(arguments, output).unwrap_or_else(|failed| failed)
}

fn diff(arguments: &cli::Diff, output: &mut Output) -> Result<Exit, Exit> {
    let view = View::new(arguments, output)?;
    let old = Version::named(&arguments.old, arguments, output);
    let new = Version::named(&arguments.new, arguments, output);
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
    /// Reads a policy from where the command line says: a file, or what the kernel keeps.
    fn named(path: &Path, arguments: &cli::Diff, output: &mut Output) -> Result<Self, Exit> {
        match Which::named(path) {
            None => Self::read(path, arguments.bytecode, output),
            Some(which) => {
                let kept = kept::read(which, &options(&arguments.place), output)?;
                Self::of_kept(path, &kept, arguments.bytecode, output)
            }
        }
    }

    /// Takes what the kernel keeps, on the interfaces that it was put in force on. That it may not be what its text says is said,
    /// and the text is compared all the same.
    fn of_kept(
        path: &Path,
        kept: &Kept,
        programs: bool,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let (mut policy, unverified) = kept.policy(output)?;
        let interfaces = &kept.generation.about.interfaces;
        if !interfaces.is_empty() {
            policy.interfaces.clone_from(interfaces);
        }
        let exit = match unverified {
            None => Exit::Done,
            Some(why) => {
                output.error(why);
                Exit::Changed
            }
        };
        let artifact = programs.then(|| object::read(&kept.generation.object));
        let artifact = artifact.transpose().map_err(|error| {
            output.error(format!("{}: {error}", kept.name));
            Exit::Policy
        })?;
        Ok(Self {
            name: path.display().to_string(),
            policy,
            artifact,
            exit,
        })
    }

    /// Reads and checks a policy; says what is wrong with it. Warnings are for `check`.
    fn read(path: &Path, programs: bool, output: &mut Output) -> Result<Self, Exit> {
        let text = Text::read(path, output)?;
        let name = text.sources.get(text.id).name.clone();
        let mut sources = text.sources.clone();
        let mut disk = Disk::new(output.watch());
        let mut outcome = pipeline::check_soundness(&mut sources, text.id, &text.stem, &mut disk);
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
