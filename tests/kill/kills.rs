//! SIGKILL at the calls of each command that changes what is in force.

use std::net::UdpSocket;

use crate::campaign::{Campaign, points};
use crate::root;
use crate::scene::Scene;
use crate::trace::{self, Ended, Fate, Which};

pub(crate) fn old(scene: &Scene) {
    scene.must(&["apply", &scene.path("old.sk")]);
    scene.must(&["set", "load", "banned", &members(scene, 1)]);
}

pub(crate) fn new(scene: &Scene) {
    scene.must(&["apply", &scene.path("new.sk")]);
}

/// Nor is it known what the kernel can do: each command that is interrupted asks, so that all make the same calls.
pub(crate) fn nothing(scene: &Scene) {
    scene.sockc(&["unload", "--yes"]);
    scene.forget_kernel();
}

/// The old policy, with the connected socket in its slot.
pub(crate) fn old_with_connected(scene: &Scene) {
    old(scene);
    let [pid, fd] = [std::process::id().to_string(), scene.kept().to_string()];
    scene.must(&["socket", "register", "kept", "--pid", &pid, "--fd", &fd]);
}

/// A file with as many members as the set may hold. Every file has 127.0.0.12; the first has 127.0.0.11, the second 127.0.0.13.
pub(crate) fn members(scene: &Scene, file: u8) -> String {
    let own = if file == 1 { 11 } else { 13 };
    let others = (1..60).map(|last| format!("10.{file}.0.{last}\n"));
    let text = format!("127.0.0.{own}\n127.0.0.12\n{}", others.collect::<String>());
    scene.file(&format!("members-{file}.txt"), &text)
}

fn kill(scene: &Scene, name: &str, prepare: &dyn Fn(&Scene), arguments: &[&str]) {
    Campaign {
        name,
        scene,
        prepare,
        arguments,
    }
    .kill();
}

/// Without a `for netns` block, and with one; neither without root.
fn both() -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|_| root())
}

#[test]
fn apply_over_a_policy() {
    if root() {
        let scene = Scene::new(false);
        kill(&scene, "apply", &old, &["apply", &scene.path("new.sk")]);
    }
}

#[test]
fn apply_where_nothing_was() {
    if root() {
        let scene = Scene::new(false);
        kill(&scene, "first", &nothing, &["apply", &scene.path("new.sk")]);
    }
}

#[test]
fn unload() {
    if root() {
        let scene = Scene::new(false);
        kill(&scene, "unload", &new, &["unload", "--yes"]);
    }
}

/// The old policy, after the new one.
pub(crate) fn old_after_new(scene: &Scene) {
    new(scene);
    old(scene);
}

#[test]
fn rollback() {
    for with_block in both() {
        let scene = Scene::new(with_block);
        kill(&scene, "rollback", &old_after_new, &["rollback", "--yes"]);
    }
}

/// What was in force when an apply or an unload was killed is in force or comes back, and so does what took its place.
#[test]
fn what_goes_is_kept_whenever_the_command_is_killed() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let new_policy = scene.path("new.sk");
    for arguments in [&["apply", &new_policy][..], &["unload", "--yes"]] {
        let prepare = || {
            nothing(&scene);
            scene.must(&["apply", &scene.path("old.sk")]);
        };
        let run = |kill: Option<usize>| {
            let mut command = scene.command(arguments);
            let fate = |number, _: &str| match Some(number) == kill {
                true => Fate::Kill,
                false => Fate::Go,
            };
            let traced = || trace::run(&mut command, Which::Changes, fate);
            scene.space.run(traced).unwrap()
        };
        prepare();
        let old = scene.answers();
        let whole = run(None);
        assert_eq!(whole.code, Some(0), "{}", whole.stderr);
        let ended = scene.answers();
        let taken = points(whole.calls.len(), |point| {
            prepare();
            run(Some(point));
            let at = format!("{arguments:?}, killed before call {point}");
            scene.must(&["history"]);
            let now = scene.answers();
            assert!(now == old || now == ended, "{at}");
            if now != old {
                scene.must(&["rollback"]);
                assert_eq!(scene.answers(), old, "{at}");
            }
            if now != old && arguments[0] == "apply" {
                scene.must(&["rollback"]);
                assert_eq!(scene.answers(), ended, "{at}: what took its place");
            }
        });
        println!("{arguments:?} and back: {taken} of {}", whole.calls.len());
    }
}

#[test]
fn set_load() {
    for with_block in both() {
        let scene = Scene::new(with_block);
        old(&scene);
        let load = ["set", "load", "banned", &members(&scene, 2)];
        let before = members(&scene, 1);
        let again = |scene: &Scene| {
            scene.must(&["set", "load", "banned", &before]);
        };
        kill(&scene, "set load", &again, &load);
        kill(&scene, "set clear", &again, &["set", "clear", "banned"]);
    }
}

