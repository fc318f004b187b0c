//! `sockc test` as a user meets it: what it prints, how it ends, what it writes, and the worked example of the manual.

use std::fs;

use serde_json::Value;

use crate::folder::{Folder, code, stderr, stdout};
use crate::repository::{root, text};

const EDGE: &str = "default in drop
allow tcp from 10.0.0.0/8 to any:22
expect allow tcp from 10.0.0.0/8 to any:22
";
const GUARD: &str = "expect drop from not 10.0.0.0/8 to any
expect drop udp, icmp from any to any
expect drop tcp from any to any:0-21
expect drop tcp from any to any:23-65535
";

#[test]
fn each_line_is_said_with_how_it_stands() {
    let folder = Folder::new("test-lines");
    folder.write("edge.sk", EDGE);
    folder.write("guard.sk", GUARD);
    let output = folder.sockc(&["test", "edge.sk", "guard.sk"], b"");
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    let said = stdout(&output);
    assert!(
        said.starts_with("holds  edge.sk:3  expect allow tcp from 10.0.0.0/8 to any:22\n")
            && said.contains("\nholds  guard.sk:4  expect drop tcp from any to any:23-65535\n")
            && said.ends_with("\nAll 5 lines hold.\n"),
        "{said}"
    );
    // A guard that is violated ends the command as everywhere, and a line of the policy's own too.
    folder.write("strict.sk", "expect drop tcp from any to any:22\n");
    let output = folder.sockc(&["test", "edge.sk", "strict.sk", "--mutate"], b"");
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.contains(
            "broken strict.sk:1  expect drop tcp from any to any:22\n       tcp from 10."
        ) && said
            .contains(" gets allow\n       by edge.sk:2  allow tcp from 10.0.0.0/8 to any:22\n")
            && said.ends_with("1 of 2 lines hold.\n"),
        "{said}"
    );
    assert!(stderr(&output).contains("no change was tried"));
    folder.write(
        "wrong.sk",
        format!("{EDGE}expect drop tcp from any to any:22\n"),
    );
    assert_eq!(code(&folder.sockc(&["test", "wrong.sk"], b"")), 1);
    folder.write("bad.sk", "default in drop\nallow tcp to @none:22\n");
    let output = folder.sockc(&["test", "bad.sk"], b"");
    assert_eq!((code(&output), stdout(&output)), (1, String::new()));
    assert_eq!(code(&folder.sockc(&["test", "edge.sk", "bad.sk"], b"")), 1);
    assert_eq!(
        code(&folder.sockc(&["test", "-", "-"], EDGE.as_bytes())),
        64
    );
    let output = folder.sockc(&["test", "-"], EDGE.as_bytes());
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).ends_with("The line holds.\n"));
}

#[test]
fn changes_that_nobody_notices_are_told_and_written_as_a_guard() {
    let folder = Folder::new("test-mutate");
    folder.write("edge.sk", EDGE);
    folder.write("guard.sk", GUARD);
    let whole = folder.sockc(&["test", "edge.sk", "guard.sk", "--mutate"], b"");
    assert_eq!(code(&whole), 0, "{}", stdout(&whole));
    assert!(stdout(&whole).contains("\n0 of "), "{}", stdout(&whole));
    let arguments = ["test", "edge.sk", "--mutate", "--write-expects", "more.sk"];
    let output = folder.sockc(&arguments, b"");
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains(" written to more.sk"));
    // What is written is kept to, and leaves nothing unnoticed.
    let again = folder.sockc(&["test", "edge.sk", "more.sk", "--mutate"], b"");
    assert_eq!(code(&again), 0, "{}", stdout(&again));
    let again = folder.sockc(&["check", "edge.sk", "--guard", "more.sk"], b"");
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    // Files that are read are not written over.
    for lost in ["edge.sk", "more.sk", "./more.sk"] {
        let arguments = [
            "test",
            "edge.sk",
            "more.sk",
            "--mutate",
            "--write-expects",
            lost,
        ];
        let before = folder.read(lost);
        let output = folder.sockc(&arguments, b"");
        assert_eq!((code(&output), folder.read(lost)), (64, before), "{lost}");
    }
    // No line is no file.
    let arguments = [
        "test",
        "edge.sk",
        "more.sk",
        "--mutate",
        "--write-expects",
        "none.sk",
    ];
    let output = folder.sockc(&arguments, b"");
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("none.sk was not written"));
    assert!(!folder.0.join("none.sk").exists());
    let lonely = folder.sockc(&["test", "edge.sk", "--at-most", "3"], b"");
    assert_eq!(code(&lonely), 64);
}

#[test]
fn as_json_it_has_lines_and_changes() {
    let folder = Folder::new("test-json");
    folder.write("edge.sk", EDGE);
    folder.write("guard.sk", "expect drop udp from any to any\n");
    let json = |arguments: &[&str]| {
        let output = folder.sockc(arguments, b"");
        let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(value["format"], "sockc.test/1");
        (code(&output), value)
    };
    let (ended, value) = json(&["test", "edge.sk", "guard.sk", "--json"]);
    assert_eq!((ended, &value["changes"]), (0, &Value::Null));
    assert_eq!(value["lines"][0]["holds"], true);
    assert_eq!(
        value["guards"][0]["text"],
        "expect drop udp from any to any"
    );
    let (ended, value) = json(&["test", "edge.sk", "--mutate", "--at-most", "4", "--json"]);
    assert_eq!(ended, 2);
    let changes = &value["changes"];
    assert_eq!(changes["tried"], 4);
    let gap = &changes["unnoticed"][0];
    for field in ["kind", "change", "packet", "from", "to", "expect"] {
        assert!(gap[field].is_string(), "{field} in {gap}");
    }
    assert_eq!(gap["rule"]["file"], "edge.sk");
}

/// The example of the manual: its policy, and what the command says of it. `SOCKC_BLESS=1` writes that.
#[test]
fn the_manual_shows_what_is_said() {
    let page = text("docs/expect.md");
    let (_, section) = page.split_once("\n## What no line notices\n").unwrap();
    let block = |fence: &str| {
        let (_, rest) = section.split_once(&format!("\n{fence}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let folder = Folder::new("test-manual");
    folder.write("edge.sk", block("```sk"));
    let output = folder.sockc(&["test", "edge.sk", "--mutate"], b"");
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let (shown, said) = (block("```text"), stdout(&output));
    if shown != said && std::env::var_os("SOCKC_BLESS").is_some() {
        let old = format!("\n```text\n{shown}```");
        let new = format!("\n```text\n{said}```");
        fs::write(root().join("docs/expect.md"), page.replace(&old, &new)).unwrap();
        return;
    }
    assert_eq!(shown, said, "SOCKC_BLESS=1 writes it");
}
