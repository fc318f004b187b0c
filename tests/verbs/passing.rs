//! What passes through, as verbs tell it: by which interfaces, in which list, and what no list is asked about.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{CLIENT, FRONT, Lab, SERVER, Space};

use super::dropped::Sampling;
use super::monitored::{Running, done};
use super::{Folder, ip, root};

/// The address behind the router.
const FAR: &str = "10.7.0.2";
/// So long a counter may take until it has counted what was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client, a router, which is the lab's server, and a machine behind it.
struct Router {
    lab: Lab,
    _far: Space,
    folder: Folder,
}

impl Router {
    fn new(name: &str) -> Self {
        let (lab, far) = (Lab::new().unwrap(), Space::new().unwrap());
        let net = format!("/proc/{}/fd/{}", std::process::id(), far.net().as_raw_fd());
        let [add, up, address] = [
            &format!("link add far type veth peer name far netns {net}"),
            "link set far up",
            "address add 10.7.0.1/16 dev far",
        ];
        for line in [add, up, address] {
            ip(&lab.server, line);
        }
        ip(&far, up);
        ip(&far, "address add 10.7.0.2/16 dev far");
        ip(&far, "route add default via 10.7.0.1");
        ip(
            &lab.client,
            &format!("route add 10.7.0.0/16 via {}", SERVER[0]),
        );
        let router = Self {
            lab,
            _far: far,
            folder: Folder::new(name),
        };
        router.forwards(true);
        router
    }

    /// Has the router pass packets on, or not.
    fn forwards(&self, is_on: bool) {
        let word = if is_on { "1" } else { "0" };
        let switch = || std::fs::write("/proc/sys/net/ipv4/ip_forward", word).unwrap();
        self.lab.server.run(switch).unwrap();
    }

    /// Puts a policy on these interfaces in force; gives its file, and what was said.
    fn apply(&self, interfaces: &str, rules: &str) -> (String, String) {
        let text = format!("interfaces {interfaces}\n{rules}");
        let path = self.folder.file("router.sk", &text);
        let said = done(&self.lab, &["apply", &path]).stderr;
        (path, said)
    }

    /// Sends datagrams through the router to these ports.
    fn send(&self, ports: impl IntoIterator<Item = u16> + Send) {
        let sent = self.lab.client.run(|| {
            let socket = UdpSocket::bind((CLIENT[0], 4000)).unwrap();
            for port in ports {
                socket.send_to(b"x", (FAR, port)).unwrap();
            }
        });
        sent.unwrap();
    }
}

const RULES: &str = "default forward drop
named: allow forward udp to any:9 log \"through\" max 1_000_000/second
refused: drop forward udp to any:10
";

#[test]
fn records_and_drops_say_both_interfaces() {
    if !root() {
        return;
    }
    let router = Router::new("passing-told");
    router.apply(&format!("{FRONT}, far"), RULES);
    let words = format!("forward udp on interface {FRONT} to interface far");
    let arguments = ["--json", "--count", "2", "--drops=1/1", &words];
    let mut monitor = Sampling::new(&router.lab, &arguments);
    for (port, event) in [(9, "packet"), (10, "drop")] {
        router.send([port]);
        let told = monitor.json();
        assert_eq!(told["event"], event, "{told}");
        assert_eq!(told["direction"], "forward", "{told}");
        assert_eq!(told["came_in"], FRONT, "{told}");
        assert_eq!(told["interface"], "far", "{told}");
        let packet = format!("forward udp from {}:4000 to {FAR}:{port}", CLIENT[0]);
        let words = told["packet"].as_str().unwrap();
        assert!(words.starts_with(&packet), "{told}");
    }
    assert_eq!(monitor.end().code, Some(0));
    router.send([9]);
    let line = Running::new(&router.lab, &["--count", "1"]).end().stdout;
    assert!(
        line.contains(&format!("  {FRONT} -> far  forward udp")),
        "{line}"
    );
}

