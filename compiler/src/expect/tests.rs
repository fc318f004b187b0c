//! Lines that hold and lines that do not, and that whatever breaks a line is real.

use sockc_grammar::source::SourceMap;

use super::*;
use crate::event::Header;
use crate::event::{Event, Parsed};
use crate::files::Texts;
use crate::pipeline;
use crate::policy::{Direction, Match};
use crate::testing::Rng;
use crate::testing::edge_headers;
use crate::testing::{Options, random_policy};

/// The policy with its lines; the lines that are wrong, with what is said of them.
fn wrong(text: &str) -> Vec<(u32, String)> {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let outcome = pipeline::check(&mut sources, id, "test", &mut Texts::default());
    let errors = outcome
        .diagnostics
        .iter()
        .filter(|one| one.severity == sockc_grammar::diagnostic::Severity::Error);
    errors
        .map(|one| {
            assert!(one.code == BROKEN || one.code == EMPTY, "{one:?}");
            (sources.place(one.primary.span).0, one.message.clone())
        })
        .collect()
}

const EDGE: &str = "default in drop
zone wan = eth0
set bogons = { 10.0.0.0/8, fc00::/7 }
live set banned max 10
socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234 if absent drop
drop from @bogons on zone wan
drop from @banned
redirect tcp to 3.3.3.3:* to sock proxy
allow tcp to 192.0.2.80:443 if socket listening
allow tcp to any:22 up to 5 connections/second per source
";

#[test]
fn lines_that_hold_say_nothing() {
    let lines = "expect allow tcp from 198.51.100.7:40000 to 192.0.2.80:443 with socket listening, @banned { 9.9.9.9 }
expect drop tcp from any to 192.0.2.0/24:23
expect drop udp from @bogons to any on zone wan
expect drop udp from any to any
expect drop tcp from 8.8.8.8:1000 to any with @banned { 8.8.8.8 }
expect redirect to sock proxy tcp from 192.0.2.9:5000 to 3.3.3.3:65535 on zone wan with @banned { 9.9.9.9 }
expect drop tcp from 192.0.2.9:5000 to 3.3.3.3:80 with sock proxy absent, no socket
expect drop tcp from any to 192.0.2.1:22 with rate exceeded, tcp flags syn no ack
expect drop with malformed
";
    assert_eq!(wrong(&format!("{EDGE}{lines}")), []);
}

