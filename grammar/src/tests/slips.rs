//! Common slips: each has one right answer, in the writer's own words, and that answer is read.

use super::read;
use crate::diagnostic::Diagnostic;

/// What stands around a slip.
const AROUND: &str = "set a = { 10.0.0.0/8 }\nset b = { 11.0.0.0/8 }\nzone wan = ppp0\n";

/// A slip, the code of its message, and what to write.
const SLIPS: &[(&str, &str, &str)] = &[
    // A label without its colon.
    (
        "ssh allow tcp to port ssh",
        "E0102",
        "ssh: allow tcp to port ssh",
    ),
    (
        "my.label: allow tcp to port 22",
        "E0102",
        "my-label: allow tcp to port 22",
    ),
    // Lists and their braces.
    (
        "allow tcp to port 80, 443",
        "E0101",
        "allow tcp to port {80, 443}",
    ),
    (
        "allow tcp to port 80, 443, 8000-8099 if no socket",
        "E0101",
        "allow tcp to port {80, 443, 8000-8099} if no socket",
    ),
    (
        "allow tcp to port ssh,http",
        "E0102",
        "allow tcp to port {ssh, http}",
    ),
    (
        "allow tcp to any:80, 443",
        "E0101",
        "allow tcp to any:{80, 443}",
    ),
    (
        "allow tcp to port 80, 443;",
        "E0101",
        "allow tcp to port {80, 443}",
    ),
    (
        "allow tcp to port { 22 80 }",
        "E0101",
        "allow tcp to port { 22, 80 }",
    ),
    ("drop from { @a, @b }", "E0101", "drop from @a, @b"),
    (
        "drop tcp from {1.2.3.4, 5.6.7.8} to port 22",
        "E0101",
        "drop tcp from 1.2.3.4, 5.6.7.8 to port 22",
    ),
    ("drop from (@a, @b)", "E0101", "drop from @a, @b"),
    ("drop {tcp, udp} from @a", "E0101", "drop tcp, udp from @a"),
    (
        "interfaces { eth0, eth1 }",
        "E0101",
        "interfaces eth0, eth1",
    ),
    ("zone lan { eth0 }", "E0101", "zone lan = eth0"),
    (
        "zone lan = { eth0, eth1 }",
        "E0101",
        "zone lan = eth0, eth1",
    ),
    (
        "drop from 10.0.0.1 - 10.0.0.9",
        "E0101",
        "drop from 10.0.0.1-10.0.0.9",
    ),
    ("drop from a", "E0102", "drop from @a"),
    ("drop from $b", "E0103", "drop from @b"),
    (
        "b: allow tcp from 10.0.0.0/8 or 11.0.0.0/8 to port 22",
        "E0103",
        "b: allow tcp from 10.0.0.0/8, 11.0.0.0/8 to port 22",
    ),
    ("interfaces eth0 eth1", "E0102", "interfaces eth0, eth1"),
    // Sets.
    ("set f = { 80, 443 }", "E0101", "set f = ports { 80, 443 }"),
    ("set c = [ 10.0.0.0/8 ]", "E0101", "set c = { 10.0.0.0/8 }"),
    ("set d = 10.0.0.0/8", "E0101", "set d = { 10.0.0.0/8 }"),
    ("set e { 10.0.0.0/8 }", "E0101", "set e = { 10.0.0.0/8 }"),
    ("set e: { 10.0.0.0/8 }", "E0102", "set e = { 10.0.0.0/8 }"),
    (
        "define e = { 10.0.0.0/8 }",
        "E0103",
        "set e = { 10.0.0.0/8 }",
    ),
    ("live set l max 100k", "E0101", "live set l max 100_000"),
    // Protocols and ports.
    ("allow 22/tcp", "E0101", "allow tcp to port 22"),
    (
        "allow tcp/udp to port 53",
        "E0101",
        "allow tcp, udp to port 53",
    ),
    ("allow tcp 443", "E0101", "allow tcp to port 443"),
    ("allow tcp ports 443", "E0101", "allow tcp to port 443"),
    (
        "allow tcp from ports { 443, 80 }",
        "E0101",
        "allow tcp from port { 443, 80 }",
    ),
    ("allow tcp to dport 22", "E0103", "allow tcp to port 22"),
    (
        "allow tcp to port 22:25",
        "E0101",
        "allow tcp to port 22-25",
    ),
    (
        "allow tcp to port >1024",
        "E0101",
        "allow tcp to port 1025-65535",
    ),
    (
        "allow tcp to port > 1024",
        "E0101",
        "allow tcp to port 1025-65535",
    ),
    (
        "allow tcp to port 1024+",
        "E0101",
        "allow tcp to port 1024-65535",
    ),
    (
        "allow tcp to port 22-",
        "E0116",
        "allow tcp to port 22-65535",
    ),
    ("allow tcp, to port 22", "E0101", "allow tcp to port 22"),
    (
        "f: tcp allow to port 22",
        "E0101",
        "f: allow tcp to port 22",
    ),
    (
        "c: allow from 10.0.0.0/8 tcp to port 22",
        "E0101",
        "c: allow tcp from 10.0.0.0/8 to port 22",
    ),
    (
        "allow from 10.0.0.0/8 to any port 22 proto tcp",
        "E0101",
        "allow tcp from 10.0.0.0/8 to any:22",
    ),
    (
        "allow tcp to 10.0.0.1 port 443",
        "E0114",
        "allow tcp to 10.0.0.1:443",
    ),
    (
        "allow tcp to 10.0.0.1 :443",
        "E0112",
        "allow tcp to 10.0.0.1:443",
    ),
    (
        "allow tcp to fd00::1 port 443",
        "E0114",
        "allow tcp to [fd00::1]:443",
    ),
    (
        "allow tcp to self, 10.0.0.1 port 22",
        "E0114",
        "allow tcp to self:22, 10.0.0.1:22",
    ),
    ("allow tcp to self port 22", "E0114", "allow tcp to self:22"),
    (
        "allow tcp to fd00::1-fd00::5 port 443",
        "E0114",
        "allow tcp to [fd00::1-fd00::5]:443",
    ),
    (
        "allow tcp to 10.0.0.1, fd00::/8, 10.0.0.3 port 443",
        "E0114",
        "allow tcp to 10.0.0.1:443, [fd00::/8]:443, 10.0.0.3:443",
    ),
    (
        "allow tcp to 10.0.0.1:80, 10.0.0.3 port 443",
        "E0114",
        "allow tcp to 10.0.0.1:80, 10.0.0.3:443",
    ),
    (
        "allow tcp to { 10.0.0.1, fd00::1 } port {80, 443}",
        "E0101",
        "allow tcp to 10.0.0.1:{80, 443}, [fd00::1]:{80, 443}",
    ),
    (
        "allow tcp to { 10.0.0.1, 10.0.0.3 }:80",
        "E0101",
        "allow tcp to 10.0.0.1:80, 10.0.0.3:80",
    ),
    (
        "allow tcp from { 10.0.0.1, 10.0.0.3 } : 80",
        "E0101",
        "allow tcp from 10.0.0.1:80, 10.0.0.3:80",
    ),
    (
        "allow tcp to 10.0.0.1 : 443",
        "E0101",
        "allow tcp to 10.0.0.1:443",
    ),
    (
        "allow icmp type echo-request",
        "E0102",
        "allow icmp echo-request",
    ),
    ("allow icmpv6", "E0103", "allow icmp6"),
    (
        "allow ping",
        "E0102",
        "allow icmp echo-request, icmp6 echo-request",
    ),
    (
        "e: allow in tcp dport 22",
        "E0103",
        "e: allow in tcp to port 22",
    ),
    (
        "expect allow ssh",
        "E0102",
        "expect allow tcp from any to any:ssh",
    ),
    (
        "allow tcp from != 10.0.0.0/8 to port 22",
        "E0103",
        "allow tcp from not 10.0.0.0/8 to port 22",
    ),
    // A comment is no part of the remedy.
    (
        "allow tcp dport 22 # shells",
        "E0103",
        "allow tcp to port 22",
    ),
    // Rates.
    (
        "allow tcp to port 22 up to 10/minute",
        "E0101",
        "allow tcp to port 22 up to 10 packets/minute",
    ),
    (
        "allow tcp to port 22 up to 10 per minute",
        "E0101",
        "allow tcp to port 22 up to 10 packets/minute",
    ),
    (
        "allow tcp to port 22 up to 10 connections/min per source",
        "E0102",
        "allow tcp to port 22 up to 10 connections/minute per source",
    ),
    (
        "allow tcp to port 22 up to 10 packets/second per ip",
        "E0103",
        "allow tcp to port 22 up to 10 packets/second per source",
    ),
    (
        "allow tcp to port 22 up to 10 packets per second",
        "E0101",
        "allow tcp to port 22 up to 10 packets/second",
    ),
    (
        "allow tcp to port 22 limit 10/minute",
        "E0103",
        "allow tcp to port 22 up to 10 packets/minute",
    ),
    (
        "allow tcp to port 22 rate 10",
        "E0101",
        "allow tcp to port 22 up to 10 packets/second",
    ),
    // Interfaces and zones.
    (
        "allow tcp to port 22 on eth1",
        "E0102",
        "allow tcp to port 22 on interface eth1",
    ),
    (
        "allow tcp to port 23 on wan",
        "E0102",
        "allow tcp to port 23 on zone wan",
    ),
    (
        "allow tcp to port 24 iif eth1",
        "E0103",
        "allow tcp to port 24 on interface eth1",
    ),
    (
        "allow tcp to port 24 iifname \"eth1\"",
        "E0103",
        "allow tcp to port 24 on interface \"eth1\"",
    ),
    (
        "allow tcp to port 80 in eth0",
        "E0101",
        "allow tcp to port 80 on interface eth0",
    ),
    (
        "allow tcp to port 80 in wan",
        "E0101",
        "allow tcp to port 80 on zone wan",
    ),
    (
        "allow tcp to port 80 interface eth0",
        "E0101",
        "allow tcp to port 80 on interface eth0",
    ),
    (
        "allow zone wan tcp to port 80",
        "E0101",
        "allow tcp on zone wan to port 80",
    ),
    // Conditions.
    (
        "drop tcp if socket not established",
        "E0101",
        "drop tcp if no socket established",
    ),
    ("drop tcp if not socket", "E0101", "drop tcp if no socket"),
    (
        "allow if established",
        "E0101",
        "allow if socket established",
    ),
    (
        "allow tcp to port 22 if state established",
        "E0103",
        "allow tcp to port 22 if socket established",
    ),
    (
        "allow tcp ct state established,related",
        "E0103",
        "allow tcp if socket established",
    ),
    (
        "drop tcp if flags syn",
        "E0101",
        "drop tcp if tcp flags syn",
    ),
    (
        "drop tcp if tcp flags syn,ack",
        "E0101",
        "drop tcp if tcp flags syn ack",
    ),
    (
        "allow tcp socket exists",
        "E0101",
        "allow tcp if socket exists",
    ),
    ("drop if ttl == 1", "E0101", "drop if ttl = 1"),
    ("drop if length 400", "E0101", "drop if length = 400"),
    ("drop if vlan id 12", "E0102", "drop if vlan 12"),
    (
        "drop if fragment && no socket",
        "E0103",
        "drop if fragment and no socket",
    ),
    // Verbs, directions, targets.
    (
        "drop audit tcp to port 22",
        "E0101",
        "audit drop tcp to port 22",
    ),
    (
        "a: allow tcp to port 22 and from 10.0.0.0/8",
        "E0101",
        "a: allow tcp to port 22 from 10.0.0.0/8",
    ),
    (
        "redirect 3.3.3.3:80 to p",
        "E0102",
        "redirect 3.3.3.3:80 to sock p",
    ),
    (
        "redirect 3.3.3.3:80 to socket t",
        "E0101",
        "redirect 3.3.3.3:80 to sock t",
    ),
    ("default drop in", "E0101", "default in drop"),
    (
        "allow outbound tcp to port 22",
        "E0103",
        "allow out tcp to port 22",
    ),
    (
        "reject with tcp-reset tcp to port 22",
        "E0101",
        "reject tcp to port 22",
    ),
    ("default drop incoming", "E0103", "default in drop"),
    ("accept tcp to port 22", "E0103", "allow tcp to port 22"),
    ("deny tcp to port 22 quick", "E0103", "drop tcp to port 22"),
    ("ALLOW TCP to port ssh", "E0102", "allow tcp to port ssh"),
    ("Default In Drop", "E0102", "default in drop"),
    ("allow Tcp to port ssh", "E0102", "allow tcp to port ssh"),
    ("allow tcp to port 22;", "E0103", "allow tcp to port 22"),
    (
        "drop in tcp out to port 22",
        "E0101",
        "drop in tcp to port 22",
    ),
    // A rule that begins with its log.
    (
        "a: log drop tcp to port 22",
        "E0101",
        "a: drop tcp to port 22 log",
    ),
    (
        "a: log \"ssh\" max 5/second tcp to port 22",
        "E0101",
        "a: count tcp to port 22 log \"ssh\" max 5/second",
    ),
    (
        "x: drop udp\nlog tcp to port 22",
        "E0101",
        "count tcp to port 22 log",
    ),
    // Texts and files.
    (
        "allow tcp to port 22 log “ssh”",
        "E0101",
        "allow tcp to port 22 log \"ssh\"",
    ),
    (
        "allow tcp to port 22 note 'ssh here'",
        "E0101",
        "allow tcp to port 22 note \"ssh here\"",
    ),
    ("include essentials", "E0102", "include <essentials>"),
    ("include site.sk", "E0102", "include \"site.sk\""),
    // Sockets.
    (
        "socket s = tcp listen :80",
        "E0116",
        "socket s = tcp listen 0.0.0.0:80, tcp listen [::]:80",
    ),
    (
        "socket s = tcp listen *:80",
        "E0101",
        "socket s = tcp listen 0.0.0.0:80, tcp listen [::]:80",
    ),
    // Lines about packets.
    (
        "expect allow tcp from any to any:22 with no @a",
        "E0101",
        "expect allow tcp from any to any:22 with @a { }",
    ),
    (
        "expect allow tcp from any to any:22 with established",
        "E0101",
        "expect allow tcp from any to any:22 with socket established",
    ),
    (
        "expect allow tcp from any to any:22 with syn",
        "E0101",
        "expect allow tcp from any to any:22 with tcp flags syn",
    ),
    (
        "expect allow tcp from any to any:22 with rate fits",
        "E0102",
        "expect allow tcp from any to any:22 with no rate exceeded",
    ),
];

