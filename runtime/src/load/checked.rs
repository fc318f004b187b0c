//! Whether an object may be handed to what loads it.
//!
//! Takes the bytes of an object; says whether they are what sockc writes of what it reads in them, and whether its maps have
//! the sizes that its manifest speaks of. The reader that loads objects takes sizes and offsets from the file, and ends the
//! process where they are not as it expects; so nothing gets there that we have not written alike. Not here: whether the
//! code is what the text compiles to, which the compiler says.

use std::sync::Arc;

use sockc_compiler::artifact::{Artifact, Manifest, MapSpec, map_keys, set_keys};
use sockc_compiler::counter_blocks::{self, BLOCK};
use sockc_compiler::destination::{self, Ending};
use sockc_compiler::{entry_table, member_table, object};

use crate::error::Error;

/// An object that is to be put in force.
#[derive(Clone, Debug)]
pub struct Object {
    bytes: Vec<u8>,
    /// The manifest of one that was written here, so that there is nothing to check.
    written: Option<Arc<Manifest>>,
}

impl Object {
    /// One that comes from anywhere: it is checked before it is loaded.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            written: None,
        }
    }

    /// That of an artifact, and its manifest. It need not be read and written again to know that it is as sockc writes it.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] if the artifact breaks a rule of its own types.
    pub fn written(artifact: Artifact) -> Result<(Self, Arc<Manifest>), Error> {
        let bytes = object::write(&artifact).map_err(wrong)?;
        sizes(&artifact)?;
        let manifest = Arc::new(artifact.manifest);
        let written = Some(Arc::clone(&manifest));
        Ok((Self { bytes, written }, manifest))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it may be loaded, with those of the blocks in it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.written {
            Some(_) => Ok(()),
            None => check(&self.bytes),
        }
    }

    /// Whether this is known to be its manifest, and not what a caller made of one.
    pub(crate) fn is_described_by(&self, manifest: &Arc<Manifest>) -> bool {
        let own = self.written.as_ref();
        own.is_some_and(|own| Arc::ptr_eq(own, manifest))
    }
}

fn wrong(error: object::ObjectError) -> Error {
    Error::Object {
        cause: error.to_string(),
    }
}

fn check(bytes: &[u8]) -> Result<(), Error> {
    let artifact = object::read(bytes).map_err(wrong)?;
    let written = object::write(&artifact).map_err(wrong)?;
    if written != bytes {
        return Err(Error::Object {
            cause: "its bytes are not those that sockc writes of what is in it".to_owned(),
        });
    }
    sizes(&artifact)
}

/// Whether maps have the sizes that the manifest speaks of, here and in blocks.
fn sizes(artifact: &Artifact) -> Result<(), Error> {
    let manifest = &artifact.manifest;
    let blocks = u32::try_from(manifest.counters.len()).map(counter_blocks::blocks);
    is_as_told(artifact, counter_blocks::MAP, &|map| {
        blocks.is_ok_and(|blocks| (map.max_entries, map.value_size) == (blocks, BLOCK))
    })?;
    let mut maps = artifact.maps.values();
    let slots = maps.find(|map| map.name == "sockets");
    let slots = slots.map_or(0, |map| map.max_entries);
    is_as_told(artifact, destination::MAP, &|map| {
        (map.max_entries, map.value_size) == (slots, Ending::ROW)
    })?;
    for set in &manifest.sets {
        is_as_told(artifact, &set.map, &|map| {
            map.max_entries == set_keys(set.max)
        })?;
        let (heads, nodes) = (member_table::heads(set.max), member_table::nodes(set.max));
        if let Some(table) = &set.table {
            for (name, value, entries) in [
                (&set.state, member_table::STATE, 1),
                (&table.plans, member_table::PLAN, entry_table::SIDES),
                (&table.heads, entry_table::HEAD, heads),
                (&table.nodes, entry_table::NODE, nodes),
            ] {
                is_as_told(artifact, name, &|array| {
                    array.max_entries == entries && array.value_size == value
                })?;
            }
        }
    }
    for map in &manifest.maps {
        is_as_told(artifact, &map.trie, &|trie| {
            trie.max_entries == map_keys(map.max)
        })?;
        let plans = entry_table::SIDES * entry_table::PLANS;
        for (name, value, entries) in [
            (&map.state, entry_table::STATE, 1),
            (&map.plans, entry_table::PLAN, plans),
            (&map.heads, entry_table::HEAD, entry_table::heads(map.max)),
            (&map.nodes, entry_table::NODE, entry_table::nodes(map.max)),
        ] {
            is_as_told(artifact, name, &|array| {
                array.max_entries == entries && array.value_size == value
            })?;
        }
    }
    artifact
        .netns
        .iter()
        .try_for_each(|(_, inner)| sizes(inner))
}

fn is_as_told(
    artifact: &Artifact,
    name: &str,
    fits: &dyn Fn(&MapSpec) -> bool,
) -> Result<(), Error> {
    match artifact.maps.values().find(|map| map.name == name) {
        Some(map) if !fits(map) => Err(Error::Object {
            cause: format!(
                "the map \"{name}\" has room for {} elements, which is not what its manifest says",
                map.max_entries
            ),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sockc_compiler::files::Texts;
    use sockc_compiler::pipeline;
    use sockc_compiler::target::Target;
    use sockc_grammar::source::SourceMap;

    use super::*;

    /// What was written here need not be read again; that its maps fit its manifest is asked all the same.
    #[test]
    fn an_object_that_was_written_here_has_the_sizes_that_its_manifest_says() {
        let mut sources = SourceMap::default();
        let id = sources.add("a.sk", "default in drop\nallow tcp to any:22\n");
        let target = Target::baseline();
        let outcome = pipeline::compile(&mut sources, id, "a", &target, &mut Texts::default());
        let mut artifact = outcome.built.unwrap().artifact;
        let (sound, manifest) = Object::written(artifact.clone()).unwrap();
        assert!(sound.is_described_by(&manifest));
        assert!(!sound.is_described_by(&Arc::new(artifact.manifest.clone())));
        sound.check().unwrap();
        Object::new(sound.bytes().to_vec()).check().unwrap();
        let mut maps = artifact.maps.values_mut();
        let counters = maps.find(|map| map.name == counter_blocks::MAP).unwrap();
        counters.max_entries += 1;
        let refused = Object::written(artifact).unwrap_err();
        assert!(refused.to_string().contains("room for"), "{refused}");
        let mut changed = sound.bytes().to_vec();
        changed.pop();
        Object::new(changed).check().unwrap_err();
    }
}