#[test]
fn lines_speak_of_the_addresses_of_the_machine() {
    let policy = "default in drop\nssh: allow tcp to self:22\nlan: allow tcp to 10.0.0.0/8:22\n";
    let holds = "expect allow tcp from any to self:22
expect drop tcp from any to self:23
expect drop tcp from any to not self, 10.0.0.0/8 with no socket
expect allow tcp from any to 192.0.2.0/24:22 with self { 192.0.0.0/16 }
expect drop tcp from any to 192.0.2.0/24:22 with self { 192.0.3.0/24, 2001:db8::/32 }
expect allow tcp from any to 192.0.2.0/24:22 with self
expect allow tcp from any to any:22 with self
expect drop tcp from any to any:23 with self
expect drop tcp from any to 192.0.2.1:22 with self { 192.0.2.2 }
";
    assert_eq!(wrong(&format!("{policy}{holds}")), []);
    for (line, said) in [
        ("expect allow tcp from any to 192.0.2.1:22", "gets `drop`"),
        (
            "expect drop tcp from any to 192.0.2.1:22",
            "self { 192.0.2.1 }",
        ),
        ("expect allow tcp from any to not self:22", "gets `drop`"),
        (
            "expect drop tcp from any to 192.0.2.0/24:22 with self",
            "gets `allow`",
        ),
    ] {
        let found = wrong(&format!("{policy}{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].1.contains(said), "{line}: {}", found[0].1);
    }
}

/// It is the machine's end that is said to be its own: of what leaves that is the sender.
#[test]
fn the_end_of_the_machine_is_its_own() {
    let policy =
        "default in allow\ndefault out drop\ndrop from self to any\nallow out from self to any\n";
    for (line, holds) in [
        ("expect drop from self to any", true),
        ("expect allow from 192.0.2.1 to 192.0.2.2 with self", false),
        ("expect allow out from 192.0.2.1 to any with self", true),
        ("expect allow out from any to any with self", true),
        ("expect allow out from any to 192.0.2.1", false),
    ] {
        let found = wrong(&format!("{policy}{line}\n"));
        assert_eq!(found.is_empty(), holds, "{line}: {found:?}");
    }
}

/// A live map answers as a constant one with the same entries, also where the most specific one is of a socket for the other protocol.
#[test]
fn entries_without_a_protocol_are_for_those_of_their_sockets() {
    const ENTRIES: &str =
        "{ 3.3.3.0/24:80 -> sock web, 3.3.3.7:* -> sock sv, 3.3.0.0/16:* -> sock ud }";
    let live = format!(" with @ten {ENTRIES}");
    for (map, with) in [
        (format!("map ten = {ENTRIES}"), ""),
        ("live map ten max 100".to_owned(), live.as_str()),
    ] {
        let text = format!(
            "default in drop
socket web = registered
socket sv = tcp listen 127.0.0.1:7500
socket ud = udp listen 127.0.0.1:7500
{map}
redirect tcp, udp by @ten
expect redirect to sock web udp from 10.1.0.1:4000 to 3.3.3.7:80{with}
expect redirect to sock sv tcp from 10.1.0.1:4000 to 3.3.3.7:80{with}
expect redirect to sock ud udp from 10.1.0.1:4000 to 3.3.3.7:81{with}
expect redirect to sock sv tcp from 10.1.0.1:4000 to 3.3.3.7:81{with}
"
        );
        assert_eq!(wrong(&text), [], "{map}");
    }
}

#[test]
fn a_redirect_at_tc_drops_new_fragments_and_lets_others_be() {
    let policy = "default in drop
socket proxy = tcp listen 127.0.0.1:1234
redirect tcp to 10.7.0.0/16:80 to sock proxy at tc
";
    let to = "tcp from 192.0.2.9:5000 to 10.7.0.1:80";
    let holds = format!(
        "expect redirect to sock proxy {to}
expect drop {to} with fragment, no socket
expect allow {to} with socket established
expect reject {to} with sock proxy absent, no socket, tcp flags syn
"
    );
    // Of the last one, a first fragment is dropped.
    let lines = |text: &str| -> Vec<u32> {
        let wrong = wrong(&format!("{policy}{text}"));
        wrong.into_iter().map(|(line, _)| line).collect()
    };
    assert_eq!(lines(&holds), [7]);
    let fragment = format!("expect reject {to} with fragment, sock proxy absent, no socket\n");
    assert_eq!(lines(&fragment), [4]);
}

#[test]
fn a_broken_line_shows_a_packet_and_who_decides() {
    for (line, wanted) in [
        ("expect allow tcp from any to any:23", "gets `drop`"),
        (
            "expect drop tcp from 8.8.8.8:1 to 192.0.2.1:22",
            "gets `allow`",
        ),
        (
            "expect drop tcp from 8.8.8.8:1 to any:22",
            "gets `redirect to sock proxy`",
        ),
        (
            "expect allow tcp from 8.8.8.8:1 to 192.0.2.1:22 with @banned { 9.9.9.9 }",
            "rate exceeded",
        ),
        (
            "expect redirect to sock proxy tcp from 8.8.8.8:1 to 3.3.3.3:80",
            "@banned { 8.8.8.8 }",
        ),
        ("expect reject udp from any to any", "gets `drop`"),
        (
            "expect drop tcp from 10.0.0.0/8 to 10.0.0.0/8:22 with fragment",
            "gets `allow`",
        ),
    ] {
        let found = wrong(&format!("{EDGE}{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].1.contains(wanted), "{line}: {found:?}");
    }
}

const QUEUES: &str = "default send allow
group pods = cgroup \"/pods\"
socket cache = registered
socket upstream = registered if absent drop
redirect send tcp to 10.0.0.9:53 to input of sock cache
redirect send tcp to 10.0.0.8:80 to output of sock upstream
";

#[test]
fn a_line_says_into_which_queue_of_which_socket() {
    for (line, broken) in [
        (
            "expect redirect to input of sock cache send tcp from any to 10.0.0.9:53",
            None,
        ),
        (
            "expect redirect to sock cache send tcp from any to 10.0.0.9:53",
            None,
        ),
        ("expect redirect send tcp from any to 10.0.0.9:53", None),
        (
            "expect redirect to output of sock upstream send tcp from any to 10.0.0.8:80",
            None,
        ),
        (
            "expect reject send tcp from any to 10.0.0.9:53 with sock cache absent",
            None,
        ),
        (
            "expect drop send tcp from any to 10.0.0.8:80 with sock upstream absent",
            None,
        ),
        (
            "expect redirect to output of sock cache send tcp from any to 10.0.0.9:53",
            Some("gets `redirect to input of sock cache`"),
        ),
        (
            "expect redirect to sock upstream send tcp from any to 10.0.0.9:53",
            Some("gets `redirect to input of sock cache`"),
        ),
        (
            "expect allow send tcp from any to 10.0.0.8:80",
            Some("gets `redirect to output of sock upstream`"),
        ),
        (
            "expect redirect send tcp from any to 10.0.0.8:80 with sock upstream absent",
            Some("gets `drop`"),
        ),
    ] {
        let found = wrong(&format!("{QUEUES}{line}\n"));
        let wanted = usize::from(broken.is_some());
        assert_eq!(found.len(), wanted, "{line}: {found:?}");
        for (_, message) in found {
            assert!(message.contains(broken.unwrap()), "{line}: {message}");
        }
    }
}

/// A packet that is longer than a full bucket exceeds the rate, whatever a line says of rates.
#[test]
fn what_never_fits_a_rate_exceeds_it() {
    let policy = "default in drop
a: allow udp to any:8 above 1000 bytes/second
b: allow udp to any:9 up to 20 bytes/second
c: allow udp to any:10 up to 9000 bytes/second burst 1000
";
    for (line, holds) in [
        (
            "drop udp from any to any:8 with no rate exceeded, length 1500",
            false,
        ),
        (
            "allow udp from any to any:8 with no rate exceeded, length 1500",
            true,
        ),
        (
            "drop udp from any to any:8 with no rate exceeded, length 1000",
            true,
        ),
        ("drop udp from any to any:8 with no rate exceeded", false),
        ("allow udp from any to any:9 with no rate exceeded", false),
        ("drop udp from any to any:9", true),
        ("allow udp from any to any:10 with no rate exceeded", false),
        (
            "allow udp from any to any:10 with no rate exceeded, length 999",
            true,
        ),
        ("drop udp from any to any:10 with length 1001", true),
        ("drop udp from any to any:10 with length 1000", false),
        ("drop udp from any to any:10 with rate exceeded", true),
    ] {
        let found = wrong(&format!("{policy}expect {line}\n"));
        assert_eq!(found.is_empty(), holds, "{line}: {found:?}");
        assert!(
            found
                .iter()
                .all(|(_, message)| message.contains("this is not so")),
            "{line}: {found:?}"
        );
    }
}

/// A rule that shares packets with a line is asked, whatever little they share.
#[test]
fn what_a_rule_and_a_line_share_is_looked_at() {
    for (rule, line) in [
        (
            "tcp from 2001:db8::/32 to any:22",
            "tcp from 2001:db8::7 to any:22",
        ),
        (
            "tcp from 10.0.0.0/8 to any:22",
            "tcp from 10.255.255.255 to any:22",
        ),
        (
            "tcp from 10.0.0.0/8 to any:22-23",
            "tcp from any to any:23-24",
        ),
        (
            "tcp from 10.0.0.0/8, 2001:db8::/32",
            "tcp from 2001:db8::/32 to any",
        ),
        ("tcp, udp to any:53", "udp from any to any:53"),
    ] {
        let found = wrong(&format!(
            "default in drop\nallow {rule}\nexpect drop {line}\n"
        ));
        assert_eq!(found.len(), 1, "{rule}, {line}");
    }
}

/// On an interface that the policy is not on, lookups ask all the same.
#[test]
fn lookups_are_asked_wherever_a_packet_comes_in() {
    let policy = "interfaces eth0
default in drop
socket proxy = tcp listen 127.0.0.1:1234
redirect tcp to 3.3.3.3:80 to sock proxy
";
    for (line, holds) in [
        (
            "redirect to sock proxy tcp from 8.8.8.8:1 to 3.3.3.3:80",
            true,
        ),
        ("allow tcp from 8.8.8.8:1 to 3.3.3.3:80", false),
        ("allow tcp from 8.8.8.8:1 to 3.3.3.3:81", true),
        ("drop tcp from 8.8.8.8:1 to 3.3.3.3:81", false),
    ] {
        let found = wrong(&format!(
            "{policy}expect {line} on interface eth9 with no socket\n"
        ));
        assert_eq!(found.is_empty(), holds, "{line}: {found:?}");
    }
}

#[test]
fn a_line_about_nothing_is_a_mistake() {
    let found = wrong(&format!(
        "{EDGE}expect drop tcp from 10.0.0.0/8 to 2001:db8::/32\n"
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("no packet"), "{found:?}");
}

/// Whether a region of one condition-free match covers a packet.
fn covers(region: &Match, header: &Header, policy: &Policy) -> bool {
    let nothing = Witness::new(Default::default(), Direction::In, None);
    let class = Some(Policy::plain_class());
    let seen = crate::decide::Seen::new(policy, Direction::In, [class, None], header, &nothing);
    crate::decide::covers(&seen, region)
}

#[test]
fn on_random_policies_no_edge_packet_breaks_a_line_that_holds() {
    let lines = [
        "expect drop tcp from any to any",
        "expect allow tcp from any to any:80",
        "expect drop udp from any to any:53",
        "expect allow from any to any with fragment",
    ];
    let (mut held, mut broken) = (0, 0);
    for seed in 0..120u64 {
        let text = random_policy(seed, Options::whole(3 + seed as usize % 6));
        for line in lines {
            let mut sources = SourceMap::default();
            let id = sources.add("random.sk", format!("{text}\n{line}\n"));
            let outcome = pipeline::check(&mut sources, id, "random", &mut Texts::default());
            let failed = outcome.failed();
            let Some(policy) = outcome.policy else {
                panic!("{:?}\n{text}", outcome.diagnostics);
            };
            if outcome.diagnostics.iter().any(|one| one.code == BROKEN) {
                broken += 1;
                continue;
            }
            if failed {
                // No placement, so no line was looked at.
                continue;
            }
            held += 1;
            let expect = policy.expects.last().unwrap().clone();
            for header in edge_headers(&policy, &mut Rng::new(seed), 200) {
                if !covers(&expect.region.matches, &header, &policy) {
                    continue;
                }
                let event = Event::Packet {
                    direction: Direction::In,
                    class: Policy::plain_class(),
                    packet: Parsed::Ip(header),
                };
                let described = Described::plain(event, SocketAnswer::None);
                let world = crate::packet::text::DescribedWorld::new(&policy, &described);
                let verdict = decide(&policy, &described.event, &world).verdict;
                assert!(
                    verdict::fulfils(expect.verdict, verdict)
                        || matches!(verdict, crate::event::Verdict::Redirect(_)),
                    "{line}: {verdict:?} of {:?}\n{text}",
                    described.event
                );
            }
        }
    }
    assert!(held > 20 && broken > 100, "{held} held, {broken} broken");
}

/// A line, a rule and a packet with an address that stands for another speak of the other.
#[test]
fn lines_on_calls_speak_of_what_is_reached() {
    let jobs = "group jobs = cgroup \"/jobs\"\ndefault connect allow\n";
    let lines = "drop connect to 10.0.0.0/8, ::ffff:192.0.2.0/120, 127.0.0.0/8, ::1
expect drop connect to ::ffff:10.0.0.0/104
expect drop connect tcp to [::ffff:10.0.0.1]:443
expect drop connect to 192.0.2.7
expect drop connect to 0.0.0.0, ::, ::ffff:0.0.0.0
expect allow connect to 2000::/3
";
    assert_eq!(wrong(&format!("{jobs}{lines}")), []);
    // Whatever IPv6 there is, none of it stands for IPv4.
    let all = "default send allow\ndrop connect to ::1\ndrop connect to ::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
drop send tcp to ::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
expect drop connect to ::/0
expect allow connect to 0.0.0.0/0
expect allow send tcp to 0.0.0.0/0
";
    assert_eq!(wrong(&format!("{jobs}{all}")), []);
    let broken = wrong(&format!(
        "{jobs}drop connect to 10.0.0.0/9\nexpect drop connect tcp to ::ffff:10.0.0.0/104\n"
    ));
    assert!(broken[0].1.contains("to 10.128."), "{broken:?}");
}

/// A line speaks of what passes through alone: what goes back out of the interface by which it came breaks none.
#[test]
fn what_goes_back_breaks_no_line_of_what_passes_through() {
    let text = |wan: &str| {
        format!(
            "interfaces eth0, eth1, eth2
zone lan = eth1
zone wan = {wan}
default forward drop
outward: allow forward to zone wan
expect drop forward from any to any on zone wan
"
        )
    };
    assert_eq!(wrong(&text("eth0")), []);
    let between = wrong(&text("eth0, eth2"));
    assert_eq!(between.len(), 1, "{between:?}");
    assert!(
        between[0].1.contains("on zone wan to zone wan"),
        "{between:?}"
    );
}

/// The mark that a rule of `in` sets is the one that `forward` is asked about; a line tells the one with which packets arrive.
#[test]
fn what_passes_through_has_the_mark_of_what_it_met_before() {
    let policy = "zone lan = lan
zone dmz = dmz
default in allow
default forward drop
i: allow in udp to port 1001 on zone lan mark 5
j: allow in udp to port 1003 on zone lan if ttl > 64 mark 5
k: allow in udp to port 1004 on zone lan if mark 7 mark 6
l: allow in udp to port 1005
m: allow in udp to port 1005-1006 mark 5
a: allow forward udp on zone lan to zone dmz if mark 5
b: reject forward udp if mark 6
";
    let way = "on zone lan to zone dmz";
    let line = |verdict: &str, port: u16, with: &str| {
        let line = format!("expect {verdict} forward udp from any to any:{port} {way}{with}\n");
        wrong(&format!("{policy}{line}"))
    };
    for (verdict, port, with) in [
        ("allow", 1001, ""),
        ("allow", 1001, " with mark 6"),
        ("allow", 1002, " with mark 5"),
        ("drop", 1002, " with mark 0"),
        ("allow", 1003, " with ttl 64, mark 0"),
        ("drop", 1003, " with ttl 63, mark 0"),
        ("reject", 1004, " with mark 7"),
        ("drop", 1005, " with mark 0"),
        ("allow", 1006, " with mark 0"),
        ("allow", 1004, " with mark 5"),
    ] {
        assert_eq!(line(verdict, port, with), [], "{verdict} {port}{with}");
        let other = if verdict == "drop" { "allow" } else { "drop" };
        assert_eq!(line(other, port, with).len(), 1, "{other} {port}{with}");
    }
    let broken = line("allow", 1002, "");
    assert!(broken[0].1.contains("with mark 6 gets"), "{broken:?}");
    let broken = line("drop", 1004, "");
    assert!(broken[0].1.contains("with mark"), "{broken:?}");
}
