//! Policies compiled as the command does it, by a process of its own: one that takes too long can be ended, and none
//! leaves memory behind that the next one is faster or slower for.
//!
//! The parent calls [`compile`]; the child is this same program with [`CHILD`] ahead of its arguments, and does [`child`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sockc_compiler::artifact::Artifact;
use sockc_compiler::files::Texts;
use sockc_compiler::object;
use sockc_compiler::pipeline::{self, Counters, Options};
use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;
use sockc_runtime::probe;

use crate::stage::Problem;
use crate::systems::{Unfit, patient};

/// The first argument of a child.
pub(crate) const CHILD: &str = "--compile-one";

/// A child's last argument if rules are not to count.
pub(crate) const UNCOUNTED: &str = "--no-counters";

/// How a policy is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    /// Whether rules count.
    pub(crate) counters: bool,
}

/// A compiled policy.
pub(crate) struct Compiled {
    pub(crate) object: Vec<u8>,
    pub(crate) artifact: Artifact,
    /// From text to object.
    pub(crate) milliseconds: f64,
}

/// A folder for what parent and child hand each other; it goes with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self, Problem> {
        let name = format!("sockc-bench-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Folder {
    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder of temporary files that cannot be removed is the system's to clear away.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Compiles a policy; a refusal is the compiler's first error.
pub(crate) fn compile(folder: &Folder, text: &str, how: How) -> Result<Compiled, Unfit> {
    let (policy, made) = (folder.0.join("policy.sk"), folder.0.join("policy.o"));
    fs::write(&policy, text)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).arg(&policy).arg(&made);
    command.args((!how.counters).then_some(UNCOUNTED));
    let done = patient::run(&mut command, "")?;
    let said = done.output.trim();
    let Ok(milliseconds) = said.parse() else {
        return Err(Unfit::Refused(said.to_owned()));
    };
    let object = fs::read(&made)?;
    let artifact = object::read(&object).map_err(|error| Unfit::Refused(error.to_string()))?;
    Ok(Compiled {
        object,
        artifact,
        milliseconds,
    })
}

/// What the child does: compiles one file into another, and prints how many milliseconds it took, or why it does not.
pub(crate) fn child(policy: &Path, made: &Path, counters: Counters) -> Result<(), Problem> {
    let text = fs::read_to_string(policy)?;
    let target = probe().target();
    let options = Options {
        counters,
        ..Options::from(&target)
    };
    let began = Instant::now();
    match object_of(&text, options) {
        Ok(bytes) => {
            let took = began.elapsed().as_secs_f64() * 1e3;
            fs::write(made, bytes)?;
            println!("{took}");
        }
        Err(refusal) => println!("{refusal}"),
    }
    Ok(())
}

fn object_of(text: &str, options: Options<'_>) -> Result<Vec<u8>, String> {
    let mut sources = SourceMap::default();
    let id = sources.add("policy.sk", text);
    let outcome = pipeline::compile(&mut sources, id, "policy", options, &mut Texts::default());
    if let Some(bug) = outcome.internal {
        return Err(format!("a bug of the compiler: {bug}"));
    }
    let mut found = outcome.diagnostics.iter();
    if let Some(error) = found.find(|one| one.severity == Severity::Error) {
        return Err(format!("{}: {}", error.code.0, error.message));
    }
    let built = outcome.built.ok_or("nothing was built")?;
    object::write(&built.artifact).map_err(|error| error.to_string())
}
