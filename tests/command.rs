//! The command as a user meets it: exit codes, JSON, standard input, files. Nothing here needs rights.

use std::fs;

use serde_json::Value;

use crate::folder::{Folder, code, stderr, stdout};

const GOOD: &str =
    "default in drop\nallow icmp fragmentation-needed\nallow tcp to 192.0.2.0/24:22\n";
const BAD: &str = "default in drop\nallow tcp to 10.0.0.1/8:22\n";

#[test]
fn check_is_silent_about_what_is_clean() {
    let folder = Folder::new("check-clean");
    folder.write("good.sk", GOOD);
    let output = folder.sockc(&["check", "good.sk"], b"");
    assert_eq!(
        (code(&output), stdout(&output), stderr(&output)),
        (0, String::new(), String::new())
    );
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let folder = Folder::new("check-bad");
    folder.write("bad.sk", BAD);
    let output = folder.sockc(&["check", "bad.sk"], b"");
    assert_eq!((code(&output), stdout(&output)), (1, String::new()));
    let said = stderr(&output);
    assert!(
        said.contains("bad.sk:2:14") && said.contains("10.0.0.0/8"),
        "{said}"
    );
}

#[test]
fn check_reads_standard_input() {
    let folder = Folder::new("check-stdin");
    assert_eq!(code(&folder.sockc(&["check", "-"], GOOD.as_bytes())), 0);
    assert_eq!(code(&folder.sockc(&["check", "-"], BAD.as_bytes())), 1);
}

#[test]
fn check_as_json_has_the_promised_form() {
    let folder = Folder::new("check-json");
    folder.write("bad.sk", BAD);
    let output = folder.sockc(&["check", "--json", "bad.sk"], b"");
    assert_eq!(code(&output), 1);
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["format"], "sockc.check/1");
    let one = &value["diagnostics"][0];
    assert_eq!(
        (&one["severity"], &one["line"], &one["column"]),
        (&"error".into(), &2.into(), &14.into())
    );
    assert_eq!(one["file"], "bad.sk");
    for field in ["code", "message", "help"] {
        assert!(one[field].is_string(), "{field} in {one}");
    }
    folder.write("good.sk", GOOD);
    let clean = folder.sockc(&["check", "--json", "good.sk"], b"");
    let value: Value = serde_json::from_str(&stdout(&clean)).unwrap();
    assert_eq!(
        (code(&clean), &value["diagnostics"]),
        (0, &Value::Array(Vec::new()))
    );
}

