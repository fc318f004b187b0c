//! What `diff` and `plan` say of groups that come and go, with their rules or their control groups.

use serde_json::Value;
use sockc_compiler::policy::Direction;
use sockc_runtime::lab::{FRONT, Group, Lab};
use sockc_testing::of_direction;

use super::{Folder, Ran, root, run};

/// A lab, and control groups by the words that stand for their paths in policies.
struct Place {
    lab: Lab,
    folder: Folder,
    groups: [(&'static str, Group); 3],
}

/// Both groups have a rule. `DO` stands for a direction.
const BOTH: &str = "
policy p
group jobs = cgroup \"JOBS\"
group tmp = cgroup \"TMP\"
default DO allow
j: drop DO tcp from group jobs to 192.0.2.10:80
t: drop DO from group tmp to 192.0.2.10:22
";

/// One of them has gone, and its rule.
const ONE: &str = "
policy p
group jobs = cgroup \"JOBS\"
default DO allow
j: drop DO tcp from group jobs to 192.0.2.10:80
";

impl Place {
    fn new(name: &str) -> Self {
        let group = |word| (word, Group::named(&format!("{name}-{word}")).unwrap());
        Self {
            lab: Lab::new().unwrap(),
            folder: Folder::new(name),
            groups: ["JOBS", "TMP", "OTHER"].map(group),
        }
    }

    /// A file with a policy in which words stand for paths.
    fn policy(&self, name: &str, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, group) in &self.groups {
            text = text.replace(word, group.path());
        }
        self.folder.file(&format!("{name}.sk"), &text)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    fn apply(&self, policy: &str) -> Ran {
        let applied = self.run(&["apply", policy]);
        assert_eq!(applied.code, Some(0), "{}", applied.stderr);
        applied
    }

    /// What `plan` and `diff` say of one policy after another, as text and as JSON, each of which must be a change.
    fn told(&self, [old, new]: [&str; 2]) -> [(String, Value); 2] {
        self.apply(old);
        let of = |verb: &[&str]| {
            let text = self.run(&[verb, &["--exit-code"]].concat());
            assert_eq!(text.code, Some(2), "{}{}", text.stdout, text.stderr);
            let json = self.run(&[verb, &["--exit-code", "--json"]].concat());
            assert_eq!(json.code, Some(2), "{}{}", json.stdout, json.stderr);
            (
                text.stdout.split_whitespace().collect::<Vec<_>>().join(" "),
                json.json(),
            )
        };
        [of(&["plan", new]), of(&["diff", old, new])]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.run(&["unload", "--yes"]);
    }
}

/// The verdicts before and after of all changes.
fn fates(json: &Value) -> Vec<(&str, &str)> {
    let changes = json["changes"].as_array().unwrap().iter();
    changes
        .map(|change| {
            (
                change["from"].as_str().unwrap(),
                change["to"].as_str().unwrap(),
            )
        })
        .collect()
}

const TO: (&str, &str) = ("allow", "the policy's verdicts");
const FROM: (&str, &str) = ("the policy's verdicts", "allow");

#[test]
fn a_group_that_comes_or_goes_with_its_rules_is_a_change() {
    if !root() {
        return;
    }
    let place = Place::new("group-goes");
    for deed in Direction::deeds() {
        let (word, does) = (deed.direction.word(), deed.does);
        let both = place.policy("both", &of_direction(BOTH, word));
        let one = place.policy("one", &of_direction(ONE, word));
        for (policies, fate, (from, to)) in [
            ([&both, &one], ("drop", "allow"), FROM),
            ([&one, &both], ("allow", "drop"), TO),
        ] {
            let told = place.told(policies.map(String::as_str));
            for (text, json) in &told {
                let line = format!("what group tmp {does}: {from} -> {to}");
                assert!(text.contains(&line), "{text}");
                let line = format!("1 change of effect: {} -> {}.", fate.0, fate.1);
                assert!(text.contains(&line), "{text}");
                assert_eq!(fates(json), [fate], "{json}");
                assert_eq!(json["differs"], true);
                let rule = json["edits"].as_array().unwrap().iter();
                let effects: Vec<&Value> = rule.map(|edit| &edit["effect"]).collect();
                assert_eq!(effects, [&Value::from(true)], "{json}");
            }
            let [(text, json), _] = &told;
            let held = match fate.0 {
                "drop" => "No policy is left on",
                _ => "The policy comes to",
            };
            assert!(
                text.contains(&format!("{held} what group tmp {does}.")),
                "{text}"
            );
            let reached = &json["interfaces"];
            assert_eq!(reached.as_array().unwrap().len(), 1, "{reached}");
            assert_eq!(reached[0]["group"], "tmp");
            assert_eq!(reached[0]["direction"], word);
        }
    }
}

#[test]
fn another_path_of_a_group_opens_the_one_before() {
    if !root() {
        return;
    }
    let place = Place::new("group-path");
    for deed in Direction::deeds() {
        let (word, does) = (deed.direction.word(), deed.does);
        let before = place.policy("before", &of_direction(BOTH, word));
        let after = place.policy("after", &of_direction(BOTH, word).replace("TMP", "OTHER"));
        let [(plan, json), (diff, of_diff)] = place.told([&before, &after]);
        for (word, (from, to)) in [("TMP", FROM), ("OTHER", TO)] {
            let path = place
                .groups
                .iter()
                .find(|(one, _)| *one == word)
                .unwrap()
                .1
                .path();
            let end = format!("{path}) {does}: {from} -> {to}");
            for text in [&plan, &diff] {
                assert!(text.contains(&end), "{text}\n{end}");
            }
        }
        for json in [&json, &of_diff] {
            let mut fates = fates(json);
            fates.sort();
            assert_eq!(fates, [("allow", "drop"), ("drop", "allow")], "{json}");
        }
        assert_eq!(json["interfaces"].as_array().unwrap().len(), 2, "{json}");
    }
}

/// The rules that come to it are those that held for it before, by the group around it.
#[test]
fn a_path_inside_the_one_before_only_opens_what_is_around_it() {
    if !root() {
        return;
    }
    let place = Place::new("group-inside");
    let around = place.groups[0].1.path();
    let _inside = place.groups[0].1.chain(1).unwrap();
    for direction in Direction::all_of_processes() {
        let word = direction.word();
        let before = place.policy("before", &of_direction(ONE, word));
        let after = of_direction(&ONE.replace("JOBS", "JOBS/n"), word);
        let after = place.policy("after", &after);
        place.apply(&before);
        let planned = place.run(&["plan", &after, "--json"]).json();
        let reached = &planned["interfaces"];
        assert_eq!(reached.as_array().unwrap().len(), 1, "{reached}");
        let text = place.run(&["plan", &after]).stdout;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let opened = format!("{around}) {}", direction.deed().unwrap().does);
        let opened = format!("{opened}: {} -> {}", FROM.0, FROM.1);
        assert!(text.contains(&opened), "{opened}: {text}");
    }
}

#[test]
fn a_group_of_another_name_or_without_rules_is_no_change() {
    if !root() {
        return;
    }
    let place = Place::new("group-name");
    for direction in Direction::all_of_processes() {
        let word = direction.word();
        let old = place.policy("old", &of_direction(BOTH, word));
        place.apply(&old);
        let renamed = BOTH.replace("tmp", "temp");
        let new = place.policy("new", &of_direction(&renamed, word));
        for verb in [&["plan", &new][..], &["diff", &old, &new]] {
            let ran = place.run(&[verb, &["--exit-code"]].concat());
            assert_eq!(ran.code, Some(0), "{}", ran.stdout);
            assert!(
                ran.stdout.contains("No change in effect."),
                "{}",
                ran.stdout
            );
        }
        let idle = BOTH.replace("default", "group idle = cgroup \"OTHER\"\ndefault");
        let idle = place.policy("idle", &of_direction(&idle, word));
        let ran = place.run(&["plan", &idle]);
        assert!(
            ran.stdout.contains("No change in effect."),
            "{}",
            ran.stdout
        );
        assert!(
            !ran.stdout.contains("the policy's verdicts"),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn where_nothing_runs_a_policy_that_only_refuses_changes_something() {
    if !root() {
        return;
    }
    let place = Place::new("group-first");
    for direction in Direction::all_of_processes() {
        let new = place.policy("new", &of_direction(BOTH, direction.word()));
        let planned = place.run(&["plan", &new]);
        let text: Vec<&str> = planned.stdout.split_whitespace().collect();
        let text = text.join(" ");
        assert!(
            text.contains("New: 2 rules, 1 default. 2 changes of effect: allow -> drop."),
            "{text}"
        );
        let reached = direction == Direction::Send;
        assert_eq!(text.contains("connections that exist"), reached, "{text}");
    }
}

/// A group that only calls has no maps of sockets: none that exist are known.
#[test]
fn a_first_rule_on_sends_reaches_connections_that_exist() {
    if !root() {
        return;
    }
    let place = Place::new("group-taken");
    let calls = of_direction(ONE, "connect");
    let sends =
        format!("{calls}default send allow\ns: drop send from group jobs to 192.0.2.10:80\n");
    let more = sends.replace("192.0.2.10:80", "192.0.2.0/24:80");
    let [calls, sends, more] = [("calls", &calls), ("sends", &sends), ("more", &more)]
        .map(|(name, text)| place.policy(name, text));
    place.apply(&calls);
    let fate = |policy: &str| {
        let planned = place.run(&["plan", policy, "--json"]).json();
        let data = planned["kernel"]["data"].as_array().unwrap().iter();
        let group = data.filter(|one| one["kind"] == "group");
        group
            .map(|one| one["fate"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let text = |policy: &str| place.run(&["plan", policy]).stdout;
    let at_once = "fails at once, on connections that exist too";
    assert_eq!(fate(&sends), ["begins"]);
    let said = text(&sends);
    let reached = place.run(&["plan", &sends, "--json"]).json()["interfaces"].clone();
    assert_eq!(reached[0]["direction"], "send", "{reached}");
    assert!(
        said.contains("takes sockets in from now on, those made before as well"),
        "{said}"
    );
    assert!(said.contains(at_once), "{said}");
    place.apply(&sends);
    assert_eq!(fate(&more), ["kept"]);
    let said = text(&more);
    assert!(
        said.contains("keeps its sockets") && said.contains(at_once),
        "{said}"
    );
    assert_eq!(fate(&calls), ["goes"]);
}

#[test]
fn a_live_set_that_goes_is_said_to_go_with_what_it_holds() {
    if !root() {
        return;
    }
    let place = Place::new("set-goes");
    let with = format!(
        "{}live set banned max 100\nb: drop connect from group jobs to @banned\n",
        of_direction(ONE, "connect")
    );
    let with = place.policy("with", &with);
    let without = place.policy("without", &of_direction(ONE, "connect"));
    place.apply(&with);
    let addresses = ["192.0.2.1", "192.0.2.9"];
    let added = place.run(&[&["set", "add", "banned"][..], &addresses].concat());
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let planned = place.run(&["plan", &without]);
    for words in [
        "goes, with 2 elements",
        "live set banned is gone (declared with 0 elements)",
    ] {
        assert!(
            planned.stdout.contains(words),
            "{words}: {}",
            planned.stdout
        );
    }
}

#[test]
fn where_an_interface_has_the_policy_already_json_says_so_too() {
    if !root() {
        return;
    }
    let place = Place::new("nothing-to-do");
    let policy = place.policy(
        "p",
        "policy p\nsocket web = tcp listen 127.0.0.1:8080\ndefault in allow\nd: drop tcp to any:9\nredirect tcp to 10.9.0.1:80 to sock web\n",
    );
    let first = place.run(&["apply", &policy, "--interface", FRONT, "--json"]);
    let first = first.json();
    let again = place.run(&["apply", "--running", "--interface", FRONT, "--json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let again = again.json();
    let keys = |json: &Value| {
        json.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&again), keys(&first));
    for key in ["format", "policy", "generation", "interfaces", "hooks"] {
        assert_eq!(again[key], first[key], "{key}");
    }
    let lookup = serde_json::json!({ "hook": "lookup", "target": "", "on": null, "means": "link" });
    assert!(
        first["hooks"].as_array().unwrap().contains(&lookup),
        "{first}"
    );
    assert!(
        again["notes"][0]
            .as_str()
            .unwrap()
            .contains("already; nothing was changed")
    );
}
