//! haproxy behind the names of a policy: reloaded under load with its listeners handed over and without, and as the proxy of what
//! passes through a router.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;

use super::web::{Fate, ask, load};
use super::{PATIENCE, Server, Stop, apply, installed, slot, until};
use crate::plane::{BEHIND, FAR, NEAR, Row};
use crate::{Folder, ip, run};
use sockc_runtime::lab::{Lab, Space};

/// How often each reload is done, and how many clients there are meanwhile.
const RELOADS: usize = 4;
const CLIENTS: usize = 2;

/// Starts haproxy in the calling thread's namespace with these lines beside what all have; it says who it is to who asks for `/`. One
/// that is there ends when it has answered its clients; `hand`: after it has handed its listeners over.
fn haproxy(folder: &Folder, lines: &str, old: Option<&Server>, hand: bool) -> Server {
    let at = folder.0.display();
    let text = format!(
        "global\n stats socket {at}/admin mode 600 level admin expose-fd listeners\n nbthread 2\n\
         defaults\n mode http\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n\
         frontend front\n{lines}"
    );
    let conf = folder.file("haproxy.cfg", &text);
    let (admin, id) = (format!("{at}/admin"), old.map(|old| old.0.id().to_string()));
    let mut arguments = vec!["-db", "-f", &conf];
    if hand {
        arguments.extend(["-x", &admin]);
    }
    if let Some(id) = &id {
        arguments.extend(["-sf", id]);
    }
    Server::start("haproxy", &arguments)
}

/// Waits until this very process answers at each of these.
fn answers(server: &Server, to: &[&str]) {
    for to in to {
        until(
            &format!("{} answers at {to}", server.0.id()),
            || matches!(ask(to), Fate::Answered(id) if id == server.0.id()),
        );
    }
}

/// Puts another process in its place, and waits until the first has ended.
fn replace(server: &mut Server, next: impl FnOnce(&Server) -> Server, to: &[&str]) {
    let next = next(server);
    answers(&next, to);
    let old = std::mem::replace(server, next);
    old.ends();
}

/// The clients' own account of a load, which nothing may have failed of.
fn insist(fates: [(usize, Vec<String>); CLIENTS]) {
    for (answered, failed) in fates {
        assert!(failed.is_empty(), "{answered} answered, {failed:?}");
        assert!(answered > 50, "{answered}");
    }
}

/// A connection that waits for a process that leaves goes to the next, where the kernel is told so (tcp_migrate_req, 5.14): without a
/// hand-over their listeners are two.
fn migrate() {
    fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1").unwrap();
}

#[test]
fn a_reload_of_haproxy_loses_no_connection_with_its_listeners_handed_over_or_not() {
    const POLICY: &str = "\
interfaces lo
socket web = tcp listen 127.0.0.1:7083, tcp listen [::1]:7083 owner uid root
socket both = tcp listen [::]:7084 owner uid root
redirect tcp to 127.0.0.9:80, [2001:db8:80::9]:80 to sock web
redirect tcp to [2001:db8:80::10]:80 to sock both
";
    const LINES: &str = " bind 127.0.0.1:7083\n bind [::1]:7083 v6only\n bind [::]:7084 v4v6\n \
        http-request return status 200 content-type text/plain lf-string %pid\n";
    const TO: [&str; 3] = [
        "127.0.0.9:80",
        "[2001:db8:80::9]:80",
        "[2001:db8:80::10]:80",
    ];
    if !installed(&["haproxy"]) {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("haproxy"));
    ip(&lab.server, "route add local 2001:db8:80::/48 dev lo");
    let work = || {
        migrate();
        let mut server = haproxy(&folder, LINES, None, false);
        answers(&server, &["127.0.0.1:7083", "[::1]:7083", "[::1]:7084"]);
        apply(&folder, POLICY);
        answers(&server, &TO);
        let stop = AtomicBool::new(false);
        let fates = thread::scope(|scope| {
            let clients = [(); CLIENTS].map(|()| scope.spawn(|| load(&stop, &TO)));
            let stopping = Stop(&stop);
            for round in 0..2 * RELOADS {
                let next = |old: &Server| haproxy(&folder, LINES, Some(old), round % 2 == 0);
                replace(&mut server, next, &TO);
                for (name, kind) in [("web", "tcp4"), ("web", "tcp6"), ("both", "tcp6")] {
                    let (state, who) = slot(name, kind);
                    assert!(state.starts_with("listening"), "{name} {kind}: {state}");
                    assert_eq!(who, Some(server.0.id()), "{name} {kind}");
                }
            }
            drop(stopping);
            clients.map(|client| client.join().unwrap())
        });
        insist(fates);
        run(&["unload", "--yes"]);
    };
    lab.server.run(work).unwrap();
}

/// What curl says of an address, or the number that it ends with. Each time it has a port of its own that no load has had: who is
/// forwarded from one whose connection with the proxy is in TIME_WAIT is not let through by the kernel.
fn curl(space: &Space, url: &str) -> Result<String, i32> {
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    let port = PORT.fetch_add(1, Ordering::Relaxed).to_string();
    let seconds = PATIENCE.as_secs().to_string();
    let mut curl = Command::new("curl");
    curl.args(["-sSig", "--noproxy", "*", "--max-time", &seconds]);
    curl.args(["--local-port", &port, url]);
    let ran = space.run(|| curl.output().unwrap()).unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    match ran.status.code() {
        Some(0) => Ok(said),
        code => Err(code.unwrap_or(-1)),
    }
}

