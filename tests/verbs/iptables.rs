//! `import iptables-save` from outside: what comes out for rule sets that programs write, in which form, what is said of what is left out,
//! and which files are refused.
//!
//! What rules mean is compared in `tests/differential/iptables.rs`, and with the kernel's own in `netfilter.rs`.

mod ipsets;
mod sets;

use std::fs;

use super::{Folder, Ran, run, run_with_input};
use sets::{ALL, TOO_LARGE, Written};

const PLAIN: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                     -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

fn imported(arguments: &[&str], text: &str) -> Ran {
    let all = [&["import", "iptables-save"], arguments].concat();
    run_with_input(&all, text)
}

/// What is said in JSON of a text that is taken.
fn said(text: &str) -> serde_json::Value {
    let ran = imported(&["-", "--json"], text);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// The entries of a kind.
fn of_kind<'a>(said: &'a serde_json::Value, kind: &str) -> Vec<&'a serde_json::Value> {
    let entries = said["report"].as_array().unwrap().iter();
    entries.filter(|one| one["kind"] == kind).collect()
}

fn check_set(folder: &Folder, set: &Written) {
    let by = set.by;
    let said = said(set.text);
    let text = said["text"].as_str().unwrap();
    let left_out = of_kind(&said, "left-out");
    assert_eq!(left_out.len(), set.left_out, "{by}: {left_out:#?}");
    let file = folder.file(&format!("{by}.sk"), text);
    let formed = run(&["fmt", "--check", &file]);
    assert_eq!(formed.code, Some(0), "{by}: {text}{}", formed.stderr);
    let file = folder.file(&format!("{by}-held.sk"), &format!("{text}\n{}", set.holds));
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(0), "{by}: {text}{}", checked.stderr);
    let rules = text.lines().filter(|line| {
        let verbs = ["allow ", "drop ", "reject ", "count "];
        verbs.iter().any(|verb| line.starts_with(verb))
    });
    // The rule for IPv6, of which nothing is said, is none of the file.
    let of_ipv6 = text.matches("nothing is said of this family").count();
    // Nor is a policy that accepts, which is the last rule under a default of drop.
    let policies = text.matches("note \"policy of ").count();
    let counted = said["rules"].as_u64().unwrap();
    assert_eq!(
        counted as usize,
        rules.count() - of_ipv6 - policies,
        "{by}: {text}"
    );
}

#[test]
fn what_firewalls_write_becomes_a_policy_that_holds_to_it() {
    let folder = Folder::new("iptables-sets");
    for set in &ALL {
        check_set(&folder, set);
    }
}

/// Every packet that a report shows is one that `explain` takes.
#[test]
fn packets_of_the_report_can_be_asked_about() {
    let folder = Folder::new("iptables-packets");
    let mut asked = 0;
    for set in &ALL {
        let said = said(set.text);
        let file = folder.file("asked.sk", said["text"].as_str().unwrap());
        let entries = said["report"].as_array().unwrap().iter();
        for packet in entries.filter_map(|one| one["packet"].as_str()) {
            let ran = run(&["explain", &file, packet]);
            assert_eq!(ran.code, Some(0), "{packet}: {}{}", ran.stdout, ran.stderr);
            asked += 1;
        }
    }
    assert!(asked > 10, "{asked}");
}

#[test]
fn both_families_are_one_policy() {
    let folder = Folder::new("iptables-families");
    let v4 = folder.file("rules.v4", PLAIN);
    let v6 = PLAIN.replace(
        "COMMIT",
        "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT\nCOMMIT",
    );
    let v6 = folder.file("rules.v6", &v6);
    let both = run(&["import", "iptables-save", &v4, "--ip6", &v6]);
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    let rules = "allow tcp to port 22\nallow icmp6 echo-request\n";
    assert!(both.stdout.contains(rules), "{}", both.stdout);
    assert!(!both.stderr.contains("IPv6"), "{}", both.stderr);
    let one = run(&["import", "iptables-save", &v4]);
    assert_eq!(one.code, Some(0), "{}", one.stderr);
    assert!(
        one.stderr.contains("nothing is said of IPv6"),
        "{}",
        one.stderr
    );
    assert!(one.stdout.contains("allow in from ::/0"), "{}", one.stdout);
    let twice = run(&["import", "iptables-save", "-", "--ip6", "-"]);
    assert_eq!((twice.code, twice.stdout.as_str()), (Some(64), ""));
}

