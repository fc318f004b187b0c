//! What the verbs say of hooks on control groups: where they hang, who else is there, and whose they are.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{FRONT, Group, Lab, Space};

use super::spaces::Process;
use super::{Folder, Ran, root, run};

/// The hooks of a `connect` rule.
const HOOKS: [&str; 4] = ["connect4", "connect6", "sendmsg4", "sendmsg6"];

/// A group whose calls a policy in the server's namespace decides.
struct Place {
    lab: Lab,
    group: Group,
    folder: Folder,
    policy: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let place = Self::bare(name);
        place.ends(0, &["apply", &place.policy]);
        place
    }

    /// One whose policy is not applied.
    fn bare(name: &str) -> Self {
        let (lab, group, folder) = (
            Lab::new().unwrap(),
            Group::new().unwrap(),
            Folder::new(name),
        );
        let policy = folder.file("calls.sk", &calls(&group));
        Self {
            lab,
            group,
            folder,
            policy,
        }
    }

    /// Runs the command on the server; it must end so.
    fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.lab.server.run(|| run(arguments)).unwrap();
        assert_eq!(
            ran.code,
            Some(code),
            "{arguments:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
        ran
    }
}

impl Drop for Place {
    /// Programs on a control group hold nothing of the namespace.
    fn drop(&mut self) {
        let _ = self.lab.server.run(|| run(&["unload", "--yes"]));
    }
}

fn calls(group: &Group) -> String {
    format!(
        "policy calls\ngroup jobs = cgroup \"{}\"\ndefault connect allow\nfar: drop connect from group jobs to 10.50.0.0/24\n",
        group.path()
    )
}

/// Runs another tool, which must succeed.
fn tool(space: &Space, line: &str) -> String {
    let ran = space.run(|| Command::new("sh").args(["-c", line]).output().unwrap());
    let ran = Ran::of(ran.unwrap());
    assert_eq!(ran.code, Some(0), "{line}: {}", ran.stderr);
    ran.stdout
}

#[test]
fn a_policy_of_a_group_that_another_bpf_file_system_keeps_is_not_said_to_be_nothing() {
    if !root() {
        return;
    }
    let place = Place::new("groups-elsewhere");
    let other = place.folder.0.join("bpf").display().to_string();
    let server = &place.lab.server;
    tool(
        server,
        &format!("mkdir {other} && mount -t bpf -o mode=0700 bpf {other}"),
    );
    let packets = "policy packets\ndefault in allow\nd: drop tcp to any:9\n";
    let packets = place.folder.file("packets.sk", packets);
    let asked: [&[&str]; 8] = [
        &["apply", "--yes", &packets, "--interface", FRONT],
        &["status"],
        &["status", "--json"],
        &["plan", &place.policy],
        &["apply", "--yes", &place.policy],
        &["counters"],
        &["set", "list", "banned"],
        &["unload", "--yes"],
    ];
    for arguments in asked {
        let told = place.ends(5, &[arguments, &["--bpffs", &other]].concat());
        let said = format!("{}{}", told.stdout, told.stderr);
        for hook in HOOKS {
            assert!(said.contains(&format!("{hook} /")), "{hook}: {said}");
        }
        assert!(!said.contains("no policy is in force"), "{said}");
    }
    // Another namespace has no policy, whatever the groups of the machine are asked.
    let space = Space::with_bpffs().unwrap();
    let elsewhere = space.run(|| run(&["status"])).unwrap();
    assert_eq!(elsewhere.code, Some(0), "{}", elsewhere.stderr);
    place.ends(0, &["status"]);
    // Off its hook a program decides nothing, pinned or not.
    let detach = "bpftool link detach pinned $(echo STATE/link/sendmsg4_*)";
    tool(server, &detach.replace("STATE", &state(server)));
    let told = place.ends(5, &["status", "--bpffs", &other]).stderr;
    let found = HOOKS.map(|hook| told.contains(hook));
    assert_eq!(found, [true, true, false, true], "{told}");
    place.ends(0, &["unload", "--yes"]);
    place.ends(0, &["status", "--bpffs", &other]);
    place.ends(0, &["unload", "--yes", "--bpffs", &other]);
    tool(server, &format!("umount {other}"));
}