#[test]
fn what_is_counted_has_the_direction() {
    if !root() {
        return;
    }
    let router = Router::new("passing-counted");
    router.apply(&format!("{FRONT}, far"), RULES);
    router.send([10, 10, 11]);
    let find = || {
        let json = done(&router.lab, &["counters", "--json"]).json();
        let rows = json["rules"].as_array().unwrap().clone();
        let of = |kind: &str, rule: &str| {
            let mut rows = rows.iter();
            let row =
                rows.find(|row| row["kind"] == kind && (rule.is_empty() || row["rule"] == rule));
            row.map(|row| (row["direction"].clone(), row["packets"].clone()))
        };
        (of("rule", "refused"), of("default", ""))
    };
    let forward = |packets: u64| Some(("forward".into(), packets.into()));
    let wanted = (forward(2), forward(1));
    let began = Instant::now();
    while find() != wanted {
        assert!(began.elapsed() < PATIENCE, "{:?}", find());
        thread::sleep(Duration::from_millis(10));
    }
    let metrics = done(&router.lab, &["metrics"]).stdout;
    let line = metrics.lines().find(|line| {
        line.starts_with("sockc_rule_packets_total") && line.contains("rule=\"refused\"")
    });
    let line = line.unwrap_or_else(|| panic!("{metrics}"));
    assert!(
        line.contains("direction=\"forward\"") && line.ends_with(" 2"),
        "{line}"
    );
}

#[test]
fn a_recording_is_said_not_to_tell_what_passed_through() {
    if !root() {
        return;
    }
    let router = Router::new("passing-recorded");
    let (policy, _) = router.apply(&format!("{FRONT}, far"), RULES);
    let file = router
        .folder
        .0
        .join("log.pcapng")
        .to_str()
        .unwrap()
        .to_owned();
    router.send([9]);
    let monitor = Running::new(&router.lab, &["--count", "1", "--pcap-out", &file]);
    assert_eq!(monitor.end().code, Some(0));
    let bytes = std::fs::read(&file).unwrap();
    let comment = format!("it came in by {FRONT}; made from what the log tells: forward udp");
    assert!(String::from_utf8_lossy(&bytes).contains(&comment));
    let explained = done(&router.lab, &["explain", &policy, "--pcap", &file]);
    let note = "of 1 packet that left the recording does not say what passed through";
    assert!(explained.stderr.contains(note), "{}", explained.stderr);
}

