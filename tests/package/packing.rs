//! What the package brings for an image, and what building it says where it cannot be built.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use super::clean::build;
use super::{Folder, SOCKC, can_run, done, printed, source};

/// Links in a root that lead to units of ours, by which systemd starts them.
fn enabled(root: &Path) -> String {
    done(
        Command::new("find")
            .arg(root.join("etc"))
            .args(["-lname", "*sockc*"]),
    )
}

#[test]
fn the_first_start_of_an_image_enables_none_of_its_units() {
    if !can_run(&["dpkg-deb", "dpkg-shlibdeps", "strip", "systemctl"]) {
        return;
    }
    let folder = Folder::new("image");
    let root = folder.0.join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    done(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(build(&folder.0))
            .arg(&root),
    );
    let preset = || {
        let mut all = Command::new("systemctl");
        done(
            all.arg(format!("--root={}", root.display()))
                .arg("preset-all"),
        )
    };
    let said = preset();
    assert_eq!(enabled(&root), "", "{said}");
    // It is the package's own preset that keeps them as they are.
    fs::remove_dir_all(root.join("usr/lib/systemd/system-preset")).unwrap();
    preset();
    let all = enabled(&root);
    for name in [
        "sockc.service",
        "sockc-watch.service",
        "sockc-exporter.socket",
        "sockc-answer.socket",
    ] {
        assert!(all.contains(&format!("/{name}\n")), "{name}: {all}");
    }
}

#[test]
fn where_the_libraries_are_not_found_it_says_so_and_makes_nothing() {
    if !can_run(&["dpkg-deb", "dpkg-parsechangelog", "strip"]) {
        return;
    }
    let folder = Folder::new("libraries");
    let (programs, made) = (folder.0.join("programs"), folder.0.join("made"));
    for path in [&programs, &made] {
        fs::create_dir(path).unwrap();
    }
    let fails = programs.join("dpkg-shlibdeps");
    fs::write(
        &fails,
        "#!/bin/sh\necho 'no package has this library' >&2\nexit 2\n",
    )
    .unwrap();
    fs::set_permissions(&fails, fs::Permissions::from_mode(0o755)).unwrap();
    let paths = env::var_os("PATH").unwrap_or_default();
    let paths = env::join_paths([programs].into_iter().chain(env::split_paths(&paths))).unwrap();
    let mut make = Command::new("bash");
    make.arg(source("contrib/debian/build.sh"))
        .arg(SOCKC)
        .arg(&made);
    let ran = make.env("PATH", paths).output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", printed(&ran));
    assert_eq!(printed(&ran), "no package has this library\n");
    assert_eq!(fs::read_dir(&made).unwrap().count(), 0);
}
