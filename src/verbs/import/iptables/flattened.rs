//! Chains as one list, where a rate or a call makes it hard. What single packets meet is compared in `tests/differential/iptables.rs`.

mod apart;

use super::*;
use crate::verbs::import::chains::MOST_RULES;
use crate::verbs::import::report::Kind;
use crate::verbs::import::text::{clauses, protocols};

/// What INPUT becomes of a text.
fn read(text: &str) -> Result<Became, String> {
    let read = Read {
        name: "rules".to_owned(),
        family: Family::V4,
        saved: saved::read(text, false).unwrap(),
    };
    super::flattened(&read, &Given::nothing("").sets, List::In)
}

/// The rules that INPUT becomes with these lines, each as what it does and what it is about, and the report; or why there are too many.
fn flattened(rules: &[&str]) -> Result<(Vec<String>, Vec<Entry>), String> {
    let declared = "*filter\n:INPUT DROP [0:0]\n:own - [0:0]\n";
    let text = format!("{declared}{}\nCOMMIT\n", rules.join("\n"));
    let flat = read(&text)?;
    let steps = flat.steps.iter().filter_map(|step| match step {
        Step::Rule(flat) => {
            let about = protocols(&flat.what) + &clauses(&flat.what, List::In, false);
            let log = flat.log.as_ref().map(|log| format!(" log {}", log.most));
            Some(format!("{:?} {about}{}", flat.end, log.unwrap_or_default()))
        }
        Step::LeftOut(..) => None,
    });
    Ok((steps.collect(), flat.report))
}

#[test]
fn what_goes_beyond_a_rate_that_returns_meets_the_rest_of_the_chain() {
    let returns = "-A own -m limit --limit 5/min -j RETURN";
    let [call, ends] = ["-A INPUT -j own", "-A INPUT -p tcp -j ACCEPT"];
    let (rules, report) = flattened(&[call, ends, returns, "-A own -j DROP"]).unwrap();
    assert_eq!(
        rules,
        ["Drop  above 5 packets/minute burst 5", "Allow tcp "]
    );
    assert!(report.is_empty(), "{report:?}");
    let two = ["-A own -p udp -j DROP", "-A own -j DROP"];
    let (rules, report) = flattened(&[&[call, ends, returns][..], &two].concat()).unwrap();
    assert_eq!(rules, ["Drop udp ", "Drop "]);
    assert_eq!(report.len(), 1);
    assert_eq!((report[0].kind, report[0].line), (Kind::LeftOut, Some(6)));
}

#[test]
fn a_bucket_that_two_rules_would_share_is_told() {
    let calls = [
        "-A INPUT -s 10.0.0.0/8 -j own",
        "-A INPUT -s 192.0.2.0/24 -j own",
    ];
    let limit = "-A own -m limit --limit 5/min -j ACCEPT";
    let (rules, report) = flattened(&[calls[0], calls[1], limit]).unwrap();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert_eq!(report.len(), 1);
    assert!(report[0].kind == Kind::Changed && report[0].said.contains("one bucket"));
    let (_, report) = flattened(&[calls[0], limit]).unwrap();
    assert!(report.is_empty(), "{report:?}");
}

#[test]
fn a_chain_of_too_many_rules_is_told_its_limit() {
    let rules = vec!["-A INPUT -s 192.0.2.1/32 -j DROP"; MOST_RULES + 1];
    let why = flattened(&rules).unwrap_err();
    assert!(
        why.contains("50001 rules") && why.contains("50000"),
        "{why}"
    );
}

#[test]
fn a_rate_that_becomes_several_rules_is_told_of_the_rule_that_has_it() {
    let limited = "-A INPUT -s 10.0.0.0/8 -m limit --limit 5/min -j own";
    let calls = "-A INPUT -j other";
    let text = format!(
        "*filter\n:INPUT DROP [0:0]\n:other - [0:0]\n:own - [0:0]\n{calls}\n{calls}\n{}\n-A own -j DROP\nCOMMIT\n",
        limited.replace("INPUT", "other")
    );
    let flat = read(&text).unwrap();
    let lines: Vec<_> = flat.report.iter().map(|one| one.line).collect();
    assert_eq!(lines, [Some(7)], "{:?}", flat.report);
}