#[test]
fn interfaces_that_no_list_of_it_holds_on_are_told() {
    if !root() {
        return;
    }
    let router = Router::new("passing-beside");
    let note = "leaves by far: the policy is not on it";
    let (path, said) = router.apply(FRONT, RULES);
    assert!(said.contains(note), "{said}");
    let said = |arguments: &[&str]| {
        let ran = done(&router.lab, arguments);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    assert!(said(&["status"]).contains(note));
    assert!(said(&["plan", &path]).contains(note));
    // A machine that passes nothing on needs no word of it, nor does a policy without a list of it.
    router.forwards(false);
    let later = || std::fs::write("/proc/sys/net/ipv4/conf/default/forwarding", "1").unwrap();
    router.lab.server.run(later).unwrap();
    assert!(!said(&["status"]).contains("of `forward` is asked"));
    router.forwards(true);
    let (_, quiet) = router.apply(FRONT, "default in allow\ndrop udp to port 10\n");
    assert!(!quiet.contains("of `forward` is asked"), "{quiet}");
    let (_, whole) = router.apply(&format!("{FRONT}, far"), RULES);
    assert!(!whole.contains("of `forward` is asked"), "{whole}");
    assert!(!said(&["status"]).contains("of `forward` is asked"));
}

/// An interface that only `on` of a rule of `forward` names: what holds of it, and what does not, is said in words about that, and no
/// apply takes it for another unsaid.
#[test]
fn an_interface_that_a_packet_came_in_by_is_told_when_it_is_another() {
    if !root() {
        return;
    }
    let router = Router::new("passing-renamed");
    let rules = format!("default forward allow\nclosed: drop forward on interface {FRONT}\n");
    let (path, said) = router.apply("far", &rules);
    assert!(!said.contains("there is no interface"), "{said}");
    let say = |arguments: &[&str], code: i32| {
        let ran = router.lab.server.run(|| super::run(arguments)).unwrap();
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("sockets are looked up"), "{said}");
        said
    };
    let rename = |from: &str, to: &str| {
        for line in [
            format!("{from} down"),
            format!("{from} name {to}"),
            format!("{to} up"),
        ] {
            ip(&router.lab.server, &format!("link set {line}"));
        }
    };
    say(&["status"], 0);
    rename(FRONT, "dz");
    let held = format!("what comes in by {FRONT} hold for dz, which has its number");
    assert!(say(&["status"], 0).contains(&held));
    let none = format!(
        "there is no interface \"{FRONT}\" now: when it comes, what the rules of `forward`"
    );
    let lost = format!("met the rules of `forward` for \"{FRONT}\"");
    let planned = say(&["plan", &path, "--exit-code"], 2);
    assert!(
        planned.contains("For what passes through from dz, the verdicts are those for its name."),
        "{planned}"
    );
    assert!(
        planned.contains(&none) && planned.contains(&lost),
        "{planned}"
    );
    // It still is the one that the rule is about.
    router.send([9]);
    let closed = || {
        let json = done(&router.lab, &["counters", "--json"]).json();
        let mut rows = json["rules"].as_array().unwrap().iter();
        rows.any(|row| row["rule"] == "closed" && row["packets"] == 1)
    };
    let began = Instant::now();
    while !closed() {
        assert!(began.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    let applied = say(&["apply", "--running", "--yes"], 0);
    assert!(
        applied.contains(&none) && applied.contains(&lost),
        "{applied}"
    );
    let gone = format!("there is no interface {FRONT}: when one comes, the rules of `forward`");
    assert!(say(&["status"], 0).contains(&gone));
    assert!(say(&["plan", &path, "--exit-code"], 0).contains(&none));
    rename("dz", FRONT);
    let came = format!("say of what comes in by {FRONT} does not hold: it came");
    assert!(say(&["status"], 5).contains(&came));
    let planned = say(&["plan", &path, "--exit-code"], 2);
    assert!(!planned.contains(&none), "{planned}");
    say(&["apply", "--running", "--yes"], 0);
    let quiet = say(&["status"], 0);
    assert!(
        !quiet.contains("of `forward` about") && !quiet.contains("there is no interface"),
        "{quiet}"
    );
}

/// What is said of interfaces that no list is asked about is true of those that lie on others, that carry no Ethernet, that have another
/// name by now or are made again, and of what a command named.
#[test]
fn what_no_list_is_asked_about_is_told_of_those_alone() {
    if !root() {
        return;
    }
    let router = Router::new("passing-stacked");
    let say = |arguments: &[&str]| {
        let ran = router.lab.server.run(|| super::run(arguments)).unwrap();
        ran.stdout + &ran.stderr
    };
    let asked = "of `forward` is asked about what leaves by";
    let lay = |lines: &[&str]| lines.iter().for_each(|line| ip(&router.lab.server, line));
    lay(&[
        "link add link far name far5 type macvlan",
        "address add 10.8.0.1/24 dev far5",
        "link set far5 up",
        "link add br9 type bridge",
        "link add port9 type veth peer name other9",
        "link set port9 master br9",
        "address add 10.9.0.1/24 dev br9",
        "link set br9 up",
    ]);
    // The policy is on what the macvlan is on, and on all ports of the bridge, or not.
    let (path, said) = router.apply(&format!("{FRONT}, far, port9"), RULES);
    assert!(!said.contains(asked), "{said}");
    let unanswered = "port9 is a port of the bridge br9";
    assert!(!said.contains(unanswered), "{said}");
    let (_, said) = router.apply(
        &format!("{FRONT}, far, port9"),
        "default forward drop\nrefused: reject forward udp to any:10\n",
    );
    assert!(said.contains(unanswered), "{said}");
    let (_, said) = router.apply(&format!("{FRONT}, far"), RULES);
    assert!(
        said.contains(&format!("{asked} br9: the policy is not on it")),
        "{said}"
    );
    lay(&["link del br9"]);
    lay(&[
        "link set far down",
        "link set far name wide",
        "link set wide up",
    ]);
    for arguments in [
        &["plan", &*path] as &[&str],
        &["apply", "--running", "--yes"],
        &["status"],
    ] {
        let said = say(arguments);
        assert!(!said.contains(asked), "{arguments:?}: {said}");
    }
    lay(&[
        "link set wide down",
        "link set wide name far",
        "link set far up",
    ]);
    let said = say(&["apply", &path, "--interface", FRONT]);
    assert!(
        said.contains("far") && said.contains("name it with `--interface`, too"),
        "{said}"
    );
    assert!(say(&["status"]).contains("name it with `--interface`, too"));
    router.apply(&format!("{FRONT}, far"), RULES);
    lay(&[
        "tuntap add mode tun name t9",
        "address add 10.6.0.1/24 dev t9",
        "link set t9 up",
    ]);
    let said = say(&["status"]);
    assert!(
        said.contains(&format!("{asked} t9: it carries no Ethernet frames")),
        "{said}"
    );
    assert!(!said.contains("name it in `interfaces`"), "{said}");
    lay(&["link del far", "link add far type veth peer name again9"]);
    lay(&["address add 10.7.0.1/16 dev far", "link set far up"]);
    let said = say(&["status"]);
    assert!(said.contains("far was removed and made again"), "{said}");
    assert!(!said.contains(&format!("{asked} far")), "{said}");
}
