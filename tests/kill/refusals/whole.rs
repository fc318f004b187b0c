//! Every call of a command, refused one after the other.

use super::refuse;
use crate::campaign::Campaign;
use crate::kills::{
    in_trie, members, nested, new, nothing, old, old_after_new, old_with_connected,
};
use crate::root;
use crate::scene::Scene;

#[test]
fn apply_over_a_policy() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "apply", &old, &["apply", &scene.path("new.sk")]);
    }
}

#[test]
fn rollback() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "rollback", &old_after_new, &["rollback", "--yes"]);
    }
}

#[test]
fn apply_where_nothing_was() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "first", &nothing, &["apply", &scene.path("new.sk")]);
    }
}

#[test]
fn apply_with_a_block() {
    if root() {
        let scene = Scene::new(true);
        let apply = ["apply", &scene.path("new.sk")];
        refuse(&scene, "apply, block", &old, &apply);
    }
}

#[test]
fn unload() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "unload", &new, &["unload", "--yes"]);
    }
}

#[test]
fn unload_with_a_block() {
    if root() {
        let scene = Scene::new(true);
        refuse(&scene, "unload, block", &new, &["unload", "--yes"]);
    }
}

#[test]
fn set_and_map_load() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let tenants = ["9", "8"].map(|last| {
        let text = format!("tcp 127.0.0.{last}:80 -> sock web\n");
        scene.file(&format!("tenants-{last}.txt"), &text)
    });
    let first = members(&scene, 1);
    let prepare = |scene: &Scene| {
        if scene.sockc(&["set", "load", "banned", &first]).code != Some(0) {
            old(scene);
        }
        scene.must(&["map", "load", "tenants", &tenants[0]]);
        // Both sides know the same ports each time, so that the calls are the same.
        scene.must(&["map", "load", "tenants", &tenants[0]]);
    };
    let load = ["set", "load", "banned", &members(&scene, 2)];
    refuse(&scene, "set load", &prepare, &load);
    let load = ["map", "load", "tenants", &tenants[1]];
    refuse(&scene, "map load", &prepare, &load);
    let add = ["map", "add", "tenants", "tcp 127.0.0.8:80 -> sock web"];
    refuse(&scene, "map add", &prepare, &add);
    let del = ["map", "del", "tenants", "tcp 127.0.0.9:80"];
    refuse(&scene, "map del", &prepare, &del);
}

/// The same of elements that are in the trie of a set, since its table has eight other lengths of prefixes.
#[test]
fn set_add_and_del_in_trie() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let file = nested(&scene);
    let prepare = in_trie(&file);
    let add = [
        "set",
        "add",
        "banned",
        "127.0.0.12/30",
        "--expires",
        "never",
    ];
    refuse(&scene, "set add, trie", &prepare, &add);
    let del = ["set", "del", "banned", "127.0.0.11"];
    refuse(&scene, "set del, trie", &prepare, &del);
}

#[test]
fn set_add_and_socket_register() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let prepare = |scene: &Scene| {
        if scene.sockc(&["set", "clear", "banned"]).code != Some(0) {
            old(scene);
            scene.must(&["set", "clear", "banned"]);
        }
        scene.sockc(&["socket", "unregister", "late"]);
    };
    prepare(&scene);
    refuse(
        &scene,
        "set add",
        &prepare,
        &["set", "add", "banned", "127.0.0.11"],
    );
    let unbanned = ["set", "del", "banned", "127.0.0.11"];
    let banned = |scene: &Scene| {
        prepare(scene);
        scene.must(&["set", "add", "banned", "127.0.0.11"]);
    };
    refuse(&scene, "set del", &banned, &unbanned);
    let (pid, fd) = (std::process::id().to_string(), scene.late().to_string());
    let register = ["socket", "register", "late", "--pid", &pid, "--fd", &fd];
    refuse(&scene, "socket register", &prepare, &register);
}

#[test]
fn a_connected_socket() {
    if !root() {
        return;
    }
    let scene = Scene::with_connected();
    let apply = ["apply", &scene.path("new.sk")];
    refuse(&scene, "apply, connected", &old_with_connected, &apply);
    let absent = |scene: &Scene| {
        if scene.sockc(&["socket", "unregister", "kept"]).code != Some(0) {
            old(scene);
        }
    };
    absent(&scene);
    let (pid, fd) = (std::process::id().to_string(), scene.kept().to_string());
    let register = ["socket", "register", "kept", "--pid", &pid, "--fd", &fd];
    refuse(&scene, "register, connected", &absent, &register);
    let there = |scene: &Scene| {
        if scene.sockc(&register).code != Some(0) {
            old_with_connected(scene);
        }
    };
    let unregister = ["socket", "unregister", "kept"];
    refuse(&scene, "unregister, connected", &there, &unregister);
}

#[test]
fn status_and_counters() {
    if !root() {
        return;
    }
    for block in [false, true] {
        let scene = Scene::new(block);
        old(&scene);
        let there = |scene: &Scene| {
            if scene.sockc(&["status"]).code != Some(0) {
                old(scene);
            }
        };
        for arguments in [["status", "--json"], ["counters", "--nonzero"]] {
            Campaign {
                name: arguments[0],
                scene: &scene,
                prepare: &there,
                arguments: &arguments,
            }
            .refuse_reader();
        }
    }
}
