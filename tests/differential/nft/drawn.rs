//! Random rule sets of nft, as `nft -j list ruleset` prints them.
//!
//! Chains call only chains behind them, so there are no loops; what is drawn is what is carried over, and a little that is not.

use serde_json::{Value, json};
use sockc_testing::Rng;

/// Chains of a table that no hook asks.
const OWN: usize = 4;
const HOOKS: [&str; 3] = ["input", "forward", "output"];

/// A rule set of up to three tables.
pub(crate) fn random(rng: &mut Rng) -> Value {
    let mut objects = vec![json!({"metainfo": {"json_schema_version": 1}})];
    let mut handle = 1;
    let tables: &[(&str, &str)] = &[("inet", "filter"), ("ip", "more"), ("ip6", "six")];
    let is_there = [true, rng.one_in(3), rng.one_in(3)];
    // A rate belongs to one rule, so what is accepted by it and meets another chain is partly left out.
    let may_rate = is_there == [true, false, false];
    for (number, (family, table)) in tables.iter().enumerate() {
        if !is_there[number] {
            continue;
        }
        let mut of = json!({"family": family, "name": table, "handle": number});
        if number > 0 && rng.one_in(5) {
            of["flags"] = json!("dorm");
        }
        objects.push(json!({"table": of}));
        // Where several chains are asked, they are short: what the first accepts meets the others.
        let most = if number == 0 { 5 } else { 2 };
        let named = (*family, *table);
        chains(rng, named, (most, may_rate), &mut handle, &mut objects);
    }
    json!({"nftables": objects})
}

fn sets(rng: &mut Rng, family: &str, table: &str, objects: &mut Vec<Value>) {
    let set = |name: &str, of: Value, elem: Value| json!({"set": {"family": family, "name": name, "table": table, "type": of, "handle": 1, "flags": ["interval"], "elem": elem}});
    // Intervals of a set share no address.
    let apart = [
        json!("10.0.0.1"),
        json!({"prefix": {"addr": "192.0.2.0", "len": 24}}),
        json!({"prefix": {"addr": "224.0.0.0", "len": 4}}),
        json!({"range": ["10.1.2.129", "10.1.2.200"]}),
    ];
    let apart = rng.one_of(&apart).clone();
    objects.push(set(
        "v4",
        json!("ipv4_addr"),
        json!([apart, {"range": ["10.1.2.0", "10.1.2.127"]}]),
    ));
    objects.push(set(
        "v6",
        json!("ipv6_addr"),
        json!([v6(rng), {"elem": {"val": "fe80::1", "comment": "x"}}]),
    ));
    objects.push(set(
        "ports",
        json!("inet_service"),
        json!([22, {"range": [80, 443]}]),
    ));
    objects.push(json!({"set": {"family": family, "name": "pairs", "table": table, "type": ["ipv4_addr", "inet_service"], "handle": 1, "flags": ["interval"], "elem": [{"concat": ["10.0.0.1", 22]}, {"concat": [{"prefix": {"addr": "10.1.0.0", "len": 16}}, {"range": [53, 80]}]}]}}));
    let last = format!("c{}", OWN - 1);
    objects.push(json!({"map": {"family": family, "name": "verdicts", "table": table, "type": "inet_service", "handle": 1, "flags": ["interval"], "map": "verdict",
        "elem": [[22, {"accept": null}], [{"range": [53, 80]}, {"jump": {"target": last}}], [443, {"drop": null}]]}}));
}

fn chains(
    rng: &mut Rng,
    (family, table): (&str, &str),
    (most, may_rate): (usize, bool),
    handle: &mut u64,
    objects: &mut Vec<Value>,
) {
    let mut names: Vec<String> = HOOKS.iter().map(|hook| (*hook).to_owned()).collect();
    names.extend((0..OWN).map(|number| format!("c{number}")));
    for name in &names {
        let mut of = json!({"family": family, "table": table, "name": name, "handle": 1});
        if HOOKS.contains(&name.as_str()) {
            of["type"] = json!("filter");
            of["hook"] = json!(name);
            of["prio"] = json!(*rng.one_of(&[-10, 0, 0, 10]));
            of["policy"] = json!(*rng.one_of(&["accept", "drop"]));
        }
        objects.push(json!({"chain": of}));
    }
    // What a map calls is there ahead of it.
    sets(rng, family, table, objects);
    for (at, name) in names.iter().enumerate() {
        let behind = (at + 1).max(HOOKS.len())..names.len();
        for _ in 0..rng.below(most + 1) {
            let to = (!behind.is_empty())
                .then(|| names[behind.start + rng.below(behind.len())].as_str());
            *handle += 1;
            objects.push(json!({"rule": {"family": family, "table": table, "chain": name, "handle": *handle, "expr": rule(rng, to, may_rate, name)}}));
        }
    }
}

