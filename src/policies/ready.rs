//! What `plan` and `apply` are asked to put in force: a policy, compiled for this kernel; an object; a saved plan; or what is in
//! force already.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sockc_compiler::artifact::{BUILD, Manifest};
use sockc_compiler::faithful::{self, Unfaithful};
use sockc_compiler::guard::Guarded;
use sockc_compiler::kept::{KeptError, KeptTexts};
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::pipeline;
use sockc_compiler::policy::Policy;
use sockc_grammar::source::SourceMap;
use sockc_runtime::{
    After, AtStart, Features, Generation, InForce, KeptGeneration, Object, Options, known_features,
};

use crate::cli::Subject;
use crate::exit::Exit;
use crate::files::input::{self, ELF, Text};
use crate::files::saved::{About, Saved, is_plan};
use crate::machine::cards::Here;
use crate::machine::options;
use crate::output::Output;
use crate::policies::compiled::{Compiled, loadable, outcome_exit};
use crate::policies::guards::{Guards, texts_of};
use crate::policies::lints::Lints;

/// What is to be put in force.
pub(crate) struct Ready {
    /// The object.
    pub(crate) object: Object,
    /// Its manifest.
    pub(crate) manifest: Arc<Manifest>,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Where an object comes from.
pub(crate) enum Origin {
    /// It was compiled just now, for what this kernel can do.
    Policy(Box<(Text, Policy)>, Features),
    /// It is a file.
    Object,
    /// A plan was saved with it.
    Plan(Box<About>),
    /// It is what is in force: its generation, the interfaces that were given when it was applied, and the file that it was read
    /// from, if that is known.
    Running(u32, Vec<String>, Option<String>),
    /// It was in force before, and is to come back instead of this generation.
    Kept(Option<u32>, Box<Generation>),
    /// It was kept on disk, and is to be in force since the machine has started.
    AtStart(Box<AtStart>),
}

impl Ready {
    /// Reads what the command line names, and compiles it if need be.
    pub(crate) fn read(file: &Path, subject: &Subject, output: &mut Output) -> Result<Self, Exit> {
        let lints = Lints::new(&subject.lints, output)?;
        let bytes = input::bytes(file, output)?;
        if is_plan(&bytes) {
            return Self::of_plan(file, subject, &bytes, output);
        }
        let name = file.display().to_string();
        if bytes.starts_with(ELF) {
            return Self::of_object(&name, subject, bytes, Origin::Object, output);
        }
        let text = Text::new(file, bytes, output)?;
        Self::of_text(text, subject, &lints, output)
    }

    /// Compiles a policy.
    pub(crate) fn of_text(
        text: Text,
        subject: &Subject,
        lints: &Lints,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let features = known_features(&subject.place.bpffs);
        let target = features.target();
        let place = Options {
            interfaces: subject.interfaces.clone(),
            ..options(&subject.place)
        };
        let here = Here::new(place, features);
        let options = pipeline::Options {
            counters: subject.counting.counters(),
            machine: &here,
            ..pipeline::Options::from(&target)
        };
        let compiled = Compiled::new(text, options, lints, output)?;
        let (object, manifest) = loadable(compiled.built, output)?;
        Ok(Self {
            object,
            manifest,
            origin: Origin::Policy(Box::new((compiled.text, compiled.policy)), features),
        })
    }

    /// Takes what is in force.
    pub(crate) fn of_running(
        running: InForce,
        subject: &Subject,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let file = running.author.and_then(|author| author.file);
        let origin = Origin::Running(running.generation, running.interfaces, file);
        let name = format!("the policy \"{}\" in force", running.policy);
        Self::of_machine(&name, subject, running.object, origin, output)
    }

    /// Takes what was in force before; `now` is the generation in force.
    pub(crate) fn of_kept(
        now: Option<u32>,
        kept: KeptGeneration,
        subject: &Subject,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let name = format!("generation {}", kept.about.generation);
        let origin = Origin::Kept(now, Box::new(kept.about));
        Self::of_machine(&name, subject, kept.object, origin, output)
    }

    /// Takes what was kept on disk, in the file of this name.
    pub(crate) fn of_disk(
        name: &str,
        (about, object): (AtStart, Vec<u8>),
        subject: &Subject,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let origin = Origin::AtStart(Box::new(about));
        Self::of_machine(name, subject, object, origin, output)
    }

    /// The same, compiled again for this kernel: it may have been kept under another one.
    pub(crate) fn of_disk_compiled(
        name: &str,
        (about, object): (AtStart, Vec<u8>),
        subject: &Subject,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let manifest = object::read_manifest(&object).map_err(|error| {
            output.error(format!("{name}: {error}"));
            Exit::Policy
        })?;
        let origin = Origin::AtStart(Box::new(about));
        Self::compiled_again(name, subject, (&object, &manifest), origin, output)
    }

    /// Takes an object that the kernel, or the disk, keeps. One that another sockc made is compiled again, from the texts in it alone.
    fn of_machine(
        name: &str,
        subject: &Subject,
        bytes: Vec<u8>,
        origin: Origin,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let other = object::read_manifest(&bytes).ok();
        let other = other.filter(|manifest| manifest.made.build != BUILD);
        let Some(manifest) = other else {
            return Self::of_object(name, subject, bytes, origin, output);
        };
        let build = &manifest.made.build;
        output.note(format!(
            "{name}: another sockc made it ({build}), so its text is compiled again by this one"
        ));
        Self::compiled_again(name, subject, (&bytes, &manifest), origin, output)
    }

