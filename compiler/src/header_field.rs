//! The fields of a header that conditions test: one table.
//!
//! A row says everything of a field that is not code of its own: its words, the values it can have, the variables that
//! diagrams have for it, where a [`Header`] holds it. Everything that treats fields alike reads the rows; `match` in
//! [`row`] makes them complete. Not here: how a frame holds a field (`packet`), how a program loads it (`lower`), and
//! what a condition on it means (`decide`, which spells the fields for itself, since it is what all else is held to).

mod rows;

use std::ops::{Index, IndexMut};

use sockc_grammar::ast::TcpFlag;
pub use sockc_grammar::header_field::HeaderField;

use crate::event::{Header, hardware_octets};
use crate::field::Field;

/// One field.
pub struct Row {
    /// Which one it is.
    pub field: HeaderField,
    /// What a value of it is, with the article: "a time to live".
    pub what: &'static str,
    /// What is asked of it.
    pub kind: Kind,
    /// The largest value.
    pub max: u64,
    /// Which packets have it.
    pub exists: Exists,
    /// The value of a packet of which nothing else is said.
    pub plain: Plain,
    /// The names of its values.
    pub names: Option<&'static Names>,
    /// Its variables in a diagram, of as many bits each, the most significant first.
    pub variables: &'static [Field],
    /// The value in a header; `None` where the packet does not have it.
    pub get: fn(&Header) -> Option<u64>,
    /// Sets the value in a header whose packet can have it.
    pub set: fn(&mut Header, u64),
    /// Values that packets at the edges of any policy have; `None` for packets that do not have it.
    pub edges: &'static [Option<u64>],
    /// Conditions for random policies.
    pub drawn: &'static [&'static str],
}

/// What is asked of a field, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Which flags are set and which are clear.
    Flags,
    /// Whether it is not 0: the word alone.
    Present,
    /// Whether some of its bits are these.
    Masked,
    /// Whether it is this value.
    Code,
    /// Whether it lies in a range.
    Range,
    /// Whether it is this hardware address.
    Address,
}

/// Which packets have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exists {
    /// All.
    Always,
    /// Those of TCP, but for later fragments. The value of others is 0, which theirs can be too.
    InTcp,
    /// Some, which their value tells: 0 for packets without it, one more than the value for the others.
    Optional,
}

/// The plain value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// This one.
    Value(u64),
    /// None: the packet does not have it.
    Absent,
    /// That of the shortest packet with these headers.
    Shortest,
}

/// The names of some values of a field.
pub struct Names {
    /// All of them.
    pub table: &'static [(&'static str, u8)],
    /// Some, for those who write another.
    pub such_as: &'static str,
    /// Whether values may be written as numbers too.
    pub numbers: bool,
}

/// The row of a field.
#[must_use]
pub fn row(field: HeaderField) -> &'static Row {
    match field {
        HeaderField::Fragment => &rows::FRAGMENT,
        HeaderField::TcpFlags => &rows::TCP_FLAGS,
        HeaderField::Length => &rows::LENGTH,
        HeaderField::Ttl => &rows::TTL,
        HeaderField::Dscp => &rows::DSCP,
        HeaderField::Ecn => &rows::ECN,
        HeaderField::Mark => &rows::MARK,
        HeaderField::Vlan => &rows::VLAN,
        HeaderField::EtherFrom => &rows::ETHER_FROM,
        HeaderField::EtherTo => &rows::ETHER_TO,
    }
}

/// Every row, in the order of the fields.
pub fn rows() -> impl DoubleEndedIterator<Item = &'static Row> + Clone {
    HeaderField::ALL.iter().map(|field| row(*field))
}

/// The row that a variable is of.
#[must_use]
pub fn of(variable: Field) -> Option<&'static Row> {
    rows().find(|row| row.variables.contains(&variable))
}

impl Row {
    /// The word that begins a condition on it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.field.word()
    }

    /// A value as its variables have it.
    #[must_use]
    pub(crate) fn encode(&self, value: Option<u64>) -> u64 {
        match (self.exists, value) {
            (Exists::Optional, Some(value)) => value + 1,
            (_, value) => value.unwrap_or(0),
        }
    }

    /// The value that its variables say.
    #[must_use]
    pub fn decode(&self, code: u64) -> Option<u64> {
        match self.exists {
            Exists::Optional => code.checked_sub(1),
            Exists::Always | Exists::InTcp => Some(code),
        }
    }

    /// What its variables are in the plainest packet; `None` where that depends on the rest of the packet.
    #[must_use]
    pub fn plain_code(&self) -> Option<u64> {
        match self.plain {
            Plain::Value(value) => Some(self.encode(Some(value))),
            Plain::Absent => Some(self.encode(None)),
            Plain::Shortest => None,
        }
    }

    /// Its variables with their parts of a code, the most significant first.
    pub fn parts(&self, code: u64) -> impl Iterator<Item = (Field, u32)> + use<> {
        let count = self.variables.len() as u32;
        let variables = self.variables.iter().zip((0..count).rev());
        variables.map(move |(&variable, place)| {
            let bits = variable.bits();
            let part = code >> (place * bits) & u64::from(u32::MAX >> (u32::BITS - bits));
            (variable, part as u32)
        })
    }

    /// The code whose parts these are.
    pub fn joined(&self, part: impl Fn(Field) -> u32) -> u64 {
        self.variables.iter().fold(0, |code: u64, &variable| {
            code << variable.bits() | u64::from(part(variable))
        })
    }

    /// Whether what else a packet has depends on this field.
    #[must_use]
    pub fn shapes(&self) -> bool {
        self.kind == Kind::Present
    }

    /// What a value of it is, without the article.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        self.what
            .split_once(' ')
            .map_or(self.what, |(_, noun)| noun)
    }

    /// The value of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<u64> {
        let mut table = self.names?.table.iter();
        let found = table.find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).into())
    }

    /// The name of a value, where it has one.
    #[must_use]
    pub fn name_of(&self, value: u64) -> Option<&'static str> {
        let mut table = self.names?.table.iter();
        let found = table.find(|(_, known)| u64::from(*known) == value);
        found.map(|(name, _)| *name)
    }

    /// A value as the language writes it.
    #[must_use]
    pub fn value_word(&self, value: u64) -> String {
        match (self.kind, self.name_of(value)) {
            (Kind::Address, _) => hardware_word(value),
            (_, Some(name)) => name.to_owned(),
            (_, None) => value.to_string(),
        }
    }
}

