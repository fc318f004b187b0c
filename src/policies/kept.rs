//! The policy in force and those that were before, as the kernel keeps them, for verbs that take one in place of a file.
//!
//! Takes which one; gives its object, the policy of its text, and whether its code is what that text says. No file is read.

use std::path::Path;

use sockc_compiler::faithful::{self, Unfaithful};
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::observer::Observer;
use sockc_compiler::policy::Policy;
use sockc_runtime::{Error, KeptGeneration, Options};

use crate::exit::Exit;
use crate::machine::refused;
use crate::output::Output;

/// The word that stands for what is in force where a policy is named.
pub(crate) const RUNNING: &str = "running";

/// Which of the policies that the kernel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one in force.
    Running,
    /// That of a generation.
    Generation(u32),
}

impl Which {
    /// What a command line says in place of a file: `running` or `running:12`; `None` if it names a file.
    pub(crate) fn named(path: &Path) -> Option<Self> {
        let rest = path.to_str()?.strip_prefix(RUNNING)?;
        if rest.is_empty() {
            return Some(Self::Running);
        }
        rest.strip_prefix(':')?.parse().ok().map(Self::Generation)
    }

    /// How it is called.
    fn title(self, generation: u32) -> String {
        match self {
            Self::Running => format!("the policy in force (generation {generation})"),
            Self::Generation(_) => format!("generation {generation}"),
        }
    }
}

/// A policy that the kernel keeps.
pub(crate) struct Kept {
    /// What is kept of it.
    pub(crate) generation: KeptGeneration,
    /// How it is called in messages.
    pub(crate) name: String,
}

/// Reads it; what stands in a `for netns` block has no text of its own.
pub(crate) fn read(which: Which, options: &Options, output: &mut Output) -> Result<Kept, Exit> {
    let generation = found(which, options).map_err(|error| refused(&error, output))?;
    let name = which.title(generation.about.generation);
    Ok(Kept { generation, name })
}

fn found(which: Which, options: &Options) -> Result<KeptGeneration, Error> {
    let generation = match which {
        Which::Generation(generation) => generation,
        Which::Running => {
            // Where programs of sockc hang that nobody here knows of, this says so.
            let running = sockc_runtime::running(options)?;
            running.ok_or(Error::NothingInForce)?.generation
        }
    };
    let found = sockc_runtime::kept(options, generation)?;
    if found.about.owned {
        return Err(Error::OtherPolicy {
            netns: options.netns.clone(),
            policy: found.manifest.policy.clone(),
            owned: true,
        });
    }
    Ok(found)
}

impl Kept {
    /// The policy of its text, and why it is not known that the code does what that says; `None` if it is known.
    pub(crate) fn policy(&self, output: &mut Output) -> Result<(Policy, Option<String>), Exit> {
        output.watch().stage("compare the object with its text");
        let (object, manifest) = (&self.generation.object, &self.generation.manifest);
        match faithful::policy_of(object, manifest) {
            Ok(policy) => Ok((policy, None)),
            Err(Unfaithful::Bug { what }) => {
                output.error(format!("this is a bug in sockc: {what}"));
                Err(Exit::Bug)
            }
            Err(error) => {
                let texts = KeptTexts::of_object(object, manifest);
                let kept = texts.and_then(|texts| texts.policy()).map_err(|unread| {
                    output.error(format!("{}: {unread}", self.name));
                    Exit::Policy
                })?;
                Ok((kept.policy, Some(self.unverified(&error))))
            }
        }
    }

    /// That nobody knows whether its code does what its text says.
    pub(crate) fn unverified(&self, error: &Unfaithful) -> String {
        let name = &self.name;
        match error {
            Unfaithful::OtherBuild { build } => format!(
                "{name}: whether its code is what its text says was not looked at: another sockc ({build}) put it in force"
            ),
            error => format!("{name}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_meant_where_no_generation_is() {
        let named = |word: &str| Which::named(Path::new(word));
        assert_eq!(named("running"), Some(Which::Running));
        assert_eq!(named("running:12"), Some(Which::Generation(12)));
        for file in [
            "./running",
            "running.sk",
            "running:",
            "running:x",
            "running:-1",
            "-",
        ] {
            assert_eq!(named(file), None, "{file}");
        }
    }
}
