//! `import nft` from outside: what comes out for what `nft -j list ruleset` prints, what is said of what is left out, and which files are
//! refused.
//!
//! What rules mean is compared in `tests/differential/nft.rs`.

use std::fs;

use serde_json::{Value, json};

use super::{Folder, Ran, run, run_with_input};

/// A rule set with one chain at the hook input, which drops, of these rules.
fn set(rules: &[Value]) -> Value {
    let table = |name: &str| json!({"family": "inet", "table": name});
    let with = |name: &str, more: Value| {
        let mut of = table(name);
        let more = more.as_object().unwrap().clone();
        of.as_object_mut().unwrap().extend(more);
        of
    };
    let mut all = vec![
        json!({"metainfo": {"version": "1.0.6", "json_schema_version": 1}}),
        json!({"table": {"family": "inet", "name": "filter", "handle": 1}}),
        json!({"set": with("filter", json!({"name": "banned", "type": "ipv4_addr", "handle": 5, "flags": ["timeout"], "timeout": 600}))}),
        json!({"chain": with("filter", json!({"name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}))}),
        json!({"chain": with("filter", json!({"name": "web", "handle": 2}))}),
    ];
    for (number, expr) in rules.iter().enumerate() {
        let handle = number + 10;
        all.push(json!({"rule": with("filter", json!({"chain": "input", "handle": handle, "expr": expr, "comment": format!("rule {handle}")}))}));
    }
    json!({"nftables": all})
}

fn dport(port: u16) -> Value {
    json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}})
}

fn imported(arguments: &[&str], text: &str) -> Ran {
    run_with_input(&[&["import", "nft"], arguments].concat(), text)
}

fn said(set: &Value) -> Value {
    let ran = imported(&["-", "--json"], &set.to_string());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// What is said of a rule, by its handle, with the kind.
fn told(said: &Value, handle: u64) -> Vec<(String, String)> {
    let entries = said["report"].as_array().unwrap().iter();
    let place = format!("inet filter input handle {handle}");
    let of_rule = entries.filter(|one| one["place"] == place.as_str());
    let words = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    of_rule
        .map(|one| (words(one, "kind"), words(one, "said")))
        .collect()
}

/// What iptables wrote nft prints in part, so what is left of such a chain is not what it was.
#[test]
fn rules_of_iptables_are_told_as_a_whole() {
    let xt = json!([{"xt": null}, {"accept": null}]);
    let of = |set: &Value| {
        let said = said(set);
        let entries = said["report"].as_array().unwrap().clone();
        let mut told = entries.iter().map(|one| one["said"].as_str().unwrap());
        told.any(|said| said.starts_with("there is 1 rule of iptables in it"))
    };
    assert!(of(&set(&[xt, json!([{"drop": null}])])));
    assert!(!of(&set(&[json!([dport(22), {"accept": null}])])));
}

#[test]
fn types_of_icmp_stand_in_one_rule_and_may_have_a_rate() {
    let asks = |protocol: &str, field: &str, right: Value| json!({"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}});
    let types = json!({"set": ["destination-unreachable", "time-exceeded", 133]});
    let set = set(&[
        json!([asks("icmpv6", "type", types), {"limit": {"rate": 1000, "burst": 5, "per": "second"}}, {"accept": null}]),
        json!([asks("icmp", "type", json!(3)), asks("icmp", "code", json!({"set": [1, 4]})), {"accept": null}]),
    ]);
    let said = said(&set);
    let text = said["text"].as_str().unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "allow icmp6 { destination-unreachable, time-exceeded, router-solicit } up to 1000 packets/second burst 5",
        "allow icmp { host-unreachable, fragmentation-needed }",
    ] {
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(told(&said, 10), [], "{said}");
}

#[test]
fn rules_keep_their_comments_and_the_policy_is_taken_by_check_and_fmt() {
    let folder = Folder::new("nft-plain");
    let map = json!({"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}},
        "data": {"set": [[80, {"accept": null}], [{"range": [8000, 8099]}, {"jump": {"target": "web"}}]]}}});
    let set = set(&[
        json!([dport(22), {"counter": {"packets": 1, "bytes": 2}}, {"accept": null}]),
        json!([map]),
    ]);
    let said = said(&set);
    assert_eq!(said["format"], "sockc.import-nft/1");
    let text = said["text"].as_str().unwrap();
    assert!(
        text.contains("allow tcp to port 22 note \"rule 10\"\n"),
        "{text}"
    );
    assert!(
        text.contains("allow tcp to port 80 note \"rule 11\"\n"),
        "{text}"
    );
    let held = "expect allow tcp from any to 192.0.2.1:22\nexpect drop tcp from any to 192.0.2.1:8000\nexpect drop udp from any to any\n";
    let file = folder.file("edge.sk", text);
    assert_eq!(run(&["fmt", "--check", &file]).code, Some(0), "{text}");
    let file = folder.file("held.sk", &format!("{text}\n{held}"));
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(0), "{text}{}", checked.stderr);
}

/// A set keeps its name, with what it holds when it is listed.
#[test]
fn a_set_is_a_set_of_the_policy() {
    let mut set = set(&[
        json!([{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@friends"}}, dport(22), {"accept": null}]),
        json!([{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@friends"}}, {"drop": null}]),
        json!([dport(80), {"accept": null}]),
    ]);
    let elements = json!([{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"elem": {"val": "192.0.2.1", "comment": "x"}}]);
    let all = set["nftables"].as_array_mut().unwrap();
    all.insert(2, json!({"set": {"family": "inet", "table": "filter", "name": "friends", "type": "ipv4_addr", "handle": 6, "flags": ["interval"], "elem": elements}}));
    let said = said(&set);
    let text = said["text"].as_str().unwrap();
    for line in [
        "set friends = { 10.0.0.0/8, 192.0.2.1 }\n",
        "allow tcp from @friends to port 22 ",
        "drop from not @friends, ::/0 ",
        "allow tcp to port 80 ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let folder = Folder::new("nft-sets");
    let held = "expect allow tcp from 10.0.0.1 to any:22\nexpect drop tcp from 8.8.8.8 to any:80\nexpect allow tcp from 2001:db8::1 to [2001:db8::2]:80\n";
    let checked = run(&["check", &folder.file("sets.sk", &format!("{text}\n{held}"))]);
    assert_eq!(checked.code, Some(0), "{text}{}", checked.stderr);
}

/// One word that nobody knows costs its rule, and what that means is said by its handle.
#[test]
fn what_is_left_out_is_said_by_its_handle() {
    let banned = json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@banned"}});
    let said = said(&set(&[
        json!([{"tomorrow": {"x": 1}}, {"drop": null}]),
        json!([dport(22), {"ct count": {"val": 3}}, {"accept": null}]),
        json!([banned, {"drop": null}]),
        json!([dport(25), {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 3}}, {"accept": null}]),
        json!([dport(23), {"accept": null}]),
    ]));
    for (handle, kind, words) in [
        (10, "left-out", "packets that it drops may get through here"),
        (
            11,
            "left-out",
            "packets that it accepts may be dropped here",
        ),
        (
            12,
            "left-out",
            "the set banned changes while it is in force",
        ),
        (13, "changed", "its mark is not changed here"),
    ] {
        let told = told(&said, handle);
        let is_told = told
            .iter()
            .any(|one| one.0 == kind && one.1.contains(words));
        assert!(is_told && told.len() == 1, "{handle}: {told:?}");
    }
    assert!(told(&said, 14).is_empty());
    let text = said["text"].as_str().unwrap();
    for line in ["allow tcp to port 25 ", "allow tcp to port 23 "] {
        assert!(text.contains(line), "{text}");
    }
    let strict = imported(
        &["-", "--strict"],
        &set(&[json!([{"xt": null}])]).to_string(),
    );
    assert_eq!((strict.code, strict.stdout.as_str()), (Some(1), ""));
    assert!(strict.stderr.contains("iptables-save"), "{}", strict.stderr);
}

/// A chain elsewhere may drop, too; one of a table that is not in force does not.
#[test]
fn chains_that_no_list_stands_for_are_told_with_what_they_drop() {
    let mut set = set(&[json!([dport(22), {"accept": null}])]);
    let all = set["nftables"].as_array_mut().unwrap();
    let chain = |family: &str, table: &str, kind: &str, hook: &str| json!({"chain": {"family": family, "table": table, "name": "c", "handle": 1, "type": kind, "hook": hook, "prio": 5, "policy": "drop"}});
    for (family, table, kind, hook) in [
        ("ip", "early", "filter", "prerouting"),
        ("netdev", "dev", "filter", "ingress"),
        ("bridge", "b", "filter", "input"),
        ("inet", "asleep", "filter", "input"),
    ] {
        let flags = if table == "asleep" {
            json!("dorm")
        } else {
            Value::Null
        };
        all.push(json!({"table": {"family": family, "name": table, "handle": 2, "flags": flags}}));
        all.push(chain(family, table, kind, hook));
    }
    let nat = json!([dport(80), {"dnat": {"addr": "10.0.0.1", "port": 8080}}]);
    all.push(json!({"chain": {"family": "ip", "table": "early", "name": "n", "handle": 3, "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"}}));
    all.push(
        json!({"rule": {"family": "ip", "table": "early", "chain": "n", "handle": 9, "expr": nat}}),
    );
    let said = said(&set);
    let all = said["report"].as_array().unwrap().iter();
    let all: Vec<&str> = all.map(|one| one["said"].as_str().unwrap()).collect();
    for words in [
        "the policy of ip early c, a chain of type filter at prerouting, in a table ip, is to drop",
        "the policy of netdev dev c, a chain of type filter at ingress",
        "the policy of bridge b c,",
        "the table inet asleep is dormant",
        "a chain of type nat at prerouting, in a table ip: addresses and ports are not translated",
        "addresses are translated here: while nftables goes on with that",
    ] {
        assert!(
            all.iter().any(|one| one.contains(words)),
            "{words}: {all:#?}"
        );
    }
    assert!(!all.iter().any(|one| one.contains("asleep c")), "{all:#?}");
    assert!(
        said["text"]
            .as_str()
            .unwrap()
            .contains("allow tcp to port 22 ")
    );
}

/// What one chain accepts meets the next one at the same hook.
#[test]
fn several_chains_at_a_hook_are_composed() {
    let folder = Folder::new("nft-several");
    let mut set = set(&[json!([dport(22), {"accept": null}])]);
    let all = set["nftables"].as_array_mut().unwrap();
    all.push(json!({"table": {"family": "ip", "name": "more", "handle": 2}}));
    all.push(json!({"chain": {"family": "ip", "table": "more", "name": "late", "handle": 1, "type": "filter", "hook": "input", "prio": 10, "policy": "accept"}}));
    let from = json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}});
    all.push(json!({"rule": {"family": "ip", "table": "more", "chain": "late", "handle": 2, "expr": [from, {"drop": null}]}}));
    let said = said(&set);
    let held = "expect drop tcp from 10.0.0.1 to 192.0.2.1:22\nexpect allow tcp from 192.0.2.9 to 192.0.2.1:22\nexpect allow tcp from 2001:db8::1 to [2001:db8::2]:22\nexpect drop tcp from any to any:23\n";
    let text = format!("{}\n{held}", said["text"].as_str().unwrap());
    let checked = run(&["check", &folder.file("several.sk", &text)]);
    assert_eq!(checked.code, Some(0), "{text}{}", checked.stderr);
}

#[test]
fn files_of_another_kind_are_refused_and_nothing_is_written() {
    let folder = Folder::new("nft-refused");
    let out = folder.0.join("edge.sk");
    let plain = set(&[]).to_string();
    for (name, text, why) in [
        (
            "text",
            "table inet filter {\n}\n",
            "write `nft -j list ruleset`",
        ),
        ("saved", "*filter\nCOMMIT\n", "sockc import iptables-save"),
        ("tubular", "{\"bindings\": []}", "sockc import tubular"),
        ("cut", &plain[..plain.len() / 2], "is cut"),
        ("empty", "", "empty"),
    ] {
        let file = folder.file(name, text);
        let ran = run(&["import", "nft", &file, "-o", out.to_str().unwrap()]);
        assert_eq!(ran.code, Some(1), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains(&file),
            "{}",
            ran.stderr
        );
        assert_eq!((ran.stdout.as_str(), out.exists()), ("", false), "{name}");
    }
    let file = folder.file("rules.json", &plain);
    let over = run(&["import", "nft", &file, "-o", &file]);
    assert_eq!(over.code, Some(64), "{}", over.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), plain);
}

/// A statement that reads a packet is about those that have what it reads: what stands behind it would be about all.
#[test]
fn a_verdict_behind_a_statement_that_narrows_is_left_out() {
    let key = json!({"payload": {"protocol": "tcp", "field": "dport"}});
    let map = json!({"map": {"key": key, "data": {"set": [[5, 6]]}}});
    let marks =
        |value: &Value| json!({"mangle": {"key": {"meta": {"key": "mark"}}, "value": value}});
    let adds = json!({"set": {"op": "add", "elem": key, "set": "@banned"}});
    let said = said(&set(&[
        json!([marks(&map), {"accept": null}]),
        json!([marks(&json!(7)), dport(23), {"accept": null}]),
        json!([{"counter": map}, {"accept": null}]),
        json!([{"flow": {"op": "add", "flowtable": "@f"}}, {"accept": null}]),
        json!([adds, {"accept": null}]),
        json!([dport(25), adds]),
        json!([{"mangle": {"key": {"payload": {"protocol": "ip", "field": "dscp"}}, "value": 8}}, {"accept": null}]),
    ]));
    let text = said["text"].as_str().unwrap();
    let allows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("allow"))
        .collect();
    assert_eq!(allows, ["allow tcp to port 23 note \"rule 11\""], "{text}");
    for handle in [10, 12, 13, 14, 16] {
        let told = told(&said, handle);
        let left_out = told.iter().find(|(kind, _)| kind == "left-out");
        let (_, why) = left_out.unwrap_or_else(|| panic!("{handle}: {told:?}"));
        assert!(why.contains("what stands behind"), "{why}");
    }
    assert_eq!(told(&said, 15)[0].0, "changed");
}

/// What an element of a verdict map lets on meets what stands behind the map.
#[test]
fn a_map_that_lets_on_is_followed_by_the_rest_of_the_rule() {
    let map = json!({"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}},
        "data": {"set": [[22, {"continue": null}], [23, {"accept": null}]]}}});
    let said = said(&set(&[
        json!([map, {"drop": null}]),
        json!([{"accept": null}]),
    ]));
    let text = said["text"].as_str().unwrap();
    for line in ["drop tcp to port 22 ", "allow tcp to port 23 ", "allow in "] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// Rules of which nothing is left are told, and so is what stands in the place of ports.
#[test]
fn what_vanishes_or_means_less_is_told() {
    let th = |op: &str| json!({"match": {"op": op, "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 22}});
    let both = json!({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}});
    let no_port = json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 65536}});
    let empty = json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@bad"}});
    let index = json!({"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "5"}});
    let family = |right: Value| json!({"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": right}});
    let mut set = set(&[
        json!([th("!="), {"drop": null}]),
        json!([both, th("=="), {"accept": null}]),
        json!([no_port, {"drop": null}]),
        json!([empty, {"drop": null}]),
        json!([index, {"drop": null}]),
        json!([family(json!("ipv4")), {"drop": null}]),
        json!([family(json!(10)), {"drop": null}]),
    ]);
    let all = set["nftables"].as_array_mut().unwrap();
    all.insert(2, json!({"set": {"family": "inet", "table": "filter", "name": "bad", "type": "ipv4_addr", "handle": 6}}));
    let said = said(&set);
    let kinds =
        |handle: u64| -> Vec<String> { told(&said, handle).into_iter().map(|one| one.0).collect() };
    assert_eq!(kinds(10), ["changed"]);
    assert_eq!(kinds(11), [""; 0]);
    assert_eq!(kinds(12), ["changed"]);
    assert_eq!(kinds(13), ["left-out"]);
    assert_eq!(kinds(14), ["left-out"]);
    assert_eq!((kinds(15), kinds(16)), (Vec::new(), Vec::new()));
}

/// nft 1.0.6 prints the flag of a dormant table as one letter.
#[test]
fn a_dormant_table_is_not_in_force() {
    let mut set = set(&[json!([{"drop": null}])]);
    let table = json!({"table": {"family": "inet", "name": "filter", "handle": 1, "flags": "t"}});
    set["nftables"].as_array_mut().unwrap()[1] = table;
    let said = said(&set);
    let text = said["text"].as_str().unwrap();
    assert!(!text.contains("drop"), "{text}");
    assert!(said["report"].to_string().contains("dormant"), "{said}");
}
