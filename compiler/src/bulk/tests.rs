//! What becomes a group, what each chain asks about, and when groups are not taken.

use sockc_grammar::source::SourceMap;

use super::*;
use crate::chain::concern::concern;
use crate::chain::{Chain, Effect};
use crate::compose::{self, Fault};
use crate::diagram::{Node, Store};
use crate::field::Field;
use crate::files::Texts;
use crate::hook::Hook;
use crate::pipeline::{Built, Compilation, Counters, Options, Slots, check, compile};
use crate::place::place;
use crate::target::Target;
use crate::verifier_cost::VerifierCost;

fn compiled(text: &str, structure: Structure) -> Compilation {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let target = Target::baseline();
    let options = Options {
        structure,
        ..Options::from(&target)
    };
    let outcome = compile(&mut sources, id, "t", options, &mut Texts::default());
    assert!(!outcome.failed(), "{outcome:?}");
    outcome
}

fn built(text: &str, structure: Structure) -> Built {
    compiled(text, structure).built.unwrap()
}

/// The policy, with every plain rule taken.
fn bulk_of(text: &str) -> (Policy, Bulk) {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let outcome = check(&mut sources, id, "t", &mut Texts::default());
    assert!(!outcome.failed(), "{outcome:?}");
    let policy = outcome.policy.unwrap();
    let taking = Taking::new(Breadth::Every, Conditions::All);
    let bulk = Bulk::of(&policy, 1, &taking).unwrap();
    (policy, bulk)
}

/// For each group the lines of its rules, from 1.
fn lines(policy: &Policy, bulk: &Bulk) -> Vec<Vec<u32>> {
    let line = |rule: &RuleId| policy.rules[*rule].place.line;
    let groups = bulk.groups.iter();
    groups
        .map(|group| group.members.iter().map(line).collect())
        .collect()
}

fn lines_of(text: &str) -> Vec<Vec<u32>> {
    let (policy, bulk) = bulk_of(text);
    lines(&policy, &bulk)
}

/// The lines of the rules among which the program of a hook asks for the first match.
fn asked(text: &str, hook: Hook) -> Vec<u32> {
    let outcome = compiled(text, Structure::Tables);
    let (policy, built) = (outcome.policy.unwrap(), outcome.built.unwrap());
    let slots = Slots::new(&policy, &built.chains, &built.decisions, Counters::Kept);
    let bulk = built.bulk.unwrap();
    let chain = built.chains.iter().find(|chain| chain.hook == hook);
    let members = bulk.members(&policy, chain.unwrap(), slots.of(hook.direction()));
    let of = |matches: &crate::policy::Match| {
        let mut rules = policy.rules.values();
        rules.find(|rule| std::ptr::eq(&rule.matches, matches))
    };
    members
        .iter()
        .map(|member| of(member.matches).unwrap().place.line)
        .collect()
}

#[test]
fn rules_of_one_kind_with_no_other_between_them_are_one_group() {
    let text = "default in drop default out drop
        allow tcp to port 22
        drop udp
        allow tcp to port 80
        count tcp
        allow tcp to port 443
        allow out udp
        drop tcp
        allow udp to port 53 log max 1/second
        drop from 192.0.2.0/24";
    let expected: [&[u32]; 6] = [&[2, 4], &[3], &[6], &[7], &[8], &[10]];
    assert_eq!(lines_of(text), expected);
}

#[test]
fn what_is_more_than_a_plain_decision_stays_a_rule() {
    let text = "zone lan = \"lan*\"
        default in drop
        allow tcp to port 1 up to 5 packets/second
        allow tcp to port 2 log max 1/second
        allow tcp to port 3 mark 7
        audit drop tcp to port 4
        allow tcp if mark 8
        allow tcp if mark 7
        allow tcp on zone lan to port 5
        allow tcp to port 6
        allow tcp to port 2 up to 3 packets/second";
    assert_eq!(lines_of(text), [[3], [9], [10]]);
}

