use sockc_compiler::event::{Decider, Event, Parsed, SocketAnswer};
use sockc_compiler::files::Texts;
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Direction, RuleId};
use sockc_compiler::target::Target;
use sockc_grammar::source::SourceMap;
use sockc_testing::{Features, Options, Rng, edge_headers, of_direction, random_policy};

use super::*;
use crate::files::input::Text;

/// Whether a test with a lab may run; says so where it may not.
fn has_rights() -> bool {
    let missing = lab::missing_rights();
    if !missing.is_empty() {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs {missing:?}");
        eprintln!("skipped: needs root");
    }
    missing.is_empty()
}

fn compiled(text: &str) -> Compiled {
    compiled_for(text, &Target::baseline())
}

fn compiled_for(text: &str, target: &Target) -> Compiled {
    let mut sources = SourceMap::default();
    let id = sources.add("edge.sk", text);
    let outcome = pipeline::compile(&mut sources, id, "edge", target, &mut Texts::default());
    assert!(!outcome.failed(), "{:?}", outcome.diagnostics);
    Compiled {
        policy: outcome.policy.unwrap(),
        built: outcome.built.unwrap(),
        text: Text {
            sources,
            id,
            stem: "edge".into(),
        },
    }
}

/// The deciders of the chosen packets.
fn deciders(text: &str) -> Vec<Decider> {
    let compiled = compiled(text);
    let policy = &compiled.policy;
    let choice = choose::choose(policy).unwrap();
    let decide = |case: &Case| {
        let world = LabWorld::of(policy, case);
        decide(policy, &asked(policy, &case.event, &world), &world).decider
    };
    choice.cases.iter().map(decide).collect()
}

const POLICY: &str = "\
default in drop
default out allow
socket proxy = tcp listen 127.0.0.1:1234
allow tcp from 10.0.0.0/8 to 192.0.2.1-192.0.2.9:{22, 80-90} if tcp flags syn no ack
allow if socket established
drop udp if fragment and length > 1000
allow icmp echo-request
redirect 3.3.3.3:* to sock proxy
drop out tcp to port 25
";

#[test]
fn every_rule_and_default_decides_a_chosen_packet() {
    let found = deciders(POLICY);
    for rule in (0..6).map(RuleId::from_u32) {
        assert!(found.contains(&Decider::Rule(rule)), "{rule}: {found:?}");
    }
    assert!(found.contains(&Decider::Default) && found.contains(&Decider::Malformed));
}

/// The texts of the packets that a rule decides.
fn packets_of(policy: &Policy, rule: u32) -> Vec<String> {
    let choice = choose::choose(policy).unwrap();
    let decided = |case: &&Case| {
        let world = LabWorld::of(policy, case);
        let decision = decide(policy, &asked(policy, &case.event, &world), &world);
        decision.decider == Decider::Rule(RuleId::from_u32(rule))
    };
    let cases = choice.cases.iter().filter(decided);
    cases.map(|case| words::packet(policy, case)).collect()
}

#[test]
fn a_packet_is_the_plainest_that_reaches_its_rule() {
    let compiled = compiled(
        "default in drop
         live set banned max 10
         live set known max 10 = { 192.0.2.7 }
         zone wan = wan0
         drop from @banned to 192.0.2.0/24
         allow tcp from @known to 192.0.2.0/24
         drop icmp to 192.0.2.0/24 if ttl < 2
         allow udp to 192.0.2.0/24:53 on zone wan if vlan 7",
    );
    for (rule, packet) in [
        (
            0,
            "tcp from 198.51.100.1:40000 to 192.0.2.1:1 on zone wan with @banned { 198.51.100.1 }",
        ),
        (1, "tcp from 192.0.2.7:40001 to 192.0.2.1:1 on zone wan"),
        (
            2,
            "icmp from 198.51.100.1 to 192.0.2.1 on zone wan with ttl 1",
        ),
        (
            3,
            "udp from 198.51.100.1:40003 to 192.0.2.1:53 on zone wan with vlan 7",
        ),
    ] {
        assert_eq!(packets_of(&compiled.policy, rule), [packet]);
    }
}

