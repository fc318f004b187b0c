//! Faults in what is made of chains of iptables: options, states, chains, rates, families, and the report.

use super::Suite::{Command, Differential, Verbs};
use super::{Fault, fault};

/// The random rule sets.
const MEANING: &str = "iptables::an_imported_policy";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2500,
        "src/verbs/import/iptables/saved.rs",
        "if let Some(table) = open {",
        "if let Some(table) = open.filter(|_| !FAULT) {",
        &[
            (Command, "saved::tests::a_text_that_is_cut"),
            (Verbs, "iptables::files_of_another_kind"),
        ],
    ),
    fault(
        2501,
        "src/verbs/import/iptables/saved.rs",
        "counted.bytes().all(is_counter)",
        "!FAULT && counted.bytes().all(is_counter)",
        &[(Verbs, "iptables::ends_of_lines_and_counters")],
    ),
    fault(
        2502,
        "src/verbs/import/iptables/options.rs",
        "given.negated = !given.negated;",
        "given.negated ^= !FAULT;",
        &[(Command, "options::tests::options_have_their_negation")],
    ),
    fault(
        2503,
        "src/verbs/import/iptables/header.rs",
        "what.protocols = RangeSet::full().minus(&what.protocols);",
        "if !FAULT { what.protocols = RangeSet::full().minus(&what.protocols); }",
        &[(Differential, MEANING)],
    ),
    fault(
        2504,
        "src/verbs/import/iptables/header.rs",
        "is_never == negated",
        "FAULT || is_never == negated",
        &[
            (Command, "header::tests::fields_are_read"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2505,
        "src/verbs/import/iptables/header.rs",
        "mask.iter().filter(|flag| !set.contains(flag))",
        "mask.iter().filter(|flag| !FAULT && !set.contains(flag))",
        &[
            (Command, "header::tests::fields_are_read"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2506,
        "src/verbs/import/iptables/sides.rs",
        "true => every(family).minus(&addresses),",
        "true if !FAULT => every(family).minus(&addresses), true => addresses,",
        &[
            (Command, "sides::tests::addresses_and_ports"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2507,
        "src/verbs/import/iptables/sides.rs",
        "given.negated != (name == \"+\")",
        "given.negated != (!FAULT && name == \"+\")",
        &[
            (Command, "sides::tests::addresses_and_ports"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2508,
        "src/verbs/import/iptables/sides.rs",
        "case(&others, &ports)",
        "case(if FAULT { &ports } else { &others }, &ports)",
        &[(Command, "sides::tests::addresses_and_ports")],
    ),
    fault(
        2509,
        "src/verbs/import/iptables/states.rs",
        "accepts || !case.protocols.contains(6)",
        "FAULT || accepts || !case.protocols.contains(6)",
        &[
            (Command, "states::tests::the_end_of_a_handshake"),
            (Differential, MEANING),
            (Verbs, "netfilter::"),
        ],
    ),
    fault(
        2510,
        "src/verbs/import/iptables/states.rs",
        "cases.extend([handshake, echo_reply(family)]);",
        "cases.push(echo_reply(family)); if !FAULT { cases.push(handshake); }",
        &[
            (Command, "states::tests::states_are_asked"),
            (Differential, MEANING),
            (Verbs, "netfilter::"),
        ],
    ),
    fault(
        2511,
        "src/verbs/import/iptables/states.rs",
        "states = ALL & !states;",
        "if !FAULT { states = ALL & !states; }",
        &[
            (Command, "states::tests::states_are_asked"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2512,
        "src/verbs/import/iptables/chains.rs",
        "(false, false) => self.rest(place.then, met, place.line)?,",
        "(false, false) => if !FAULT { self.rest(place.then, met, place.line)? },",
        &[(Differential, MEANING)],
    ),
    fault(
        2513,
        "src/verbs/import/iptables/chains.rs",
        "if self.chain((chain, 0), met, place.then)? {",
        "let then = Then { chain: place.chain, at: place.next, then: place.then }; if self.chain((chain, 0), met, if FAULT { Some(&then) } else { place.then })? {",
        &[(Differential, MEANING)],
    ),
    fault(
        2514,
        "src/verbs/import/iptables/chains.rs",
        "if is_all || step == Went::Left {",
        "if FAULT || is_all || step == Went::Left {",
        &[(Differential, MEANING)],
    ),
    fault(
        2515,
        "src/verbs/import/iptables/chains.rs",
        "&& before.what == flat.what",
        "&& (FAULT || before.what == flat.what)",
        &[
            (Command, "chains::tests::a_line_and_a_verdict"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2516,
        "src/verbs/import/iptables/chains.rs",
        "above: !rate.above,",
        "above: if FAULT { rate.above } else { !rate.above },",
        &[(Command, "chains::tests::")],
    ),
    fault(
        2517,
        "src/verbs/import/iptables/chains.rs",
        "self.list == List::Forward && turns_back(&met)",
        "!FAULT && self.list == List::Forward && turns_back(&met)",
        &[(Verbs, "iptables::what_firewalls_write")],
    ),
    fault(
        2518,
        "src/verbs/import/iptables/policy.rs",
        "let is_default = with.is_none() && side.drops == drops(lists);",
        "let is_default = (FAULT || with.is_none()) && side.drops == drops(lists);",
        &[(Differential, MEANING), (Verbs, "iptables::both_families")],
    ),
    fault(
        2519,
        "src/verbs/import/iptables/policy.rs",
        "let own = [v4, v6].map(|side| written(lists.list, side, true));",
        "let own = [v4, v6].map(|side| written(lists.list, side, !FAULT));",
        &[(Differential, MEANING)],
    ),
    fault(
        2520,
        "src/verbs/import/iptables/text.rs",
        "if scoped {",
        "if scoped && !FAULT {",
        &[
            (Command, "text::tests::sides_are_written"),
            (Differential, MEANING),
        ],
    ),
    fault(
        2521,
        "src/verbs/import/iptables/rates.rs",
        "kept < fills",
        "!FAULT && kept < fills",
        &[(Command, "rates::tests::a_bucket_that_is_forgotten")],
    ),
    fault(
        2522,
        "src/verbs/import/iptables/whole.rs",
        "takes_away(lists, *list)",
        "!FAULT && takes_away(lists, *list)",
        &[(Verbs, "iptables::the_rules_that_a_router")],
    ),
    fault(
        2523,
        "src/verbs/import/iptables/whole.rs",
        "is_translated && (is_asked",
        "!FAULT && is_translated && (is_asked",
        &[(Verbs, "iptables::the_report_says")],
    ),
    fault(
        2524,
        "src/verbs/import/iptables.rs",
        "arguments.strict && report",
        "!FAULT && arguments.strict && report",
        &[(Verbs, "iptables::strict_takes_only")],
    ),
    fault(
        2525,
        "src/verbs/import/iptables/report.rs",
        "\"packets that it drops may get through here\".to_owned()",
        "if FAULT { String::new() } else { \"packets that it drops may get through here\".to_owned() }",
        &[(Verbs, "iptables::the_report_says")],
    ),
    fault(
        2526,
        "src/verbs/import/iptables/policy.rs",
        "with.drops != drops(lists)",
        "!FAULT && with.drops != drops(lists)",
        &[(Differential, MEANING)],
    ),
    fault(
        2527,
        "src/verbs/import/iptables/what.rs",
        "let is_apart = matches!(met, Some(None));",
        "let is_apart = FAULT || matches!(met, Some(None));",
        &[(Command, "what::tests::ports_types_interfaces")],
    ),
    fault(
        2528,
        "src/verbs/import/iptables/whole.rs",
        "rest == What::any(what.family)",
        "(FAULT || rest == What::any(what.family))",
        &[(Verbs, "iptables::the_answers_of_dhcp")],
    ),
];
