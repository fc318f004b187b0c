//! `sockc compile`: a policy to an object file, or to the text of a stage.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sockc_compiler::artifact::Artifact;
use sockc_compiler::pipeline::{AnyMachine, CostlyMachine, Options, Passes};
use sockc_compiler::target::Target;

use crate::cli::{self, Emit};
use crate::exit::Exit;
use crate::files::input::{Text, is_stream};
use crate::files::written;
use crate::output::Output;
use crate::policies::compiled::Compiled;
use crate::policies::lints::Lints;
use crate::stages;

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

/// Compiles and writes.
pub(crate) fn run(arguments: &cli::Compile, output: &mut Output) -> Exit {
    compile(arguments, output).err().unwrap_or(Exit::Done)
}

fn compile(arguments: &cli::Compile, output: &mut Output) -> Result<(), Exit> {
    if arguments.emit == Emit::Tokens {
        let text = Text::read(&arguments.file, output)?;
        return emit(arguments, &stages::tree(&text), output);
    }
    let lints = Lints::new(&arguments.lints, output)?;
    let baseline = Target::baseline();
    let options = Options {
        counters: arguments.counting.counters(),
        passes: match arguments.emit {
            Emit::IrLowered => Passes::LeftOut,
            _ => Passes::Run,
        },
        machine: match arguments.for_veth {
            true => &CostlyMachine,
            false => &AnyMachine,
        },
        ..Options::from(&baseline)
    };
    let compiled = Compiled::portable(&arguments.file, options, &lints, output)?;
    if arguments.emit != Emit::Elf {
        return emit(arguments, &stages::text(&compiled, arguments.emit), output);
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
    // The command ends here, and taking a policy of 100,000 rules apart takes its time.
    std::mem::forget(compiled);
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
