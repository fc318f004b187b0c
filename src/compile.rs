//! `sockc compile`: a policy to an object file, or to the text of a stage.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sockc_compiler::artifact::Artifact;
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::pipeline::{self, Built, Counters, Expects, Options, Outcome};
use sockc_compiler::policy::Policy;
use sockc_compiler::target::Target;
use sockc_grammar::diagnostic::Severity;

use crate::cli::{self, Emit};
use crate::disk::Disk;
use crate::exit::Exit;
use crate::input::{Text, is_stream};
use crate::lints::Lints;
use crate::output::Output;
use crate::stage;
use crate::watch::Watch;
use crate::written;

/// A policy that compiled.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The text it was made from.
    pub(crate) text: Text,
    /// Its meaning.
    pub(crate) policy: Policy,
    /// What was made of it.
    pub(crate) built: Built,
}

impl Compiled {
    /// Reads and compiles a file for every supported kernel, or, where the policy asks for something newer, for the oldest
    /// that has it; says so, and what is wrong with it.
    pub(crate) fn portable(
        path: &Path,
        counters: Counters,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let text = Text::read(path, output)?;
        Self::portable_text(text, counters, lints, output)
    }

    /// The same for whoever looks at single packets: `expect` lines are not asked, since one that does not hold is what
    /// somebody wants to look at.
    pub(crate) fn to_look_at(path: &Path, output: &mut Output) -> Result<Self, Exit> {
        let text = Text::read(path, output)?;
        let baseline = Target::baseline();
        let options = Options {
            expects: Expects::LeftOut,
            ..Options::from(&baseline)
        };
        Self::portable_with(text, options, &Lints::default(), output)
    }

    /// The same of a text.
    pub(crate) fn portable_text(
        text: Text,
        counters: Counters,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let baseline = Target::baseline();
        let options = Options {
            counters,
            ..Options::from(&baseline)
        };
        Self::portable_with(text, options, lints, output)
    }

    /// The same with other choices than the kernel.
    fn portable_with(
        text: Text,
        options: Options<'_>,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let (kept, outcome) = outcome(text.clone(), options, output.watch());
        let mut errors = outcome
            .diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .peekable();
        if errors.peek().is_none() || !errors.all(|one| one.code == pipeline::NO_INTERFACE) {
            return Self::of(kept, outcome, lints, output);
        }
        let newer = Target::linux_5_17();
        output.note(format!(
            "compiled for {}: older kernels do not tell a socket lookup the interface",
            newer.name
        ));
        let options = Options {
            target: &newer,
            ..options
        };
        Self::new(text, options, lints, output)
    }

    /// Compiles a text; says what is wrong with it.
    pub(crate) fn new<'a>(
        text: Text,
        options: impl Into<Options<'a>>,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let (text, outcome) = outcome(text, options.into(), output.watch());
        Self::of(text, outcome, lints, output)
    }

    fn of(
        text: Text,
        mut outcome: Outcome,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        lints.judge(&mut outcome.diagnostics);
        output.diagnostics(&text.sources, &outcome.diagnostics);
        let exit = outcome_exit(&outcome, output);
        match (outcome.policy, outcome.built) {
            (Some(policy), Some(built)) if exit == Exit::Done => Ok(Self {
                text,
                policy,
                built,
            }),
            _ => Err(exit.max(Exit::Policy)),
        }
    }

    /// The object file.
    pub(crate) fn object(&self, output: &mut Output) -> Result<Vec<u8>, Exit> {
        output.watch().stage("write the object");
        object::write(&self.built.artifact).map_err(|error| {
            output.error(format!("this is a bug in sockc: {error}"));
            Exit::Bug
        })
    }
}

/// Compiles a text, with everything that it names.
fn outcome(mut text: Text, options: Options<'_>, watch: &mut Watch) -> (Text, Outcome) {
    let outcome = pipeline::compile(
        &mut text.sources,
        text.id,
        &text.stem,
        options,
        &mut Disk::new(watch),
    );
    (text, outcome)
}

