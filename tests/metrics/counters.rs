//! `sockc counters`: some rules, what they count a second, and from a reset on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::scene::{Scene, root, sockc};

const POLICY: &str = "\
default in allow
web: drop udp to port 7001
drop udp to port 7002
";

const PACKETS: &str = "sockc_rule_packets_total";

fn rows(scene: &Scene, more: &[&str]) -> Vec<Value> {
    let said = scene.done(&[&["counters", "--json"], more].concat());
    let json: Value = serde_json::from_str(&said).unwrap();
    json["rules"].as_array().unwrap().clone()
}

/// The packets of the rule on a line.
fn packets(scene: &Scene, line: u64) -> u64 {
    let rows = rows(scene, &[]);
    let row = rows.iter().find(|row| row["line"] == line).unwrap();
    row["packets"].as_u64().unwrap()
}

#[test]
fn a_reset_is_for_those_who_look_and_metrics_go_on() {
    if !root() {
        return;
    }
    let scene = Scene::new("reset");
    let none = scene.ran(&["counters", "--reset", "--yes"]);
    assert_eq!(none.code, Some(1), "{}", none.stderr);
    scene.apply(POLICY);
    scene.send(7001, 7);
    scene.send(7002, 5);
    let unknown = scene.ran(&["counters", "--reset", "wbe", "--yes"]);
    assert_eq!(unknown.code, Some(64), "{}", unknown.stderr);
    assert_eq!((packets(&scene, 2), packets(&scene, 3)), (7, 5));
    scene.done(&["counters", "--reset", "web", "--yes"]);
    assert_eq!((packets(&scene, 2), packets(&scene, 3)), (0, 5));
    scene.send(7001, 2);
    let total = || scene.samples(&[]).get(PACKETS, &["rule=\"web\""]);
    assert_eq!((packets(&scene, 2), total()), (2, 9.0));
    let table = scene.ran(&["counters"]);
    assert!(
        table.stderr.contains("some of these were reset"),
        "{}",
        table.stderr
    );
    // An apply carries both over, whatever becomes of the lines.
    scene.apply(&format!("# A line.\n{POLICY}"));
    assert_eq!(
        (packets(&scene, 3), packets(&scene, 4), total()),
        (2, 5, 9.0)
    );
    // Another person resets all of them.
    scene.done(&["counters", "--reset", "--yes"]);
    assert_eq!(
        (packets(&scene, 3), packets(&scene, 4), total()),
        (0, 0, 9.0)
    );
    scene.send(7002, 1);
    assert_eq!(
        (packets(&scene, 3), packets(&scene, 4), total()),
        (0, 1, 9.0)
    );
}

#[test]
fn rules_are_named_by_label_and_by_line() {
    if !root() {
        return;
    }
    let scene = Scene::new("rule");
    scene.apply(POLICY);
    let lines = |more: &[&str]| {
        let rows = rows(&scene, more).into_iter();
        rows.map(|row| row["line"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&["--rule", "web"]), [2]);
    assert_eq!(lines(&["--rule", "3"]), [3]);
    assert_eq!(lines(&["--rule", "edge.sk:3", "--rule", "web"]), [2, 3]);
    for unknown in ["other.sk:3", "9", "wbe", "0"] {
        let ran = scene.ran(&["counters", "--rule", unknown]);
        assert_eq!(ran.code, Some(64), "{unknown}: {}", ran.stderr);
    }
}

#[test]
fn a_watch_says_what_came_until_it_is_interrupted() {
    if !root() {
        return;
    }
    let scene = Scene::new("watch");
    scene.apply(POLICY);
    let mut command = sockc(&["counters", "--watch=0.2", "--rule", "web"]);
    command.stdout(Stdio::piped());
    let mut child = scene.lab.server.run(|| command.spawn().unwrap()).unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        sockc_testing::again(|| said.read_line(&mut line)).unwrap();
        assert!(!line.is_empty(), "it ended");
        line
    };
    // The first look says how all stands.
    while !line().contains("web") {}
    scene.send(7001, 7);
    let came = loop {
        let line = line();
        if line.contains("web") {
            break line;
        }
    };
    let cells: Vec<&str> = came.split_whitespace().collect();
    assert!(cells[0].parse::<f64>().unwrap() > 0.0, "{came}");
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let mut rest = String::new();
    sockc_testing::again(|| said.read_to_string(&mut rest)).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
