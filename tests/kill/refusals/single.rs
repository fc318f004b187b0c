//! One certain call that is refused, and what may follow from that.

use libc::{E2BIG, EINVAL, ENOENT, ENOSPC, EPERM};

use super::Point;
use crate::campaign::{Campaign, Seen, points};
use crate::kills::{members, old};
use crate::root;
use crate::scene::Scene;
use crate::trace::{Ended, Fate, Which};

/// BPF_PROG_GET_FD_BY_ID and BPF_MAP_GET_FD_BY_ID.
const BY_ID: [&str; 2] = ["bpf(13)", "bpf(14)"];

#[test]
fn a_program_that_must_not_be_looked_at_is_nobodys() {
    if !root() {
        return;
    }
    // Another namespace's policy for another group, whose programs run next to ours and do not concern it.
    let beside = Scene::new(false);
    old(&beside);
    let scene = Scene::new(false);
    old(&scene);
    let campaign = Campaign {
        name: "status",
        scene: &scene,
        prepare: &|_| (),
        arguments: &["status", "--json"],
    };
    let seen = Seen::of(&scene);
    let whole = campaign.run(Which::All, |_, _| Fate::Go);
    let asked = (0..).zip(&whole.calls);
    let asked: Vec<usize> = asked
        .filter(|(_, name)| BY_ID.contains(&name.as_str()))
        .map(|(call, _)| call)
        .collect();
    assert!(asked.len() > 10, "{:?}", whole.calls);
    // Not by one who may not ask, nor by a kernel that has never heard of the question.
    let each = |call| [EPERM, E2BIG].map(|number| Point { call, number });
    for point in asked.into_iter().flat_map(each) {
        let refused = campaign.refuse_one(&point, (&seen, &seen), &whole.stdout);
        refused.unwrap_or_else(|what| panic!("{what}"));
    }
}

/// Runs a command whose first call of a name is refused.
fn refuse_first(scene: &Scene, arguments: &[&str], name: &str, number: i32) -> Ended {
    let campaign = Campaign {
        name: "one call",
        scene,
        prepare: &|_| (),
        arguments,
    };
    let mut done = false;
    let ended = campaign.run(Which::All, |_, call| {
        if done || call != name {
            return Fate::Go;
        }
        done = true;
        Fate::Refuse(number)
    });
    assert!(done, "{name}: {:?}", ended.calls);
    ended
}

#[test]
fn a_pin_that_is_refused_changes_nothing() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    old(&scene);
    let (answers, tree) = (scene.answers(), scene.tree());
    let apply = ["apply", &scene.path("new.sk")];
    let ended = refuse_first(&scene, &apply, "bpf(OBJ_PIN)", ENOSPC);
    assert_eq!(ended.code, Some(3), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    assert_eq!((scene.answers(), scene.tree()), (answers, tree));
}

#[test]
fn a_word_that_the_kernel_does_not_give_is_not_zero() {
    if !root() {
        return;
    }
    for block in [false, true] {
        let scene = Scene::new(block);
        old(&scene);
        let (answers, tree) = (scene.answers(), scene.tree());
        // The word is what is looked up first.
        for arguments in [&["status"][..], &["set", "add", "banned", "10.0.0.1"]] {
            let ended = refuse_first(&scene, arguments, LOOKUP, ENOENT);
            assert_eq!(ended.code, Some(3), "{arguments:?}: {}", ended.stderr);
            assert_eq!(
                (scene.answers(), scene.tree()),
                (answers.clone(), tree.clone())
            );
        }
    }
}

/// BPF_MAP_LOOKUP_ELEM.
const LOOKUP: &str = "bpf(1)";

#[test]
fn no_lookup_of_an_apply_finds_nothing_where_something_is() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let campaign = Campaign {
        name: "apply, nothing found",
        scene: &scene,
        prepare: &old,
        arguments: &["apply", &scene.path("new.sk")],
    };
    let (before, after, _) = campaign.both_ends();
    old(&scene);
    let whole = campaign.run(Which::All, |_, _| Fate::Go);
    let lookups = whole.calls.iter().filter(|call| *call == LOOKUP).count();
    let taken = points(lookups, |point| {
        old(&scene);
        let mut next = 0;
        let ended = campaign.run(Which::All, |_, call| {
            next += usize::from(call == LOOKUP);
            match call == LOOKUP && next == point + 1 {
                true => Fate::Refuse(ENOENT),
                false => Fate::Go,
            }
        });
        let side = if ended.code == Some(0) {
            &after
        } else {
            &before
        };
        let at = format!("lookup {point}: {:?} {}", ended.code, ended.stderr);
        assert_eq!(scene.answers(), side.answers, "{at}");
        assert_eq!(scene.told(), side.told, "{at}");
        assert_eq!(scene.answers(), side.answers, "{at}");
    });
    println!("{}: {taken} of {lookups} points", campaign.name);
}

#[test]
fn a_machine_without_membarrier_loads_sets_all_the_same() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let load = ["set", "load", "banned", &members(&scene, 2)];
    let ended = refuse_first(&scene, &load, "membarrier", EINVAL);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let waited = ended.calls.iter().position(|call| call == "membarrier");
    let after = ended.calls[waited.unwrap() + 1..].iter();
    let changes: Vec<&String> = after.filter(|call| call.starts_with("bpf(MAP_")).collect();
    let [create, again, update, ..] = changes.as_slice() else {
        panic!("{:?}", ended.calls);
    };
    let map_of_maps = ["bpf(MAP_CREATE)", "bpf(MAP_CREATE)", "bpf(MAP_UPDATE_ELEM)"];
    assert_eq!([*create, *again, *update], map_of_maps);
}

/// A dispatcher that has read the word before the switch finds no program in an empty slot, and lets everything go on.
#[test]
fn no_program_is_taken_out_of_its_slot_while_it_may_be_called() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let policy = scene.path("new.sk");
    let campaign = Campaign {
        name: "apply",
        scene: &scene,
        prepare: &|_| (),
        arguments: &["apply", &policy],
    };
    let ended = campaign.run(Which::All, |_, _| Fate::Go);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let waited = ended.calls.iter().rposition(|call| call == "membarrier");
    let (before, after) = ended.calls.split_at(waited.unwrap());
    let count =
        |calls: &[String], wanted: &str| calls.iter().filter(|call| *call == wanted).count();
    assert_eq!(
        count(before, "bpf(MAP_DELETE_ELEM)"),
        0,
        "{:?}",
        ended.calls
    );
    let tree = scene.tree();
    let pinned = |part: &str| tree.iter().filter(|path| path.contains(part)).count();
    let (slots, fills) = (pinned("/slots/"), pinned("/prog/fill_"));
    let updates = count(after, "bpf(MAP_UPDATE_ELEM)");
    let deletes = count(after, "bpf(MAP_DELETE_ELEM)");
    // Another program takes the place of each, since the kernel waits once more for each that is taken out.
    assert!(
        slots > 4 && updates >= slots && deletes <= fills,
        "{slots} {fills} {updates} {deletes}: {:?}",
        ended.calls
    );
}