#[test]
fn what_is_left_out_shows_no_packet_that_its_rule_is_not_about() {
    for (rule, is_shown) in [
        ("-p icmp ! --icmp-type 8", false),
        ("-p tcp --dport 3 x", false),
        ("-p tcp --dport 3 -m recent --update", true),
        (
            "-m mark --mark 0x2/0x2 -m mark --mark 0x1/0x1 -m time",
            false,
        ),
        ("-p icmp -m conntrack --ctstate ESTABLISHED -m time", true),
    ] {
        let (_, report) = flattened(&[&format!("-A INPUT {rule} -j DROP")]).unwrap();
        let left_out: Vec<_> = report
            .iter()
            .filter(|one| one.kind == Kind::LeftOut)
            .collect();
        assert_eq!(left_out.len(), 1, "{rule}");
        let packet = &left_out[0].packet;
        assert_eq!(packet.is_some(), is_shown, "{rule}: {packet:?}");
        let socket = packet.as_ref().is_some_and(|one| one.contains("socket"));
        assert!(!socket, "{rule}: {packet:?}");
    }
}

#[test]
fn an_answer_is_not_said_to_be_another_than_itself() {
    for (with, said) in [
        (
            "",
            "TCP is answered with a reset, and not with port-unreachable",
        ),
        (
            " --reject-with icmp-host-prohibited",
            "all else with port-unreachable, not with host-prohibited",
        ),
    ] {
        let (_, report) = flattened(&[&format!("-A INPUT -j REJECT{with}")]).unwrap();
        assert!(report[0].said.ends_with(said), "{:?}", report[0]);
    }
}

#[test]
fn a_line_and_a_verdict_on_the_same_packets_are_one_rule() {
    let log = "-A INPUT -p udp -m limit --limit 3/min -j LOG --log-prefix \"x \"";
    let (rules, _) = flattened(&[log, "-A INPUT -p udp -j DROP"]).unwrap();
    assert_eq!(rules, ["Drop udp  log 3/minute"]);
    let (rules, _) = flattened(&[log, "-A INPUT -p tcp -j DROP"]).unwrap();
    assert_eq!(rules, ["Count udp  log 3/minute", "Drop tcp "]);
}

#[test]
fn a_chain_that_calls_itself_ends_with_an_error() {
    let why = flattened(&["-A INPUT -j own", "-A own -j own"]).unwrap_err();
    assert!(why.contains("calls itself"), "{why}");
}

#[test]
fn returns_that_leave_nothing_for_their_chain_are_one() {
    let [call, ends] = ["-A INPUT -j own", "-A INPUT -p tcp -j ACCEPT"];
    let returns = [
        "-A own -m addrtype --dst-type LOCAL -j RETURN",
        "-A own -d 224.0.0.0/4 -j RETURN",
        "-A own -d 255.255.255.255 -j RETURN",
    ];
    let (rules, _) =
        flattened(&[&[call, ends][..], &returns, &["-A own -j DROP"]].concat()).unwrap();
    assert_eq!(rules, ["Allow tcp "]);
    // Without the last of them something is left, and what stands behind the call is written for each.
    let (rules, _) =
        flattened(&[&[call, ends][..], &returns[..2], &["-A own -j DROP"]].concat()).unwrap();
    assert!(
        rules.contains(&"Drop ".to_owned()) && rules.len() > 2,
        "{rules:?}"
    );
    // What differs in more than addresses of one side is not all of it.
    let other = "-A own -p udp -d 255.255.255.255 -j RETURN";
    let (rules, _) =
        flattened(&[&[call, ends][..], &returns[..2], &[other, "-A own -j DROP"]].concat())
            .unwrap();
    assert!(rules.contains(&"Drop ".to_owned()), "{rules:?}");
}

