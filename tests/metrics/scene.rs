//! A lab with a policy, what is sent to it, and what the command says of it.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use sockc_runtime::lab::{FRONT, Lab, SERVER};
use sockc_testing::Folder;

/// Whether a test that needs root may run; says so where it may not.
pub(crate) fn root() -> bool {
    let missing = sockc_runtime::lab::missing_rights();
    skipped(missing.is_empty(), "root")
}

/// Whether there is what a test needs; says so where there is not.
pub(crate) fn skipped(there: bool, what: &str) -> bool {
    if !there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs {what}");
        eprintln!("skipped: needs {what}");
    }
    there
}

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command with its arguments.
pub(crate) fn sockc(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    let output = sockc(arguments).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A lab, and a folder for its policy.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) folder: Folder,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            lab: Lab::new().unwrap(),
            folder: Folder::new(name),
        }
    }

    /// Runs a command where the policy is.
    pub(crate) fn ran(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    /// The same for a command that has to be carried out.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ran = self.ran(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Puts a policy in force.
    pub(crate) fn apply(&self, text: &str) {
        let path = self.folder.file("edge.sk", text);
        self.done(&["apply", &path, "--interface", FRONT, "--yes"]);
    }

    /// Sends datagrams of one byte to a port of the server: 29 bytes each, with the headers.
    pub(crate) fn send(&self, port: u16, count: usize) {
        let send = || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..count {
                // Where nobody listens the kernel tells the sender so, once for each.
                let _ = socket.send_to(b"x", (SERVER[0], port));
            }
        };
        self.lab.client.run(send).unwrap();
    }

    /// The samples that the command prints.
    pub(crate) fn samples(&self, more: &[&str]) -> Samples {
        Samples::of(&self.done(&[&["metrics"], more].concat()))
    }
}

/// Samples by their name and labels, as they are written.
#[derive(Debug)]
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub(crate) fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        let samples: Vec<(String, f64)> = samples.collect();
        let count = samples.len();
        let samples = BTreeMap::from_iter(samples);
        assert_eq!(samples.len(), count, "a sample stands there twice: {text}");
        Self(samples)
    }

    /// The sample of a name that has all of these labels.
    pub(crate) fn find(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let mut found = self.0.iter().filter(|(sample, _)| {
            let own = sample.split('{').next() == Some(name);
            own && labels.iter().all(|label| sample.contains(label))
        });
        let first = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "{name} {labels:?} in {self:?}");
        first
    }

    /// Their names and labels.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The same for one that is there.
    pub(crate) fn get(&self, name: &str, labels: &[&str]) -> f64 {
        let found = self.find(name, labels);
        found.unwrap_or_else(|| panic!("no {name} {labels:?} in {self:#?}"))
    }

    /// What fell, of what counts, since an earlier look.
    pub(crate) fn fallen(&self, before: &Self) -> Vec<String> {
        let totals = before.0.iter().filter(|(name, _)| name.contains("_total"));
        let fallen = totals.filter(|(name, value)| {
            let now = self.0.get(*name);
            now.is_some_and(|now| now < *value)
        });
        fallen.map(|(name, _)| name.clone()).collect()
    }
}