fn rule(rng: &mut Rng, to: Option<&str>, may_rate: bool, chain: &str) -> Value {
    // Of some protocols nothing is left of a state, and then that element of the map is left out alone.
    let is_local = matches!(chain, "input" | "output");
    if is_local && rng.one_in(12) {
        return json!([map_of_states(rng, to)]);
    }
    let mut statements = Vec::new();
    for _ in 0..rng.below(3) {
        statements.push(matched(rng, chain));
    }
    if rng.one_in(6) {
        statements.push(json!({"log": {"prefix": "a "}}));
        if rng.one_in(2) {
            statements.push(matched(rng, chain));
        }
    } else if may_rate && rng.one_in(5) {
        let is_over = rng.one_in(2);
        statements.push(json!({"limit": {"rate": 5, "burst": 5, "per": "minute", "inv": is_over}}));
        let goal = *rng.one_of(&["accept", "drop"]);
        statements.push(json!({goal: null}));
        return Value::Array(statements);
    }
    if rng.one_in(3) {
        statements.push(json!({"counter": {"packets": 1, "bytes": 2}}));
    }
    if rng.one_in(7) {
        statements.push(map(rng, to));
    } else if !rng.one_in(9) {
        statements.push(verdict(rng, to));
    }
    Value::Array(statements)
}

fn verdict(rng: &mut Rng, to: Option<&str>) -> Value {
    match (rng.below(9), to) {
        (0..=2, _) => json!({"accept": null}),
        (3, _) => json!({"drop": null}),
        (4 | 8, _) => rng
            .one_of(&[
                json!({"reject": {"type": "icmpx", "expr": "port-unreachable"}}),
                json!({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}),
                json!({"reject": {"type": "tcp reset"}}),
                json!({"reject": null}),
            ])
            .clone(),
        (5, _) => json!({"return": null}),
        (6, Some(to)) => json!({"jump": {"target": to}}),
        (_, Some(to)) => json!({"goto": {"target": to}}),
        (_, None) => json!({"drop": null}),
    }
}

/// A verdict that an element of a map may have.
fn of_element(rng: &mut Rng, to: Option<&str>) -> Value {
    loop {
        let verdict = verdict(rng, to);
        if verdict.get("reject").is_none() {
            return verdict;
        }
    }
}

fn map(rng: &mut Rng, to: Option<&str>) -> Value {
    let last = format!("c{}", OWN - 1);
    let [first, second, third] = [(); 3].map(|()| of_element(rng, to));
    let (key, elements) = match rng.below(4) {
        // The map of the table calls the last chain.
        0 if to.is_some_and(|to| to != last) => (payload("tcp", "dport"), json!("@verdicts")),
        0 | 1 => (
            payload("tcp", "dport"),
            json!({"set": [[22, first], [{"range": [80, 1023]}, second], [65535, third]]}),
        ),
        2 => (
            json!({"concat": [payload("ip", "saddr"), payload("udp", "dport")]}),
            json!({"set": [
                [{"concat": ["10.0.0.1", 53]}, first],
                [{"concat": [{"prefix": {"addr": "10.1.0.0", "len": 16}}, {"range": [22, 443]}]}, second]
            ]}),
        ),
        _ => (
            json!({"meta": {"key": "l4proto"}}),
            json!({"set": [["tcp", first], ["udp", second], ["icmp", third]]}),
        ),
    };
    json!({"vmap": {"key": key, "data": elements}})
}

