//! Lists of hundreds and thousands of rules, which become tables: the emitted walk in the interpreter against a linear scan.
//!
//! Every list is compiled as users have it (`Structure::Chosen`), one in two for the newest target and with long jumps. Not
//! here: lists that are mixed with conditions, which are random policies like others.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use sockc_compiler::artifact::CounterKind;
use sockc_compiler::bulk::Structure;
use sockc_compiler::classifier::tables::{GROUP_AT, RANK_AT, SERVICE_AT, SERVICE_BITS};
use sockc_compiler::interpret::{self, Input, Maps, Quiet, Skb, Xdp};
use sockc_compiler::target::Target;
use sockc_testing::Rng;

use crate::frame::Layout;
use crate::rules::family::{FAMILIES, Family, seed};
use crate::rules::generate::{different, global};
use crate::rules::policy::{RunsAt, Verdicts, allows, policy, rule_of_line};
use crate::rules::scan::Scan;
use crate::rules::{ANY_PORT, Header, Prefix, Rule, RuleSet, trace};
use crate::{Subject, forced_far};

/// Rules of each family.
const SIZES: [usize; 2] = [300, 2_000];

/// Packets of each kind for a list.
const PACKETS: usize = 1_000;

/// A list as a program: where it runs and the code that lets a packet pass.
struct Running {
    subject: Subject,
    place: RunsAt,
}

impl Running {
    fn new(rules: &[Rule], place: RunsAt, target: &Target) -> Self {
        let text = policy(rules, Verdicts::Alternate, place);
        let subject = Subject::compiled(text, Structure::Chosen, target);
        Self { subject, place }
    }

    /// Whether the program lets a frame pass.
    fn passes(&self, maps: &mut Maps, frame: Vec<u8>) -> bool {
        let (name, pass, input) = match self.place {
            RunsAt::Xdp => ("xdp_in", 2, Input::Xdp(Xdp::new(frame))),
            RunsAt::Tc => ("tc_in", -1, Input::Skb(Skb::new(frame))),
        };
        let mut programs = self.subject.built.artifact.programs.iter();
        let program = programs.find(|program| program.name == name).unwrap();
        let outcome = interpret::run(program, maps, input, &mut Quiet);
        outcome.unwrap().code() == pass
    }

    /// How many strata are found by a hash, and by a tree.
    fn strata(&self) -> [usize; 2] {
        let summaries = self.subject.built.classifiers.iter().flatten();
        let families = summaries.flat_map(|one| &one.families);
        let parts = families.flat_map(|family| &family.choice.chosen.parts);
        parts.fold([0, 0], |[hashed, trees], part| match part.hash {
            Some(_) => [hashed + 1, trees],
            None => [hashed, trees + 1],
        })
    }

    /// Compares verdicts and counters with the scan; gives how many packets a rule decided.
    fn check(&self, set: &RuleSet, headers: &[Header]) -> usize {
        let answers = Scan::new(&set.rules).all(headers);
        let layout = Layout::of(set.has_ipv6());
        let mut maps = Maps::new(&self.subject.built.artifact.maps);
        let mut decided: BTreeMap<Option<usize>, u64> = BTreeMap::new();
        for (header, answer) in headers.iter().zip(&answers) {
            let passes = self.passes(&mut maps, layout.frame(header));
            let wanted = allows(Verdicts::Alternate, *answer);
            let name = &set.family;
            assert_eq!(
                passes, wanted,
                "{name}: {header:?} is decided by {answer:?}"
            );
            *decided.entry(*answer).or_default() += 1;
        }
        assert_eq!(self.counted(&maps), decided, "{}", set.family);
        answers.iter().flatten().count()
    }

    /// The packets that each rule has counted, and the default.
    fn counted(&self, maps: &Maps) -> BTreeMap<Option<usize>, u64> {
        let counters = (0u32..).zip(&self.subject.built.artifact.manifest.counters);
        let packets = counters.filter_map(|(slot, counter)| {
            let [packets, _] = maps.counted(slot)?;
            let rule = match counter.kind {
                CounterKind::Default => None,
                _ => Some(rule_of_line(counter.location.line)?),
            };
            (packets > 0).then_some((rule, packets))
        });
        packets.collect()
    }
}

/// The target and place of the list of this number.
fn made_for(number: usize) -> (Target, RunsAt) {
    let target = match number % 2 {
        0 => Target::baseline(),
        _ => forced_far(Target::newest()),
    };
    let place = match number % 3 {
        0 => RunsAt::Tc,
        _ => RunsAt::Xdp,
    };
    (target, place)
}

