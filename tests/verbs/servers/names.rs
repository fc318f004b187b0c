//! Name servers: one that is restarted again and again under load, and two that share a port by prefix.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::Lab;
use sockc_testing::again;
use socket2::SockRef;

use super::query::{answer, by_tcp, by_udp, question};
use super::{PATIENCE, Server, Stop, apply, installed, slot, until};
use crate::{Folder, ip, run};

/// How often the server is killed and started again.
const RESTARTS: usize = 100;
/// How far apart questions are: 5,000 a second.
const APART: Duration = Duration::from_micros(200);
/// How late a question may be.
const MOMENT: Duration = Duration::from_millis(5);
/// How many answers there are to be between two restarts.
const ANSWERS: usize = 50;
/// How long a question may be on its way where its answer is waited for.
pub(super) const SOON: Duration = Duration::from_millis(20);

/// The server is bound to its own address; nobody is bound to those that clients send to.
const POLICY: &str = "\
interfaces lo
socket names = udp listen 127.0.0.1:53 owner uid root
names: redirect udp to 127.0.9.0/24:53 to sock names
";

/// A server that gives every name of the zone an address that ends in `who`.
pub(super) fn unbound(folder: &Folder, who: u8, listen: &str) -> Server {
    let at = folder.0.display();
    let text = format!(
        "server:\n username: \"\"\n chroot: \"\"\n directory: \"{at}\"\n pidfile: \"\"\n use-syslog: no\n \
         do-daemonize: no\n so-rcvbuf: 4m\n module-config: \"iterator\"\n num-threads: 1\n \
         access-control: 0.0.0.0/0 allow\n access-control: ::/0 allow\n local-zone: \"here.\" redirect\n \
         local-data: \"here. A 192.0.2.{who}\"\n{listen}remote-control:\n control-enable: no\n"
    );
    let conf = folder.file(&format!("unbound-{who}.conf"), &text);
    Server::start("unbound", &["-c", &conf])
}

/// Questions that are sent one after the other, and when; and which of them were answered.
struct Load {
    client: UdpSocket,
    stop: AtomicBool,
    sent: Mutex<Vec<Instant>>,
    answered: Mutex<Vec<u32>>,
    /// The number of the last question that was answered, and one.
    last: AtomicU32,
}

