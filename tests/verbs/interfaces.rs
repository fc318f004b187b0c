//! Interfaces and control groups that come, go, are made again or get another name while a policy is in force.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{FRONT, Group, Lab, Space};

use super::{Folder, NetnsName, Ran, ip, root, run};

/// A lab, a policy for the lab's interface and for every bridge, and how both are asked.
pub(super) struct Place {
    lab: Lab,
    _folder: Folder,
    pub(super) policy: String,
}

impl Place {
    fn new(name: &str, interfaces: &str) -> Self {
        let rules =
            format!("interfaces {interfaces}\ndefault in drop\nssh: allow tcp to port 22\n");
        Self::of(name, Lab::new().unwrap(), &rules)
    }

    pub(super) fn of(name: &str, lab: Lab, policy: &str) -> Self {
        let folder = Folder::new(name);
        Self {
            lab,
            policy: folder.file("edge.sk", policy),
            _folder: folder,
        }
    }

    /// The command, on the server.
    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    /// The command, which must succeed.
    pub(super) fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran
    }

    pub(super) fn apply(&self) {
        self.done(&["apply", &self.policy]);
    }

    /// `ip`, on the server.
    pub(super) fn ip(&self, line: &str) {
        ip(&self.lab.server, line);
    }

    /// The client's network namespace, as a path.
    fn elsewhere(&self) -> String {
        path_of(&self.lab.client)
    }

    /// What status says, which must end so.
    pub(super) fn status(&self, code: i32) -> String {
        let status = self.run(&["status"]);
        let said = status.stdout + &status.stderr;
        assert_eq!(status.code, Some(code), "{said}");
        said
    }

    /// The interfaces that the policy holds on.
    pub(super) fn held(&self) -> Vec<String> {
        let json = self.run(&["status", "--json"]).json();
        let hooks = json["hooks"].as_array().unwrap().iter();
        let alive = hooks.filter(|hook| hook["alive"] == true);
        let mut held: Vec<String> = alive
            .map(|hook| hook["target"].as_str().unwrap().to_owned())
            .collect();
        held.sort();
        held.dedup();
        held
    }
}

/// A path that leads to a network namespace as long as this process lives.
fn path_of(space: &Space) -> String {
    let fd = space.net().as_raw_fd();
    format!("/proc/{}/fd/{fd}", std::process::id())
}

/// How a plan ends under `--exit-code`, and what it says.
fn planned(place: &Place) -> (Option<i32>, String) {
    let planned = place.run(&["plan", &place.policy, "--exit-code"]);
    (planned.code, planned.stdout + &planned.stderr)
}

