//! What an unload leaves that is refused at one of its pins or folders.

use libc::{EBUSY, EINTR, EIO, ENOMEM};

use super::OFF;
use crate::campaign::{Campaign, points};
use crate::kills::{new, nothing};
use crate::root;
use crate::scene::{BLOCK, Scene};
use crate::trace::{Ended, Fate, Which};

/// Unloads, and has one call of these names refused; gives what was said of it, or nothing where there are not so many.
fn unload_refused_at(scene: &Scene, names: &[&str], which: usize, number: i32) -> Option<Ended> {
    new(scene);
    let campaign = Campaign {
        name: "unload, one call",
        scene,
        prepare: &new,
        arguments: &["unload", "--yes"],
    };
    let mut next = 0;
    let ended = campaign.run(Which::Changes, |_, call| {
        next += usize::from(names.contains(&call));
        match names.contains(&call) && next == which + 1 {
            true => Fate::Refuse(number),
            false => Fate::Go,
        }
    });
    (next > which).then_some(ended)
}

#[test]
fn what_a_refused_unload_leaves_of_a_block_is_told_and_goes_with_the_next_command() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    nothing(&scene);
    let free = scene.answers();
    let unlinks = ["unlink", "unlinkat"];
    new(&scene);
    let pins = scene.tree().len();
    let mut of_block = 0;
    let taken = points(pins, |which| {
        let number = [EBUSY, EIO, ENOMEM][which % 3];
        let Some(ended) = unload_refused_at(&scene, &unlinks, which, number) else {
            return;
        };
        let at = format!("{which}: {:?} {}", ended.code, ended.stderr);
        // What comes before the word is changed may be refused too, and what belongs to no block.
        if !ended
            .stderr
            .contains(&format!("\"{BLOCK}\" is in force no more"))
        {
            scene.must(&["unload", "--yes"]);
            return;
        }
        assert_eq!(scene.answers(), free, "{at}");
        of_block += 1;
        assert_eq!(ended.code, Some(3), "{at}");
        assert!(ended.stderr.contains(OFF), "{at}");
        let left = scene.tree();
        let told = scene.must(&["status"]);
        assert!(told.stdout.contains("no policy is in force"), "{at}");
        let words = format!(
            "removed what an earlier command left: the policy of the network namespace \"{BLOCK}\""
        );
        assert!(
            told.stderr.contains(&words),
            "{at}{left:?}: {}",
            told.stderr
        );
        assert!(scene.tree().is_empty(), "{at}{:?}", scene.tree());
        unload_refused_at(&scene, &unlinks, which, number);
        let ran = scene.sockc(&["unload", "--yes", "--netns", BLOCK]);
        assert_eq!(ran.code, Some(0), "{at}{}", ran.stderr);
        let ran = scene.sockc(&["unload", "--yes"]);
        assert_eq!(ran.code, Some(0), "{at}{}", ran.stderr);
        assert!(scene.tree().is_empty(), "{at}{:?}", scene.tree());
    });
    println!(
        "pins of an unload that are refused: {taken} of {pins} points, {of_block} of the block"
    );
    assert!(of_block > 0);
}

#[test]
fn a_signal_leaves_no_folder_of_what_was_unloaded() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    let mut which = 0;
    while let Some(ended) = unload_refused_at(&scene, &["rmdir"], which, EINTR) {
        assert_eq!(ended.code, Some(0), "{which}: {}", ended.stderr);
        assert!(scene.tree().is_empty(), "{which}: {:?}", scene.tree());
        which += 1;
    }
    assert!(which > 1);
}
