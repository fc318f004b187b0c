//! What members of the group that may read do without any right, and what they cannot: by the column of `docs/rights.md`, and by
//! calls of their own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::libc;
use nix::mount::{MsFlags, mount};
use sockc_runtime::lab::BPFFS;

use super::elsewhere::{forget, hide, name_namespace};
use super::table::{self, Sees};
use super::{Scene, can_run, said};

/// A member of the group, and the group; both are nobody else's.
const MEMBER: u32 = 64_322;
const GROUP: u32 = 64_400;
/// Another group, which nobody is in.
const OTHER: u32 = 64_401;

/// A scene with two groups of its own.
fn scene(name: &str) -> Scene {
    let scene = Scene::new(name);
    let groups = scene.folder.join("group");
    let text = format!("root:x:0:\nreaders:x:{GROUP}:\nothers:x:{OTHER}:\n");
    fs::write(&groups, text).unwrap();
    let over = || {
        let nothing = None::<&str>;
        let place = Path::new("/etc/group");
        mount(Some(&groups), place, nothing, MsFlags::MS_BIND, nothing).unwrap();
        // Who may make names there could pin what they read as their own, and write to it.
        fs::set_permissions(BPFFS, fs::Permissions::from_mode(0o711)).unwrap();
    };
    scene.space.run(over).unwrap();
    scene
}

/// Runs a command line as root.
fn root(scene: &Scene, line: &str) -> Output {
    let line = format!("cd {}; exec ./{line}", scene.folder.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null());
    scene.space.run(|| command.output().unwrap()).unwrap()
}

/// The same, which has to be done.
fn done(scene: &Scene, line: &str) -> String {
    let ran = root(scene, line);
    assert_eq!(ran.status.code(), Some(0), "{line}: {}", said(&ran));
    said(&ran)
}

/// Runs a command line without any right, as one who is in these groups.
fn without_rights(scene: &Scene, line: &str, groups: &str) -> Output {
    let (user, none) = (MEMBER.to_string(), "-all");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--groups", groups]);
    command.args(["--no-new-privs", "--inh-caps", none, "--ambient-caps", none]);
    command.args(["--bounding-set", none]);
    let line = line.replace("--netns blue", "--netns /proc/self/ns/net");
    let line = format!("cd {}; exec ./{line}", scene.folder.display());
    command.args(["sh", "-c", &line]).stdin(Stdio::null());
    scene.space.run(|| command.output().unwrap()).unwrap()
}

fn member(scene: &Scene, line: &str) -> Output {
    without_rights(scene, line, &GROUP.to_string())
}

/// What root sees: modes and groups of all that is pinned, and what the verbs say.
fn seen(scene: &Scene) -> Vec<String> {
    let lines = [
        "show running",
        "counters",
        "set list banned",
        "map list tenants",
    ];
    let said = lines.map(|line| done(scene, &format!("sockc {line}")));
    let pins = pins(scene).into_iter();
    let pins = pins.map(|(path, mode, group)| format!("{} {mode:o} {group}", path.display()));
    said.into_iter().chain(pins).collect()
}

/// Everything below the bpf file system: path, mode, group.
fn pins(scene: &Scene) -> Vec<(PathBuf, u32, u32)> {
    fn below(folder: &Path, found: &mut Vec<(PathBuf, u32, u32)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            if about.is_symlink() {
                continue;
            }
            if about.is_dir() {
                below(&path, found);
            }
            found.push((path, about.mode(), about.gid()));
        }
    }
    let all = || {
        let mut found = Vec::new();
        below(Path::new(BPFFS), &mut found);
        // The kernel's own are there too.
        found.retain(|(path, ..)| path.to_str().unwrap().contains("/sockc"));
        found.sort();
        found
    };
    scene.space.run(all).unwrap()
}

/// What is open to the group, or to none: modes and owners of everything that is pinned.
fn check_modes(scene: &Scene, readers: Option<u32>) {
    let pins = pins(scene);
    assert!(pins.len() > 20, "{pins:?}");
    let above = ["sockc", "sockc-history"].map(|name| Path::new(BPFFS).join(name));
    for (path, mode, group) in pins {
        let is_folder = mode & libc::S_IFMT == libc::S_IFDIR;
        let folder = path.parent().and_then(Path::file_name);
        let is_closed = folder.is_some_and(|name| name == "prog" || name == "link");
        let is_history = path.starts_with(&above[1]);
        let wanted = match (readers, is_folder) {
            (Some(_), _) if above.contains(&path) => (0o751, 0),
            (None, _) if above.contains(&path) => (0o750, 0),
            (Some(readers), true) if is_history => (0o2750, readers),
            (Some(readers), true) => (0o2710, readers),
            (Some(readers), false) if is_closed => (0o600, readers),
            (Some(readers), false) => (0o640, readers),
            (None, true) => (0o750, 0),
            (None, false) => (0o600, 0),
        };
        let found = (mode & 0o7777, group);
        assert_eq!(
            found,
            wanted,
            "{}: {:o} {:o}",
            path.display(),
            found.0,
            wanted.0
        );
    }
}

