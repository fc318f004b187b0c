//! What `plan` and `apply` are asked to put in force: a policy, compiled for this kernel; an object; or a saved plan.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sockc_compiler::artifact::Manifest;
use sockc_compiler::faithful::{self, Unfaithful};
use sockc_compiler::guard::Guarded;
use sockc_compiler::kept::{KeptError, KeptTexts};
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::pipeline;
use sockc_compiler::policy::Policy;
use sockc_runtime::{Options, probe};

use crate::cli::Subject;
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::guards::{Guards, texts_of};
use crate::input::{self, ELF, Text};
use crate::lints::Lints;
use crate::output::Output;
use crate::place::options;
use crate::saved::{About, Saved, is_plan};

/// What is to be put in force.
pub(crate) struct Ready {
    /// The object.
    pub(crate) object: Vec<u8>,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Where an object comes from.
pub(crate) enum Origin {
    /// It was compiled just now.
    Policy(Box<(Text, Policy)>),
    /// It is a file.
    Object,
    /// A plan was saved with it.
    Plan(Box<About>),
}

impl Ready {
    /// Reads what the command line names, and compiles it if need be.
    pub(crate) fn read(subject: &Subject, output: &mut Output) -> Result<Self, Exit> {
        let lints = Lints::new(&subject.lints, output)?;
        let bytes = input::bytes(&subject.file, output)?;
        if is_plan(&bytes) {
            return Self::of_plan(subject, &bytes, output);
        }
        if bytes.starts_with(ELF) {
            return Self::of_object(subject, bytes, Origin::Object, output);
        }
        let text = Text::new(&subject.file, bytes, output)?;
        let target = probe().target();
        let options = pipeline::Options {
            counters: subject.counting.counters(),
            ..pipeline::Options::from(&target)
        };
        let compiled = Compiled::new(text, options, &lints, output)?;
        Ok(Self {
            object: compiled.object(output)?,
            manifest: compiled.built.artifact.manifest,
            origin: Origin::Policy(Box::new((compiled.text, compiled.policy))),
        })
    }

    fn of_object(
        subject: &Subject,
        bytes: Vec<u8>,
        origin: Origin,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        if subject.counting.no_counters {
            output.error("--no-counters is for policies: an object is as it was compiled");
            return Err(Exit::Usage);
        }
        // What guards and plans are asked is asked of the text, and the loader of the runtime trusts what it is given.
        output.watch().stage("compare the object with its text");
        let manifest = faithful::check(&bytes)
            .and_then(|()| object::read_manifest(&bytes).map_err(Unfaithful::Object))
            .map_err(|error| refused(&subject.file, &error, output))?;
        Ok(Self {
            object: bytes,
            manifest,
            origin,
        })
    }

    fn of_plan(subject: &Subject, bytes: &[u8], output: &mut Output) -> Result<Self, Exit> {
        if !subject.interfaces.is_empty() {
            output.error("--interface is for policies and objects: a plan has its interfaces");
            return Err(Exit::Usage);
        }
        let saved = Saved::read(bytes).map_err(|cause| {
            let file = subject.file.display();
            output.error(format!(
                "{file} cannot be read as a plan: {cause}; make it again with `sockc plan -o`"
            ));
            Exit::Policy
        })?;
        let origin = Origin::Plan(Box::new(saved.about));
        Self::of_object(subject, saved.object, origin, output)
    }

    /// Everything that it was compiled from.
    pub(crate) fn texts(&self) -> Result<KeptTexts, KeptError> {
        match &self.origin {
            Origin::Policy(compiled) => Ok(texts_of(&compiled.0)),
            Origin::Object | Origin::Plan(_) => KeptTexts::of_object(&self.object, &self.manifest),
        }
    }

    /// How it stands to the guards; `None` if there are none.
    pub(crate) fn guarded(
        &self,
        subject: &Subject,
        output: &mut Output,
    ) -> Result<Option<Guarded>, Exit> {
        let guards = Guards::read(&subject.guards, output)?;
        if guards.is_empty() {
            return Ok(None);
        }
        let texts = self.texts().map_err(|error| {
            output.error(format!(
                "the guards cannot be asked about this object: {error}; compile its policy again"
            ));
            Exit::Policy
        })?;
        Ok(Some(guards.check(&texts, output)))
    }

    /// Where it is to be put in force: what the command line says, and what a plan was made for.
    pub(crate) fn options(&self, subject: &Subject) -> Options {
        let (interfaces, only_if) = match &self.origin {
            Origin::Plan(about) => (&about.interfaces, about.standpoints.as_slice()),
            Origin::Policy(_) | Origin::Object => (&subject.interfaces, &[][..]),
        };
        Options {
            interfaces: interfaces.clone(),
            only_if: Arc::from(only_if),
            ..options(&subject.place)
        }
    }
}

/// Says why an object is not put in force.
fn refused(file: &Path, error: &Unfaithful, output: &mut Output) -> Exit {
    output.error(format!("{}: {error}", file.display()));
    match error {
        Unfaithful::Bug { .. } => Exit::Bug,
        _ => Exit::Policy,
    }
}

/// What tells two policies' texts apart, includes and lists counted in: the first digits of a SHA-256.
pub(crate) fn digest(manifest: &Manifest, lists: &[(String, String)]) -> String {
    let mut sum = Sha256::new();
    for (_, text) in manifest.sources.iter().chain(lists) {
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(text);
    }
    let bytes = sum.finalize();
    bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
