//! Where a container ends: what it cannot see or put back, what of the machine it reaches, and what is said of that.

use std::os::unix::fs::chown;

use sockc_runtime::lab::{BPFFS, Group};

use super::answered::by_root;
use super::container::Container;
use super::delegated::{ALL, container, ends};
use super::{Scene, said};

/// What is pinned for the policy in force, in order.
fn pins(container: &Container) -> Vec<String> {
    let found = said(&container.sh("find /sys/fs/bpf/sockc -type f | sort"));
    found.lines().map(str::to_owned).collect()
}

/// The kernel looks up no map by its id there: what an apply builds on comes back only with everything else.
#[test]
fn whatever_pin_is_lost_what_the_refusal_names_works() {
    let Some(container) = container("lost", ALL) else {
        return;
    };
    ends(&container, "sockc apply edge.sk --yes", 0);
    let mut refused = 0;
    for place in 0..pins(&container).len() {
        let pin = pins(&container).swap_remove(place);
        assert!(container.sh(&format!("rm {pin}")).status.success());
        let ran = container.sh("./sockc apply next.sk --yes");
        let told = said(&ran);
        if !ran.status.success() {
            assert_eq!(ran.status.code(), Some(5), "{pin}: {told}");
            refused += usize::from(told.contains("is gone, and to look for what has no pin"));
            assert!(told.contains("`sockc unload`"), "{pin}: {told}");
            ends(&container, "sockc unload --yes", 0);
        }
        ends(&container, "sockc apply edge.sk --yes", 0);
        ends(&container, "sockc status", 0);
    }
    assert!(refused > 2, "{refused}");
}

#[test]
fn groups_of_the_whole_machine_are_told_and_those_of_its_own_are_not() {
    let Some(container) = container("groups", ALL) else {
        return;
    };
    let group = Group::new().unwrap();
    let below = "mkdir -p below; mount -t cgroup2 none below";
    let policy = |path: &str| {
        format!("group g = cgroup \"{path}\"\ndefault connect allow\ndrop connect to 203.0.113.7\n")
    };
    container.folder.file("all.sk", &policy(group.path()));
    container.folder.file("own.sk", &policy("/"));
    let words = "those of the whole machine, so rules for groups reach processes outside";
    for verb in ["plan all.sk", "apply all.sk --yes"] {
        let told = ends(&container, &format!("sockc {verb}"), 0);
        assert!(told.contains(words), "{verb}: {told}");
    }
    let doctor = ends(&container, "sockc doctor", 0);
    assert!(doctor.contains("is that of the whole machine"), "{doctor}");
    let unified = "$(grep -w cgroup2 /proc/mounts | tail -1 | cut -d' ' -f2)";
    let enter = format!("echo $$ > {unified}{}/cgroup.procs", group.path());
    let line = format!(
        "exec unshare --cgroup --mount sh -c '{below}; ./sockc plan own.sk && ./sockc doctor'"
    );
    let own = container.after(&enter, &line);
    let told = said(&own);
    assert!(own.status.success(), "{told}");
    assert!(!told.contains("of the whole machine"), "{told}");
    assert!(told.contains("version 2 at "), "{told}");
}

/// The kernel gives a connection to the rules of one policy.
#[test]
fn a_container_that_takes_connections_out_of_the_hosts_rules_is_a_fault_there() {
    let Some(container) = container("taken", ALL) else {
        return;
    };
    let group = Group::new().unwrap();
    let below = group.chain(1).unwrap();
    let policy = |path: &str| {
        format!("group g = cgroup \"{path}\"\ndefault send allow\ndrop send tcp to 203.0.113.7\n")
    };
    container.folder.file("sends.sk", &policy(below[0].path()));
    let scene = Scene::new("host");
    scene
        .space
        .run(|| chown(BPFFS, Some(0), Some(0)).unwrap())
        .unwrap();
    std::fs::write(scene.folder.join("sends.sk"), policy(group.path())).unwrap();
    let host = |line: &str, code: i32| {
        let ran = by_root(&scene, line);
        let told = said(&ran);
        assert_eq!(ran.status.code(), Some(code), "{line}: {told}");
        told
    };
    host("apply sends.sk --yes", 0);
    host("status", 0);
    ends(&container, "sockc apply sends.sk --yes", 0);
    let words = "rules of `send` and `receive` here do not hold for the connections that the policy with the mark";
    for (line, code) in [
        ("status", 5),
        ("apply sends.sk --yes", 0),
        ("plan sends.sk", 0),
    ] {
        let told = host(line, code);
        assert!(told.contains(words), "{line}: {told}");
    }
    assert!(
        host("status --json", 5)
            .replace(' ', "")
            .contains("\"competes\":true")
    );
    ends(&container, "sockc unload --yes", 0);
    assert!(!host("status", 0).contains(words));
}

