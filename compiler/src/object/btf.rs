//! An encoder for BTF, the type format of the kernel: a header, type records, a string table.
//!
//! Takes types one by one and gives ids; equal records share an id. It knows the format, not what the types are for.
//! The format is described in the kernel's `Documentation/bpf/btf.rst`.

use std::collections::BTreeMap;

use super::ObjectError;
use super::strings::{Strings, escape};

/// The first two bytes of `.BTF` and `.BTF.ext`.
pub(super) const MAGIC: u16 = 0xeb9f;
/// The size of the header.
pub(super) const HEADER_SIZE: u32 = 24;
/// The kernel refuses more (`BTF_MAX_SIZE`).
const SIZE_LIMIT: usize = 16 << 20;
/// Up to here strings may be source text; the rest of the space is for names.
const TEXT_LIMIT: usize = 15 << 20;

/// The kinds of types (`BTF_KIND_…`).
pub(super) mod kind {
    pub(in crate::object) const INT: u32 = 1;
    pub(in crate::object) const PTR: u32 = 2;
    pub(in crate::object) const ARRAY: u32 = 3;
    pub(in crate::object) const STRUCT: u32 = 4;
    pub(in crate::object) const FUNC: u32 = 12;
    pub(in crate::object) const FUNC_PROTO: u32 = 13;
    pub(in crate::object) const VAR: u32 = 14;
    pub(in crate::object) const DATASEC: u32 = 15;
}

/// `BTF_FUNC_GLOBAL` and `BTF_VAR_GLOBAL_ALLOCATED`: libbpf refuses maps and programs that are not global.
const GLOBAL: u32 = 1;

/// The id of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeId(pub(super) u32);

/// An integer type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integer {
    name: &'static str,
    bytes: u32,
    signed: bool,
}

pub(super) const CHAR: Integer = Integer::new("char", 1, true);
pub(super) const INT: Integer = Integer::new("int", 4, true);
pub(super) const U8: Integer = Integer::new("__u8", 1, false);
pub(super) const U16: Integer = Integer::new("__u16", 2, false);
pub(super) const U32: Integer = Integer::new("__u32", 4, false);
pub(super) const U64: Integer = Integer::new("__u64", 8, false);

impl Integer {
    const fn new(name: &'static str, bytes: u32, signed: bool) -> Self {
        Self {
            name,
            bytes,
            signed,
        }
    }
}

/// A member of a struct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: &'static str,
    /// Its type.
    pub(super) of: TypeId,
    /// Where it begins, in bytes.
    pub(super) offset: u32,
}

/// A variable in its section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// The variable.
    pub(super) variable: TypeId,
    /// Where it begins, in bytes.
    pub(super) offset: u32,
    /// Its size in bytes.
    pub(super) size: u32,
}

/// Types and strings so far.
#[derive(Debug)]
pub(super) struct Btf {
    records: Vec<u8>,
    ids: BTreeMap<Vec<u8>, TypeId>,
    strings: Strings,
}

impl Btf {
    /// No types.
    pub(super) fn new() -> Self {
        Self {
            records: Vec::new(),
            ids: BTreeMap::new(),
            strings: Strings::new(),
        }
    }

    /// The offset of a name.
    pub(super) fn name(&mut self, name: &str) -> u32 {
        self.strings.add(name)
    }

