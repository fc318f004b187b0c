//! What meets the lists of a policy where it leaves, and rules for interfaces that it is not on.

use super::lines;

#[test]
fn a_reject_whose_answers_are_dropped_is_reported_once() {
    for (lists, rule, told) in [
        ("default out drop\n", "tcp to port 8080 on zone lan", true),
        ("default out drop\n", "udp to port 8080 on zone lan", true),
        ("default out drop\n", "to port 8080", true),
        ("default out allow\n", "tcp to port 8080 on zone lan", false),
        ("", "tcp to port 8080 on zone lan", false),
        (
            "drop out tcp if tcp flags rst\n",
            "tcp to port 8080 on zone lan",
            true,
        ),
        (
            "drop out tcp if tcp flags rst\n",
            "udp to port 8080 on zone lan",
            false,
        ),
        (
            "drop out tcp from port 8081\n",
            "tcp to port 8080 on zone lan",
            false,
        ),
        (
            "drop out tcp from port 8080\n",
            "tcp to port 8080 on zone lan",
            true,
        ),
        (
            "drop out icmp port-unreachable\ndrop out icmp6 port-unreachable\n",
            "udp to port 8080 on zone lan",
            true,
        ),
        // One family's answers get out.
        (
            "drop out icmp port-unreachable\n",
            "udp to port 8080 on zone lan",
            false,
        ),
        // By the other interface they do.
        ("drop out on zone lan\n", "tcp to port 8080", false),
        (
            "default out drop\n",
            "tcp to port 8080 on interface eth7",
            false,
        ),
    ] {
        let default = if lists.contains("default out") {
            ""
        } else {
            "default out allow"
        };
        let text = format!(
            "{default}\ninterfaces eth0, eth1\nzone lan = eth1\nzone wan = eth0\ndefault in allow\ndefault forward allow\n\
             refused: reject forward {rule} to zone wan\n{lists}"
        );
        let wanted: &[u32] = if told { &[7] } else { &[] };
        assert_eq!(lines("W0634", &text), wanted, "{text}");
    }
}

#[test]
fn a_redirect_of_what_leaves_may_not_lead_back() {
    for (rules, told) in [
        (
            "redirect out udp to port 99 on zone dmz to interface dmz\n",
            &[4][..],
        ),
        ("redirect out udp to port 99 to interface dmz\n", &[4]),
        (
            "redirect out udp to port 99 on zone lan to interface dmz\n",
            &[],
        ),
        (
            "redirect out udp to port 99 on zone dmz to interface eth7\n",
            &[],
        ),
        // The first of both sends on what comes back.
        (
            "redirect out udp to port 99 on zone dmz to interface lan\nredirect out udp to port 99 on zone lan to interface dmz\n",
            &[4, 5],
        ),
        (
            "drop out udp to port 99 on zone dmz\nredirect out udp to port 99 to interface dmz\n",
            &[],
        ),
    ] {
        let text = format!("zone lan = lan\nzone dmz = dmz\ndefault out allow\n{rules}");
        assert_eq!(lines("W0635", &text), told, "{text}");
    }
}

/// Of patterns that mean the same interfaces the widest is told, and none that other rules name.
#[test]
fn a_rule_for_other_interfaces_names_its_own_patterns() {
    for (rules, told) in [
        (
            "allow forward on interface foo* to interface f*\n",
            "name `f*` in",
        ),
        (
            "allow forward on interface e* to interface e*\ndrop on interface eth9\n",
            "name `e*` in",
        ),
    ] {
        let text = format!("interfaces wan0\ndefault in allow\ndefault forward drop\n{rules}");
        let helps = super::helps("W0612", &text);
        let help = helps.first().map(String::as_str).unwrap_or_default();
        assert!(help.starts_with(told), "{text}: {helps:?}");
    }
}