/// Packets of the command line.
const PACKETS: &[(&str, &str)] = &[
    (
        "tcp 8.8.8.8 192.0.2.1 22",
        "tcp from 8.8.8.8:40000 to 192.0.2.1:22",
    ),
    (
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 with established",
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 with socket established",
    ),
    (
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 with syn",
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 with tcp flags syn",
    ),
    (
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 on eth1",
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 on interface eth1",
    ),
];

fn help(mistake: &Diagnostic) -> &str {
    mistake.help.as_deref().unwrap_or("none")
}

/// Whether the help is this text, alone or with a reason after it.
fn says(mistake: &Diagnostic, remedy: &str) -> bool {
    let wanted = format!("write `{remedy}`");
    help(mistake)
        .strip_prefix(wanted.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
}

#[test]
fn every_slip_has_its_one_remedy_and_that_is_read() {
    let mut wrong = Vec::new();
    for (slip, code, remedy) in SLIPS {
        let (_, mistakes) = read(&format!("{AROUND}{slip}\n"));
        match mistakes.as_slice() {
            [one] if one.code.0 == *code && says(one, remedy) => {}
            found => {
                let found: Vec<_> = found
                    .iter()
                    .map(|one| (one.code.0, one.message.as_str(), help(one)))
                    .collect();
                wrong.push(format!(
                    "{slip}\n    found {found:?}\n    wants {code} {remedy}"
                ));
            }
        }
        let (_, mistakes) = read(&format!("{AROUND}{remedy}\n"));
        assert!(mistakes.is_empty(), "{remedy}: {mistakes:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn packets_have_remedies_too() {
    for (slip, remedy) in PACKETS {
        let mut sources = crate::source::SourceMap::default();
        let id = sources.add("<packet>", *slip);
        let mistakes = crate::parse_packet(&sources, id).unwrap_err();
        assert!(says(&mistakes[0], remedy), "{slip}: {}", help(&mistakes[0]));
        let id = sources.add("<packet>", *remedy);
        assert!(crate::parse_packet(&sources, id).is_ok(), "{remedy}");
    }
}

/// A suggestion is a word that may stand there, and near.
#[test]
fn no_word_is_suggested_that_may_not_stand_there() {
    for (text, never) in [
        ("allow tcp to port 22 flow", "for"),
        ("allow tcp from example.com to port 22", "sample"),
        ("drop if vlan id 12", "in"),
        ("allow tcp to www", "to"),
    ] {
        let (_, mistakes) = read(&format!("{AROUND}{text}\n"));
        let suggested = format!("did you mean `{never}`?");
        assert!(mistakes.iter().all(|one| help(one) != suggested), "{text}");
    }
    let (_, mistakes) = read("drop from example.com\n");
    assert!(
        help(&mistakes[0]).starts_with("names of hosts are not resolved"),
        "{}",
        help(&mistakes[0])
    );
}

#[test]
fn a_file_of_another_tool_is_said_once() {
    for (text, tool) in [
        (
            "table inet filter {\n chain input {\n type filter hook input priority 0\n }\n}\n",
            "nftables",
        ),
        ("#!/usr/sbin/nft -f\nflush ruleset\n", "nftables"),
        (
            "{\"nftables\": [{\"metainfo\": {\"version\": \"1.0.6\"}}]}\n",
            "nftables",
        ),
        (
            "# Generated by iptables-save\n*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n",
            "iptables",
        ),
        (
            "-A INPUT -p tcp --dport 22 -s 10.0.0.0/8 -j ACCEPT\n",
            "iptables",
        ),
        (
            "default deny incoming\ndefault allow outgoing\nallow 22/tcp\n",
            "ufw",
        ),
        ("ufw allow 22/tcp\n", "ufw"),
        (
            "*filter\n:ufw6-user-input - [0:0]\n-A ufw6-user-input -p tcp --dport 22 -j ACCEPT\nCOMMIT\n",
            "ufw",
        ),
        (
            "*filter\n:INPUT DROP [0:0]\n:ufw-user-input - [0:0]\n-A INPUT -j ufw-user-input\nCOMMIT\n",
            "iptables",
        ),
        (
            "block in all\npass in on eth0 proto tcp from any to any port 22 keep state\n",
            "pf",
        ),
        (
            "<?xml version=\"1.0\"?>\n<zone><service name=\"ssh\"/></zone>\n",
            "firewalld",
        ),
        ("<policy target=\"DROP\">\n</policy>\n", "firewalld"),
        ("firewall-cmd --add-service=ssh\n", "firewalld"),
        (
            "# edge\nchain edge BF_HOOK_XDP{ifindex=2} ACCEPT\n    rule ip4.proto icmp DROP\n",
            "bpfilter",
        ),
        ("chain BF_HOOK_NF_LOCAL_IN policy DROP\n", "bpfilter"),
        (
            "create a hash:ip family inet\nadd a 10.0.0.1\n",
            "ipset save",
        ),
    ] {
        let (file, mistakes) = read(text);
        assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
        assert_eq!(mistakes[0].code.0, "E0120");
        assert!(
            mistakes[0].message.contains(tool),
            "{}",
            mistakes[0].message
        );
        let help = mistakes[0].help.clone().unwrap_or_default();
        assert_eq!(
            help.contains("`sockc import nft`"),
            tool == "nftables",
            "{help}"
        );
        let imports = [
            ("iptables", "import iptables-save`"),
            ("ipset save", "import iptables-save RULES --ipset"),
            ("ufw", "import ufw"),
            ("firewalld", "import firewalld"),
            ("bpfilter", "import bfcli"),
        ];
        for (imported, command) in imports {
            assert_eq!(help.contains(command), tool == imported, "{help}");
        }
        assert!(file.statements.is_empty());
    }
    let (_, mistakes) = read("default in drop\nblock in all\npass in all\n");
    assert!(
        mistakes.iter().all(|one| one.code.0 == "E0103"),
        "{mistakes:?}"
    );
}

/// A codepoint has a name only, unlike other fields of the header.
#[test]
fn what_is_expected_after_ecn_is_its_names() {
    for (text, expected) in [
        ("drop tcp if ecn", "expected `ce`, `ect0`, `ect1` or `none`"),
        (
            "drop tcp if ecn <= 3",
            "expected `ce`, `ect0`, `ect1` or `none`, found `<`",
        ),
        ("drop tcp if dscp", "expected a name or a number"),
    ] {
        let (_, mistakes) = read(&format!("{AROUND}{text}\n"));
        assert!(
            mistakes[0].message.ends_with(expected),
            "{:?}",
            mistakes[0].message
        );
    }
}

#[test]
fn a_word_that_nobody_means_is_not_said_whole() {
    // Letters of more than a byte are not cut in two.
    for word in ["a", "\u{e9}a"] {
        let (_, mistakes) = read(&format!("drop from {}", word.repeat(100_000)));
        assert_eq!(mistakes.len(), 1, "{word}");
        assert!(mistakes[0].message.len() < 300, "{word}");
    }
    let (_, mistakes) = read(&format!("drop from {}", "a".repeat(100_000)));
    assert_eq!(mistakes[0].code.0, "E0102");
    assert!(
        mistakes[0].message.ends_with("aaa…`"),
        "{}",
        mistakes[0].message
    );
}

/// What is left out joins no two words: a rule is on one zone, and no other is made of two.
#[test]
fn no_remedy_makes_one_name_of_two() {
    for clause in ["on zone wan, dmz", "on interface eth0, eth1"] {
        let (_, mistakes) = read(&format!("{AROUND}default in drop\nallow tcp {clause}\n"));
        assert_eq!(mistakes.len(), 1, "{clause}: {mistakes:?}");
        let said = help(&mistakes[0]);
        assert!(
            !said.contains("wandmz") && !said.contains("eth0eth1"),
            "{said}"
        );
    }
}

/// Where a port is meant of all addresses but some, or of none, no remedy reads: each would let more through than what was meant.
#[test]
fn no_remedy_lets_more_through_than_the_slip() {
    for slip in [
        "allow tcp to not { 10.0.0.1, fd00::1 } port 80",
        "allow tcp to not 10.0.0.1, 10.0.0.2 port 80",
        "allow tcp from not 10.0.0.1 :80",
        "allow tcp to { not 10.0.0.1, 10.0.0.2 } port 80",
        "allow tcp to {} port 80",
        "allow tcp to 10.0.0.1 to port 80",
        "redirect tcp 10.0.0.1, 10.0.0.2 port 80 to sock proxy",
    ] {
        let (_, mistakes) = read(&format!("{AROUND}{slip}\n"));
        let helps: Vec<&str> = mistakes
            .iter()
            .filter_map(|one| one.help.as_deref())
            .collect();
        let is_remedy = |help: &&str| help.contains("write `allow") || help.contains("join");
        assert!(!mistakes.is_empty(), "{slip}");
        assert!(!helps.iter().any(is_remedy), "{slip}: {helps:?}");
    }
}

/// A prefix as other tools write it; what is none has no remedy of its own.
#[test]
fn masks_and_stars_are_prefixes() {
    for (written, meant) in [
        ("10.0.0.0/255.0.0.0", Some("10.0.0.0/8")),
        ("10.1.2.0/255.255.255.0:53", Some("10.1.2.0/24:53")),
        ("10.1.2.3/255.255.255.255", Some("10.1.2.3/32")),
        ("10.1.2.3/255.255.0.0", Some("10.1.0.0/16")),
        ("0.0.0.0/0.0.0.0", Some("0.0.0.0/0")),
        ("10.1.2.*", Some("10.1.2.0/24")),
        ("10.*.*.*:53", Some("10.0.0.0/8:53")),
        ("10.1.2.0/255.0.255.0", None),
        ("10.1.2.0/0.0.0.255", None),
        ("10.*.2.*", None),
        ("10.1.2.3.*", None),
    ] {
        let (_, mistakes) = read(&format!("drop from {written}\n"));
        let said = help(mistakes.first().unwrap());
        match meant {
            Some(meant) => assert_eq!(said, format!("write `{meant}`"), "{written}"),
            None => assert!(
                said.starts_with("write an address, a prefix or a range"),
                "{written}: {said}"
            ),
        }
    }
}