#[test]
fn tables_of_every_family_decide_and_count_as_a_scan() {
    let (mut strata, mut hits, mut packets) = ([0, 0], 0, 0);
    let all = FAMILIES
        .iter()
        .flat_map(|one| SIZES.map(|size| (one, size)));
    for (number, (family, size)) in all.enumerate() {
        let set = family.rules(size);
        let (target, place) = made_for(number);
        let running = Running::new(&set.rules, place, &target);
        let found = running.strata();
        assert!(found != [0, 0], "{} of {size} has no tables", family.name);
        let headers = headers(&set, size);
        hits += running.check(&set, &headers);
        packets += headers.len();
        strata = [strata[0] + found[0], strata[1] + found[1]];
    }
    let [hashed, trees] = strata;
    println!("{hashed} hashed strata, {trees} trees; {hits} of {packets} packets hit a rule");
    assert!(hashed >= 6 && trees >= 18, "{hashed} hashed, {trees} trees");
    assert!(hits * 2 > packets, "{hits} of {packets}");
}

fn headers(set: &RuleSet, size: usize) -> Vec<Header> {
    let mut rng = seed(&set.family, size + 1);
    let mut headers = trace::hits(set, &mut rng, PACKETS);
    headers.extend(trace::random(set, &mut rng, PACKETS / 5));
    headers
}

/// Lists whose ports hardly ever come twice, one of them of 100,000 rules: records hold the ports, and there is no table of them.
#[test]
fn rules_of_very_many_different_ports_decide_and_count_as_a_scan() {
    let lists = [
        ("interval", 6_000),
        ("exact", 100_000),
        ("interval", 100_000),
    ];
    for (number, (name, size)) in lists.into_iter().enumerate() {
        let set = Family::named(name).unwrap().rules(size);
        check_ports(number, &set, size);
    }
    let mut rng = Rng::new(8);
    let rules = different(6_000, || Rule {
        from: Prefix::any(true),
        to: Prefix::of(
            Ipv6Addr::from_bits(global(&mut rng)).into(),
            48 + rng.byte() % 17,
        ),
        sports: (rng.half() >> 1, u16::MAX),
        dports: (rng.half() >> 1, 0x8000 | rng.half()),
        protocol: Some(6),
    });
    check_ports(3, &RuleSet::new("ports of IPv6", rules), 6_000);
}

/// The list of this number decides right, and its table of services is small.
fn check_ports(number: usize, set: &RuleSet, size: usize) {
    let (target, place) = made_for(number);
    let running = Running::new(&set.rules, place, &target);
    let tables = running.subject.built.tables.iter();
    let services = tables.filter(|table| table.name.ends_with("_services"));
    let largest = services.map(|table| table.size).max();
    assert!(largest.is_some_and(|size| size <= 65_536), "{largest:?}");
    let mut headers = headers(set, size);
    // The addresses of a rule with other ports.
    let others: Vec<Header> = headers.iter().map(with_other_ports).collect();
    headers.extend(others);
    let hits = running.check(set, &headers);
    assert!(hits > PACKETS / 2, "{hits}");
}

fn with_other_ports(header: &Header) -> Header {
    Header {
        sport: !header.sport,
        dport: !header.dport,
        ..*header
    }
}

/// So many hosts that they stand in buckets, some with several rules and some with so many that a tree tells them apart.
#[test]
fn hosts_in_buckets_decide_and_count_as_a_scan() {
    let set = Family::named("hosts").unwrap().rules(110_000);
    for number in 0..2 {
        let (target, place) = made_for(number);
        let running = Running::new(&set.rules, place, &target);
        let tables = &running.subject.built.tables;
        assert!(tables.iter().any(|table| table.name.contains("_buckets_")));
        let hits = running.check(&set, &headers(&set, 90_000));
        assert!(hits > PACKETS / 2, "{hits}");
    }
}

/// Senders of IPv6 by prefixes of /16 to /64: nodes look at the upper half of the sender.
#[test]
fn senders_of_ipv6_are_told_apart_by_the_walk() {
    let mut rng = Rng::new(5);
    for (number, size) in [100, 700].into_iter().enumerate() {
        let rules = different(size, || Rule {
            from: Prefix::of(
                Ipv6Addr::from_bits(global(&mut rng)).into(),
                16 + rng.byte() % 49,
            ),
            to: Prefix::any(true),
            sports: ANY_PORT,
            dports: ANY_PORT,
            protocol: [Some(6), None][rng.below(2)],
        });
        let set = RuleSet::new("senders", rules);
        let (target, place) = made_for(number);
        let hits = Running::new(&set.rules, place, &target).check(&set, &headers(&set, size));
        assert!(hits > PACKETS / 2, "{hits}");
    }
}

