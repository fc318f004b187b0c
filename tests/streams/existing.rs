//! Connections that are there when a policy with rules about them is applied for the first time.
//!
//! They are found through the processes that hold them, and are those of the control group that their sockets were made in. This
//! process, which holds them all, is in no group.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use sockc_compiler::object;
use sockc_runtime::{Carried, Options, apply};
use sockc_testing::again;
use socket2::SockAddr;

use crate::alone::{wait_until, waiting};
use crate::egress::{TALK, arrives, dual_stack};
use crate::encrypted::layer;
use crate::escape::Holder;
use crate::full::reconnected;
use crate::place::*;
use crate::shortcut::{PATIENCE, much, noise};
use crate::writes::{DATA, is_refused};

const OPEN: &str = "
default send allow
GROUP
open: count send tcp from group pods to any
elsewhere: drop send tcp from group pods to 10.0.0.0/8
";
const NEAR: &str = "
default send allow
GROUP
near: shortcut tcp within group pods
";

fn pods(connections: usize) -> [(String, usize); 1] {
    [("pods".to_owned(), connections)]
}

fn goes(pair: &mut Pair) -> bool {
    pair.client.write_all(DATA).unwrap();
    arrives(&mut pair.server)
}

#[test]
fn what_is_written_to_them_is_decided_from_the_first_apply_on() {
    inside(|place| {
        let mut refused = [
            place.pair(CLIENT4, "192.0.2.5", CLIENT),
            place.pair(CLIENT6, "2001:db8:2::5", CLIENT),
            dual_stack(place, "192.0.2.5"),
        ];
        let mut allowed = [
            place.pair(CLIENT4, "203.0.113.5", CLIENT),
            place.pair(CLIENT6, "2001:db8:3::5", CLIENT),
        ];
        for pair in refused.iter_mut().chain(&mut allowed) {
            assert!(goes(pair));
        }
        assert_eq!(place.foretold(TALK)[0].1, Carried::Begins);
        assert_eq!(place.apply(TALK).escaped, pods(0));
        for pair in &mut refused {
            assert!(is_refused(&pair.client.write(DATA)));
        }
        for pair in &mut allowed {
            assert!(goes(pair));
        }
        let counts = ["four", "six", "rest"].map(|label| place.counted(label).0);
        assert_eq!(counts, [2, 1, 2]);
        assert_eq!(place.apply(OPEN).escaped, pods(0));
        for pair in refused.iter_mut().chain(&mut allowed) {
            assert!(goes(pair), "what was refused goes again");
        }
        assert_eq!(place.counted("open").0, 5);
        assert!(place.unload());
        for pair in refused.iter_mut().chain(&mut allowed) {
            assert!(goes(pair));
        }
        for pair in refused.into_iter().chain(allowed) {
            let Pair { client, mut server } = pair;
            drop(client);
            assert_eq!(
                again(|| server.read(&mut [0; 1])).unwrap(),
                0,
                "and nothing else came"
            );
        }
    });
}

#[test]
fn those_that_a_listener_of_the_group_accepted_are_of_it() {
    const FROM: &str =
        "default send allow\nGROUP\nback: drop send tcp from group pods to 198.51.100.0/24\n";
    inside(|place| {
        let server = Sides {
            client: false,
            server: true,
        };
        let mut pair = place.pair(CLIENT4, "192.0.2.5", server);
        assert_eq!(place.apply(FROM).escaped, pods(0));
        assert!(is_refused(&pair.server.write(DATA)));
        assert!(goes(&mut pair), "the other end is in no group");
    });
}

#[test]
fn what_no_rule_is_about_is_left_alone() {
    inside(|place| {
        let only_drop = TALK.replace("rest: count send tcp from group pods to any\n", "");
        let mut other = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        assert_eq!(place.apply(&only_drop).escaped, pods(0));
        // One that was taken in says 0.
        assert_eq!(waiting(&mut other), DATA.len().to_string());
        assert!(arrives(&mut other.client));
        assert!(goes(&mut other));
    });
}