fn map_of_states(rng: &mut Rng, to: Option<&str>) -> Value {
    let [first, second, third] = [(); 3].map(|()| of_element(rng, to));
    let key = json!({"ct": {"key": "state"}});
    json!({"vmap": {"key": key, "data": {"set": [["established", first], ["related", second], ["new", third]]}}})
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn v4(rng: &mut Rng) -> Value {
    match rng.below(4) {
        0 => json!("10.0.0.1"),
        1 => json!({"prefix": {"addr": "10.0.0.0", "len": 8}}),
        2 => json!({"range": ["10.1.2.3", "10.1.2.128"]}),
        _ => json!({"prefix": {"addr": "224.0.0.0", "len": 4}}),
    }
}

fn v6(rng: &mut Rng) -> Value {
    match rng.below(3) {
        0 => json!("2001:db8::1"),
        1 => json!({"prefix": {"addr": "2001:db8:1::", "len": 48}}),
        _ => json!({"range": ["2001:db8:1::2", "2001:db8:1::9"]}),
    }
}

fn matched(rng: &mut Rng, chain: &str) -> Value {
    // What one list has and another has not would be left out in that alone, where both call the chain.
    match chain {
        "input" if rng.one_in(8) => {
            let local = json!({"fib": {"result": "type", "flags": ["daddr"]}});
            let op = *rng.one_of(&["==", "!="]);
            return json!({"match": {"op": op, "left": local, "right": "local"}});
        }
        "input" if rng.one_in(12) => {
            let side = *rng.one_of(&["saddr", "daddr"]);
            let op = *rng.one_of(&["==", "!="]);
            let right = json!(*rng.one_of(&["02:73:6b:00:00:99", "02:73:6b:00:00:01"]));
            return json!({"match": {"op": op, "left": payload("ether", side), "right": right}});
        }
        "input" | "output" if rng.one_in(6) => {
            let (left, op, right) = states(rng);
            return json!({"match": {"op": op, "left": left, "right": right}});
        }
        _ => {}
    }
    let op = *rng.one_of(&["==", "==", "!="]);
    let side = *rng.one_of(&["saddr", "daddr"]);
    let port = *rng.one_of(&["sport", "dport"]);
    let carrier = *rng.one_of(&["tcp", "udp", "th"]);
    let size = *rng.one_of(&["<", ">", "<=", ">=", "==", "!="]);
    let (left, op, right) = match rng.below(25) {
        0 => (payload("ip", side), op, v4(rng)),
        1 => (payload("ip6", side), op, v6(rng)),
        2 => (payload("ip", side), op, json!("@v4")),
        3 => (payload("ip6", side), op, json!("@v6")),
        4 => (
            payload(carrier, port),
            op,
            json!(*rng.one_of(&[22, 53, 443])),
        ),
        5 => (
            payload(carrier, port),
            op,
            json!({"set": [22, {"range": [80, 1023]}]}),
        ),
        6 => (payload(carrier, port), op, json!("@ports")),
        7 => (
            payload(carrier, port),
            size,
            json!(*rng.one_of(&[0, 53, 65535])),
        ),
        8 => (
            json!({"meta": {"key": "l4proto"}}),
            op,
            json!({"set": ["tcp", "udp"]}),
        ),
        9 => (payload("ip", "protocol"), op, json!("icmp")),
        10 => (payload("ip6", "nexthdr"), op, json!("ipv6-icmp")),
        11 => (
            payload("icmp", "type"),
            "==",
            json!({"set": ["echo-request", 3]}),
        ),
        12 => (
            payload("icmpv6", "type"),
            "==",
            json!({"set": [128, 135, {"range": [1, 3]}]}),
        ),
        13 => (
            payload("ip", "ttl"),
            size,
            json!(*rng.one_of(&[0, 2, 3, 255])),
        ),
        14 => (payload("ip6", "hoplimit"), op, json!({"range": [2, 64]})),
        15 => (payload("ip", "dscp"), op, json!({"set": ["ef", "af11"]})),
        16 => (
            payload("ip", "ecn"),
            op,
            json!(*rng.one_of(&["ce", "not-ect"])),
        ),
        17 => (
            json!({"meta": {"key": "length"}}),
            size,
            json!(*rng.one_of(&[60, 61, 1400])),
        ),
        18 => (payload("ip6", "length"), op, json!({"range": [20, 60]})),
        19 => (
            json!({"meta": {"key": "mark"}}),
            op,
            json!({"set": [1, 17]}),
        ),
        20 => (
            json!({"&": [{"meta": {"key": "mark"}}, 0x11]}),
            op,
            json!(0x11),
        ),
        21 => flags(rng),
        22 => (
            json!({"meta": {"key": *rng.one_of(&["iifname", "oifname"])}}),
            if HOOKS.contains(&chain) && rng.one_in(4) {
                "!="
            } else {
                "=="
            },
            json!({"set": *rng.one_of(&[&["eth0", "wlan*"], &["eth*", "eth1"], &["lo", "ppp0"]])}),
        ),
        23 => (
            json!({"concat": [payload("ip", "saddr"), payload("tcp", "dport")]}),
            "==",
            json!("@pairs"),
        ),
        _ => match rng.below(3) {
            0 => (json!({"meta": {"key": "nfproto"}}), op, json!("ipv4")),
            1 => (
                json!({"exthdr": {"name": "frag"}}),
                op,
                json!(rng.one_in(2)),
            ),
            _ => (json!({"meta": {"key": "pkttype"}}), op, json!("host")),
        },
    };
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn flags(rng: &mut Rng) -> (Value, &'static str, Value) {
    let plain = payload("tcp", "flags");
    let masked = json!({"&": [plain.clone(), ["fin", "syn", "rst", "ack"]]});
    match rng.below(7) {
        0 => (masked, "==", json!("syn")),
        1 => (masked, "!=", json!(["syn", "ack"])),
        2 => (plain, "in", json!(["syn", "rst"])),
        3 => (plain, "!", json!(["fin", "syn"])),
        4 => (plain, "==", json!("syn")),
        5 => (plain, "!=", json!({"set": ["ack", {"|": ["syn", "ack"]}]})),
        _ => (masked, "==", json!(0)),
    }
}

fn states(rng: &mut Rng) -> (Value, &'static str, Value) {
    let left = json!({"ct": {"key": "state"}});
    match rng.below(6) {
        0 => (left, "in", json!(["established", "related"])),
        1 => (left, "in", json!("new")),
        2 => (left, "==", json!({"set": ["established", "new"]})),
        3 => (left, "!=", json!("invalid")),
        4 => (left, "!", json!("new")),
        _ => (left, "in", json!("established")),
    }
}
