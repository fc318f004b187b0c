//! Changes by somebody else's hand, with the tools that people have for it: each is told, at the pin where it was made.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use aya::programs::SchedClassifier;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::SchedClassifierLink;
use sockc_compiler::artifact::{AttachPoint, MapKind};
use sockc_runtime::{Applied, Drift, Error, Expiry, set_add, set_list, status, unload};

use crate::live_sets::{banning, prefix};

use crate::policy::*;
use crate::space::{Space, datagram_arrives, inside, run, skip};

/// Whether bpftool is there.
fn bpftool() -> bool {
    let there = Command::new("bpftool").arg("version").output().is_ok();
    if !there {
        skip("bpftool");
    }
    there
}

/// Drops what arrives, and has a map that is filled at apply only.
fn drops() -> Policy {
    policy("drops")
        .on(&["lo"])
        .map("ports", MapKind::DevMap, [4, 8, 1, 0])
        .with(|manifest| manifest.out_interfaces = vec!["lo".to_owned()])
        .rule(AttachPoint::TcIn, "in", TC_SHOT)
}

fn pin(space: &Space, end: &str) -> String {
    let mut paths = space.tree().into_iter();
    paths.find(|path| path.ends_with(end)).unwrap()
}

fn drift(space: &Space) -> Vec<Drift> {
    status(&space.options).unwrap().unwrap().drift
}

/// Puts another program into the link of a policy.
fn replace_program(space: &Space) {
    let program = pin(space, "/prog/tc_in");
    let mut program = SchedClassifier::from_pin(program).unwrap();
    let link = PinnedLink::from_pin(pin(space, "/link/tc-in_1_1_tcx")).unwrap();
    let link = SchedClassifierLink::try_from(FdLink::from(link)).unwrap();
    let id = program.attach_to_link(link).unwrap();
    // Its pin keeps it; dropping aya's handle would take nothing off.
    drop(program.take_link(id).unwrap());
}

