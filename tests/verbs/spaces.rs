//! Network namespaces that a policy names, and that are removed or made anew while it is in force.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, id};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{Lab, Netlink, SERVER, Space};

use super::{Folder, Ran, ip, root, run};

/// How long the kernel may take to end a namespace.
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace with a name in `/run/netns`; both end when this is dropped.
pub(crate) struct Named {
    pub(crate) space: Space,
    pub(crate) name: String,
}

impl Named {
    pub(crate) fn new(name: &str) -> Self {
        let space = Space::new().unwrap();
        let fd = space.net().as_raw_fd();
        fs::create_dir_all("/run/netns").unwrap();
        let target = format!("/proc/{}/fd/{fd}", id());
        symlink(target, path_of(name)).unwrap();
        Self {
            space,
            name: name.to_owned(),
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = fs::remove_file(path_of(&self.name));
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// A lab, and a namespace that has a name as long as `other` is there.
pub(crate) struct Place {
    pub(crate) lab: Lab,
    pub(crate) folder: Folder,
    pub(crate) name: String,
    pub(crate) other: Option<Named>,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("sockc-{name}-{}", id());
        Self {
            lab: Lab::new().unwrap(),
            folder: Folder::new(&name),
            other: Some(Named::new(&name)),
            name,
        }
    }

    /// Another namespace under the name.
    pub(crate) fn make_anew(&mut self) {
        self.other = None;
        self.other = Some(Named::new(&self.name));
    }

    pub(crate) fn apply(&self, text: &str) -> Ran {
        let text = text.replace("NAME", &self.name);
        let policy = self.folder.file("spaces.sk", &text);
        self.done(&["apply", &policy])
    }

    pub(crate) fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.lab.server.run(|| run(arguments)).unwrap();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    }

    /// What status says, which must end so.
    fn status(&self, code: i32) -> String {
        let status = self.lab.server.run(|| run(&["status"])).unwrap();
        let said = status.stdout + &status.stderr;
        assert_eq!(status.code, Some(code), "{said}");
        said
    }

    /// What status says as soon as it says this too: the kernel takes its time to end a namespace.
    fn status_with(&self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let said = self.status(5);
            if said.contains(words) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{words}: {said}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the server's `ip` says; empty where it refuses.
    fn ip(&self, line: &str) -> String {
        let ip = || Command::new("ip").args(line.split(' ')).output().unwrap();
        let ran = self.lab.server.run(ip).unwrap();
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Joins the server with a namespace, which has the kernel give it an id.
    fn join(&self, interface: &str, name: &str) {
        self.ip(&format!(
            "link add {interface} type veth peer name far netns {name}"
        ));
    }

    /// The ids by which the server knows others.
    fn ids(&self) -> Vec<u32> {
        let said = self.ip("netns list-id");
        let ids = said
            .lines()
            .filter_map(|line| line.split(' ').nth(1)?.parse().ok());
        ids.collect()
    }

    /// The id of the namespace at the other end of one of the server's interfaces.
    fn id_behind(&self, interface: &str) -> u32 {
        let said = self.ip(&format!("-j link show {interface}"));
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let id = said[0]["link_netnsid"].as_u64();
        u32::try_from(id.unwrap_or_else(|| panic!("{said}"))).unwrap()
    }

    /// Whether the server's port 80 answers the client.
    fn opens(&self) -> bool {
        let to = SocketAddr::new(SERVER[0], 80);
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_ok();
        self.lab.client.run(connect).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.lab.server.run(|| run(&["unload"]));
    }
}

pub(crate) fn listener(space: &Space) -> TcpListener {
    let listen = || TcpListener::bind("0.0.0.0:80").unwrap();
    space.run(listen).unwrap()
}

const LOOKS: &str = "interfaces front
default in drop
door: allow tcp to port 80 if socket listening in netns \"NAME\"
";
pub(crate) const BLOCK: &str = "interfaces lo
default in allow
drop tcp to port 81
for netns \"NAME\" {
    interfaces lo
    default in allow
    drop tcp to port 80
}
";

#[test]
fn a_namespace_that_conditions_look_into_has_an_id_that_nobody_is_given_again() {
    if !root() {
        return;
    }
    let place = Place::new("nsid");
    place.apply(LOOKS);
    let ids = place.ids();
    assert_eq!(ids.iter().filter(|&&id| id >= 1 << 30).count(), 1);
}

#[test]
fn an_id_of_the_kernels_own_leads_to_no_other_namespace() {
    if !root() {
        return;
    }
    let mut place = Place::new("reused");
    place.join("near", &place.name);
    let id = place.id_behind("near");
    assert!(id < 1 << 30);
    let _answers = listener(&place.lab.server);
    place.apply(LOOKS);
    assert!(!place.opens(), "nobody listens in it");
    let inside = listener(&place.other.as_ref().unwrap().space);
    assert!(place.opens());
    place.status(0);
    drop((inside, place.other.take()));
    let began = Instant::now();
    while !place.ip("link show near").is_empty() {
        assert!(began.elapsed() < PATIENCE, "the namespace does not end");
        thread::sleep(Duration::from_millis(20));
    }
    let said = place.status(5);
    assert!(said.contains("was removed:"), "{said}");
    let heir = Named::new(&format!("sockc-heir-{}", std::process::id()));
    place.join("heir", &heir.name);
    assert_eq!(place.id_behind("heir"), id, "it has the id of the first");
    let _inside = listener(&heir.space);
    assert!(!place.opens(), "it is not the one that is meant");
    place.done(&["unload"]);
    assert!(place.opens());
}

#[test]
fn status_tells_of_a_namespace_that_is_not_the_one_it_was() {
    if !root() {
        return;
    }
    for (name, policy, words) in [
        ("looks", LOOKS, "conditions `in netns`"),
        ("blocks", BLOCK, "the policy of its `for netns` block"),
    ] {
        let mut place = Place::new(name);
        place.apply(policy);
        place.status(0);
        place.make_anew();
        let said = place.status_with("was removed, and one has its name again");
        assert!(said.contains(words), "{said}");
        place.done(&["apply", "--running"]);
        place.status(0);
        place.other = None;
        let said = place.status_with("was removed:");
        assert!(said.contains(words), "{said}");
    }
}

/// A process that does nothing; it ends when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn within(space: &Space) -> Self {
        let sleep = || Command::new("sleep").arg("3600").spawn().unwrap();
        Self(space.run(sleep).unwrap())
    }

