//! `import bfcli` from outside: what comes out for rule sets as bpfilter has them, how packets fare by it, what is said of what is left out,
//! and which files are refused.

mod forms;

use serde_json::Value;

use super::became::{has, holds};
use super::{Folder, Ran, run};

/// A rule set with what every part of the language is there for.
const RULES: &str = "# edge
chain edge BF_HOOK_XDP{ifindex=2} DROP
    set blocked (ip4.saddr) in { 192.0.2.1; 192.0.2.2
        # both, and
        192.0.2.9
    }
    set pairs (ip4.saddr, tcp.dport) in {
        203.0.113.1, 22
        203.0.113.2, 22
        203.0.113.1, 80
    }
    rule (ip4.saddr) in blocked counter DROP
    rule
        (ip4.saddr, tcp.dport) not in pairs
        ip4.snet eq 203.0.113.0/24
        DROP
    rule ip4.saddr not 10.0.0.1 tcp.dport range 100-200 ACCEPT
    rule meta.sport not eq 53 ip6.snet 2001:db8::/32 ACCEPT
    rule tcp.flags not any syn,ack DROP
    rule tcp.flags eq SYN ACCEPT
    rule icmp.code 1 icmp.type destination-unreachable ACCEPT
    rule meta.l4_proto gre DROP
    rule ip4.proto gre ACCEPT
";

fn imported(folder: &Folder, text: &str, more: &[&str]) -> Ran {
    let file = folder.file("rules.bf", text);
    run(&[&["import", "bfcli", &file], more].concat())
}

const NAMED: [&str; 4] = ["--interface-name", "2=eth0", "--interface-name", "3=eth1"];