/// What somebody does, at which pin it shows, what sockc left there and what is found; and whether the policy still holds.
type Change = (fn(&Space), &'static str, &'static str, &'static str, bool);

const CHANGES: [Change; 13] = [
    (
        |space| word(space, 0),
        "/control",
        "the generation 1",
        "0, which is no policy at all",
        false,
    ),
    (
        |space| word(space, 7),
        "/control",
        "the generation 1",
        "7, which no policy has",
        true,
    ),
    (
        |space| fs::remove_file(pin(space, "/control")).unwrap(),
        "/control",
        "the map ",
        "nothing",
        true,
    ),
    (
        |space| bpf(space, "map delete pinned PIN key 1 0 0 0", "/slots/tc-in_1"),
        "/slots/tc-in_1",
        " with the program ",
        " without a program",
        false,
    ),
    (
        |space| other_program(space, 1),
        "/slots/tc-in_1",
        " with the program ",
        " with the program ",
        true,
    ),
    (
        |space| other_program(space, 0),
        "/slots/tc-in_1",
        "nothing in slot 0",
        "the program ",
        true,
    ),
    (
        |space| bpf(space, "link detach pinned PIN", "/link/tc-in_1_1_tcx"),
        "/link/tc-in_1_1_tcx",
        " with the program ",
        ", detached",
        false,
    ),
    (
        |space| fs::remove_file(pin(space, "/link/tc-in_1_1_tcx")).unwrap(),
        "/link/tc-in_1_1_tcx",
        "the link ",
        "nothing",
        false,
    ),
    (
        replace_program,
        "/link/tc-in_1_1_tcx",
        " with the program ",
        " with the program ",
        true,
    ),
    (
        |space| fs::remove_file(pin(space, "/prog/tc_in")).unwrap(),
        "/prog/tc_in",
        "the program ",
        "nothing",
        true,
    ),
    (
        |space| {
            // Into a map of interfaces nobody puts one that is not there.
            run("ip link add other0 index 9 type veth peer name other1");
            bpf(
                space,
                "map update pinned PIN key 0 0 0 0 value 9 0 0 0 0 0 0 0",
                "/map/ports",
            )
        },
        "/map/ports",
        "the map ",
        "09 00 00 00 00 00 00 00 at the key 00 00 00 00, where it left 01 00 00 00 00 00 00 00",
        true,
    ),
    (
        |space| {
            let pin = pin(space, "/map/counters");
            fs::remove_file(&pin).unwrap();
            run(&format!(
                "bpftool map create {pin} type percpu_array key 4 value 16 entries 8 name counters"
            ));
        },
        "/map/counters",
        "the map ",
        "the map ",
        true,
    ),
    (
        |space| {
            let near = PathBuf::from(pin(space, "/map/counters"));
            let stranger = near.with_file_name("stranger").display().to_string();
            run(&format!(
                "bpftool map create {stranger} type array key 4 value 4 entries 1 name x"
            ));
        },
        "/map/stranger",
        "nothing",
        "a pin",
        true,
    ),
];

fn bpf(space: &Space, line: &str, end: &str) {
    run(&format!(
        "bpftool {}",
        line.replace("PIN", &pin(space, end))
    ));
}

fn word(space: &Space, generation: u8) {
    let line = format!("map update pinned PIN key 0 0 0 0 value {generation} 0 0 0");
    bpf(space, &line, "/control");
}

/// A program of another policy in a slot.
fn other_program(space: &Space, slot: u8) {
    let policy = policy("other").on(&["lo"]);
    let (object, _) = policy.rule(AttachPoint::TcIn, "x", TC_SHOT).build();
    let file = space.folder().join("other.o");
    fs::write(&file, object).unwrap();
    let there = space.options.bpffs.join("other");
    let (file, there) = (file.display(), there.display());
    run(&format!("bpftool prog load {file} {there} type classifier"));
    let line = format!("map update pinned PIN key {slot} 0 0 0 value pinned {there}");
    bpf(space, &line, "/slots/tc-in_1");
}

#[test]
fn what_others_change_is_told_at_its_pin() {
    if !bpftool() {
        return;
    }
    for (index, (change, end, expected, found, holds)) in CHANGES.into_iter().enumerate() {
        inside(move |space| {
            drops().apply(&space.options).unwrap();
            assert_eq!(drift(space), [], "{index}");
            change(space);
            let tree = space.tree();
            let told = drift(space);
            assert_eq!(told.len(), 1, "{index}: {told:?}");
            assert!(
                told[0].path.display().to_string().ends_with(end),
                "{told:?}"
            );
            assert!(told[0].expected.contains(expected), "{told:?}");
            assert!(told[0].found.contains(found), "{told:?}");
            assert_ne!(told[0].expected, told[0].found);
            assert_eq!(space.tree(), tree, "{index}: status mends nothing then");
            // A link whose pin is gone is let go a little later.
            let passes = (0..if holds { 1 } else { 50 }).any(|_| datagram_arrives());
            assert_eq!(!passes, holds, "{index}");
            comes_back(space, index);
        });
    }
}

/// An apply puts all in order, or refuses and says what does.
fn comes_back(space: &Space, index: usize) {
    if let Err(error) = drops().apply(&space.options) {
        assert!(
            error.to_string().contains("sockc unload"),
            "{index}: {error}"
        );
        assert!(unload(&space.options).unwrap().removed);
        drops().apply(&space.options).unwrap();
    }
    assert_eq!(drift(space), [], "{index}");
    assert!(!datagram_arrives(), "{index}");
    drops().apply(&space.options).unwrap();
    assert!(
        !datagram_arrives(),
        "{index}: it follows the next switch too"
    );
}

#[test]
fn a_map_in_the_place_of_ours_is_not_built_on() {
    if !bpftool() {
        return;
    }
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let slots = pin(space, "/slots/tc-in_1");
        // The kernel empties slots that have no pin any more.
        fs::rename(&slots, space.options.bpffs.join("aside")).unwrap();
        run(&format!(
            "bpftool map create {slots} type prog_array key 4 value 4 entries 2 name sockc_slots"
        ));
        assert!(drift(space)[0].path.ends_with("slots/tc-in_1"));
        let error = drops().apply(&space.options).unwrap_err();
        assert!(error.to_string().contains("sockc unload"), "{error}");
        assert!(!datagram_arrives());
    });
}