#[test]
fn wrong_use_ends_with_64() {
    let folder = Folder::new("usage");
    folder.write("good.sk", GOOD);
    let wrong: [&[&str]; 5] = [
        &[],
        &["chek", "good.sk"],
        &["check"],
        &["check", "--jsn", "good.sk"],
        &["compile", "good.sk", "--emit", "poetry"],
    ];
    for arguments in wrong {
        let output = folder.sockc(arguments, b"");
        assert_eq!(code(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(code(&folder.sockc(&["--help"], b"")), 0);
}

#[test]
fn fmt_writes_one_form() {
    let folder = Folder::new("fmt");
    let crooked =
        "default   in drop   # keep me\nallow tcp  if socket exists   to 192.0.2.0/24:22\n";
    folder.write("a.sk", crooked);
    let check = folder.sockc(&["fmt", "--check", "a.sk"], b"");
    assert_eq!((code(&check), folder.read("a.sk").as_str()), (1, crooked));
    assert!((stdout(&check) + &stderr(&check)).contains("a.sk"));
    let piped = folder.sockc(&["fmt", "-"], crooked.as_bytes());
    assert_eq!(code(&folder.sockc(&["fmt", "a.sk"], b"")), 0);
    let written = folder.read("a.sk");
    assert_eq!(stdout(&piped), written);
    assert!(
        written.contains("# keep me") && written.contains("to 192.0.2.0/24:22 if socket exists"),
        "{written}"
    );
    assert_eq!(code(&folder.sockc(&["fmt", "--check", "a.sk"], b"")), 0);
    assert_eq!(code(&folder.sockc(&["fmt", "-"], b"allow tcp to")), 1);
}

#[test]
fn compile_writes_an_object_where_it_is_told() {
    let folder = Folder::new("compile");
    folder.write("good.sk", GOOD);
    assert_eq!(code(&folder.sockc(&["compile", "good.sk"], b"")), 0);
    assert_eq!(
        code(&folder.sockc(&["compile", "good.sk", "-o", "other.o"], b"")),
        0
    );
    let object = fs::read(folder.0.join("good.o")).unwrap();
    assert!(object.starts_with(b"\x7fELF"));
    assert_eq!(fs::read(folder.0.join("other.o")).unwrap(), object);
}

#[test]
fn counters_are_left_out_when_that_is_asked_for() {
    let folder = Folder::new("no-counters");
    folder.write("good.sk", GOOD);
    let whole = folder.sockc(&["compile", "good.sk", "-o", "with.o", "--json"], b"");
    let less = folder.sockc(&["compile", "good.sk", "--no-counters", "--json"], b"");
    assert!(
        stdout(&whole).contains("\"counters\""),
        "{}",
        stdout(&whole)
    );
    assert!(!stdout(&less).contains("\"counters\""), "{}", stdout(&less));
    // What is compiled already cannot be asked for it.
    let object = folder.sockc(&["apply", "good.o", "--no-counters", "--yes"], b"");
    assert_eq!(code(&object), 64);
    assert!(
        stderr(&object).contains("--no-counters is for policies"),
        "{}",
        stderr(&object)
    );
}

#[test]
fn a_bad_policy_gives_no_object() {
    let folder = Folder::new("compile-bad");
    folder.write("bad.sk", BAD);
    assert_eq!(code(&folder.sockc(&["compile", "bad.sk"], b"")), 1);
    assert!(!folder.0.join("bad.o").exists());
}

/// What only an old kernel refuses has a meaning all the same.
#[test]
fn explain_decides_what_the_oldest_kernel_cannot_hold() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/codes/E0401.md"));
    let page = page.unwrap();
    let bad = page.split("## Bad").nth(1).unwrap();
    let block = bad.split("```").nth(1).unwrap();
    let (_, text) = block.split_once('\n').unwrap();
    let folder = Folder::new("far");
    folder.write("far.sk", text);
    let packet = "udp from 60.0.0.1:20000 to 94.0.0.1:20000";
    let explained = folder.sockc(&["explain", "far.sk", packet], b"");
    let said = stderr(&explained);
    assert_eq!(code(&explained), 0, "{said}");
    assert!(said.contains("compiled for linux-6.6"), "{said}");
    let decided = stdout(&explained);
    assert!(decided.contains("=> allow"), "{decided}");
    assert_eq!(code(&folder.sockc(&["compile", "far.sk"], b"")), 1);
}

#[test]
fn every_stage_has_a_text_form() {
    let folder = Folder::new("emit");
    folder.write("good.sk", GOOD);
    for stage in [
        "tokens",
        "policy",
        "placement",
        "decision",
        "ir-lowered",
        "ir",
        "asm",
        "json",
        "dot",
    ] {
        let output = folder.sockc(&["compile", "good.sk", "--emit", stage], b"");
        assert_eq!(code(&output), 0, "{stage}: {}", stderr(&output));
        assert!(!output.stdout.is_empty(), "{stage}");
    }
    assert!(!folder.0.join("good.o").exists());
}

#[test]
fn no_input_is_a_bug() {
    let folder = Folder::new("no-bug");
    let deep = format!("allow if {} fragment", "no ".repeat(5_000));
    let inputs: [&[u8]; 8] = [
        b"",
        b"\xff\xfe\x00",
        b"allow",
        b"}}}}{{{{",
        b"default in drop\nallow tcp to 1.2.3.4:99999999999999999999999",
        b"set a = @a\nset b = { 10.0.0.9-10.0.0.1 }",
        "allow tcp to \u{1F600}".as_bytes(),
        deep.as_bytes(),
    ];
    for input in inputs {
        for verb in ["check", "fmt", "compile"] {
            let output = folder.sockc(&[verb, "-"], input);
            let fine = matches!(code(&output), 0 | 1);
            let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
            assert!(
                fine,
                "{verb} of {shown:?}: {} {}",
                code(&output),
                stderr(&output)
            );
        }
    }
}

#[test]
fn files_are_found_beside_the_policy_and_for_standard_input_in_the_current_folder() {
    let folder = Folder::new("includes");
    fs::create_dir_all(folder.0.join("site")).unwrap();
    folder.write(
        "site/common.sk",
        "set office = file \"office.txt\" max 10\n",
    );
    folder.write(
        "site/office.txt",
        "10.20.0.0/16 # all of it\r\n2001:db8:20::/48\r\n",
    );
    folder.write(
        "site/edge.sk",
        "include \"common.sk\"\ndefault in drop\nallow from @office\n",
    );
    let output = folder.sockc(&["check", "site/edge.sk"], b"");
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let text = b"include \"site/common.sk\"\ndefault in drop\nallow from @office\n";
    let output = folder.sockc(&["check", "-"], text);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    folder.write("site/office.txt", "10.20.0.1/16\n");
    let output = folder.sockc(&["check", "site/edge.sk"], b"");
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("--> site/office.txt:1:1"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_essentials_are_a_policy_as_they_are_printed() {
    let folder = Folder::new("essentials");
    let output = folder.sockc(&["show", "essentials"], b"");
    assert_eq!(code(&output), 0);
    let text = stdout(&output);
    let policy = format!("default in drop\n{text}");
    let output = folder.sockc(&["check", "-"], policy.as_bytes());
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let output = folder.sockc(&["fmt", "-"], text.as_bytes());
    assert_eq!(stdout(&output), text);
    let output = folder.sockc(&["show", "esentials"], b"");
    assert_eq!(code(&output), 64);
}

/// Its rules cross, which is told only if it is asked for.
const CROSSING: &str =
    "default in drop\ninclude <essentials>\ndrop tcp from 203.0.113.0/24\nallow tcp to any:443\n";

#[test]
fn crossing_rules_are_told_if_that_is_asked_for() {
    let folder = Folder::new("crossing");
    folder.write("crossing.sk", CROSSING);
    let check = |options: &[&str]| {
        let output = folder.sockc(&[&["check", "crossing.sk"], options].concat(), b"");
        let crosses = stderr(&output).contains("[W0611]");
        (code(&output), crosses)
    };
    assert_eq!(check(&[]), (0, false));
    assert_eq!(check(&["--deny", "all"]), (0, false));
    assert_eq!(check(&["--warn", "W0611"]), (0, true));
    assert_eq!(check(&["--warn", "all"]), (0, true));
    assert_eq!(check(&["--warn", "all", "--allow", "W0611"]), (0, false));
    assert_eq!(check(&["--warn", "W0611", "--allow", "all"]), (0, true));
    assert_eq!(check(&["--deny", "W0611"]), (1, true));
    assert_eq!(check(&["--warn", "W0061"]).0, 64);
}

/// Its third line is never reached, which is a warning.
const WARNED: &str = "default in allow\ndrop from 10.0.0.0/8\nallow tcp from 10.0.0.0/8\n";

#[test]
fn warnings_are_denied_and_allowed() {
    let folder = Folder::new("lints");
    folder.write("warned.sk", WARNED);
    let check = |options: &[&str]| {
        let output = folder.sockc(&[&["check", "warned.sk"], options].concat(), b"");
        (code(&output), stderr(&output))
    };
    let (plain, said) = check(&[]);
    assert!(plain == 0 && said.contains("warning[W0601]"), "{said}");
    let (denied, said) = check(&["--deny", "W0601"]);
    assert!(denied == 1 && said.contains("error[W0601]"), "{said}");
    assert_eq!(check(&["--deny", "all"]).0, 1);
    assert_eq!(check(&["--deny", "W0602", "--deny", "W0601"]).0, 1);
    assert_eq!(check(&["--allow", "W0601"]), (0, String::new()));
    let (allowed, said) = check(&["--deny", "all", "--allow", "W0601"]);
    assert_eq!((allowed, said), (0, String::new()));
    let (unknown, said) = check(&["--deny", "W0061"]);
    assert!(
        unknown == 64 && said.contains("did you mean `W0601`"),
        "{said}"
    );
    assert_eq!(check(&["--allow", "E0203"]).0, 64);
    let compiled = folder.sockc(&["compile", "warned.sk", "--deny", "all"], b"");
    assert_eq!(code(&compiled), 1);
    assert!(!folder.0.join("warned.o").exists());
}

#[test]
fn codes_are_explained() {
    let folder = Folder::new("explain-code");
    let page = folder.sockc(&["explain-code", "W0601"], b"");
    assert_eq!(code(&page), 0);
    assert!(stdout(&page).starts_with("# W0601: a rule that is never reached"));
    let list = stdout(&folder.sockc(&["explain-code"], b""));
    assert!(list.lines().count() > 100 && list.contains("W0601  a rule that is never reached"));
    let json = folder.sockc(&["explain-code", "E0203", "--json"], b"");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["format"], "sockc.explain-code/1");
    assert_eq!(json["codes"][0]["code"], "E0203");
    assert!(
        json["codes"][0]["page"]
            .as_str()
            .unwrap()
            .contains("## Good")
    );
    let unknown = folder.sockc(&["explain-code", "E2003"], b"");
    assert_eq!(code(&unknown), 64);
    assert!(stderr(&unknown).contains("`E0203`"), "{}", stderr(&unknown));
}

#[test]
fn text_of_another_encoding_is_named() {
    let folder = Folder::new("utf16");
    for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
        std::fs::write(folder.0.join("wide.sk"), [&mark[..], b"d\0"].concat()).unwrap();
        let refused = folder.sockc(&["check", "wide.sk"], b"");
        assert_eq!(code(&refused), 1);
        let said = stderr(&refused);
        assert!(said.contains("iconv -f UTF-16 -t UTF-8"), "{said}");
    }
    std::fs::write(folder.0.join("odd.sk"), b"drop \xe9").unwrap();
    let said = stderr(&folder.sockc(&["check", "odd.sk"], b""));
    assert!(said.contains("byte 5 is not UTF-8 text"), "{said}");
}

/// The verbs that `sockc --help` lists, but for `help`.
fn verbs(folder: &Folder) -> Vec<String> {
    let help = stdout(&folder.sockc(&["--help"], b""));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.map_while(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn manual_pages_and_completions_know_every_verb() {
    let folder = Folder::new("pages");
    let verbs = verbs(&folder);
    assert!(verbs.len() > 15, "{verbs:?}");
    let folder_of_pages = folder.0.join("man1");
    let written = folder.sockc(&["man", "man1", "--json"], b"");
    let written: Value = serde_json::from_slice(&written.stdout).unwrap();
    assert_eq!(written["format"], "sockc.man/1");
    let page = |name: &str| {
        let text = std::fs::read_to_string(folder_of_pages.join(format!("{name}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {name} 1")), "{text}");
        text
    };
    let own = page("sockc");
    for verb in &verbs {
        assert!(page(&format!("sockc-{verb}")).contains("docs/"), "{verb}");
        let reference = format!("sockc\\-{}(1)", verb.replace('-', "\\-"));
        assert!(own.contains(&reference), "{reference}: {own}");
    }
    assert!(page("sockc-set-load").contains("Replace everything that is in it"));
    assert!(!own.contains("help(1)"), "{own}");
    assert_eq!(code(&folder.sockc(&["man", "man1/sockc.1"], b"")), 3);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&folder.sockc(&["completions", shell], b""));
        let lacks = |verb: &&String| !script.contains(verb.as_str());
        assert_eq!(verbs.iter().find(lacks), None, "{shell}");
    }
    assert_eq!(code(&folder.sockc(&["completions", "cmd"], b"")), 64);
}

#[test]
fn verbose_says_what_each_stage_took_and_quiet_says_nothing() {
    let folder = Folder::new("verbose");
    folder.write("good.sk", GOOD);
    let verbose = folder.sockc(&["compile", "-v", "good.sk"], b"");
    assert_eq!(code(&verbose), 0);
    let said = stderr(&verbose);
    for stage in [
        "read the policy",
        "resolve",
        "lint",
        "emit",
        "write the object",
        "in all",
    ] {
        assert!(said.contains(stage), "{stage}: {said}");
    }
    assert!(said.contains("most memory"), "{said}");
    assert_eq!(stderr(&folder.sockc(&["check", "good.sk"], b"")), "");
}

#[test]
fn of_many_warnings_the_first_are_shown_and_json_has_all() {
    let folder = Folder::new("many");
    let rules: String = (0..30)
        .map(|port| format!("drop tcp to any:{port}\n"))
        .collect();
    folder.write("many.sk", format!("default in allow\ndrop tcp\n{rules}"));
    let shown = stderr(&folder.sockc(&["check", "many.sk"], b""));
    assert_eq!(shown.matches("warning[W0601]").count(), 20, "{shown}");
    assert!(shown.contains("10 more W0601"), "{shown}");
    let json = stdout(&folder.sockc(&["check", "--json", "many.sk"], b""));
    assert_eq!(json.matches("\"W0601\"").count(), 30, "{json}");
}

/// Standard output as JSON, and the exit code.
fn json_of(output: &std::process::Output) -> (i32, Value) {
    let text = stdout(output);
    let value = serde_json::from_str(&text);
    (
        code(output),
        value.unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

#[test]
fn every_error_has_one_form_in_json() {
    let folder = Folder::new("error-json");
    folder.write("good.sk", GOOD);
    folder.write("bad.sk", BAD);
    let cases: [(&[&str], i32, &str); 11] = [
        (&["check", "nosuch.sk"], 3, "nosuch.sk"),
        (&["check", "good.sk", "nosuch.sk"], 3, "nosuch.sk"),
        (&["fmt", "--check", "nosuch.sk"], 3, "nosuch.sk"),
        (&["compile", "nosuch.sk"], 3, "nosuch.sk"),
        (&["compile", "bad.sk"], 1, "not a multiple"),
        (
            &["explain", "bad.sk", "tcp from 8.8.8.8 to 192.0.2.1:22"],
            1,
            "",
        ),
        (&["explain", "good.sk", "tpc"], 64, ""),
        (&["diff", "good.sk", "bad.sk"], 1, ""),
        (&["plan", "bad.sk"], 1, ""),
        (&["show", "nothing"], 64, "nothing"),
        (&["check", "--nonsense", "good.sk"], 64, "--nonsense"),
    ];
    for (arguments, ends, _) in cases {
        let output = folder.sockc(&[arguments, &["--json"]].concat(), b"");
        let (code, value) = json_of(&output);
        assert_eq!(code, ends, "{arguments:?}: {}", stderr(&output));
        assert_eq!(value["format"], "sockc.error/1", "{arguments:?}: {value}");
        assert_eq!(value["code"], ends, "{arguments:?}");
        assert!(
            value["error"].as_str().is_some_and(|one| !one.is_empty()),
            "{value}"
        );
        assert!(value["diagnostics"].is_array(), "{value}");
    }
    let (_, missing) = json_of(&folder.sockc(&["check", "nosuch.sk", "--json"], b""));
    assert_eq!(missing["path"], "nosuch.sk");
    let (_, bad) = json_of(&folder.sockc(&["compile", "bad.sk", "--json"], b""));
    assert_eq!(bad["diagnostics"][0]["line"], 2);
}

#[test]
fn every_result_in_json_has_diagnostics() {
    let folder = Folder::new("result-json");
    folder.write("good.sk", GOOD);
    let packet = "tcp from 8.8.8.8:40000 to 192.0.2.1:22";
    let cases: [&[&str]; 6] = [
        &["check", "good.sk"],
        &["fmt", "--check", "good.sk"],
        &["compile", "good.sk"],
        &["explain", "good.sk", packet],
        &["diff", "good.sk", "good.sk"],
        &["show", "essentials"],
    ];
    for arguments in cases {
        let (_, value) = json_of(&folder.sockc(&[arguments, &["--json"]].concat(), b""));
        assert!(value["diagnostics"].is_array(), "{arguments:?}: {value}");
        assert!(
            value["format"].as_str().unwrap().starts_with("sockc."),
            "{value}"
        );
    }
    let (_, shown) = json_of(&folder.sockc(&["show", "essentials", "--json"], b""));
    assert!(shown["text"].as_str().unwrap().contains("allow"));
}

#[test]
fn a_broken_expectation_has_its_parts_in_json() {
    let folder = Folder::new("expect-json");
    folder.write(
        "e.sk",
        "default in drop\nssh: allow tcp to port 22\nexpect drop tcp from any to any:22\n",
    );
    let (code, value) = json_of(&folder.sockc(&["check", "e.sk", "--json"], b""));
    assert_eq!(code, 1);
    let one = &value["diagnostics"][0];
    assert_eq!(one["code"], "E0501", "{value}");
    assert!(
        one["packet"].as_str().unwrap().starts_with("tcp from "),
        "{one}"
    );
    assert_eq!(one["verdict"], "allow");
    assert!(one["rule"].as_str().unwrap().contains("ssh"), "{one}");
    assert_eq!(one["rule_line"], "2");
}

#[test]
fn fmt_shows_what_would_change_and_says_that_line_ends_do() {
    let folder = Folder::new("fmt-diff");
    folder.write(
        "a.sk",
        "default in drop\nallow  tcp to port   22\nallow udp to port 53\n",
    );
    let shown = folder.sockc(&["fmt", "--check", "--diff", "a.sk"], b"");
    assert_eq!(shown.status.code(), Some(1));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.starts_with("--- a.sk\n+++ a.sk, formatted\n"),
        "{text}"
    );
    assert!(
        text.contains("-allow  tcp to port   22\n+allow tcp to port 22\n"),
        "{text}"
    );
    assert!(text.contains("\n allow udp to port 53\n"), "{text}");
    let (_, value) = json_of(&folder.sockc(&["fmt", "--check", "--diff", "--json", "a.sk"], b""));
    assert_eq!(value["files"][0]["diff"], text.as_str());

    folder.write("b.sk", "default in drop\r\nallow tcp to port 22\r\n");
    let output = folder.sockc(&["fmt", "b.sk"], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains("b.sk: lines that end with CR and LF end with LF"),
        "{}",
        stderr(&output)
    );
}