/// The programs of `connect` see an address as those before them left it, and those after them may change it again.
#[test]
fn programs_of_others_on_the_control_groups_of_a_group_are_named() {
    if !root() {
        return;
    }
    let place = Place::new("groups-foreign");
    let below = place.group.chain(2).unwrap();
    let object = place.folder.0.join("other.o").display().to_string();
    place.ends(0, &["compile", &place.policy, "-o", &object]);
    let pins = "/sys/fs/bpf/other";
    let server = &place.lab.server;
    tool(server, &format!("bpftool prog loadall {object} {pins}"));
    let unified = tool(
        server,
        "grep -w cgroup2 /proc/mounts | tail -1 | cut -d' ' -f2",
    );
    let unified = unified.trim();
    let pinned = tool(server, &format!("ls {pins}"));
    let program = |kind: &str| {
        let mut names = pinned.lines();
        names
            .find(|name| name.starts_with(kind))
            .unwrap()
            .to_owned()
    };
    for (kind, group) in [
        ("connect4", place.group.path()),
        ("sendmsg6", below[0].path()),
    ] {
        let name = program(kind);
        tool(
            server,
            &format!("bpftool cgroup attach {unified}{group} {kind} pinned {pins}/{name} multi"),
        );
    }
    let status = place.ends(0, &["status"]);
    let plan = place.ends(0, &["plan", &place.policy]);
    for (page, kind) in [
        (&status.stderr, "connect4"),
        (&status.stderr, "sendmsg6"),
        (&plan.stdout, "connect4"),
        (&plan.stdout, "sendmsg6"),
    ] {
        let words = format!(
            "of somebody else is on {kind} {unified}{} too",
            place.group.path()
        );
        let mut lines = page.lines();
        let line = lines.find(|line| line.contains(&words));
        assert!(
            line.is_some_and(|line| line.contains("before ours")),
            "{words}: {page}"
        );
    }
    assert!(!status.stderr.contains("on connect6"), "{}", status.stderr);
    let json = place.ends(0, &["status", "--json"]).json();
    let hooks = json["hooks"].as_array().unwrap();
    let connect4 = hooks
        .iter()
        .find(|hook| hook["hook"] == "connect4")
        .unwrap();
    assert_eq!(connect4["foreign"].as_array().unwrap().len(), 1, "{json}");
    let applied = place.ends(0, &["apply", "--yes", &place.policy]);
    assert!(applied.stderr.contains("on connect4"), "{}", applied.stderr);
    tool(server, &format!("rm -r {pins}"));
}

/// A hook of a group that is followed by its path hangs on the root of all control groups.
#[test]
fn the_verbs_say_where_the_hook_of_a_group_hangs() {
    if !root() {
        return;
    }
    let place = Place::bare("groups-hang");
    let unified = tool(
        &place.lab.server,
        "grep -w cgroup2 /proc/mounts | tail -1 | cut -d' ' -f2",
    );
    let unified = unified.trim();
    let target = format!("{unified}{}", place.group.path());
    let words = format!("{target} (hangs on {unified})");
    let without = "policy calls\ninterfaces lo\ndefault in allow\nd: drop tcp to any:9\n";
    let without = place.folder.file("without.sk", without);
    let asked: [(&[&str], &str); 6] = [
        (&["plan", &place.policy], "/kernel/hooks"),
        (&["apply", &place.policy], "/hooks"),
        (&["status"], "/hooks"),
        (&["plan", &place.policy], "/kernel/hooks"),
        (&["plan", &without], "/kernel/hooks"),
        (&["apply", &place.policy], "/hooks"),
    ];
    for (arguments, hooks) in asked {
        let told = place.ends(0, arguments).stdout;
        assert_eq!(told.matches(&words).count(), 4, "{words}: {told}");
        let json = place.ends(0, &[arguments, &["--json"]].concat()).json();
        let rows = json.pointer(hooks).and_then(|rows| rows.as_array());
        let rows = rows.unwrap_or_else(|| panic!("{arguments:?}: {json}"));
        for hook in HOOKS {
            let row = rows.iter().find(|row| row["hook"] == hook).unwrap();
            assert_eq!(
                (&row["target"], &row["on"]),
                (&target.as_str().into(), &unified.into()),
                "{json}"
            );
        }
    }
}

