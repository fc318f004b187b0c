//! `plan`, saved plans, and what others changed, in a lab.

use std::fs;

use sockc_compiler::object;
use sockc_runtime::Options;
use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

const POLICY: &str = "\
include \"common.sk\"
default in drop
set bad = file \"bad.txt\" max 100
live set banned max 100
socket proxy = tcp listen 127.0.0.1:1234
listed: drop from @bad
drop from @banned
ssh: allow tcp from 10.20.0.0/16 to any:22
proxied: redirect tcp 3.3.3.3:80 to sock proxy
";

/// A lab with a folder of files around a policy.
struct Place {
    lab: Lab,
    folder: Folder,
    policy: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        folder.file("common.sk", "include <essentials>\n");
        folder.file("bad.txt", "203.0.113.0/24\n2001:db8:bad::/48\n");
        let policy = folder.file("edge.sk", POLICY);
        let lab = Lab::new().unwrap();
        Self {
            lab,
            folder,
            policy,
        }
    }

    /// The verb on the policy, at the lab's interface.
    fn verb(&self, verb: &str, rest: &[&str]) -> Ran {
        let all = [&[verb, &self.policy, "--interface", FRONT][..], rest].concat();
        self.run(&all)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    fn apply(&self) {
        let applied = self.verb("apply", &[]);
        assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    }

    fn rewrite(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.policy).unwrap();
        assert!(text.contains(from));
        fs::write(&self.policy, text.replace(from, to)).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.0.join(name).to_str().unwrap().to_owned()
    }

    /// The policy and the generation in force.
    fn in_force(&self) -> (Option<String>, u64) {
        let status = self.run(&["status", "--json"]).json();
        let policy = status["policy"].as_str().map(str::to_owned);
        (policy, status["generation"].as_u64().unwrap_or(0))
    }
}

fn fates(json: &serde_json::Value) -> Vec<(String, String, String)> {
    let hooks = json["kernel"]["hooks"].as_array().unwrap().iter();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    hooks
        .map(|hook| {
            (
                word(&hook["hook"]),
                word(&hook["link"]),
                word(&hook["program"]),
            )
        })
        .collect()
}