    pub(crate) fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether port 80 of a namespace answers by its `lo`.
pub(crate) fn answers(space: &Space) -> bool {
    let to = SocketAddr::from(([127, 0, 0, 1], 80));
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_ok();
    space.run(connect).unwrap()
}

/// What everybody should know before a policy is taken away from a namespace that nobody can name.
const OPENS: &str = "every packet passes there";

#[test]
fn a_namespace_that_lost_its_name_keeps_its_policy_as_status_says() {
    if !root() {
        return;
    }
    let place = Place::new("nameless");
    let other = place.other.as_ref().unwrap();
    let up = || Netlink::open().unwrap().up("lo").unwrap();
    other.space.run(up).unwrap();
    let _listens = listener(&other.space);
    assert!(answers(&other.space));
    place.apply(BLOCK);
    let policy = place
        .folder
        .file("spaces.sk", &BLOCK.replace("NAME", &place.name));
    fs::remove_file(path_of(&place.name)).unwrap();
    // What has it open is this process.
    let said = place.status(5);
    assert!(said.contains(&format!("/proc/{}/", id())), "{said}");
    let process = Process::within(&other.space);
    let path = process.namespace();
    let said = place.status(5);
    for words in [
        format!(
            "the name of the network namespace \"{}\" was removed",
            place.name
        ),
        format!("`sockc status --netns {path}`"),
        format!("`ip netns attach {} {}`", place.name, process.0.id()),
        format!(
            "in the network namespace {path}, which was \"{}\":",
            place.name
        ),
        OPENS.to_owned(),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert!(!said.contains("goes with it"), "{said}");
    place.done(&["status", "--netns", &path]);
    let told = place.lab.server.run(|| run(&["status", "--json"])).unwrap();
    let told = told.json();
    assert_eq!(told["lost_namespaces"][0]["path"], path.as_str(), "{told}");
    assert_eq!(
        told["netns"][0]["status"]["policy"].as_str(),
        told["policy"].as_str(),
        "{told}"
    );
    let applied = place.lab.server.run(|| run(&["apply", &policy])).unwrap();
    assert_eq!(applied.code, Some(3), "{}", applied.stderr);
    assert!(!answers(&other.space));
    let applied = place.done(&["apply", "--running"]).stdout;
    let was = format!("{path}, which was \"{}\"", place.name);
    assert!(applied.contains(&was), "{applied}");
    assert!(!answers(&other.space));
    // With its name everything is as it was.
    symlink(&path, path_of(&place.name)).unwrap();
    place.status(0);
    fs::remove_file(path_of(&place.name)).unwrap();
    place.done(&["unload"]);
    assert!(answers(&other.space));
}

#[test]
fn an_apply_says_that_it_opens_a_namespace_that_lost_its_name() {
    if !root() {
        return;
    }
    let mut place = Place::new("renamed");
    let other = place.other.take().unwrap();
    let up = || Netlink::open().unwrap().up("lo").unwrap();
    other.space.run(up).unwrap();
    let _listens = listener(&other.space);
    place.apply(BLOCK);
    let policy = place
        .folder
        .file("spaces.sk", &BLOCK.replace("NAME", &place.name));
    let process = Process::within(&other.space);
    let path = process.namespace();
    fs::remove_file(path_of(&place.name)).unwrap();
    let _anew = Named::new(&place.name);
    let said = place.status(5);
    for words in ["another network namespace has the name", &path, OPENS] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let planned = place.done(&["plan", &policy]).stdout;
    assert!(
        planned.contains(&path) && planned.contains(OPENS),
        "{planned}"
    );
    let was = format!("the network namespace that was \"{}\" ({path})", place.name);
    for words in [
        format!("No policy is left on {was}."),
        format!("every packet and socket of {was}: the policy's verdicts -> allow"),
    ] {
        // A line is broken where the page ends.
        let unbroken = planned.replace('\n', " ");
        assert!(unbroken.contains(&words), "{words}: {planned}");
    }
    assert!(!planned.contains("No change in effect"), "{planned}");
    let counted = place.done(&["counters"]).stdout;
    let was = format!("the network namespace {path}, which was \"{}\"", place.name);
    assert!(counted.contains(&was), "{counted}");
    assert!(!planned.contains("with its block"), "{planned}");
    assert!(!answers(&other.space));
    let applied = place.done(&["apply", "--running"]).stderr;
    assert!(
        applied.contains(&path) && applied.contains(OPENS),
        "{applied}"
    );
    assert!(answers(&other.space));
    place.status(0);
}

/// What somebody puts in force by hand where a block's policy was.
const BY_HAND: &str = "policy byhand
interfaces lo
default in allow
drop tcp to port 80
";
/// What the host's policy is next: without the block.
const WITHOUT: &str = "interfaces lo
default in allow
drop tcp to port 81
drop tcp to port 82
";

/// What everybody says who takes no policy away.
fn assert_opens_nothing(said: &str) {
    for words in [OPENS, "is taken away", "No policy is left", "-> allow"] {
        assert!(!said.contains(words), "{words}: {said}");
    }
}

#[test]
fn what_others_did_in_the_namespace_of_a_block_is_said_and_left_as_it_is() {
    if !root() {
        return;
    }
    for (name, nameless, by_hand) in [
        ("lost-other", true, true),
        ("lost-nothing", true, false),
        ("named-other", false, true),
        ("named-nothing", false, false),
    ] {
        let place = Place::new(name);
        let other = place.other.as_ref().unwrap();
        let up = || Netlink::open().unwrap().up("lo").unwrap();
        other.space.run(up).unwrap();
        let _listens = listener(&other.space);
        place.apply(BLOCK);
        let process = Process::within(&other.space);
        let path = process.namespace();
        if nameless {
            fs::remove_file(path_of(&place.name)).unwrap();
        }
        place.done(&["unload", "--netns", &path]);
        if by_hand {
            let policy = place.folder.file("byhand.sk", BY_HAND);
            place.done(&["apply", "--netns", &path, &policy]);
        }
        assert_eq!(answers(&other.space), !by_hand);

        let said = place.status(5);
        let told = if by_hand {
            "another policy is in force"
        } else {
            "is gone"
        };
        let told = match (nameless, by_hand) {
            (true, false) => "does not hold there: no policy does",
            _ => told,
        };
        assert!(said.contains(told), "{told}: {said}");
        for words in [OPENS, "block holds there", "not what sockc left"] {
            assert!(!said.contains(words), "{words}: {said}");
        }
        let json = place
            .lab
            .server
            .run(|| run(&["status", "--json"]))
            .unwrap()
            .json();
        assert!(json["netns"][0]["status"].is_null(), "{json}");
        let byhand = by_hand.then_some("byhand");
        assert_eq!(json["netns"][0]["other"].as_str(), byhand, "{json}");
        if nameless {
            let holds = if by_hand { "other" } else { "nothing" };
            assert_eq!(json["lost_namespaces"][0]["holds"], holds, "{json}");
        }
        let counted = place.done(&["counters"]).stdout;
        assert!(!counted.contains("in the network namespace"), "{counted}");

        let next = place.folder.file("spaces.sk", WITHOUT);
        let planned = place.done(&["plan", &next]).stdout;
        let stays = match by_hand {
            true => "another policy is in force there by now, \"byhand\", and stays as it is",
            false => "no policy is in force there any more, and nothing is changed",
        };
        assert!(planned.contains(stays), "{planned}");
        assert!(!planned.contains("in netns"), "{planned}");
        assert_opens_nothing(&planned);
        let json = place.done(&["plan", "--json", &next]).json();
        let kernel = &json["kernel"];
        assert_eq!(kernel["untouched"][0]["policy"].as_str(), byhand, "{json}");
        assert_eq!(kernel["nameless"], serde_json::json!([]), "{json}");
        assert_eq!(kernel["released"], serde_json::json!([]), "{json}");
        let applied = place.done(&["apply", &next]).stderr;
        assert!(applied.contains(stays), "{applied}");
        assert_opens_nothing(&applied);
        assert_eq!(answers(&other.space), !by_hand);
        place.status(0);
        place.done(&["unload", "--netns", &path]);
    }
}

#[test]
fn an_unload_says_what_stays_in_the_namespace_of_a_block() {
    if !root() {
        return;
    }
    for (name, by_hand) in [("unload-other", true), ("unload-block", false)] {
        let place = Place::new(name);
        let other = place.other.as_ref().unwrap();
        place.apply(BLOCK);
        let process = Process::within(&other.space);
        let path = process.namespace();
        fs::remove_file(path_of(&place.name)).unwrap();
        if by_hand {
            place.done(&["unload", "--netns", &path]);
            let policy = place.folder.file("byhand.sk", BY_HAND);
            place.done(&["apply", "--netns", &path, &policy]);
        }
        let said = place.done(&["unload"]).stderr;
        let becomes = match by_hand {
            true => "another policy is in force there by now, \"byhand\", and stays as it is",
            false => "its policy is taken away, and every packet passes there",
        };
        assert!(said.contains(&path) && said.contains(becomes), "{said}");
        let stays = place.done(&["status", "--netns", &path]).stdout;
        assert_eq!(stays.contains("byhand"), by_hand, "{stays}");
        if by_hand {
            place.done(&["unload", "--netns", &path]);
        }
    }
}

/// A policy with a rule for the host's interface, and a block for an interface that goes.
const OUTSIDE: &str = "policy host
interfaces lo
default in allow
drop tcp to port 81
for netns \"NAME\" {
    interfaces inside
    default in allow
    drop tcp to port 80
}
";

#[test]
fn what_is_said_of_the_interfaces_of_a_block_names_its_namespace() {
    if !root() {
        return;
    }
    let place = Place::new("inside");
    let space = &place.other.as_ref().unwrap().space;
    ip(space, "link add inside type veth peer name other");
    place.apply(OUTSIDE);
    ip(space, "link del inside");
    let within = format!("in the network namespace \"{}\": ", place.name);
    let stands = place.lab.server.run(|| run(&["status"])).unwrap();
    assert_eq!(stands.code, Some(5));
    assert!(stands.stderr.contains("inside"), "{}", stands.stderr);
    for line in stands.stderr.lines() {
        let (_, said) = line.split_once(": ").unwrap();
        assert!(said.starts_with(&within), "{line}");
    }
    let applied = place.done(&["apply", "--running"]).stderr;
    for words in [
        "there is no interface \"inside\"",
        "no hook is left in this network namespace",
    ] {
        let mut lines = applied.lines();
        let line = lines.find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words}: {applied}"));
        assert!(line.starts_with(&format!("note: {within}")), "{line}");
    }
    assert!(!applied.contains("steers nothing\n"), "{applied}");
}