fn said(folder: &Folder, text: &str) -> Value {
    let ran = imported(folder, text, &[&NAMED[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// What is said of a line, with the kind.
fn told(said: &Value, line: usize) -> Vec<(String, String)> {
    let entries = said["report"].as_array().unwrap().iter();
    let words = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    entries
        .filter(|one| one["line"] == line)
        .map(|one| (words(one, "kind"), words(one, "said")))
        .collect()
}

#[test]
fn a_chain_of_an_interface_decides_as_it_did() {
    let folder = Folder::new("bfcli-chain");
    let said = said(&folder, RULES);
    assert_eq!(said["format"], "sockc.import-bfcli/1");
    has(
        &said,
        &[
            "set blocked = { 192.0.2.1-192.0.2.2, 192.0.2.9 }",
            "default in drop",
            "drop from @blocked on interface eth0",
            "drop tcp from 203.0.113.2 to not port 22 on interface eth0",
            "drop on interface eth0 note \"policy of edge\"",
        ],
    );
    let held = "expect drop tcp from 192.0.2.9 to any:150 on interface eth0
expect allow tcp from 203.0.113.1 to any:80 on interface eth0 with tcp flags syn no fin no rst no psh no ack no urg no ece no cwr
expect drop tcp from 203.0.113.2 to any:80 on interface eth0
expect drop tcp from 203.0.113.3 to any:22 on interface eth0
expect allow tcp from 198.51.100.1 to any:150 on interface eth0
expect drop tcp from 10.0.0.1 to any:150 on interface eth0 with tcp flags fin
expect drop tcp from 2001:db9::1 to any:150 on interface eth0 with tcp flags ack
expect allow udp from [2001:db8::1]:54 to any:1 on interface eth0
expect drop udp from [2001:db8::1]:53 to any:1 on interface eth0
expect drop udp from [2001:db8::1]:0 to any:1 on interface eth0
expect drop icmp6 echo-request from 2001:db8::1 to any on interface eth0
expect drop tcp from 2001:db9::1 to any:9 on interface eth0 with tcp flags syn ece
expect allow icmp 3/1 from 198.51.100.1 to any on interface eth0
expect drop icmp 3/3 from 198.51.100.1 to any on interface eth0
expect allow gre from 198.51.100.1 to any on interface eth0
expect drop gre from 2001:db8::1 to any on interface eth0
expect allow udp from 192.0.2.9 to any:1 on interface eth9
";
    holds(&folder, &said, held);
    let [(kind, why)] = &told(&said, 22)[..] else {
        panic!("{said}");
    };
    assert_eq!(kind, "note");
    assert!(why.contains("no packet has this one"), "{why}");
    let frames = told(&said, 2);
    assert!(frames[0].1.contains("ARP"), "{frames:?}");
}

/// ACCEPT ends the asking at TC of an interface and NEXT does not; another hook is asked either way.
#[test]
fn several_chains_are_asked_as_the_kernel_does() {
    let folder = Folder::new("bfcli-several");
    let text = "chain local BF_HOOK_NF_LOCAL_IN{priorities=101-102} ACCEPT
    rule udp.dport 53 DROP
chain one BF_HOOK_TC_INGRESS{ifindex=3} NEXT
    rule tcp.dport 25 DROP
    rule tcp.dport 26 ACCEPT
    rule tcp.dport 27 NEXT
    rule udp.dport 53 ACCEPT
chain two BF_HOOK_TC_INGRESS{ifindex=3} ACCEPT
    rule tcp.dport range 20-30 DROP
    rule udp.dport 54 DROP
chain out BF_HOOK_NF_LOCAL_OUT{priorities=1-2} DROP
    rule meta.dport 443 ACCEPT
chain leaving BF_HOOK_TC_EGRESS{ifindex=3} ACCEPT
    rule udp.sport 5 DROP
chain never BF_HOOK_TC_EGRESS{ifindex=3} DROP
chain through BF_HOOK_NF_FORWARD{priorities=1-2} DROP
";
    let said = said(&folder, text);
    let held = "expect drop tcp from any to any:25 on interface eth1
expect allow tcp from any to any:26 on interface eth1
expect drop tcp from any to any:27 on interface eth1
expect drop udp from any to any:53 on interface eth1
expect drop udp from any to any:53 on interface eth0
expect drop udp from any to any:54 on interface eth1
expect allow udp from any to any:54 on interface eth0
expect allow tcp from any to any:25 on interface eth0
expect allow out udp from any:6 to any:443 on interface eth1
expect drop out udp from any:5 to any:443 on interface eth1
expect allow out udp from any:5 to any:443 on interface eth0
expect drop out udp from any to any:444
expect drop forward udp from any to any:443 on interface eth0 to interface eth1
";
    holds(&folder, &said, held);
    let report = said["report"].to_string();
    for sentence in [
        "stand in one list with those",
        "meets no `forward`",
        "NF_LOCAL_IN",
    ] {
        assert!(report.contains(sentence), "{sentence}: {report}");
    }
}

#[test]
fn what_is_left_out_is_told_by_its_line_and_costs_no_other_rule() {
    let folder = Folder::new("bfcli-left-out");
    let text = "chain edge BF_HOOK_XDP{ifindex=2} ACCEPT
    rule foo.bar eq 22 DROP
    rule meta.probability eq 50% tcp.dport 22 DROP
    rule ip6.nexthdr frag DROP
    rule tcp.dport eq x DROP
    rule tcp.dport any 22 DROP
    rule (ip4.saddr) in missing DROP
    rule icmp.type not echo-request DROP
    rule icmp.code 1 DROP
    rule meta.flow_hash eq 7 DROP
    rule udp.dport 1 REDIRECT eth1 out
    rule udp.dport 2
    rule udp.dport 3 DROP counter
    rule counter counter DROP
    rule udp.dport 4 mark 0x10 ACCEPT
    rule (ip4.saddr) in { } DROP
    rule tcp.dport 5 udp.dport 5 DROP
    rule meta.iface eq eth* DROP
    rule udp.dport 6 log transport every 1s DROP
chain second BF_HOOK_XDP{ifindex=2} DROP
chain calls BF_HOOK_CGROUP_SOCK_ADDR_CONNECT4{cgpath=/sys/fs/cgroup/a} DROP
chain group BF_HOOK_CGROUP_SKB_INGRESS{cgpath=/sys/fs/cgroup/a} DROP
";
    let said = said(&folder, text);
    for (line, kind, why) in [
        (2, "left-out", "`foo.bar` is not known"),
        (3, "left-out", "chance decides nothing"),
        (4, "left-out", "stepped over"),
        (5, "left-out", "`x` is no value"),
        (6, "left-out", "not compared by `any`"),
        (7, "left-out", "no set missing"),
        (8, "left-out", "all types of ICMP but some"),
        (9, "left-out", "without a type"),
        (10, "left-out", "hash of a flow is not asked"),
        (11, "left-out", "hands packets to eth1"),
        (12, "left-out", "no verdict"),
        (13, "left-out", "behind its verdict"),
        (14, "left-out", "`counter` stands there twice"),
        (15, "changed", "the mark 0x10 is not set"),
        (16, "note", "bpfilter leaves such a rule out itself"),
        (17, "note", "stands nowhere"),
        (18, "left-out", "`eth*` is the name of no interface"),
        (19, "note", "one line in 1s"),
        (20, "left-out", "no second one"),
        (21, "left-out", "calls of processes"),
        (22, "left-out", "control group /sys/fs/cgroup/a"),
    ] {
        let told = told(&said, line);
        let (found, sentence) = told.first().unwrap_or_else(|| panic!("{line}: {said}"));
        assert_eq!(found, kind, "{line}: {sentence}");
        assert!(sentence.contains(why), "{line}: {sentence}");
    }
    let packets = said["report"].as_array().unwrap().iter();
    let mut packets = packets.filter(|one| one["line"] == 3);
    assert_eq!(
        packets.next().unwrap()["packet"],
        "tcp from 192.0.2.9:40000 to 198.51.100.1:22 on interface eth0"
    );
    holds(
        &folder,
        &said,
        "expect drop udp from any to any:6 on interface eth0\nexpect allow udp from any to any:4 on interface eth0\n",
    );
    let strict = imported(&folder, text, &[&NAMED[..], &["--strict"]].concat());
    assert_eq!(strict.code, Some(1));
    assert!(strict.stdout.is_empty(), "{}", strict.stdout);
}

fn ran_on_lo(folder: &Folder) -> Value {
    let text = "chain edge BF_HOOK_TC_INGRESS{ifindex=1} ACCEPT rule udp.dport 1 DROP";
    let ran = imported(folder, text, &["--interface-name", "1=lo", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.json()
}

/// The forms of earlier versions, and what the command prints.
#[test]
fn older_forms_and_printed_chains_are_read() {
    let folder = Folder::new("bfcli-forms");
    let old = "chain BF_HOOK_XDP{attach=yes,ifindex=2,name=old} policy DROP rule ip4.saddr in {192.0.2.1,192.0.2.2} ACCEPT\nchain BF_HOOK_CGROUP_EGRESS{cgroup=/sys/fs/cgroup/} policy ACCEPT rule udp.dport 53 DROP";
    let said = said(&folder, old);
    has(
        &said,
        &[
            "allow from 192.0.2.1-192.0.2.2 on interface eth0",
            "drop out udp to port 53 if socket exists",
        ],
    );
    let printed = "chain edge BF_HOOK_TC_EGRESS{ifindex=3} ACCEPT
    counters policy 87 packets 9085 bytes; error 0 packets 0 bytes
    rule
        tcp.dport eq 25
        counters 2 packets 196 bytes
        DROP
";
    let said = self::said(&folder, printed);
    has(&said, &["drop out tcp to port 25 on interface eth1"]);
    let loose = self::said(
        &folder,
        "chain edge BF_HOOK_XDP DROP rule udp.dport 1 ACCEPT",
    );
    has(&loose, &["allow udp to port 1"]);
    let looped = ran_on_lo(&folder);
    assert!(
        told(&looped, 1)
            .iter()
            .any(|(_, why)| why.contains("attached to `lo`")),
        "{looped}"
    );
    let [(kind, why), ..] = &told(&loose, 1)[..] else {
        panic!("{loose}");
    };
    assert_eq!(kind, "changed");
    assert!(why.contains("`ifindex=`"), "{why}");
}

#[test]
fn what_is_no_rule_set_is_refused_with_its_line() {
    let folder = Folder::new("bfcli-refused");
    for (text, line, why) in [
        ("", 1, "it has no chain"),
        ("\ntable inet filter {\n}\n", 2, "`sockc import nft`"),
        ("rule DROP\n", 1, "begins no rule set of bpfilter"),
        ("chain x\n", 1, "names no hook"),
        (
            "chain x BF_HOOK_NOTHING ACCEPT\n",
            1,
            "`BF_HOOK_NOTHING` is no hook",
        ),
        ("# x\nchain x BF_HOOK_XDP{ifindex=2}\n", 2, "has no policy"),
        ("chain x BF_HOOK_XDP CONTINUE\n", 1, "has no policy"),
        ("chain x BF_HOOK_XDP{index=2} DROP\n", 1, "is no option"),
        (
            "chain x BF_HOOK_XDP ACCEPT\nrule (ip4.saddr) in {\n",
            2,
            "has no end",
        ),
    ] {
        let ran = imported(&folder, text, &NAMED);
        assert_eq!(ran.code, Some(1), "{text}");
        assert!(
            ran.stderr.contains(&format!("line {line}: ")),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
    let text = "chain x BF_HOOK_XDP{ifindex=2} DROP\nrule meta.iface 4242 ACCEPT\n";
    let ran = imported(&folder, text, &[]);
    assert_eq!(ran.code, Some(1));
    for remedy in [
        "line 1: ",
        "`--interface-name 2=NAME`",
        "line 2: ",
        "`--interface-name 4242=NAME`",
    ] {
        assert!(ran.stderr.contains(remedy), "{remedy}: {}", ran.stderr);
    }
    let wrong = imported(&folder, text, &["--interface-name", "eth0=2"]);
    assert_eq!(wrong.code, Some(64), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("2=eth0"), "{}", wrong.stderr);
}
