//! Rules about all protocols, or all interfaces, but some: what stands once more, and what is not written for it.

use std::cell::Cell;
use std::collections::BTreeMap;

use sockc_compiler::ranges::RangeSet;

use super::*;
use crate::verbs::import::chains::Chain;
use crate::verbs::import::goal::Goal;
use crate::verbs::import::interfaces::End as Ends;
use crate::verbs::import::what::{Pattern, What};

const ALL_BUT_TCP: &str = "-A INPUT ! -p tcp -j ACCEPT";

/// Whether a rule that does this names all protocols but TCP.
fn names_all_but_tcp(rule: &str, does: &str) -> bool {
    let names = rule.split(',').filter(|name| !name.contains("tcp"));
    rule.starts_with(does) && names.count() == 255
}

#[test]
fn a_rule_about_all_protocols_but_one_stands_behind_what_that_one_meets() {
    let ssh = "-A INPUT -p tcp --dport 22 -j ACCEPT";
    let (rules, report) = flattened(&[ALL_BUT_TCP, ssh, "-A INPUT -p udp -j DROP"]).unwrap();
    // Of UDP nothing is left, and of TCP the policy comes to stand ahead.
    assert_eq!(rules, ["Allow tcp  to port 22", "Drop tcp ", "Allow "]);
    assert!(report.is_empty(), "{report:?}");
    // What is asked beside has no packet of that protocol, so nothing stands ahead.
    let (rules, _) = flattened(&["-A INPUT ! -p tcp -m conntrack --ctstate NEW -j DROP"]).unwrap();
    assert!(
        !rules.is_empty() && !rules.iter().any(|rule| rule.contains("tcp  to")),
        "{rules:?}"
    );
}

