use sockc_grammar::diagnostic::Severity;

use super::*;
use crate::artifact::Artifact;
use crate::beside::ways::{Way, by};
use crate::bulk::Structure;
use crate::files::Texts;
use crate::target::Target;
use crate::testing::{self, random_policy};

fn compiled(text: &str) -> Compilation {
    compiled_with(text, Structure::Chosen, Counters::Kept)
}

fn compiled_as(text: &str, structure: Structure) -> Compilation {
    compiled_with(text, structure, Counters::Kept)
}

fn counting(text: &str, counters: Counters) -> Compilation {
    compiled_with(text, Structure::Chosen, counters)
}

fn compiled_with(text: &str, structure: Structure, counters: Counters) -> Compilation {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let target = Target::baseline();
    let options = Options {
        structure,
        counters,
        ..Options::from(&target)
    };
    compile(&mut sources, id, "t", options, &mut Texts::default())
}

/// The codes of the mistakes; these policies are too small to please the lints.
fn codes(outcome: &Compilation) -> Vec<&'static str> {
    let found = outcome
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    found.map(|diagnostic| diagnostic.code.0).collect()
}

/// A text's object and what is said of it, its work done in a way.
fn made(text: &str, way: Way) -> (Vec<Diagnostic>, Option<Vec<u8>>) {
    by(way, || {
        let outcome = compiled(text);
        assert_eq!(outcome.internal, None, "{text}");
        let built = outcome.built;
        let object = built.map(|built| crate::object::write(&built.artifact).unwrap());
        (outcome.diagnostics, object)
    })
}

/// Rules as they stand in long lists, some of which are odd, and some wrong if they are to be.
fn long(count: usize, wrong: bool) -> String {
    let mut text = String::from("default in drop\nset few = { 10.0.0.0/8 }\n");
    for n in 0..count {
        let (a, b) = (n / 251 % 251, n % 251);
        text += &match n % 97 {
            0 => format!(
                "l{}: allow tcp from 10.{a}.{b}.0/24 to any:{}\n",
                n % 7,
                n % 1000
            ),
            1 => format!("drop udp from @few to 192.{a}.{b}.1\n"),
            2 => format!("allow icmp from 10.{a}.0.0/16 to [2001:db8::{b}]\n"),
            3 => format!("audit drop tcp from 172.16.{b}.0/24 to any:22\n"),
            4 => format!("count out tcp to 10.{a}.{b}.0/24\n"),
            5 if wrong => format!("drop tcp from 10.{a}.{b}.7/24 to any:{n}\n"),
            6 if wrong => format!("drop tcp from @none to any:{n}\n"),
            7 if wrong => format!("default in drop # {n}\n"),
            8 => format!("drop udp from port {b} to 10.1.{a}.0/28\n"),
            9 if wrong && n > count / 2 => String::from("drop out tcp to any:9\n"),
            _ => format!(
                "drop tcp from 10.{a}.{b}.0/28 to 10.{b}.0.0/16:{}\n",
                n % 5000
            ),
        };
    }
    text
}

/// What comes out depends neither on how many threads there are nor on which of them is faster.
#[test]
fn threads_change_nothing() {
    let random = (0..60).map(|seed| random_policy(seed, testing::Options::everything(30)));
    let sizes = [
        (3, true),
        (200, true),
        (200, false),
        (5_000, false),
        (9_000, true),
    ];
    let lists = sizes.map(|(count, wrong)| long(count, wrong));
    for text in random.chain(lists) {
        let alone = made(&text, Way::Alone);
        for way in [Way::Usual, Way::Always] {
            let (said, object) = made(&text, way);
            assert_eq!(said, alone.0, "{text}");
            assert!(object == alone.1, "{text}");
        }
    }
}

#[test]
fn what_is_declared_and_not_used_asks_nothing_of_the_machine() {
    let outcome = compiled(
        "default in drop
         socket proxy = tcp listen 127.0.0.1:1234
         group pods = cgroup \"/pods\"
         allow tcp to port 22",
    );
    let artifact = outcome.built.unwrap().artifact;
    let maps: Vec<&str> = artifact
        .maps
        .values()
        .map(|map| map.name.as_str())
        .collect();
    assert_eq!(maps, ["counters", "drops", "sampling"]);
    assert!(artifact.manifest.sockets.is_empty() && artifact.manifest.groups.is_empty());
}

