//! Policies on trial, at every hook and in the namespace of a block: what packets meet when the deadline comes, and commands that
//! end a trial killed before their calls, or with calls refused.

use std::thread;
use std::time::Duration;

use crate::campaign::{Campaign, Seen, points};
use crate::kills::old;
use crate::root;
use crate::scene::{BLOCK, Scene};
use crate::trace::{Fate, Which};

/// The old policy in force, and the new one on trial.
fn on_trial(scene: &Scene) {
    scene.sockc(&["rollback"]);
    old(scene);
    scene.must(&["apply", &scene.path("new.sk"), "--confirm", "1h"]);
}

/// The new policy alone on trial.
fn first_on_trial(scene: &Scene) {
    scene.sockc(&["rollback"]);
    scene.sockc(&["unload", "--yes"]);
    scene.must(&["apply", &scene.path("new.sk"), "--confirm", "1h"]);
}

/// No process is there any more when the deadline comes, and none is asked before the packets are.
#[test]
fn past_the_deadline_every_hook_is_with_the_old_policy() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        old(&scene);
        let before = Seen::of(&scene);
        for _ in 0..4 {
            scene.must(&["apply", &scene.path("new.sk"), "--confirm", "500ms"]);
            thread::sleep(Duration::from_millis(550));
            assert_eq!(scene.answers(), before.answers);
            let told = scene.sockc(&["confirm", "--same-connection"]);
            assert_eq!(told.code, Some(4), "{}", told.stderr);
            assert_eq!(Seen::of(&scene), before);
        }
        // Nor where nothing was before.
        scene.must(&["unload", "--yes"]);
        let nothing = Seen::of(&scene);
        scene.must(&["apply", &scene.path("new.sk"), "--confirm", "500ms"]);
        thread::sleep(Duration::from_millis(550));
        assert_eq!(scene.answers(), nothing.answers);
        assert_eq!(Seen::of(&scene), nothing);
    }
}

/// What is confirmed is as if it had been put in force for good.
#[test]
fn what_is_confirmed_is_what_an_apply_leaves() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        old(&scene);
        scene.must(&["apply", &scene.path("new.sk")]);
        let wanted = Seen::of(&scene);
        on_trial(&scene);
        let meanwhile = Seen::of(&scene);
        assert_eq!(meanwhile.answers, wanted.answers);
        scene.must(&["confirm", "--same-connection"]);
        assert_eq!(Seen::of(&scene), wanted);
    }
}

#[test]
fn rollback() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        for (name, prepare) in [
            ("rollback", &on_trial as &dyn Fn(&Scene)),
            ("rollback to nothing", &first_on_trial),
        ] {
            let campaign = Campaign {
                name,
                scene: &scene,
                prepare,
                arguments: &["rollback"],
            };
            campaign.kill();
            campaign.refuse();
        }
    }
}

/// Packets meet the new policy before and after, whatever becomes of the command; it is confirmed or still waits.
#[test]
fn confirm() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        let campaign = Campaign {
            name: "confirm",
            scene: &scene,
            prepare: &on_trial,
            arguments: &["confirm", "--same-connection"],
        };
        on_trial(&scene);
        let waits = Seen::of(&scene);
        let whole = campaign.run(Which::Changes, |_, _| Fate::Go);
        assert_eq!(whole.code, Some(0), "{}", whole.stderr);
        let stays = Seen::of(&scene);
        assert_ne!(waits.tree, stays.tree);
        let calls = whole.calls.len();
        let taken = points(calls, |point| {
            on_trial(&scene);
            let ended = campaign.run(Which::Changes, |number, _| match number == point {
                true => Fate::Kill,
                false => Fate::Go,
            });
            let at = format!("killed before call {point} of {calls}");
            assert_eq!(ended.code, None, "{at}");
            assert_eq!(scene.answers(), stays.answers, "{at}");
            let seen = Seen::of(&scene);
            assert!(seen == waits || seen == stays, "{at}: {seen:?}\n{stays:?}");
        });
        println!("confirm: {taken} of {calls} points");
        campaign.refuse_between(&waits, &stays);
    }
}