#[test]
fn an_interface_that_comes_later_is_told_and_taken_in() {
    if !root() {
        return;
    }
    let place = Place::new("later", &format!("br-*, {FRONT}"));
    place.apply();
    let quiet = place.status(0);
    assert!(quiet.contains("no interface is called `br-*`"), "{quiet}");

    place.ip("link add br-x type veth peer name p-br-x");
    let said = place.status(5);
    assert!(
        said.contains("the policy is for the interface br-x and does not hold on it"),
        "{said}"
    );
    assert!(!said.contains("no interface is called"), "{said}");
    let json = place.run(&["status", "--json"]).json();
    assert_eq!(json["interfaces"]["open"][0], "br-x");

    let planned = place.run(&["plan", &place.policy, "--exit-code"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stderr);
    assert!(
        planned
            .stdout
            .contains("packets on br-x: allow -> the policy's verdicts"),
        "{}",
        planned.stdout
    );
    assert!(
        !planned.stdout.contains("No change in effect"),
        "{}",
        planned.stdout
    );
    let planned = place.run(&["plan", &place.policy, "--json"]).json();
    assert_eq!(planned["interfaces"][0]["interface"], "br-x");

    // The file is not needed, and what is not the policy's is left alone.
    std::fs::remove_file(&place.policy).unwrap();
    place.ip("link add other0 type veth peer name p-other0");
    let other = place.done(&["apply", "--running", "--interface", "other0"]);
    assert!(
        other.stderr.contains("has no packet rules for other0"),
        "{}",
        other.stderr
    );
    assert_eq!(place.held(), [FRONT]);
    place.done(&["apply", "--running", "--interface", "br-x"]);
    assert_eq!(place.held(), ["br-x", FRONT]);
    place.status(0);
    let again = place.done(&["apply", "--running", "--interface", "br-x"]);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
}

#[test]
fn a_removed_interface_is_told_in_plain_words_and_comes_back() {
    if !root() {
        return;
    }
    let place = Place::new("again", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link del v0");
    let gone = place.status(5);
    assert!(gone.contains("v0 was removed"), "{gone}");
    assert!(!gone.contains("there is no interface v0"), "{gone}");
    assert!(gone.contains("detached"), "{gone}");
    assert!(!gone.contains("sockc left"), "{gone}");

    // What is named and not there keeps the policy off nothing else.
    place.ip("link add br-x type veth peer name p-br-x");
    let refused = place.run(&["apply", &place.policy]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    let applied = place.done(&["apply", "--running"]);
    assert!(
        applied.stderr.contains("there is no interface \"v0\""),
        "{}",
        applied.stderr
    );
    assert_eq!(place.held(), [FRONT]);

    place.ip("link add v0 type veth peer name p-v0");
    place.status(5);
    place.apply();
    place.ip("link del v0");
    place.ip("link add v0 type veth peer name p-v0");
    let again = place.status(5);
    assert!(
        again.contains("v0 was removed and made again: the policy does not hold on it"),
        "{again}"
    );
    let planned = place.run(&["plan", &place.policy]);
    assert!(
        planned
            .stdout
            .contains("packets on v0: allow -> the policy's verdicts"),
        "{}{}",
        planned.stdout,
        planned.stderr
    );
    place.done(&["apply", "--running", "--interface", "v0"]);
    assert_eq!(place.held(), [FRONT, "v0"]);
    place.status(0);
}

#[test]
fn a_policy_that_holds_on_no_interface_is_told_and_no_success() {
    if !root() {
        return;
    }
    let place = Place::new("nowhere", "br-*");
    place.apply();
    let said = place.status(5);
    assert!(
        said.contains("error: the packet rules hold on no interface at all"),
        "{said}"
    );
    place.ip("link add br-x type veth peer name p-br-x");
    place.done(&["apply", "--running"]);
    place.status(0);

    let place = Place::new("nobody", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link del v0");
    place.done(&["apply", "--running"]);
    let said = place.status(5);
    assert!(said.contains("error: there is no interface v0"), "{said}");
}

#[test]
fn a_renamed_interface_keeps_its_policy() {
    if !root() {
        return;
    }
    let place = Place::new("renamed", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link set v0 name v9");
    let said = place.status(0);
    assert!(said.contains("v0 is called v9 now"), "{said}");
    assert!(said.contains("v9 (was v0)"), "{said}");
    let planned = place.done(&["plan", &place.policy, "--exit-code"]);
    assert!(
        planned.stdout.contains("called \"v9\" now"),
        "{}",
        planned.stdout
    );
    place.apply();
    assert_eq!(place.held().len(), 2);
    // An interface of the old name is the one that the policy names.
    place.ip("link add v0 type veth peer name p-v1");
    let said = place.status(5);
    assert!(
        said.contains("interface v0 and does not hold on it"),
        "{said}"
    );
    place.apply();
    assert_eq!(place.held(), [FRONT, "v0"]);
}

#[test]
fn what_a_pattern_covered_and_is_gone_is_no_loss() {
    if !root() {
        return;
    }
    let place = Place::new("pods", &format!("pod*, {FRONT}"));
    place.ip("link add pod1 type veth peer name p-pod1");
    place.apply();
    place.ip("link del pod1");
    let said = place.status(0);
    assert!(said.contains("pod1 was removed"), "{said}");
    place.done(&["plan", &place.policy]);
}

#[test]
fn another_policy_and_one_without_hooks_are_told() {
    if !root() {
        return;
    }
    let place = Place::new("name", FRONT);
    place.apply();
    let again = place.done(&["apply", &place.policy]);
    assert!(!again.stderr.contains("another name"), "{}", again.stderr);
    let other = Folder::new("other");
    let file = other.file("other.sk", "set a = { 192.0.2.1 }\n");
    let planned = place.run(&["plan", &file]);
    let applied = place.done(&["apply", &file, "--yes"]);
    for said in [&planned.stdout, &applied.stderr] {
        assert!(
            said.contains("\"edge\" is replaced by a policy of another name, \"other\""),
            "{said}"
        );
        assert!(
            said.contains("no hook is left in this network namespace"),
            "{said}"
        );
    }
}

#[test]
fn one_that_is_opened_while_another_takes_its_name_is_told() {
    if !root() {
        return;
    }
    let place = Place::new("takenover", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link set v0 name v9");
    place.ip("link add v0 type veth peer name p-v1");
    let (code, said) = planned(&place);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("No change in effect"), "{said}");
    for line in [
        "The policy comes to v0. No policy is left on v9. Elsewhere nothing changes",
        "packets on v0: allow -> the policy's verdicts",
        "packets on v9: the policy's verdicts -> allow",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let off = said.lines().filter(|line| line.contains("is taken off"));
    assert!(off.clone().all(|line| line.contains("v9")), "{said}");
    assert!(off.count() > 0, "{said}");
    let json = place.run(&["plan", &place.policy, "--json"]).json();
    assert_eq!(json["interfaces"][1]["interface"], "v9", "{json}");
    let applied = place.done(&["apply", &place.policy]);
    assert!(
        applied
            .stderr
            .contains("the interface \"v9\", which was \"v0\", is left"),
        "{}",
        applied.stderr
    );
    assert_eq!(place.held(), [FRONT, "v0"]);
    let again = place.done(&["apply", &place.policy]);
    assert!(!again.stderr.contains("is left"), "{}", again.stderr);
}

#[test]
fn what_a_pattern_covered_keeps_its_policy_under_another_name() {
    if !root() {
        return;
    }
    let place = Place::new("pattern", &format!("pod*, {FRONT}"));
    place.ip("link add pod1 type veth peer name p-pod1");
    place.apply();
    place.ip("link set pod1 name other0");
    let (code, said) = planned(&place);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("called \"other0\" now"), "{said}");
    // Also where another one has its name by then, and as often as one likes.
    place.ip("link add pod1 type veth peer name p-pod2");
    for arguments in [
        ["apply", place.policy.as_str()],
        ["apply", "--running"],
        ["apply", "--running"],
    ] {
        let applied = place.done(&arguments);
        assert!(
            applied.stderr.contains("\"pod1\" is called \"other0\" now"),
            "{}",
            applied.stderr
        );
        assert!(!applied.stderr.contains("is left"), "{}", applied.stderr);
        let rows = applied.stdout.lines().filter(|line| line.contains("tc-in"));
        let names: Vec<_> = rows
            .filter_map(|row| row.split_whitespace().next())
            .collect();
        assert_eq!(names, [FRONT, "other0", "pod1"], "{}", applied.stdout);
        let said = place.status(0);
        assert_eq!(said.matches("other0 (was pod1)").count(), 1, "{said}");
    }
}

#[test]
fn one_that_the_policy_names_anew_is_not_said_to_be_named_wrongly() {
    if !root() {
        return;
    }
    let place = Place::new("anew", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link set v0 name v9");
    let text = std::fs::read_to_string(&place.policy).unwrap();
    std::fs::write(&place.policy, text.replace("v0", "v9")).unwrap();
    let applied = place.done(&["apply", &place.policy]);
    assert!(!applied.stderr.contains("is left"), "{}", applied.stderr);
    let said = place.status(0);
    assert!(!said.contains("v0"), "{said}");
}

#[test]
fn one_that_is_moved_to_another_namespace_keeps_its_policy_there() {
    if !root() {
        return;
    }
    let place = Place::new("moved", &format!("v0, {FRONT}"));
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip(&format!("link set v0 netns {}", place.elsewhere()));
    let said = place.status(0);
    assert!(
        said.contains("v0 is in another network namespace now: the policy still holds on it"),
        "{said}"
    );
    assert!(!said.contains("removed"), "{said}");
    assert!(!said.contains("there is no interface v0"), "{said}");
    assert!(!said.contains("detached"), "{said}");
    // What comes by its name is another one.
    place.ip("link add v0 type veth peer name p-v1");
    let said = place.status(5);
    assert!(
        said.contains("the policy is for the interface v0 and does not hold on it"),
        "{said}"
    );
    place.ip("link del v0");
    // It is this apply that takes the policy off it.
    let applied = place.done(&["apply", "--running"]);
    assert!(
        applied
            .stderr
            .contains("\"v0\", which is in another network namespace now, is left"),
        "{}",
        applied.stderr
    );
    assert_eq!(place.held(), [FRONT]);
}

#[test]
fn a_block_whose_policy_was_taken_away_is_told_to_come_back() {
    if !root() {
        return;
    }
    let lab = Lab::new().unwrap();
    let name = NetnsName::new("block", &lab.client);
    let inner = name.0.clone();
    let text = format!(
        "interfaces {FRONT}\ndefault in drop\nfor netns \"{inner}\" {{\n  interfaces {FRONT}\n  default in drop\n  ssh: allow tcp to port 22\n}}\n"
    );
    let place = Place::of("block", lab, &text);
    place.apply();
    let (code, said) = planned(&place);
    assert_eq!(code, Some(0), "{said}");
    place.done(&["unload", "--netns", &inner, "--yes"]);
    let (code, said) = planned(&place);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("No change in effect"), "{said}");
    let line = format!("packets on {FRONT} in netns \"{inner}\": allow -> the policy's verdicts");
    assert!(said.contains(&line), "{said}");
    let json = place.run(&["plan", &place.policy, "--json"]).json();
    assert_eq!(json["interfaces"][0]["netns"], inner.as_str(), "{json}");
    place.apply();
    let (code, said) = planned(&place);
    assert_eq!(code, Some(0), "{said}");
}

/// The folder of a control group.
fn folder_of(group: &Group) -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts.lines().rev();
    let root = mounts.find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(point))
    });
    root.unwrap().join(group.path().trim_start_matches('/'))
}

/// A policy for what a control group sends.
fn rules_for(group: &Group) -> String {
    format!(
        "group jobs = cgroup \"{}\"\ndefault send allow\ns: drop send tcp from group jobs to 192.0.2.1:81\n",
        group.path()
    )
}

#[test]
fn nothing_is_told_of_a_control_group_whose_rules_follow_it() {
    if !root() {
        return;
    }
    let group = Group::new().unwrap();
    let place = Place::of("followed", Lab::new().unwrap(), &rules_for(&group));
    place.apply();
    group.remake().unwrap();
    let said = place.status(0);
    assert!(said.contains("1, counted"), "{said}");
    assert!(!said.contains("there is no control group"), "{said}");
    let (code, said) = planned(&place);
    assert_eq!(code, Some(0), "{said}");
    place.done(&["apply", "--running"]);
    place.status(0);
}

/// Without a description of the kernel's types programs cannot follow a path.
fn hide_kernel_types(lab: &Lab) {
    let mount = || {
        let ran = Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs", "/sys/kernel/btf"])
            .status();
        assert!(ran.unwrap().success());
    };
    lab.server.run(mount).unwrap();
}

#[test]
fn a_control_group_that_was_made_again_is_told_in_plain_words() {
    if !root() {
        return;
    }
    let group = Group::new().unwrap();
    let folder = folder_of(&group);
    let place = Place::of("group", Lab::new().unwrap(), &rules_for(&group));
    hide_kernel_types(&place.lab);
    place.apply();
    let said = place.status(0);
    assert!(said.contains("1, counted"), "{said}");
    std::fs::remove_dir(&folder).unwrap();
    // The kernel takes the hook off some time later.
    let began = Instant::now();
    while place.run(&["status"]).code == Some(0) && began.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(50));
    }
    let said = place.status(5);
    assert!(said.contains("was removed: if it is made again"), "{said}");
    assert!(!said.contains("sockc left"), "{said}");
    std::fs::create_dir(&folder).unwrap();
    let said = place.status(5);
    let words = format!(
        "the control group {} was removed and made again: the rules of the group \"jobs\" do not hold",
        folder.display()
    );
    assert!(said.contains(&words), "{said}");
    assert!(!said.contains("sockc left"), "{said}");
    let json = place.run(&["status", "--json"]).json();
    assert_eq!(json["groups"][0]["now"], "again", "{json}");
    let (code, said) = planned(&place);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("what group jobs sends: allow -> the policy's verdicts"),
        "{said}"
    );
    assert!(!said.contains("No change in effect"), "{said}");
    place.done(&["apply", "--running"]);
    place.status(0);
    let (code, said) = planned(&place);
    assert_eq!(code, Some(0), "{said}");
}

