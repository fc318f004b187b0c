//! `sockc diff` as a user meets it: every view, exit codes, standard input; and twenty small edits of the policies in
//! `rules/`, whose comparison as text is kept in `golden/diff/`.

mod cases;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use roxmltree::Document;
use serde_json::Value;

use crate::folder::{Folder, code, stderr, stdout};
use crate::repository::{compare_with_golden, fail_on, root, text};
use cases::{CASES, Case};

const OLD: &str = "default in drop\nallow icmp fragmentation-needed\nssh: allow tcp from 10.20.0.0/16 to port ssh\n";
const NEW: &str = "default in drop\nallow icmp fragmentation-needed\nssh: allow tcp to port ssh\n";
const SAME: &str = "default in drop\nallow icmp 3/4\nssh: allow tcp from 10.20.0.0/16 to port 22\n";
const BAD: &str = "default in drop\nallow tcp to 10.0.0.1/8:22\n";

impl Folder {
    /// With the four small policies.
    fn small() -> Self {
        let folder = Self::new("diff");
        for (name, text) in [
            ("old.sk", OLD),
            ("new.sk", NEW),
            ("same.sk", SAME),
            ("bad.sk", BAD),
        ] {
            folder.write(name, text);
        }
        folder
    }

    /// With a policy of `rules/` and what it names, and the policy after the edit as `new.sk`.
    fn of(case: &Case) -> Self {
        let folder = Self::new("diff");
        for part in ["rules/common", "rules/data"] {
            let to = folder.0.join(Path::new(part).file_name().unwrap());
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(root().join(part)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        let old = text(&format!("rules/{}.sk", case.policy));
        assert_eq!(
            old.matches(case.find).count(),
            1,
            "{}: {}",
            case.name,
            case.find
        );
        folder.write("old.sk", &old);
        folder.write("new.sk", old.replace(case.find, case.put));
        folder
    }

    fn diff(&self, arguments: &[&str]) -> Output {
        self.sockc(&[&["diff"], arguments].concat(), b"")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.diff(&[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
    }

    /// The verdict of one of the policies.
    fn verdict(&self, policy: &str, packet: &str) -> String {
        let output = self.sockc(&["explain", "--json", policy, packet], b"");
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{policy} {packet}: {error}: {}", stderr(&output)));
        said["verdict"].as_str().unwrap().to_owned()
    }
}

#[test]
fn exit_codes_tell_what_was_found() {
    let folder = Folder::small();
    let expected: [(&[&str], i32); 12] = [
        (&["old.sk", "new.sk"], 0),
        (&["old.sk", "same.sk"], 0),
        (&["old.sk", "new.sk", "--exit-code"], 2),
        (&["old.sk", "same.sk", "--exit-code"], 0),
        (&["old.sk", "old.sk", "--exit-code"], 0),
        (&["old.sk", "bad.sk", "--exit-code"], 1),
        (&["bad.sk", "new.sk"], 1),
        (&["old.sk"], 64),
        (&["old.sk", "not-there.sk"], 3),
        (&["-", "-"], 64),
        (&["old.sk", "new.sk", "--json", "--stat"], 64),
        (&["old.sk", "new.sk", "--markdown", "--stat"], 64),
    ];
    for (arguments, exit) in expected {
        let output = folder.diff(arguments);
        assert_eq!(
            code(&output),
            exit,
            "{arguments:?}: {}{}",
            stdout(&output),
            stderr(&output)
        );
    }
}

#[test]
fn no_change_in_effect_is_one_line() {
    let folder = Folder::small();
    let output = folder.diff(&["old.sk", "same.sk"]);
    assert_eq!(stdout(&output), "No change in effect. 2 rules reworded.\n");
    assert_eq!(stderr(&output), "");
    assert_eq!(
        stdout(&folder.diff(&["old.sk", "old.sk"])),
        "No change in effect.\n"
    );
}

#[test]
fn mistakes_of_both_are_told_and_warnings_of_none() {
    let folder = Folder::small();
    folder.write("worse.sk", "default in drop\nallow tcp to port 99999\n");
    let output = folder.diff(&["bad.sk", "worse.sk"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    let said = stderr(&output);
    assert!(
        said.contains("bad.sk:2:") && said.contains("worse.sk:2:"),
        "{said}"
    );
    folder.write(
        "warned.sk",
        format!("{OLD}allow tcp from 10.20.0.0/16 to port ssh\n"),
    );
    let output = folder.diff(&["old.sk", "warned.sk"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn a_broken_expectation_is_told_beside_the_comparison() {
    let folder = Folder::small();
    folder.write(
        "new.sk",
        format!("{NEW}expect drop tcp from 8.8.8.8 to any:22 with no socket\n"),
    );
    let output = folder.diff(&["old.sk", "new.sk", "--exit-code", "--bytecode"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("E0501")
            && stderr(&output).contains("instructions are compared when")
    );
    assert!(
        stdout(&output).contains("drop -> allow"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn one_policy_may_come_from_standard_input() {
    let folder = Folder::small();
    // The columns are as wide as the names.
    let words = |output: &Output, name: &str| {
        let shown = stdout(output).replace("<stdin>", name);
        let words: Vec<&str> = shown.split_whitespace().collect();
        words.join(" ")
    };
    let expected = words(&folder.diff(&["old.sk", "new.sk"]), "");
    let output = folder.sockc(&["diff", "old.sk", "-"], NEW.as_bytes());
    assert_eq!(words(&output, "new.sk"), expected);
    let output = folder.sockc(&["diff", "-", "new.sk"], OLD.as_bytes());
    assert_eq!(words(&output, "old.sk"), expected);
}

#[test]
fn json_has_the_promised_form() {
    let value = Folder::small().json(&["old.sk", "new.sk"]);
    assert_eq!(value["format"], "sockc.diff/1");
    assert_eq!(
        (&value["complete"], &value["differs"]),
        (&true.into(), &true.into())
    );
    let changes = value["changes"].as_array().unwrap();
    assert!(!changes.is_empty(), "{value}");
    for change in changes {
        assert_eq!(change["from"], "drop", "{change}");
        assert_eq!(change["to"], "allow", "{change}");
        assert_eq!(change["direction"], "in", "{change}");
        assert!(
            change["region"].as_str().unwrap().starts_with("tcp"),
            "{change}"
        );
        assert!(change["example"].is_string(), "{change}");
        assert!(change["share"].as_f64().unwrap() > 0.0, "{change}");
        assert_eq!(change["old"]["line"], 1, "{change}");
        assert_eq!(change["new"]["label"], "ssh", "{change}");
        assert_eq!(change["edit"], 0, "{change}");
    }
    assert_eq!(value["edits"][0]["kind"], "changed");
    let same = Folder::small().json(&["old.sk", "same.sk"]);
    assert_eq!(
        (&same["differs"], &same["changes"]),
        (&false.into(), &Value::Array(Vec::new()))
    );
}

#[test]
fn markdown_and_counts_say_the_same() {
    let folder = Folder::small();
    let page = stdout(&folder.diff(&["old.sk", "new.sk", "--markdown", "--bytecode"]));
    assert!(page.starts_with("### `old.sk` → `new.sk`\n"), "{page}");
    for part in [
        "```diff\n- ssh: allow tcp from 10.20.0.0/16 to port ssh    # old.sk:3\n+ ssh: allow tcp to port ssh",
        "1. `drop` → `allow`: `tcp",
        "<details><summary>Instructions</summary>",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let counts = stdout(&folder.diff(&["old.sk", "new.sk", "--stat"]));
    assert!(counts.starts_with(" in     drop -> allow"), "{counts}");
    assert!(counts.lines().count() <= 4, "{counts}");
}

#[test]
fn instructions_are_compared_program_by_program() {
    let folder = Folder::small();
    let shown = stdout(&folder.diff(&["old.sk", "new.sk", "--bytecode"]));
    let (_, programs) = shown.split_once("\n--- xdp_in: ").unwrap();
    assert!(
        programs.contains("\n@@ ") && programs.contains("\n-  "),
        "{shown}"
    );
    // What only moved is no difference: far fewer lines than the program has.
    let changed = programs
        .lines()
        .filter(|line| line.starts_with(['-', '+']))
        .count();
    assert!((2..40).contains(&changed), "{shown}");
    let shown = stdout(&folder.diff(&["old.sk", "same.sk", "--bytecode"]));
    assert!(
        shown.ends_with("\nThe instructions are the same.\n"),
        "{shown}"
    );
    let value = folder.json(&["old.sk", "new.sk", "--bytecode"]);
    assert!(
        value["bytecode"]
            .as_str()
            .unwrap()
            .starts_with("--- xdp_in")
    );
}

#[test]
fn a_picture_is_written_where_it_is_told() {
    let folder = Folder::small();
    let output = folder.diff(&["old.sk", "new.sk", "--svg", "change.svg"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("drop -> allow"));
    let text = fs::read_to_string(folder.0.join("change.svg")).unwrap();
    let document = Document::parse(&text).unwrap();
    let areas = document.descendants().filter(|node| {
        node.has_tag_name("rect") && node.children().any(|child| child.has_tag_name("title"))
    });
    // Below and above 10.20.0.0/16, and all of IPv6.
    assert_eq!(areas.count(), 3, "{text}");
    for words in [">10.20.0.0<", ">10.21.0.0<", ">22<", ">drop -&gt; allow<"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let output = folder.diff(&["old.sk", "new.sk", "--svg", "not-there/change.svg"]);
    assert_eq!(code(&output), 3);
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let folder = Folder::small();
    assert!(!stdout(&folder.diff(&["old.sk", "new.sk"])).contains('\u{1b}'));
    assert!(
        stdout(&folder.diff(&["old.sk", "new.sk", "--color", "always"]))
            .contains("\u{1b}[31m- old.sk:3")
    );
}

#[test]
fn small_edits_are_shown_as_their_goldens_say() {
    let mut differences = Vec::new();
    for case in CASES {
        let folder = Folder::of(case);
        let output = folder.diff(&["old.sk", "new.sk"]);
        let shown = stdout(&output);
        assert!(
            matches!(code(&output), 0 | 1),
            "{}: {}",
            case.name,
            stderr(&output)
        );
        let golden = format!("golden/diff/{}.txt", case.name);
        differences.extend(compare_with_golden(&golden, &shown));
    }
    fail_on(&differences);
}

/// The names of the goldens in `golden/diff/`.
pub(crate) fn case_names() -> BTreeSet<String> {
    CASES.iter().map(|case| case.name.to_owned()).collect()
}

/// A screen of a terminal; more where a whole list of rules goes.
#[test]
fn small_edits_fit_a_screen() {
    for case in CASES {
        let shown = text(&format!("golden/diff/{}.txt", case.name));
        let most = if case.name == "mail-without-essentials" {
            60
        } else {
            36
        };
        assert!(shown.lines().count() <= most, "{}: too long", case.name);
        let wide = |line: &str| line.chars().count() > 110;
        assert!(!shown.lines().any(wide), "{}: too wide", case.name);
    }
}

/// What a block says, old and new: every kind of example comes up, those of malformed packets too.
const IN_BLOCKS: [&str; 2] = [
    "default in drop
    default out drop
    ssh: allow tcp from @admins to port 22
    allow icmp6
    allow out icmp
    allow in udp to port 53 if no socket",
    "default in allow
    default out allow
    drop tcp from @admins to port 22
    drop udp to port 53 if socket listening
    drop out icmp echo-request
    drop if fragment
    drop proto 47 if ttl = 1",
];

#[test]
fn examples_of_blocks_are_accepted_and_mean_what_is_said_of_them() {
    let folder = Folder::new("diff-blocks");
    for (name, rules) in ["old.sk", "new.sk"].into_iter().zip(IN_BLOCKS) {
        folder.write(
            name,
            format!(
                "interfaces lo\ndefault in drop\nlive set admins max 10\nallow tcp from @admins to port 22\n\
                 for netns \"blue\" {{\n    interfaces eth0\n    {rules}\n}}\n"
            ),
        );
    }
    let value = folder.json(&["old.sk", "new.sk", "--all"]);
    let changes = value["changes"].as_array().unwrap();
    assert!(changes.len() > 8, "{value}");
    for about in [true, false] {
        assert!(changes.iter().any(|one| one["malformed"] == about));
    }
    for change in changes {
        let example = change["example"].as_str().unwrap();
        assert!(example.contains("in netns \"blue\""), "{example}");
        for (policy, side) in [("old.sk", "from"), ("new.sk", "to")] {
            let said = change[side].as_str().unwrap();
            assert_eq!(folder.verdict(policy, example), said, "{example}");
        }
    }
    let moved = value["counters"].as_array().unwrap();
    assert!(moved.len() > 2, "{value}");
    for one in moved {
        let example = one["example"].as_str().unwrap();
        let verdicts = ["old.sk", "new.sk"].map(|policy| folder.verdict(policy, example));
        assert_eq!(verdicts[0], verdicts[1], "{example}");
    }
}

/// Whoever takes an example to `explain` is told what the comparison says.
#[test]
fn examples_mean_what_is_said_of_them() {
    for case in CASES {
        let folder = Folder::of(case);
        // Tests inside the policies would keep `explain` from answering.
        for name in ["old.sk", "new.sk"] {
            let path = folder.0.join(name);
            let text = fs::read_to_string(&path).unwrap();
            folder.write(name, without_expectations(&text));
        }
        let value = folder.json(&["old.sk", "new.sk"]);
        for change in value["changes"].as_array().unwrap() {
            let example = change["example"].as_str().unwrap();
            for (policy, side) in [("old.sk", "from"), ("new.sk", "to")] {
                // A shortcut is another way to the same peer: `explain` says allow.
                let said = change[side].as_str().unwrap().replace("shortcut", "allow");
                assert_eq!(
                    folder.verdict(policy, example),
                    said,
                    "{}: {policy} {change}",
                    case.name
                );
            }
        }
    }
}

/// A policy without its `expect` lines, also where they go over several lines.
fn without_expectations(text: &str) -> String {
    let mut open = false;
    let kept = text.lines().filter(|line| {
        let begins = line.trim_start().starts_with("expect ");
        let inside = open;
        open = (begins && line.ends_with('{')) || (open && !line.starts_with('}'));
        !begins && !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_manual_shows_a_golden() {
    let page = text("docs/diff.md");
    let shown = text("golden/diff/web-ssh-for-all.txt");
    assert!(
        page.contains(&format!("```text\n{shown}```\n")),
        "docs/diff.md does not show it:\n{shown}"
    );
}