    /// The offset of a source text, escaped. When the space for text is full it is that of the empty string: line numbers
    /// still serve, and no policy is too long for its own comments.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        let escaped = escape(text);
        let room = TEXT_LIMIT.saturating_sub(self.strings.bytes().len());
        if escaped.len() >= room && !self.strings.has(&escaped) {
            return 0;
        }
        self.strings.add(&escaped)
    }

    /// An integer.
    pub(super) fn integer(&mut self, of: Integer) -> TypeId {
        let encoding = u32::from(of.signed) << 24 | (of.bytes * 8);
        self.record(of.name, kind::INT, 0, of.bytes, &[encoding])
    }

    /// A pointer.
    pub(super) fn pointer(&mut self, to: TypeId) -> TypeId {
        self.record("", kind::PTR, 0, to.0, &[])
    }

    /// An array.
    pub(super) fn array(&mut self, of: TypeId, length: u32) -> TypeId {
        let index = self.integer(U32);
        self.record("", kind::ARRAY, 0, 0, &[of.0, index.0, length])
    }

    /// A struct; anonymous if the name is empty.
    pub(super) fn structure(&mut self, name: &str, size: u32, members: &[Member]) -> TypeId {
        let mut words = Vec::with_capacity(members.len() * 3);
        for member in members {
            words.extend([self.name(member.name), member.of.0, member.offset * 8]);
        }
        self.record(name, kind::STRUCT, members.len(), size, &words)
    }

    /// The type of a function with one named parameter.
    pub(super) fn prototype(&mut self, parameter: &str, of: TypeId, gives: TypeId) -> TypeId {
        let name = self.name(parameter);
        self.record("", kind::FUNC_PROTO, 1, gives.0, &[name, of.0])
    }

    /// A global function.
    pub(super) fn function(&mut self, name: &str, prototype: TypeId) -> TypeId {
        self.record(name, kind::FUNC, GLOBAL as usize, prototype.0, &[])
    }

    /// A global variable.
    pub(super) fn variable(&mut self, name: &str, of: TypeId) -> TypeId {
        self.record(name, kind::VAR, 0, of.0, &[GLOBAL])
    }

    /// A section of variables, by increasing offset.
    pub(super) fn section(&mut self, name: &str, size: u32, variables: &[Placed]) -> TypeId {
        let words: Vec<u32> = variables
            .iter()
            .flat_map(|placed| [placed.variable.0, placed.offset, placed.size])
            .collect();
        self.record(name, kind::DATASEC, variables.len(), size, &words)
    }

    /// The section `.BTF`.
    pub(super) fn finish(&self) -> Result<Vec<u8>, ObjectError> {
        let strings = self.strings.bytes();
        let size = HEADER_SIZE as usize + self.records.len() + strings.len();
        let too_large = ObjectError::TooLarge {
            part: "type information",
        };
        if size > SIZE_LIMIT {
            return Err(too_large);
        }
        let (Ok(types_length), Ok(strings_length)) = (
            u32::try_from(self.records.len()),
            u32::try_from(strings.len()),
        ) else {
            return Err(too_large);
        };
        let mut bytes = Vec::with_capacity(size);
        bytes.extend(header(HEADER_SIZE));
        // Types begin after the header, strings after the types.
        for word in [0, types_length, types_length, strings_length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.records);
        bytes.extend_from_slice(strings);
        Ok(bytes)
    }

    /// Adds `struct btf_type` and the words after it, or finds the same record. `low` is the low half of `info`: the number
    /// of members, or the linkage of a function; `word` is the size or the type meant.
    fn record(&mut self, name: &str, kind: u32, low: usize, word: u32, words: &[u32]) -> TypeId {
        // The low half holds 16 bits; maps and programs are fewer, which `check` sees to.
        let info = kind << 24 | u32::try_from(low).unwrap_or(u32::MAX) & 0xffff;
        let mut record = Vec::with_capacity(12 + words.len() * 4);
        for word in [self.name(name), info, word].iter().chain(words) {
            record.extend(word.to_le_bytes());
        }
        if let Some(id) = self.ids.get(&record) {
            return *id;
        }
        self.records.extend_from_slice(&record);
        // Ids begin at 1: 0 is `void`.
        let id = TypeId(u32::try_from(self.ids.len() + 1).unwrap_or(u32::MAX));
        self.ids.insert(record, id);
        id
    }
}