/// How a compile ends, apart from what its diagnostics said.
pub(crate) fn outcome_exit(outcome: &Outcome, output: &mut Output) -> Exit {
    if let Some(what) = &outcome.internal {
        output.error(format!(
            "this is a bug in sockc: {what}\n  please report it together with the policy"
        ));
        return Exit::Bug;
    }
    if outcome.failed() {
        Exit::Policy
    } else {
        Exit::Done
    }
}

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    policy: &'a str,
    output: Option<String>,
    programs: Vec<ProgramRow<'a>>,
}

/// A program in JSON.
#[derive(Serialize)]
struct ProgramRow<'a> {
    program: &'a str,
    section: &'static str,
    instructions: usize,
    maps: Vec<&'a str>,
}

impl cli::Counting {
    /// The same for the compiler.
    pub(crate) fn counters(&self) -> Counters {
        if self.no_counters {
            Counters::LeftOut
        } else {
            Counters::Kept
        }
    }
}

/// Compiles and writes.
pub(crate) fn run(arguments: &cli::Compile, output: &mut Output) -> Exit {
    compile(arguments, output).err().unwrap_or(Exit::Done)
}

fn compile(arguments: &cli::Compile, output: &mut Output) -> Result<(), Exit> {
    if arguments.emit == Emit::Tokens {
        let text = Text::read(&arguments.file, output)?;
        return emit(arguments, &stage::tree(&text), output);
    }
    let lints = Lints::new(&arguments.lints, output)?;
    let counters = arguments.counting.counters();
    let compiled = Compiled::portable(&arguments.file, counters, &lints, output)?;
    if arguments.emit != Emit::Elf {
        return emit(arguments, &stage::text(&compiled, arguments.emit), output);
    }
    let bytes = compiled.object(output)?;
    let path = match &arguments.output {
        Some(path) if is_stream(path) => {
            output.bytes(&bytes);
            return Ok(());
        }
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.o", compiled.text.stem)),
    };
    written::result(&path, &bytes, &arguments.file, output)?;
    report(&compiled.built.artifact, &path, output);
    Ok(())
}

/// Puts the text of a stage on standard output, or where `-o` says.
fn emit(arguments: &cli::Compile, text: &str, output: &mut Output) -> Result<(), Exit> {
    match &arguments.output {
        Some(path) if !is_stream(path) => {
            written::result(path, text.as_bytes(), &arguments.file, output)
        }
        _ => {
            output.bytes(text.as_bytes());
            Ok(())
        }
    }
}

fn report(artifact: &Artifact, path: &Path, output: &mut Output) {
    let programs: Vec<ProgramRow<'_>> = rows(artifact);
    if output.is_json() {
        output.value(&Report {
            format: "sockc.compile/1",
            policy: &artifact.manifest.policy,
            output: Some(path.display().to_string()),
            programs,
        });
        return;
    }
    let heading = ["program", "hook", "instructions", "maps"].map(String::from);
    let mut table = vec![heading.to_vec()];
    table.extend(programs.iter().map(|row| {
        vec![
            row.program.to_owned(),
            row.section.to_owned(),
            row.instructions.to_string(),
            row.maps.join(", "),
        ]
    }));
    output.table(&table);
    output.line(format!("wrote {}", path.display()));
}

fn rows(artifact: &Artifact) -> Vec<ProgramRow<'_>> {
    let row = |program: &'_ sockc_compiler::artifact::Program| {
        let used = |id| program.relocations.iter().any(|one| one.map == id);
        let maps = artifact.maps.iter().filter(|(id, _)| used(*id));
        (
            program.section.name(),
            program.insns.len(),
            maps.map(|(id, _)| id).collect::<Vec<_>>(),
        )
    };
    artifact
        .programs
        .iter()
        .map(|program| {
            let (section, instructions, maps) = row(program);
            ProgramRow {
                program: &program.name,
                section,
                instructions,
                maps: maps
                    .into_iter()
                    .map(|id| artifact.maps[id].name.as_str())
                    .collect(),
            }
        })
        .collect()
}
