//! What counts as the same for connections of groups, and what does not.

use super::policy;
use crate::diff::streams_differ;

const OLD: &str = "
interfaces lo
set far = { 192.0.2.0/24 }
group jobs = cgroup \"/jobs\"
default in drop
allow tcp to port 22
default receive allow
default send allow
shut: drop send tcp from group jobs to @far
count receive tcp from 10.0.0.0/8 to group jobs
";

/// What differs where a piece of the text is another.
fn changed(from: &str, to: &str) -> Option<String> {
    assert!(OLD.contains(from), "{from}");
    streams_differ(&policy(OLD), &policy(&OLD.replace(from, to)))
}

#[test]
fn what_is_about_packets_alone_and_names_change_nothing() {
    for (from, to) in [
        ("22", "23"),
        ("default in drop", "default in allow"),
        ("shut:", "closed:"),
        ("interfaces lo", "interfaces lo, eth0"),
        ("allow tcp", "allow udp to port 53\nallow tcp"),
        (
            "default send allow",
            "default connect drop\ndefault send allow",
        ),
        // Datagrams come on no connection.
        (
            "count receive",
            "drop receive udp to group jobs\ncount receive",
        ),
    ] {
        assert_eq!(changed(from, to), None, "{from} -> {to}");
    }
}

#[test]
fn whatever_is_about_connections_is_told() {
    for (from, to, told) in [
        ("drop send", "reject send", "of `send`"),
        ("192.0.2.0/24", "192.0.2.0/25", "of `send`"),
        ("default send allow", "default send drop", "of `send`"),
        ("10.0.0.0/8", "11.0.0.0/8", "of `receive`"),
        (
            "count receive",
            "drop receive tcp to group jobs\ncount receive",
            "of `receive`",
        ),
        ("count receive tcp", "count receive udp", "of `receive`"),
        ("\"/jobs\"", "\"/other\"", "groups"),
        (
            "interfaces lo",
            "interfaces lo\npairs more = registered max 3\nsplice tcp pairs more",
            "pairs",
        ),
    ] {
        let said = changed(from, to);
        assert!(
            said.as_ref().is_some_and(|said| said.contains(told)),
            "{to}: {said:?}"
        );
    }
}