#[test]
fn members_see_what_the_table_says_and_change_nothing() {
    if !can_run() {
        return;
    }
    let scene = scene("members");
    let told = done(&scene, "sockc apply edge.sk --yes --group readers");
    assert!(
        told.contains("members of the group readers read it"),
        "{told}"
    );
    done(&scene, "sockc apply next.sk --yes --note 'for the history'");
    done(&scene, "sockc set add banned 192.0.2.9");
    check_modes(&scene, Some(GROUP));
    let before = seen(&scene);
    for row in table::rows() {
        let ran = member(&scene, &row.command);
        let told = said(&ran);
        let wanted = match row.sees {
            Sees::All => Some(0),
            Sees::Part | Sees::Nothing => Some(3),
        };
        let wanted = if row.takes.is_empty() {
            Some(0)
        } else {
            wanted
        };
        assert_eq!(ran.status.code(), wanted, "{}: {told}", row.command);
        let refused = told.contains("this needs the rights ");
        assert_eq!(
            refused,
            row.sees == Sees::Nothing && !row.takes.is_empty(),
            "{}: {told}",
            row.command
        );
        // Who is no member sees nothing, and is told what misses.
        if !row.takes.is_empty() {
            let ran = without_rights(&scene, &row.command, &OTHER.to_string());
            assert_eq!(ran.status.code(), Some(3), "{}", row.command);
            let told = said(&ran);
            assert!(
                told.contains("this needs the rights "),
                "{}: {told}",
                row.command
            );
        }
    }
    assert_eq!(seen(&scene), before);
}

/// What a member is told is what root is told, but for what cannot be known; and never that something holds which was not looked at.
#[test]
fn members_are_told_what_root_is_told_and_what_is_not_known() {
    if !can_run() {
        return;
    }
    let scene = scene("told");
    done(&scene, "sockc apply edge.sk --yes --group readers");
    done(&scene, "sockc set add banned 192.0.2.9");
    for line in [
        "sockc counters --json",
        "sockc show running",
        "sockc history --json",
        "sockc diff running next.sk --json",
    ] {
        let ran = member(&scene, line);
        assert_eq!(ran.status.code(), Some(0), "{line}: {}", said(&ran));
        assert_eq!(said(&ran), done(&scene, line), "{line}");
    }
    let told = said(&member(&scene, "sockc status"));
    assert!(
        told.contains("policy \"edge\" was put in force, generation 1"),
        "{told}"
    );
    assert!(
        told.contains("whether its hooks still hold was not looked at"),
        "{told}"
    );
    assert!(!told.contains("is in force"), "{told}");
    assert!(
        told.contains("readers") && told.contains("the group readers"),
        "{told}"
    );
    assert!(
        told.contains("is not known without CAP_BPF and CAP_NET_ADMIN"),
        "{told}"
    );
    let told = said(&member(&scene, "sockc status --json"));
    assert!(
        told.contains("\"partial\": true") && told.contains("\"hooks\": []"),
        "{told}"
    );
    let told = done(&scene, "sockc status --json");
    assert!(
        told.contains("\"partial\": false") && told.contains("\"readers\": \"readers\""),
        "{told}"
    );
    // Of what hangs where nothing is said, and that nothing is wrong neither.
    let told = said(&member(&scene, "sockc metrics"));
    assert!(told.contains("sockc_up{netns=\"\"} 1"), "{told}");
    for name in ["sockc_hook_attached{", "sockc_drift{", "sockc_faults{"] {
        assert!(!told.contains(name), "{told}");
        assert!(done(&scene, "sockc metrics").contains(name), "{name}");
    }
    let told = said(&member(&scene, "sockc doctor"));
    assert!(told.contains("hooks were not looked at"), "{told}");
    // A map that others removed is seen.
    let gone = Path::new(BPFFS).join("sockc");
    let remove = || {
        let folder = fs::read_dir(gone).unwrap().next().unwrap().unwrap().path();
        fs::remove_file(folder.join("1/map/carried")).unwrap();
    };
    scene.space.run(remove).unwrap();
    let ran = member(&scene, "sockc status");
    assert_eq!(ran.status.code(), Some(5), "{}", said(&ran));
}

/// The argument of bpf(2) for pins and elements, as far as these tests fill it in.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    first: u64,
    second: u64,
    third: u64,
    fourth: u64,
}