/// The 48 bits of a hardware address as it is written (IEEE 802, section 8.1.1).
fn hardware_word(address: u64) -> String {
    hardware_octets(address)
        .map(|octet| format!("{octet:02x}"))
        .join(":")
}

/// The names of the flags that are set, from the lowest.
pub fn flag_names(bits: u64) -> impl Iterator<Item = &'static str> {
    let names = TcpFlag::WORDS.iter().enumerate();
    names.filter_map(move |(bit, name)| (bits >> bit & 1 == 1).then_some(*name))
}

/// Something for each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByField<T>([T; HeaderField::COUNT]);

impl<T: Default> Default for ByField<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T> ByField<T> {
    /// What `make` gives for each field.
    pub fn of(mut make: impl FnMut(&'static Row) -> T) -> Self {
        Self(std::array::from_fn(|at| make(row(HeaderField::ALL[at]))))
    }

    /// Everything, with its field.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Row, &T)> {
        rows().zip(&self.0)
    }

    /// Everything, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static Row, &mut T)> {
        rows().zip(&mut self.0)
    }
}

impl<T> Index<HeaderField> for ByField<T> {
    type Output = T;

    fn index(&self, field: HeaderField) -> &T {
        &self.0[field as usize]
    }
}

impl<T> IndexMut<HeaderField> for ByField<T> {
    fn index_mut(&mut self, field: HeaderField) -> &mut T {
        &mut self.0[field as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Transport;
    use crate::protocol::IpProtocol;

    /// A TCP packet, whole, which can have every field.
    fn header() -> Header {
        let (from, to, flags) = (1, 2, 0);
        Header {
            protocol: IpProtocol::TCP,
            transport: Transport::Tcp { from, to, flags },
            ..Header::PLAIN
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_the_fields_and_have_their_own_variables() {
        let mut variables = Vec::new();
        for (at, row) in rows().enumerate() {
            assert_eq!(row.field as usize, at);
            variables.extend_from_slice(row.variables);
        }
        let all = variables.len();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables.len(), all);
        assert!(variables.iter().all(|one| Field::FIXED.contains(one)));
        assert!(rows().all(|row| !row.variables.is_empty() && !row.drawn.is_empty()));
    }

    #[test]
    fn the_names_of_codepoints_are_those_that_text_is_told_to_write() {
        let names = row(HeaderField::Ecn).names.unwrap();
        let mut table: Vec<&str> = names.table.iter().map(|(name, _)| *name).collect();
        table.sort_unstable();
        assert_eq!(table, sockc_grammar::header_field::ECN_NAMES);
    }

    #[test]
    fn what_is_set_is_what_is_got_and_what_its_variables_hold() {
        for row in rows() {
            for value in [0, row.max / 2, row.max] {
                let mut header = header();
                (row.set)(&mut header, value);
                assert_eq!((row.get)(&header), Some(value), "{}", row.word());
                let code = row.encode(Some(value));
                assert_eq!(row.decode(code), Some(value), "{}", row.word());
                let parts: Vec<(Field, u32)> = row.parts(code).collect();
                assert!(parts.iter().all(|(field, part)| *part <= (*field).max()));
                let part = |field| parts.iter().find(|(one, _)| *one == field).unwrap().1;
                assert_eq!(row.joined(part), code, "{}", row.word());
            }
        }
    }

    #[test]
    fn the_plain_header_has_the_plain_values() {
        for row in rows().filter(|row| row.exists != Exists::InTcp) {
            let value = (row.get)(&Header::PLAIN);
            match row.plain {
                Plain::Value(plain) => assert_eq!(value, Some(plain), "{}", row.word()),
                Plain::Absent => assert_eq!(value, None, "{}", row.word()),
                Plain::Shortest => {}
            }
        }
    }

    #[test]
    fn bits_are_asked_for_where_codes_are_values() {
        let masked = rows().filter(|row| matches!(row.kind, Kind::Flags | Kind::Masked));
        assert!(masked.into_iter().all(|row| row.encode(Some(1)) == 1));
    }

    #[test]
    fn several_variables_are_neighbours() {
        for row in rows() {
            let place = |field: &Field| Field::FIXED.iter().position(|one| one == field).unwrap();
            let places: Vec<usize> = row.variables.iter().map(place).collect();
            assert!(places.windows(2).all(|two| two[1] == two[0] + 1));
        }
    }

    #[test]
    fn names_of_values_are_distinct_and_fit() {
        for names in rows().filter_map(|row| row.names.map(|names| (row, names))) {
            let (row, names) = names;
            let mut known: Vec<&str> = names.table.iter().map(|(name, _)| *name).collect();
            known.sort_unstable();
            known.dedup();
            assert_eq!(known.len(), names.table.len());
            assert!(known.iter().all(|name| row.named(name).unwrap() <= row.max));
        }
    }
}