#[test]
fn strict_takes_only_what_is_carried_over_as_it_is() {
    let folder = Folder::new("iptables-strict");
    let (v4, out) = (folder.file("rules.v4", PLAIN), folder.0.join("edge.sk"));
    let out = out.to_str().unwrap();
    let into = ["-o", out, "--strict"];
    let without_ipv6 = run(&[&["import", "iptables-save", &v4][..], &into].concat());
    assert_eq!(
        (without_ipv6.code, fs::exists(out).unwrap()),
        (Some(1), false)
    );
    assert!(
        without_ipv6.stderr.contains("nothing was written"),
        "{}",
        without_ipv6.stderr
    );
    // FORWARD drops on every interface, and `forward` does on those of the policy: that is something else.
    let routes = run(&[&["import", "iptables-save", &v4, "--ip6", &v4][..], &into].concat());
    assert_eq!(routes.code, Some(1), "{}", routes.stderr);
    let host = PLAIN.replace("FORWARD DROP", "FORWARD ACCEPT");
    let (v4, v6) = (folder.file("host.v4", &host), folder.file("host.v6", &host));
    let host = run(&[&["import", "iptables-save", &v4, "--ip6", &v6][..], &into].concat());
    assert_eq!(host.code, Some(0), "{}", host.stderr);
    assert_eq!(host.stdout, format!("wrote {out}\n"));
    let text = fs::read_to_string(out).unwrap();
    assert!(text.contains("allow tcp to port 22\n"), "{text}");
    let plain = run(&["import", "iptables-save", &v4, "--ip6", &v6]);
    assert_eq!(plain.stdout, text);
    for source in [&v4, &v6] {
        let over = run(&["import", "iptables-save", &v4, "--ip6", &v6, "-o", source]);
        assert_eq!(over.code, Some(64), "{}", over.stderr);
        assert!(fs::read_to_string(source).unwrap().starts_with("*filter"));
    }
}

#[test]
fn the_report_says_what_is_left_out_and_what_that_means() {
    let text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j REDIRECT --to-ports 80\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n\
                :FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -m recent --update --seconds 60 -j DROP\n\
                -A INPUT -p udp -m udp --dport 53 -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n";
    let said = said(text);
    assert_eq!(said["format"], "sockc.import-iptables/1");
    assert_eq!(
        (&said["output"], said["rules"].as_u64()),
        (&serde_json::Value::Null, Some(1))
    );
    let lines = |kind: &str| {
        let entries = of_kind(&said, kind).into_iter();
        let lines = entries.filter_map(|one| one["line"].as_u64());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        (lines("left-out"), lines("changed")),
        (vec![3, 9], vec![10])
    );
    let left_out = of_kind(&said, "left-out")[1];
    let why = left_out["said"].as_str().unwrap();
    assert!(
        why.contains("`recent`") && why.contains("may get through"),
        "{why}"
    );
    assert!(
        left_out["packet"]
            .as_str()
            .unwrap()
            .starts_with("tcp from ")
    );
    let plain = imported(&["-"], text);
    assert_eq!(plain.stdout, said["text"].as_str().unwrap());
    assert!(
        plain.stdout.contains("# left out, line 9: -A INPUT -p tcp"),
        "{}",
        plain.stdout
    );
    for said in [
        "line 3, left out: `-A PREROUTING",
        "line 10, changed: ",
        "of this, 2 left out",
        "addresses are translated here",
    ] {
        assert!(plain.stderr.contains(said), "{said}: {}", plain.stderr);
    }
}

