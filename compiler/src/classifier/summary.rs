//! What is known of a classifier once its tables are made, for those who ask why it is as it is.
//!
//! Takes the rules, the split and the tables; gives numbers. Not here: the words for them (`shapes` of the crate).

use super::choice::Choice;
use super::services::ClassOf;
use super::tables::{FamilyTables, StratumTables};
use super::{FamilyRules, Member, Services, Tables};

/// A classifier in numbers.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Rules.
    pub rules: usize,
    /// Different combinations of protocols and ports.
    pub services: usize,
    /// Bytes of all tables.
    pub bytes: usize,
    /// For IPv4 and IPv6.
    pub families: [FamilySummary; 2],
}

/// One family of a classifier in numbers.
#[derive(Clone, Debug)]
pub struct FamilySummary {
    /// Boxes; a rule may be several.
    pub boxes: usize,
    /// Different pairs of prefix lengths, each of which has masks.
    pub masks: usize,
    /// How the boxes were split.
    pub choice: Choice,
}

impl Summary {
    /// What is known of these.
    #[must_use]
    pub fn new(
        members: &[Member<'_>],
        services: &Services,
        sides: [FamilyRules; 2],
        tables: &Tables,
    ) -> Self {
        Self {
            rules: members.len(),
            services: services.len(),
            bytes: bytes(tables),
            families: sides.map(|side| FamilySummary {
                boxes: side.items.len(),
                masks: masks(&side),
                choice: side.choice,
            }),
        }
    }
}

fn masks(side: &FamilyRules) -> usize {
    let mut seen = vec![false; 1 << 16];
    for item in &side.items {
        seen[usize::from(item.from.length) << 8 | usize::from(item.to.length)] = true;
    }
    seen.into_iter().filter(|seen| *seen).count()
}

fn bytes(tables: &Tables) -> usize {
    let classes = match &tables.classes {
        ClassOf::Protocol(bytes) => bytes.len(),
        ClassOf::Header(_) => 0,
    };
    let families = [&tables.v4, &tables.v6].map(of_family);
    classes + tables.services.len() + families.iter().sum::<usize>()
}

fn of_family(tables: &FamilyTables) -> usize {
    let strata = tables.strata.iter();
    let strata = strata.flat_map(StratumTables::tables).map(<[u8]>::len);
    tables.masks.len() + strata.sum::<usize>()
}
