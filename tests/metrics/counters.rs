//! `sockc counters`: some rules, what they count a second, and from a reset on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value;

use sockc_runtime::lab::FRONT;

use super::scene::{Samples, Scene, root, sockc};

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
    let mut watch = Watch::start(&scene, &["--rule", "web"]);
    // The first look says how all stands.
    watch.until("web");
    scene.send(7001, 7);
    let came = watch.until("web");
    let cells: Vec<&str> = came.split_whitespace().collect();
    assert!(cells[0].parse::<f64>().unwrap() > 0.0, "{came}");
    watch.end();
}

/// A watch that runs.
struct Watch {
    child: Child,
    said: BufReader<ChildStdout>,
    notes: BufReader<ChildStderr>,
}

impl Watch {
    fn start(scene: &Scene, more: &[&str]) -> Self {
        let mut command = sockc(&[&["counters", "--watch=0.2"], more].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = scene.lab.server.run(|| command.spawn().unwrap()).unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let notes = BufReader::new(child.stderr.take().unwrap());
        Self { child, said, notes }
    }

    /// The next line that has a word.
    fn until(&mut self, word: &str) -> String {
        loop {
            let line = line(&mut self.said);
            if line.contains(word) {
                return line;
            }
        }
    }

    /// What three looks say, the first of them whole: that which runs now is let go.
    fn looks(&mut self) -> String {
        let is_time = |line: &str| line.trim_end().ends_with(" UTC");
        let lines = std::iter::from_fn(|| Some(line(&mut self.said)));
        let mut times = 0;
        let lines = lines.take_while(|line| {
            times += u32::from(is_time(line));
            times < 4
        });
        lines.skip_while(|line| !is_time(line)).collect()
    }

    /// Interrupts it; gives the notes that were not read.
    fn end(mut self) -> String {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        sockc_testing::again(|| self.said.read_to_string(&mut rest)).unwrap();
        let mut notes = String::new();
        sockc_testing::again(|| self.notes.read_to_string(&mut notes)).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        notes
    }
}

fn line(said: &mut impl BufRead) -> String {
    let mut line = String::new();
    sockc_testing::again(|| said.read_line(&mut line)).unwrap();
    assert!(!line.is_empty(), "it ended");
    line
}

#[test]
fn a_watch_tells_rules_of_one_text_apart() {
    if !root() {
        return;
    }
    let scene = Scene::new("copies");
    // The second never decides anything.
    scene.apply("default in allow\ndrop udp to port 7002\ndrop udp to port 7002\n");
    scene.send(7002, 5);
    let mut watch = Watch::start(&scene, &[]);
    watch.until("edge.sk:3");
    let looks = watch.looks();
    assert!(!looks.contains("7002"), "{looks}");
    watch.end();
    let mut watch = Watch::start(&scene, &["--rule", "3"]);
    watch.until("edge.sk:3");
    // The first of them stands on that line by now.
    scene.apply("default in allow\n# A line.\ndrop udp to port 7002\ndrop udp to port 7002\n");
    let looks = watch.looks();
    assert!(!looks.contains("7002"), "{looks}");
    watch.end();
}

/// What is on trial counts from 0 on, and what the one before counted comes to it when it is confirmed.
#[test]
fn nothing_that_counts_is_told_of_a_policy_on_trial() {
    if !root() {
        return;
    }
    let scene = Scene::new("trial");
    scene.apply(POLICY);
    scene.send(7001, 7);
    let mut watch = Watch::start(&scene, &[]);
    watch.until("web");
    let counting = |now: &Samples| now.names().filter(|name| name.contains("_total")).count();
    assert!(counting(&scene.samples(&[])) > 3);
    let path = scene.folder.file("edge.sk", POLICY);
    let place = ["--interface", FRONT, "--yes", "--confirm", "1h"];
    scene.done(&[&["apply", &path], &place[..]].concat());
    scene.send(7001, 2);
    let now = scene.samples(&["--all-rules"]);
    assert_eq!(now.get("sockc_policy_confirmed", &[]), 0.0);
    assert_eq!(now.get("sockc_hook_attached", &["target=\"front\""]), 1.0);
    assert_eq!(counting(&now), 0, "{now:#?}");
    let note = line(&mut watch.notes);
    assert!(note.contains("waits to be confirmed"), "{note}");
    scene.done(&["confirm"]);
    assert_eq!(scene.samples(&[]).get(PACKETS, &["rule=\"web\""]), 9.0);
    let came = watch.until("web");
    let cells: Vec<&str> = came.split_whitespace().collect();
    assert_eq!(cells[2], "9", "{came}");
    assert_eq!(watch.end(), "");
}