#[test]
fn a_rule_with_much_behind_it_names_all_protocols_but_one() {
    let many: Vec<String> = (1..=9)
        .map(|port| format!("-A INPUT -p tcp --dport {port} -j ACCEPT"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (rules, report) = flattened(&[&[ALL_BUT_TCP], &many[..]].concat()).unwrap();
    assert!(names_all_but_tcp(&rules[0], "Allow"), "{rules:?}");
    assert_eq!((rules.len(), report.len()), (10, 0));
    // With the policy, these are as many as may stand once more.
    let (rules, _) = flattened(&[&[ALL_BUT_TCP], &many[..7]].concat()).unwrap();
    assert_eq!((rules.len(), rules[8].as_str()), (9, "Allow "));
}

#[test]
fn what_only_counts_names_all_protocols_but_one() {
    let (rules, _) = flattened(&["-A INPUT ! -p tcp", "-A INPUT -p tcp -j ACCEPT"]).unwrap();
    assert!(names_all_but_tcp(&rules[0], "Count"), "{rules:?}");
    assert_eq!(rules[1], "Allow tcp ");
}

/// A bucket belongs to one rule, so what goes beyond a rate is not taken apart; and no packet of the one protocol is lost by that.
#[test]
fn beyond_a_rate_all_protocols_but_one_are_named() {
    let returns = "-A INPUT -m limit --limit 5/min -j RETURN";
    let refuses = "-A INPUT -p tcp -j REJECT --reject-with tcp-reset";
    let (rules, report) = flattened(&[returns, ALL_BUT_TCP, refuses]).unwrap();
    assert_eq!(rules, ["Reject tcp ", "Allow "]);
    assert_eq!((report.len(), report[0].kind), (1, Kind::LeftOut));
    let (rules, report) = flattened(&[returns, ALL_BUT_TCP]).unwrap();
    let [rule] = rules.as_slice() else {
        panic!("{rules:?}");
    };
    assert!(names_all_but_tcp(rule, "Allow"), "{rule}");
    assert!(rule.ends_with("above 5 packets/minute burst 5"), "{rule}");
    assert!(report.is_empty(), "{report:?}");
    // A rate of the rule itself takes no token for the protocol that it is not about.
    let limited = "-A INPUT ! -p tcp -m limit --limit 5/min -j ACCEPT";
    let (rules, _) = flattened(&[limited, refuses]).unwrap();
    let rate = "Allow  up to 5 packets/minute burst 5";
    assert_eq!(rules, ["Reject tcp ", rate]);
}

/// What stands once more for one interface is read once.
#[test]
fn a_rule_that_stands_once_more_is_read_once() {
    let not = [
        "-A INPUT ! -i eth1 -p udp -j DROP",
        "-A INPUT ! -i eth2 -p udp -j DROP",
    ];
    let texts = [not[0], not[1], "-A INPUT -j ACCEPT"];
    let text = format!("*filter\n:INPUT DROP [0:0]\n{}\nCOMMIT\n", texts.join("\n"));
    let saved = saved::read(&text, false).unwrap();
    let given = Given::nothing("");
    let named = Named {
        is_chain: &|_| false,
        sets: &given.sets,
    };
    let count = Cell::new(0);
    let source = Source {
        file: "rules",
        chains: &saved.chains,
        bases: &["INPUT".to_owned()],
        read: &|lines, at| {
            count.set(count.get() + 1);
            read_line(lines, at, (Family::V4, List::In), named)
        },
    };
    let flat = Flattening::of(source, Family::V4, List::In).unwrap();
    assert_eq!((count.get(), flat.report.len()), (3, 0));
}

#[test]
fn a_line_about_all_interfaces_but_one_is_of_the_rule_behind_it() {
    let about = "-A INPUT ! -i eth1 -p udp";
    let log = format!("{about} -m limit --limit 3/min -j LOG --log-prefix x");
    let drop = format!("{about} -j DROP");
    let (rules, report) = flattened(&[&log, &drop, "-A INPUT -j ACCEPT"]).unwrap();
    let on = "Allow udp  on interface eth1";
    assert_eq!(rules, [on, "Drop udp  log 3/minute", "Allow "]);
    assert!(report.is_empty(), "{report:?}");
    // Without a limit there is one here, which is told at the line that writes.
    let plain = log.replace("-m limit --limit 3/min ", "");
    let (rules, report) = flattened(&[&plain, &drop, "-A INPUT -j ACCEPT"]).unwrap();
    assert_eq!(rules[1], "Drop udp  log 10/second");
    let told: Vec<_> = report.iter().map(|one| (one.kind, one.line)).collect();
    assert_eq!(told, [(Kind::Note, Some(4))], "{report:?}");
    // About other packets it is left out, as before.
    for other in [
        "-A INPUT ! -i eth2 -p udp -j DROP",
        "-A INPUT ! -i eth1 -p tcp -j DROP",
    ] {
        let (_, report) = flattened(&[&log, other]).unwrap();
        assert_eq!((report[0].kind, report[0].line), (Kind::LeftOut, Some(4)));
    }
}

#[test]
fn what_is_left_out_for_the_rules_behind_it_says_how_many_these_are() {
    let many: Vec<String> = (0..1_001)
        .map(|port| format!("-A INPUT -p tcp --dport {port} -j ACCEPT"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let apart = [
        "-A INPUT ! -i eth1 -s 10.0.0.0/8 -j LOG --log-prefix x",
        "-A INPUT ! -i eth1 -s 10.0.0.0/8 -j DROP",
        "-A INPUT ! -i eth2 -s 192.168.0.0/16 -j DROP",
    ];
    let (_, report) = flattened(&[&apart, &many[..]].concat()).unwrap();
    let left_out = report.iter().filter(|one| one.kind == Kind::LeftOut);
    let told: Vec<_> = left_out.map(|one| (one.line, one.said.as_str())).collect();
    let [(Some(4), line), (Some(5), first), (Some(6), second)] = told.as_slice() else {
        panic!("{told:?}");
    };
    for said in [line, first] {
        assert!(said.contains("for eth1"), "{said}");
    }
    assert!(first.contains("would be 1002 rules"), "{first}");
    assert!(
        second.contains("more than 1000 rules of the list"),
        "{second}"
    );
}

/// Where the kernel asks several chains, what the first takes is written for none of the others, and what its own rules do not reach stays.
#[test]
fn what_one_chain_takes_is_written_for_no_other_one() {
    let on = |name: &str| What::by(Family::V4, Ends::CameIn, &Pattern::One(name.to_owned()));
    let rules = [
        (on("eth1"), Goal::Accept),
        (on("eth2"), Goal::Drop),
        (
            What {
                protocols: RangeSet::from_ranges([(6, 6)]),
                ..on("eth2")
            },
            Goal::Drop,
        ),
        (on("eth1"), Goal::Drop),
        (on("eth2"), Goal::Drop),
    ];
    let line = |number: usize| Line::placed(number, number.to_string(), number.to_string());
    let chain = |numbers: std::ops::Range<usize>| Chain {
        drops: false,
        rules: numbers.map(line).collect(),
    };
    let chains = BTreeMap::from([
        ("first".to_owned(), chain(0..3)),
        ("second".to_owned(), chain(3..5)),
    ]);
    let source = Source {
        file: "rules",
        chains: &chains,
        bases: &["first".to_owned(), "second".to_owned()],
        read: &|lines, at| {
            let (about, goal) = rules[lines[at].number].clone();
            let mut rule = Rule::any(Family::V4);
            rule.cases = vec![about];
            rule.goal = Some(goal);
            vec![rule]
        },
    };
    let flat = Flattening::of(source, Family::V4, List::In).unwrap();
    let steps = flat.steps.iter().filter_map(Step::rule);
    let told: Vec<String> = steps
        .map(|flat| {
            format!(
                "{:?} {}{}",
                flat.end,
                protocols(&flat.what),
                clauses(&flat.what, List::In, false)
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            // What the first accepts meets the second.
            "Drop  on interface eth1",
            "Drop  on interface eth2",
            // The file has it behind the rule that leaves nothing for it.
            "Drop tcp  on interface eth2",
        ]
    );
}
