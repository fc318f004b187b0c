//! `import firewalld` from outside: what comes out for folders as firewalld has them, how packets fare by it, what is said of what is
//! left out, and which folders are refused.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::became::{has, holds};
use super::{Folder, Ran, run};

/// A folder of a machine and one of what is shipped, with these files in the first.
fn configured(name: &str, files: &[(&str, &str)]) -> (Folder, String, String) {
    let folder = Folder::new(name);
    let [own, shipped] = ["etc", "lib"].map(|part| below(&folder, part));
    let zone =
        "<zone>\n  <interface name=\"eth9\"/>\n  <service name=\"ssh\"/>\n  <forward/>\n</zone>\n";
    let ssh =
        "<service>\n  <short>SSH</short>\n  <port protocol=\"tcp\" port=\"22\"/>\n</service>\n";
    let dns = "<service>\n  <short>DNS</short>\n  <port protocol=\"tcp\" port=\"53\"/>\n  <port protocol=\"udp\" port=\"53\"/>\n  <include service=\"ssh\"/>\n</service>\n";
    let ftp = "<service>\n  <short>File Transfer</short>\n  <port protocol=\"tcp\" port=\"21\"/>\n  <helper name=\"ftp\"/>\n</service>\n";
    for (name, text) in [
        ("zones/public.xml", zone),
        ("services/ssh.xml", ssh),
        ("services/dns.xml", dns),
        ("services/ftp.xml", ftp),
    ] {
        write(&shipped, name, text);
    }
    write(&own, "firewalld.conf", "DefaultZone=public\n");
    for (name, text) in files {
        write(&own, name, text);
    }
    (folder, own, shipped)
}

/// The path of something in a folder.
fn below(folder: &Folder, name: &str) -> String {
    folder.0.join(name).display().to_string()
}