/// Whether a call of the group is refused in the server's namespace.
fn is_refused(place: &Place) -> bool {
    let called = place.lab.server.run(|| {
        let socket = place
            .group
            .udp_socket("0.0.0.0:0".parse().unwrap())
            .unwrap();
        UdpSocket::from(socket).connect("10.50.0.9:9")
    });
    called
        .unwrap()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// What is said of the policies of other namespaces that have a hook on this group; other tests have groups, too.
fn told_of(json: &serde_json::Value, group: &Group) -> Vec<serde_json::Value> {
    let others = json["other_namespaces"].as_array().unwrap();
    let of_group = |other: &&serde_json::Value| other["hooks"].to_string().contains(group.path());
    others.iter().filter(of_group).cloned().collect()
}

/// Rules of groups hold in every namespace, and here those of one that has ended.
#[test]
fn a_group_that_a_policy_leaves_is_told_by_an_apply() {
    if !root() {
        return;
    }
    let place = Place::new("groups-left");
    let same = place.ends(0, &["apply", "--json", &place.policy]);
    assert!(!same.stdout.contains("is left"), "{}", same.stdout);
    let without = "policy packets\ndefault in allow\nd: drop tcp to any:9\n";
    let without = place.folder.file("without.sk", without);
    let left = place.ends(0, &["apply", "--json", "--interface", FRONT, &without]);
    let told: serde_json::Value = serde_json::from_str(&left.stdout).unwrap();
    let told = told["notes"].to_string();
    let words = format!(
        "{} is left: no rule of the policy decides there any more at",
        place.group.path()
    );
    assert!(told.contains(&words), "{told}");
    assert!(HOOKS.iter().all(|hook| told.contains(hook)), "{told}");
    assert!(!is_refused(&place));
}

#[test]
fn a_policy_of_a_group_outlives_its_namespace_and_is_told() {
    if !root() {
        return;
    }
    let place = Place::bare("groups-ended");
    let server = &place.lab.server;
    let sockc = env!("CARGO_BIN_EXE_sockc");
    tool(
        server,
        &format!("unshare -n {sockc} apply --yes {}", place.policy),
    );
    assert!(is_refused(&place));
    for arguments in [
        &["status"][..],
        &["counters"],
        &["unload", "--yes"],
        &["plan", &place.policy],
    ] {
        let told = place.ends(0, arguments);
        let notes: Vec<&str> = told.stderr.lines().collect();
        let of_group = |note: &&&str| note.contains(place.group.path());
        let [note] = notes.iter().filter(of_group).collect::<Vec<_>>()[..] else {
            panic!("{arguments:?}: {}{}", told.stdout, told.stderr);
        };
        for words in HOOKS.iter().chain(&["another network namespace", "rm -r "]) {
            assert!(note.contains(words), "{words}: {note}");
        }
        if arguments[0] != "plan" {
            let words = "no policy is in force in this network namespace\n";
            assert_eq!(told.stdout, words, "{arguments:?}");
        }
        let json = place.ends(0, &[arguments, &["--json"]].concat()).json();
        assert_eq!(told_of(&json, &place.group).len(), 1, "{json}");
    }
    assert!(is_refused(&place));
    let json = place.ends(0, &["status", "--json"]).json();
    let state = told_of(&json, &place.group)[0]["state"].clone();
    tool(server, &format!("rm -r {}", state.as_str().unwrap()));
    // The kernel takes the hooks off some time after the last pin is gone.
    let end = Instant::now() + Duration::from_secs(60);
    while is_refused(&place) {
        assert!(Instant::now() < end, "the hooks are still there");
        thread::sleep(Duration::from_millis(20));
    }
    let json = place.ends(0, &["status", "--json"]).json();
    assert!(told_of(&json, &place.group).is_empty(), "{json}");
}

#[test]
fn a_policy_of_a_group_in_another_namespace_is_told_alone_and_next_to_ours() {
    if !root() {
        return;
    }
    let place = Place::new("groups-two");
    let other = Space::new().unwrap();
    let server = &place.lab.server;
    let sockc = env!("CARGO_BIN_EXE_sockc");
    // In the server's mounts, so that both ask one bpf file system.
    let entered = entrance(&other);
    let there = |words: &str| tool(server, &format!("{sockc} {words} --netns {entered}"));
    let json: serde_json::Value = serde_json::from_str(&there("status --json")).unwrap();
    let told = told_of(&json, &place.group);
    assert_eq!(told.len(), 1, "{json}");
    assert_eq!(told[0]["state"], state(server), "{json}");
    assert!(told[0]["path"].is_string(), "{json}");
    assert_eq!(
        place.ends(0, &["status", "--json"]).json()["other_namespaces"]
            .as_array()
            .unwrap()
            .len(),
        0
    );

    // The hooks of all groups are in one place, and those of a group that has no socket in common with ours mean nothing to it.
    let unrelated = Group::named("unrelated").unwrap();
    let of_it = place.folder.file("unrelated.sk", &calls(&unrelated));
    there(&format!("apply --yes {of_it}"));
    let json = place.ends(0, &["status", "--json"]).json();
    for hook in json["hooks"].as_array().unwrap() {
        assert_eq!(hook["foreign"].as_array().unwrap().len(), 0, "{json}");
    }
    there("unload --yes");

    let words = "of a policy of sockc that was applied in another network namespace is on connect4";
    let applied = tool(
        server,
        &format!(
            "{sockc} apply --yes --netns {entered} {} 2>&1",
            place.policy
        ),
    );
    assert!(applied.contains(words), "{applied}");
    let status = place.ends(0, &["status"]);
    assert!(status.stderr.contains(words), "{}", status.stderr);
    let plan = place.ends(0, &["plan", &place.policy]);
    assert!(plan.stdout.contains(words), "{}", plan.stdout);
    let json = place.ends(0, &["status", "--json"]).json();
    // What is told next to each hook is not told again, but whose it is and what takes it away.
    let again = "has hooks on groups";
    assert!(!status.stderr.contains(again), "{}", status.stderr);
    assert!(!plan.stdout.contains(again), "{}", plan.stdout);
    assert!(!applied.contains(again), "{applied}");
    let others = told_of(&json, &place.group);
    let (mark, path) = (
        others[0]["mark"].as_str().unwrap(),
        others[0]["path"].as_str().unwrap(),
    );
    let remedy = format!("`sockc unload --netns {path} --bpffs /sys/fs/bpf` takes it away");
    for said in [&status.stderr, &plan.stdout] {
        assert!(
            said.contains(&format!("with the mark {mark}")),
            "{mark}: {said}"
        );
        assert!(said.contains(&remedy), "{remedy}: {said}");
    }
    assert!(applied.contains("` takes it away"), "{applied}");
    for hook in json["hooks"].as_array().unwrap() {
        assert_eq!(hook["foreign"].as_array().unwrap().len(), 1, "{json}");
        assert_eq!(
            hook["other_namespaces"].as_array().unwrap().len(),
            1,
            "{json}"
        );
    }
    let json = place.ends(0, &["plan", "--json", &place.policy]).json();
    let foreign = &json["kernel"]["hooks"][0]["foreign"][0];
    assert!(foreign["other_namespace"].is_string(), "{json}");

    // Each of both refuses.
    place.ends(0, &["unload", "--yes", "--netns", &entered]);
    assert!(is_refused(&place));
    let unloaded = there("unload --yes 2>&1");
    assert!(
        unloaded.contains("no policy is in force in this network namespace"),
        "{unloaded}"
    );
    place.ends(0, &["unload", "--yes"]);
    assert!(!is_refused(&place));
}

/// What is advised of the policy of one namespace takes that one away, and leaves those of others.
#[test]
fn each_of_two_other_namespaces_is_told_by_its_own_folder_and_path() {
    if !root() {
        return;
    }
    let place = Place::bare("groups-each");
    let of_each = ["first", "second"].map(|name| {
        let (space, group) = (Space::new().unwrap(), Group::named(name).unwrap());
        // Who is in a namespace is what it is entered by, before who has it open.
        let path = Process::within(&space);
        let policy = place.folder.file(name, &calls(&group));
        place.ends(
            0,
            &["apply", "--yes", "--netns", &path.namespace(), &policy],
        );
        (space, group, path)
    });
    let status = place.ends(0, &["status"]).stderr;
    let json = place.ends(0, &["status", "--json"]).json();
    for (space, group, path) in &of_each {
        let path = path.namespace();
        let told = told_of(&json, group);
        assert_eq!(told.len(), 1, "{json}");
        assert_eq!(told[0]["state"], state(space), "{json}");
        assert_eq!(told[0]["path"], path, "{json}");
        let remedy = format!("`sockc unload --netns {path} --bpffs /sys/fs/bpf` takes it away");
        let mut notes = status.lines().filter(|line| line.contains(group.path()));
        assert!(notes.any(|note| note.contains(&remedy)), "{status}");
    }
    for which in [1, 0] {
        let gone = of_each[which].2.namespace();
        place.ends(
            0,
            &[
                "unload",
                "--yes",
                "--netns",
                &gone,
                "--bpffs",
                "/sys/fs/bpf",
            ],
        );
        let in_force = of_each.each_ref().map(|(_, _, path)| {
            let told = place.ends(0, &["status", "--netns", &path.namespace()]);
            told.stdout.contains("policy \"calls\" is in force")
        });
        assert_eq!(in_force, [which == 1, false]);
    }
}

/// The hook of `send` is on the sockets of the group, which no folder of control groups holds.
#[test]
fn a_policy_of_writes_in_another_namespace_is_told_with_all_its_hooks() {
    if !root() {
        return;
    }
    let place = Place::bare("groups-writes");
    let writes = calls(&place.group).replace("connect", "send");
    let writes = place.folder.file("writes.sk", &writes);
    let other = Space::new().unwrap();
    let entered = entrance(&other);
    place.ends(0, &["apply", "--yes", "--netns", &entered, &writes]);
    let json = place.ends(0, &["status", "--json"]).json();
    let told = told_of(&json, &place.group);
    assert_eq!(told.len(), 1, "{json}");
    for hook in ["send ", "sock-ops "] {
        let mut hooks = told[0]["hooks"].as_array().unwrap().iter();
        let found = hooks.any(|one| one.as_str().unwrap().starts_with(hook));
        assert!(found, "{hook}: {json}");
    }
    place.ends(0, &["unload", "--yes", "--netns", &entered]);
}

/// A path by which a command of this process enters a network namespace.
fn entrance(space: &Space) -> String {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&space.net());
    format!("/proc/{}/fd/{descriptor}", std::process::id())
}

