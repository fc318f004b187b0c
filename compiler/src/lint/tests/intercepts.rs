//! Redirects `at tc` under a default that allows, and with conditions that a handshake does not meet.

use super::lines;

fn policy(default: &str, rules: &[&str]) -> String {
    let rules = rules.join("\n");
    format!(
        "interfaces eth0\n\
         socket proxy = tcp listen 127.0.0.1:7001, udp listen 127.0.0.1:7001\n\
         {default}\n{rules}\nrest: allow\n"
    )
}

/// The lines of the rules that are warned of, by their numbers.
fn half(rules: &[&str]) -> Vec<u32> {
    let text = policy("default in drop", rules);
    assert!(lines("W0631", &text).is_empty(), "{text}");
    let found = lines("W0632", &text).into_iter();
    found.map(|line| line - 4).collect()
}

#[test]
fn what_no_rule_matches_may_not_get_past_a_proxy() {
    let web = "redirect tcp to 10.7.0.0/16:80 to sock proxy at tc";
    assert_eq!(lines("W0631", &policy("default in allow", &[web])), [3]);
    for sound in ["default in drop", "default in reject"] {
        assert!(lines("W0631", &policy(sound, &[web])).is_empty(), "{sound}");
    }
    let local = "redirect tcp to 10.7.0.1:80 to sock proxy";
    assert!(lines("W0631", &policy("default in allow", &[local])).is_empty());
}

#[test]
fn a_rule_takes_all_packets_that_open_a_connection() {
    let rule = |condition: &str| {
        format!("redirect tcp to 10.7.0.0/16:80 to sock proxy at tc if {condition}")
    };
    for missed in [
        "tcp flags syn no ack",
        "no tcp flags ack",
        "tcp flags ack",
        "no socket exists",
        "socket established",
        "any of { tcp flags syn no ack, no socket exists }",
    ] {
        assert_eq!(half(&[&rule(missed)]), [0], "{missed}");
    }
    for met in [
        "tcp flags no rst",
        "no socket established",
        "socket listening",
        "any of { tcp flags syn, socket exists }",
        "mark 7",
        "ttl > 3",
    ] {
        assert!(half(&[&rule(met)]).is_empty(), "{met}");
    }
    // Another one takes the rest of the handshake, of all of its connections or of some.
    let first = rule("tcp flags syn no ack");
    let all = "redirect tcp to 10.0.0.0/8 to sock proxy at tc";
    assert!(half(&[&first, all]).is_empty());
    let some = "redirect tcp to 10.7.1.0/24 to sock proxy at tc";
    assert_eq!(half(&[&first, some]), [0]);
    let marked = "allow tcp to 10.7.0.0/16 if tcp flags ack mark 0x20c5";
    assert!(half(&[&first, marked]).is_empty());
    // Datagrams open nothing.
    assert!(
        half(&["redirect udp to 10.7.0.0/16:80 to sock proxy at tc if no socket exists"])
            .is_empty()
    );
}
