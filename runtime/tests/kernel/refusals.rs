//! What the world refuses, in plain words, with nothing changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::thread;

use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{Error, Options, probe, status, unload};

use crate::policy::*;
use crate::space::{Space, inside, run, skip};

fn drops() -> Policy {
    policy("drops")
        .on(&["lo"])
        .rule(AttachPoint::Xdp, "in", XDP_DROP)
}

fn refused(space: &Space, policy: Policy, options: &Options) -> Error {
    let error = policy.apply(options).unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(space.tree(), Vec::<String>::new(), "{error}");
    error
}

#[test]
fn a_missing_interface_is_named() {
    inside(|space| {
        let error = refused(space, drops().on(&["eth7", "lo"]), &space.options);
        assert_eq!(
            error.to_string(),
            "there is no interface \"eth7\" in this network namespace; it has lo"
        );
        let error = refused(space, drops().on(&[]), &space.options);
        assert!(error.to_string().contains("--interface"), "{error}");
        let applied = drops().on(&["eth*"]).apply(&space.options).unwrap();
        assert_eq!(applied.interfaces, Vec::new());
        assert!(
            applied.notes[0].contains("no interface matches"),
            "{:?}",
            applied.notes
        );
        let options = Options {
            interfaces: vec!["lo".to_owned()],
            ..space.options.clone()
        };
        let applied = drops().on(&["eth7"]).apply(&options).unwrap();
        assert_eq!(applied.interfaces[0].interface, "lo");
    });
}

#[test]
fn an_interface_is_looked_for_even_if_only_lookups_are_left() {
    inside(|space| {
        let lookup = policy("l").on(&["eth7"]).steer(53, 0);
        let error = refused(space, lookup, &space.options);
        assert!(matches!(error, Error::NoInterface { .. }), "{error}");
    });
}

#[test]
fn an_interface_without_ethernet_is_refused_by_name_and_skipped_by_pattern() {
    inside(|space| {
        let tun = ["tuntap", "add", "mode", "tun", "name", "t0"];
        if !Command::new("ip").args(tun).status().unwrap().success() {
            return skip("tun");
        }
        let error = refused(space, drops().on(&["t0", "lo"]), &space.options);
        assert!(error.to_string().contains("\"t0\""), "{error}");
        let applied = drops().on(&["t*", "lo"]).apply(&space.options).unwrap();
        assert_eq!(applied.interfaces.len(), 1);
        assert!(applied.notes[0].contains("\"t0\""), "{:?}", applied.notes);
    });
}

#[test]
fn another_xdp_program_is_named_and_left() {
    inside(|space| {
        let file = space.folder().join("other.o");
        std::fs::write(&file, drops().build().0).unwrap();
        run(&format!(
            "ip link set dev lo xdpgeneric obj {} sec xdp",
            file.display()
        ));
        let error = refused(space, drops(), &space.options);
        let Error::ForeignXdp { interface, program } = &error else {
            panic!("{error}");
        };
        assert_eq!(interface, "lo");
        assert_eq!(
            program.as_ref().map(|(_, name)| name.as_str()),
            Some("xdp_in")
        );
        let shown = Command::new("ip")
            .args(["link", "show", "lo"])
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&shown.stdout).contains("xdp"),
            "it is still there"
        );
    });
}

#[test]
fn other_programs_beside_ours_are_named() {
    inside(|space| {
        drops()
            .rule(AttachPoint::SkLookup, "l", SK_PASS)
            .apply(&space.options)
            .unwrap();
        let status = status(&space.options).unwrap().unwrap();
        assert!(
            status.hooks.iter().all(|hook| hook.foreign.is_empty()),
            "{status:?}"
        );
    });
}

#[test]
fn a_folder_that_is_no_bpffs_is_refused() {
    inside(|space| {
        let options = Options {
            bpffs: space.folder().to_owned(),
            ..space.options.clone()
        };
        let error = refused(space, drops(), &options);
        assert!(
            error.to_string().contains("mount -t bpf -o mode=0700 bpf"),
            "{error}"
        );
    });
}

