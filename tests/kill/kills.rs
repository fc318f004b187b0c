//! SIGKILL at the calls of each command that changes what is in force.

use crate::campaign::Campaign;
use crate::root;
use crate::scene::Scene;

fn old(scene: &Scene) {
    scene.must(&["apply", &scene.path("old.sk")]);
    scene.must(&["set", "load", "banned", &members(scene, 1)]);
}

fn new(scene: &Scene) {
    scene.must(&["apply", &scene.path("new.sk")]);
}

fn nothing(scene: &Scene) {
    scene.sockc(&["unload", "--yes"]);
}

/// A file with as many members as the set may hold. Every file has 127.0.0.12; the first has 127.0.0.11, the second 127.0.0.13.
fn members(scene: &Scene, file: u8) -> String {
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
    if root() {
        let scene = Scene::new(false);
        old(&scene);
        let unregistered = |scene: &Scene| {
            scene.sockc(&["socket", "unregister", "late"]);
        };
        let (pid, fd) = (std::process::id().to_string(), scene.late().to_string());
        let register = ["socket", "register", "late", "--pid", &pid, "--fd", &fd];
        kill(&scene, "socket register", &unregistered, &register);
    }
}