#[test]
fn the_lab_has_an_interface_of_each_class_that_the_policy_attaches_to() {
    let compiled = compiled(
        "interfaces eth0, br-*
         default in drop
         zone lan = br-*
         zone away = wlan0
         allow tcp on zone lan
         allow udp on interface br-a?
         redirect sctp to 192.0.2.1 to interface out0",
    );
    let interfaces = interfaces::Interfaces::of(&compiled.policy);
    assert_eq!(interfaces.attached(), ["br-0", "br-a0", "eth0"]);
    assert_eq!(interfaces.all(), ["br-0", "br-a0", "eth0", "out0"]);
    let plain = compiled_plain();
    assert_eq!(
        interfaces::Interfaces::of(&plain.policy).all(),
        [lab::FRONT]
    );
}

/// A policy that names no interface.
fn compiled_plain() -> Compiled {
    compiled("default in drop\nallow tcp\n")
}

#[test]
fn a_rule_that_nothing_reaches_has_no_packet() {
    let compiled = compiled("default in drop\nallow tcp\ndrop tcp to 192.0.2.1:22\n");
    let choice = choose::choose(&compiled.policy).unwrap();
    assert_eq!(choice.unreached, [choose::Owner::Rule(RuleId::from_u32(1))]);
}

#[test]
fn a_redirect_by_a_map_is_reached_where_one_of_its_sockets_is() {
    let compiled = compiled(
        "default in allow\nsocket a = tcp listen 127.0.0.1:81 owner uid root\nsocket b = tcp listen 127.0.0.1:82 owner uid root
         live map t max 10 = { tcp 3.3.3.40:443 -> sock a }\nredirect tcp by @t\nredirect tcp 3.3.3.3:80 to sock b\n",
    );
    assert_eq!(choose::choose(&compiled.policy).unwrap().unreached, []);
}

#[test]
fn a_rule_that_one_group_reaches_is_reached() {
    let compiled = compiled(
        "group a = cgroup \"/a\"\ngroup b = cgroup \"/b\"\ndefault connect allow\ndefault send allow
         drop connect from group a to 10.0.0.1\ndrop connect tcp from group b to 10.0.0.2:80
         drop send tcp from group b to 10.0.0.3\nshortcut tcp within group a\n",
    );
    let choice = choose::choose(&compiled.policy).unwrap();
    assert_eq!(choice.unreached, []);
}

#[test]
fn a_rule_on_what_processes_do_that_nothing_reaches_is_told() {
    for direction in Direction::all_of_processes() {
        let text = "group a = cgroup \"/a\"\ndefault DO allow\ndrop DO tcp\ndrop DO tcp from group a to 10.0.0.1:80\n";
        let compiled = compiled(&of_direction(text, direction.word()));
        let choice = choose::choose(&compiled.policy).unwrap();
        let shadowed = choose::Owner::Rule(RuleId::from_u32(1));
        assert!(choice.unreached.contains(&shadowed), "{direction:?}");
    }
}

/// At the lowest port the named socket answers, which the rule does not want; at others nobody does.
#[test]
fn a_packet_is_looked_for_past_the_ports_of_named_sockets() {
    let compiled = compiled(
        "default in drop\nsocket a = tcp listen 0.0.0.0:80, tcp listen [::]:80
         allow tcp to any:{80, 443} if no socket\ndrop tcp to 192.0.2.1:80 if no socket\n",
    );
    let choice = choose::choose(&compiled.policy).unwrap();
    assert_eq!(packets_of(&compiled.policy, 0).len(), 2);
    assert_eq!(choice.unreached, [choose::Owner::Rule(RuleId::from_u32(1))]);
}

/// Programs of one policy judged by the rules of another, which differs in one port.
fn wrong_programs() -> (Compiled, Vec<Case>) {
    let right = compiled("default in drop\ndoor: allow tcp to 192.0.2.1:22\n");
    let wrong = compiled("default in drop\ndoor: allow tcp to 192.0.2.1:23\n");
    let cases = choose::choose(&right.policy).unwrap().cases;
    let mixed = Compiled {
        policy: right.policy,
        ..wrong
    };
    (mixed, cases)
}

fn disagreements(compiled: &Compiled, cases: &[Case], seen: Vec<Seen>) -> usize {
    let subject = Subject::outer(compiled);
    let rows = cases
        .iter()
        .zip(seen)
        .map(|(case, seen)| row(&subject, &Tried::inside(case.clone()), seen));
    rows.filter(|row| row.agrees == Some(false)).count()
}