#[test]
fn a_folder_that_others_can_change_is_refused() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let above = space.options.bpffs.join("sockc");
        let folder = space.tree()[1].clone();
        let refuses = |what: &str| {
            let errors = [
                status(&space.options).unwrap_err(),
                drops().apply(&space.options).unwrap_err(),
                unload(&space.options).unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error, Error::Untrusted { .. }), "{what}: {error}");
                let said = error.to_string();
                assert_eq!(
                    said.contains("`chmod 0750 "),
                    what != "a link",
                    "{what}: {said}"
                );
                assert_eq!(
                    said.contains("`chown root "),
                    what == "of another",
                    "{what}: {said}"
                );
            }
        };
        for path in [above.as_path(), folder.as_ref()] {
            chown(path, Some(65534), None).unwrap();
            refuses("of another");
            chown(path, Some(0), None).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o770)).unwrap();
            refuses("writable");
            fs::set_permissions(path, fs::Permissions::from_mode(0o750)).unwrap();
        }
        assert!(unload(&space.options).unwrap().removed);
        symlink(space.folder(), &above).unwrap();
        refuses("a link");
        assert!(fs::exists(space.folder()).unwrap());
    });
}

#[test]
fn a_missing_namespace_is_named() {
    inside(|space| {
        for name in ["no-such-namespace", "/etc/hostname"] {
            let options = Options {
                netns: Some(name.to_owned()),
                ..space.options.clone()
            };
            let error = refused(space, drops(), &options);
            assert!(error.to_string().contains(name), "{error}");
        }
    });
}

#[test]
fn a_missing_control_group_is_named() {
    inside(|space| {
        let error = refused(
            space,
            policy("g").group("/no-such-group", SK_PASS),
            &space.options,
        );
        let Error::Cgroup { group, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(group, "pods");
    });
}

#[test]
fn two_groups_of_one_control_group_are_named() {
    inside(|space| {
        let twins = policy("g").group(&space.cgroup, SK_PASS).with(|manifest| {
            let mut other = manifest.groups[0].clone();
            other.name = "twins".to_owned();
            other.cgroup += "/.";
            manifest.groups.push(other);
        });
        let error = refused(space, twins, &space.options);
        let Error::SameCgroup { groups, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(groups, &["pods", "twins"]);
    });
}

#[test]
fn a_bad_object_is_no_refusal_but_an_error() {
    inside(|space| {
        let (object, manifest) = drops().build();
        for bytes in [&[][..], &object[..object.len() / 2], b"not an object"] {
            let error = sockc_runtime::apply(bytes, &manifest, &space.options).unwrap_err();
            assert!(matches!(error, Error::Object { .. }), "{error}");
            assert!(!error.is_refusal());
        }
        let mut other = manifest.clone();
        other.programs[0].program = "nobody".to_owned();
        let error = sockc_runtime::apply(&object, &other, &space.options).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
        let mut other = manifest;
        other.version = 99;
        let error = sockc_runtime::apply(&object, &other, &space.options).unwrap_err();
        assert!(matches!(error, Error::Version { found: 99, .. }), "{error}");
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn missing_rights_are_named() {
    inside(|space| {
        let options = space.options.clone();
        let errors = thread::spawn(move || {
            // The system call, unlike the C library's function, changes this thread only.
            // SAFETY: setresuid(2) takes numbers only.
            assert_eq!(
                unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) },
                0
            );
            [
                drops().apply(&options).unwrap_err(),
                unload(&options).unwrap_err(),
            ]
        });
        for error in errors.join().unwrap() {
            let text = error.to_string();
            assert!(
                text.contains("CAP_BPF") && text.contains("CAP_NET_ADMIN"),
                "{text}"
            );
        }
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn three_capabilities_are_enough() {
    inside(|space| {
        // Trying what the kernel can do must not need more either.
        keep_only(&[12, 38, 39]);
        let all = drops()
            .rule(AttachPoint::TcIn, "i", TC_SHOT)
            .rule(AttachPoint::TcOut, "o", TC_OK)
            .socket(0, 6, "127.0.0.1:7001")
            .socket(1, 17, "[fe80::1:2:3]:7001")
            .steer(53, 0)
            .group(&space.cgroup, SK_PASS);
        all.apply(&space.options).unwrap();
        let status = status(&space.options).unwrap().unwrap();
        assert!(status.hooks.iter().all(|hook| hook.alive));
        let listen = usize::from(probe().netns_cookie_in_sock_ops);
        assert_eq!(status.hooks.len(), 6 + listen);
        assert!(unload(&space.options).unwrap().removed);
    });
}

/// Drops every capability of this thread but these, by number.
fn keep_only(capabilities: &[u32]) {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut sets = [[0u32; 3]; 2];
    for capability in capabilities {
        // Effective and permitted.
        sets[(capability / 32) as usize][0] |= 1 << (capability % 32);
        sets[(capability / 32) as usize][1] |= 1 << (capability % 32);
    }
    // SAFETY: the header and the sets are laid out as capset(2) wants them.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(done, 0);
}
