//! The families that there are. `docs/metrics.md` lists them for people.

use super::family::Family;

pub(super) static BUILD: Family = Family::gauge("sockc_build_info", "Which sockc this is.");
pub(super) static UP: Family = Family::gauge(
    "sockc_up",
    "Whether what is in force, and what it counted, could be read.",
);
pub(super) static TOOK: Family = Family::gauge(
    "sockc_scrape_duration_seconds",
    "How long it took to read all of this.",
);
pub(super) static POLICY: Family = Family::gauge(
    "sockc_policy_info",
    "The policy in force; 0 where there is none.",
);
pub(super) static APPLIED: Family = Family::gauge(
    "sockc_policy_applied_timestamp_seconds",
    "When the policy in force was applied, in seconds since 1970.",
);
pub(super) static CONFIRMED: Family = Family::gauge(
    "sockc_policy_confirmed",
    "Whether the policy in force is so for good; 0 where it waits to be confirmed.",
);
pub(super) static RULES: Family = Family::gauge(
    "sockc_policy_rules",
    "How many rules the policy in force has.",
);
pub(super) static COUNTED: Family = Family::gauge(
    "sockc_policy_counted",
    "Whether the rules of the policy in force count.",
);
pub(super) static FAULTS: Family = Family::gauge(
    "sockc_faults",
    "How many things are not as the policy in force needs them: those for which sockc status ends with 5.",
);
pub(super) static DRIFT: Family = Family::gauge(
    "sockc_drift",
    "How many things that sockc left in the kernel were changed by others.",
);
pub(super) static RULE: Family =
    Family::gauge("sockc_rule_info", "Where a rule with a label stands.");
pub(super) static RULE_PACKETS: Family = Family::counter(
    "sockc_rule_packets",
    "Packets, lookups, writes or calls that a rule decided.",
);
pub(super) static RULE_BYTES: Family = Family::counter(
    "sockc_rule_bytes",
    "Bytes of the packets that a rule decided.",
);
pub(super) static OTHER_PACKETS: Family = Family::counter(
    "sockc_other_rules_packets",
    "Packets, lookups, writes or calls that rules without a label decided, also rules that are gone.",
);
pub(super) static OTHER_BYTES: Family = Family::counter(
    "sockc_other_rules_bytes",
    "Bytes of the packets that rules without a label decided, also rules that are gone.",
);
pub(super) static DEFAULT_PACKETS: Family = Family::counter(
    "sockc_default_packets",
    "Packets, lookups, writes or calls that no rule decided.",
);
pub(super) static DEFAULT_BYTES: Family = Family::counter(
    "sockc_default_bytes",
    "Bytes of the packets that no rule decided.",
);
pub(super) static MALFORMED: Family =
    Family::counter("sockc_malformed_packets", "Packets that could not be read.");
pub(super) static WITHHELD: Family = Family::counter(
    "sockc_withheld_answers",
    "Rejected packets that got no answer, since it was beyond the limits.",
);
pub(super) static LOST: Family = Family::counter(
    "sockc_log_lost",
    "Records of logs that found no room, since nobody read them in time.",
);
pub(super) static ESCAPED: Family = Family::counter(
    "sockc_escaped_sockets",
    "Sockets of groups that could not be taken in.",
);
pub(super) static REFUSED: Family = Family::counter(
    "sockc_refused_packets",
    "Packets with data of sockets that could not be taken in, and that were dropped.",
);
pub(super) static BACK: Family = Family::counter(
    "sockc_spliced_back_bytes",
    "Bytes that came back on spliced pairs.",
);
pub(super) static MISSED: Family = Family::counter(
    "sockc_rule_missed",
    "What a rule could not hand to a socket: it went by TCP, or nobody was there.",
);
pub(super) static LOOKUPS: Family = Family::counter(
    "sockc_redirect_lookups",
    "Lookups and packets that were for a named socket.",
);
pub(super) static GIVEN: Family =
    Family::counter("sockc_redirect_given", "Those of them that a socket got.");
pub(super) static MISSES: Family = Family::counter(
    "sockc_redirect_misses",
    "Those of them for which nobody was there.",
);
pub(super) static ERRORS: Family = Family::counter(
    "sockc_redirect_errors",
    "Those of them that somebody who was there did not get.",
);
pub(super) static PRESENT: Family = Family::gauge(
    "sockc_socket_present",
    "Whether a socket that takes what is for the name is there.",
);
pub(super) static MEMBERS: Family = Family::gauge(
    "sockc_socket_members",
    "How many sockets that take what is for the name are there.",
);
pub(super) static SET_ELEMENTS: Family =
    Family::gauge("sockc_set_elements", "How many elements a live set holds.");
