//! What guards say of small policies.

use super::*;
use crate::files::Texts;

const POLICY: &str = "\
zone wan = eth0
set admins = { 10.20.0.0/16 }
socket proxy = tcp listen 127.0.0.1:1234
group pods = cgroup \"/pods\"
default in drop
default send allow
ssh: allow tcp from @admins to any:22
redirect tcp 3.3.3.3:80 to sock proxy
drop send tcp from group pods to 192.0.2.0/24
for netns \"blue\" {
    default in drop
    allow tcp to any:80
    expect allow tcp from any to any:80
}
expect drop udp from any to any
";

fn texts(policy: &str, texts: Texts) -> KeptTexts {
    KeptTexts {
        texts,
        name: "edge.sk".into(),
        text: policy.into(),
        stem: "edge".into(),
    }
}

fn guarded(guards: &[&str]) -> Guarded {
    let guards: Vec<GuardText> = (1..)
        .zip(guards)
        .map(|(number, text)| GuardText {
            name: format!("guard{number}.sk"),
            text: (*text).to_owned(),
        })
        .collect();
    let mut files = Texts::default().with("list.txt", "10.20.0.0/16\n");
    check(&texts(POLICY, Texts::default()), &guards, &mut files)
}

/// The codes of the mistakes, or the packets that violate.
fn found(guard: &str) -> Vec<String> {
    let guarded = guarded(&[guard]);
    let mistakes = guarded.mistakes.iter().map(|one| one.code.0.to_owned());
    let packets = guarded.violations().map(|one| one.packet.clone());
    mistakes.chain(packets).collect()
}

#[test]
fn a_guard_that_is_kept_is_silent_and_counts_its_lines() {
    let guarded = guarded(&[
        "# From the office.\nexpect allow tcp from 10.20.0.0/16 to any:22\nexpect drop tcp from 10.21.0.0/16 to any:22",
        "expect drop udp from any to any:53 on zone wan",
    ]);
    assert!(guarded.holds(), "{:?}", guarded.mistakes);
    let lines: Vec<_> = guarded
        .lines
        .iter()
        .map(|line| (&*line.place.file, line.place.line))
        .collect();
    assert_eq!(
        lines,
        [("guard1.sk", 2), ("guard1.sk", 3), ("guard2.sk", 1)],
        "and none of the policy's own"
    );
}

#[test]
fn names_of_the_policy_and_own_ones_are_seen() {
    for guard in [
        "expect allow tcp from @admins to any:22",
        "set mine = { 10.20.1.0/24 }\nexpect allow tcp from @mine to any:22",
        "set list = file \"list.txt\" max 10\nexpect allow tcp from @list to any:22",
        "zone lan = eth1\nexpect drop udp from any to any on zone lan",
        "expect redirect to sock proxy tcp from any to 3.3.3.3:80 with no socket",
        "expect drop send tcp from group pods to 192.0.2.0/25",
        "for netns \"blue\" { expect allow tcp from any to any:80 }",
    ] {
        assert_eq!(found(guard), Vec::<String>::new(), "{guard}");
    }
}

#[test]
fn a_violation_shows_a_packet_and_who_decides() {
    let guarded = guarded(&["expect drop tcp from any to any:22"]);
    assert!(guarded.is_sound() && !guarded.holds());
    let violation = guarded.violations().next().unwrap();
    assert!(
        violation.packet.contains("from 10.20."),
        "{}",
        violation.packet
    );
    assert_eq!(violation.verdict, "allow");
    let decider = violation.decider.as_ref().unwrap();
    assert_eq!((&*decider.file, decider.line), ("edge.sk", 7));
    assert_eq!(violation.diagnostic.code, VIOLATED);
    let inner = found("for netns \"blue\" { expect drop tcp from any to any }");
    assert_eq!(inner.len(), 1);
    assert!(inner[0].contains(":80"), "{inner:?}");
}

#[test]
fn what_a_guard_cannot_hold_or_does_not_find_is_no_pass() {
    for (guard, code) in [
        ("allow tcp to any:22", "E0504"),
        ("default in allow", "E0504"),
        ("policy other", "E0504"),
        ("interfaces eth7", "E0504"),
        ("live set x max 10", "E0504"),
        ("socket x = tcp listen 127.0.0.1:1", "E0504"),
        ("include <essentials>", "E0504"),
        ("for zone wan { expect drop udp from any to any }", "E0504"),
        ("for netns \"blue\" { drop udp }", "E0504"),
        (
            "for netns \"red\" { expect drop udp from any to any }",
            "E0505",
        ),
        ("expect drop udp from any to any on zone dmz", "E0201"),
        ("expect drop udp from @nobody to any", "E0201"),
        ("expect drop udp from 10.0.0.0/8 to 2001:db8::/32", "E0502"),
        ("expect drop udp from any to", "E0116"),
        (
            "set admins = { 10.0.0.0/8 }\nexpect drop udp from any to any",
            "E0202",
        ),
    ] {
        let guarded = guarded(&[guard]);
        let codes: Vec<_> = guarded.mistakes.iter().map(|one| one.code.0).collect();
        assert_eq!(codes, [code], "{guard}");
        assert!(!guarded.holds(), "{guard}");
    }
}

#[test]
fn own_names_of_one_guard_are_unknown_to_another() {
    let guarded = guarded(&[
        "set mine = { 10.20.1.0/24 }\nexpect allow tcp from @mine to any:22",
        "set mine = { 10.21.1.0/24 }\nexpect drop tcp from @mine to any:22",
    ]);
    assert!(guarded.holds(), "{:?}", guarded.mistakes);
    assert_eq!(guarded.lines.len(), 2);
}

#[test]
fn a_zone_of_a_guard_does_not_attach_the_policy_elsewhere() {
    let policy = "default in drop\nallow tcp to any:22\n";
    let guard = GuardText {
        name: "g.sk".into(),
        text: "zone lan = eth1\nexpect allow tcp from any to any:22 on zone lan".into(),
    };
    let policy = texts(policy, Texts::default());
    assert!(check(&policy, &[guard], &mut Texts::default()).holds());
}