#[test]
fn the_folder_of_a_container_is_told_from_one_that_somebody_took() {
    let Some(container) = container("owner", ALL) else {
        return;
    };
    ends(&container, "sockc apply edge.sk --yes", 0);
    for line in ["status", "unload --yes"] {
        let ran = container.sh_outside(&format!("./sockc {line}"));
        let told = said(&ran);
        assert_eq!(ran.status.code(), Some(3), "{told}");
        let words = "is in a bpf file system of another user namespace";
        assert!(told.contains(words) && !told.contains("chown"), "{told}");
    }
    ends(&container, "sockc unload --yes", 0);
    let ran = container.sh_outside("./sockc apply edge.sk --yes");
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    assert!(told.contains("nsenter --target PID --user"), "{told}");
    let left = container.sh("ls /sys/fs/bpf");
    assert!(!said(&left).lines().any(|name| name == "sockc"));
}

#[test]
fn types_of_maps_and_places_that_are_not_delegated_are_named() {
    // All but tries, which are number 11, and all but the first place, as which programs at TC count.
    for (option, value, word) in [
        ("delegate_maps", "0xfffffffffffff7ff", "lpm_trie"),
        (
            "delegate_attachs",
            "0xfffffffffffffffe",
            "cgroup_inet_ingress",
        ),
    ] {
        let delegated: Vec<_> = ALL
            .iter()
            .map(|(name, all)| (*name, if *name == option { value } else { *all }))
            .collect();
        let Some(container) = container("types", &delegated) else {
            return;
        };
        let tc =
            "interfaces lo\ndefault in allow\nlive set some max 10\ndrop udp from @some at tc\n";
        container.folder.file("tc.sk", tc);
        let told = ends(&container, "sockc apply tc.sk --yes", 3);
        let words =
            format!("does not delegate `{word}`; whoever mounts it adds that to `{option}`");
        assert!(told.contains(&words), "{told}");
        assert!(ends(&container, "sockc status", 0).contains("no policy is in force"));
    }
}

#[test]
fn what_is_mounted_read_only_is_read_and_changed_by_nobody() {
    let Some(container) = container("reads", ALL) else {
        return;
    };
    ends(&container, "sockc apply edge.sk --yes", 0);
    let mounted = |how: &str| {
        let ran = container.sh(&format!("mount -o remount,{how} /sys/fs/bpf"));
        assert!(ran.status.success(), "{}", said(&ran));
    };
    mounted("bind,ro");
    let told = ends(&container, "sockc status", 0);
    assert!(told.contains("policy \"edge\" is in force"), "{told}");
    let words = "the bpf file system is mounted read-only: `mount -o remount,rw`";
    let told = ends(&container, "sockc apply next.sk --yes", 3);
    assert!(told.contains(words), "{told}");
    mounted("bind,rw");
    // A generation that a killed command left.
    assert!(
        container
            .sh("cd /sys/fs/bpf/sockc/* && mkdir 77")
            .status
            .success()
    );
    mounted("bind,ro");
    let told = ends(&container, "sockc status", 0);
    let stays =
        "what an earlier command left stays, since the bpf file system is read-only: generation 77";
    assert!(told.contains(stays), "{told}");
    mounted("bind,rw");
    let told = ends(&container, "sockc status", 0);
    assert!(
        told.contains("removed what an earlier command left: generation 77"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_seen_is_said_and_is_no_empty_list() {
    let Some(container) = container("unseen", ALL) else {
        return;
    };
    let tc = "policy tc\ninterfaces lo\ndefault in allow\ndrop udp to port 9 at tc\n";
    container.folder.file("tc.sk", tc);
    let beside = "whether others attached programs next to those here";
    for line in ["plan tc.sk", "apply tc.sk --yes", "status"] {
        let told = ends(&container, &format!("sockc {line}"), 0);
        assert!(told.contains(beside), "{line}: {told}");
    }
    for line in ["status --json", "plan tc.sk --json"] {
        let told = ends(&container, &format!("sockc {line}"), 0).replace(' ', "");
        for null in ["\"foreign\":null", "\"other_namespaces\":null"] {
            assert!(told.contains(null), "{line}: {told}");
        }
    }
}

#[test]
fn a_network_that_is_not_the_containers_names_the_right_to_enter_it() {
    let Some(container) = container("enter", ALL) else {
        return;
    };
    let line = "exec ./sockc status --netns /proc/self/fd/9";
    let ran = container.after("exec 9</proc/self/ns/net", line);
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    assert!(
        told.contains("that takes the right CAP_SYS_ADMIN in the user namespace"),
        "{told}"
    );
}
