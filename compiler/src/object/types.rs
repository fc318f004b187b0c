//! What the types of an artifact are: its map definitions, license and functions in BTF.
//!
//! A map is a variable in `.maps` whose type says everything. The type is a struct of pointers: to an array as long as the
//! number meant (`type`, `max_entries`, `map_flags`, `key_size`, `value_size`), or to the type of a key or value. With types
//! `bpftool map dump` prints names. Socket maps and ring buffers have sizes only: the kernel takes no types for them. A
//! constant table is a variable of bytes in a section of its own.

use super::btf::{self, Btf, Member, Placed, TypeId};
use super::layout::MAP_SIZE;
use super::{LICENSE, LICENSE_TEXT, MAPS, ObjectError, home};
use crate::artifact::{Artifact, MapKind, MapSpec, Section};
use crate::counter_blocks::{self, COUNTER};
use crate::destination::{self, Ending};

/// The name of the license's variable; its section's name would confuse assemblers.
pub(super) const LICENSE_VARIABLE: &str = "_license";

/// Adds what the artifact needs and gives the functions, by program.
pub(super) fn describe(btf: &mut Btf, artifact: &Artifact) -> Result<Vec<TypeId>, ObjectError> {
    describe_maps(btf, artifact)?;
    describe_contents(btf, artifact);
    describe_license(btf)?;
    Ok(artifact
        .programs
        .iter()
        .map(|program| function(btf, &program.name, program.section))
        .collect())
}

/// Every map without contents as a variable, and the section they are in; an empty section is left out, as the kernel
/// refuses it.
fn describe_maps(btf: &mut Btf, artifact: &Artifact) -> Result<(), ObjectError> {
    let mut variables = Vec::with_capacity(artifact.maps.len());
    let mut end: u32 = 0;
    for spec in artifact.maps.values().filter(|spec| spec.data.is_none()) {
        let definition = definition(btf, spec);
        variables.push(Placed {
            variable: btf.variable(&spec.name, definition),
            offset: end,
            size: MAP_SIZE,
        });
        end = end.checked_add(MAP_SIZE).ok_or(ObjectError::TooLarge {
            part: "list of maps",
        })?;
    }
    if !variables.is_empty() {
        btf.section(MAPS, end, &variables);
    }
    Ok(())
}

/// Every map with contents as a variable in its section.
fn describe_contents(btf: &mut Btf, artifact: &Artifact) {
    for spec in artifact.maps.values().filter(|spec| spec.data.is_some()) {
        let byte = btf.integer(btf::U8);
        let bytes = btf.array(byte, spec.value_size);
        let placed = Placed {
            variable: btf.variable(&spec.name, bytes),
            offset: 0,
            size: spec.value_size,
        };
        let section = format!("{}{}", home(spec), spec.name);
        btf.section(&section, spec.value_size, &[placed]);
    }
}

/// The license as a variable in its section.
fn describe_license(btf: &mut Btf) -> Result<(), ObjectError> {
    let size =
        u32::try_from(LICENSE_TEXT.len()).map_err(|_| ObjectError::TooLarge { part: "license" })?;
    let character = btf.integer(btf::CHAR);
    let text = btf.array(character, size);
    let variable = btf.variable(LICENSE_VARIABLE, text);
    let placed = Placed {
        variable,
        offset: 0,
        size,
    };
    btf.section(LICENSE, size, &[placed]);
    Ok(())
}

/// The struct that defines a map.
fn definition(btf: &mut Btf, spec: &MapSpec) -> TypeId {
    let kind = number(btf, spec.kind as u32);
    let [key, value] = key_and_value(btf, spec);
    let max_entries = number(btf, spec.max_entries);
    let flags = number(btf, spec.flags);
    let mut offset = 0;
    let members = [
        ("type", kind),
        key,
        value,
        ("max_entries", max_entries),
        ("map_flags", flags),
    ]
    .map(|(name, of)| {
        let member = Member { name, of, offset };
        offset += 8;
        member
    });
    btf.structure("", MAP_SIZE, &members)
}

