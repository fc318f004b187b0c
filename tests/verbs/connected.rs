//! What the verbs say of connected sockets whose queues take data: handed over, kept by the next policy or put out, and taken away.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use sockc_runtime::lab::{Group, Lab};

use super::{Folder, root, run};

/// A lab with a group, and a policy for each queue.
struct Place {
    lab: Lab,
    _group: Group,
    _folder: Folder,
    input: String,
    output: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let (lab, group) = (Lab::new().unwrap(), Group::new().unwrap());
        let folder = Folder::new(name);
        let policy = |queue: &str| {
            let text = format!(
                "default send allow\ngroup pods = cgroup \"{}\"\nsocket cache = registered\n\
                 moved: redirect send tcp from group pods to 10.0.0.9:53 to {queue} of sock cache\n",
                group.path()
            );
            folder.file(&format!("{queue}.sk"), &text)
        };
        Self {
            input: policy("input"),
            output: policy("output"),
            lab,
            _group: group,
            _folder: folder,
        }
    }

    /// What a command says, which must end so.
    fn says(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.lab.server.run(|| run(arguments)).unwrap();
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {said}");
        said
    }

    /// Hands a descriptor of this process over.
    fn register(&self, fd: RawFd, code: i32) -> String {
        let [pid, fd] = [std::process::id().to_string(), fd.to_string()];
        self.says(
            &["socket", "register", "cache", "--pid", &pid, "--fd", &fd],
            code,
        )
    }

    /// What stands behind the name, as a command lists it.
    fn kind(&self, command: &[&str]) -> Value {
        let said: Value = serde_json::from_str(&self.says(command, 0)).unwrap();
        assert_eq!(said["ends"][0]["socket"], "cache", "{said}");
        said["ends"][0]["kind"].clone()
    }
}

/// A TCP connection of this process: both ends, and who listens.
fn tcp() -> (TcpStream, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = listener.accept().unwrap().0;
    (own, peer, listener)
}

#[test]
fn a_connected_socket_is_handed_over_shown_kept_and_taken_away() {
    if !root() {
        return;
    }
    let place = Place::new("connected-kept");
    let said = place.says(&["plan", &place.input], 0);
    assert!(
        said.contains("is absent until `sockc socket register cache …`"),
        "{said}"
    );
    let said = place.says(&["apply", &place.input], 0);
    assert!(said.contains("absent: none was handed over"), "{said}");
    let (own, _peer, listener) = tcp();
    let said = place.register(listener.as_raw_fd(), 3);
    assert!(said.contains("the socket listens"), "{said}");
    let said = place.register(own.as_raw_fd(), 0);
    assert!(said.contains("now holds tcp4"), "{said}");
    for command in [
        ["status", "--json"].as_slice(),
        &["socket", "list", "--json"],
    ] {
        assert_eq!(place.kind(command), json!("tcp4"));
    }
    let said = place.says(&["socket", "list"], 0);
    assert!(
        said.contains("input") && said.contains("connected"),
        "{said}"
    );
    let said = place.says(&["plan", &place.output], 0);
    assert!(said.contains("keeps what was handed over"), "{said}");
    place.says(&["apply", &place.output], 0);
    assert_eq!(place.kind(&["status", "--json"]), json!("tcp4"));
    let said = place.says(&["socket", "refresh", "cache"], 3);
    assert!(said.contains("hand it over by"), "{said}");
    let said = place.says(&["socket", "unregister", "cache"], 0);
    assert!(said.contains("tcp4"), "{said}");
    assert_eq!(place.kind(&["status", "--json"]), Value::Null);
    place.says(&["unload"], 0);
}

/// What `plan` says becomes of it is what `apply` does.
#[test]
fn a_socket_that_the_next_policy_cannot_use_is_put_out_as_planned() {
    if !root() {
        return;
    }
    let place = Place::new("connected-put-out");
    place.says(&["apply", &place.input], 0);
    let (own, _peer) = UnixStream::pair().unwrap();
    place.register(own.as_raw_fd(), 0);
    assert_eq!(place.kind(&["status", "--json"]), json!("unix-stream"));
    let said = place.says(&["plan", &place.output], 0);
    assert!(said.contains("is put out"), "{said}");
    let said = place.says(&["apply", &place.output], 0);
    assert!(
        said.contains("it cannot take what the rules put there now"),
        "{said}"
    );
    assert_eq!(place.kind(&["status", "--json"]), Value::Null);
    let said = place.register(own.as_raw_fd(), 3);
    assert!(said.contains("`to input of`"), "{said}");
    place.says(&["unload"], 0);
}

/// A name that is declared and that no rule leads to is told from one that is not declared; and `apply` says what it takes off.
#[test]
fn a_name_that_no_rule_leads_to_takes_nothing() {
    if !root() {
        return;
    }
    let (place, folder) = (Place::new("connected-idle"), Folder::new("connected-other"));
    let text = std::fs::read_to_string(&place.input).unwrap();
    let idle = text
        .replace("redirect send", "allow send")
        .replace(" to input of sock cache", "");
    let idle = folder.file("idle.sk", &idle);
    let relayed = text.replace("default send allow\n", "").replace(
        "send tcp from group pods to 10.0.0.9:53",
        "receive tcp from 10.0.0.9 to group pods",
    );
    let relayed = folder.file("relayed.sk", &relayed);
    let (own, _peer, _listener) = tcp();
    place.says(&["apply", &relayed], 0);
    place.register(own.as_raw_fd(), 0);
    let said = place.says(&["socket", "list"], 0);
    assert!(
        said.contains("input") && said.contains("connected"),
        "{said}"
    );
    let said = place.says(&["plan", &place.input], 0);
    assert!(said.contains("keeps what was handed over"), "{said}");
    place.says(&["apply", &place.input], 0);
    assert_eq!(place.kind(&["status", "--json"]), json!("tcp4"));
    let said = place.says(&["apply", &idle], 0);
    assert!(
        said.contains("\"cache\" is taken off: no rule of this policy leads to it"),
        "{said}"
    );
    let said = place.register(own.as_raw_fd(), 3);
    assert!(
        said.contains("no rule of the policy in force leads to it"),
        "{said}"
    );
    place.says(&["unload"], 0);
}