/// Those for the same packets one after the other; none where too many are, or behind one that is in no table.
#[test]
fn rates_for_the_same_packets_are_on_different_levels() {
    let text = "live set some max 10
        default in drop default send allow
        drop tcp from 10.0.0.0/24 above 5 packets/second
        drop tcp from 10.0.1.0/24 above 5 packets/second per source
        allow tcp to port 80
        drop tcp above 100 packets/second
        allow udp up to 7 packets/second
        drop tcp from 10.0.1.7 to port 7 above 9_000 bytes/second
        drop tcp from 10.0.1.7 above 2 packets/second
        drop udp from 10.0.0.0/8 to port 7 above 2 packets/second
        drop from 10.0.1.7 above 3 packets/second
        drop from @some above 3 packets/second";
    let (policy, bulk) = bulk_of(text);
    let line = |id: RuleId| policy.rules[id].place.line;
    let levels: Vec<_> = bulk
        .metered()
        .map(|(id, level)| (line(id), level))
        .collect();
    assert_eq!(levels, [(3, 1), (4, 1), (6, 2), (8, 3), (7, 1), (10, 2)]);
    let left: Vec<u32> = bulk.unmetered.iter().map(|&id| line(id)).collect();
    assert_eq!(left, [9, 11]);
}

/// Of which the ranges around what they match cross: hosts of one network of IPv6, and pairs of far addresses.
#[test]
fn rates_for_different_customers_are_on_one_level() {
    let hosts = (1..200).map(|host| {
        format!(
            "drop to 2001:db8::{host:x} above 5 packets/second\n\
            drop tcp to 10.0.{host}.1, 10.200.{host}.1 above 5 packets/second\n"
        )
    });
    let text = format!("default in drop\n{}", hosts.collect::<String>());
    let (_, bulk) = bulk_of(&text);
    assert!(bulk.unmetered.is_empty(), "{:?}", bulk.unmetered);
    assert!(bulk.metered().all(|(_, level)| level == 1));
}

/// Where two hooks ask for the first match, both would take the tokens.
#[test]
fn a_rate_is_asked_in_the_tables_of_one_hook_only() {
    let text = "default in drop
        drop tcp to port 1 above 5 packets/second
        allow tcp to port 3";
    let of = |text: &str| {
        let outcome = compiled(text, Structure::Tables);
        let bulk = outcome.built.unwrap().bulk.unwrap();
        lines(&outcome.policy.unwrap(), &bulk)
    };
    assert_eq!(of(text), [[2], [3]]);
    let both = format!("{text}\n drop tcp to port 4 at tc");
    assert_eq!(of(&both), [[3], [4]]);
}

#[test]
fn where_there_is_a_lookup_rules_of_one_interface_are_no_bulk() {
    let text = "zone lan = \"lan*\"
        socket web = tcp listen 127.0.0.1:80
        default in allow
        drop udp on zone lan to port 5
        redirect tcp to port 80 to sock web
        reject tcp to port 81 at sk_lookup
        drop udp to port 7";
    assert_eq!(lines_of(text), [vec![5], vec![7]]);
}

#[test]
fn what_is_asked_of_the_header_is_bulk() {
    let text = "default in drop default out drop
        allow tcp to port 1 if tcp flags syn no ack
        allow icmp echo-request, icmp6 129
        allow from not 10.0.0.0/8
        allow tcp from any to not 192.0.2.0/24:80
        allow if fragment
        allow if length > 100 and ttl < 2
        allow if no dscp ef and ecn ce
        allow out if vlan 7
        allow out if mark 0x10/0xff";
    assert_eq!(lines_of(text), [vec![2, 3, 4, 5, 6, 7, 8], vec![9, 10]]);
}

/// A live set with ports that are `not` some, or beside other addresses, is no question of its own.
#[test]
fn what_is_asked_beside_the_header_is_bulk() {
    let text = "live set some max 10
        socket web = tcp listen 127.0.0.1:80
        default in drop default out drop
        allow tcp to port 1 if socket exists
        allow tcp to port 2 if socket exists and ttl = 1
        allow from @some to port 3
        allow from not @some if socket established
        allow out to @some:7
        drop from not @some:7
        drop from @some, 10.0.0.1
        allow tcp if sock web absent
        allow out udp if any of { socket exists, mark 7 }";
    assert_eq!(lines_of(text), [vec![4, 5, 6, 7], vec![8, 12], vec![11]]);
}