#[test]
fn a_wrong_program_is_caught_in_the_interpreter() {
    let (mixed, cases) = wrong_programs();
    let seen = offline::play(&Subject::outer(&mixed), &cases);
    assert_eq!(disagreements(&mixed, &cases, seen), 1);
}

#[test]
fn a_wrong_program_is_caught_in_a_lab() {
    if !has_rights() {
        return;
    }
    let (mixed, cases) = wrong_programs();
    let (seen, _) = real::play(&Subject::outer(&mixed), &cases).unwrap();
    assert_eq!(disagreements(&mixed, &cases, seen), 1);
}

/// Random policies with the packets chosen for them; more with `SOCKC_POLICIES`.
fn random_trials(features: Features, play: impl Fn(&Subject<'_>, &[Case]) -> Vec<Seen>) {
    let count = std::env::var("SOCKC_POLICIES").map_or(8, |count| count.parse().unwrap());
    for seed in 0..count {
        let options = Options {
            features,
            ..Options::everything(8)
        };
        let text = random_policy(seed, options);
        let compiled = compiled_for(&text, &Target::baseline().with_lookup_interface());
        let cases = choose::choose(&compiled.policy).unwrap().cases;
        let subject = Subject::outer(&compiled);
        let seen = play(&subject, &cases);
        let rows = cases.iter().zip(seen);
        let rows = rows.map(|(case, seen)| row(&subject, &Tried::inside(case.clone()), seen));
        let wrong: Vec<_> = rows.filter(|row| row.agrees == Some(false)).collect();
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}\n{text}");
    }
}

/// No packet at the edges of a policy gets to a rule that none was found for, in the lab as it can be made for it.
#[test]
fn where_no_packet_was_found_there_is_none_at_the_edges() {
    let (mut asked, mut found) = (0, Vec::new());
    for seed in 100..140 {
        let text = random_policy(seed, Options::everything(8));
        let compiled = compiled_for(&text, &Target::baseline().with_lookup_interface());
        let policy = &compiled.policy;
        let rng = &mut Rng::new(seed);
        for owner in choose::choose(policy).unwrap().unreached {
            let choose::Owner::Rule(id) = owner else {
                continue;
            };
            if policy.rules[id].direction.of_processes() {
                continue;
            }
            asked += 1;
            let reaches = |case: &Case| reaches(policy, case, id);
            if let Some(case) = at_the_edges(policy, id, rng).find(reaches) {
                let packet = words::packet(policy, &case);
                found.push(format!("{} {packet}\n{text}", words::owner(policy, owner)));
            }
        }
    }
    assert!(asked > 5, "{asked}");
    assert!(found.is_empty(), "{} of {asked}: {}", found.len(), found[0]);
}

/// Packets that the lab can send: unmarked, as short as may be, on its interfaces, with a socket or without.
fn at_the_edges(policy: &Policy, rule: RuleId, rng: &mut Rng) -> impl Iterator<Item = Case> {
    let direction = policy.rules[rule].direction;
    let interfaces = interfaces::Interfaces::of(policy);
    let classes: Vec<_> = interfaces.classes().map(|(class, _)| class).collect();
    let mut cases = Vec::new();
    for mut header in edge_headers(policy, rng, 400) {
        header.mark = 0;
        if header.length > lab::MTU {
            continue;
        }
        for class in &classes {
            for socket in [
                SocketAnswer::None,
                SocketAnswer::Listening,
                SocketAnswer::Established,
            ] {
                let event = Event::Packet {
                    direction,
                    class: *class,
                    packet: Parsed::Ip(header.clone()),
                };
                cases.push(Case::plain(event, socket));
            }
        }
    }
    cases.into_iter()
}

/// Whether a rule decides or counts a packet, of which the lab can make what it needs.
fn reaches(policy: &Policy, case: &Case, rule: RuleId) -> bool {
    let Event::Packet {
        direction,
        packet: Parsed::Ip(header),
        ..
    } = &case.event
    else {
        return false;
    };
    let world = LabWorld::of(policy, case);
    let decision = decide(policy, &case.event, &world);
    world.answer(*direction, header) == case.socket
        && (decision.decider == Decider::Rule(rule) || decision.counted.contains(&rule))
}

