//! What a policy names besides where its programs hang: interfaces that rules for lookups speak of, targets of redirects, and
//! namespaces that conditions look into, when they come, go and are renamed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sockc_runtime::lab::{FRONT, Lab, SERVER, Space};

use super::{Folder, NetnsName, Ran, ip, root, run};

/// A lab, a policy, and how both are asked.
struct Place {
    lab: Lab,
    _folder: Folder,
    policy: String,
}

impl Place {
    fn new(name: &str, text: &str) -> Self {
        let folder = Folder::new(name);
        Self {
            lab: Lab::new().unwrap(),
            policy: folder.file("named.sk", text),
            _folder: folder,
        }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    /// What a command says, which must end so.
    fn says(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.run(arguments);
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {said}");
        said
    }

    fn apply(&self) -> String {
        self.says(&["apply", &self.policy], 0)
    }

    /// What a plan says, which must end so under `--exit-code`.
    fn plan(&self, code: i32) -> String {
        let said = self.says(&["plan", &self.policy, "--exit-code"], code);
        let same = said.contains("No change in effect");
        assert!(code != 2 || !same, "{said}");
        said
    }

    fn ip(&self, line: &str) {
        ip(&self.lab.server, line);
    }

    fn pair(&self, name: &str) {
        self.ip(&format!("link add {name} type veth peer name p-{name}"));
    }

    fn listen(&self, port: u16) -> TcpListener {
        let listen = || TcpListener::bind(("0.0.0.0", port)).unwrap();
        self.lab.server.run(listen).unwrap()
    }

    fn connects(&self, port: u16) -> bool {
        let to = SocketAddr::new(SERVER[0], port);
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(5)).is_ok();
        self.lab.client.run(connect).unwrap()
    }
}

#[test]
fn rules_for_lookups_hold_on_an_interface_that_was_renamed() {
    if !root() {
        return;
    }
    let text = format!(
        "interfaces {FRONT}\nzone lan = {FRONT}\ndefault in allow\ndrop tcp to port 84\nno81: reject tcp to port 81 on zone lan at sk_lookup\n"
    );
    let place = Place::new("lookup-renamed", &text);
    let _servers = [place.listen(81), place.listen(83)];
    place.apply();
    assert!(place.connects(83) && !place.connects(81));
    for line in ["down", "name zz0"] {
        place.ip(&format!("link set {FRONT} {line}"));
    }
    place.ip("link set zz0 up");
    assert!(place.connects(83) && !place.connects(81));
    place.plan(0);
    for again in [["apply", &place.policy], ["apply", "--running"]] {
        place.says(&again, 0);
        assert!(place.connects(83));
        assert!(!place.connects(81), "{again:?} opened it");
    }
}

#[test]
fn an_interface_that_lookups_do_not_know_is_told_and_taken_in() {
    if !root() {
        return;
    }
    let text = "zone lan = v*\nsocket a = registered\nsocket b = registered\nredirect tcp 198.51.100.5:* to sock a on zone lan\nredirect tcp 198.51.100.5:* to sock b\n";
    let place = Place::new("lookup-later", text);
    place.apply();
    place.says(&["status"], 0);
    place.plan(0);
    place.pair("v1");
    let said = place.says(&["status"], 5);
    assert!(
        said.contains("the policy says of the interface v1 does not hold where sockets"),
        "{said}"
    );
    let said = place.plan(2);
    assert!(said.contains("looked up for packets of v1"), "{said}");
    place.says(&["apply", "--running", "--interface", "v1"], 0);
    place.says(&["status"], 0);
    place.plan(0);
}

#[test]
fn a_target_that_is_gone_keeps_no_other_interface_open() {
    if !root() {
        return;
    }
    let text =
        "interfaces v0\ndefault in drop\nr: redirect udp to 10.55.0.0/24:53 to interface r0\n";
    let place = Place::new("target", text);
    place.pair("v0");
    place.pair("r0");
    place.apply();
    place.ip("link del r0");
    let said = place.says(&["status"], 0);
    assert!(
        said.contains("there is no interface r0: what is redirected"),
        "{said}"
    );
    for refused in ["plan", "apply"] {
        let said = place.says(&[refused, &place.policy], 3);
        assert!(said.contains("there is no interface \"r0\""), "{said}");
    }
    place.ip("link del v0");
    place.pair("v0");
    place.says(&["status"], 5);
    let said = place.says(&["apply", "--running", "--interface", "v0"], 0);
    assert!(said.contains("there is no interface \"r0\" now"), "{said}");
    let said = place.says(&["status"], 0);
    assert!(said.contains("xdp") || said.contains("tc-in"), "{said}");
    place.pair("r0");
    let said = place.says(&["status"], 5);
    assert!(
        said.contains("the interface r0, which packets are redirected to, came after"),
        "{said}"
    );
    let said = place.plan(2);
    assert!(said.contains("what is redirected to r0"), "{said}");
    place.says(&["apply", "--running", "--interface", "r0"], 0);
    place.says(&["status"], 0);
    place.ip("link set r0 name r9");
    // A number is no name: it may be another interface's by now.
    let said = place.says(&["status"], 5);
    assert!(
        said.contains("what is redirected to r0 leaves by r9"),
        "{said}"
    );
    place.says(&["plan", &place.policy], 3);
    place.says(&["apply", "--running"], 0);
    let said = place.says(&["status"], 0);
    assert!(said.contains("there is no interface r0"), "{said}");
}

#[test]
fn a_namespace_that_conditions_look_into_is_told_when_it_is_another() {
    if !root() {
        return;
    }
    let lead = |space: &Space| NetnsName::new("looked-into", space);
    let (one, other) = (Space::new().unwrap(), Space::new().unwrap());
    let name = lead(&one);
    let text = format!(
        "interfaces {FRONT}\ndefault in drop\nweb: allow tcp to port 81 if socket listening in netns \"{}\"\n",
        name.0
    );
    let place = Place::new("looked-into", &text);
    place.apply();
    place.says(&["status"], 0);
    place.plan(0);
    drop(name);
    let said = place.says(&["status"], 5);
    assert!(said.contains("was removed"), "{said}");
    for refused in ["plan", "apply"] {
        let said = place.says(&[refused, &place.policy], 3);
        assert!(said.contains("cannot be entered"), "{said}");
    }
    place.says(&["apply", "--running"], 0);
    // The one that it was has its name again: programs that missed it do not look there.
    let same = lead(&one);
    let said = place.says(&["status"], 5);
    assert!(said.contains("one has its name again"), "{said}");
    let said = place.plan(2);
    assert!(said.contains("in netns"), "{said}");
    drop(same);
    let _name = lead(&other);
    let said = place.says(&["status"], 5);
    assert!(
        said.contains("was removed, and one has its name again"),
        "{said}"
    );
    let said = place.plan(2);
    assert!(
        said.contains("nothing, or the one before -> the one there is"),
        "{said}"
    );
    place.apply();
    place.says(&["status"], 0);
    place.plan(0);
}