#[test]
fn what_few_rules_ask_stays_in_the_tree() {
    let text = "live set one max 10
        live set two max 10
        default in drop
        allow from @one
        allow from not @two
        allow to @one
        allow from @two if ttl = 1
        allow from @two if ttl = 2
        allow to @one:7
        allow tcp if socket exists
        allow udp if socket exists";
    let (policy, bulk) = bulk_of(text);
    assert_eq!(lines(&policy, &bulk), [vec![4], vec![6, 7, 8, 9, 10, 11]]);
    let left = bulk.unasked.iter();
    let left: Vec<u32> = left.map(|id| policy.rules[*id].place.line).collect();
    assert_eq!(left, [5]);
}

/// Sockets are taken in by what is true when they connect. A process that connects is asked once.
#[test]
fn what_changes_is_not_asked_of_what_processes_write() {
    let text = "live set some max 10
        group pods = cgroup \"/pods\"
        default send allow default connect allow
        drop send tcp to 192.0.2.1
        drop send tcp to @some
        drop connect tcp to @some
        drop connect tcp to 192.0.2.1";
    assert_eq!(lines_of(text), [vec![4], vec![6, 7]]);
}

/// XDP has no mark, and most drivers take the tag off first.
#[test]
fn what_arrives_is_not_asked_for_its_tag_or_mark() {
    let text = "default in drop
        allow if vlan 7
        allow if mark 7
        allow tcp if any of { ttl = 1, mark 7 }
        allow tcp to port 1 if ttl = 1";
    assert_eq!(lines_of(text), [[5]]);
}

#[test]
fn where_there_is_a_lookup_only_what_takes_packets_away_asks_the_header() {
    let text = "socket web = tcp listen 127.0.0.1:80
        default in allow
        drop tcp to port 5 if tcp flags syn
        allow tcp to port 6 if tcp flags syn
        allow icmp echo-request
        redirect tcp to port 80 to sock web";
    assert_eq!(lines_of(text), [vec![3], vec![5], vec![6]]);
}

/// TC sees segments that were joined: what has other flags there is not asked in the tables of both.
#[test]
fn what_changes_between_two_hooks_is_asked_by_one_only() {
    let text = "default in drop
        allow tcp to port 1 if tcp flags syn
        allow tcp to port 2 if ttl = 1
        allow tcp to port 3";
    let of = |text: &str| {
        let outcome = compiled(text, Structure::Tables);
        let bulk = outcome.built.unwrap().bulk.unwrap();
        lines(&outcome.policy.unwrap(), &bulk)
    };
    assert_eq!(of(text), [[2, 3, 4]]);
    let both = format!("{text}\n drop tcp to port 4 at tc");
    assert_eq!(of(&both), [vec![3, 4], vec![5]]);
}

/// Each of these makes one class more, so that the last ones find none.
#[test]
fn conditions_that_tell_too_many_classes_apart_stay_in_the_tree() {
    let rules: String = (0..100)
        .map(|ttl| format!("allow tcp from 10.0.0.{ttl} if ttl = {ttl}\n"))
        .collect();
    let (_, bulk) = bulk_of(&format!(
        "default in drop\n{rules}allow tcp from 10.1.0.1\n"
    ));
    let members: usize = bulk.groups.iter().map(|group| group.members.len()).sum();
    assert_eq!(members + bulk.unclassed.len(), 101);
    // One class is that of other protocols, one that of tcp with other values.
    assert_eq!(bulk.unclassed.len(), 100 - 62);
}

/// A tree would have an arm for each address and each answer.
#[test]
fn thousands_of_rules_with_conditions_are_short_programs() {
    for (what, condition) in [
        ("tcp", " if tcp flags syn no ack"),
        ("icmp echo-request", ""),
        ("tcp", " if socket exists"),
        ("tcp", " up to 5 packets/second"),
        ("udp", " up to 9 connections/second per source/24 burst 20"),
    ] {
        let rules: String = (0..10_000)
            .map(|n| {
                format!(
                    "allow {what} from 10.1.{}.{}{condition}\n",
                    n / 250,
                    n % 250
                )
            })
            .collect();
        let built = built(&format!("default in drop\n{rules}"), Structure::Chosen);
        let [program] = built.artifact.programs.as_slice() else {
            panic!("one program");
        };
        assert!(program.insns.len() < 2_000, "{}", program.insns.len());
        assert!(built.classifiers[0].is_some());
        let work = VerifierCost::of(&built.functions[0], 1_000_000).processed;
        assert!(work <= 25_000, "{what}: {work}");
    }
}

