//! Several sockets under one name: how flows are spread over them, who gets a place, and what verbs say of it.

mod flows;
mod places;

use std::os::fd::AsRawFd;

use serde_json::Value;
use sockc_runtime::lab::Lab;
use socket2::Socket;

use super::{Folder, Ran, root, run};
use flows::cookie;

/// Where clients connect to; nobody is bound there.
const TO: [&str; 2] = ["127.0.0.9:80", "[::1]:80"];

/// A lab with a policy.
struct Place {
    lab: Lab,
    folder: Folder,
    policy: String,
}

impl Place {
    /// `socket` says what stands behind the name `web`, to which clients come.
    fn new(name: &str, socket: &str) -> Self {
        let folder = Folder::new(name);
        let place = Self {
            lab: Lab::new().unwrap(),
            policy: folder.file("web.sk", &policy(socket)),
            folder,
        };
        place.says(&["apply", &place.policy], 0);
        place
    }

    /// The same name with something else behind it.
    fn becomes(&self, socket: &str) -> String {
        self.folder.file("web.sk", &policy(socket));
        self.says(&["apply", &self.policy], 0)
    }

    fn ran(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    /// What a command says, which must end so.
    fn says(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.ran(arguments);
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {said}");
        said
    }

    fn register(&self, socket: &Socket, more: &[&str], code: i32) -> String {
        let (process, fd) = (
            std::process::id().to_string(),
            socket.as_raw_fd().to_string(),
        );
        let of = ["socket", "register", "web", "--pid", &process, "--fd", &fd];
        self.says(&[&of, more].concat(), code)
    }

    /// The cookies of what stands in the places of a kind, in order.
    fn listed(&self, kind: &str) -> Vec<Option<u64>> {
        let rows = self.rows(kind);
        let inside = |row: &Value| {
            let listens = row["state"] == "listening";
            row["who"]["cookie"].as_u64().filter(|_| listens)
        };
        rows.iter().map(inside).collect()
    }

    fn rows(&self, kind: &str) -> Vec<Value> {
        let ran = self.ran(&["socket", "list", "--json"]);
        let rows = ran.json()["sockets"].as_array().unwrap().clone();
        rows.into_iter().filter(|row| row["slot"] == kind).collect()
    }
}

fn policy(socket: &str) -> String {
    let [v4, v6] = TO;
    format!("socket web = {socket}\nredirect {v4} to sock web\nredirect {v6} to sock web\n")
}

fn cookies(sockets: &[&Socket]) -> Vec<Option<u64>> {
    sockets.iter().map(|socket| Some(cookie(socket))).collect()
}
