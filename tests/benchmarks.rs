//! The parts of the benchmarks that need no kernel: rule sets, their text, the linear scan, the chart.

#[path = "bench/diff/cases.rs"]
mod cases;
#[path = "bench/chart.rs"]
mod chart;
#[path = "bench/frame.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod frame;
#[path = "bench/diff/measured.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod measured;
#[path = "bench/diff/rows.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod rows;
#[path = "bench/rules/mod.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod rules;
#[allow(dead_code, reason = "the pictures of the command use more of it")]
#[path = "../src/svg.rs"]
mod svg;
#[path = "bench/diff/table.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod table;

use std::net::IpAddr;

use sockc_compiler::decide::decide;
use sockc_compiler::event::{self, Decider, Event, SocketAnswer, Verdict, World};
use sockc_compiler::files::Texts;
use sockc_compiler::packet::parse::{Layout::Ethernet, parse as parse_frame};
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Direction, Family as IpFamily, NetnsId, Policy, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::source::SourceMap;

use cases::{Case, Kind};
use chart::{Panel, Series, draw};
use frame::Layout;
use measured::{checked, compared};
use rows::{wrong_diff, wrong_lint};
use rules::classbench::{parse, parse_headers};
use rules::family::{FAMILIES, seed};
use rules::policy::{RunsAt, Verdicts, allows, policy, rule_of_line};
use rules::scan::Scan;
use rules::{ANY_PORT, Header, Prefix, Rule, RuleSet, trace};

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::of(address.parse().unwrap(), length.parse().unwrap())
}

#[test]
fn the_same_name_and_size_give_the_same_rules_and_packets() {
    for family in &FAMILIES {
        let (one, other) = (family.rules(200), family.rules(200));
        assert_eq!(one.rules, other.rules, "{}", family.name);
        // Some short prefixes of chains are the same.
        assert!((190..=200).contains(&one.rules.len()), "{}", family.name);
        let headers = || trace::hits(&one, &mut seed(family.name, 1), 500);
        assert_eq!(headers(), headers(), "{}", family.name);
    }
    let sets = FAMILIES.map(|family| family.rules(200).rules);
    for (place, one) in sets.iter().enumerate() {
        assert!(!sets[..place].contains(one), "{}", FAMILIES[place].name);
    }
}

#[test]
fn packets_that_should_hit_a_rule_do() {
    for family in &FAMILIES {
        let set = family.rules(100);
        let headers = trace::hits(&set, &mut seed(family.name, 2), 1000);
        let answers = Scan::new(&set.rules).all(&headers);
        let missed = answers.iter().filter(|answer| answer.is_none()).count();
        assert_eq!((answers.len(), missed), (1000, 0), "{}", family.name);
    }
}

/// The text, the frames and the scan against the reference meaning.
#[test]
fn the_scan_says_what_the_policy_means() {
    for family in &FAMILIES {
        let set = family.rules(60);
        let policy = resolved(&policy(&set.rules, Verdicts::Alternate, RunsAt::Xdp));
        let layout = Layout::of(set.has_ipv6());
        let mut rng = seed(family.name, 3);
        let mut headers = trace::hits(&set, &mut rng, 300);
        headers.extend(trace::random(&set, &mut rng, 100));
        let answers = Scan::new(&set.rules).all(&headers);
        for (header, answer) in headers.iter().zip(answers) {
            let meant = meant(&policy, &layout.frame(header));
            let said = (answer, allows(Verdicts::Alternate, answer));
            assert_eq!(said, meant, "{}: {header:?}", family.name);
        }
    }
}

fn resolved(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("bench.sk", text);
    let outcome = pipeline::check(&mut sources, id, "bench", &mut Texts::default());
    assert!(!outcome.failed(), "{text}\n{:?}", outcome.diagnostics);
    outcome.policy.unwrap()
}

/// The rule that decides a frame that arrives, and whether it is allowed.
fn meant(policy: &Policy, frame: &[u8]) -> (Option<usize>, bool) {
    let event = Event::Packet {
        direction: Direction::In,
        class: policy.classes.keys().next().unwrap(),
        packet: parse_frame(frame, Ethernet),
    };
    let decision = decide(policy, &event, &NoSockets);
    let rule = match decision.decider {
        Decider::Rule(rule) => rule_of_line(policy.rules[rule].place.line),
        Decider::Default => None,
        other => panic!("{other:?}: {event:?}"),
    };
    (rule, decision.verdict == Verdict::Allow)
}

/// The rules ask for none.
struct NoSockets;

impl World for NoSockets {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &event::Header) -> SocketAnswer {
        SocketAnswer::None
    }

    fn present(&self, _: SocketId, _: IpFamily, _: IpProtocol) -> bool {
        false
    }
}

const FILTERS: &str = "@10.1.2.3/32\t192.168.0.0/16\t0 : 65535\t53 : 53\t0x11/0xFF\t0x0000/0x0000\t
@10.1.2.3/32\t192.168.0.0/16\t0 : 65535\t53 : 53\t0x11/0xFF\t0x1000/0x1000\t
@10.9.9.9/8\t0.0.0.0/0\t0 : 65535\t1024 : 65535\t0x00/0x00\t0x0000/0x0000\t
@0.0.0.0/0\t0.0.0.0/0\t0 : 65535\t80 : 80\t0x01/0xFF\t0x0000/0x0000\t
";

