//! Forms of bpfilter's language beside the plain ones: sets that grow and sets of ports, lines of another form, bytes, and what frames a rule takes.

use super::*;

const CHAIN: &str = "chain c BF_HOOK_TC_INGRESS{ifindex=2} ACCEPT";

/// What is said of one chain with these rules, from line 2 on.
fn of_chain(folder: &Folder, rules: &str) -> Value {
    said(folder, &format!("{CHAIN}\n{rules}\n"))
}

#[test]
fn a_set_with_room_is_a_live_set() {
    let folder = Folder::new("bfcli-room");
    let sets = "set some (ip4.snet) min-size=9 in { 192.0.2.0/25; 192.0.2.128/25; 10.0.0.1 } set none (ip4.saddr) min-size=1024 in {} set plain (ip4.saddr) min-size=0 in { 10.0.0.7 } set ports (tcp.dport) min-size=4 in {}";
    let rules = "rule (ip4.snet) in some DROP
rule (ip4.saddr) not in none tcp.dport 22 DROP
rule (ip4.saddr) in plain DROP
rule (tcp.dport) in ports DROP";
    let said = of_chain(&folder, &format!("{sets}\n{rules}"));
    has(
        &said,
        &[
            "live set none max 1024",
            "live set some max 9 = { 10.0.0.1, 192.0.2.0/25, 192.0.2.128/25 }",
            "set plain = { 10.0.0.7 }",
            "drop from @some on interface eth0",
            "drop tcp from not @none, ::/0 to port 22 on interface eth0",
        ],
    );
    for (line, kind, why) in [
        (3, "note", "`sockc set add some ADDRESS`"),
        (4, "note", "`sockc set add none ADDRESS`"),
        (6, "left-out", "holds addresses of one side alone"),
    ] {
        let told = told(&said, line);
        assert!(told[0].0 == kind && told[0].1.contains(why), "{told:?}");
    }
    let wrong = of_chain(
        &folder,
        "set s (ip4.saddr) size=9 in { }\nrule (ip4.saddr) in s DROP",
    );
    assert!(
        told(&wrong, 3)[0].1.contains("`size=9` is no room"),
        "{wrong}"
    );
}

#[test]
fn forms_that_other_versions_print_are_read() {
    let folder = Folder::new("bfcli-printed");
    let rules = "rule (tcp.dport) in { 11; 22; 27-30 } DROP
rule (meta.dport) in { 53 } DROP
rule ip4.proto any gre,esp DROP
rule ip4.saddr eq 0xc0 0xa8 0x01 0x01 0xff 0xff 0xff 0xff DROP
rule ip4.saddr not 0x0a 0x00 0x00 0x00 0xff 0x00 0x00 0x00 tcp.sport 7 DROP
rule (ip4.saddr) in { /* 4096 elements, content elided */ } DROP
rule ip4.saddr in bad DROP
rule tcp.dport eq 0x00 0x16 DROP
rule (ip4.saddr, tcp.dport) in { 10.0.0.1, 1-2 } DROP";
    let said = of_chain(&folder, rules);
    let held = "expect drop tcp from 198.51.100.1 to any:28 on interface eth0
expect allow tcp from 10.0.0.1 to any:26 on interface eth0
expect drop udp from 198.51.100.1 to any:53 on interface eth0
expect drop gre from 198.51.100.1 to any on interface eth0
expect drop esp from 198.51.100.1 to any on interface eth0
expect drop icmp echo-request from 192.168.1.1 to any on interface eth0
expect allow icmp echo-request from 192.168.1.2 to any on interface eth0
expect drop tcp from 11.0.0.1:7 to any:1 on interface eth0
expect allow tcp from 10.9.9.9:7 to any:1 on interface eth0
";
    holds(&folder, &said, held);
    for (line, why) in [
        (7, "without `--no-set-content`"),
        (8, "write `(ip4.saddr) in bad`"),
        (9, "bytes, which are read of addresses alone"),
        (10, "a range stands beside others"),
    ] {
        let told = told(&said, line);
        assert!(
            told[0].0 == "left-out" && told[0].1.contains(why),
            "{line}: {told:?}"
        );
    }
}