    fn compiled_again(
        name: &str,
        subject: &Subject,
        (bytes, manifest): (&[u8], &Manifest),
        origin: Origin,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let mut kept = KeptTexts::of_object(bytes, manifest).map_err(|error| {
            output.error(format!("{name}: {error}"));
            Exit::Policy
        })?;
        let features = known_features(&subject.place.bpffs);
        let target = features.target();
        let interfaces = match &origin {
            Origin::Running(_, interfaces, _) => interfaces.clone(),
            Origin::Kept(_, about) => about.interfaces.clone(),
            Origin::AtStart(about) => about.interfaces.clone(),
            _ => subject.interfaces.clone(),
        };
        let place = Options {
            interfaces,
            ..options(&subject.place)
        };
        let here = Here::new(place, features);
        let counters = match manifest.made.counters {
            true => pipeline::Counters::Kept,
            false => pipeline::Counters::LeftOut,
        };
        let options = pipeline::Options {
            counters,
            lints: pipeline::Lints::LeftOut,
            machine: &here,
            ..pipeline::Options::from(&target)
        };
        let mut sources = SourceMap::default();
        let id = sources.add(&kept.name, &kept.text);
        let outcome = pipeline::compile(&mut sources, id, &kept.stem, options, &mut kept.texts);
        output.diagnostics(&sources, &outcome.diagnostics);
        let exit = outcome_exit(&outcome, output);
        let built = outcome.built.filter(|_| exit == Exit::Done);
        let (object, manifest) = loadable(built.ok_or(exit.max(Exit::Policy))?, output)?;
        Ok(Self {
            object,
            manifest,
            origin,
        })
    }

    fn of_object(
        name: &str,
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
        let manifest = faithful::read(&bytes).map_err(|error| refused(name, &error, output))?;
        Ok(Self {
            object: Object::new(bytes),
            manifest: Arc::new(manifest),
            origin,
        })
    }

    fn of_plan(
        file: &Path,
        subject: &Subject,
        bytes: &[u8],
        output: &mut Output,
    ) -> Result<Self, Exit> {
        if !subject.interfaces.is_empty() {
            output.error("--interface is for policies and objects: a plan has its interfaces");
            return Err(Exit::Usage);
        }
        let name = file.display().to_string();
        let saved = Saved::read(bytes).map_err(|cause| {
            output.error(format!(
                "{name} cannot be read as a plan: {cause}; make it again with `sockc plan -o`"
            ));
            Exit::Policy
        })?;
        let origin = Origin::Plan(Box::new(saved.about));
        Self::of_object(&name, subject, saved.object, origin, output)
    }

    /// Everything that it was compiled from.
    pub(crate) fn texts(&self) -> Result<KeptTexts, KeptError> {
        match &self.origin {
            Origin::Policy(compiled, _) => Ok(texts_of(&compiled.0)),
            _ => KeptTexts::of_object(self.object.bytes(), &self.manifest),
        }
    }

    /// The policy.
    pub(crate) fn policy(&self) -> Result<Cow<'_, Policy>, KeptError> {
        match &self.origin {
            Origin::Policy(compiled, _) => Ok(Cow::Borrowed(&compiled.1)),
            _ => self.texts()?.policy().map(|kept| Cow::Owned(kept.policy)),
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

    /// Where it is to be put in force: what the command line says, what a plan was made for, or where it is in force.
    pub(crate) fn options(&self, subject: &Subject) -> Options {
        let options = Options {
            add_routes: subject.add_routes,
            ..options(&subject.place)
        };
        match &self.origin {
            Origin::Policy(_, features) => Options {
                interfaces: subject.interfaces.clone(),
                // It was asked once; nothing is gained by asking again.
                features: Some(*features),
                ..options
            },
            Origin::Object => Options {
                interfaces: subject.interfaces.clone(),
                ..options
            },
            Origin::Plan(about) => Options {
                interfaces: about.interfaces.clone(),
                add_routes: options.add_routes || about.add_routes,
                only_if: Arc::from(about.standpoints.as_slice()),
                ..options
            },
            Origin::Running(generation, interfaces, _) => Options {
                interfaces: interfaces.clone(),
                leave_out_missing: true,
                only_after: After::Generation(*generation),
                ..options
            },
            Origin::Kept(now, about) => Options {
                interfaces: about.interfaces.clone(),
                leave_out_missing: true,
                only_after: now.map_or(After::Nothing, After::Generation),
                ..options
            },
            Origin::AtStart(about) => Options {
                interfaces: about.interfaces.clone(),
                // Whoever else leads packets to their sockets does so later.
                add_routes: true,
                only_after: After::Nothing,
                ..options
            },
        }
    }
}

/// Says why an object is not put in force.
fn refused(name: &str, error: &Unfaithful, output: &mut Output) -> Exit {
    output.error(format!("{name}: {error}"));
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