/// Senders and receivers, which are in two strata; the third rule is of one of them and inside the second, which is the
/// first of the other: what one stratum finds stands right after what the other has to say.
#[test]
fn the_walk_leaves_out_a_stratum_only_where_nothing_better_is_in_it() {
    for (number, swapped) in [false, true].into_iter().enumerate() {
        let mut rng = Rng::new(6);
        let mut host = || Prefix::of(Ipv4Addr::from_bits(rng.word()).into(), 32);
        let rule = |from, to| Rule {
            from,
            to,
            sports: ANY_PORT,
            dports: ANY_PORT,
            protocol: Some(6),
        };
        let any = Prefix::any(false);
        let (sender, receiver) = (host(), host());
        let mut rules = match swapped {
            false => vec![rule(host(), any), rule(any, receiver)],
            true => vec![rule(any, host()), rule(sender, any)],
        };
        rules.push(rule(sender, receiver));
        for _ in 0..1_000 {
            rules.extend([rule(host(), any), rule(any, host())]);
        }
        let set = RuleSet::new("neighbours", rules);
        let inside = |rule| trace::inside(rule, &mut rng);
        let headers: Vec<Header> = set.rules.iter().map(inside).collect();
        let (target, place) = made_for(number);
        let running = Running::new(&set.rules, place, &target);
        assert!(running.strata().iter().sum::<usize>() > 1);
        running.check(&set, &headers);
    }
}

/// After the last list, records that match every TCP packet and are better than anything: a walk that reads past a list's
/// end would find them.
#[test]
fn the_walk_ends_where_a_list_ends() {
    let mut rng = Rng::new(7);
    let any = Prefix::any(false);
    let plain = |from, to, dports, protocol| Rule {
        from,
        to,
        sports: ANY_PORT,
        dports,
        protocol: Some(protocol),
    };
    let net = |address: u32, length| Prefix::of(Ipv4Addr::from_bits(address).into(), length);
    // The masks of the first rule keep no address, and the service of the second is all of TCP.
    let mut rules = vec![
        plain(any, any, ANY_PORT, 132),
        plain(net(0x0a00_0000, 8), any, ANY_PORT, 6),
    ];
    rules.extend((0..100).map(|number| {
        let port = rng.half() % 50;
        plain(any, net(0xac10_0000 | number << 9, 24), (port, port + 2), 6)
    }));
    let set = RuleSet::new("ends", rules);
    let header = |_| Header {
        from: Ipv4Addr::from_bits(0x0b00_0001).into(),
        to: Ipv4Addr::from_bits(0xac10_0000 | rng.word() & 0xffff).into(),
        sport: 1,
        dport: rng.half() % 60,
        protocol: 6,
    };
    let headers: Vec<Header> = (0..3_000).map(header).collect();
    let mut running = Running::new(&set.rules, RunsAt::Xdp, &Target::baseline());
    assert!(poison(&mut running.subject) > 0);
    let hits = running.check(&set, &headers);
    assert!(hits * 2 < headers.len(), "{hits}");
}

/// Bytes of a record of IPv4: addresses, then what is said of the rule.
const RECORD: usize = 16;

/// Puts rank 0 with the service of rank 1 into the records after the last list of each table.
fn poison(subject: &mut Subject) -> usize {
    let built = &mut subject.built;
    let tables = built.tables.iter();
    let lists: Vec<_> = tables
        .filter(|table| table.name.contains("v4_lists"))
        .collect();
    let about = |record: &[u8]| u64::from_le_bytes(record[8..RECORD].try_into().unwrap());
    let maps = &mut built.artifact.maps;
    let mut service = None;
    let mut poisoned = 0;
    for find in [true, false] {
        for table in &lists {
            let begin = table.place.offset as usize;
            let data = maps[table.place.map].data.as_mut().unwrap();
            for record in data[begin..begin + table.size].chunks_mut(RECORD).skip(1) {
                let word = about(record);
                match (find, word >> RANK_AT) {
                    (true, 1) => service = Some(word & ((1 << SERVICE_BITS) - 1) << SERVICE_AT),
                    (false, _) if word == u64::MAX => {
                        let better = 1 << GROUP_AT | service.unwrap();
                        record[8..].copy_from_slice(&better.to_le_bytes());
                        poisoned += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    poisoned
}