/// A policy that decides something else of a group here does not hide that one of another namespace refuses its calls.
#[test]
fn a_policy_in_another_namespace_is_told_next_to_one_without_its_hooks() {
    if !root() {
        return;
    }
    let place = Place::bare("groups-near");
    let below = place.group.chain(1).unwrap();
    let unrelated = Group::named("unrelated").unwrap();
    let server = &place.lab.server;
    let writes = |name: &str, group: &Group| {
        let text = format!(
            "policy writes\ngroup part = cgroup \"{}\"\ndefault send allow\ndrop send tcp from group part to any:25\n",
            group.path()
        );
        place.folder.file(name, &text)
    };
    let (here, aside) = (writes("here.sk", &below[0]), writes("aside.sk", &unrelated));
    let sockc = env!("CARGO_BIN_EXE_sockc");
    tool(
        server,
        &format!("unshare -n {sockc} apply --yes {}", place.policy),
    );
    let told = |said: &str| {
        let notes = said.lines().filter(|line| {
            line.contains(
                "holds for their processes in every namespace, whatever a policy here allows",
            ) && line.contains(place.group.path())
                && HOOKS.iter().all(|hook| line.contains(hook))
        });
        notes.count()
    };
    for (policy, times) in [(&here, 1), (&aside, 0)] {
        let applied = place.ends(0, &["apply", "--yes", policy]);
        assert_eq!(told(&applied.stderr), times, "{}", applied.stderr);
        let status = place.ends(0, &["status"]);
        assert_eq!(told(&status.stderr), times, "{}", status.stderr);
        let plan = place.ends(0, &["plan", policy]);
        assert_eq!(told(&plan.stdout), times, "{}", plan.stdout);
        for arguments in [&["status", "--json"][..], &["plan", "--json", policy]] {
            let json = place.ends(0, arguments).json();
            assert_eq!(told_of(&json, &place.group).len(), times, "{json}");
        }
    }
    // What comes is looked at as well as what runs.
    let plan = place.ends(0, &["plan", &here]);
    assert_eq!(told(&plan.stdout), 1, "{}", plan.stdout);
    let json = place.ends(0, &["plan", "--json", &here]).json();
    let state = told_of(&json, &place.group)[0]["state"].clone();
    tool(server, &format!("rm -r {}", state.as_str().unwrap()));
}