const UPDATE: libc::c_long = 2;
const FREEZE: libc::c_long = 22;
const GET: libc::c_long = 7;
const TEST_RUN: libc::c_long = 10;
/// `BPF_F_RDONLY`, in the field behind the descriptor.
const READ_ONLY: u64 = 1 << 3;

fn bpf(command: libc::c_long, attributes: &Attributes) -> Result<libc::c_long, i32> {
    let size = std::mem::size_of::<Attributes>();
    // SAFETY: the kernel reads so many bytes of the struct, and what that points at outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size) };
    match done {
        -1 => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
        done => Ok(done),
    }
}

/// Opens a pin with these flags.
fn open(path: &Path, flags: u64) -> Result<libc::c_long, i32> {
    let mut name = path.to_str().unwrap().as_bytes().to_vec();
    name.push(0);
    let attributes = Attributes {
        first: name.as_ptr() as u64,
        second: flags << 32,
        ..Attributes::default()
    };
    bpf(GET, &attributes)
}

/// Makes the calling thread, which ends with that, a member without rights. The wrappers of libc would do so to all threads.
fn become_member() {
    let groups = [GROUP];
    let (user, nobody) = (libc::c_long::from(MEMBER), -1i64);
    assert_ne!(nobody, user);
    // SAFETY: these calls read one group and numbers.
    let done = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, 1, groups.as_ptr()),
            libc::syscall(libc::SYS_setresgid, user, user, user),
            libc::syscall(libc::SYS_setresuid, user, user, user),
        ]
    };
    assert_eq!(done, [0; 3]);
}

/// What a member can do to one pin: nothing but to read a map.
fn try_all(path: &Path) {
    let shown = path.display();
    assert_eq!(open(path, 0), Err(libc::EACCES), "{shown}");
    let folder = path.parent().and_then(Path::file_name).unwrap();
    if folder == "prog" || folder == "link" {
        assert!(open(path, READ_ONLY).is_err(), "{shown}");
        return;
    }
    let fd = open(path, READ_ONLY).unwrap();
    let (key, value) = ([0u8; 4096], vec![0u8; 1 << 20]);
    let element = Attributes {
        first: fd.cast_unsigned(),
        second: key.as_ptr() as u64,
        third: value.as_ptr() as u64,
        fourth: 0,
    };
    assert_eq!(bpf(UPDATE, &element), Err(libc::EPERM), "{shown}");
    assert!(bpf(FREEZE, &element).is_err(), "{shown}");
    assert!(bpf(TEST_RUN, &element).is_err(), "{shown}");
    assert!(fs::remove_file(path).is_err(), "{shown}");
}

#[test]
fn no_call_of_a_member_changes_anything() {
    if !can_run() {
        return;
    }
    let scene = scene("calls");
    done(&scene, "sockc apply edge.sk --yes --group readers");
    let all = pins(&scene);
    let before = seen(&scene);
    let tried = || {
        become_member();
        for (path, mode, _) in &all {
            match mode & libc::S_IFMT == libc::S_IFDIR {
                // Who opens a folder of the policy could lock it, and hold up every apply.
                true => {
                    let is_history = path.starts_with(Path::new(BPFFS).join("sockc-history"));
                    let listed = is_history && mode & 0o040 != 0 && mode & 0o2000 != 0;
                    assert_eq!(fs::File::open(path).is_ok(), listed, "{}", path.display());
                    assert!(fs::write(path.join("new"), "").is_err());
                    assert!(fs::create_dir(path.join("new")).is_err());
                }
                false => try_all(path),
            }
        }
    };
    scene.space.run(tried).unwrap();
    assert_eq!(seen(&scene), before);
}

/// The group is of what is in force: whatever comes into force later, and whatever is pinned later, is open to it and to nobody else.
#[test]
fn the_group_stays_until_it_is_changed_or_taken_away() {
    if !can_run() {
        return;
    }
    let scene = scene("stays");
    done(&scene, "sockc apply edge.sk --yes");
    check_modes(&scene, None);
    done(&scene, "sockc apply --running --yes --group readers");
    check_modes(&scene, Some(GROUP));
    for line in [
        "sockc set load banned list",
        "sockc map load tenants entries",
        "sockc apply next.sk --yes",
        "sockc apply --running --yes",
        "sockc rollback --yes",
        "sockc apply next.sk --yes --confirm 5m",
        "sockc rollback --yes",
        "sockc apply next.sk --yes --confirm 5m",
        "sockc confirm",
    ] {
        done(&scene, line);
        check_modes(&scene, Some(GROUP));
        let ran = member(&scene, "sockc counters");
        assert_eq!(ran.status.code(), Some(0), "{line}: {}", said(&ran));
    }
    let told = done(&scene, "sockc plan edge.sk");
    assert!(
        told.contains("members of the group readers read it"),
        "{told}"
    );
    done(&scene, "sockc apply edge.sk --yes --group others");
    check_modes(&scene, Some(OTHER));
    assert_eq!(member(&scene, "sockc counters").status.code(), Some(3));
    let others = OTHER.to_string();
    assert_eq!(
        without_rights(&scene, "sockc history", &others)
            .status
            .code(),
        Some(0)
    );
    done(&scene, "sockc apply edge.sk --yes --no-group");
    check_modes(&scene, None);
    assert_eq!(
        without_rights(&scene, "sockc history", &others)
            .status
            .code(),
        Some(3)
    );
    // Where nothing is in force members are shown nothing, and the next policy has no group.
    done(&scene, "sockc apply edge.sk --yes --group readers");
    done(&scene, "sockc unload --yes");
    let told = said(&member(&scene, "sockc history"));
    assert!(told.contains("this needs the rights "), "{told}");
    done(&scene, "sockc apply edge.sk --yes");
    check_modes(&scene, None);
}