#[test]
fn a_classbench_sample_is_read() {
    let filters = parse(FILTERS).unwrap();
    assert_eq!(filters.len(), 4);
    let set = RuleSet::new("sample", filters);
    // The second differs in its flags only; the last wants a port of ICMP.
    assert_eq!((set.rules.len(), set.left_out), (2, 1));
    let first = Rule {
        from: prefix("10.1.2.3/32"),
        to: prefix("192.168.0.0/16"),
        sports: ANY_PORT,
        dports: (53, 53),
        protocol: Some(17),
    };
    assert_eq!(set.rules[0], first);
    assert_eq!(
        policy(&set.rules, Verdicts::Alternate, RunsAt::Tc),
        "policy bench\ndefault in allow\n\
         allow udp from 10.1.2.3/32 to 192.168.0.0/16:53 at tc\n\
         drop tcp, udp, sctp from 10.0.0.0/8 to 0.0.0.0/0:1024-65535 at tc\n"
    );
    assert_eq!(
        parse("@10.0.0.0/8 1.2.3.4/32 0 : 1"),
        Err("line 1: @10.0.0.0/8 1.2.3.4/32 0 : 1".to_owned())
    );
}

#[test]
fn classbench_headers_are_read_and_decided() {
    let headers = parse_headers(
        "167838211 3232235777 9 53 17 0 0\n167772161 1 9 2000 132 0 1\n1 1 9 80 1 0 2\n",
    );
    let headers = headers.unwrap();
    let expected = Header {
        from: "10.1.2.3".parse::<IpAddr>().unwrap(),
        to: "192.168.1.1".parse().unwrap(),
        sport: 9,
        dport: 53,
        protocol: 17,
    };
    assert_eq!(headers[0], expected);
    let set = RuleSet::new("sample", parse(FILTERS).unwrap());
    assert_eq!(
        Scan::new(&set.rules).all(&headers),
        [Some(0), Some(1), None]
    );
}

fn panel(title: &str, names: &[&str]) -> Panel {
    let series = |name: &&str| Series {
        name: (*name).to_owned(),
        points: vec![(1.0, 50.0), (1000.0, 480.0), (100_000.0, 31_000.0)],
    };
    Panel {
        title: title.to_owned(),
        series: names.iter().map(series).collect(),
    }
}

#[test]
fn the_chart_is_well_formed() {
    let drawn = draw(&[
        panel("exact", &["a<b", "c&d"]),
        panel("\"interval\"", &["c&d"]),
    ]);
    let document = roxmltree::Document::parse(&drawn).unwrap();
    let lines: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("polyline"))
        .collect();
    assert_eq!(lines.len(), 3);
    let texts: Vec<_> = document
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    assert!(
        texts.contains(&"a<b") && texts.contains(&"\"interval\""),
        "{texts:?}"
    );
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    roxmltree::Document::parse(&draw(&[])).unwrap();
}

#[test]
fn comparisons_that_are_measured_are_right() {
    for family in &FAMILIES {
        let set = family.rules(60);
        for kind in [Kind::Many, Kind::One, Kind::Without] {
            let case = Case::new(&set, kind).unwrap();
            let again = Case::new(&set, kind).unwrap();
            assert_eq!((&case.old, &case.new), (&again.old, &again.new));
            let texts = (cases::policy(&case.old), cases::policy(&case.new));
            let cost = compared(&texts.0, &texts.1, 1, &|_| ()).unwrap();
            let wrong = wrong_diff(kind, case.differing, &cost);
            assert_eq!(wrong, None, "{}, {kind:?}: {cost:?}", family.name);
            assert!(cost.complete && cost.read_mib <= cost.few.mib, "{cost:?}");
        }
    }
}

#[test]
fn a_wrong_comparison_is_told() {
    let set = FAMILIES[0].rules(150);
    let case = Case::new(&set, Kind::Many).unwrap();
    let texts = (cases::policy(&case.old), cases::policy(&case.new));
    let cost = compared(&texts.0, &texts.1, 1, &|_| ()).unwrap();
    assert!(case.differing > 0 && wrong_diff(Kind::Without, 0, &cost).is_some());
    let same = compared(&texts.0, &texts.0, 2, &|_| ()).unwrap();
    assert!(wrong_diff(Kind::One, 1, &same).is_some(), "{same:?}");
}

#[test]
fn lints_that_are_measured_find_what_is_doubled() {
    let set = FAMILIES[0].rules(150);
    let case = Case::new(&set, Kind::Without).unwrap();
    let doubled = case.new.len() - case.old.len();
    let (plain, twice) = (cases::policy(&case.old), cases::policy(&case.new));
    let cost = checked(&twice, 1).unwrap();
    assert!(
        doubled > 10 && cost.unreachable >= doubled && !cost.cut_short,
        "{cost:?}"
    );
    assert_eq!(wrong_lint(doubled, &cost), None);
    let cost = checked(&plain, 1).unwrap();
    assert!(wrong_lint(doubled, &cost).is_some(), "{cost:?}");
}
