//! Rules and routes that `apply --add-routes` makes for redirects `at tc`: commands that make them or take them back are killed before
//! their calls, and have calls refused, those of netlink first of all.
//!
//! What must hold at every point: a packet that passes through meets the old policy or the new one; what `status` says of the way
//! of such packets is so, and where it finds nothing wrong nothing is; `unload` leaves none of our rules and routes, and everybody
//! else's as they were.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use libc::{EACCES, EAGAIN, EBUSY, EINTR, EIO, EMFILE, ENOBUFS, ENOMEM, ENOSPC, EPERM};
use nix::sys::socket::{setsockopt, sockopt};
use sockc_runtime::lab::Space;
use socket2::{Domain, Socket, Type};

use crate::campaign::{all, points};
use crate::root;
use crate::scene::Ran;
use crate::trace::{self, Ended, Fate, Which};

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(20);
const REFUSALS: [i32; 10] = [
    ENOMEM, EMFILE, EINTR, EBUSY, EAGAIN, EACCES, EPERM, ENOSPC, EIO, ENOBUFS,
];
/// The calls by which netlink is spoken.
const NETLINK: [&str; 5] = ["sendto", "sendmsg", "recvfrom", "recvmsg", "socket"];
/// Whom a client behind the router dials; nothing but the proxy can answer.
const DIALLED: [&str; 2] = ["10.7.0.2:80", "[2001:db8:7::2]:80"];
const OLD: &str = "interfaces near\ndefault in allow\ndrop udp to port 9\n";
const NEW: &str = "\
interfaces near
socket proxy = tcp listen 127.0.0.1:7001, tcp listen [::1]:7001 owner uid 0
default in allow
redirect tcp to 10.7.0.0/16:80, [2001:db8:7::/48]:80 to sock proxy at tc
";
/// What somebody else has in the namespace, and the way of IPv4 where that is somebody else's too.
const OTHERS: [&str; 3] = [
    "-4 rule add fwmark 0x7 lookup 777",
    "-6 rule add fwmark 0x7 lookup 777",
    "-4 route add local default dev lo table 777",
];
const WAY: [&str; 2] = [
    "-4 rule add fwmark 0x20c5 lookup 8389",
    "-4 route add local default dev lo table 8389",
];

/// A client, a router with a proxy, and a server behind it.
struct Road {
    client: Space,
    router: Space,
    server: Space,
    folder: PathBuf,
    proxies: [TcpListener; 2],
    /// The rules and routes of everybody else.
    others: String,
}

