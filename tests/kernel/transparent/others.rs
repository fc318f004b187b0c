//! Rules and routes of others beside those of redirects `at tc`: they stay, they are not taken for what they are not, and a rule of
//! sockc comes ahead of them again.

use super::{CLIENT, Line, POLICY, proxies, resolvers, server};
use crate::stage::{PATIENCE, accept, assert_talks, at, connect};

/// Redirects of one family.
const FOUR: &str = "
    socket proxy = tcp listen 127.0.0.1:7001
    default in allow
    web: redirect tcp to 10.7.0.0/16:80 to sock proxy at tc";

/// What status says of the ways, and of what is in theirs.
fn told(line: &Line) -> String {
    let status = || sockc_runtime::status(&line.options);
    let status = line.router.run(status).unwrap().unwrap().unwrap();
    let missing = status.deliveries.missing.into_iter().map(|(_, why)| why);
    let all: Vec<String> = status.deliveries.wrong.into_iter().chain(missing).collect();
    all.join("\n")
}

/// The number of its maker alone makes nothing ours, and what does no harm is not refused.
#[test]
fn what_is_not_ours_in_all_stays() {
    let Some(line) = Line::new() else { return };
    let _sockets = (proxies(&line), resolvers(&line));
    line.at_router(&[
        "rule add fwmark 0x77 lookup 77 proto 92",
        "-6 rule add from 2001:db8::9 lookup 77 proto 92",
        "route add local 10.7.0.0/16 dev lo table 8389 proto 92",
        "route add local default dev lo table 8389 tos 0x10 proto 92",
    ]);
    let others = line.ways();
    line.apply(POLICY, true).unwrap();
    assert_eq!(told(&line), "");
    line.apply("default in allow", false).unwrap();
    assert_eq!(line.ways(), others);
    line.apply(POLICY, true).unwrap();
    line.unload();
    assert_eq!(line.ways(), others);
}

/// Rules of routing for what this machine sends are nothing to packets that arrive; those for an interface are.
#[test]
fn the_kernel_is_asked_as_of_a_packet_that_arrives() {
    let Some(line) = Line::new() else { return };
    let proxies = proxies(&line);
    line.at_router(&[
        "route add default dev far table 101",
        "rule add iif lo lookup 101 pref 1000",
        "route add local default dev lo table 8389",
        "rule add iif near fwmark 0x20c5 lookup 8389 pref 1001",
    ]);
    line.apply(FOUR, false).unwrap();
    assert_eq!(told(&line), "");
    // The reverse path filter asks as this machine: without that rule the neighbour's way is the interface.
    line.at_router(&["rule del pref 1000"]);
    let filter = || std::fs::write("/proc/sys/net/ipv4/conf/near/rp_filter", "1").unwrap();
    line.router.run(filter).unwrap();
    line.apply(FOUR, false).unwrap();
    assert_eq!(told(&line), "");
    let mut client = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE).unwrap();
    assert_talks(&mut client, &mut accept(&proxies[0]));
    line.at_router(&[
        "rule del pref 1001",
        "rule add iif far fwmark 0x20c5 lookup 8389 pref 1001",
    ]);
    assert!(told(&line).contains("are not local"), "{}", told(&line));
}

#[test]
fn a_rule_of_ours_that_comes_too_late_is_put_first() {
    let Some(line) = Line::new() else { return };
    let _sockets = proxies(&line);
    line.apply(FOUR, true).unwrap();
    for other in ["to 10.7.3.0/24", "iif near"] {
        line.at_router(&[&format!("rule add {other} lookup 77 pref 500")]);
        assert!(told(&line).contains("comes ahead of"), "{}", told(&line));
        let refused = line.apply(FOUR, false).unwrap_err().to_string();
        for words in ["comes ahead of", "`sockc apply --add-routes`"] {
            assert!(refused.contains(words), "{refused}");
        }
        line.apply(FOUR, true).unwrap();
        assert_eq!(told(&line), "");
        let ways = line.ways();
        assert_eq!(ways.matches("fwmark 0x20c5").count(), 1, "{ways}");
        assert!(ways.contains("499:"), "{ways}");
        line.at_router(&["rule del pref 500"]);
        line.unload();
        assert_eq!(line.ways(), "");
        line.apply(FOUR, true).unwrap();
    }
    line.unload();

    // That of somebody else is put first by the commands that are told, and there is one all the time.
    line.at_router(&[
        "route add local default dev lo table 8389",
        "rule add fwmark 0x20c5 lookup 8389 pref 600",
        "rule add to 10.7.3.0/24 lookup 77 pref 500",
    ]);
    let refused = line.apply(FOUR, true).unwrap_err().to_string();
    let commands = [
        "-4 rule add pref 499 fwmark 0x20c5 lookup 8389",
        "-4 rule del pref 600 fwmark 0x20c5",
    ];
    for command in commands {
        assert!(refused.contains(&format!("`ip {command}`")), "{refused}");
        line.at_router(&[command]);
    }
    line.apply(FOUR, false).unwrap();
    assert_eq!(told(&line), "");
}

#[test]
fn without_ipv6_its_redirects_are_refused_with_the_setting() {
    let Some(line) = Line::new() else { return };
    let _sockets = (proxies(&line), resolvers(&line));
    let set = |interface: &str, value: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
        line.router
            .run(|| std::fs::write(path, value).unwrap())
            .unwrap();
    };
    line.apply(POLICY, true).unwrap();
    set("all", "1");
    let remedy = "`sysctl -w net.ipv6.conf.lo.disable_ipv6=0`";
    assert!(told(&line).contains(remedy), "{}", told(&line));
    let refused = line.apply(POLICY, true).unwrap_err().to_string();
    assert!(refused.contains(remedy), "{refused}");
    line.apply(FOUR, true).unwrap();
    // What is told is what helps.
    set("lo", "0");
    line.apply(POLICY, true).unwrap();
    assert_eq!(told(&line), "");
}
