//! What the kernel says of its own types is megabytes long, and is read only for a policy that needs it.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::SystemTime;

use sockc_runtime::lab::{FRONT, Group, Lab};

use super::{Folder, root, run};

/// Where the kernel says it.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Where what was found out about the kernel is kept.
const KEPT: &str = "/run/sockc";

/// Puts a copy there that keeps when it was read last, and hides what others found out about this kernel.
fn copy_types(lab: &Lab) {
    let types = fs::read(TYPES).unwrap();
    let copy = || {
        fs::create_dir_all(KEPT).unwrap();
        for (options, at) in [("strictatime", "/sys/kernel/btf"), ("mode=755", KEPT)] {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", options, "tmpfs", at]);
            assert!(mount.status().unwrap().success());
        }
        fs::write(TYPES, &types).unwrap();
    };
    lab.server.run(copy).unwrap();
}

/// Whether it is read when a policy is applied.
fn reads(lab: &Lab, policy: &str) -> bool {
    let apply = || {
        let copy = File::options().append(true).open(TYPES).unwrap();
        let long_ago = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
        copy.set_times(long_ago).unwrap();
        let ran = run(&["apply", policy]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        fs::metadata(TYPES).unwrap().atime() != 0
    };
    lab.server.run(apply).unwrap()
}

#[test]
fn the_kernels_types_are_read_for_a_policy_that_needs_them_and_no_other() {
    if !root() {
        return;
    }
    let lab = Lab::new().unwrap();
    copy_types(&lab);
    let folder = Folder::new("unread");
    let plain = format!(
        "interfaces {FRONT}\ndefault in drop\ndefault out allow\nssh: allow tcp to port 22\n\
         dns: allow udp to port 53\nmail: drop out tcp to any:25\n"
    );
    assert!(!reads(&lab, &folder.file("plain.sk", &plain)));
    // Its programs compare the path of the control group.
    let group = Group::new().unwrap();
    let follows = format!(
        "group jobs = cgroup \"{}\"\ndefault send allow\ns: drop send tcp from group jobs to 192.0.2.1:81\n",
        group.path()
    );
    assert!(reads(&lab, &folder.file("follows.sk", &follows)));
}
