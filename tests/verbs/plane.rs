//! A router whose policy sends up what its own sockets want and everything else out of its other interface, under load: the
//! management plane of the talk at LPC 2018. The kernel itself forwards nothing here.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use sockc_runtime::lab::Space;

use super::{Folder, ip, root, run};

/// Near hosts, the router's two sides, and far hosts.
pub(crate) const NEAR: [&str; 2] = ["10.81.0.1", "fd81::1"];
const ROUTER: [&str; 2] = ["10.81.0.2", "fd81::2"];
pub(crate) const FAR: [&str; 2] = ["10.82.0.1", "fd82::1"];
pub(crate) const BEHIND: [&str; 2] = ["10.82.0.2", "fd82::2"];
/// One for all: with no ARP, each end takes every frame for its own.
const MAC: &str = "02:73:6b:00:00:05";
/// How much a connection through the router carries.
const BYTES: usize = 20 << 20;
/// How many connections the router's own service gets beside it.
const OWN: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where redirects run, and whether senders leave checksums and segments to their card.
#[derive(Clone, Copy, Debug)]
struct Way {
    at: &'static str,
    offload: &'static str,
}

const WAYS: [Way; 3] = [
    Way {
        at: "",
        offload: "on",
    },
    Way {
        at: "",
        offload: "off",
    },
    // At XDP nobody fills in a checksum that was left to the card.
    Way {
        at: " at xdp",
        offload: "off",
    },
];

/// Three namespaces in a row.
pub(crate) struct Row {
    pub(crate) near: Space,
    pub(crate) router: Space,
    pub(crate) far: Space,
}

impl Row {
    pub(crate) fn new() -> Self {
        let row = Self {
            near: Space::new().unwrap(),
            router: Space::with_bpffs().unwrap(),
            far: Space::new().unwrap(),
        };
        row.link(&row.near, "eth0", NEAR, ROUTER);
        row.link(&row.far, "eth1", FAR, BEHIND);
        row
    }

    /// Joins a host with the router, by an interface of one name on both sides.
    fn link(&self, host: &Space, name: &str, its: [&str; 2], ours: [&str; 2]) {
        let there = format!("/proc/{}/fd/{}", std::process::id(), host.net().as_raw_fd());
        let veth = format!("link add {name} type veth peer name {name} netns {there}");
        ip(&self.router, &veth);
        for (space, addresses) in [(host, its), (&self.router, ours)] {
            ip(space, "link set lo up");
            ip(space, &format!("link set {name} address {MAC} arp off up"));
            for address in addresses {
                let length = if address.contains(':') { 64 } else { 24 };
                ip(
                    space,
                    &format!("address add {address}/{length} dev {name} nodad"),
                );
            }
        }
        ip(host, &format!("route add default dev {name}"));
        ip(host, &format!("-6 route add default dev {name}"));
    }

    /// Has cards do, or not do, what senders leave to them. Frames that XDP redirects to a veth need its other end to take
    /// them up by NAPI, which GRO turns on.
    fn offload(&self, how: &str) {
        for (space, name) in [(&self.near, "eth0"), (&self.far, "eth1")] {
            let set = ["-K", name, "tx", how, "tso", how, "gso", how, "gro", "on"];
            let ran = space.run(|| Command::new("ethtool").args(set).output().unwrap());
            assert!(ran.as_ref().unwrap().status.success(), "{ran:?}");
        }
    }
}

fn policy(at: &str) -> String {
    format!(
        "interfaces eth0, eth1\ndefault in drop\ndefault out allow\n\
         own: allow tcp if socket exists\n\
         away: redirect tcp on interface eth0 to interface eth1{at}\n\
         back: redirect tcp on interface eth1 to interface eth0{at}\n"
    )
}

/// Listens in a namespace and reads every connection to its end; what it read is what it answers.
fn serve(space: &Space, at: &str, connections: usize) -> thread::JoinHandle<()> {
    let at: IpAddr = at.parse().unwrap();
    let listener = space.run(|| TcpListener::bind(SocketAddr::new(at, 179)).unwrap());
    let listener = listener.unwrap();
    thread::spawn(move || {
        for _ in 0..connections {
            let mut stream = listener.accept().unwrap().0;
            let read = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
            stream.write_all(&read.to_be_bytes()).unwrap();
        }
    })
}

/// Sends so many bytes from a namespace, and is told that all arrived.
fn send(space: &Space, to: &str, bytes: usize) {
    let to = SocketAddr::new(to.parse().unwrap(), 179);
    let sent = space.run(|| {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&vec![7; bytes])?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut said = [0; 8];
        stream.read_exact(&mut said)?;
        Ok::<_, std::io::Error>(u64::from_be_bytes(said))
    });
    assert_eq!(sent.unwrap().unwrap(), bytes as u64, "{to}");
}

/// How many packets a rule counted.
fn counted(router: &Space, label: &str) -> u64 {
    let said = router.run(|| run(&["counters", "--json"])).unwrap().json();
    let rows = said["rules"].as_array().unwrap();
    let of = rows.iter().filter(|row| row["rule"] == label);
    of.map(|row| row["packets"].as_u64().unwrap()).sum()
}

#[test]
fn a_router_keeps_its_own_sessions_and_passes_the_rest_on_under_load() {
    if !root() {
        return;
    }
    let (row, folder) = (Row::new(), Folder::new("plane"));
    for way in WAYS {
        row.offload(way.offload);
        let path = folder.file("plane.sk", &policy(way.at));
        let applied = row.router.run(|| run(&["apply", &path])).unwrap();
        assert_eq!(applied.code, Some(0), "{way:?}: {}", applied.stderr);
        let before = ["own", "away", "back"].map(|label| counted(&row.router, label));
        let mut services = Vec::new();
        for family in 0..2 {
            services.push(serve(&row.far, FAR[family], 2));
            services.push(serve(&row.router, ROUTER[family], OWN));
        }
        thread::scope(|scope| {
            for family in 0..2 {
                let row = &row;
                // Through the router, to its own service, and from the router itself.
                scope.spawn(move || send(&row.near, FAR[family], BYTES));
                scope.spawn(move || (0..OWN).for_each(|_| send(&row.near, ROUTER[family], 2000)));
                scope.spawn(move || send(&row.router, FAR[family], 200_000));
            }
        });
        services.into_iter().for_each(|one| one.join().unwrap());
        let after = ["own", "away", "back"].map(|label| counted(&row.router, label));
        // Each of its connections has at least a SYN, a segment and an end; those of others at least their SYN and one answer.
        assert!(
            after[0] - before[0] >= 3 * 2 * OWN as u64,
            "{way:?}: {after:?}"
        );
        assert!(
            after[1] - before[1] >= 4 && after[2] - before[2] >= 4,
            "{way:?}: {after:?}"
        );
    }
    row.router.run(|| run(&["unload"])).unwrap();
}