/// The folder of the state of the server's namespace.
fn state(server: &Space) -> String {
    let inode = tool(server, "stat -L -c %i /proc/self/ns/net");
    format!("/sys/fs/bpf/sockc/{}", inode.trim())
}

#[test]
fn calls_have_no_bytes_before_and_after_the_first() {
    if !root() {
        return;
    }
    let place = Place::new("groups-bytes");
    let table = place.ends(0, &["counters"]).stdout;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 2, "{table}");
    for row in rows {
        assert_eq!(&row[..3], ["0", "-", "connect"], "{table}");
    }
    let json = place.ends(0, &["counters", "--json"]).json();
    assert!(json["rules"][0]["bytes"].is_null(), "{json}");
}

/// With the word that says what is in force somebody has let every call go on; without the record nobody knows what is.
#[test]
fn what_others_changed_is_not_said_to_be_in_force() {
    if !root() {
        return;
    }
    let changes = [
        "bpftool map update pinned STATE/control key 0 0 0 0 value 0 0 0 0",
        "rm STATE/control",
        "rm STATE/1/record",
        "rm STATE/link/connect4_*",
        "bpftool link detach pinned $(echo STATE/link/sendmsg4_*)",
    ];
    for change in changes {
        let place = Place::new("groups-changed");
        let server = &place.lab.server;
        tool(server, &change.replace("STATE", &state(server)));
        let told = place.ends(5, &["status"]);
        assert!(
            !told.stdout.contains("is in force"),
            "{change}: {}",
            told.stdout
        );
        let said = format!("{}{}", told.stdout, told.stderr);
        assert!(!said.contains("escaped"), "{change}: {said}");
        if ["record", "value 0"]
            .iter()
            .any(|lost| change.contains(lost))
        {
            place.ends(5, &["apply", "--yes", &place.policy]);
            place.ends(0, &["unload", "--yes"]);
        }
        place.ends(0, &["apply", "--yes", &place.policy]);
        let told = place.ends(0, &["status"]);
        assert!(told.stdout.contains("is in force"), "{}", told.stdout);
    }
}