/// The form of a line costs no verdict.
#[test]
fn a_line_of_another_form_keeps_its_rule() {
    let folder = Folder::new("bfcli-lines");
    let rules = "rule ip4.saddr 10.0.0.1 log 5-tuple every 1.5s DROP
rule log internet , transport ip4.saddr 10.0.0.2 DROP
rule ip4.saddr 10.0.0.3 log all-of-it counter mark 0x1 DROP
rule log (ip4.saddr) in { 10.0.0.4 } DROP";
    let said = of_chain(&folder, rules);
    let rule =
        |last: u8| format!("drop from 10.0.0.{last} on interface eth0 log \"c\" max 10/second");
    let rules: Vec<String> = (1..=4).map(rule).collect();
    has(&said, &rules.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(told(&said, 2)[0].1.contains("TCP and UDP alone"), "{said}");
    let [form, ..] = &told(&said, 4)[..] else {
        panic!("{said}");
    };
    assert_eq!(form.0, "changed");
    assert!(form.1.contains("`log all-of-it`"), "{form:?}");
}

/// A rule that asks for a header, or for what no such frame has, drops no frame of ARP, and such a file means here what it means there.
#[test]
fn frames_that_are_not_ip_are_told_of_where_a_rule_drops_them() {
    let folder = Folder::new("bfcli-frames");
    for (asked, drops) in [
        ("", true),
        ("meta.iface 2", true),
        ("meta.l3_proto not ipv4", true),
        ("meta.l4_proto not tcp", true),
        ("meta.l3_proto ipv4", false),
        ("meta.l3_proto IPv6", false),
        ("meta.l4_proto 6", false),
        ("meta.l4_proto udp", false),
        ("meta.iface lo", false),
        ("meta.iface not eth0", false),
        ("meta.probability 50%", false),
        ("(ip4.saddr) in { 10.0.0.1 }", false),
        ("tcp.dport 22", false),
    ] {
        let text = format!("{CHAIN} rule {asked} DROP\n");
        let said = said(&folder, &text);
        let is_told = said["report"].to_string().contains("as those of ARP");
        assert_eq!(is_told, drops, "{asked}: {said}");
    }
    let plain = format!("{CHAIN} rule meta.l3_proto ipv4 DROP\n");
    let strict = imported(&folder, &plain, &[&NAMED[..], &["--strict"]].concat());
    assert_eq!(strict.code, Some(0), "{}", strict.stderr);
}

#[test]
fn names_that_say_nothing_or_are_there_twice_are_told() {
    let folder = Folder::new("bfcli-names");
    let text = format!(
        "{CHAIN}\nrule udp.dport 1 DROP\nchain c BF_HOOK_NF_LOCAL_IN ACCEPT\nrule udp.dport 2 DROP\n"
    );
    let said = said(&folder, &text);
    let unused = said["report"].to_string();
    assert!(
        unused.contains("`--interface-name 3=eth1` says nothing"),
        "{said}"
    );
    assert!(!unused.contains("`--interface-name 2=eth0`"), "{said}");
    let twins = told(&said, 3);
    let is_told =
        |(kind, why): &(String, String)| kind == "changed" && why.contains("this one as c-2");
    assert!(twins.iter().any(is_told), "{twins:?}");
}

/// What a chain at one hook takes is written for no chain at another, though these have rules for it.
#[test]
fn what_is_left_to_no_chain_behind_is_not_written() {
    let folder = Folder::new("bfcli-behind");
    let text = "chain x BF_HOOK_XDP{ifindex=2} DROP
    rule tcp.dport eq 22 ACCEPT
chain t1 BF_HOOK_TC_INGRESS{ifindex=2} NEXT
    rule tcp.dport eq 22 ip4.saddr eq 1.1.1.1 ACCEPT
chain t2 BF_HOOK_TC_INGRESS{ifindex=2} ACCEPT
    rule ip4.saddr eq 1.1.1.1 DROP
    rule ip4.saddr eq 1.1.1.2 DROP
";
    let said = said(&folder, text);
    let written = said["text"].as_str().unwrap();
    assert!(!written.contains("drop from 1.1.1."), "{written}");
    assert!(!written.contains("drop tcp from 1.1.1.1"), "{written}");
    let file = folder.file("behind.sk", written);
    let checked = run(&["check", &file]);
    assert!(!checked.stderr.contains("W0601"), "{}", checked.stderr);
    holds(
        &folder,
        &said,
        "expect allow tcp from 1.1.1.1 to any:22 on interface eth0
expect drop tcp from 1.1.1.2 to any:22 on interface eth0
expect allow tcp from 1.1.1.3 to any:22 on interface eth0
expect drop udp from 1.1.1.3 to any:22 on interface eth0
",
    );
}