impl Place {
    /// An interface that the policy names is made, or made again, while something else that it names is gone.
    fn renew(&self) {
        self.ip("link del v0");
        self.ip("link add v0 type veth peer name p-v0");
        let said = self.status(5);
        assert!(said.contains("v0 was removed and made again"), "{said}");
    }

    /// What is in force is put on it; gives what is said of the rest.
    fn take_in(&self) -> String {
        let ran = self.done(&["apply", "--running", "--interface", "v0"]);
        let held = self.held();
        assert!(held.iter().any(|name| name == "v0"), "{held:?}");
        ran.stderr
    }
}

#[test]
fn a_control_group_that_is_gone_keeps_no_interface_open() {
    if !root() {
        return;
    }
    for followed in [true, false] {
        let group = Group::new().unwrap();
        let folder = folder_of(&group);
        let rules = format!("interfaces v0\ndefault in drop\n{}", rules_for(&group));
        let place = Place::of("no-group", Lab::new().unwrap(), &rules);
        if !followed {
            hide_kernel_types(&place.lab);
        }
        place.ip("link add v0 type veth peer name p-v0");
        place.apply();
        std::fs::remove_dir(&folder).unwrap();
        place.renew();
        let words = format!("there is no control group {} now", folder.display());
        let said = place.take_in();
        assert!(said.contains(&words), "{said}");
        // Where programs follow the group by its path, it need not be there for a policy that has it already.
        let again = place.run(&["apply", &place.policy]);
        let code = if followed { 0 } else { 3 };
        assert_eq!(again.code, Some(code), "{}", again.stderr);
        assert_eq!(again.stderr.contains(&words), followed, "{}", again.stderr);
        // Twice is as well as once.
        place.done(&["apply", "--running"]);
        if followed {
            let said = place.status(0);
            let words = format!("there is no control group {}: the rules", folder.display());
            assert!(said.contains(&words), "{said}");
            let json = place.run(&["status", "--json"]).json();
            assert_eq!(json["connections"][0]["awaited"], true, "{json}");
        } else {
            let said = place.status(5);
            assert!(said.contains("was removed: if it is made again"), "{said}");
        }
        std::fs::create_dir(&folder).unwrap();
        if !followed {
            let said = place.status(5);
            assert!(said.contains("was removed and made again"), "{said}");
            place.done(&["apply", "--running"]);
        }
        place.status(0);
        let (code, said) = planned(&place);
        assert_eq!(code, Some(0), "{said}");
    }
}

