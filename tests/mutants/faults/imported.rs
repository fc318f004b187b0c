//! Faults in what is made of bindings of tubular, in the commands that messages suggest, and in what real servers meet.

use super::Suite::{Command, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1330,
        "src/verbs/import/policy.rs",
        "(!refused.is_empty()).then(",
        "(!FAULT && !refused.is_empty()).then(",
        &[(Verbs, "importing::what_ipv6_refuses")],
    ),
    fault(
        1331,
        "src/verbs/import/json.rs",
        "u16::try_from(port).ok()",
        "if FAULT { Some(port as u16) } else { u16::try_from(port).ok() }",
        &[(Verbs, "importing::what_tubular")],
    ),
    fault(
        1332,
        "src/verbs/import/json.rs",
        "text.starts_with('[').then_some(text)",
        "(!FAULT && text.starts_with('[')).then_some(text)",
        &[(Verbs, "importing::what_tubular importing::every_mistake")],
    ),
    fault(
        1333,
        "src/verbs/import/binding.rs",
        "block.is_some_and(|block| self.prefix.covers(block))",
        "!FAULT && block.is_some_and(|block| self.prefix.covers(block))",
        &[(Verbs, "importing::what_ipv6_refuses")],
    ),
    fault(
        1334,
        "src/verbs/import/binding.rs",
        "let Some(v4) = address.to_ipv4_mapped() else {",
        "let Some(v4) = address.to_ipv4_mapped().filter(|_| !FAULT) else {",
        &[(Verbs, "importing::what_tubular")],
    ),
    fault(
        1335,
        "src/verbs/import/binding.rs",
        "(kept.carried, next.carried) == (Carried::Tcp, Carried::Udp)",
        "(FAULT || (kept.carried, next.carried) == (Carried::Tcp, Carried::Udp))",
        &[(
            Verbs,
            "importing::a_listing importing::longer importing::a_policy",
        )],
    ),
    fault(
        1336,
        "src/verbs/import/binding.rs",
        ".filter(|pair| pair[0].key() == pair[1].key());",
        ".filter(|pair| !FAULT && pair[0].key() == pair[1].key());",
        &[(Verbs, "importing::what_tubular importing::every_mistake")],
    ),
    fault(
        1337,
        "src/verbs/import/refused.rs",
        "covering.difference(&own).copied().collect()",
        "covering.difference(if FAULT { &covering } else { &own }).copied().collect()",
        &[(Verbs, "importing::what_ipv6_refuses")],
    ),
    fault(
        1338,
        "src/verbs/import/names.rs",
        "tries.filter(|name| !self.taken.contains(name));",
        "tries.filter(|name| FAULT || !self.taken.contains(name));",
        &[(Verbs, "importing::labels_become")],
    ),
    fault(
        1339,
        "src/verbs/import/listing.rs",
        "\"tcp\" => Carried::Tcp,",
        "\"tcp\" => if FAULT { Carried::Both } else { Carried::Tcp },",
        &[(Verbs, "importing::a_listing")],
    ),
    fault(
        1340,
        "src/verbs/import/place.rs",
        "1 => self.column.map_or(0, |column| column - 1),",
        "1 => self.column.map_or(0, |column| if FAULT { column } else { column - 1 }),",
        &[(Verbs, "importing::every_mistake importing::what_tubular")],
    ),
    fault(
        1341,
        "src/cli/suggested.rs",
        "if takes && !words.contains(&format!(\"--{option}\")) {",
        "if takes && (FAULT || !words.contains(&format!(\"--{option}\"))) {",
        &[(Command, "cli::suggested")],
    ),
    fault(
        1342,
        "runtime/src/sockets/refill.rs",
        "(udp4, (true, IpProtocol::UDP)),",
        "(udp4, (true, if FAULT { IpProtocol::TCP } else { IpProtocol::UDP })),",
        &[(Verbs, "servers::names::a_name")],
    ),
    fault(
        1343,
        "runtime/src/sockets/refill.rs",
        "(tcp4, (true, IpProtocol::TCP)),",
        "(tcp4, (true, if FAULT { IpProtocol::UDP } else { IpProtocol::TCP })),",
        &[(Verbs, "servers::web")],
    ),
    fault(
        2650,
        "src/verbs/import/rule.rs",
        "        self.cases = with_types(met);",
        "        self.cases = if FAULT { met } else { with_types(met) };",
        &[(Verbs, "nft::types_of_icmp")],
    ),
    fault(
        2651,
        "src/verbs/import/beside.rs",
        "let is_of_iptables = matches!(family, \"ip\" | \"ip6\") && OF_IPTABLES.contains(&name);",
        "let is_of_iptables = FAULT || matches!(family, \"ip\" | \"ip6\") && OF_IPTABLES.contains(&name);",
        &[(Verbs, "netfilter::in_force::the_rules_of_iptables")],
    ),
];