/// Tables that iptables asks beside `filter` may drop, too.
#[test]
fn what_other_tables_drop_is_said_to_get_through() {
    let text = "*mangle\n:PREROUTING DROP [0:0]\n-A PREROUTING -s 192.0.2.0/24 -j DROP\n-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\n-A PREROUTING -j ACCEPT\nCOMMIT\n\
                *raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 192.0.2.0/24 -j DROP\n-A PREROUTING -j CT --notrack\nCOMMIT\n";
    let said = said(&format!("{text}{PLAIN}"));
    let told = |line: u64| {
        let mut all = of_kind(&said, "left-out").into_iter();
        let entry = all.find(|one| one["line"] == line).unwrap();
        entry["said"].as_str().unwrap().to_owned()
    };
    for line in [2, 3, 9] {
        assert!(told(line).contains("may get through"), "{}", told(line));
    }
    for (line, why) in [
        (4, "not changed"),
        (5, "only the table filter"),
        (10, "connections"),
    ] {
        let told = told(line);
        assert!(
            told.contains(why) && !told.contains("get through"),
            "{told}"
        );
    }
}

/// The kernel puts datagrams together ahead of INPUT, so a header in two parts gets past no rule that drops, and the report says what
/// becomes of it.
#[test]
fn a_header_in_two_parts_gets_past_no_rule() {
    let folder = Folder::new("iptables-parts");
    let text = PLAIN
        .replace("INPUT DROP", "INPUT ACCEPT")
        .replace("22 -j ACCEPT", "22 -j DROP");
    let said = said(&text);
    let policy = said["text"].as_str().unwrap();
    assert!(policy.contains("default in drop\n"), "{policy}");
    let held = "expect drop from any to any with malformed\nexpect drop tcp from any to 192.0.2.1:22\nexpect allow tcp from any to any:80\n";
    let file = folder.file("parts.sk", &format!("{policy}\n{held}"));
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(0), "{policy}{}", checked.stderr);
    let mut notes = of_kind(&said, "note").into_iter();
    let told = notes.find_map(|one| one["said"].as_str().filter(|one| one.contains("malformed")));
    let packet = told
        .unwrap()
        .split('`')
        .find(|one| one.contains("with malformed"));
    let explained = run(&["explain", &file, packet.unwrap()]);
    assert_eq!(
        explained.code,
        Some(0),
        "{}{}",
        explained.stdout,
        explained.stderr
    );
    assert!(explained.stdout.contains("drop"), "{}", explained.stdout);
}

/// What becomes a policy that the kernel has no room for is said to be refused by `check`, and so it is.
#[test]
fn a_policy_that_check_refuses_is_told() {
    let folder = Folder::new("iptables-large");
    let (v4, v6) = (
        folder.file("rules.v4", PLAIN),
        folder.file("rules.v6", TOO_LARGE),
    );
    let ran = run(&["import", "iptables-save", &v4, "--ip6", &v6]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = "`sockc check` refuses the policy that this becomes";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    let file = folder.file("large.sk", &ran.stdout);
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert!(checked.stderr.contains("E0401"), "{}", checked.stderr);
}

/// The report is in the order of the files, and says what many rules have in common once.
#[test]
fn the_report_is_in_order_and_does_not_repeat_itself() {
    let local = "-A INPUT ! -i lo -p tcp -m tcp --dport 80 -j ACCEPT\n";
    let forwarded = "-A FORWARD -m time --timestart 10:00 -j DROP\n";
    let rules =
        format!("{forwarded}{local}{local}-A INPUT -m time --timestart 10:00 -j DROP\nCOMMIT\n");
    let said = said(&PLAIN.replace("COMMIT\n", &rules));
    let entries = said["report"].as_array().unwrap();
    let lines: Vec<_> = entries
        .iter()
        .filter_map(|one| one["line"].as_u64())
        .collect();
    assert_eq!(lines, [6, 7, 9]);
}

/// What goes on and changes no verdict has no effect on one.
#[test]
fn effects_are_those_that_there_are() {
    let rules = "-A INPUT -p tcp -m tcp --syn -j TCPMSS --set-mss 1400\n-A INPUT -m time --timestart 10:00 -j own\n-A INPUT -m time --timestart 10:00 -j full\n-A full -j DROP\n";
    let text = PLAIN
        .replace("-A INPUT", ":own - [0:0]\n:full - [0:0]\n-A INPUT")
        .replace("COMMIT\n", &format!("{rules}COMMIT\n"));
    let said = said(&text);
    let left_out = of_kind(&said, "left-out").into_iter();
    let told: Vec<&str> = left_out.filter_map(|one| one["said"].as_str()).collect();
    let [mss, empty, full] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        mss.ends_with("a packet is not changed; no verdict changes by that"),
        "{mss}"
    );
    assert!(empty.ends_with("no verdict changes by that"), "{empty}");
    assert!(
        full.contains("the chain full is not asked from here"),
        "{full}"
    );
}

