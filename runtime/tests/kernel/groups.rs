//! Streams of a control group: writes are refused, and sockets follow a new policy.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sockc_runtime::{Features, Options, counters, probe, status, unload};

use crate::policy::*;
use crate::space::{Space, inside};

/// Tells a helper process where to connect.
const CONNECT_TO: &str = "SOCKC_TEST_CONNECT_TO";

/// Not a test by itself: a process in a control group. For each line it reads it does what the line says and answers.
#[test]
fn connecting_helper() {
    let Ok(address) = std::env::var(CONNECT_TO) else {
        return;
    };
    let mut stream = None;
    for line in std::io::stdin().lines() {
        let answer = match line.unwrap().as_str() {
            "connect" => {
                stream = Some(TcpStream::connect(&address).unwrap());
                "connected".to_owned()
            }
            _ => match stream.as_mut().unwrap().write(b"data") {
                Ok(_) => "written".to_owned(),
                Err(error) => format!("{:?}", error.kind()),
            },
        };
        println!("answer {answer}");
    }
}

/// A process in the test's control group.
struct Client {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Client {
    fn new(space: &Space, address: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "groups::connecting_helper", "--nocapture"])
            .env(CONNECT_TO, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        space.join_group(process.id());
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, answers }
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{question}").unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.answers.read_line(&mut line).unwrap(),
                0,
                "the helper ended"
            );
            if let Some((_, answer)) = line.split_once("answer ") {
                return answer.trim().to_owned();
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// With links on maps where the kernel has them, and without.
fn all_means(space: &Space) -> Vec<Options> {
    let means = [probe().sockmap_link, false].into_iter();
    let options = means.map(|sockmap_link| Options {
        features: Some(Features {
            sockmap_link,
            ..probe()
        }),
        ..space.options.clone()
    });
    options.collect()
}

#[test]
fn a_write_is_refused_and_a_new_policy_allows_it_to_new_connections() {
    inside(|space| {
        for options in all_means(space) {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap().to_string();
            policy("g")
                .group(&space.cgroup, SK_DROP)
                .apply(&options)
                .unwrap();
            let mut client = Client::new(space, &address);
            assert_eq!(client.ask("connect"), "connected");
            assert_eq!(
                client.ask("write"),
                format!("{:?}", ErrorKind::PermissionDenied)
            );
            policy("g")
                .group(&space.cgroup, SK_PASS)
                .apply(&options)
                .unwrap();
            assert_eq!(client.ask("connect"), "connected");
            assert_eq!(client.ask("write"), "written");
            assert!(
                status(&options)
                    .unwrap()
                    .unwrap()
                    .hooks
                    .iter()
                    .all(|hook| hook.alive)
            );
            assert!(unload(&options).unwrap().removed);
            assert_eq!(space.tree(), Vec::<String>::new());
        }
    });
}

/// A policy without the group takes its sockets out of the map, and the map away.
#[test]
fn a_group_that_the_next_policy_lacks_leaves_nothing() {
    inside(|space| {
        let options = &space.options;
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        policy("g")
            .group(&space.cgroup, SK_DROP)
            .apply(options)
            .unwrap();
        let mut client = Client::new(space, &address);
        assert_eq!(client.ask("connect"), "connected");
        policy("none").apply(options).unwrap();
        let left = space
            .tree()
            .into_iter()
            .filter(|path| path.contains("/group/"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
        assert_eq!(client.ask("connect"), "connected");
        assert_eq!(client.ask("write"), "written");
    });
}

#[test]
fn connections_that_are_there_follow_the_new_policy_in_the_map_they_are_in() {
    inside(|space| {
        for options in all_means(space) {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap().to_string();
            policy("g")
                .group(&space.cgroup, SK_PASS)
                .apply(&options)
                .unwrap();
            let mut client = Client::new(space, &address);
            assert_eq!(client.ask("connect"), "connected");
            assert_eq!(client.ask("write"), "written");
            assert_eq!(counters(&options).unwrap()[0].packets, 1);
            let applied = policy("g")
                .group(&space.cgroup, SK_DROP)
                .apply(&options)
                .unwrap();
            assert_eq!(
                applied.escaped,
                [("pods".to_owned(), 0)],
                "it is in the map already"
            );
            assert_eq!(
                client.ask("write"),
                format!("{:?}", ErrorKind::PermissionDenied)
            );
            assert_eq!(counters(&options).unwrap()[0].packets, 2);
            assert!(unload(&options).unwrap().removed);
            assert_eq!(client.ask("write"), "written", "unloading sets it free");
        }
    });
}

/// As the sockets of objects of earlier versions, those of this one keep no keys.
#[test]
fn connections_made_before_escape_and_are_counted() {
    inside(|space| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let mut client = Client::new(space, &address);
        assert_eq!(client.ask("connect"), "connected");
        let applied = policy("g")
            .group(&space.cgroup, SK_DROP)
            .apply(&space.options)
            .unwrap();
        assert_eq!(applied.escaped, [("pods".to_owned(), 1)]);
        assert_eq!(client.ask("write"), "written");
        let (mut accepted, _) = server.accept().unwrap();
        accepted
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut data = [0; 4];
        accepted.read_exact(&mut data).unwrap();
        assert_eq!(&data, b"data");
    });
}

#[test]
fn only_sockets_of_the_group_are_touched() {
    inside(|space| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        policy("g")
            .group(&space.cgroup, SK_DROP)
            .apply(&space.options)
            .unwrap();
        let mut stream = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        stream.write_all(b"data").unwrap();
    });
}