impl Road {
    /// With the way of IPv4 made by somebody else, or not.
    fn new(name: &str, has_way: bool) -> Self {
        let (client, router) = (Space::new().unwrap(), Space::with_bpffs().unwrap());
        let server = Space::new().unwrap();
        wire(
            &router,
            &client,
            "near",
            ["10.1.0.1/24", "2001:db8:1::1/64"],
            ["10.1.0.2/24", "2001:db8:1::2/64"],
        );
        wire(
            &router,
            &server,
            "far",
            ["10.7.0.1/16", "2001:db8:7::1/48"],
            ["10.7.0.2/16", "2001:db8:7::2/48"],
        );
        for (space, four, six) in [
            (&client, "10.1.0.1", "2001:db8:1::1"),
            (&server, "10.7.0.1", "2001:db8:7::1"),
        ] {
            ip(space, &format!("route add default via {four}"));
            ip(space, &format!("-6 route add default via {six}"));
        }
        router.run(forward).unwrap();
        let ways = WAY.iter().filter(|_| has_way);
        ways.chain(&OTHERS).for_each(|one| ip(&router, one));
        let folder = std::env::temp_dir().join(format!("sockc-road-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, policy) in [("old", OLD), ("new", NEW)] {
            fs::write(folder.join(format!("{name}.sk")), policy).unwrap();
        }
        let proxies = ["127.0.0.1:7001", "[::1]:7001"].map(|at| proxy(&router, at));
        let mut road = Self {
            client,
            router,
            server,
            folder,
            proxies,
            others: String::new(),
        };
        road.others = road.ways();
        road
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The rules and routes of both families that somebody made.
    fn ways(&self) -> String {
        let all = [
            "-4 rule",
            "-6 rule",
            "-4 route show table all",
            "-6 route show table all",
        ];
        let all = all.map(|line| shown(&self.router, line)).concat();
        // Addresses of links come late, with routes of the kernel's own.
        let own = ["proto kernel", "fe80::"];
        let lines = all
            .lines()
            .filter(|line| !own.iter().any(|one| line.contains(one)));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Where packets go in the three namespaces.
    fn stands(&self) -> String {
        let spaces = [&self.client, &self.router, &self.server];
        let lines = [
            "neigh",
            "-s link",
            "-4 rule",
            "-6 rule",
            "route show table all",
        ];
        let shown = |space| lines.map(|line| shown(space, line)).concat();
        spaces.map(shown).join("\n")
    }

    fn sockc(&self, arguments: &[&str]) -> Ran {
        let run = || command(arguments).output().unwrap();
        let output = self.router.run(run).unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn must(&self, arguments: &[&str]) {
        let ran = self.sockc(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    }

    /// Whether a client comes to the proxy, by each family; else the server says that nobody listens there.
    fn reaches(&self) -> Result<[bool; 2], String> {
        let dial = || DIALLED.map(|to| TcpStream::connect_timeout(&at(to), PATIENCE));
        let dialled = self.client.run(dial).unwrap();
        let mut reached = [false; 2];
        for ((reached, dialled), to) in reached.iter_mut().zip(dialled).zip(DIALLED) {
            *reached = match dialled {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => false,
                Err(error) => return Err(format!("{to}: {error}")),
            };
        }
        // A full queue would keep later ones out.
        for proxy in &self.proxies {
            while proxy.accept().is_ok() {}
        }
        Ok(reached)
    }

    /// What `status` says, which must be so; gives the policy that is in force.
    fn told(&self) -> Result<Option<String>, String> {
        let reached = self.reaches();
        let ran = self.sockc(&["status", "--json"]);
        let said = format!("{:?} {}{}", ran.code, ran.stdout, ran.stderr);
        let lost = |what| format!("{what}, {said}{}", self.stands());
        let reached = reached.map_err(lost)?;
        let status: serde_json::Value = match serde_json::from_str(&ran.stdout) {
            Ok(status) if matches!(ran.code, Some(0 | 5)) => status,
            _ => return Err(format!("`status` fails: {said}")),
        };
        let policy = status["policy"].as_str().map(str::to_owned);
        let is_new = policy.as_deref() == Some("new");
        if reached != [is_new; 2] || self.reaches().map_err(lost)? != reached {
            return Err(format!("packets: {reached:?}, {said}"));
        }
        let rows = status["intercepted"].as_array().into_iter().flatten();
        let mut ways = 0;
        for (flag, row) in ["-4", "-6"].into_iter().zip(rows) {
            ways += 1;
            let to = ["10.7.0.2", "2001:db8:7::2"][usize::from(flag == "-6")];
            let leads = shown(&self.router, &format!("{flag} route get {to} mark 0x20c5"));
            let rules = shown(&self.router, &format!("{flag} rule"));
            let made = rules.lines().any(|line| line.contains("proto 92"));
            let so = (leads.starts_with("local"), made);
            if (row["leads"].as_bool(), row["made"].as_bool()) != (Some(so.0), Some(so.1)) {
                return Err(format!("not so of {flag}, {so:?}: {said}"));
            }
        }
        let whole = !is_new || ways == 2;
        match whole && ran.code == Some(0) {
            true => Ok(policy),
            false => Err(format!("something stays wrong: {said}")),
        }
    }

    /// After one interruption: what `status` says, what is left besides, and what an unload leaves.
    fn check(&self, new: &str) -> Result<Option<String>, String> {
        let policy = self.told()?;
        let wanted = match policy.as_deref() {
            Some("new") => new,
            _ => &self.others,
        };
        let ways = self.ways();
        if ways != wanted {
            return Err(format!("{policy:?} is in force with\n{ways}"));
        }
        self.unloaded()?;
        Ok(policy)
    }

    fn unloaded(&self) -> Result<(), String> {
        let ran = self.sockc(&["unload", "--yes"]);
        let ways = self.ways();
        if ran.code != Some(0) || ways != self.others {
            return Err(format!(
                "unload: {:?} {} leaves\n{ways}",
                ran.code, ran.stderr
            ));
        }
        Ok(())
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn forward() {
    for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        fs::write(format!("/proc/sys/net/{name}"), "1").unwrap();
    }
}

/// Joins the router with another, by an interface of one name at both ends, with addresses of both families.
fn wire(router: &Space, other: &Space, name: &str, ours: [&str; 2], theirs: [&str; 2]) {
    let net = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        other.net().as_raw_fd()
    );
    ip(
        router,
        &format!("link add {name} type veth peer name {name} netns {net}"),
    );
    for (space, addresses) in [(router, ours), (other, theirs)] {
        ip(space, "link set lo up");
        ip(space, &format!("link set {name} up"));
        for address in addresses {
            ip(space, &format!("address add {address} dev {name} nodad"));
        }
    }
}

/// A listener that may answer in the name of any address.
fn proxy(router: &Space, address: &str) -> TcpListener {
    let make = || {
        let socket = Socket::new(Domain::for_address(at(address)), Type::STREAM, None).unwrap();
        setsockopt(&socket, sockopt::IpTransparent, &true).unwrap();
        socket.bind(&at(address).into()).unwrap();
        socket.listen(64).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    router.run(make).unwrap().into()
}

fn run_ip(space: &Space, line: &str) -> std::process::Output {
    let run = || Command::new("ip").args(line.split(' ')).output().unwrap();
    space.run(run).unwrap()
}

fn ip(space: &Space, line: &str) {
    let ran = run_ip(space, line);
    assert!(ran.status.success(), "{line}: {ran:?}");
}

fn shown(space: &Space, line: &str) -> String {
    String::from_utf8(run_ip(space, line).stdout).unwrap()
}

/// A command that makes the way or takes it back.
struct Change<'a> {
    road: &'a Road,
    /// What is in force before, if anything is.
    before: Option<&'a str>,
    arguments: &'a [&'a str],
    /// The rules and routes under the policy that needs them.
    new: &'a str,
}

impl Change<'_> {
    /// Where nothing is in force, as each check leaves it.
    fn prepare(&self) {
        if let Some(before) = self.before {
            self.road
                .must(&["apply", "--add-routes", &self.road.path(before)]);
        }
    }

    /// The name of the policy that is in force before.
    fn before(&self) -> Option<&str> {
        self.before.and_then(|path| path.strip_suffix(".sk"))
    }

    fn run(&self, which: Which, fate: impl FnMut(usize, &str) -> Fate + Send) -> Ended {
        let traced = || trace::run(&mut command(self.arguments), which, fate);
        self.road.router.run(traced).unwrap()
    }

    /// Takes points of the command: calls of netlink and those next to them; others are those of every apply and unload, which other
    /// campaigns interrupt, and are taken where all are wanted. All that is wrong is told together.
    fn interrupt(&self, which: Which, one: impl Fn(usize) -> Result<(), String>) {
        self.prepare();
        let whole = self.run(which, |_, _| Fate::Go);
        assert_eq!(whole.code, Some(0), "{}", whole.stderr);
        self.road.sockc(&["unload", "--yes"]);
        let speaks = |call: &String| NETLINK.contains(&call.as_str());
        let near = |place: usize| {
            let around = place.saturating_sub(1)..(place + 2).min(whole.calls.len());
            all() || whole.calls[around].iter().any(speaks)
        };
        let calls: Vec<usize> = (0..whole.calls.len()).filter(|call| near(*call)).collect();
        assert!(calls.len() > 4, "{:?}", whole.calls);
        let mut wrong = Vec::new();
        let taken = points(calls.len(), |point| {
            let call = calls[point];
            if let Err(what) = one(call) {
                let call = format!("call {call}, {}", whole.calls[call]);
                wrong.push(format!("{:?}, {call}: {what}", self.arguments));
                self.road.sockc(&["unload", "--yes"]);
            }
        });
        let of = calls.len();
        println!("{:?}: {taken} of {of} points", self.arguments);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn killed_everywhere(&self) {
        self.interrupt(Which::Changes, |call| {
            self.prepare();
            let ended = self.run(Which::Changes, |number, _| match number == call {
                true => Fate::Kill,
                false => Fate::Go,
            });
            assert_eq!(ended.code, None, "it ended by itself");
            // `unload` is the first that comes, or `status`.
            match call % 2 {
                0 => self.road.unloaded(),
                _ => self.road.check(self.new).map(drop),
            }
        });
    }

    fn refused_everywhere(&self) {
        self.interrupt(Which::All, |call| {
            self.prepare();
            let number = REFUSALS[call % REFUSALS.len()];
            let ended = self.run(Which::All, |point, _| match point == call {
                true => Fate::Refuse(number),
                false => Fate::Go,
            });
            let said = format!("{number}: {:?} {}", ended.code, ended.stderr);
            let policy = self
                .road
                .check(self.new)
                .map_err(|what| format!("{said}: {what}"))?;
            let asked = match self.arguments {
                ["unload", ..] => None,
                [.., path] => path
                    .rsplit('/')
                    .next()
                    .and_then(|name| name.strip_suffix(".sk")),
                [] => None,
            };
            let so = match ended.code {
                Some(0) => policy.as_deref() == asked,
                // An unload that was refused half-way says that nothing is in force any more.
                Some(3) if asked.is_none() => {
                    policy.as_deref() == self.before() || policy.is_none()
                }
                Some(3) => policy.as_deref() == self.before(),
                _ => false,
            };
            so.then_some(()).ok_or(format!("{said}: now {policy:?}"))
        });
    }
}

/// Every command that makes the way or takes it back, in a namespace without it and in one where somebody else has half of it.
fn each(name: &str, check: impl Fn(&Change<'_>)) {
    if !root() {
        return;
    }
    for has_way in [false, true] {
        let road = Road::new(&format!("{name}-{has_way}"), has_way);
        let [old, new] = ["old.sk", "new.sk"].map(|name| road.path(name));
        road.must(&["apply", "--add-routes", &new]);
        let ways = road.ways();
        assert_ne!(ways, road.others);
        road.must(&["unload", "--yes"]);
        let makes = ["apply", "--add-routes", &new];
        let takes_back = ["apply", &old];
        let unloads = ["unload", "--yes"];
        let changes: [(Option<&str>, &[&str]); 4] = [
            (Some("old.sk"), &makes),
            (Some("new.sk"), &unloads),
            (None, &makes),
            (Some("new.sk"), &takes_back),
        ];
        let some = if has_way && !all() { 2 } else { changes.len() };
        for (before, arguments) in changes.into_iter().take(some) {
            check(&Change {
                road: &road,
                before,
                arguments,
                new: &ways,
            });
        }
    }
}

#[test]
fn a_kill_leaves_nothing_that_status_does_not_know_and_unload_does_not_take() {
    each("kill", |change| change.killed_everywhere());
}

#[test]
fn a_refused_call_leaves_nothing_that_status_does_not_know_and_unload_does_not_take() {
    each("refuse", |change| change.refused_everywhere());
}
