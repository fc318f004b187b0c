//! What needs no rights: several files, odd bytes, colour, and readers that go away.

use std::process::Stdio;

use super::{Folder, run, run_with_input, sockc};

const CLEAN: &str = "default in drop\nallow tcp to 192.0.2.1:22\nallow icmp fragmentation-needed\n";

#[test]
fn help_and_version_are_results() {
    for arguments in [&["--help"][..], &["--version"], &["check", "--help"]] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stderr.is_empty() && !ran.stdout.is_empty());
    }
}

#[test]
fn check_names_every_mistake_of_every_file() {
    let folder = Folder::new("check");
    let good = folder.file("good.sk", CLEAN);
    let bad = folder.file(
        "bad.sk",
        "default in drop\nallow tcp to 10.0.0.1/8\ndrop in from @nobody\n",
    );
    let ran = run(&["check", &good, &bad]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.is_empty());
    assert!(
        ran.stderr.contains("bad.sk:2:") && ran.stderr.contains("bad.sk:3:"),
        "{}",
        ran.stderr
    );
    let ran = run(&["check", "--json", &good, &bad]);
    assert_eq!(ran.code, Some(1));
    let json = ran.json();
    assert_eq!(json["format"], "sockc.check/1");
    let found = json["diagnostics"].as_array().unwrap();
    assert_eq!(found.len(), 2);
    let first = found[0].as_object().unwrap();
    let mut keys: Vec<_> = first.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "code", "column", "file", "help", "line", "message", "severity"
        ]
    );
    assert_eq!(
        (&first["line"], &first["severity"]),
        (&2.into(), &"error".into())
    );
    assert_eq!(first["file"], bad);
}