/// nginx, which says whom it sees, on two ports of every address.
fn origin(folder: &Folder) -> Server {
    let at = folder.0.display();
    let listen = ["80", "81", "[::]:80", "[::]:81"].map(|at| format!("listen {at};"));
    let text = format!(
        "daemon off; user root; worker_processes 1; pid {at}/pid; error_log {at}/errors; events {{}}\n\
         http {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n\
         uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; server {{ {} return 200 \"sees $remote_addr\"; }} }}\n",
        listen.concat()
    );
    let conf = folder.file("nginx.conf", &text);
    let errors = folder.0.join("errors");
    Server::start("nginx", &["-c", &conf, "-e", errors.to_str().unwrap()])
}

/// As haproxy's manual has it: `transparent` where it binds, and a server without an address, which is the one that was dialled.
const PROXY: &str = " bind 127.0.0.1:7085 transparent\n bind [::1]:7085 v6only transparent\n \
    http-request return status 200 content-type text/plain lf-string %pid if { path / }\n \
    http-response set-header X-Dialled %[dst]:%[dst_port]\n default_backend onward\n\
    backend onward\n server dialled *\n";
const POLICY: &str = "\
interfaces eth0
socket proxy = tcp listen 127.0.0.1:7085, tcp listen [::1]:7085 owner uid root
default in allow
web: redirect tcp to 10.82.0.0/16:80, [fd82::/16]:80 to sock proxy at tc
";

/// The addresses of a host behind the router, as URLs have them.
fn behind() -> [String; 2] {
    FAR.map(|address| match address.contains(':') {
        true => format!("[{address}]"),
        false => address.to_owned(),
    })
}

/// What a client gets of the host behind: by the proxy on one port, from itself on the other.
fn passes(row: &Row, ours: [&str; 2], client: [&str; 2]) {
    for (place, host) in behind().iter().enumerate() {
        let proxied = curl(&row.near, &format!("http://{host}/x")).unwrap();
        let dialled = format!("x-dialled: {}:80", FAR[place]);
        assert!(proxied.contains(&dialled), "{dialled}: {proxied}");
        let sees = format!("sees {}", ours[place]);
        assert!(proxied.ends_with(&sees), "{sees}: {proxied}");
        let direct = curl(&row.near, &format!("http://{host}:81/x")).unwrap();
        assert!(!direct.contains("x-dialled"), "{direct}");
        assert!(
            direct.ends_with(&format!("sees {}", client[place])),
            "{direct}"
        );
    }
}

#[test]
fn haproxy_is_the_transparent_proxy_of_a_router_and_is_reloaded_under_load() {
    if !installed(&["haproxy", "nginx", "curl"]) {
        return;
    }
    let (row, folder) = (Row::new(), Folder::new("haproxy-at-tc"));
    let _origin = row.far.run(|| origin(&folder)).unwrap();
    until("nginx listens", || {
        behind()
            .iter()
            .all(|host| curl(&row.far, &format!("http://{host}/x")).is_ok())
    });
    let policy = folder.file("policy.sk", POLICY);
    let start = |old: Option<&Server>| {
        let started = row
            .router
            .run(|| haproxy(&folder, PROXY, old, old.is_some()));
        started.unwrap()
    };
    let set_up = || {
        migrate();
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    };
    row.router.run(set_up).unwrap();
    let mut server = start(None);
    let own = ["127.0.0.1:7085", "[::1]:7085"];
    row.router.run(|| answers(&server, &own)).unwrap();
    let applied = || run(&["apply", &policy, "--add-routes"]);
    let applied = row.router.run(applied).unwrap();
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let (ours, client) = (BEHIND, NEAR);
    passes(&row, ours, client);

    let to = behind().map(|host| format!("{host}:80"));
    let to = [to[0].as_str(), to[1].as_str()];
    let stop = AtomicBool::new(false);
    let fates = thread::scope(|scope| {
        let loaded = || row.near.run(|| load(&stop, &to)).unwrap();
        let clients = [(); CLIENTS].map(|()| scope.spawn(loaded));
        let stopping = Stop(&stop);
        for _ in 0..RELOADS {
            let next = start(Some(&server));
            row.near.run(|| answers(&next, &to)).unwrap();
            std::mem::replace(&mut server, next).ends();
            let told = || slot("proxy", "tcp4").1;
            assert_eq!(row.router.run(told).unwrap(), Some(server.0.id()));
        }
        drop(stopping);
        clients.map(|client| client.join().unwrap())
    });
    insist(fates);

    // Without the proxy nobody gets past it; without the policy everybody does.
    const REFUSED: i32 = 7;
    server.kill();
    for host in behind() {
        assert_eq!(curl(&row.near, &format!("http://{host}/x")), Err(REFUSED));
        curl(&row.near, &format!("http://{host}:81/x")).unwrap();
    }
    let unloaded = row.router.run(|| run(&["unload", "--yes"])).unwrap();
    assert_eq!(unloaded.code, Some(0), "{}", unloaded.stderr);
    for (host, sees) in behind().iter().zip(client) {
        let direct = curl(&row.near, &format!("http://{host}/x")).unwrap();
        assert!(direct.ends_with(&format!("sees {sees}")), "{direct}");
    }
}
