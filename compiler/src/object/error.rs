//! Why an object cannot be written or read.

use std::fmt;

use crate::artifact::MANIFEST_VERSION;

/// Why an object cannot be written or read; its text says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// The artifact breaks a rule of its own types: a bug of the compiler.
    Unwritable {
        /// What is wrong with it.
        what: String,
    },
    /// A part outgrows what the file format or the kernel can hold.
    TooLarge {
        /// The part.
        part: &'static str,
    },
    /// The bytes are no ELF object for BPF.
    NotAnObject,
    /// The file ends before what it announces.
    CutShort,
    /// A BPF object that sockc did not write.
    Foreign,
    /// An object written by a sockc with another version of the manifest.
    ManifestVersion {
        /// The version in the file.
        found: u32,
    },
    /// A sockc object whose content does not hold together.
    Damaged {
        /// What does not hold together.
        what: String,
    },
}

impl ObjectError {
    /// The object is damaged at `what`.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwritable { what } => {
                write!(f, "cannot write the object: {what}; this is a bug in sockc")
            }
            Self::TooLarge { part } => write!(
                f,
                "cannot write the object: its {part} is larger than the file format or the kernel allows; \
                 split the policy or shorten it"
            ),
            Self::NotAnObject => f.write_str(
                "this is not a BPF object file; give a policy or an object that `sockc compile` wrote",
            ),
            Self::CutShort => f.write_str(
                "the object file ends too early, as after an interrupted copy; copy it or compile it again",
            ),
            Self::Foreign => write!(
                f,
                "this BPF object was not written by sockc (it has no section `{}`); compile a policy with `sockc compile`",
                super::MANIFEST
            ),
            Self::ManifestVersion { found } => write!(
                f,
                "the object was written by another version of sockc (manifest version {found}, this one reads \
                 {MANIFEST_VERSION}); compile the policy again with this sockc"
            ),
            Self::Damaged { what } => {
                write!(f, "the object file is damaged: {what}; compile it again")
            }
        }
    }
}

impl std::error::Error for ObjectError {}
