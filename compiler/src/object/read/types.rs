//! The types and strings of `.BTF`, as far as our own objects have them.

use super::super::ObjectError;
use super::super::btf::{MAGIC, kind};
use super::little_endian::{Words, part};
use crate::artifact::{MapKind, MapSpec};

/// A type record.
#[derive(Clone, Copy, Debug)]
struct Type<'a> {
    /// Offset of its name.
    name: u32,
    /// Its kind.
    kind: u32,
    /// Its size, or the id of the type it is about.
    word: u32,
    /// The words after.
    more: Words<'a>,
}

/// The types by id, and the strings.
pub(super) struct Types<'a> {
    types: Vec<Type<'a>>,
    strings: &'a [u8],
}

/// The attributes of a map definition that are set so far.
#[derive(Default)]
struct Attributes {
    kind: Option<u32>,
    key_size: Option<u32>,
    value_size: Option<u32>,
    max_entries: Option<u32>,
    flags: Option<u32>,
}

impl<'a> Types<'a> {
    /// The types in the section `.BTF`.
    pub(super) fn parse(section: &'a [u8]) -> Result<Self, ObjectError> {
        Self::sections(section)
            .and_then(|(types, strings)| {
                let types = records(types)?;
                Some(Self { types, strings })
            })
            .ok_or_else(|| ObjectError::damaged("its types cannot be read"))
    }

    /// The string at an offset.
    pub(super) fn string(&self, offset: u32) -> Option<&'a str> {
        let rest = self.strings.get(usize::try_from(offset).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(rest.get(..end)?).ok()
    }

    /// The map that the variable of this name defines.
    pub(super) fn map(&self, name: &str) -> Result<MapSpec, ObjectError> {
        self.definition(name).ok_or_else(|| {
            ObjectError::damaged(format!("the definition of map `{name}` cannot be read"))
        })
    }

    /// Types and strings of the section.
    fn sections(section: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut words = Words(section);
        let version = words.next()?;
        if version & 0xffff != u32::from(MAGIC) {
            return None;
        }
        let body = section.get(usize::try_from(words.next()?).ok()?..)?;
        let types = part(body, words.next()?, words.next()?)?;
        let strings = part(body, words.next()?, words.next()?)?;
        Some((types, strings))
    }

    fn definition(&self, name: &str) -> Option<MapSpec> {
        let variable = self
            .types
            .iter()
            .find(|t| t.kind == kind::VAR && self.string(t.name) == Some(name))?;
        let attributes = self.attributes(self.get(variable.word, kind::STRUCT)?)?;
        let number = attributes.kind?;
        Some(MapSpec {
            name: name.to_owned(),
            kind: MapKind::ALL.into_iter().find(|k| *k as u32 == number)?,
            key_size: attributes.key_size?,
            value_size: attributes.value_size?,
            max_entries: attributes.max_entries?,
            flags: attributes.flags?,
            data: None,
        })
    }

    /// The attributes that the members of a definition's struct set.
    fn attributes(&self, definition: &Type<'a>) -> Option<Attributes> {
        let mut attributes = Attributes::default();
        let mut members = definition.more;
        while let Some(mut member) = members.take(3) {
            let name = self.string(member.next()?)?;
            let about = self.get(member.next()?, kind::PTR)?.word;
            match name {
                "type" => attributes.kind = Some(self.length(about)?),
                "key" => attributes.key_size = Some(self.size(about)?),
                "key_size" => attributes.key_size = Some(self.length(about)?),
                "value" => attributes.value_size = Some(self.size(about)?),
                "value_size" => attributes.value_size = Some(self.length(about)?),
                "max_entries" => attributes.max_entries = Some(self.length(about)?),
                "map_flags" => attributes.flags = Some(self.length(about)?),
                _ => return None,
            }
        }
        Some(attributes)
    }

    /// The type of this id if it is of this kind; ids begin at 1.
    fn get(&self, id: u32, kind: u32) -> Option<&Type<'a>> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.types.get(index).filter(|found| found.kind == kind)
    }

    /// The length of an array.
    fn length(&self, id: u32) -> Option<u32> {
        self.get(id, kind::ARRAY)?.more.at(2)
    }

    /// The size of an integer, a struct, or an array of either.
    fn size(&self, id: u32) -> Option<u32> {
        let sized = |id| {
            let found = self.get(id, kind::INT).or(self.get(id, kind::STRUCT))?;
            Some(found.word)
        };
        match self.get(id, kind::ARRAY) {
            Some(array) => sized(array.more.at(0)?)?.checked_mul(array.more.at(2)?),
            None => sized(id),
        }
    }
}

/// The type records in these bytes.
fn records(bytes: &[u8]) -> Option<Vec<Type<'_>>> {
    let mut words = Words(bytes);
    let mut types = Vec::new();
    while !words.0.is_empty() {
        let (name, info, word) = (words.next()?, words.next()?, words.next()?);
        let kind = info >> 24 & 0x1f;
        let members = usize::try_from(info & 0xffff).ok()?;
        let more = words.take(words_after(kind, members)?)?;
        types.push(Type {
            name,
            kind,
            word,
            more,
        });
    }
    Some(types)
}

/// How many words follow the three that every record has; `None` for kinds that we do not write.
fn words_after(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        kind::PTR | kind::FUNC => 0,
        kind::INT | kind::VAR => 1,
        kind::ARRAY => 3,
        kind::STRUCT | kind::DATASEC => members * 3,
        kind::FUNC_PROTO => members * 2,
        _ => return None,
    })
}