/// Magic, version 1, no flags, header length: how `.BTF` and `.BTF.ext` begin.
pub(super) fn header(length: u32) -> impl Iterator<Item = u8> {
    MAGIC
        .to_le_bytes()
        .into_iter()
        .chain([1, 0])
        .chain(length.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 32-bit words of the type records.
    fn words(btf: &Btf) -> Vec<u32> {
        btf.records
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn integers() {
        let mut btf = Btf::new();
        assert_eq!(btf.integer(U64), TypeId(1));
        assert_eq!(btf.integer(INT), TypeId(2));
        assert_eq!(
            words(&btf),
            [1, 1 << 24, 8, 64, 7, 1 << 24, 4, 1 << 24 | 32]
        );
    }

    #[test]
    fn an_array_counts_by_u32() {
        let mut btf = Btf::new();
        let byte = btf.integer(U8);
        assert_eq!(btf.array(byte, 36), TypeId(3));
        assert_eq!(words(&btf)[8..], [0, 3 << 24, 0, 1, 2, 36]);
    }

    #[test]
    fn members_are_at_bits() {
        let mut btf = Btf::new();
        let of = btf.integer(U64);
        let members = [("a", 0), ("b", 8)].map(|(name, offset)| Member { name, of, offset });
        btf.structure("s", 16, &members);
        let (a, b, s) = (btf.name("a"), btf.name("b"), btf.name("s"));
        assert_eq!(words(&btf)[4..], [s, 4 << 24 | 2, 16, a, 1, 0, b, 1, 64]);
    }

    #[test]
    fn functions_and_variables_are_global() {
        let mut btf = Btf::new();
        let int = btf.integer(INT);
        let prototype = btf.prototype("ctx", int, int);
        btf.function("f", prototype);
        btf.variable("v", int);
        let (ctx, f, v) = (btf.name("ctx"), btf.name("f"), btf.name("v"));
        assert_eq!(
            words(&btf)[4..],
            [
                0,
                13 << 24 | 1,
                1,
                ctx,
                1,
                f,
                12 << 24 | 1,
                2,
                v,
                14 << 24,
                1,
                1
            ]
        );
    }

    #[test]
    fn a_section_places_variables() {
        let mut btf = Btf::new();
        let int = btf.integer(INT);
        let variable = btf.variable("v", int);
        let placed = Placed {
            variable,
            offset: 40,
            size: 4,
        };
        btf.section(".maps", 44, &[placed]);
        let name = btf.name(".maps");
        assert_eq!(words(&btf)[8..], [name, 15 << 24 | 1, 44, 2, 40, 4]);
    }

    #[test]
    fn equal_types_share_an_id() {
        let mut btf = Btf::new();
        let first = btf.integer(U32);
        let pointer = btf.pointer(first);
        assert_eq!(btf.integer(U32), first);
        assert_eq!(btf.pointer(first), pointer);
        assert_eq!(words(&btf).len(), 7);
    }

    #[test]
    fn the_header_says_where_things_are() {
        let mut btf = Btf::new();
        btf.integer(U32);
        let bytes = btf.finish().unwrap();
        assert_eq!(bytes[..8], [0x9f, 0xeb, 1, 0, 24, 0, 0, 0]);
        assert_eq!(
            bytes[8..24],
            [0, 0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0]
        );
        assert_eq!(bytes[40..], *b"\0__u32\0");
    }

    #[test]
    fn text_beyond_the_limit_is_left_out() {
        let mut btf = Btf::new();
        let long = "x".repeat(TEXT_LIMIT - 7);
        assert_eq!(btf.text("known"), 1);
        assert_eq!(btf.text(&long), 0);
        assert_eq!(btf.text(long.split_at(1).1), 7);
        assert_eq!(btf.text("x"), 0);
        assert_eq!(btf.text("known"), 1);
        assert_ne!(btf.name("a_name"), 0);
        assert!(btf.finish().is_ok());
    }

    #[test]
    fn names_beyond_the_limit_are_refused() {
        let mut btf = Btf::new();
        btf.name(&"x".repeat(SIZE_LIMIT));
        let part = "type information";
        assert_eq!(btf.finish(), Err(ObjectError::TooLarge { part }));
    }
}
