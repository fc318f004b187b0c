//! A policy with its `for netns` blocks as the parts that are put in force one after the other.
//!
//! Takes an object and its blocks; gives for each network namespace what is its own. Not here: which namespaces there are.

use std::iter;
use std::sync::Arc;

use sockc_compiler::artifact::Manifest;

use super::Blocks;
use crate::error::Error;
use crate::load::checked::Object;
use crate::options::Options;
use crate::state::namespaces::Held;

/// A policy for one network namespace.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// Its object.
    pub(crate) object: &'a [u8],
    /// The object's manifest, or what a caller made of it.
    pub(crate) manifest: &'a Arc<Manifest>,
    /// Whether it is known to be the object's.
    pub(crate) is_own: bool,
    /// The caller's options, for this namespace.
    pub(crate) options: Options,
    /// The name of the namespace in the policy; nothing of the outer policy.
    pub(crate) block: Option<&'a str>,
    /// The namespaces of its blocks that are gone and left out.
    pub(crate) gone: &'a [Held],
}

impl Part<'_> {
    /// An error that came up in the part's namespace, which says so where that is a block's.
    pub(crate) fn placed(&self, error: Error) -> Error {
        match error {
            Error::NoInterface {
                name,
                netns: None,
                present,
            } => Error::NoInterface {
                name,
                netns: self.block.map(str::to_owned),
                present,
            },
            Error::Undelivered {
                wrong,
                addable,
                netns: None,
            } => Error::Undelivered {
                wrong,
                addable,
                netns: self.block.map(str::to_owned),
            },
            error => error,
        }
    }
}

/// A policy and those of its blocks, each with the options for its namespace.
pub(crate) fn parts<'a>(
    object: &'a Object,
    manifest: &'a Arc<Manifest>,
    blocks: &'a Blocks,
    options: &Options,
) -> Vec<Part<'a>> {
    let outer = Part {
        object: object.bytes(),
        manifest,
        is_own: object.is_described_by(manifest),
        options: options.clone(),
        block: None,
        gone: &blocks.gone,
    };
    let inner = blocks.there.iter().map(|one| Part {
        object: &one.object,
        manifest: &one.manifest,
        is_own: true,
        options: options.within(&one.place),
        block: Some(&one.name),
        gone: &[],
    });
    iter::once(outer).chain(inner).collect()
}