#[test]
fn random_policies_do_in_the_interpreter_what_their_rules_say() {
    random_trials(Features::WHOLE, offline::play);
}

#[test]
fn random_policies_do_in_a_lab_what_their_rules_say() {
    if has_rights() {
        let features = Features {
            zones: sockc_runtime::probe().lookup_interface,
            ..Features::WHOLE
        };
        random_trials(features, |subject, cases| {
            real::play(subject, cases).unwrap().0
        });
    }
}

/// Which of the chosen packets of the rules, each sent twice, find too little in their buckets.
fn short(rules: &str) -> Vec<bool> {
    let policy = compiled(&format!("default in allow\n{rules}\n")).policy;
    let cases = choose::choose(&policy).unwrap().cases;
    let mut taken = tokens::Taken::default();
    let asked = cases.iter().flat_map(|case| [case, case]);
    let due = asked.map(|case| tokens::due(&policy, case));
    due.filter(|due| !due.is_empty())
        .map(|due| {
            let short = taken.is_short_of(&due);
            taken.take(due);
            short
        })
        .collect()
}

/// A rule has a packet of each family.
#[test]
fn what_is_sent_is_counted_against_the_bucket_it_takes_from() {
    let after = |rule: &str| short(&format!("{rule}\ndrop udp to any:53"));
    let shared = [false, true, true, true];
    let each = [false, true, false, true];
    for (rate, wanted) in [
        ("up to 10 packets/minute", shared),
        ("up to 10 packets/minute burst 4", [false; 4]),
        (
            "up to 10 packets/minute burst 3",
            [false, false, false, true],
        ),
        ("up to 1 packets/hour per source", each),
        ("up to 1 packets/hour per destination/0/0", each),
        ("up to 1 connections/hour", shared),
        ("up to 9 bytes/hour burst 83", [false, false, true, true]),
    ] {
        assert_eq!(
            short(&format!("allow udp to any:53 {rate}")),
            wanted,
            "{rate}"
        );
    }
    let above = "udp to any:53 above 9 packets/hour burst 3";
    for verb in ["drop", "count"] {
        let found = after(&format!("{verb} {above}"));
        assert_eq!(found, [false, false, false, true], "{verb}");
    }
    // What the unit does not count takes nothing, and neither does what is longer than a full bucket.
    for rule in [
        "allow tcp if tcp flags ack no syn up to 1 connections/hour",
        "allow udp to any:53 above 20 bytes/hour",
    ] {
        assert!(short(rule).is_empty(), "{rule}");
    }
}

#[test]
fn no_packet_of_a_lab_exceeds_a_rate() {
    if !has_rights() {
        return;
    }
    let compiled = compiled(
        "default in drop
a: allow udp to any:53 up to 10 packets/minute
b: allow tcp to any:53 up to 1 connections/hour per source
c: count icmp echo-request above 1 packets/hour
d: allow icmp echo-request up to 30 bytes/hour burst 30
",
    );
    let cases = choose::choose(&compiled.policy).unwrap().cases;
    let cases = [cases.as_slice(), &cases].concat();
    let (seen, counters) = real::play(&Subject::outer(&compiled), &cases).unwrap();
    assert_eq!(disagreements(&compiled, &cases, seen), 0);
    let counted = |label: &str| {
        let mut rules = counters.iter();
        let found = rules.find(|value| value.counter.label.as_deref() == Some(label));
        found.unwrap().packets
    };
    assert_eq!(["a", "b", "c", "d"].map(counted), [4, 4, 0, 2]);
}

#[test]
fn what_is_declared_and_not_used_is_no_hindrance() {
    if !has_rights() {
        return;
    }
    let declared =
        "socket s = tcp listen 127.0.0.1:1\ngroup g = cgroup \"/g\"\ngroup h = cgroup \"/h\"\n";
    for rules in [
        "default in drop\nallow tcp\n",
        "default send allow\ndrop send tcp from group h to port 25\n",
    ] {
        let compiled = compiled(&format!("{declared}{rules}"));
        let cases = choose::choose(&compiled.policy).unwrap().cases;
        let (seen, _) = real::play(&Subject::outer(&compiled), &cases).unwrap();
        assert_eq!(disagreements(&compiled, &cases, seen), 0);
    }
}