/// Rules of which each asks something of another kind, and rates of every kind on all levels.
#[test]
fn whatever_thousands_of_rules_ask_they_are_short_programs() {
    let asked = [
        "tcp from HOST if tcp flags syn no ack",
        "tcp from HOST if socket exists",
        "tcp from HOST on zone lan",
        "icmp echo-request from HOST",
        "from not HOST to any:7",
        "udp from HOST above 5_000 bytes/second per source burst 9_000",
        "tcp from HOST above 5 connections/second",
        "tcp from HOST to port 80 above 50 packets/second per destination",
    ];
    let rules: String = (0..10_000usize)
        .map(|n| {
            // One that is for nearly everything is not in the same place as hundreds of them.
            let kind = if n % 8 == 4 && n % 1000 != 4 {
                5
            } else {
                n % 8
            };
            let asked = asked[kind];
            let host = format!("10.7.{}.{}", n / 250, n % 250);
            format!("drop {}\n", asked.replace("HOST", &host))
        })
        .collect();
    let text = format!(
        "zone lan = \"lan*\" default in allow\n{rules}drop tcp above 900 connections/second\n\
         drop above 9_999 packets/second\n"
    );
    let built = built(&text, Structure::Chosen);
    let bulk = built.bulk.as_ref().unwrap();
    assert_eq!((bulk.unmetered.len(), bulk.unasked.len()), (0, 0));
    for (function, program) in built.functions.iter().zip(&built.artifact.programs) {
        assert!(program.insns.len() < 4_000, "{}", program.insns.len());
        let work = VerifierCost::of(function, 1_000_000).processed;
        assert!(work <= 25_000, "{}: {work}", program.name);
    }
}

#[test]
fn few_rules_stay_a_tree() {
    let rule = |port: usize| format!("allow tcp to port {port}\n");
    let text = |count: usize| -> String {
        std::iter::once("default in drop\n".to_owned())
            .chain((1..=count).map(rule))
            .collect()
    };
    assert!(
        built(&text(MIN_RULES - 1), Structure::Chosen)
            .bulk
            .is_none()
    );
    assert!(built(&text(MIN_RULES), Structure::Chosen).bulk.is_some());
    assert!(built(&text(MIN_RULES), Structure::Tree).bulk.is_none());
}

#[test]
fn each_direction_has_first_matches_of_its_own() {
    let (_, bulk) = bulk_of(
        "default in drop default out drop
        allow tcp
        allow out udp
        drop out tcp
        drop udp",
    );
    let numbers: Vec<_> = bulk
        .groups
        .iter()
        .map(|group| (group.direction, group.number))
        .collect();
    let (arriving, leaving) = (Direction::In, Direction::Out);
    assert_eq!(
        numbers,
        [(arriving, 1), (leaving, 1), (leaving, 2), (arriving, 2)]
    );
}

const GROUPS: &str = "group pods = cgroup \"/pods\"
    group jobs = cgroup \"/jobs\"
    default send allow
    drop send tcp from group pods to 192.0.2.0/24
    drop send tcp to 198.51.100.0/24
    drop send tcp from group jobs to 203.0.113.0/24
    drop send tcp from group pods to port 25
    shortcut tcp within group pods
    drop send tcp from group pods to port 22";

/// What a rule of one group matches is nothing to another group. A shortcut is asked from both ends, so it stands alone.
#[test]
fn the_sockets_of_a_group_ask_among_its_rules() {
    assert_eq!(lines_of(GROUPS), [vec![4, 7], vec![5], vec![6], vec![9]]);
    let outcome = compiled(GROUPS, Structure::Tables);
    let (policy, built) = (outcome.policy.unwrap(), outcome.built.unwrap());
    let slots = Slots::new(&policy, &built.chains, &built.decisions, Counters::Kept);
    let bulk = built.bulk.unwrap();
    let asked = built.chains.iter().map(|chain| {
        let members = bulk.members(&policy, chain, slots.of(Direction::Send));
        members.iter().map(|member| member.group).collect()
    });
    let asked: Vec<Vec<u32>> = asked.collect();
    assert_eq!(asked, [vec![1, 2, 1, 4], vec![2, 3]]);
}

