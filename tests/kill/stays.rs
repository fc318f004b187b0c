//! Commands that stay, killed before their calls or with calls refused: `monitor`, and `apply --watch` over the coming of an
//! interface.
//!
//! Neither takes anything away that packets are decided by, whatever becomes of it: they meet the policy before, meanwhile and
//! after; nothing of the command is left that keeps another one out; and the next one does all that this one did not.

use std::process::Command;

use crate::campaign::{Campaign, Seen, all, points};
use crate::refusals::{LIES, REFUSALS};
use crate::root;
use crate::scene::Scene;
use crate::trace::{EPOLL_WAIT, Ended, Fate, Which};

/// So many records a monitor tells here.
const RECORDS: usize = 3;
/// The interface that comes, and how it does.
const COMES: &str = "w0";
const ADD: [&str; 8] = ["link", "add", COMES, "type", "veth", "peer", "name", "peer"];

const LOGS: &str = "interfaces lo
live set banned max 61
live map tenants max 100
socket web = tcp listen 127.0.0.1:7001
default in allow log \"rest\" max 1_000_000/second
drop udp from @banned to port 5000
redirect tcp by @tenants
drop udp to port 1001 log max 1_000_000/second
";

const WATCHED: &str = "interfaces lo, w*
live set banned max 61
live map tenants max 100
socket web = tcp listen 127.0.0.1:7001
default in allow
drop udp from @banned to port 5000
redirect tcp by @tenants
drop udp to port 1001
";

/// What becomes of one call of a command.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    call: usize,
    /// What it is refused with; nothing where the command is killed before it.
    number: Option<i32>,
}

impl Point {
    pub(crate) fn fate(self, call: usize) -> Fate {
        match self.number {
            _ if call != self.call => Fate::Go,
            Some(number) => Fate::Refuse(number),
            None => Fate::Kill,
        }
    }

    /// Whether the command ended without that call.
    pub(crate) fn is_past(self, ended: &Ended) -> bool {
        ended.calls.len() <= self.call
    }

    fn name(self, calls: &[String]) -> String {
        let call = calls.get(self.call).map_or("none", String::as_str);
        match self.number {
            Some(number) => {
                let error = std::io::Error::from_raw_os_error(number);
                format!("call {}, {call}, refused with {error}", self.call)
            }
            None => format!("killed before call {}, {call}", self.call),
        }
    }
}

/// Has a command killed before its calls, and its calls refused; all that is wrong is told together. Whether its run came to the
/// call tells the one that runs it: a shorter run counts for nothing.
pub(crate) fn campaign(
    name: &str,
    calls: usize,
    mut one: impl FnMut(Point) -> Result<bool, String>,
) {
    let rounds = if all() { REFUSALS.len() } else { 1 };
    let mut wrong = Vec::new();
    let (mut taken, mut past) = (0, 0);
    for round in 0..=rounds {
        taken += points(calls, |call| {
            let number = round
                .checked_sub(1)
                .map(|round| REFUSALS[(call + round) % REFUSALS.len()]);
            match one(Point { call, number }) {
                Ok(met) => past += usize::from(!met),
                Err(why) => wrong.push(why),
            }
        });
    }
    let met = taken - past;
    println!(
        "{name}: {met} points ({calls} calls), {past} past the end, {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(met > 0, "{name}: no call was met");
}

/// Whether a command ended as it has to; one that was refused something says so, and nothing that is not so.
pub(crate) fn ended_well(ended: &Ended, point: Point) -> Result<(), String> {
    let said = &ended.stderr;
    let as_it_has_to = match (ended.code, point.number) {
        // A run may be shorter than the one that was measured: its call was never made.
        (Some(0), None) if point.is_past(ended) => true,
        (None, None) | (Some(0), Some(_)) => true,
        (Some(3), Some(_)) => said.contains("error: "),
        _ => false,
    };
    match as_it_has_to {
        false => Err("the code".to_owned()),
        true if LIES.iter().any(|words| said.contains(words)) => {
            Err("what it says is not so".to_owned())
        }
        true => Ok(()),
    }
}

pub(crate) fn wrong(what: &str, ended: &Ended, point: Point) -> String {
    let at = point.name(&ended.calls);
    format!(
        "{at}: {:?} {}{}  WRONG: {what}",
        ended.code, ended.stdout, ended.stderr
    )
}

#[test]
fn monitor() {
    reads("monitor", &[]);
}

/// One that opens the gates in front of drops, too.
#[test]
fn monitor_of_drops() {
    reads("monitor --drops", &["--drops=1/1"]);
}

fn reads(name: &'static str, options: &[&str]) {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    scene.must(&["apply", &scene.file("logs.sk", LOGS)]);
    let before = Seen::of(&scene);
    let count = RECORDS.to_string();
    let arguments = [&["monitor", "--count", &count], options].concat();
    let monitor = Campaign {
        name,
        scene: &scene,
        // Each look at what packets meet makes records.
        prepare: &|scene| drop(scene.answers()),
        arguments: &arguments,
    };
    let whole = monitor.run(Which::Stays, |_, _| Fate::Go);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_eq!(whole.stdout.lines().count(), RECORDS, "{}", whole.stdout);
    let calls = whole.calls.len();
    campaign(monitor.name, calls, |point| {
        (monitor.prepare)(&scene);
        let ended = monitor.run(Which::Stays, |call, _| point.fate(call));
        let lines = ended.stdout.lines().count();
        let told = ended_well(&ended, point).and_then(|()| match ended.code {
            Some(0) if lines != RECORDS => Err(format!("it told {lines} records")),
            _ => Ok(()),
        });
        told.map_err(|what| wrong(&what, &ended, point))?;
        if Seen::of(&scene) != before {
            return Err(wrong("what is left", &ended, point));
        }
        // Nobody keeps the ring, and what is in it is told.
        let next = scene.sockc(&arguments);
        match next.code == Some(0) && next.stdout.lines().count() == RECORDS {
            true => Ok(!point.is_past(&ended)),
            false => Err(wrong(&format!("the next one: {next:?}"), &ended, point)),
        }
    });
}

/// A monitor that has nothing to tell at first: packets come while it waits, then another policy, and then it is to end.
#[test]
fn monitor_waits() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let (logs, silent) = (
        scene.file("logs.sk", LOGS),
        scene.file("silent.sk", WATCHED),
    );
    // The ring of a generation that came just now is empty.
    let prepare = |scene: &Scene| {
        scene.must(&["apply", &silent]);
        scene.must(&["apply", &logs]);
    };
    prepare(&scene);
    let monitor = Campaign {
        name: "monitor that waits",
        scene: &scene,
        prepare: &prepare,
        arguments: &["monitor"],
    };
    let whole = waited(&monitor, &silent, None);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert!(!whole.stdout.is_empty(), "it told no record");
    assert!(
        whole.stderr.contains("and logs nothing"),
        "{}",
        whole.stderr
    );
    let before = Seen::of(&scene);
    campaign(monitor.name, whole.calls.len(), |point| {
        prepare(&scene);
        let ended = waited(&monitor, &silent, Some(point));
        ended_well(&ended, point).map_err(|what| wrong(&what, &ended, point))?;
        if scene.answers() != before.answers {
            return Err(wrong("what packets meet", &ended, point));
        }
        prepare(&scene);
        scene.answers();
        let next = scene.sockc(&["monitor", "--count", "1"]);
        match next.code {
            Some(0) => Ok(!point.is_past(&ended)),
            _ => Err(wrong(&format!("the next one: {next:?}"), &ended, point)),
        }
    });
}