/// A policy with a block for a namespace.
fn with_block(name: &NetnsName, lab: Lab) -> Place {
    let text = format!(
        "interfaces v0\ndefault in drop\nfor netns \"{}\" {{\n  interfaces lo\n  default in drop\n}}\n",
        name.0
    );
    let place = Place::of("no-block", lab, &text);
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.status(0);
    place
}

#[test]
fn a_namespace_of_a_block_that_is_gone_keeps_no_interface_open() {
    if !root() {
        return;
    }
    let lead = |space: &Space| NetnsName::new("block-gone", space);
    let (first, second) = (Space::new().unwrap(), Space::new().unwrap());
    let name = lead(&first);
    let place = with_block(&name, Lab::new().unwrap());
    drop((name, first));
    place.renew();
    let refused = place.run(&["apply", &place.policy]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    let said = place.take_in();
    assert!(said.contains("there is no network namespace"), "{said}");
    for _ in 0..2 {
        let said = place.status(5);
        assert!(said.contains("was removed: the policy of its"), "{said}");
        place.done(&["apply", "--running"]);
    }
    let name = lead(&second);
    let said = place.status(5);
    assert!(
        said.contains("was removed, and one has its name again"),
        "{said}"
    );
    place.done(&["apply", "--running"]);
    place.status(0);
    let inner = place.done(&["status", "--netns", &name.0]);
    assert!(inner.stdout.contains("lo"), "{}", inner.stdout);
}

#[test]
fn a_namespace_of_a_block_that_lost_only_its_name_keeps_its_policy() {
    if !root() {
        return;
    }
    let space = Space::new().unwrap();
    let name = NetnsName::new("block-nameless", &space);
    let place = with_block(&name, Lab::new().unwrap());
    let start = || Command::new("sleep").arg("600").spawn().unwrap();
    let mut inside = space.run(start).unwrap();
    drop(name);
    place.renew();
    let said = place.take_in();
    let way = format!("/proc/{}/ns/net", inside.id());
    let status = place.run(&["status", "--netns", &way]);
    inside.kill().unwrap();
    inside.wait().unwrap();
    assert!(said.contains("has lost its name, and is entered"), "{said}");
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(status.stdout.contains("lo"), "{}", status.stdout);
    assert!(status.stdout.contains("generation 2"), "{}", status.stdout);
}

#[test]
fn rules_for_another_name_are_told_before_they_come() {
    if !root() {
        return;
    }
    let rules = format!(
        "zone lan = v*, {FRONT}\nzone dmz = w*\ndefault in drop\nallow tcp to port 81 on zone lan\nallow tcp to port 82 on zone dmz\n"
    );
    let place = Place::of("zones", Lab::new().unwrap(), &rules);
    place.ip("link add v0 type veth peer name p-v0");
    place.apply();
    place.ip("link set v0 name w0");
    let said = place.status(0);
    assert!(
        said.contains("v0 is called w0 now: the policy holds on it as on v0 until the next"),
        "{said}"
    );
    let (code, said) = planned(&place);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("No change in effect"), "{said}");
    assert!(
        said.contains("packets on w0: the verdicts for v0 -> the verdicts for its name"),
        "{said}"
    );
    place.apply();
    let said = place.status(0);
    assert!(!said.contains("v0"), "{said}");
}