/// What matches first here says nothing of what the other end writes.
#[test]
fn whom_a_shortcut_leads_to_is_taken_in_whatever_matches_first_here() {
    let policy = bulk_of(
        "group pods = cgroup \"/pods\"
        default send allow
        allow send tcp to 10.0.0.0/8
        shortcut tcp to 192.0.2.0/24 within group pods",
    )
    .1
    .policy;
    let mut store = Store::of(&policy);
    let chains = place(&policy, &mut store).unwrap();
    let taken_in = concern(&mut store, &policy, &chains, chains[0].group, false).unwrap();
    let fields: Vec<_> = store.fields(taken_in).iter().collect();
    assert!(fields.contains(&Field::FirstMatch), "{fields:?}");
    let first = store.restrict(taken_in, Field::FirstMatch, 1).unwrap();
    assert_ne!(first, Node::FALSE);
}

const STEERED: &str = "socket web = tcp listen 127.0.0.1:80
    default in drop
    drop tcp from 192.0.2.0/24
    allow tcp to port 22
    redirect tcp to port 80 to sock web
    drop udp
    allow tcp to port 23";

#[test]
fn a_lookup_asks_among_what_lets_pass_up_to_its_last_rule() {
    assert_eq!(asked(STEERED, Hook::Xdp), [3, 4, 5, 6, 7]);
    assert_eq!(asked(STEERED, Hook::SkLookup), [4, 5]);
}

#[test]
fn a_group_is_named_by_its_first_rule_and_how_many_there_are() {
    let rules: String = (1..=1204)
        .map(|port| format!("allow tcp to port {port}\n"))
        .collect();
    let (_, bulk) = bulk_of(&format!("default in drop\n{rules}"));
    let place = &bulk.policy.rules[bulk.groups[0].rule].place;
    assert_eq!(
        &*place.text,
        "first match 1: 1,204 rules, first: allow tcp to port 1"
    );
    assert_eq!(place.line, 2);
}

/// Placement sees that the flags of packets to port 22 do not matter to a redirect of port 80, but not that a group of
/// redirects is of port 80.
#[test]
fn what_placement_refuses_of_a_group_is_not_said_of_its_rules() {
    let text = "socket web = tcp listen 127.0.0.1:80
        default in drop
        allow tcp to port 22 if tcp flags syn
        redirect tcp to port 80 to sock web
        allow tcp to port 23";
    let outcome = compiled(text, Structure::Tables);
    let bulk = outcome.built.unwrap().bulk.unwrap();
    assert_eq!(lines(&outcome.policy.unwrap(), &bulk), [[5]]);
}

#[test]
fn a_group_that_is_missing_in_a_chain_is_found() {
    let policy = bulk_of(STEERED).1.policy;
    let mut store = Store::of(&policy);
    let chains = place(&policy, &mut store).unwrap();
    assert_eq!(compose::check(&policy, &chains, &mut store), Ok(()));
    for (index, chain) in chains.iter().enumerate() {
        for (at, entry) in chain.entries.iter().enumerate() {
            let without = |chain: &Chain| {
                let mut less = chain.clone();
                less.entries.remove(at);
                less
            };
            let mut broken = chains.clone();
            broken[index] = without(chain);
            let found = compose::check(&policy, &broken, &mut store);
            // An allow at the end of a lookup is what comes anyway.
            let idle = chain.hook == Hook::SkLookup && entry.effect == Effect::Allow;
            assert_eq!(
                matches!(found, Err(Fault::Differs(_))),
                !idle,
                "{entry:?} of {:?}",
                chain.hook
            );
        }
    }
}

#[test]
fn rare_protocols_stay_in_the_tree() {
    let rules: String = (0..=255u32)
        .map(|number| format!("allow proto {number} from 10.0.0.{number}\n"))
        .chain((0..100u32).map(|number| format!("allow tcp from 10.1.0.{number}\n")))
        .collect();
    let built = built(&format!("default in drop\n{rules}"), Structure::Chosen);
    let bulk = built.bulk.unwrap();
    let members: usize = bulk.groups.iter().map(|group| group.members.len()).sum();
    assert_eq!(members, 100 + 56);
    assert_eq!(built.artifact.programs.len(), 1);
}