#[test]
fn where_nothing_runs_everything_is_new_and_nothing_is_touched() {
    if !root() {
        return;
    }
    let place = Place::new("plan-first");
    let planned = place.verb("plan", &["--json", "--exit-code"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stderr);
    let json = planned.json();
    assert_eq!(json["format"], "sockc.plan/1");
    assert!(json["running"].is_null());
    assert_eq!(json["file"]["generation"], 1);
    assert!(!json["changes"].as_array().unwrap().is_empty());
    let fates = fates(&json);
    assert!(fates.len() >= 2, "{fates:?}");
    assert!(
        fates
            .iter()
            .all(|(_, link, program)| link == "attached" && program == "new")
    );
    assert_eq!(place.in_force(), (None, 0));
    let text = place.verb("plan", &[]);
    assert_eq!(text.code, Some(0));
    for words in [
        "no policy",
        "is attached, new code",
        "begin at 0",
        "Nothing was applied.",
    ] {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
}

#[test]
fn after_an_apply_of_the_same_file_nothing_changes() {
    if !root() {
        return;
    }
    let place = Place::new("plan-same");
    place.apply();
    let planned = place.verb("plan", &["--exit-code"]);
    assert_eq!(
        planned.code,
        Some(0),
        "{}{}",
        planned.stdout,
        planned.stderr
    );
    assert!(
        planned.stdout.contains("No change in effect."),
        "{}",
        planned.stdout
    );
    assert!(planned.stdout.contains("same code"), "{}", planned.stdout);
    // What people add while it runs is no change of the policy.
    assert_eq!(
        place.run(&["set", "add", "banned", "192.0.2.9"]).code,
        Some(0)
    );
    assert_eq!(place.verb("plan", &["--exit-code"]).code, Some(0));
    let data = &place.verb("plan", &["--json"]).json()["kernel"]["data"];
    assert_eq!(
        (&data[0]["fate"], &data[0]["elements"]),
        (&"kept".into(), &1.into())
    );
}

#[test]
fn what_runs_is_read_from_the_kernel_and_not_from_files() {
    if !root() {
        return;
    }
    let place = Place::new("plan-kept");
    place.apply();
    place
        .folder
        .file("bad.txt", "203.0.113.0/24\n198.51.100.0/24\n");
    place.folder.file("common.sk", "");
    let planned = place.verb("plan", &["--json"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    let json = planned.json();
    let bad = &json["data"][0];
    assert_eq!(bad["name"], "set bad");
    assert_eq!((&bad["gained"], &bad["lost"]), (&1.into(), &1.into()));
    let text = json.to_string();
    assert!(
        text.contains("essentials-connections"),
        "what was included is known"
    );
    // An object has all of it too.
    fs::write(
        place.folder.0.join("bad.txt"),
        "203.0.113.0/24\n2001:db8:bad::/48\n",
    )
    .unwrap();
    place.folder.file("common.sk", "include <essentials>\n");
    let object = place.path("edge.o");
    let compile = ["compile", "--for-veth", &place.policy, "-o", &object];
    assert_eq!(run(&compile).code, Some(0));
    let applied = place.run(&["apply", &object, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert_eq!(place.verb("plan", &["--exit-code"]).code, Some(0));
    fs::remove_file(place.path("bad.txt")).unwrap();
    let of_object = place.run(&["plan", &object, "--interface", FRONT, "--exit-code"]);
    assert_eq!(
        of_object.code,
        Some(0),
        "{}{}",
        of_object.stdout,
        of_object.stderr
    );
}

#[test]
fn a_change_shows_a_packet_that_both_policies_are_asked_about() {
    if !root() {
        return;
    }
    let place = Place::new("plan-change");
    let before = place.folder.file("before.sk", POLICY);
    place.apply();
    place.rewrite("from 10.20.0.0/16 to any:22", "to any:22");
    let planned = place.verb("plan", &["--json", "--exit-code"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stderr);
    let json = planned.json();
    let packet = json["changes"][0]["example"].as_str().unwrap();
    for (file, verdict) in [(&before, "drop"), (&place.policy, "allow")] {
        let explained = run(&["explain", file, packet, "--json"]).json();
        assert_eq!(explained["verdict"], verdict, "{packet}");
    }
    assert_eq!(json["changes"][0]["to"], "allow");
    let changed = fates(&json);
    assert!(
        changed.iter().any(|(_, _, program)| program == "changed"),
        "{changed:?}"
    );
    assert!(
        changed.iter().all(|(_, link, _)| link == "kept"),
        "{changed:?}"
    );
    assert_eq!(
        json["kernel"]["counters"]["gone"], 0,
        "the label is the same"
    );
}

#[test]
fn a_saved_plan_does_what_it_said_once() {
    if !root() {
        return;
    }
    let place = Place::new("plan-saved");
    place.apply();
    place.rewrite("from 10.20.0.0/16 to any:22", "to any:22");
    let plan = place.path("edge.plan");
    let saved = place.verb("plan", &["-o", &plan]);
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    // Files do not matter any more.
    place.rewrite("to any:22", "to any:23");
    for (arguments, code) in [
        (&["plan", plan.as_str()][..], 64),
        (&["apply", &plan, "--interface", FRONT], 64),
        (&["apply", &plan, "--no-counters"], 64),
    ] {
        assert_eq!(place.run(arguments).code, Some(code), "{arguments:?}");
    }
    assert_eq!(place.in_force(), (Some("edge".into()), 1));
    let applied = place.run(&["apply", &plan]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(
        applied.stderr.contains("drop -> allow"),
        "{}",
        applied.stderr
    );
    place.rewrite("to any:23", "to any:22");
    assert_eq!(
        place.verb("plan", &["--exit-code"]).code,
        Some(0),
        "exactly that runs"
    );
    let again = place.run(&["apply", &plan]);
    assert_eq!(again.code, Some(5), "{}", again.stderr);
    for words in ["out of date", "generation 1", "generation 2"] {
        assert!(again.stderr.contains(words), "{words}: {}", again.stderr);
    }
    assert_eq!(place.in_force(), (Some("edge".into()), 2));
}

#[test]
fn a_plan_for_nothing_in_force_or_another_namespace_is_refused_where_that_is_not_so() {
    if !root() {
        return;
    }
    let (place, other) = (Place::new("plan-none"), Place::new("plan-other"));
    let plan = place.path("edge.plan");
    assert_eq!(place.verb("plan", &["-o", &plan]).code, Some(0));
    let elsewhere = other.run(&["apply", &plan]);
    assert_eq!(elsewhere.code, Some(5), "{}", elsewhere.stderr);
    assert!(
        elsewhere.stderr.contains("another network namespace"),
        "{}",
        elsewhere.stderr
    );
    place.apply();
    let late = place.run(&["apply", &plan]);
    assert_eq!(late.code, Some(5), "{}", late.stderr);
    assert!(
        late.stderr.contains("nothing was in force"),
        "{}",
        late.stderr
    );
    assert_eq!(place.run(&["unload", "--yes"]).code, Some(0));
    assert_eq!(place.run(&["apply", &plan]).code, Some(0));
}

#[test]
fn a_damaged_plan_is_refused() {
    if !root() {
        return;
    }
    let place = Place::new("plan-damaged");
    let plan = place.path("edge.plan");
    assert_eq!(place.verb("plan", &["-o", &plan]).code, Some(0));
    let whole = fs::read(&plan).unwrap();
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    for bytes in [&whole[..whole.len() - 1], &whole[..20], &turned] {
        fs::write(&plan, bytes).unwrap();
        let refused = place.run(&["apply", &plan]);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains("damaged"), "{}", refused.stderr);
        assert_eq!(place.in_force(), (None, 0));
    }
}

#[test]
fn what_others_changed_is_said_and_nothing_is_planned_on_it() {
    if !root() {
        return;
    }
    let place = Place::new("plan-drift");
    let plan = place.path("edge.plan");
    place.apply();
    assert_eq!(place.verb("plan", &["-o", &plan]).code, Some(0));
    let pin = place
        .lab
        .server
        .run(|| {
            let state = fs::read_dir("/sys/fs/bpf/sockc").unwrap().next().unwrap();
            let links = state.unwrap().path().join("link");
            let mut links: Vec<_> = fs::read_dir(links)
                .unwrap()
                .map(|one| one.unwrap().path())
                .collect();
            links.sort();
            let pin = links.pop().unwrap();
            fs::remove_file(&pin).unwrap();
            pin.display().to_string()
        })
        .unwrap();
    for told in [
        place.verb("plan", &["--exit-code"]),
        place.run(&["status"]),
        place.run(&["apply", &plan]),
    ] {
        assert_eq!(told.code, Some(5), "{}", told.stderr);
        assert!(told.stderr.contains(&pin), "{}", told.stderr);
        assert!(told.stderr.contains("there is nothing"), "{}", told.stderr);
    }
    for verb in [
        place.verb("plan", &["--json"]),
        place.run(&["status", "--json"]),
    ] {
        assert_eq!(verb.json()["drift"][0]["path"], pin.as_str());
        assert_eq!(verb.json()["drift"][0]["found"], "nothing");
    }
    place.apply();
    assert_eq!(place.verb("plan", &["--exit-code"]).code, Some(0));
}

#[test]
fn a_guard_that_fails_is_shown_and_no_plan_is_saved() {
    if !root() {
        return;
    }
    let place = Place::new("plan-guards");
    let guard = place.folder.file(
        "shell.guard",
        "expect drop tcp from 198.51.100.0/24 to any:22 with no socket\nexpect drop tcp from any to any:22 with no socket\n",
    );
    let plan = place.path("edge.plan");
    let refused = place.verb("plan", &["--guard", &guard, "-o", &plan]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    for words in [
        "ok    ",
        "FAIL  ",
        "shell.guard:2",
        "edge.sk:8",
        "1 guard fails",
    ] {
        assert!(
            refused.stdout.contains(words),
            "{words}: {}",
            refused.stdout
        );
    }
    assert!(!fs::exists(&plan).unwrap());
    let json = place.verb("plan", &["--guard", &guard, "--json"]);
    assert_eq!(json.code, Some(4));
    let guards = &json.json()["guards"];
    assert_eq!(
        (&guards[0]["holds"], &guards[1]["holds"]),
        (&true.into(), &false.into())
    );
    assert_eq!(guards[1]["decider"]["line"], 8);
    // A plan that was saved before there was a guard is asked when it is carried out.
    assert_eq!(place.verb("plan", &["-o", &plan]).code, Some(0));
    assert_eq!(
        place.run(&["apply", &plan, "--guard", &guard]).code,
        Some(4)
    );
    assert_eq!(place.in_force(), (None, 0));
}

#[test]
fn a_policy_whose_text_was_not_kept_is_not_compared_with_nothing() {
    if !root() {
        return;
    }
    let place = Place::new("plan-old");
    let old = place.path("edge.o");
    assert_eq!(run(&["compile", &place.policy, "-o", &old]).code, Some(0));
    let mut artifact = object::read(&fs::read(&old).unwrap()).unwrap();
    artifact.lists.clear();
    let bytes = object::write(&artifact).unwrap();
    fs::write(&old, &bytes).unwrap();
    let applied = place.run(&["apply", &old, "--interface", FRONT]);
    assert_eq!(applied.code, Some(1), "{}", applied.stderr);
    for words in ["bad.txt", "give the policy itself"] {
        assert!(applied.stderr.contains(words), "{}", applied.stderr);
    }
    // A sockc that did not look may have put it in force.
    let options = Options {
        interfaces: vec![FRONT.to_owned()],
        ..Options::default()
    };
    let apply = || sockc_runtime::apply(&bytes, &artifact.manifest, &options);
    place.lab.server.run(apply).unwrap().unwrap();
    let refused = place.verb("plan", &[]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    for words in ["bad.txt", "put it in force again"] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    assert_eq!(refused.stdout, "");
}