#[test]
fn the_group_comes_back_with_the_machine() {
    if !can_run() {
        return;
    }
    let scene = scene("back");
    hide(&scene, "/run");
    hide(&scene, "/var/lib");
    let made = || {
        name_namespace("edge");
        fs::create_dir_all("/var/lib/sockc/netns/edge").unwrap();
    };
    scene.space.run(made).unwrap();
    done(&scene, "sockc apply edge.sk --yes");
    done(&scene, "sockc apply --running --yes --group readers");
    forget(&scene);
    done(&scene, "sockc apply --boot --yes");
    check_modes(&scene, Some(GROUP));
}

/// A member does not come into the namespaces of blocks: numbers without theirs would be too small.
#[test]
fn what_blocks_count_is_no_members() {
    if !can_run() {
        return;
    }
    let scene = scene("blocks");
    hide(&scene, "/run");
    let mut add = Command::new("ip");
    add.args(["netns", "add", "blue"]);
    let ran = scene.space.run(|| add.output().unwrap()).unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    let block = "for netns \"blue\" {\n  interfaces lo\n  default in drop\n}\n";
    let text = format!("policy blocks\ninterfaces lo\ndefault in allow\n{block}");
    fs::write(scene.folder.join("blocks.sk"), text).unwrap();
    done(&scene, "sockc apply blocks.sk --yes --group readers");
    check_modes(&scene, Some(GROUP));
    for (line, code) in [
        ("sockc counters", 3),
        ("sockc metrics", 3),
        ("sockc status", 3),
        ("sockc history", 0),
        ("sockc show running", 0),
    ] {
        let ran = member(&scene, line);
        let told = said(&ran);
        assert_eq!(ran.status.code(), Some(code), "{line}: {told}");
        let lacks = ["sockc counters", "sockc metrics"].contains(&line);
        assert_eq!(told.contains("CAP_SYS_ADMIN"), lacks, "{line}: {told}");
    }
    let told = said(&member(&scene, "sockc status"));
    assert!(
        told.contains("network namespaces are as the policy needs them"),
        "{told}"
    );
    done(&scene, "sockc apply blocks.sk --yes --no-group");
    check_modes(&scene, None);
}

#[test]
fn a_group_that_cannot_be_is_refused_and_nothing_changes() {
    if !can_run() {
        return;
    }
    let scene = scene("refused");
    done(&scene, "sockc apply edge.sk --yes");
    let before = seen(&scene);
    let ran = root(&scene, "sockc apply next.sk --yes --group reader");
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(64), "{told}");
    assert!(
        told.contains("there is no group \"reader\"; did you mean \"readers\"?"),
        "{told}"
    );
    let close = |mode| {
        let set = || fs::set_permissions(BPFFS, fs::Permissions::from_mode(mode)).unwrap();
        scene.space.run(set).unwrap();
    };
    close(0o700);
    let ran = root(&scene, "sockc apply next.sk --yes --group readers");
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    assert!(told.contains(&format!("`chmod o+x {BPFFS}`")), "{told}");
    close(0o1777);
    let ran = root(&scene, "sockc apply next.sk --yes --group readers");
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    assert!(told.contains(&format!("`chmod go-w {BPFFS}`")), "{told}");
    close(0o711);
    assert_eq!(seen(&scene), before);
    done(&scene, "sockc apply next.sk --yes --group readers");
    assert_eq!(member(&scene, "sockc counters").status.code(), Some(0));
    // Only what root put in force is for a group.
    let other = super::Scene::new("owner");
    let takes = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].map(str::to_owned);
    let ran = other.runs("sockc apply edge.sk --yes --group root", &takes);
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    assert!(told.contains("run the command as root"), "{told}");
}
