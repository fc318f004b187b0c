//! A policy from the command line, compiled; what is wrong with it is said.
//!
//! Takes a file or its text and for which kernel it is compiled; gives the policy and what was made of it. Not here: what is
//! done with that.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use sockc_compiler::artifact::Manifest;
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::pipeline::{self, Built, Compilation, Expects, Options};
use sockc_compiler::policy::Policy;
use sockc_compiler::target::Target;
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_runtime::Object;

use super::lints::Lints;
use crate::exit::Exit;
use crate::files::disk::Disk;
use crate::files::input::Text;
use crate::output::Output;
use crate::output::watch::Watch;

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
        options: Options<'_>,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let text = Text::read(path, output)?;
        Self::portable_with(text, options, lints, For::Kernels, output)
    }

    /// The same for whoever looks at single packets: `expect` lines are not asked, since one that does not hold is what
    /// somebody wants to look at; and there is no word of what may not be meant, which is no part of the answer.
    pub(crate) fn to_look_at(path: &Path, output: &mut Output) -> Result<Self, Exit> {
        let text = Text::read(path, output)?;
        let baseline = Target::baseline();
        let options = Options {
            expects: Expects::LeftOut,
            lints: pipeline::Lints::LeftOut,
            ..Options::from(&baseline)
        };
        Self::portable_with(text, options, &Lints::silent(), For::Looking, output)
    }

    /// The same of a text, without a word of what may not be meant.
    pub(crate) fn unwarned(text: Text, output: &mut Output) -> Result<Self, Exit> {
        let baseline = Target::baseline();
        let options = Options {
            lints: pipeline::Lints::LeftOut,
            ..Options::from(&baseline)
        };
        Self::portable_with(text, options, &Lints::silent(), For::Looking, output)
    }

    /// The same with other choices than the kernel.
    fn portable_with(
        text: Text,
        options: Options<'_>,
        lints: &Lints,
        purpose: For,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let (kept, outcome) = outcome(text.clone(), options, output.watch());
        let Some((newer, why)) = newer(&outcome.diagnostics, purpose) else {
            return Self::of(kept, outcome, lints, output);
        };
        output.note(format!("compiled for {}: {why}", newer.name));
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
        mut outcome: Compilation,
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
        object::write(&self.built.artifact).map_err(|error| unwritable(&error, output))
    }
}

/// The object of what was made of a policy, to be put in force, and its manifest.
pub(crate) fn loadable(built: Built, output: &mut Output) -> Result<(Object, Arc<Manifest>), Exit> {
    output.watch().stage("write the object");
    Object::written(built.artifact).map_err(|error| unwritable(&error, output))
}

/// What was compiled just now cannot be written.
fn unwritable(error: &dyn Display, output: &mut Output) -> Exit {
    output.error(format!("this is a bug in sockc: {error}"));
    Exit::Bug
}

/// Compiles a text, with everything that it names.
fn outcome(mut text: Text, options: Options<'_>, watch: &mut Watch) -> (Text, Compilation) {
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
pub(crate) fn outcome_exit(outcome: &Compilation, output: &mut Output) -> Exit {
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

/// What programs are compiled for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Kernels, from the oldest on: what that refuses is said.
    Kernels,
    /// Whoever looks at what they do: a kernel that takes them is enough.
    Looking,
}

/// The oldest kernel that can do what older ones were refused for, and what that is; `None` where there is none, or nothing was.
fn newer(found: &[Diagnostic], purpose: For) -> Option<(Target, &'static str)> {
    let errors = || found.iter().filter(|one| one.severity == Severity::Error);
    errors().next()?;
    if errors().all(|one| one.code == pipeline::NO_INTERFACE) {
        let why = "older kernels do not tell a socket lookup the interface";
        return Some((Target::linux_5_17(), why));
    }
    let far = purpose == For::Looking && errors().all(pipeline::is_far);
    far.then(|| {
        (
            Target::linux_6_6(),
            "in older kernels a program of this length cannot jump as far as it has to",
        )
    })
}