#[test]
fn a_line_beyond_a_rate_has_a_limit_of_its_own() {
    let call = "-A INPUT -p tcp -m hashlimit --hashlimit-above 5/min --hashlimit-mode srcip --hashlimit-name a -j own";
    let log = "-A own -m limit --limit 3/min -j LOG --log-prefix x";
    let (rules, report) = flattened(&[call, log, "-A own -j DROP"]).unwrap();
    assert_eq!(
        rules,
        ["Drop tcp  above 5 packets/minute per source/32 burst 5 log 3/minute"]
    );
    assert!(
        !report.iter().any(|one| one.kind == Kind::LeftOut),
        "{report:?}"
    );
    assert!(
        !report.iter().any(|one| one.said.contains("one bucket")),
        "{report:?}"
    );
}

#[test]
fn a_match_may_stand_behind_the_target() {
    let log = "-A INPUT -p udp -j LOG --log-prefix \"x \" -m limit --limit 3/min";
    let (rules, _) = flattened(&[log, "-A INPUT -j DROP -m comment --comment c -p tcp"]).unwrap();
    assert_eq!(rules, ["Count udp  log 3/minute", "Drop tcp "]);
}

#[test]
fn a_pair_that_notes_and_asks_becomes_a_rate() {
    let about = "-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent";
    let set = format!("{about} --set");
    let update = format!("{about} --update --seconds 30 --hitcount 6 -j DROP");
    let (rules, report) = flattened(&[&set, &update]).unwrap();
    assert_eq!(
        rules,
        ["Drop tcp  to port 22 above 10 connections/minute per source/32/128 burst 5"]
    );
    let lines: Vec<_> = report.iter().map(|one| (one.kind, one.line)).collect();
    assert_eq!(lines, [(Kind::Changed, Some(5))], "{report:?}");
    // One without the other is left out.
    let (rules, report) = flattened(&[&update]).unwrap();
    assert!(
        rules.is_empty() && report[0].kind == Kind::LeftOut,
        "{report:?}"
    );
}

#[test]
fn a_rule_about_all_interfaces_but_one_stands_behind_the_rest_for_that_one() {
    let apart = "-A INPUT ! -i eth1 -p tcp --dport 22 -j DROP";
    let rest = [
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A INPUT -p udp -j ACCEPT",
    ];
    let (rules, report) = flattened(&[&[apart][..], &rest].concat()).unwrap();
    // What it takes by every other interface no rule behind it is written for.
    let ssh = " to port 22";
    assert_eq!(
        rules,
        [
            format!("Allow tcp {ssh} on interface eth1"),
            format!("Drop tcp {ssh}"),
            "Allow udp ".to_owned(),
        ]
    );
    assert!(report.is_empty(), "{report:?}");
    // Where it takes all that comes to it, nothing else follows.
    let (rules, _) = flattened(&[&["-A INPUT ! -i eth1 -j DROP"][..], &rest].concat()).unwrap();
    let on = "on interface eth1";
    let closed = format!("Drop  {on}");
    let [tcp, udp] = [format!("Allow tcp {ssh} {on}"), format!("Allow udp  {on}")];
    assert_eq!(
        rules,
        [tcp.clone(), udp, closed.clone(), "Drop ".to_owned()]
    );
    // A packet that a chain is called for but for its interface goes on behind the call, and so does one that it takes out of one.
    let own = ["-A INPUT ! -i eth1 -j own", "-A own -j DROP"];
    let (called, _) = flattened(&[&own[..1], &rest[..1], &own[1..]].concat()).unwrap();
    assert_eq!(called, [tcp.clone(), closed, "Drop ".to_owned()]);
    let returns = [
        "-A INPUT -j own",
        "-A own ! -i eth1 -j RETURN",
        "-A own -p udp -j DROP",
    ];
    let (returned, _) = flattened(&[&returns[..1], &rest[..1], &returns[1..]].concat()).unwrap();
    assert_eq!(returned[0], "Drop udp  on interface eth1");
    assert!(
        returned.contains(&format!("Allow tcp {ssh}")),
        "{returned:?}"
    );
}