/// Both policies keep the namespaces of their blocks, whoever looks into one meanwhile.
#[test]
fn a_block_of_one_policy_alone_sleeps_for_the_other() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    let bare = scene.file(
        "bare.sk",
        "interfaces lo\nlive set banned max 61\nlive map tenants max 100\n\
         socket web = tcp listen 127.0.0.1:7001\n\
         default in allow\ndrop udp from @banned to port 5000\nredirect tcp by @tenants\ndrop udp to port 2001\n",
    );
    let bare = bare.as_str();
    let within = |file: &str, time: &str| {
        scene.must(&["apply", file, "--confirm", time]);
    };
    // It goes.
    old(&scene);
    let before = Seen::of(&scene);
    within(bare, "1500ms");
    let meanwhile = scene.answers();
    assert_ne!(meanwhile, before.answers);
    scene.sockc(&["status", "--netns", BLOCK]);
    for refused in [
        &["unload", "--yes", "--netns", BLOCK][..],
        &["apply", bare, "--netns", BLOCK],
        &["apply", bare],
        &["confirm", "--netns", BLOCK],
    ] {
        let ran = scene.sockc(refused);
        assert_ne!(ran.code, Some(0), "{refused:?}: {}", ran.stdout);
    }
    thread::sleep(Duration::from_millis(1550));
    assert_eq!(scene.answers(), before.answers);
    assert_eq!(Seen::of(&scene), before);
    within(bare, "1h");
    scene.must(&["confirm", "--same-connection"]);
    let after = Seen::of(&scene);
    assert_eq!(after.answers, meanwhile);
    assert!(after.tree.len() < before.tree.len() / 2, "{:?}", after.tree);
    // It comes.
    within(&scene.path("old.sk"), "1s");
    scene.sockc(&["status", "--netns", BLOCK]);
    thread::sleep(Duration::from_millis(1050));
    assert_eq!(scene.answers(), after.answers);
    assert_eq!(Seen::of(&scene), after);
    within(&scene.path("old.sk"), "1h");
    scene.must(&["confirm", "--same-connection"]);
    assert_eq!(Seen::of(&scene), before);
}

/// A live set that both policies have is one set; what only one has is not changed.
#[test]
fn what_both_policies_have_can_be_changed_while_one_is_on_trial() {
    if !root() {
        return;
    }
    for with_block in [false, true] {
        let scene = Scene::new(with_block);
        let more = scene.file(
            "more.sk",
            "interfaces lo\nlive set banned max 61\nlive set other max 10\nlive map tenants max 100\n\
             socket web = tcp listen 127.0.0.1:7001\n\
             default in allow\ndrop udp from @banned to port 5000\ndrop udp from @other\nredirect tcp by @tenants\n",
        );
        on_trial(&scene);
        scene.must(&["rollback"]);
        scene.must(&["apply", &more, "--confirm", "1h"]);
        scene.must(&["set", "del", "banned", "127.0.0.11"]);
        scene.must(&["set", "add", "banned", "127.0.0.13"]);
        let held = scene.held();
        let map = "tcp 127.0.0.8:80 -> sock web";
        for refused in [
            &["set", "add", "other", "127.0.0.14"][..],
            &[
                "set",
                "load",
                "other",
                &scene.file("one.txt", "127.0.0.14\n"),
            ],
            &["map", "add", "tenants", map],
            &["plan", &more],
        ] {
            let ran = scene.sockc(refused);
            assert_eq!(ran.code, Some(4), "{refused:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("`sockc rollback`"), "{}", ran.stderr);
        }
        scene.must(&["rollback"]);
        assert_eq!(scene.held(), held);
        scene.must(&["map", "add", "tenants", map]);
    }
}