#[test]
fn what_only_fills_slots_is_no_policy_that_holds() {
    if !root() {
        return;
    }
    let policy = format!(
        "interfaces {FRONT}\ndefault in allow\nsocket web = udp listen 127.0.0.1:4053\nredirect udp to port 53 to sock web\n"
    );
    let place = Place::of("fills", Lab::new().unwrap(), &policy);
    let applied = place.done(&["apply", &place.policy]).stdout;
    let fills = |line: &str| line.split_whitespace().take(2).eq(["lo", "fill"]);
    assert!(applied.lines().any(fills), "{applied}");
    let fills = |json: &serde_json::Value| {
        let hooks = json["hooks"].as_array().unwrap();
        hooks
            .iter()
            .filter(|hook| hook["hook"] == "fill" && hook["target"] == "lo")
            .count()
    };
    for arguments in [
        &["apply", "--json", &place.policy][..],
        &["apply", "--json", "--running", "--interface", "lo"],
        &["status", "--json"],
    ] {
        let json = place.done(arguments).json();
        assert_eq!(fills(&json), 1, "{arguments:?}: {json}");
    }
    let stands = place.done(&["status"]).stdout;
    assert!(
        stands
            .lines()
            .any(|line| line.trim_start().starts_with("fill  ") && line.contains(" lo ")),
        "{stands}"
    );
    let said = place
        .done(&["apply", "--running", "--interface", "lo"])
        .stderr;
    assert!(said.contains("has no packet rules for lo"), "{said}");
    assert!(!said.contains("holds on lo"), "{said}");
}