impl Load {
    fn new() -> Self {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&client)
            .set_recv_buffer_size(1 << 22)
            .unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        Self {
            client,
            stop: AtomicBool::new(false),
            sent: Mutex::default(),
            answered: Mutex::default(),
            last: AtomicU32::new(0),
        }
    }

    /// Sends at its pace; what is later than a moment is not made up for, since that would be a burst.
    fn send(&self) {
        let mut due = Instant::now();
        for number in 0.. {
            self.sent.lock().unwrap().push(Instant::now());
            // Where nobody is bound the lookup is refused, which a later call is told.
            let to = format!("127.0.9.{}:53", number % 250);
            let _ = self.client.send_to(&question(number), to);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            due = (due + APART).max(Instant::now() - MOMENT);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    fn receive(&self) {
        let mut room = [0; 512];
        loop {
            match again(|| self.client.recv(&mut room)) {
                Ok(length) => {
                    let (number, _) = answer(&room[..length]).unwrap();
                    self.answered.lock().unwrap().push(number);
                    self.last.fetch_max(number + 1, Ordering::Relaxed);
                }
                // Nothing more comes when nothing was sent for a while.
                Err(_) if self.stop.load(Ordering::Relaxed) => return,
                Err(_) => {}
            }
        }
    }

    /// How many questions there were so far.
    fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Waits until so many questions that were sent from now on are answered.
    fn goes_on(&self, answers: usize) {
        let from = self.count() as u32;
        let began = Instant::now();
        loop {
            thread::sleep(APART);
            let answered = self.answered.lock().unwrap();
            let later = answered.iter().rev().take(ANSWERS * 100);
            if later.filter(|number| **number >= from).count() >= answers {
                return;
            }
            let last = answered.len();
            drop(answered);
            assert!(
                began.elapsed() < PATIENCE,
                "{last} answers, of questions from {from} on {:?} sent; {:?}, {:?}",
                self.count(),
                slot("names", "udp4"),
                by_udp("127.0.0.1:53".parse().unwrap(), SOON),
            );
        }
    }
}

/// Kills the server and starts it again; gives the first question after it was bound for sure. Where `status` is asked, it
/// says how things are in the gap and after it.
fn restart(load: &Load, folder: &Folder, server: &mut Server, status: bool) -> u32 {
    server.kill();
    if status {
        let absent = "absent: nobody listens there".to_owned();
        assert_eq!(slot("names", "udp4"), (absent, None));
    }
    *server = unbound(folder, 1, " interface: 127.0.0.1@53\n");
    let own = "127.0.0.1:53".parse().unwrap();
    until("the name server answers", || by_udp(own, SOON).is_some());
    let bound = load.count() as u32;
    load.goes_on(ANSWERS);
    if status {
        let (state, who) = slot("names", "udp4");
        assert_eq!(who, Some(server.0.id()), "{state}");
        assert!(state.starts_with("listening"), "{state}");
    }
    bound
}

/// Of what was sent while a server was bound only the last may stay without an answer: those that it had not read when it
/// was killed. So all that nobody answered come after all that somebody did.
fn insist(answered: &[bool], from: u32, to: u32) {
    let up = &answered[from as usize..to as usize];
    let lost = up.iter().position(|one| !one).unwrap_or(up.len());
    let later = up[lost..].iter().filter(|one| **one).count();
    assert_eq!(
        later,
        0,
        "question {lost} of {} was not answered, and later ones were",
        up.len()
    );
    assert!(lost >= ANSWERS, "{lost}");
}

#[test]
fn a_name_server_that_is_restarted_a_hundred_times_loses_what_is_sent_in_the_gaps() {
    if !installed(&["unbound"]) {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("restarted"));
    let work = || {
        let mut server = unbound(&folder, 1, " interface: 127.0.0.1@53\n");
        apply(&folder, POLICY);
        let load = Load::new();
        // Each time the server was up: the first question then, and the first after it was told to end.
        let mut ups: Vec<(u32, u32)> = Vec::new();
        thread::scope(|scope| {
            let _stop = Stop(&load.stop);
            scope.spawn(|| load.send());
            scope.spawn(|| load.receive());
            let mut from = 0;
            for round in 0..=RESTARTS {
                let to = load.count() as u32;
                if round > 0 {
                    ups.push((from, to));
                }
                if round < RESTARTS {
                    from = restart(&load, &folder, &mut server, round % 5 == 0);
                }
            }
        });
        let all = load.sent.lock().unwrap();
        let took = all.last().unwrap().duration_since(all[0]);
        println!("{} questions in {took:?}", all.len());
        let mut answered = vec![false; all.len()];
        for number in load.answered.lock().unwrap().iter() {
            answered[*number as usize] = true;
        }
        for (from, to) in &ups {
            insist(&answered, *from, *to);
        }
        assert_eq!(ups.len(), RESTARTS);
        run(&["unload"]);
    };
    lab.server.run(work).unwrap();
}

/// Both stand on port 53 of addresses of their own; by whose prefix is asked decides who answers, for both families.
#[test]
fn two_name_servers_share_a_port_by_prefix() {
    if !installed(&["unbound", "nsd"]) {
        return;
    }
    const POLICY: &str = "\
interfaces lo
socket inner = udp listen 127.0.0.1:53, tcp listen 127.0.0.1:53, udp listen [::1]:53, tcp listen [::1]:53 owner uid root
socket outer = udp listen 127.0.0.2:53, tcp listen 127.0.0.2:53 owner uid root
redirect udp, tcp to 127.1.1.0/24:53, 127.1.1.0/24:5353, [2001:db8:53::/48]:53 to sock inner
redirect udp, tcp to 127.1.0.0/16:53 to sock outer
";
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("shared-port"));
    ip(&lab.server, "route add local 2001:db8:53::/48 dev lo");
    let work = || {
        let _inner = unbound(&folder, 1, " interface: 127.0.0.1@53\n interface: ::1@53\n");
        let _outer = nsd_at(&folder, &["127.0.0.2"]);
        for own in ["127.0.0.1:53", "[::1]:53", "127.0.0.2:53"] {
            let own = own.parse().unwrap();
            until(&format!("{own} answers"), || {
                by_udp(own, SOON).is_some() && by_tcp(own, PATIENCE).is_some()
            });
        }
        apply(&folder, POLICY);
        for (to, who) in [
            ("127.1.1.0:53", Some(1)),
            ("127.1.1.255:53", Some(1)),
            ("127.1.1.9:5353", Some(1)),
            ("127.1.0.255:53", Some(2)),
            ("127.1.2.0:53", Some(2)),
            ("127.1.255.255:53", Some(2)),
            ("[2001:db8:53::]:53", Some(1)),
            ("[2001:db8:53:ffff:ffff:ffff:ffff:ffff]:53", Some(1)),
            ("127.1.2.0:5353", None),
            ("127.2.0.0:53", None),
        ] {
            let at = to.parse().unwrap();
            let wait = if who.is_some() { PATIENCE } else { SOON };
            assert_eq!((by_udp(at, wait), by_tcp(at, wait)), (who, who), "{to}");
        }
        run(&["unload"]);
    };
    lab.server.run(work).unwrap();
}

/// A server that gives every name of the zone an address that ends in 2; its two processes share its addresses as reuseport groups.
/// It answers as often as it is asked.
pub(super) fn nsd_at(folder: &Folder, addresses: &[&str]) -> Server {
    let at = folder.0.display();
    folder.file(
        "here.zone",
        "$ORIGIN here.\n@ 60 IN SOA a b 1 60 60 60 60\n@ 60 IN NS a\n* 60 IN A 192.0.2.2\n",
    );
    let own = addresses
        .iter()
        .map(|one| format!(" ip-address: {one}@53\n"));
    let own: String = own.collect();
    let text = format!(
        "server:\n{own} reuseport: yes\n rrl-ratelimit: 0\n username: \"\"\n chroot: \"\"\n database: \"\"\n zonesdir: \"{at}\"\n \
         pidfile: \"{at}/nsd.pid\"\n zonelistfile: \"{at}/nsd.list\"\n xfrdfile: \"{at}/nsd.xfrd\"\n xfrdir: \"{at}\"\n \
         logfile: \"{at}/nsd.log\"\n server-count: 2\nremote-control:\n control-enable: no\n\
         zone:\n name: \"here\"\n zonefile: \"here.zone\"\n"
    );
    let conf = folder.file("nsd.conf", &text);
    Server::start("nsd", &["-d", "-c", &conf])
}