pub(super) static SET_CAPACITY: Family = Family::gauge(
    "sockc_set_capacity",
    "How many elements a live set has room for.",
);
pub(super) static MAP_ENTRIES: Family =
    Family::gauge("sockc_map_entries", "How many entries a live map holds.");
pub(super) static MAP_CAPACITY: Family = Family::gauge(
    "sockc_map_capacity",
    "How many entries a live map has room for.",
);
pub(super) static PAIRS: Family = Family::gauge(
    "sockc_pairs_joined",
    "How many pairs of connections are joined.",
);
pub(super) static PAIRS_CAPACITY: Family = Family::gauge(
    "sockc_pairs_capacity",
    "How many pairs of connections have room.",
);
pub(super) static PAIRS_KEPT: Family = Family::gauge(
    "sockc_pairs_kept",
    "Whether a sockc socket pair keeps the pairs.",
);
pub(super) static CONNECTIONS: Family = Family::gauge(
    "sockc_group_connections",
    "How many connections of a group stand in the kernel's table.",
);
pub(super) static PLACES: Family = Family::gauge(
    "sockc_group_capacity",
    "How many connections of a group have room in it.",
);
pub(super) static ATTACHED: Family = Family::gauge(
    "sockc_hook_attached",
    "Whether the policy's program hangs on a hook.",
);
pub(super) static RUN: Family = Family::counter(
    "sockc_program_run_seconds",
    "How long the programs of a hook ran, since the kernel takes the time (kernel.bpf_stats_enabled).",
);
pub(super) static RUNS: Family = Family::counter(
    "sockc_program_runs",
    "How often the programs of a hook ran, since the kernel takes the time.",
);

/// All of them.
#[cfg(test)]
pub(super) static ALL: [&Family; 42] = [
    &BUILD,
    &UP,
    &TOOK,
    &POLICY,
    &APPLIED,
    &CONFIRMED,
    &RULES,
    &COUNTED,
    &FAULTS,
    &DRIFT,
    &RULE,
    &RULE_PACKETS,
    &RULE_BYTES,
    &OTHER_PACKETS,
    &OTHER_BYTES,
    &DEFAULT_PACKETS,
    &DEFAULT_BYTES,
    &MALFORMED,
    &WITHHELD,
    &LOST,
    &ESCAPED,
    &REFUSED,
    &BACK,
    &MISSED,
    &LOOKUPS,
    &GIVEN,
    &MISSES,
    &ERRORS,
    &PRESENT,
    &MEMBERS,
    &SET_ELEMENTS,
    &SET_CAPACITY,
    &MAP_ENTRIES,
    &MAP_CAPACITY,
    &PAIRS,
    &PAIRS_CAPACITY,
    &PAIRS_KEPT,
    &CONNECTIONS,
    &PLACES,
    &ATTACHED,
    &RUN,
    &RUNS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn text(name: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
    }

    /// The names in a text.
    fn names(text: &str) -> BTreeSet<String> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names = words.filter(|word| word.starts_with("sockc_"));
        names.map(str::to_owned).collect()
    }

    fn all() -> BTreeSet<String> {
        ALL.iter().map(|family| family.sample()).collect()
    }

    #[test]
    fn alerts_and_the_dashboard_ask_for_what_is_there() {
        assert_eq!(all().len(), ALL.len());
        for name in [
            "contrib/prometheus/alerts.yml",
            "contrib/grafana/sockc.json",
        ] {
            let asked = names(&text(name));
            let unknown: Vec<_> = asked.difference(&all()).cloned().collect();
            assert!(
                asked.len() > 10 && unknown.is_empty(),
                "{name}: {unknown:?}"
            );
        }
        let dashboard = text("contrib/grafana/sockc.json");
        let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() > 5);
    }

    #[test]
    fn the_manual_lists_what_there_is() {
        let page = text("docs/metrics.md");
        let (_, table) = page.split_once("\n## What there is\n").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        assert_eq!(names(table), all());
        let page = names(&page);
        assert_eq!(page.difference(&all()).count(), 0);
    }
}
