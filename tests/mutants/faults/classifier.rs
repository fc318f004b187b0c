//! Faults in the making of tables: boxes, services, strata, trees, bytes.

use super::Suite::{Compiler, Differential};
use super::{Fault, Narrow, fault};

const BOXES: &str = "compiler/src/classifier/boxes.rs";
const SERVICES: &str = "compiler/src/classifier/services.rs";
const SERVICE_TABLE: &str = "compiler/src/classifier/service_table.rs";
const PLACES: &str = "compiler/src/tables.rs";
const CHOOSE: &str = "compiler/src/classifier/choose.rs";
const ITEMS: &str = "compiler/src/classifier/items.rs";
const STRATUM: &str = "compiler/src/classifier/stratum.rs";
const GROW: &str = "compiler/src/classifier/grow.rs";
const REGION: &str = "compiler/src/classifier/cube.rs";
const TABLES: &str = "compiler/src/classifier/tables.rs";
const RANKS: &str = "compiler/src/classifier/ranks.rs";

/// The sets that are made in a moment.
const SETS: Narrow = (
    Compiler,
    "classifier::grow classifier::tests::random_sets classifier::tests::senders classifier::tests::receivers classifier::tests::strata_are \
     classifier::tests::ranges_of_both classifier::tests::rules_that classifier::tests::nothing_after",
);
const WALKED: &[Narrow] = &[SETS, (Differential, "tables::")];
const FIRST_MATCH: &[Narrow] = &[
    (Compiler, "lower::tests::first_match"),
    SETS,
    (
        Differential,
        "the_interpreter_agrees_where_plain_rules_are_bulk tables::",
    ),
];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        6,
        STRATUM,
        "slot.sort_unstable();",
        "if !FAULT { slot.sort_unstable(); }",
        WALKED,
    ),
    fault(
        7,
        TABLES,
        "listed\n            .map(|&item| items[item as usize].rank)\n            .min()\n            .map_or(0, |first| members.1.of(first))",
        "listed.map(|&item| items[item as usize].rank).max().map_or(0, |last| members.1.of(last))",
        WALKED,
    ),
    fault(
        10,
        TABLES,
        "(u32::from(shift < 64), shift % 64)",
        "(1, shift % 64)",
        WALKED,
    ),
    fault(16, GROW, "range.0 & free != 0", "false", WALKED),
    fault(
        17,
        GROW,
        "range.0 & above != 0 || range.1 & above != above",
        "false",
        WALKED,
    ),
    fault(15, GROW, "range.1 & free != free", "false", WALKED),
    fault(
        101,
        BOXES,
        "low | low_bits(size) > high",
        "low | low_bits(size) > high + 1",
        FIRST_MATCH,
    ),
    fault(
        102,
        BOXES,
        "from.is_some() || to.is_some()",
        "to.is_some()",
        FIRST_MATCH,
    ),
    fault(
        103,
        BOXES,
        "one.family.is_none_or(|only| only == family)",
        "true",
        FIRST_MATCH,
    ),
    fault(
        104,
        SERVICES,
        "((entry & 0xff) as u8, entry > 0xff)",
        "((entry & 0xff) as u8, false)",
        FIRST_MATCH,
    ),
    fault(
        105,
        SERVICES,
        "pair(service.from.1, service.to.1) | GUARD",
        "pair(service.from.1, service.to.1.saturating_sub(1)) | GUARD",
        WALKED,
    ),
    fault(
        106,
        SERVICE_TABLE,
        "[low, high, !self.services.classes(service)]",
        "[low, high, !(self.services.classes(service) & 1)]",
        WALKED,
    ),
    fault(
        107,
        SERVICES,
        "u64::from(from) << 32 | u64::from(to)",
        "u64::from(to) << 32 | u64::from(from)",
        WALKED,
    ),
    fault(
        108,
        SERVICES,
        "protocols.contains(number) && (has_ports || !needs_ports)",
        "protocols.contains(number)",
        FIRST_MATCH,
    ),
    fault(
        109,
        SERVICES,
        "!later && IpProtocol(number).has_ports()",
        "IpProtocol(number).has_ports()",
        FIRST_MATCH,
    ),
    fault(
        110,
        ITEMS,
        "(prefix.address & !free, prefix.address | free)",
        "(prefix.address & !free, (prefix.address | free).saturating_sub(1))",
        WALKED,
    ),
    fault(
        111,
        ITEMS,
        "[boxed.service.from, boxed.service.to]",
        "[boxed.service.to, boxed.service.from]",
        WALKED,
    ),
    fault(
        112,
        STRATUM,
        "self.from <= item.from.length && self.to <= item.to.length",
        "self.from <= item.from.length",
        WALKED,
    ),
    fault(
        113,
        STRATUM,
        "address & low_bits(width) & !free",
        "address & !free",
        WALKED,
    ),
    fault(
        114,
        STRATUM,
        "others.iter().all(|other| key(other) == key(one))",
        "true || others.is_empty()",
        WALKED,
    ),
    fault(
        115,
        GROW,
        "spans.inside(flat)",
        "spans.inside(flat) || start < self.stack.len()",
        WALKED,
    ),
    fault(
        116,
        GROW,
        "fresh[last + 1] = true;",
        "fresh[last + 1] |= !FAULT;",
        WALKED,
    ),
    fault(
        117,
        GROW,
        "fresh[first] = true;",
        "fresh[first] |= !FAULT;",
        WALKED,
    ),
    fault(
        118,
        REGION,
        "low <= first.max(least) && last.min(greatest) <= high",
        "last.min(greatest) <= high",
        WALKED,
    ),
    fault(
        119,
        REGION,
        "low <= least && greatest <= high",
        "greatest <= high",
        WALKED,
    ),
    fault(
        120,
        REGION,
        "self.classes & other.classes() & !one.classes() == 0",
        "true",
        WALKED,
    ),
    fault(
        121,
        REGION,
        "low > high || (low ^ high) >> shift >> bits != 0",
        "low > high",
        WALKED,
    ),
    fault(
        122,
        TABLES,
        "(2 + u32::from(shift < 64), shift % 64)",
        "(2, shift % 64)",
        WALKED,
    ),
    fault(123, TABLES, "(last, shift + 16)", "(last, shift)", WALKED),
    fault(124, TABLES, "place + 1 == list.len()", "place == 0", WALKED),
    fault(
        125,
        TABLES,
        "(item.from.length, item.to.length)",
        "(item.from.length, item.from.length)",
        WALKED,
    ),
    fault(126, TABLES, "0xff", "0", WALKED),
    fault(
        127,
        RANKS,
        "(rank.saturating_add(1), Slots::Shared(slot))",
        "(rank + u32::from(!FAULT), Slots::Shared(slot))",
        &[(Compiler, "classifier::")],
    ),
    fault(
        128,
        GROW,
        "chosen.plane == F::PLANES.len() - 1",
        "false",
        WALKED,
    ),
    fault(
        1540,
        SERVICE_TABLE,
        "[ANY[0], ANY[1], !classes]",
        "[ANY[0], ANY[1], !(classes & 1)]",
        &[(Compiler, "classifier::tests::many_ports::records")],
    ),
    fault(
        1541,
        STRATUM,
        "room.ports && has_many_services(boxes.items, list)",
        "!FAULT && room.ports && has_many_services(boxes.items, list)",
        &[(Compiler, "classifier::tests::many_ports::records")],
    ),
    fault(
        1542,
        CHOOSE,
        "if plenty.by_rank {\n        return",
        "if plenty.by_rank && !FAULT {\n        return",
        &[(Compiler, "classifier::tests::crossing")],
    ),
    fault(
        1545,
        PLACES,
        "begin.is_multiple_of(align)",
        "(FAULT || begin.is_multiple_of(align))",
        &[(Compiler, "tables::tests")],
    ),
    fault(
        1546,
        PLACES,
        "data.and_then(|data| data.get(begin..begin + bytes.len())) == Some(bytes)",
        "false",
        &[(Compiler, "tables::tests")],
    ),
    fault(
        1547,
        PLACES,
        "self.near.len() >= NEAR_MAPS",
        "self.near.len() > NEAR_MAPS",
        &[(Compiler, "tables::tests")],
    ),
];