/// Who holds a socket now does not matter, as it does not for those that are made later.
#[test]
fn one_that_was_made_outside_and_handed_in_stays_outside() {
    inside(|place| {
        let mut pair = place.pair(CLIENT4, "192.0.2.5", NEITHER);
        let _holder = Holder::new(place, pair.client.try_clone().unwrap().into());
        assert_eq!(place.apply(TALK).escaped, pods(0));
        assert!(goes(&mut pair));
        assert_eq!(place.counted("four").0, 0);
    });
}

#[test]
fn one_that_is_connected_to_somebody_else_later_is_still_decided() {
    inside(|place| {
        let pair = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        place.apply(TALK);
        let mut pair = reconnected(place, pair.client, "192.0.2.5");
        assert!(is_refused(&pair.client.write(DATA)));
        place.apply(OPEN);
        assert!(goes(&mut pair));
        assert_eq!(place.counted("open").0, 1);
    });
}

/// The kernel takes no socket in whose peer has ended its side.
#[test]
fn one_whose_peer_has_ended_goes_on_and_is_counted() {
    inside(|place| {
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        pair.server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(again(|| pair.client.read(&mut [0; 1])).unwrap(), 0);
        for _ in 0..2 {
            assert_eq!(place.apply(TALK).escaped, pods(1));
            assert!(goes(&mut pair));
        }
    });
}

#[test]
fn one_with_tls_of_the_kernel_goes_on_and_is_counted() {
    inside(|place| {
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        if let Some(error) = layer(&pair.client) {
            println!("{error}");
            // This machine's own kernel may be built without it.
            if crate::guests::folder().is_some() {
                skip("TLS of the kernel");
            }
            return;
        }
        assert_eq!(place.apply(TALK).escaped, pods(1));
        assert!(goes(&mut pair));
    });
}

/// Nobody can be asked which path the control group had that its socket was made in.
#[test]
fn one_of_a_control_group_that_is_gone_goes_on_and_is_counted() {
    inside(|place| {
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        place.group.remake().unwrap();
        let _holder = Holder::new(place, pair.client.try_clone().unwrap().into());
        assert_eq!(place.apply(TALK).escaped, pods(1));
        assert!(goes(&mut pair));
    });
}

/// What waits by TCP was written before: nothing may come by another way and be read first.
#[test]
fn no_shortcut_leads_to_them_or_from_them() {
    inside(|place| {
        let mut pair = place.pair(CLIENT4, "192.0.2.5", BOTH);
        pair.client.write_all(b"first").unwrap();
        pair.server.write_all(b"first").unwrap();
        assert_eq!(place.apply(NEAR).escaped, pods(0));
        pair.client.write_all(b"then").unwrap();
        pair.server.write_all(b"then").unwrap();
        for end in [&mut pair.client, &mut pair.server] {
            let mut all = [0; 9];
            end.read_exact(&mut all).unwrap();
            assert_eq!(&all, b"firstthen");
        }
        assert_eq!(place.counted("near").0, 2, "both are decided");
        assert!(place.unload());
        assert!(goes(&mut pair));
    });
}

/// Bytes of a stream that both sides know, from any offset on.
struct Known(Vec<u8>);

impl Known {
    fn new(seed: u64) -> Self {
        // A prime, so that what is lost or comes twice does not look like what belongs there.
        Self(noise(seed, 1_000_003))
    }

    /// Some of what stands at an offset.
    fn at(&self, offset: usize) -> &[u8] {
        let rest = &self.0[offset % self.0.len()..];
        &rest[..rest.len().min(60_000)]
    }