#[test]
fn set_add_and_del() {
    for with_block in both() {
        let scene = Scene::new(with_block);
        old(&scene);
        let few = scene.file("few.txt", "127.0.0.11\n10.0.0.0/8\n");
        let again = |scene: &Scene| {
            scene.must(&["set", "load", "banned", &few, "--expires", "1h"]);
            // A set in which something expires differently is changed inside a prefix too.
            scene.must(&["set", "add", "banned", "127.0.0.1", "--expires", "2h"]);
            scene.must(&["set", "del", "banned", "127.0.0.1"]);
        };
        let add = [
            "set",
            "add",
            "banned",
            "127.0.0.12/30",
            "--expires",
            "never",
        ];
        kill(&scene, "set add", &again, &add);
        kill(
            &scene,
            "set del",
            &again,
            &["set", "del", "banned", "127.0.0.11"],
        );
    }
}

/// More lengths of prefixes than the set's table has: what is added and taken out is in the trie, also inside others.
#[test]
fn set_in_trie() {
    for with_block in both() {
        let scene = Scene::new(with_block);
        let file = nested(&scene);
        let again = in_trie(&file);
        let add = [
            "set",
            "add",
            "banned",
            "127.0.0.12/30",
            "--expires",
            "never",
        ];
        kill(&scene, "set add, trie", &again, &add);
        let del = ["set", "del", "banned", "127.0.0.11"];
        kill(&scene, "set del, trie", &again, &del);
    }
}

/// A file with two elements of each of nine lengths and one of two others, which are none of the eight that the table of a set has.
pub(crate) fn nested(scene: &Scene) -> String {
    let both =
        (9..18).flat_map(|length| [64, 128].map(|first| format!("{first}.0.0.0/{length}\n")));
    let text = format!("127.0.0.11\n127.0.0.14/31\n{}", both.collect::<String>());
    scene.file("nested-set.txt", &text)
}

/// Loads it, with times, and has something inside that expires at another one, so that a change looks inside prefixes.
pub(crate) fn in_trie(file: &str) -> impl Fn(&Scene) {
    move |scene| {
        if scene
            .sockc(&["set", "load", "banned", file, "--expires", "1h"])
            .code
            != Some(0)
        {
            old(scene);
            scene.must(&["set", "load", "banned", file, "--expires", "1h"]);
        }
        scene.must(&["set", "add", "banned", "127.0.0.1", "--expires", "2h"]);
        scene.must(&["set", "del", "banned", "127.0.0.1"]);
    }
}

#[test]
fn map_load() {
    for with_block in both() {
        let scene = Scene::new(with_block);
        old(&scene);
        let tenants = |name: &str, first: &str| {
            let others = (1..60).map(|last| format!("tcp 10.{first}.0.{last}:80-99 -> sock web\n"));
            let text = format!(
                "tcp 127.0.0.{first}:80 -> sock web\n{}",
                others.collect::<String>()
            );
            scene.file(name, &text)
        };
        let (before, after) = (tenants("before.txt", "9"), tenants("after.txt", "8"));
        let again = |scene: &Scene| {
            scene.must(&["map", "load", "tenants", &before]);
        };
        kill(
            &scene,
            "map load",
            &again,
            &["map", "load", "tenants", &after],
        );
        kill(&scene, "map clear", &again, &["map", "clear", "tenants"]);
        let add = ["map", "add", "tenants", "tcp 127.0.0.8:80 -> sock web"];
        kill(&scene, "map add", &again, &add);
        let del = ["map", "del", "tenants", "tcp 127.0.0.9:80"];
        kill(&scene, "map del", &again, &del);
        // Many keys, among them such as are of no kind that is there, and prefixes inside others.
        let many = [
            "map",
            "add",
            "tenants",
            "--replace",
            "tcp 127.0.0.0/24:{1-99, 443} -> sock web",
            "tcp 127.0.0.8:* -> sock web",
            "tcp 127.0.0.9:80 -> sock late",
        ];
        kill(&scene, "map add, many", &again, &many);
        let del = [
            "map",
            "del",
            "tenants",
            "tcp 127.0.0.9:80",
            "tcp 10.9.0.1:80-99",
        ];
        kill(&scene, "map del, many", &again, &del);
    }
}