#[test]
fn text_that_is_not_utf8_is_a_mistake_of_the_policy() {
    let folder = Folder::new("utf8");
    let path = folder.0.join("bad.sk");
    std::fs::write(&path, b"default in drop\n\xff\n").unwrap();
    let ran = run(&["check", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("byte 16"), "{}", ran.stderr);
}

#[test]
fn colour_is_asked_for() {
    let bad = "allow tpc\n";
    let escape = '\u{1b}';
    assert!(!run_with_input(&["check", "-"], bad).stderr.contains(escape));
    assert!(
        run_with_input(&["check", "-", "--color", "always"], bad)
            .stderr
            .contains(escape)
    );
    assert!(
        !run_with_input(&["check", "-", "--color", "never"], bad)
            .stderr
            .contains(escape)
    );
}

#[test]
fn fmt_leaves_a_wrong_file_alone() {
    let folder = Folder::new("fmt-wrong");
    let path = folder.file("a.sk", "default   in drop\nnonsense\n");
    let ran = run(&["fmt", &path]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "default   in drop\nnonsense\n"
    );
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn compile_writes_into_the_current_folder() {
    let folder = Folder::new("compile");
    folder.file("edge.sk", CLEAN);
    let output = sockc(&["compile", "edge.sk"])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        table.contains("xdp_in") && table.contains("wrote edge.o"),
        "{table}"
    );
    let bytes = std::fs::read(folder.0.join("edge.o")).unwrap();
    assert!(bytes.starts_with(b"\x7fELF"));
    let again = sockc(&["compile", "edge.sk", "-o", "-"])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert_eq!(again.stdout, bytes, "same input, same bytes");
}

#[test]
fn a_reader_that_goes_away_is_no_bug() {
    let folder = Folder::new("pipe");
    let path = folder.file("edge.sk", CLEAN);
    let mut child = sockc(&["compile", &path, "--emit", "asm"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn results_that_cannot_be_written_are_not_lost_in_silence() {
    let folder = Folder::new("full");
    let path = folder.file("edge.sk", CLEAN);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = sockc(&["compile", &path, "--emit", "asm"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the command was carried out, and"), "{said}");
}

#[test]
fn nothing_is_written_over_the_policy_it_is_made_from() {
    let folder = Folder::new("over");
    let path = folder.file("edge.sk", CLEAN);
    let linked = folder.0.join("linked.sk").display().to_string();
    std::os::unix::fs::symlink(&path, &linked).unwrap();
    for to in [&path, &linked] {
        let output = sockc(&["compile", &path, "-o", to]).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), CLEAN);
    }
}

/// A copy that was cut off, or a pipe whose first half failed, must not open the machine.
#[test]
fn a_policy_that_says_nothing_is_refused() {
    let folder = Folder::new("nothing");
    let object = folder.0.join("empty.o");
    let object = object.to_str().unwrap();
    for text in [
        "",
        "\n# nothing but words\n",
        "sockc 1\npolicy edge\n",
        "expect drop tcp from any to any:22\n",
    ] {
        let empty = folder.file("empty.sk", text);
        for arguments in [
            vec!["check", &empty],
            vec!["compile", &empty, "-o", object],
            vec!["explain", &empty, "tcp from 192.0.2.1:1 to 192.0.2.2:2"],
            vec!["plan", &empty, "--interface", "lo"],
            vec!["apply", &empty, "--interface", "lo", "--yes"],
        ] {
            let ran = run(&arguments);
            assert_eq!(ran.code, Some(1), "{arguments:?}: {}", ran.stderr);
            let said = "this policy says nothing";
            assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("`sockc unload` takes everything away"));
        }
    }
    let ran = run_with_input(&["apply", "-", "--interface", "lo", "--yes"], "");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("error[E0258]"), "{}", ran.stderr);
    assert!(!std::path::Path::new(object).exists());
    let ran = run(&["diff", "/dev/null", &folder.file("new.sk", CLEAN)]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

/// What its bytes are says nothing to a person; what it is and who takes it does.
#[test]
fn an_object_is_no_text() {
    let folder = Folder::new("no-text");
    let policy = folder.file("a.sk", "default in drop\n");
    let object = folder.0.join("a.o").to_str().unwrap().to_owned();
    let made = run(&["compile", &policy, "-o", &object]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    for arguments in [
        &["check", &object][..],
        &["explain", &object, "tcp to 192.0.2.1:80"],
        &["fmt", &object],
        &["diff", &policy, &object],
        &["diff", &object, &policy],
        &["compile", &object],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {}", ran.stderr);
        for words in ["this is an object file", "`sockc apply`", "`sockc plan`"] {
            assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        }
    }
}

/// Connections that stand keep their socket only where they may go on, and had one.
#[test]
fn a_redirect_that_lets_nobody_in_moves_nobody() {
    let folder = Folder::new("moves");
    let head = "interfaces eth0\ndefault in drop\nsocket a = registered\nsocket b = registered\n";
    let file = |name: &str, rule: &str| folder.file(name, &format!("{head}{rule}\n"));
    let to_a = "redirect tcp to port 80 to sock a";
    let to_b = "redirect tcp to port 80 to sock b";
    let [wide, narrow] = [8, 9].map(|length| format!("drop tcp from 10.0.0.0/{length}\n{to_a}"));
    for (number, (before, after, moves)) in [
        (to_a, to_b, true),
        ("allow tcp to port 80", to_a, true),
        // What was dropped has no connections, and what is dropped from now on goes nowhere.
        (&wide, &narrow, false),
        (&narrow, &wide, false),
    ]
    .into_iter()
    .enumerate()
    {
        let [old, new] = [("old", before), ("new", after)]
            .map(|(name, rule)| file(&format!("{name}{number}.sk"), rule));
        let ran = run(&["diff", &old, &new]);
        let told = ran
            .stdout
            .contains("established connections keep their old socket");
        assert_eq!(
            told, moves,
            "{before}, {after}: {}{}",
            ran.stdout, ran.stderr
        );
    }
}

#[test]
fn input_without_end_is_refused_at_once() {
    let folder = Folder::new("endless");
    let including = folder.file("a.sk", "include \"/dev/zero\"\ndefault in drop\n");
    let list = folder.file(
        "b.sk",
        "set a = file \"/dev/urandom\" max 10\ndefault in drop\ndrop from @a\n",
    );
    let policy = folder.file("c.sk", "default in drop\n");
    for (arguments, code) in [
        (&["check", "/dev/zero"][..], 3),
        (&["check", &including], 1),
        (&["check", &list], 1),
        (&["check", &policy, "--guard", "/dev/zero"], 3),
        (&["explain", &policy, "--pcap", "/dev/zero"], 3),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("a device"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}

/// Whoever wrote the command line did nothing wrong: the world has no such file, or does not let it be read.
#[test]
fn a_file_that_cannot_be_read_is_a_refusal_of_the_machine() {
    let folder = Folder::new("unread");
    let path = folder.file("edge.sk", CLEAN);
    let missing = folder.0.join("missing.sk").display().to_string();
    let directory = folder.0.display().to_string();
    for file in [missing.as_str(), &directory, "/dev/zero"] {
        for arguments in [
            vec!["check", file],
            vec!["fmt", file],
            vec!["compile", file],
            vec!["explain", file, "tcp from 8.8.8.8:4000 to 1.1.1.1:53"],
            vec!["explain", &path, "--pcap", file],
            vec!["diff", &path, file],
            vec!["diff", &path, &path, "--replay", file],
            vec!["try", file],
            vec!["plan", file],
            vec!["apply", file],
            vec!["check", &path, "--guard", file],
            vec!["set", "load", "banned", file],
            vec!["map", "load", "tenants", file],
        ] {
            let output = sockc(&arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
            assert!(
                said.contains("cannot read") && said.contains(file),
                "{arguments:?}: {said}"
            );
        }
    }
}
