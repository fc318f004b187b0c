//! nginx whose workers each have a socket of one reuseport group, reloaded with more and fewer of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockc_runtime::lab::Lab;

use super::{PATIENCE, Server, Stop, apply, installed, slot, until};
use crate::{Folder, run};

/// Where clients connect to; nobody is bound there.
const TO: &str = "127.0.0.9:80";
const POLICY: &str = "\
interfaces lo
socket web = tcp listen 127.0.0.1:7082 owner uid root
web: redirect tcp to 127.0.0.9:80 to sock web
";

/// How a client fared.
pub(super) enum Fate {
    /// A worker answered.
    Answered(u32),
    Refused,
    /// It was connected, and got no whole answer.
    Broken(String),
}

/// Asks who answers.
pub(super) fn ask(to: &str) -> Fate {
    let to: SocketAddr = to.parse().unwrap();
    let mut stream = match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Fate::Refused,
        Err(error) => return Fate::Broken(error.to_string()),
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    match asked.and_then(|()| stream.read_to_string(&mut said)) {
        Ok(_) => match said.rsplit('\n').next().and_then(|pid| pid.parse().ok()) {
            Some(pid) => Fate::Answered(pid),
            None => Fate::Broken(said),
        },
        Err(error) => Fate::Broken(error.to_string()),
    }
}

fn configure(folder: &Folder, workers: usize) -> String {
    let at = folder.0.display();
    let text = format!(
        "daemon off; user root; worker_processes {workers}; pid {at}/pid; error_log {at}/errors; events {{}}\n\
         http {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n\
         uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; server {{ listen 127.0.0.1:7082 reuseport; return 200 $pid; }} }}\n"
    );
    folder.file("nginx.conf", &text)
}

/// Waits until as many workers as there are to be answer by the policy, and no others; then `status` names one of them or
/// their master, who holds their sockets too.
fn all_work(server: &Server, count: usize) {
    let master = server.0.id();
    let children = format!("/proc/{master}/task/{master}/children");
    until("nginx has its workers", || {
        let workers = fs::read_to_string(&children).unwrap_or_default();
        workers.split_whitespace().count() == count
    });
    let workers = fs::read_to_string(&children).unwrap();
    let there: BTreeSet<u32> = workers
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    let mut answered = BTreeSet::new();
    until("every worker answers", || {
        if let Fate::Answered(pid) = ask(TO) {
            answered.insert(pid);
        }
        there.is_subset(&answered)
    });
    let (state, who) = slot("web", "tcp4");
    let who = who.unwrap_or_else(|| panic!("{state}"));
    assert!(
        there.contains(&who) || who == master,
        "{who} of {there:?}: {state}"
    );
    assert!(state.starts_with("listening"), "{state}");
}

/// Asks one after the other until it is told to stop; gives how often it was answered, and how it failed.
pub(super) fn load(stop: &AtomicBool, to: &[&str]) -> (usize, Vec<String>) {
    let (mut answered, mut failed) = (0, Vec::new());
    for to in to.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match ask(to) {
            Fate::Answered(_) => answered += 1,
            Fate::Refused => failed.push("refused".to_owned()),
            Fate::Broken(why) => failed.push(why),
        }
    }
    (answered, failed)
}

/// One that is reloaded takes no service away, whichever worker's socket stood behind the name. A connection that waits for a
/// worker that leaves goes to another, where the kernel is told so (tcp_migrate_req, 5.14).
#[test]
fn workers_of_nginx_go_from_four_to_one_and_back_under_load() {
    if !installed(&["nginx"]) {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("nginx"));
    let work = || {
        fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1").unwrap();
        let conf = configure(&folder, 4);
        let errors = folder.0.join("errors");
        let server = Server::start("nginx", &["-c", &conf, "-e", errors.to_str().unwrap()]);
        until("nginx listens", || {
            matches!(ask("127.0.0.1:7082"), Fate::Answered(_))
        });
        apply(&folder, POLICY);
        all_work(&server, 4);
        let stop = AtomicBool::new(false);
        let fates = thread::scope(|scope| {
            let clients = [(); 2].map(|()| scope.spawn(|| load(&stop, &[TO])));
            let stopping = Stop(&stop);
            for workers in [1, 4, 1, 4] {
                configure(&folder, workers);
                kill(Pid::from_raw(server.0.id() as i32), Signal::SIGHUP).unwrap();
                all_work(&server, workers);
            }
            drop(stopping);
            clients.map(|client| client.join().unwrap())
        });
        for (answered, failed) in fates {
            assert!(failed.is_empty(), "{answered} answered, {failed:?}");
            assert!(answered > 50, "{answered}");
        }
        run(&["unload"]);
    };
    lab.server.run(work).unwrap();
}