fn write(folder: &str, name: &str, text: &str) {
    let path = Path::new(folder).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn imported(own: &str, shipped: &str, more: &[&str]) -> Ran {
    let plain = ["import", "firewalld", own, "--system", shipped];
    run(&[&plain, more].concat())
}

fn said(own: &str, shipped: &str) -> Value {
    let ran = imported(own, shipped, &["--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// What is said of a place, with the kind.
fn told(said: &Value, place: &str) -> Vec<(String, String)> {
    let entries = said["report"].as_array().unwrap().iter();
    let words = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    entries
        .filter(|one| words(one, "place") == place)
        .map(|one| (words(one, "kind"), words(one, "said")))
        .collect()
}

#[test]
fn zones_keep_their_names_and_services_theirs() {
    let zone = "<zone>\n  <interface name=\"eth1\"/>\n  <interface name=\"eth2\"/>\n  <service name=\"dns\"/>\n  <service name=\"ftp\"/>\n  <port port=\"8000-8100\" protocol=\"tcp\"/>\n  <icmp-block name=\"echo-request\"/>\n  <forward/>\n  <masquerade/>\n</zone>\n";
    let (folder, own, shipped) = configured("firewalld-zones", &[("zones/work.xml", zone)]);
    let said = said(&own, &shipped);
    assert_eq!(said["format"], "sockc.import-firewalld/1");
    has(
        &said,
        &[
            "zone work = eth1, eth2",
            "allow tcp, udp to port 53 on zone work note \"dns\"",
            "allow tcp to port 22 on zone work note \"ssh\"",
            "allow tcp to port 21 on zone work note \"ftp: File Transfer\"",
            "reject icmp echo-request on zone work",
            "allow forward on zone work to zone work",
        ],
    );
    let held = "expect allow tcp from any to 192.0.2.1:8050 on zone work
expect reject tcp from any to 192.0.2.1:8050 on interface eth9 with no socket
expect reject icmp echo-request from any to 192.0.2.1 on zone work
expect allow icmp echo-request from any to 192.0.2.1 on interface eth9
expect allow tcp from any to 192.0.2.1:22 on interface eth9
expect reject udp from any to 192.0.2.1:53 on interface eth9 with no socket
expect allow forward tcp from any to 192.0.2.1:80 on interface eth1 to interface eth2
expect reject forward tcp from any to 192.0.2.1:80 on interface eth1 to interface eth9
";
    holds(&folder, &said, held);
    let [(kind, why)] = &told(&said, "zones/work.xml line 9")[..] else {
        panic!("{said}");
    };
    assert_eq!(kind, "left-out");
    assert!(why.contains("packets are not changed here"), "{why}");
    let ftp = told(&said, "zones/work.xml line 5");
    assert!(ftp[0].1.contains("RELATED"), "{ftp:?}");
}

/// Senders come first, by the names of their zones, whatever the interface.
#[test]
fn zones_of_senders_are_asked_before_those_of_interfaces() {
    let (folder, own, shipped) = configured(
        "firewalld-senders",
        &[
            (
                "ipsets/banned.xml",
                "<ipset type=\"hash:net\"><entry>203.0.113.0/24</entry><entry>198.51.100.9</entry></ipset>",
            ),
            (
                "zones/drop.xml",
                "<zone target=\"DROP\"><source ipset=\"banned\"/></zone>",
            ),
            (
                "zones/trusted.xml",
                "<zone target=\"ACCEPT\"><source address=\"203.0.113.7\"/><source address=\"2001:db8::/64\"/></zone>",
            ),
            (
                "zones/work.xml",
                "<zone target=\"%%REJECT%%\"><interface name=\"eth1\"/></zone>",
            ),
        ],
    );
    let said = said(&own, &shipped);
    has(
        &said,
        &[
            "set banned = { 198.51.100.9, 203.0.113.0/24 }",
            "drop from @banned note \"target of zone drop\"",
        ],
    );
    let held = "expect drop tcp from 203.0.113.7 to any:22 on interface eth1 with no socket
expect allow tcp from 2001:db8::1 to any:9 on interface eth1
expect reject tcp from 192.0.2.1 to 192.0.2.9:22 on interface eth1 with no socket
expect reject icmp echo-request from 192.0.2.1 to 192.0.2.9 on interface eth1
expect allow icmp echo-request from 192.0.2.1 to 192.0.2.9 on interface eth9
";
    holds(&folder, &said, held);
}

#[test]
fn rich_rules_stand_in_the_order_in_which_firewalld_asks_them() {
    let zone = "<zone>
  <rule family=\"ipv4\"><source address=\"192.0.2.0/24\"/><accept/></rule>
  <rule family=\"ipv4\"><source address=\"192.0.2.0/25\"/><reject type=\"tcp-reset\"/></rule>
  <rule priority=\"-1\" family=\"ipv4\"><source address=\"192.0.2.1\"/><port port=\"80\" protocol=\"tcp\"/><accept/></rule>
  <rule><service name=\"dns\"/><log prefix=\"dns \"><limit value=\"3/m\"/></log><accept><limit value=\"48/d\"/></accept></rule>
  <rule priority=\"9\"><protocol value=\"gre\"/><drop/></rule>
  <rule family=\"ipv6\"><source mac=\"02:42:ac:11:00:02\"/><port port=\"81\" protocol=\"udp\"/><accept/></rule>
  <rule><source address=\"192.0.2.9\"/><drop/></rule>
  <rule family=\"ipv4\"><source address=\"192.0.2.9\"/><mark set=\"7\"/></rule>
</zone>\n";
    let (folder, own, shipped) = configured("firewalld-rich", &[("zones/public.xml", zone)]);
    let said = said(&own, &shipped);
    has(
        &said,
        &[
            "count udp to port 53 log \"dns \" max 3/minute note \"dns\"",
            "allow udp from 0.0.0.0/0 to port 53 up to 2 packets/hour burst 5 note \"dns\"",
            "drop gre",
        ],
    );
    let held = "expect allow tcp from 192.0.2.1 to 198.51.100.1:80
expect reject tcp from 192.0.2.1 to 198.51.100.1:79 with no socket
expect allow udp from 192.0.2.1 to 198.51.100.1:79
expect allow tcp from 192.0.2.200 to 198.51.100.1:79
expect drop gre from 203.0.113.1 to 198.51.100.1 with no socket
expect allow udp from 2001:db8::1 to [2001:db8::2]:81 with ether from 02:42:ac:11:00:02
";
    holds(&folder, &said, held);
    let ignored = told(&said, "zones/public.xml line 8");
    assert_eq!(ignored[0].0, "note");
    assert!(ignored[0].1.contains("no family"), "{ignored:?}");
    let marked = told(&said, "zones/public.xml line 9");
    assert_eq!(marked[0].0, "left-out");
}

#[test]
fn policies_stand_between_zones_ahead_of_them_or_behind() {
    let (folder, own, shipped) = configured(
        "firewalld-policies",
        &[
            ("zones/lan.xml", "<zone><interface name=\"eth1\"/></zone>"),
            ("zones/wan.xml", "<zone><interface name=\"eth0\"/></zone>"),
            ("zones/empty.xml", "<zone/>"),
            (
                "policies/up.xml",
                "<policy target=\"ACCEPT\" priority=\"5\"><ingress-zone name=\"lan\"/><egress-zone name=\"wan\"/></policy>",
            ),
            (
                "policies/down.xml",
                "<policy target=\"DROP\"><ingress-zone name=\"wan\"/><egress-zone name=\"lan\"/><port port=\"443\" protocol=\"tcp\"/></policy>",
            ),
            (
                "policies/leaving.xml",
                "<policy target=\"CONTINUE\"><ingress-zone name=\"HOST\"/><egress-zone name=\"wan\"/><rule family=\"ipv4\"><destination address=\"198.51.100.0/24\"/><drop/></rule></policy>",
            ),
            (
                "policies/arriving.xml",
                "<policy target=\"CONTINUE\"><ingress-zone name=\"ANY\"/><egress-zone name=\"HOST\"/><protocol value=\"esp\"/></policy>",
            ),
            (
                "policies/aaa.xml",
                "<policy target=\"REJECT\" priority=\"50\"><ingress-zone name=\"ANY\"/><egress-zone name=\"ANY\"/></policy>",
            ),
            (
                "policies/unused.xml",
                "<policy target=\"ACCEPT\"><ingress-zone name=\"empty\"/><egress-zone name=\"ANY\"/></policy>",
            ),
        ],
    );
    let said = said(&own, &shipped);
    let held = "expect allow forward tcp from any to 192.0.2.1:80 on zone lan to zone wan
expect drop forward tcp from any to 192.0.2.1:80 on zone wan to zone lan
expect allow forward tcp from any to 192.0.2.1:443 on zone wan to zone lan
expect reject forward tcp from any to 192.0.2.1:80 on interface eth9 to interface eth0
expect allow out udp from any to 203.0.113.1:53 on zone wan
expect drop out udp from any to 198.51.100.1:53 on zone wan
expect allow out udp from any to 198.51.100.1:53 on zone lan
expect allow esp from any to any
";
    holds(&folder, &said, held);
    let order = told(&said, "filter_FORWARD");
    assert!(
        order.iter().any(|(kind, _)| kind == "left-out"),
        "{order:?}"
    );
}

/// Where an interface may be in two zones, the one that firewalld asks last is asked first.
#[test]
fn patterns_that_meet_are_asked_as_firewalld_does() {
    let (folder, own, shipped) = configured(
        "firewalld-patterns",
        &[
            (
                "zones/a.xml",
                "<zone target=\"ACCEPT\"><interface name=\"eth0\"/></zone>",
            ),
            (
                "zones/b.xml",
                "<zone target=\"DROP\"><interface name=\"eth+\"/></zone>",
            ),
            (
                "zones/c.xml",
                "<zone target=\"ACCEPT\"><interface name=\"eth7\"/></zone>",
            ),
        ],
    );
    let said = said(&own, &shipped);
    assert!(
        !said["text"].as_str().unwrap().contains("\nzone "),
        "{said}"
    );
    let held = "expect drop tcp from any to any:22 on interface eth0 with no socket
expect allow tcp from any to any:9 on interface eth7
";
    holds(&folder, &said, held);
}

#[test]
fn types_of_icmp_are_inverted_and_parts_of_a_zone_are_one() {
    let (folder, own, shipped) = configured(
        "firewalld-parts",
        &[
            (
                "zones/public/one.xml",
                "<zone><icmp-block-inversion/><icmp-block name=\"echo-request\"/></zone>",
            ),
            (
                "zones/public/two.xml",
                "<zone><port port=\"99\" protocol=\"tcp\"/></zone>",
            ),
        ],
    );
    let said = said(&own, &shipped);
    let held = "expect allow icmp echo-request from any to 192.0.2.1
expect reject icmp 13 from any to 192.0.2.1
expect allow tcp from any to 192.0.2.1:99
expect reject tcp from any to 192.0.2.1:22 with no socket
";
    holds(&folder, &said, held);
}

#[test]
fn what_is_left_out_is_told_and_strict_writes_nothing() {
    let (folder, own, shipped) = configured(
        "firewalld-told",
        &[
            (
                "direct.xml",
                "<direct>\n<rule ipv=\"ipv4\" table=\"filter\" chain=\"INPUT\" priority=\"0\">-p tcp -j DROP</rule>\n</direct>",
            ),
            ("ipsets/filled.xml", "<ipset type=\"hash:ip\"/>"),
            (
                "zones/public.xml",
                "<zone>\n<rule><source ipset=\"filled\"/><drop/></rule>\n<protocol value=\"ah\"/>\n<port port=\"5\" protocol=\"dccp\"/>\n</zone>",
            ),
        ],
    );
    let all = said(&own, &shipped);
    for (place, word) in [
        ("direct.xml line 2", "iptables"),
        ("zones/public.xml line 2", "live set"),
        ("zones/public.xml line 3", "stepped over"),
        ("zones/public.xml line 4", "TCP, UDP and SCTP"),
    ] {
        let said = told(&all, place);
        let is_told = said
            .iter()
            .any(|(kind, said)| kind == "left-out" && said.contains(word));
        assert!(is_told, "{place}: {said:?}");
    }
    let out = below(&folder, "out.sk");
    let strict = imported(&own, &shipped, &["--strict", "-o", &out]);
    assert_eq!(strict.code, Some(1));
    assert!(!Path::new(&out).exists());
}

#[test]
fn what_is_no_configuration_is_refused_with_its_place() {
    for (name, file, text, word) in [
        (
            "cut",
            "zones/public.xml",
            "<zone>\n<service name=\"ssh\">",
            "it is cut",
        ),
        (
            "bogus",
            "zones/public.xml",
            "<zone>\n <bogus/></zone>",
            "line 2, column 2: `<bogus>`",
        ),
        (
            "attribute",
            "zones/public.xml",
            "<zone><port port=\"1\"/></zone>",
            "has no `protocol`",
        ),
        (
            "port",
            "zones/public.xml",
            "<zone><port port=\"x\" protocol=\"tcp\"/></zone>",
            "is no port",
        ),
        (
            "near",
            "zones/public.xml",
            "<zone><service name=\"shs\"/></zone>",
            "did you mean ssh?",
        ),
        (
            "twice",
            "zones/a.xml",
            "<zone><interface name=\"e0\"/><source address=\"a\"/></zone>",
            "is no address",
        ),
        (
            "policy",
            "policies/p.xml",
            "<policy target=\"DROP\"><ingress-zone name=\"ANY\"/><egress-zone name=\"x\"/></policy>",
            "the zone x has no file",
        ),
    ] {
        let (_folder, own, shipped) = configured(&format!("firewalld-bad-{name}"), &[(file, text)]);
        let ran = imported(&own, &shipped, &[]);
        assert_eq!(ran.code, Some(1), "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(word), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("nothing was written"),
            "{name}: {}",
            ran.stderr
        );
    }
    let folder = Folder::new("firewalld-listed");
    let listing = folder.file(
        "zone.txt",
        "public (active)\n  target: default\n  services: ssh\n",
    );
    let ran = run(&["import", "firewalld", &listing]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr
            .contains("give the folder: `sockc import firewalld /etc/firewalld`"),
        "{}",
        ran.stderr
    );
}

/// A folder that cannot be looked into is no empty one, and one of another tool none at all: the zones of the package are no policy of theirs.
#[test]
fn what_cannot_be_read_is_not_taken_for_nothing() {
    let (_folder, own, shipped) = configured("firewalld-unread", &[("services", "no folder")]);
    let ran = imported(&own, &shipped, &[]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("cannot read"), "{}", ran.stderr);
    let (_folder, own, shipped) = configured("firewalld-folder", &[]);
    fs::create_dir_all(format!("{own}/zones/public.xml")).unwrap();
    let ran = imported(&own, &shipped, &[]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("no regular file"), "{}", ran.stderr);
    let other = Folder::new("firewalld-other");
    other.file("ufw.conf", "ENABLED=yes\n");
    let ran = imported(other.0.to_str().unwrap(), &shipped, &[]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.contains("neither firewalld.conf nor zones"),
        "{}",
        ran.stderr
    );
}

#[test]
fn nothing_is_written_into_the_folder_that_is_read() {
    let (folder, own, shipped) = configured("firewalld-written", &[]);
    fs::create_dir_all(format!("{own}/zones")).unwrap();
    for out in [format!("{own}/zones/new.xml"), format!("{own}/edge.sk")] {
        let ran = imported(&own, &shipped, &["-o", &out]);
        let made = ["zones/new.xml", "edge.sk"].map(|name| Path::new(&own).join(name).exists());
        assert_eq!((ran.code, made), (Some(64), [false; 2]), "{}", ran.stderr);
    }
    let beside = below(&folder, "edge.sk");
    assert_eq!(imported(&own, &shipped, &["-o", &beside]).code, Some(0));
}

#[test]
fn two_rules_on_one_line_are_both_told() {
    let direct = "<direct><passthrough ipv=\"ipv4\">-A INPUT -p tcp --dport 8005 -j DROP</passthrough><passthrough ipv=\"ipv4\">-A INPUT -p tcp --dport 8006 -j DROP</passthrough></direct>";
    let (_folder, own, shipped) = configured("firewalld-line", &[("direct.xml", direct)]);
    let said = said(&own, &shipped);
    let report = said["report"].to_string();
    for port in ["8005", "8006"] {
        assert!(report.contains(port), "{report}");
    }
}
