//! Calls that the kernel refuses: what the command says then, and what is in force.

use libc::{ENOMEM, ENOSPC};

use crate::campaign::Campaign;
use crate::root;
use crate::scene::Scene;
use crate::trace::{Fate, Which};

#[test]
fn a_pin_that_is_refused_changes_nothing() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    let campaign = Campaign {
        name: "apply",
        scene: &scene,
        prepare: &|scene: &Scene| {
            scene.must(&["apply", &scene.path("old.sk")]);
        },
        arguments: &["apply", &scene.path("new.sk")],
    };
    (campaign.prepare)(&scene);
    let (answers, tree) = (scene.answers(), scene.tree());
    let mut refused = false;
    let ended = campaign.run(Which::All, |_, call| {
        let first = !refused && call == "bpf(OBJ_PIN)";
        refused |= first;
        if first {
            Fate::Refuse(ENOSPC)
        } else {
            Fate::Go
        }
    });
    assert!(refused, "{:?}", ended.calls);
    assert_eq!(ended.code, Some(3), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    assert_eq!((scene.answers(), scene.tree()), (answers, tree));
}

/// Runs a command, and refuses the update of a map that has this number; gives how many there were.
fn refusing(campaign: &Campaign<'_>, refused: usize) -> (crate::trace::Ended, usize) {
    let mut updates = 0;
    let ended = campaign.run(Which::All, |_, call| {
        updates += usize::from(call == "bpf(MAP_UPDATE_ELEM)");
        if call == "bpf(MAP_UPDATE_ELEM)" && updates == refused {
            Fate::Refuse(ENOMEM)
        } else {
            Fate::Go
        }
    });
    (ended, updates)
}

#[test]
fn a_change_of_a_live_set_is_told_as_done_if_and_only_if_it_is() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    scene.must(&["apply", &scene.path("old.sk")]);
    for (verb, before) in [("del", "add"), ("add", "del")] {
        let prepare = |scene: &Scene| {
            scene.must(
                &["set", before, "banned", "10.9.9.9", "--ignore-missing"]
                    [..if before == "add" { 4 } else { 5 }],
            );
        };
        let campaign = Campaign {
            name: verb,
            scene: &scene,
            prepare: &prepare,
            arguments: &["set", verb, "banned", "10.9.9.9"],
        };
        prepare(&scene);
        let old = scene.held();
        let (ended, updates) = refusing(&campaign, usize::MAX);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let new = scene.held();
        assert!(
            updates >= 2 && old != new,
            "{verb}: {updates} {:?}",
            ended.calls
        );
        for refused in 1..=updates {
            prepare(&scene);
            let (ended, _) = refusing(&campaign, refused);
            let (code, held) = match ended.code {
                Some(0) => (0, &new),
                _ => (3, &old),
            };
            assert_eq!(ended.code, Some(code), "{verb} {refused}: {}", ended.stderr);
            assert_eq!(
                &scene.held(),
                held,
                "{verb} {refused} of {updates}: {}",
                ended.stderr
            );
        }
    }
}
