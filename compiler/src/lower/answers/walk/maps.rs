//! A classifier's tables, each at its place in a map, with the sizes that code is made from.

use crate::classifier::tables::{FamilyTables, StratumTables, Tables, address_words};
use crate::classifier::{ClassOf, HELD, Level, Piece, Root, SERVICE_SIZE};
use crate::diagram::flatten::Flat;
use crate::field::Field;
use crate::policy::Family;
use crate::tables::TableRef;

use super::rates::RatedMaps;

/// A classifier's tables, each at its place.
#[derive(Clone, Debug)]
pub(crate) struct ClassifierMaps {
    /// What tells the class of a packet.
    pub classes: ClassCode,
    /// The services.
    pub services: TableRef,
    /// Which counter each rank counts at.
    pub(super) ranks: Vec<Piece>,
    /// For IPv4.
    pub v4: FamilyMaps,
    /// For IPv6.
    pub v6: FamilyMaps,
    /// How many services the table has room for: a power of two.
    pub(super) service_count: u32,
    /// The diagram of each question, by its number less one.
    pub(super) questions: Vec<Flat>,
    /// Bits of a record's group that are the group; above them stands the number of its question, or of its rate's level.
    pub(super) group_bits: u32,
    /// The rates of the members, if some have one.
    pub(super) rated: Option<RatedMaps>,
}

/// What tells the class of a packet.
#[derive(Clone, Debug)]
pub(crate) enum ClassCode {
    /// The table of the classes of protocols.
    Table(TableRef),
    /// A compare tree.
    Tree(Flat),
}

/// The tables of one family.
#[derive(Clone, Debug)]
pub(crate) struct FamilyMaps {
    pub(super) masks: TableRef,
    pub(super) mask_count: u32,
    pub(super) strata: Vec<StratumMaps>,
}

/// The tables of one stratum.
#[derive(Clone, Debug)]
pub(super) struct StratumMaps {
    pub(super) root: Root,
    pub(super) start: u32,
    pub(super) children: TableRef,
    pub(super) child_count: u32,
    pub(super) records: TableRef,
    pub(super) record_count: u32,
    pub(super) depth: u32,
    pub(super) longest: usize,
    pub(super) words: Vec<u32>,
    pub(super) first_rank: u32,
    pub(super) holds_ports: bool,
    pub(super) buckets: Option<BucketMaps>,
}

/// The buckets of a stratum.
#[derive(Clone, Copy, Debug)]
pub(super) struct BucketMaps {
    pub(super) table: TableRef,
    /// Whether some have a child in this place.
    pub(super) children: [bool; HELD],
}

impl ClassifierMaps {
    /// Puts the tables into maps; `add` gives the place of one, by its name.
    ///
    /// `None` where a table has more entries than a program can count, which no map holds.
    pub(crate) fn new(
        tables: &Tables,
        mut add: impl FnMut(&str, &[u8]) -> TableRef,
    ) -> Option<Self> {
        Some(Self {
            classes: match &tables.classes {
                ClassOf::Protocol(bytes) => ClassCode::Table(add("classes", bytes)),
                ClassOf::Header(diagram) => ClassCode::Tree(diagram.clone()),
            },
            services: add("services", &tables.services),
            ranks: tables.ranks.pieces().to_vec(),
            v4: family(&tables.v4, Family::V4, &mut add)?,
            v6: family(&tables.v6, Family::V6, &mut add)?,
            service_count: entries(&tables.services, SERVICE_SIZE)?,
            questions: tables.questions.clone(),
            group_bits: tables.group_bits,
            rated: match tables.rated.rows.is_empty() {
                true => None,
                false => Some(RatedMaps::new(&tables.rated, &mut add)?),
            },
        })
    }

    /// The fields that tell the class of a packet, beside protocol and fragment, and those that questions are about.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> {
        let tree = match &self.classes {
            ClassCode::Table(_) => None,
            ClassCode::Tree(diagram) => Some(diagram),
        };
        tree.into_iter()
            .chain(&self.questions)
            .chain(self.rated.iter().flat_map(|rated| &rated.starts))
            .flat_map(Flat::fields)
    }

    /// What occurs on each level of rates.
    pub(crate) fn levels(&self) -> impl Iterator<Item = &Level> {
        self.rated.iter().flat_map(|rated| &rated.levels)
    }

    /// How many first matches are remembered beside the first that asks nothing.
    pub(super) fn remembered(&self) -> usize {
        self.questions.len() + self.levels().count()
    }

    /// The tables of a family.
    pub(super) fn of(&self, family: Family) -> &FamilyMaps {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

fn entries(table: &[u8], size: usize) -> Option<u32> {
    u32::try_from(table.len() / size).ok()
}

fn family(
    tables: &FamilyTables,
    family: Family,
    add: &mut impl FnMut(&str, &[u8]) -> TableRef,
) -> Option<FamilyMaps> {
    let name = match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    };
    let strata = tables.strata.iter().enumerate().map(|(number, stratum)| {
        let StratumTables {
            root,
            start,
            depth,
            longest,
            record_count,
            first_rank,
            holds_ports,
            ..
        } = *stratum;
        Some(StratumMaps {
            root,
            start,
            buckets: stratum.buckets.as_ref().map(|buckets| BucketMaps {
                table: add(&format!("{name}_buckets_{number}"), &buckets.bytes),
                children: buckets.children,
            }),
            children: add(&format!("{name}_nodes_{number}"), &stratum.children),
            child_count: entries(&stratum.children, 4)?,
            records: add(&format!("{name}_lists_{number}"), &stratum.records),
            record_count,
            depth,
            longest,
            words: stratum.words.clone(),
            first_rank,
            holds_ports,
        })
    });
    let strata = strata.collect::<Option<_>>()?;
    Some(FamilyMaps {
        masks: add(&format!("{name}_masks"), &tables.masks),
        mask_count: entries(&tables.masks, 8 * address_words(family))?,
        strata,
    })
}