/// Which addresses are the machine's own the policy asks the machine.
/// Rules of a chain, one for each number from 1.
fn each(count: usize, rule: impl Fn(usize) -> String) -> String {
    let rules = (1..=count).map(|number| rule(number) + "\n");
    rules.collect()
}

#[test]
fn rules_that_differ_in_one_address_alone_are_one_with_a_set() {
    let declared = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:bad - [0:0]\n:web - [0:0]\n";
    let calls = "-A INPUT -j bad\n-A FORWARD -j bad\n-A INPUT -p tcp -m tcp --dport 80 -j web\n";
    let bad = each(6, |number| {
        format!("-A bad -s 192.0.2.{}/32 -j DROP", number * 2)
    });
    let to = each(5, |number| {
        format!("-A bad -d 198.51.100.{}/32 -j DROP", number * 2)
    });
    let few = each(4, |number| {
        format!("-A web -s 203.0.113.{}/32 -j ACCEPT", number * 2)
    });
    let noted = each(6, |number| {
        format!("-A web -s 10.0.{number}.0/24 -m comment --comment \"site {number}\" -j ACCEPT")
    });
    let next = each(5, |number| {
        format!("-A web -s 10.1.0.{number}/32 -j ACCEPT")
    });
    let own = each(5, |number| {
        format!("-A INPUT -s 10.2.{number}.9/32 -p udp -j ACCEPT")
    });
    let mixed = each(6, |number| {
        let verdict = if number > 3 { "DROP" } else { "ACCEPT" };
        format!("-A INPUT -s 10.3.{number}.9/32 -p icmp -j {verdict}")
    });
    let ports = each(6, |number| {
        format!("-A INPUT -s 10.4.{number}.9/32 -p tcp -m tcp --dport {number} -j ACCEPT")
    });
    // All of these are one range, with no place for their remarks.
    let range = each(6, |number| {
        format!("-A INPUT -s 10.5.0.{number}/32 -p udp -m comment --comment {number} -j ACCEPT")
    });
    let own = format!("{own}{mixed}{ports}{range}");
    let said = said(&format!(
        "{declared}{calls}{own}{bad}{to}{few}{noted}{next}COMMIT\n"
    ));
    let text = said["text"].as_str().unwrap();
    let set =
        |name: &str, members: &[String]| format!("set {name} = {{ {} }}\n", members.join(", "));
    let all =
        |count: usize, member: fn(usize) -> String| (1..=count).map(member).collect::<Vec<_>>();
    for wanted in [
        set("allowed", &all(5, |number| format!("10.2.{number}.9"))),
        set("bad", &all(6, |number| format!("192.0.2.{}", number * 2))),
        set(
            "bad-2",
            &all(5, |number| format!("198.51.100.{}", number * 2)),
        ),
        "drop from @bad\ndrop to @bad-2\n".to_owned(),
        "drop forward from @bad\ndrop forward to @bad-2\n".to_owned(),
        "allow udp from @allowed\n".to_owned(),
        "allow icmp from 10.3.3.9\ndrop icmp from 10.3.4.9\n".to_owned(),
        "allow tcp from 10.4.5.9 to port 5\nallow tcp from 10.4.6.9 to port 6\n".to_owned(),
        "    10.0.6.0/24,  # site 6\n    10.1.0.1-10.1.0.5,\n    203.0.113.2,\n".to_owned(),
        "allow tcp from @web to port 80\n".to_owned(),
        "allow udp from 10.5.0.4 note \"4\"\n".to_owned(),
    ] {
        assert!(text.contains(&wanted), "{wanted}\n{text}");
    }
    assert_eq!(said["rules"], 22 + 2, "{text}");
    let notes = of_kind(&said, "note");
    let of_runs = notes
        .iter()
        .filter(|one| one["said"].as_str().unwrap().starts_with("42 rules"));
    assert_eq!(of_runs.count(), 1, "{notes:#?}");
}