/// More lengths of prefixes than programs try: the trie holds, and each change writes the whole map.
#[test]
fn map_in_trie() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let nested = (10..30).map(|length| format!("tcp 64.0.0.0/{length}:7 -> sock web\n"));
    let text = format!(
        "tcp 127.0.0.9:80 -> sock web\n{}",
        nested.collect::<String>()
    );
    let file = scene.file("nested.txt", &text);
    let plain = scene.file("plain.txt", "tcp 127.0.0.8:80 -> sock web\n");
    // The side that is not asked knows no ports each time, so that the calls are the same.
    let again = |scene: &Scene| {
        for file in [&file, &plain, &plain, &file] {
            scene.must(&["map", "load", "tenants", file]);
        }
    };
    let add = ["map", "add", "tenants", "tcp 127.0.0.8:80 -> sock web"];
    kill(&scene, "map add, trie", &again, &add);
    kill(
        &scene,
        "map load, from trie",
        &again,
        &["map", "load", "tenants", &plain],
    );
}

#[test]
fn apply_over_a_policy_with_a_block() {
    if root() {
        let scene = Scene::new(true);
        kill(
            &scene,
            "apply, block",
            &old,
            &["apply", &scene.path("new.sk")],
        );
    }
}

#[test]
fn apply_with_a_block_where_nothing_was() {
    if root() {
        let scene = Scene::new(true);
        kill(
            &scene,
            "first, block",
            &nothing,
            &["apply", &scene.path("new.sk")],
        );
    }
}

#[test]
fn unload_with_a_block() {
    if root() {
        let scene = Scene::new(true);
        kill(&scene, "unload, block", &new, &["unload", "--yes"]);
    }
}

#[test]
fn socket_register() {
    for with_block in both() {
        let scene = Scene::new(with_block);
        old(&scene);
        let unregistered = |scene: &Scene| {
            scene.sockc(&["socket", "unregister", "late"]);
        };
        let (pid, fd) = (std::process::id().to_string(), scene.late().to_string());
        let register = ["socket", "register", "late", "--pid", &pid, "--fd", &fd];
        kill(&scene, "socket register", &unregistered, &register);
    }
}

/// No connected socket is lost on the way, and none stands behind a name that is not told.
#[test]
fn apply_and_register_with_a_connected_socket() {
    if !root() {
        return;
    }
    let scene = Scene::with_connected();
    let apply = ["apply", &scene.path("new.sk")];
    kill(&scene, "apply, connected", &old_with_connected, &apply);
    old(&scene);
    let unregistered = |scene: &Scene| {
        scene.sockc(&["socket", "unregister", "kept"]);
    };
    let (pid, fd) = (std::process::id().to_string(), scene.kept().to_string());
    let register = ["socket", "register", "kept", "--pid", &pid, "--fd", &fd];
    kill(&scene, "register, connected", &unregistered, &register);
}

/// How often the rule `seen` has counted, as `counters` says, right after whatever happened.
fn seen(scene: &Scene) -> u64 {
    let told = scene.must(&["counters", "--json"]).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let rules = told["rules"].as_array().unwrap();
    let seen = rules.iter().find(|one| one["rule"] == "seen").unwrap();
    seen["packets"].as_u64().unwrap()
}

/// What a rule has counted before an apply that ends early is there after it, for whoever asks next.
#[test]
fn what_was_counted_is_there_wherever_an_apply_ends() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let text = "interfaces lo\ndefault in allow\nseen: count udp to 127.0.0.1:4242\n";
    let files = [
        scene.file("seen.sk", text),
        scene.file("more.sk", &format!("{text}count tcp to port 4243\n")),
    ];
    scene.must(&["apply", &files[0]]);
    let whole = apply_with(&scene, &files[1], |_| Fate::Go).calls.len();
    let mut counted = seen(&scene);
    for fate in [Fate::Kill, Fate::Refuse(libc::ENOMEM)] {
        let taken = points(whole, |point| {
            scene.must(&["apply", &files[0]]);
            scene.space.run(send).unwrap();
            counted += 1;
            let ended = apply_with(&scene, &files[1], |number| match number == point {
                true => fate,
                false => Fate::Go,
            });
            let met = ended.calls.get(point).map_or("none", |call| call.as_str());
            let at = format!("call {point} of {whole}, {met}: {}", ended.stderr);
            assert_eq!(seen(&scene), counted, "{at}");
        });
        println!("counters: {taken} of {whole} points");
    }
}

fn apply_with(scene: &Scene, file: &str, fate: impl Fn(usize) -> Fate + Sync) -> Ended {
    let mut command = scene.command(&["apply", "--yes", file]);
    let run = || trace::run(&mut command, Which::All, |number, _| fate(number));
    scene.space.run(run).unwrap()
}

fn send() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nobody listens there: it is counted all the same.
    socket.send_to(b"seen", "127.0.0.1:4242").unwrap();
}