#[test]
fn without_counters_there_is_no_map_of_them_and_less_code() {
    let text = "default in drop
         allow tcp to port 22
         count udp";
    let [with, without] = [Counters::Kept, Counters::LeftOut]
        .map(|counters| counting(text, counters).built.unwrap().artifact);
    assert!(with.maps.values().any(|map| map.name == "counters"));
    assert!(without.maps.values().all(|map| map.name != "counters"));
    assert!(without.programs[0].insns.len() < with.programs[0].insns.len());
    assert!(without.manifest.counters.iter().all(|one| !one.counted));
}

#[test]
fn what_logs_lose_is_counted_always() {
    let text = "default in drop
         default out allow log
         allow tcp to port 22 log \"ssh\"
         count udp";
    let [with, without] = [Counters::Kept, Counters::LeftOut]
        .map(|counters| counting(text, counters).built.unwrap().artifact);
    assert!(without.maps.values().any(|map| map.name == "counters"));
    // Records of logs name their rules by these slots.
    let names = |artifact: &Artifact| -> Vec<String> {
        let counters = artifact.manifest.counters.iter();
        counters.map(|one| one.location.text.to_string()).collect()
    };
    assert_eq!(names(&without), names(&with));
    assert!(with.manifest.counters.iter().all(|one| one.counted));
    for counter in &without.manifest.counters {
        let lost = counter.kind == crate::artifact::CounterKind::Lost;
        assert_eq!(counter.counted, lost, "{counter:?}");
    }
    let counters = without.manifest.counters.iter().filter(|one| one.counted);
    let directions: Vec<&str> = counters.map(|one| &*one.direction).collect();
    assert_eq!(directions, ["in", "out"]);
}

#[test]
fn sockets_that_a_group_could_not_take_in_are_counted_always() {
    let text = "default send allow
         group pods = cgroup \"/pods\"
         shortcut tcp within group pods";
    let outcome = counting(text, Counters::LeftOut);
    let artifact = outcome.built.unwrap().artifact;
    assert!(artifact.maps.values().any(|map| map.name == "counters"));
    for counter in &artifact.manifest.counters {
        let escaped = counter.kind == crate::artifact::CounterKind::Escaped;
        assert_eq!(counter.counted, escaped, "{counter:?}");
    }
}

#[test]
fn lists_of_count_rules_are_refused_before_they_fill_the_memory() {
    let rules: String = (1..2_000)
        .map(|port| format!("count tcp to port 0-{port}\n"))
        .collect();
    assert_eq!(
        codes(&compiled(&format!("default in allow\n{rules}"))),
        ["E0402"]
    );
}

#[test]
fn a_tree_that_is_too_large_is_refused() {
    let rules: String = (0..40_000u32)
        .map(|number| {
            let address = std::net::Ipv4Addr::from(number.wrapping_mul(0x9e37_79b1));
            format!("allow tcp from {address} to port {}\n", number % 7 * 2 + 1)
        })
        .collect();
    let text = format!("default in drop\n{rules}");
    assert_eq!(codes(&compiled_as(&text, Structure::Tree)), ["E0401"]);
    assert!(compiled(&text).built.is_some());
}

#[test]
fn an_allow_that_no_lookup_reaches_is_no_obstacle() {
    let outcome = compiled(
        "socket a = tcp listen 127.0.0.1:1
         socket b = tcp listen 127.0.0.1:2
         default in drop
         redirect tcp to 3.3.3.3:80 to sock a
         allow tcp to 3.3.3.3:80 if tcp flags syn no ack
         redirect tcp to 3.3.3.3:* to sock b",
    );
    assert_eq!(codes(&outcome), Vec::<&str>::new());
    assert!(outcome.built.is_some(), "{:?}", outcome.internal);
    // What another allow has taken, which a lookup can read, is nothing that the one after it could be asked about.
    let outcome = compiled(
        "socket a = tcp listen 127.0.0.1:1
         default in drop
         allow tcp to 3.3.3.3:80
         allow tcp to 3.3.3.0/24:80 if tcp flags syn no ack
         redirect tcp to 3.3.3.3:* to sock a",
    );
    assert_eq!(codes(&outcome), Vec::<&str>::new());
    assert!(outcome.built.is_some(), "{:?}", outcome.internal);
}