/// Runs it until it waits, has packets come, then another policy, and has it end where it waits after that.
fn waited(monitor: &Campaign<'_>, path: &str, point: Option<Point>) -> Ended {
    let scene = monitor.scene;
    let mut waits = 0;
    monitor.run(Which::Stays, |call, words| {
        let fate = point.map_or(Fate::Go, |point| point.fate(call));
        if !words.starts_with("poll") || fate != Fate::Go {
            return fate;
        }
        waits += 1;
        match waits {
            1 => drop(scene.answers()),
            2 => drop(scene.sockc(&["apply", path])),
            // The one that waits has seen both by then.
            8 => return Fate::Signal(libc::SIGTERM),
            _ => {}
        }
        Fate::Go
    })
}

fn ip(scene: &Scene, words: &[&str]) -> bool {
    let run = || Command::new("ip").args(words).output().unwrap();
    scene.space.run(run).unwrap().status.success()
}

/// The interface is there, whether it was or not.
fn with_interface(scene: &Scene) {
    if !ip(scene, &["link", "show", COMES]) {
        assert!(ip(scene, &ADD));
    }
}

#[test]
fn apply_watch() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let path = scene.file("watched.sk", WATCHED);
    let prepare = |scene: &Scene| {
        ip(scene, &["link", "del", COMES]);
        scene.must(&["apply", &path]);
    };
    prepare(&scene);
    let before = Seen::of(&scene);
    with_interface(&scene);
    scene.must(&["apply", "--running"]);
    let wanted = Seen::of(&scene);
    assert_ne!(before.tree, wanted.tree);
    let watch = Campaign {
        name: "apply --watch",
        scene: &scene,
        prepare: &prepare,
        arguments: &["apply", "--running", "--watch"],
    };
    prepare(&scene);
    let whole = watched(&watch, None);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert!(whole.stdout.contains("it holds at"), "{}", whole.stdout);
    assert_eq!(Seen::of(&scene), wanted);
    campaign(watch.name, whole.calls.len(), |point| {
        prepare(&scene);
        let ended = watched(&watch, Some(point));
        ended_well(&ended, point).map_err(|what| wrong(&what, &ended, point))?;
        if scene.answers() != before.answers {
            return Err(wrong("what packets meet", &ended, point));
        }
        with_interface(&scene);
        let next = scene.sockc(&["apply", "--running"]);
        if next.code != Some(0) {
            return Err(wrong(&format!("the next one: {next:?}"), &ended, point));
        }
        match Seen::of(&scene) {
            seen if seen == wanted => Ok(!point.is_past(&ended)),
            seen => Err(wrong(&format!("left {seen:?}"), &ended, point)),
        }
    });
}

/// Runs it until it waits, has the interface come, and has it end where it waits again.
fn watched(watch: &Campaign<'_>, point: Option<Point>) -> Ended {
    let mut waits = 0;
    watch.run(Which::Stays, |call, words| {
        let fate = point.map_or(Fate::Go, |point| point.fate(call));
        if words != EPOLL_WAIT || fate != Fate::Go {
            return fate;
        }
        waits += 1;
        if waits > 1 {
            return Fate::Signal(libc::SIGTERM);
        }
        // What comes ahead of the call is what it tells first.
        let added = Command::new("ip").args(ADD).status();
        assert!(added.is_ok_and(|status| status.success()));
        Fate::Go
    })
}