#[test]
fn a_chain_that_many_rules_call_is_written_once() {
    let declared = "*filter\n:INPUT ACCEPT [0:0]\n:in - [0:0]\n:out.of - [0:0]\n-A INPUT -j in\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -j DROP\n";
    let calls = each(20, |number| {
        format!("-A in -s 10.0.{number}.1/32 -j out.of")
    });
    let returns = each(6, |number| {
        format!("-A in -d 192.0.2.{}/32 -j RETURN", number * 2)
    });
    let rest = "-A in -p udp -j DROP\n-A out.of -m limit --limit 3/min -j LOG --log-prefix \"x \"\n-A out.of -p udp -j ACCEPT\n-A out.of -j DROP\n";
    let said = said(&format!("{declared}{calls}{returns}{rest}COMMIT\n"));
    let text = said["text"].as_str().unwrap();
    for wanted in [
        "count from @out-of log \"x \" max 3/minute\nallow udp from @out-of\ndrop from @out-of\n",
        "# chain INPUT\nallow tcp to 192.0.2.2, 192.0.2.4, 192.0.2.6, 192.0.2.8, 192.0.2.10, 192.0.2.12\ndrop to 192.0.2.2, ",
        "# chain in\ndrop udp\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert_eq!(said["rules"], 8, "{text}");
    // Two that share an address call the chain twice for it, and a rule that is about another verdict stands between the others.
    let calls = "-A in -s 10.0.0.0/24 -j out.of\n-A in -s 10.0.0.0/25 -j out.of\n";
    let said = super::iptables::said(&format!("{declared}{}{rest}COMMIT\n", calls.repeat(3)));
    let text = said["text"].as_str().unwrap();
    assert_eq!(
        text.matches("count from 10.0.0.0/24 log").count(),
        3,
        "{text}"
    );
}

#[test]
fn remarks_of_rules_that_are_joined_stand_at_the_elements() {
    let rules = each(5, |number| {
        format!(
            "-A INPUT -s 10.0.{number}.1/32 -p udp -m comment --comment \"site {number}\" -j ACCEPT"
        )
    });
    let alike = each(5, |number| {
        format!("-A INPUT -s 10.1.{number}.1/32 -p tcp -m comment --comment monitors -j ACCEPT")
    });
    let said = said(&format!(
        "*filter\n:INPUT DROP [0:0]\n{rules}{alike}COMMIT\n"
    ));
    let text = said["text"].as_str().unwrap();
    for wanted in [
        "    10.0.1.1,  # site 1\n    10.0.2.1,  # site 2\n",
        "set allowed-2 = { 10.1.1.1, 10.1.2.1, 10.1.3.1, 10.1.4.1, 10.1.5.1 }\n",
        "allow udp from @allowed\nallow tcp from @allowed-2 note \"monitors\"\n",
    ] {
        assert!(text.contains(wanted), "{wanted}{text}");
    }
}

#[test]
fn sets_of_runs_are_of_one_family_and_take_no_name_twice() {
    let folder = Folder::new("iptables-runs");
    let text = |family: &str, begins: &str, end: &str| {
        let rules = each(5, |number| {
            format!(
                "-A own -s {begins}{number}1{end} -p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset"
            )
        });
        let calls = "*filter\n:INPUT ACCEPT [0:0]\n:own - [0:0]\n-A INPUT -j own\n";
        folder.file(family, &format!("{calls}{rules}COMMIT\n"))
    };
    let (v4, v6) = (
        text("v4", "10.0.0.", "/32"),
        text("v6", "2001:db8::", "/128"),
    );
    let ran = run(&["import", "iptables-save", &v4, "--ip6", &v6]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let rules = "reject tcp from @own to port 22\nreject tcp from @own-v6 to port 22\n";
    assert!(ran.stdout.contains(rules), "{}", ran.stdout);
    assert!(ran.stderr.contains("10 rules that stand next to each other and differ in the addresses of one side alone are 2, which have a counter each"), "{}", ran.stderr);
}

#[test]
fn the_end_of_the_report_says_which_way_verdicts_go() {
    let drops = each(7, |number| {
        format!("-A INPUT -p udp -m string --algo bm --string a{number} -j DROP")
    });
    let text = format!(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n{drops}-A INPUT -m string --algo bm --string x -j LOG\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
    );
    let ran = imported(&["-"], &text);
    let lines: Vec<&str> = ran.stderr.lines().rev().take(3).collect();
    let spots: Vec<String> = (4..9).map(|line| format!("<stdin> line {line}")).collect();
    assert_eq!(
        lines[2],
        format!(
            "note: more may get through than before, as rules that take packets away are left out: {} and 2 more",
            spots.join(", ")
        ),
        "{}",
        ran.stderr
    );
    assert_eq!(
        lines[1],
        "note: more may be dropped than before, as rules that let packets through are left out: <stdin> line 12"
    );
    assert!(lines[0].contains("9 left out"), "{}", lines[0]);
    let said = said(&text);
    let effects = of_kind(&said, "left-out");
    let effects: Vec<_> = effects.iter().map(|one| one["effect"].as_str()).collect();
    assert_eq!(effects[6..], [Some("opens"), None, Some("closes")]);
}

#[test]
fn what_is_said_of_rules_next_to_each_other_is_said_once() {
    let rules = each(7, |number| {
        format!("-A INPUT -s 10.0.{number}.1/32 -j REJECT --reject-with icmp-port-unreachable")
    });
    let text = format!(
        "*filter\n:INPUT DROP [0:0]\n{rules}-A INPUT -p udp -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"
    );
    let ran = imported(&["-"], &text);
    let told: Vec<_> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("is answered with"))
        .collect();
    assert_eq!(told.len(), 2, "{}", ran.stderr);
    let ends = "the same of <stdin> line 4, <stdin> line 5, <stdin> line 6, <stdin> line 7, <stdin> line 8 and 1 more";
    assert!(
        told[0].contains("line 3, changed") && told[0].ends_with(ends),
        "{}",
        told[0]
    );
    assert_eq!(
        of_kind(&said(&text), "changed")
            .iter()
            .filter(|one| one["line"].is_u64())
            .count(),
        8
    );
}

#[test]
fn addresses_of_the_machine_are_self() {
    let rules = "-A INPUT -p tcp -m tcp --dport 22 -m addrtype --dst-type LOCAL -j ACCEPT\n-A INPUT -m addrtype ! --dst-type LOCAL -j DROP\n";
    let text = PLAIN.replace("COMMIT\n", &format!("{rules}COMMIT\n"));
    let folder = Folder::new("iptables-self");
    let six = folder.file("rules.v6", &text);
    let ran = run_with_input(&["import", "iptables-save", "-", "--ip6", &six], &text);
    for wanted in ["allow tcp to self:22\n", "drop to not self\n"] {
        assert!(ran.stdout.contains(wanted), "{}{}", ran.stdout, ran.stderr);
    }
    assert!(!ran.stdout.contains("set self"), "{}", ran.stdout);
}

/// What INPUT drops a DHCP client still gets, as it reads frames; what `in` drops it does not.
#[test]
fn the_answers_of_dhcp_servers_are_thought_of() {
    let leases = "-A INPUT -p udp -m udp --sport 67 --dport 68 -j ACCEPT\n";
    let local = "-A INPUT -i lo -j ACCEPT\n";
    for (rule, told) in [("", true), (local, true), (leases, false)] {
        let text = PLAIN.replace("COMMIT\n", &format!("{rule}COMMIT\n"));
        let said = said(&text);
        let mut notes = of_kind(&said, "note").into_iter();
        let is_told = notes.any(|one| one["said"].as_str().unwrap().contains("DHCP"));
        assert_eq!(is_told, told, "{rule}");
    }
}

/// A router's policy, with the rules that the report says to begin with, lets through what it has to, and is read.
#[test]
fn the_rules_that_a_router_is_told_to_add_are_taken() {
    let text = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n-A FORWARD -s 10.0.0.0/8 -i eth1 -o eth0 -j ACCEPT\nCOMMIT\n";
    let said = said(text);
    let changed = of_kind(&said, "changed").into_iter();
    let mut told = changed.map(|one| one["said"].as_str().unwrap());
    let told = told.find(|said| said.contains("BROADCASTS")).unwrap();
    let quoted = told.split('`').skip(1).step_by(2);
    let rules: Vec<&str> = quoted.filter(|one| one.starts_with("allow ")).collect();
    assert_eq!(rules.len(), 2, "{told}");
    let rules = rules.join("\n").replace("BROADCASTS", "192.0.2.255");
    let text = said["text"].as_str().unwrap();
    let (defaults, lists) = text.split_once("\n# INPUT").unwrap();
    let held = "expect allow in tcp from 10.0.0.1:4000 to 203.0.113.1:80 with self { 192.0.2.1 }
expect allow forward tcp from 10.0.0.1:4000 to 203.0.113.1:80 on interface eth1 to interface eth0
expect allow out tcp from 10.0.0.1:4000 to 203.0.113.1:80 with self { 192.0.2.1 }
expect drop in tcp from 10.0.0.1:4000 to self:80 with self { 192.0.2.1 }
expect drop in udp from 192.0.2.7:4000 to 192.0.2.255:137
expect drop out tcp from self:4000 to 203.0.113.1:80 with self { 192.0.2.1 }
";
    let folder = Folder::new("iptables-router");
    let file = format!("{defaults}\n{rules}\n# INPUT{lists}\n{held}");
    let checked = run(&["check", &folder.file("router.sk", &file)]);
    assert_eq!(checked.code, Some(0), "{file}{}", checked.stderr);
}

#[test]
fn files_of_another_kind_are_refused_and_nothing_is_written() {
    let folder = Folder::new("iptables-refused");
    let out = folder.0.join("edge.sk");
    let tubular = r#"{"bindings": [{"label": "web", "prefix": "203.0.113.0/24", "port": 0}]}"#;
    let cut = &PLAIN[..PLAIN.len() - "COMMIT\n".len()];
    let named = |name: &str, bytes: &[u8]| {
        let path = folder.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (file, why, code) in [
        (
            named("nft", b"table ip filter {\n\tchain input {\n\t}\n}\n"),
            "nft list ruleset",
            1,
        ),
        (
            named("tubular", tubular.as_bytes()),
            "sockc import tubular",
            1,
        ),
        (named("empty", b""), "no table", 1),
        (named("binary", b"\x7fELF\x02\x01\x01\0\xff\xfe"), "", 1),
        (named("cut", cut.as_bytes()), "COMMIT", 1),
        (named("mid", &cut.as_bytes()[..cut.len() - 30]), "COMMIT", 1),
        (folder.0.join("missing").to_str().unwrap().to_owned(), "", 3),
    ] {
        let ran = run(&[
            "import",
            "iptables-save",
            &file,
            "-o",
            out.to_str().unwrap(),
        ]);
        assert_eq!(ran.code, Some(code), "{file}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains(&file),
            "{}",
            ran.stderr
        );
        assert_eq!((ran.stdout.as_str(), out.exists()), ("", false), "{file}");
    }
}

#[test]
fn ends_of_lines_and_counters_change_nothing() {
    let plain = imported(&["-"], PLAIN).stdout;
    assert_eq!(imported(&["-"], &PLAIN.replace('\n', "\r\n")).stdout, plain);
    let counted = PLAIN.replace("-A INPUT", "[12:3456] -A INPUT");
    assert_eq!(imported(&["-"], &counted).stdout, plain);
}

/// A policy stands on some interfaces, and is asked about frames: what follows from that for the rules at hand is said, and what it says to
/// write is taken.
#[test]
fn what_follows_from_where_a_policy_stands_is_said() {
    let all = |rules: &str| {
        let text = format!(
            "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n{rules}COMMIT\n"
        );
        said(&text)
    };
    let has = |all: &serde_json::Value, kind: &str, words: &str| {
        let entries = of_kind(all, kind);
        let mut said = entries.iter().filter_map(|one| one["said"].as_str());
        said.any(|said| said.contains(words))
    };
    let lo = "are about `lo`, which the policy is not put on";
    let without = "on an interface without Ethernet";
    let answers = "answers of `reject` meet `out`";
    for (rules, kind, words) in [
        (
            "-A INPUT -i tun0 -p tcp -m tcp --dport 22 -j ACCEPT\n",
            "changed",
            "rules name tun0",
        ),
        (
            "-A INPUT -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT\n",
            "note",
            without,
        ),
        (
            "-A INPUT -i lo -p tcp -m tcp --dport 80 -j DROP\n",
            "changed",
            lo,
        ),
        (
            "-A OUTPUT -o lo -p tcp -m tcp --dport 80 -j DROP\n",
            "changed",
            lo,
        ),
        (
            "-A INPUT -p tcp -m tcp --dport 113 -j REJECT --reject-with tcp-reset\n",
            "changed",
            answers,
        ),
        (
            "",
            "note",
            "put `allow out udp from any:68 to any:67` ahead",
        ),
        (
            "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n",
            "changed",
            "a SYN to one in TIME_WAIT",
        ),
        (
            "-A FORWARD -i br0 -o br0 -j DROP\n",
            "left-out",
            "what a bridge passes between its ports",
        ),
    ] {
        let all = all(rules);
        assert!(has(&all, kind, words), "{rules}{all:#}");
    }
    let plain = all("-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n");
    for words in [lo, "rules name", answers] {
        assert!(!has(&plain, "changed", words), "{plain:#}");
    }
    let folder = Folder::new("iptables-stands");
    let rules = "default in drop\ndefault out drop\nallow out udp from any:68 to any:67\n\
                 allow out tcp if tcp flags rst\nallow out icmp destination-unreachable\n\
                 allow out icmp6 destination-unreachable\nreject tcp to port 113\n";
    let checked = run(&["check", &folder.file("added.sk", rules)]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

/// What passes through meets `in` on a router: that matters also where nothing gets through, and somebody is answered.
#[test]
fn a_router_is_told_where_only_answers_differ() {
    let folder = Folder::new("iptables-router");
    let begins = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n";
    let v6 = folder.file("rules.v6", &format!("{begins}COMMIT\n"));
    for (rule, is_told) in [("", false), ("-A FORWARD -p udp -j REJECT\n", true)] {
        let v4 = folder.file("rules.v4", &format!("{begins}{rule}COMMIT\n"));
        let said = run(&["import", "iptables-save", &v4, "--ip6", &v6]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let tells = said
            .stderr
            .contains("begin these lists with `allow in to not self");
        assert_eq!(tells, is_told, "{}", said.stderr);
    }
}