#[test]
fn policies_of_namespaces_are_built_and_travel_in_the_object() {
    let outcome = compiled(
        "policy edge
         default in drop
         for netns \"blue\" { default in drop allow tcp to port 22 }
         for netns \"green\" { default out allow drop out udp }",
    );
    assert_eq!(codes(&outcome), Vec::<&str>::new());
    let built = outcome.built.unwrap();
    let names: Vec<&str> = built
        .artifact
        .netns
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["blue", "green"]);
    assert_eq!(built.netns[1].artifact, built.artifact.netns[1].1);
    let programs = |artifact: &Artifact| -> Vec<String> {
        artifact
            .programs
            .iter()
            .map(|one| one.name.clone())
            .collect()
    };
    assert_eq!(programs(&built.artifact.netns[1].1), ["tc_out"]);
    let bytes = crate::object::write(&built.artifact).unwrap();
    assert_eq!(crate::object::read(&bytes).unwrap().netns.len(), 2);
}

#[test]
fn a_mistake_in_a_namespace_is_told_together_with_those_outside() {
    let outcome = compiled(
        "default in drop
         expect allow from any to any
         for netns \"blue\" { default in drop expect allow from any to any }",
    );
    assert_eq!(codes(&outcome), ["E0501", "E0501"]);
    assert!(outcome.built.is_none());
}

#[test]
fn a_redirect_by_a_map_has_one_counter() {
    let outcome = compiled(
        "socket a = registered
         map m = { 192.0.2.0/24:53 -> sock a, 192.0.2.1:53 -> sock a }
         count tcp
         redirect by @m",
    );
    assert_eq!(codes(&outcome), Vec::<&str>::new());
    let policy = outcome.policy.unwrap();
    assert_eq!(policy.rules.len(), 3);
    let counters = outcome.built.unwrap().artifact.manifest.counters;
    let rules = counters
        .iter()
        .filter(|one| one.kind == crate::artifact::CounterKind::Rule);
    assert_eq!(rules.count(), 2);
}

/// The rules that a redirect by a map becomes share one limit of their log.
#[test]
fn a_redirect_by_a_map_has_one_limit() {
    let outcome = compiled(
        "socket a = registered
         map m = { 192.0.2.0/24:53 -> sock a, 198.51.100.0/24:53 -> sock a }
         redirect by @m log max 5/second",
    );
    let maps = outcome.built.unwrap().artifact.maps;
    let rates = maps.values().find(|map| map.name == "rates").unwrap();
    assert_eq!(rates.max_entries, 1);
}

/// A live set has two maps of its own. What is said stands at one of them and names the limit.
#[test]
fn too_many_live_sets_are_named() {
    let policy = |count: u32| {
        let sets =
            (0..count).map(|number| format!("live set s{number} max 10\ndrop from @s{number}\n"));
        format!("default in allow\n{}", sets.collect::<String>())
    };
    // Counters are a map too, and drops that somebody asks to see have two.
    assert_eq!(codes(&compiled(&policy(30))), [""; 0]);
    let outcome = compiled(&policy(31));
    assert_eq!(codes(&outcome), ["E0401"]);
    let diagnostic = outcome
        .diagnostics
        .iter()
        .find(|one| one.code == TOO_LARGE)
        .unwrap();
    assert!(
        diagnostic.primary.text.contains("uses 65 maps, 64 at most"),
        "{diagnostic:?}"
    );
    assert!(diagnostic.primary.span.start > 0 && diagnostic.secondary.len() == 2);
}

#[test]
fn work_of_the_verifier_is_limited_before_anything_is_emitted() {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", "default in drop\nallow tcp to port 22\n");
    let mut target = Target::baseline();
    target.limits.processed.ours = 1_000;
    let outcome = compile(&mut sources, id, "t", &target, &mut Texts::default());
    assert_eq!(codes(&outcome), ["E0401"]);
    let label = &outcome.diagnostics.last().unwrap().primary;
    assert!(
        label
            .text
            .contains("steps of the kernel's verifier, 1000 at most"),
        "{label:?}"
    );
    assert_eq!(sources.place(label.span).0, 2);
}

