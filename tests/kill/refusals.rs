//! Calls that the kernel refuses: what the command says then, and what is in force.

use libc::ENOSPC;

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