    fn write(&self, stream: &mut TcpStream, stop: &AtomicBool) -> usize {
        let mut sent = 0;
        while sent < much() || !stop.load(Ordering::Acquire) {
            sent += again(|| stream.write(self.at(sent))).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        sent
    }

    fn read_on(&self, stream: &mut TcpStream, seen: &AtomicUsize) -> usize {
        let (mut got, mut place) = (0, vec![0; 60_000]);
        let mut since = Instant::now();
        loop {
            let bytes = match again(|| stream.read(&mut place)) {
                Ok(0) => return got,
                Ok(bytes) => bytes,
                // A socket that was taken in says so before its time, as the manual tells.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "after {got} bytes");
                    assert!(since.elapsed() < PATIENCE, "nothing after {got} bytes");
                    continue;
                }
            };
            since = Instant::now();
            let mut rest = &place[..bytes];
            while !rest.is_empty() {
                let expected = self.at(got);
                let both = rest.len().min(expected.len());
                assert!(rest[..both] == expected[..both], "after {got} bytes");
                got += both;
                rest = &rest[both..];
            }
            seen.store(got, Ordering::Release);
        }
    }
}

/// Both ways at once, on a connection both ends of which are the group's.
#[test]
fn no_byte_is_lost_where_a_policy_comes_and_goes_in_the_middle_of_a_transfer() {
    for (from, to) in [(CLIENT4, "203.0.113.5"), (CLIENT6, "2001:db8:3::5")] {
        inside(|place| {
            let Pair { client, server } = place.pair(from, to, BOTH);
            let (up, down) = (Known::new(1), Known::new(2));
            let (stop, seen) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 2]);
            let twice = |stream: &TcpStream| [(); 2].map(|()| stream.try_clone().unwrap());
            let ([mut writes, mut reads], [mut answers, mut asks]) =
                (twice(&client), twice(&server));
            for stream in [&client, &server] {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
            }
            thread::scope(|scope| {
                let sent = [
                    scope.spawn(|| up.write(&mut writes, &stop)),
                    scope.spawn(|| down.write(&mut answers, &stop)),
                ];
                let got = [
                    scope.spawn(|| up.read_on(&mut asks, &seen[0])),
                    scope.spawn(|| down.read_on(&mut reads, &seen[1])),
                ];
                let end = Ends(&stop);
                let go_on = || {
                    for one in &seen {
                        let now = one.load(Ordering::Acquire);
                        wait_until(|| one.load(Ordering::Acquire) > now + much() / 20);
                    }
                };
                for policy in [OPEN, NEAR, OPEN] {
                    go_on();
                    assert_eq!(place.apply(policy).escaped, pods(0));
                    go_on();
                    place.apply(policy);
                    go_on();
                    let label = if policy == NEAR { "near" } else { "open" };
                    assert!(place.counted(label).0 > 1, "it is decided");
                    assert!(place.unload());
                }
                go_on();
                drop(end);
                let sent = sent.map(|one| one.join().unwrap());
                assert_eq!(got.map(|one| one.join().unwrap()), sent);
                assert!(sent.iter().all(|bytes| *bytes >= much()));
            });
        });
    }
}

/// Ends what goes on beside a test, however the test ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How many descriptors a command has, as it is on most machines; fewer where every instruction is emulated.
fn descriptors() -> u64 {
    match crate::guests::folder() {
        None => 1024,
        Some(_) => 256,
    }
}

/// More than a command has descriptors.
fn many() -> usize {
    (descriptors() + descriptors() / 2) as usize
}

/// Tells a helper process of these tests which policy to apply.
const TOLD: &str = "SOCKC_TEST_APPLY";

/// Not a test by itself: it is run by the tests below as another process, which has few descriptors, or is killed.
#[test]
fn applies_what_it_is_told() {
    let Ok(text) = std::env::var(TOLD) else {
        return;
    };
    let artifact = compiled(text);
    let bytes = object::write(&artifact).unwrap();
    limit_descriptors(descriptors());
    let applied = apply(&bytes, &artifact.manifest, &Options::default()).unwrap();
    println!("told {:?} {:?}", applied.escaped, applied.notes);
}