/// Each name that says what becomes of packets while it is absent has a loop over its members for each family.
#[test]
fn members_of_many_names_are_told_to_be_fewer() {
    let of = |names: u32, members: u32| {
        let lines = (0..names).map(|number| {
            format!(
                "socket s{number} = registered members {members} if absent drop
                redirect tcp to port {} to sock s{number}\n",
                1_000 + 2 * number
            )
        });
        compiled(&format!("default in drop\n{}", lines.collect::<String>()))
    };
    assert_eq!(codes(&of(8, 64)), [""; 0]);
    assert_eq!(codes(&of(80, 8)), [""; 0]);
    let outcome = of(80, 64);
    assert_eq!(codes(&outcome), ["E0401"]);
    let mut diagnostics = outcome.diagnostics.iter();
    let refusal = diagnostics.find(|one| one.code == TOO_LARGE).unwrap();
    let help = refusal.help.as_deref().unwrap();
    assert!(help.contains("fewer `members`"), "{help}");
}

#[test]
fn a_policy_of_too_many_rules_is_refused_in_plain_words() {
    let rules = "drop tcp to port 1\n".repeat(500_001);
    let outcome = compiled(&format!("default in allow\n{rules}"));
    assert_eq!(codes(&outcome), ["E0402"]);
    let text = "#".repeat((40 << 20) + 1);
    assert_eq!(codes(&compiled(&text)), ["E0402"]);
}

/// Who has too many of one thing is not told to have fewer of another.
#[test]
fn advice_for_a_list_that_is_too_large_is_about_what_it_has_many_of() {
    let advice = |rule: &dyn Fn(u32) -> String| {
        let rules: String = (1..45).map(|number| rule(number) + "\n").collect();
        let policy = compiled(&format!("default in allow\n{rules}"))
            .policy
            .unwrap();
        crate::place::codes::fewer(&policy)
    };
    let ports = advice(&|number| format!("drop tcp to port {number}-{}", 99 * number));
    assert!(ports.contains("address and port ranges"), "{ports}");
    let lengths = advice(&|number| format!("drop tcp to port 22 if no length = {number}"));
    assert!(
        lengths.contains("fewer different `length` conditions"),
        "{lengths}"
    );
    let either = advice(&|number| {
        format!(
            "drop if any of {{ ttl = {number}, mark {number}, ttl = {} }}",
            number + 50
        )
    });
    assert!(
        either.contains("fewer different `ttl` conditions"),
        "{either}"
    );
}

/// Which live sets have tables, in the file's own policy and in its blocks.
fn tables(text: &str) -> Vec<bool> {
    let outcome = compiled(text);
    assert!(codes(&outcome).is_empty(), "{:?}", outcome.diagnostics);
    let artifact = outcome.built.unwrap().artifact;
    let blocks = artifact.netns.iter().map(|(_, block)| &block.manifest);
    let all = std::iter::once(&artifact.manifest).chain(blocks);
    all.flat_map(|one| one.sets.iter().map(|set| set.table.is_some()))
        .collect()
}

/// A block shares the live sets of the policy around it, so the same maps.
#[test]
fn all_live_sets_of_a_file_have_tables_or_none_has() {
    let sets = |count: usize| -> String {
        let declared = (0..count).map(|one| format!("live set s{one} max 10\n"));
        let asked = (0..count).map(|one| format!("drop from @s{one}\n"));
        declared.chain(asked).collect()
    };
    let block = "for netns \"blue\" {\ndefault in allow\ndrop from @s0\n}\n";
    assert_eq!(
        tables(&format!("default in allow\n{}{block}", sets(2))),
        [true; 3]
    );
    assert_eq!(
        tables(&format!("default in allow\n{}{block}", sets(9))),
        [false; 10]
    );
    // Nor where there would be room for the code.
    let declared: String = (0..9)
        .map(|one| format!("live set s{one} max 10\n"))
        .collect();
    assert_eq!(
        tables(&format!(
            "default in allow\n{declared}drop from @s0\n{block}"
        )),
        [false; 10]
    );
}

/// The search of a table is much code: where it does not fit, there is none.
#[test]
fn tables_of_live_sets_make_no_policy_too_large() {
    let declared = (0..8).map(|one| format!("live set s{one} max 10\n"));
    let asked = (0..8).map(|one| format!("drop from @s{one}\ndrop to @s{one}\n"));
    let text: String = declared.chain(asked).collect();
    assert_eq!(tables(&format!("default in allow\n{text}")), [false; 8]);
}