/// Somebody stops a service, and its control group goes: that must not keep the policy as it is.
#[test]
fn a_control_group_that_is_gone_locks_no_policy_in() {
    if !root() {
        return;
    }
    let place = Place::new("groups-gone");
    let other = Group::named("other").unwrap();
    let two = |port: u16| {
        format!(
            "{}group rest = cgroup \"{}\"\nmail: drop connect tcp from group rest to port {port}\n",
            calls(&place.group),
            other.path()
        )
    };
    let first = place.folder.file("first.sk", &two(25));
    place.ends(0, &["apply", "--yes", &first]);
    let (path, changed) = (other.path().to_owned(), two(26));
    drop(other);
    let changed = place.folder.file("changed.sk", &changed);
    place.ends(0, &["plan", &changed]);
    let applied = place.ends(0, &["apply", "--yes", &changed]);
    assert!(applied.stderr.contains(&path), "{}", applied.stderr);
    place.ends(0, &["status"]);
    // One that the policy in force does not have may be a mistake.
    let wrong = calls(&place.group).replace(place.group.path(), "/sockc-lab-none");
    let wrong = place.folder.file("wrong.sk", &wrong);
    let refused = place.ends(3, &["apply", "--yes", &wrong]);
    assert!(
        refused.stderr.contains("without the group"),
        "{}",
        refused.stderr
    );
    place.ends(0, &["apply", "--yes", &place.policy]);
    place.ends(0, &["status"]);
    // One that had the group cannot be gone back to, and nothing of it is done: its group may be a mistake by now.
    let pins = || {
        tool(
            &place.lab.server,
            &format!("find {}", state(&place.lab.server)),
        )
    };
    let before = pins();
    let told = place.ends(3, &["plan", &first]);
    let refused = place.ends(3, &["apply", "--yes", &first]);
    let words = format!("{path}, which the group \"rest\" is for: start its service, make it");
    for said in [&told.stderr, &refused.stderr] {
        assert!(said.contains(&words), "{words}: {said}");
        assert!(said.contains("Nothing was changed"), "{said}");
    }
    assert_eq!(pins(), before);
    place.ends(0, &["status"]);
    assert!(is_refused(&place));
    let unified = "$(grep -w cgroup2 /proc/mounts | tail -1 | cut -d' ' -f2)";
    tool(&place.lab.server, &format!("mkdir {unified}{path}"));
    place.ends(0, &["apply", "--yes", &first]);
    place.ends(0, &["status"]);
    tool(&place.lab.server, &format!("rmdir {unified}{path}"));
    place.ends(0, &["unload", "--yes"]);
}