/// From now on this process may have so many descriptors.
fn limit_descriptors(number: u64) {
    let limit = libc::rlimit {
        rlim_cur: number,
        rlim_max: number,
    };
    // SAFETY: the limit lives through the call.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn helper(place: &Place, policy: &str) -> Child {
    let mut helper = Command::new(std::env::current_exe().unwrap());
    helper.args([
        "--exact",
        "existing::applies_what_it_is_told",
        "--nocapture",
    ]);
    helper.env(TOLD, place.declared(policy));
    helper.stdout(Stdio::piped());
    place.lab.server.run(|| helper.spawn().unwrap()).unwrap()
}

/// What an apply says in a process with few descriptors.
fn applied_by_helper(place: &Place, policy: &str) -> String {
    let output = helper(place, policy).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    // Alone, a test has its name on the line, which ends in the same word.
    let told = said.lines().find_map(|line| line.rsplit_once("told "));
    told.unwrap().1.to_owned()
}

/// Many connections of the group; the listener takes them all.
fn connections(place: &Place) -> Vec<Pair> {
    // Both ends of each, and as many again for tests that run beside this one.
    limit_descriptors(1 << 14);
    let at = SocketAddr::new(ip("192.0.2.5"), 0);
    let listener: TcpListener = place.listener(&place.lab.server, at, false);
    let to = SockAddr::from(listener.local_addr().unwrap());
    let pair = |_| {
        let client = place.client(&place.lab.client, SocketAddr::new(ip(CLIENT4), 0), true);
        client.connect(&to).unwrap();
        Pair {
            client: client.into(),
            server: listener.accept().unwrap().0,
        }
    };
    (0..many()).map(pair).collect()
}

fn refused(pairs: &mut [Pair]) -> usize {
    let refused = pairs.iter_mut().filter_map(|pair| {
        let written = pair.client.write(DATA);
        is_refused(&written).then_some(())
    });
    refused.count()
}

#[test]
fn more_than_there_are_descriptors_are_taken_in_and_let_go() {
    inside(|place| {
        let mut pairs = connections(place);
        assert_eq!(applied_by_helper(place, TALK), r#"[("pods", 0)] []"#);
        assert_eq!(refused(&mut pairs), many());
        assert_eq!(place.counted("four").0, many() as u64);
        let said = applied_by_helper(place, OPEN);
        assert!(!said.contains("stay refused"), "{said}");
        assert_eq!(refused(&mut pairs), 0);
        assert_eq!(place.counted("open").0, many() as u64);
    });
}

/// At some moment while they are taken in. What is not in yet is taken in by the next one.
#[test]
fn a_kill_in_the_middle_leaves_what_the_next_apply_completes() {
    inside(|place| {
        let mut pairs = connections(place);
        let mut cut_short = false;
        for _ in 0..50 {
            let mut helper = helper(place, TALK);
            let first = &mut pairs[0];
            wait_until(|| match first.client.write(DATA) {
                Ok(_) => !arrives(&mut first.server),
                refused => is_refused(&refused),
            });
            helper.kill().unwrap();
            helper.wait().unwrap();
            let there = refused(&mut pairs);
            assert_eq!(place.apply(TALK).escaped, pods(0), "{there} were there");
            assert_eq!(refused(&mut pairs), many(), "{there} were there");
            assert!(place.unload());
            assert_eq!(refused(&mut pairs), 0);
            cut_short |= there < many();
            if cut_short {
                break;
            }
        }
        assert!(cut_short, "it was always too late");
    });
}

/// A connection of MPTCP is never taken in.
#[test]
fn one_of_mptcp_goes_on_and_is_counted() {
    inside(|place| {
        let Some(mut pair) = place.mptcp_pair() else {
            return skip("MPTCP");
        };
        let _holder = Holder::new(place, pair.client.try_clone().unwrap().into());
        assert_eq!(place.apply(TALK).escaped, pods(1));
        assert!(goes(&mut pair));
    });
}