/// The attributes of key and value. The kernel wants types for both or for neither.
fn key_and_value(btf: &mut Btf, spec: &MapSpec) -> [(&'static str, TypeId); 2] {
    let untyped = [
        MapKind::ProgArray,
        MapKind::PerfEventArray,
        MapKind::DevMap,
        MapKind::SockMap,
        MapKind::SockHash,
        MapKind::RingBuf,
    ];
    if untyped.contains(&spec.kind) {
        let key = number(btf, spec.key_size);
        let value = number(btf, spec.value_size);
        return [("key_size", key), ("value_size", value)];
    }
    let key = match spec.kind {
        MapKind::LpmTrie => prefix(btf, spec.key_size),
        _ => plain(btf, spec.key_size),
    };
    let value = match spec.kind {
        MapKind::SkStorage => stored(btf, spec.value_size),
        _ if spec.name == counter_blocks::MAP && spec.value_size.is_multiple_of(COUNTER) => {
            let counter = counter(btf);
            btf.array(counter, spec.value_size / COUNTER)
        }
        _ if spec.name == destination::MAP && spec.value_size == Ending::ROW => row(btf),
        _ => plain(btf, spec.value_size),
    };
    [("key", btf.pointer(key)), ("value", btf.pointer(value))]
}

/// A number: a pointer to an array as long as it.
fn number(btf: &mut Btf, value: u32) -> TypeId {
    let int = btf.integer(btf::INT);
    let array = btf.array(int, value);
    btf.pointer(array)
}

/// A type of so many bytes: an integer if there is one, else an array of bytes. Arrays and socket storage want an integer
/// of four bytes as key (`array_map_check_btf`, `bpf_local_storage_map_check_btf`).
fn plain(btf: &mut Btf, size: u32) -> TypeId {
    match size {
        1 => btf.integer(btf::U8),
        2 => btf.integer(btf::U16),
        4 => btf.integer(btf::U32),
        8 => btf.integer(btf::U64),
        _ => {
            let byte = btf.integer(btf::U8);
            btf.array(byte, size)
        }
    }
}

/// `struct counter { __u64 packets; __u64 bytes; }`, of which a value is an array.
fn counter(btf: &mut Btf) -> TypeId {
    let of = btf.integer(btf::U64);
    let members = [("packets", 0), ("bytes", 8)].map(|(name, offset)| Member { name, of, offset });
    btf.structure("counter", COUNTER, &members)
}

/// `struct steered { __u64 given; … }`
fn row(btf: &mut Btf) -> TypeId {
    let of = btf.integer(btf::U64);
    let members = Ending::ALL.map(|ending| Member {
        name: ending.word(),
        of,
        offset: ending.offset(),
    });
    btf.structure(destination::MAP, Ending::ROW, &members)
}

/// `struct prefix { __u32 length; __u8 address[…]; }`: the kernel wants a struct (`trie_check_btf`).
fn prefix(btf: &mut Btf, size: u32) -> TypeId {
    let length = btf.integer(btf::U32);
    let byte = btf.integer(btf::U8);
    let address = btf.array(byte, size.saturating_sub(4));
    let members = [("length", length, 0), ("address", address, 4)];
    let members = members.map(|(name, of, offset)| Member { name, of, offset });
    btf.structure("prefix", size, &members)
}

/// `struct stored { … value; }`: what a socket keeps.
fn stored(btf: &mut Btf, size: u32) -> TypeId {
    let member = Member {
        name: "value",
        of: plain(btf, size),
        offset: 0,
    };
    btf.structure("stored", size, &[member])
}

/// `int NAME(struct CONTEXT *ctx)`
fn function(btf: &mut Btf, name: &str, section: Section) -> TypeId {
    // The verifier knows a program's context by the name of its struct and never looks inside.
    let context = btf.structure(section.context(), 0, &[]);
    let pointer = btf.pointer(context);
    let int = btf.integer(btf::INT);
    let prototype = btf.prototype("ctx", pointer, int);
    btf.function(name, prototype)
}