/// Programs go on with the map that was there; one of the same shape in its place is taken for it by nobody.
#[test]
fn a_map_in_the_place_of_a_sets_is_not_taken_over() {
    if !bpftool() {
        return;
    }
    for (end, made) in [
        (
            "/map/set_a",
            "lpm_trie key 24 value 24 entries 10 name x flags 1",
        ),
        ("/map/cur_a", "array key 4 value 24 entries 1 name x"),
        (
            "/map/set_a-due",
            "lpm_trie key 24 value 24 entries 10 name x flags 1",
        ),
    ] {
        inside(move |space| {
            banning("a", 4).apply(&space.options).unwrap();
            let add = || {
                let members = [prefix("10.0.0.1")];
                set_add(&space.options, "banned", &members, Expiry::Never)
            };
            add().unwrap();
            let path = pin(space, end);
            fs::remove_file(&path).unwrap();
            run(&format!("bpftool map create {path} type {made}"));
            let tree = space.tree();
            for error in [
                add().unwrap_err(),
                set_list(&space.options, "banned").unwrap_err(),
                banning("a", 4).apply(&space.options).unwrap_err(),
                banning("next", 4).apply(&space.options).unwrap_err(),
            ] {
                assert!(error.is_damage(), "{end}: {error}");
                assert!(error.to_string().contains(end), "{end}: {error}");
            }
            assert_eq!(space.tree(), tree, "{end}");
        });
    }
}

#[test]
fn counts_that_somebody_removed_are_told_by_who_would_carry_them_over() {
    inside(|space| {
        let lost = |applied: &Applied| {
            let mut notes = applied.notes.iter();
            notes.any(|note| note.contains("all counters begin at 0"))
        };
        for _ in 0..2 {
            assert!(!lost(&drops().apply(&space.options).unwrap()));
        }
        fs::remove_file(pin(space, "/map/carried")).unwrap();
        assert!(lost(&drops().apply(&space.options).unwrap()));
        assert!(!lost(&drops().apply(&space.options).unwrap()));
    });
}

/// The kernel copies as many bytes as the map's own values have.
#[test]
fn a_map_with_larger_values_in_the_place_of_ours_is_told_and_hurts_nobody() {
    if !bpftool() {
        return;
    }
    for end in [
        "/control",
        "/record",
        "/slots/tc-in_1",
        "/map/cur_large",
        "/map/set_large",
        "/map/set_large-due",
    ] {
        for kind in ["array", "percpu_array"] {
            inside(move |space| {
                banning("large", 4).apply(&space.options).unwrap();
                let path = pin(space, end);
                fs::remove_file(&path).unwrap();
                run(&format!(
                    "bpftool map create {path} type {kind} key 4 value 30000 entries 4 name large"
                ));
                let damaged = |told: Result<bool, Error>| match told {
                    Ok(told) => told,
                    Err(error) => error.is_damage(),
                };
                let told = status(&space.options);
                let told = told.map(|told| told.is_none_or(|told| !told.drift.is_empty()));
                assert!(damaged(told), "{end} {kind}");
                let _ = set_add(
                    &space.options,
                    "banned",
                    &[prefix("10.0.0.1")],
                    Expiry::Never,
                );
                let _ = set_list(&space.options, "banned");
                let _ = banning("next", 4).apply(&space.options);
                let _ = unload(&space.options);
            });
        }
    }
}

#[test]
fn what_changes_while_a_policy_runs_is_no_drift() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        assert!(!datagram_arrives());
        assert_eq!(drift(space), []);
        for _ in 0..3 {
            drops().apply(&space.options).unwrap();
            assert_eq!(drift(space), []);
        }
    });
}

/// From the second policy on a program stands there, which lets everything go on.
#[test]
fn a_program_in_the_place_of_the_one_that_sleeps_is_told() {
    if !bpftool() {
        return;
    }
    inside(|space| {
        for _ in 0..2 {
            drops().apply(&space.options).unwrap();
        }
        pin(space, "/2/prog/asleep_tc-in");
        let dump = Command::new("bpftool")
            .args(["map", "dump", "pinned", &pin(space, "/slots/tc-in_1")])
            .output()
            .unwrap();
        let dump = String::from_utf8(dump.stdout).unwrap();
        assert!(dump.contains("Found 2 elements"), "{dump}");
        assert_eq!(drift(space), []);
        other_program(space, 1);
        let told = drift(space);
        assert_eq!(told.len(), 1, "{told:?}");
        let expected = &told[0].expected;
        let left = "nothing in slot 1 but the program ";
        assert!(expected.starts_with(left), "{told:?}");
        assert!(!datagram_arrives());
    });
}

#[test]
fn nobody_rewrites_the_record() {
    if !bpftool() {
        return;
    }
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let record = pin(space, "/record");
        let output = Command::new("bpftool")
            .args([
                "map", "update", "pinned", &record, "key", "0", "0", "0", "0",
            ])
            .args(["value"])
            .args(vec!["0"; 16 << 10])
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("not permitted"), "{said}");
    });
}