/// What a message tells to run has to work as it is written.
#[test]
fn suggested_commands_are_for_the_bpf_file_system_that_was_named() {
    if !root() {
        return;
    }
    let place = Place::bare("groups-suggested");
    let other = place.folder.0.join("bpf").display().to_string();
    let server = &place.lab.server;
    tool(
        server,
        &format!("mkdir {other} && mount -t bpf -o mode=0700 bpf {other}"),
    );
    let packets = format!(
        "policy packets\ninterfaces {FRONT}, br-*\ndefault in allow\nd: drop tcp to any:9\n"
    );
    let packets = place.folder.file("packets.sk", &packets);
    let at = ["--bpffs", other.as_str()];
    let none = place
        .ends(3, &[&["set", "list", "banned"][..], &at].concat())
        .stderr;
    assert!(
        none.contains(&format!("`sockc apply --bpffs {other}` puts one in force")),
        "{none}"
    );
    place.ends(0, &[&["apply", "--yes", &packets][..], &at].concat());
    tool(server, "ip link add br-x type veth peer name p-br-x");
    let told = place.ends(5, &[&["status"][..], &at].concat()).stderr;
    let remedy = format!("sockc apply --bpffs {other} --running");
    assert!(
        told.contains(&format!("`{remedy}` puts it there")),
        "{told}"
    );
    let sockc = env!("CARGO_BIN_EXE_sockc");
    tool(
        server,
        &remedy.replace("sockc apply", &format!("{sockc} apply")),
    );
    place.ends(0, &[&["status"][..], &at].concat());
    place.ends(0, &[&["unload", "--yes"][..], &at].concat());
    tool(server, &format!("umount {other}"));
}