#[test]
fn what_only_counts_or_has_too_much_behind_it_is_left_out_with_its_interface() {
    let log = "-A INPUT ! -i eth1 -j LOG --log-prefix x";
    let (rules, report) = flattened(&[log, "-A INPUT -j ACCEPT"]).unwrap();
    assert_eq!(rules, ["Allow "]);
    assert_eq!(report.len(), 1, "{report:?}");
    assert!(report[0].said.contains("all interfaces but eth1"));
    let many: Vec<String> = (0..1_001)
        .map(|port| format!("-A INPUT -p tcp --dport {port} -j ACCEPT"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let apart = ["-A INPUT ! -i eth1 -s 10.0.0.0/8 -j DROP"];
    let (rules, report) = flattened(&[&apart, &many[..]].concat()).unwrap();
    assert_eq!((rules.len(), report.len()), (1_001, 1));
    assert_eq!((report[0].kind, report[0].line), (Kind::LeftOut, Some(4)));
    // With one rule less there is room for them, and for the policy.
    let (rules, report) = flattened(&[&apart, &many[..999]].concat()).unwrap();
    assert_eq!((rules.len(), report.len()), (2 * 999 + 2, 0));
}

#[test]
fn what_a_rule_is_not_about_takes_no_token_of_its_rate() {
    let limited = "-A INPUT ! -i eth1 -m limit --limit 1/s -j DROP";
    let (rules, report) = flattened(&[limited, "-A INPUT -j ACCEPT"]).unwrap();
    let rate = "Drop  up to 1 packets/second burst 5";
    assert_eq!(rules, ["Allow  on interface eth1", rate, "Allow "]);
    assert!(report.is_empty(), "{report:?}");
}

#[test]
fn to_go_on_in_an_empty_chain_is_to_leave_its_own() {
    let rules = ["-A INPUT ! -i eth1 -g own", "-A INPUT -p udp -j ACCEPT"];
    let (rules, report) = flattened(&rules).unwrap();
    let on = "on interface eth1";
    assert_eq!(rules, [format!("Allow udp  {on}"), format!("Drop  {on}")]);
    assert!(report.is_empty(), "{report:?}");
}

#[test]
fn many_rules_about_all_interfaces_but_one_are_one_unless_they_say_something_else() {
    let many = |comment: fn(usize) -> usize| {
        let lines = (1..=6).map(|number| {
            let said = comment(number);
            format!("-A INPUT -s 10.0.0.{number}/32 ! -i eth1 -m comment --comment c{said} -j DROP")
        });
        let lines: Vec<String> = lines.chain(["-A INPUT -j ACCEPT".to_owned()]).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        flattened(&lines).unwrap().0
    };
    let from = "from 10.0.0.1-10.0.0.6";
    let [on, drop] = [
        format!("Allow  {from} on interface eth1"),
        format!("Drop  {from}"),
    ];
    assert_eq!(many(|_| 0), [on, drop, "Allow ".to_owned()]);
    assert_eq!(many(|number| number).len(), 2 * 6 + 1);
}

#[test]
fn an_example_does_not_go_back_where_it_came_from() {
    let text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i eth0 -o eth+ -m time --timestart 10:00 -j DROP\nCOMMIT\n";
    let read = Read {
        name: "rules".to_owned(),
        family: Family::V4,
        saved: saved::read(text, false).unwrap(),
    };
    let flat = super::flattened(&read, &Given::nothing("").sets, List::Forward).unwrap();
    let packet = flat.report[0].packet.as_ref().unwrap();
    assert!(
        packet.contains("on interface eth0 to interface eth1"),
        "{packet}"
    );
}
