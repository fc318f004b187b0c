//! The file for node_exporter: whole, at once, and not through links.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::scene::{Samples, Scene, root};

#[test]
fn a_full_disk_leaves_the_old_file_and_links_are_not_followed() {
    if !root() {
        return;
    }
    let scene = Scene::new("written");
    let labels = (0..400).map(|port| format!("rule{port}: drop udp to port {}\n", 8000 + port));
    let policy = format!("default in allow\n{}", labels.collect::<String>());
    let disk = scene.folder.0.join("disk");
    fs::create_dir(&disk).unwrap();
    let file = disk.join("sockc.prom");
    let path = file.to_str().unwrap();
    let metrics = ["metrics", "--textfile", path];
    // Mounted in a namespace of its own, which goes with the process.
    let small = scene.lab.server.run(|| {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=32k", "none"])
            .arg(&disk);
        mount.status().unwrap().success()
    });
    assert!(small.unwrap());
    scene.done(&metrics);
    let read = || {
        scene
            .lab
            .server
            .run(|| fs::read_to_string(&file).unwrap())
            .unwrap()
    };
    let before = read();
    assert_eq!(Samples::of(&before).get("sockc_up", &[]), 1.0);
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(scene.lab.server.run(mode).unwrap(), 0o644);
    scene.apply(&policy);
    let full = scene.ran(&metrics);
    assert_eq!(full.code, Some(3), "{}", full.stderr);
    assert!(full.stderr.contains("cannot write"), "{}", full.stderr);
    assert_eq!(read(), before);
    let names = || fs::read_dir(&disk).unwrap().count();
    assert_eq!(
        scene.lab.server.run(names).unwrap(),
        1,
        "nothing is left next to it"
    );
    let unmount = || {
        Command::new("umount")
            .arg(&disk)
            .status()
            .unwrap()
            .success()
    };
    assert!(scene.lab.server.run(unmount).unwrap());

    // What a link leads to is left alone.
    let secret = scene.folder.file("secret", "keep me");
    symlink(&secret, &file).unwrap();
    scene.done(&metrics);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "keep me");
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    let folder = scene.ran(&["metrics", "--textfile", disk.to_str().unwrap()]);
    assert_eq!(folder.code, Some(3), "{}", folder.stderr);
}
