//! Sockets that services hand over by themselves (`socket listen`), that are made for them (`socket run`), and that are named by
//! their cookies: with a service of C, by `examples/sockc.h`.

use std::io::{IoSlice, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};
use nix::unistd::Pid;
use sockc_runtime::lab::Lab;
use sockc_testing::again;
use socket2::SockRef;

use super::{Folder, Ran, program_of_c, root, run, sockc};

const POLICY: &str = "socket web = registered\nsocket other = registered owner uid 4711\n\
    redirect tcp, udp 127.0.0.9:80 to sock web\nredirect tcp, udp [::1]:80 to sock web\n\
    redirect tcp 127.0.0.9:81 to sock other\n";

/// Where clients connect to; nobody is bound there.
const TO: [&str; 2] = ["127.0.0.9:80", "[::1]:80"];

/// A lab with a policy, and a service to be built.
struct Place {
    lab: Lab,
    folder: Folder,
    policy: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let policy = folder.file("web.sk", POLICY);
        Self {
            lab: Lab::new().unwrap(),
            folder,
            policy,
        }
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

    fn path(&self) -> String {
        let path = self.folder.0.join("desk.sock");
        path.to_str().unwrap().to_owned()
    }

    fn service(&self) -> PathBuf {
        program_of_c(&self.folder, "served")
    }

    /// Starts something in the namespace, which says this when it is ready.
    fn started(&self, mut command: Command, ready: &str) -> Child {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = self.lab.server.run(|| command.spawn().unwrap()).unwrap();
        let mut said = Vec::new();
        let out = child.stdout.as_mut().unwrap();
        while !said.ends_with(b"\n") {
            let mut byte = [0];
            if again(|| out.read(&mut byte)).unwrap() == 0 {
                let mut why = String::new();
                child.stderr.unwrap().read_to_string(&mut why).unwrap();
                panic!("it ended: {why}");
            }
            said.push(byte[0]);
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(ready), "{said}");
        child
    }

    /// The command, which takes sockets by now.
    fn desk(&self, more: &[&str]) -> Child {
        let path = self.path();
        let arguments = [&["socket", "listen", &path], more].concat();
        self.started(sockc(&arguments), "sockets are taken at")
    }

    /// A service that has handed its sockets over, and says this byte.
    fn registered(&self, byte: &str) -> Child {
        let mut command = Command::new(self.service());
        command.args(["register", &self.path(), "web", byte]);
        self.started(command, "ready")
    }

    /// What services say to a client.
    fn heard(&self) -> [std::io::Result<u8>; 2] {
        self.lab.server.run(|| TO.map(heard)).unwrap()
    }

    /// Hands descriptors over by a message of these bytes; the answer.
    fn answer(&self, bytes: &[u8], descriptors: &[RawFd]) -> String {
        let desk = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        let desk = desk.unwrap();
        connect(
            desk.as_raw_fd(),
            &UnixAddr::new(self.path().as_str()).unwrap(),
        )
        .unwrap();
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() {
            &[][..]
        } else {
            &rights
        };
        let parts = [IoSlice::new(bytes)];
        sendmsg::<()>(desk.as_raw_fd(), &parts, rights, MsgFlags::empty(), None).unwrap();
        let mut answer = [0; 1024];
        let length = recv(desk.as_raw_fd(), &mut answer, MsgFlags::empty()).unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    }
}

/// The byte that a service says.
fn heard(to: &str) -> std::io::Result<u8> {
    let to: SocketAddr = to.parse().unwrap();
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A message with a name.
fn message(name: &str) -> Vec<u8> {
    let mut bytes = [2u32, 0].map(u32::to_ne_bytes).concat();
    bytes.extend(name.as_bytes());
    bytes
}

/// Ends a service, or a command, by what it takes for that.
fn ends(mut child: Child, signal: Option<Signal>) -> (Option<i32>, String) {
    drop(child.stdin.take());
    if let Some(signal) = signal {
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }
    let ended = child.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_service_moves_to_another_process_without_a_failed_connect() {
    /// At least so many; up to ten times as many while the service has not moved that often, for the machine may have much else to do.
    const CONNECTS: usize = 20_000;
    const MOVES: usize = 4;
    if !root() {
        return;
    }
    let place = Place::new("moving");
    place.says(&["apply", &place.policy], 0);
    let desk = place.desk(&[]);
    let mut serving = place.registered("a");
    assert_eq!(place.heard().map(Result::unwrap), [b'a'; 2]);
    let (done, moved) = (AtomicBool::new(false), AtomicUsize::new(0));
    let moves = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let turns = || {
                let few = || moved.load(Ordering::Relaxed) < MOVES;
                let wanted = |turn: &usize| *turn < CONNECTS || few() && *turn < 10 * CONNECTS;
                let turn = |turn: usize| heard(TO[turn % TO.len()]);
                (0..).take_while(wanted).map(turn).collect::<Vec<_>>()
            };
            let all = place.lab.server.run(turns);
            done.store(true, Ordering::Relaxed);
            all.unwrap()
        });
        let mut moves = 0;
        while !done.load(Ordering::Relaxed) {
            let next = place.registered(if moves % 2 == 0 { "b" } else { "a" });
            let (code, said) = ends(std::mem::replace(&mut serving, next), None);
            assert_eq!((code, said.as_str()), (Some(0), ""));
            moves += 1;
            moved.store(moves, Ordering::Relaxed);
        }
        let all = clients.join().unwrap();
        for (turn, heard) in all.iter().enumerate() {
            assert!(heard.is_ok(), "connect {turn} of {}: {heard:?}", all.len());
        }
        let heard = |byte: u8| all.iter().any(|one| *one.as_ref().unwrap() == byte);
        assert!(heard(b'a') && heard(b'b'));
        moves
    });
    assert!(moves > 3, "{moves}");
    let (_, said) = ends(serving, None);
    assert_eq!(said, "");
    // Its sockets went with it.
    assert!(place.heard().iter().all(Result::is_err));
    let (code, said) = ends(desk, Some(Signal::SIGTERM));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("socket \"web\" now holds tcp4, tcp6, from process"),
        "{said}"
    );
    assert!(
        said.ends_with(&format!("{} taken, 0 refused\n", moves + 1)),
        "{said}"
    );
    assert!(!fs::exists(place.path()).unwrap());
    place.says(&["unload", "--yes"], 0);
}

#[test]
fn what_cannot_stand_behind_a_name_is_refused_in_words_and_changes_nothing() {
    if !root() {
        return;
    }
    let place = Place::new("refused-desk");
    let desk = place.desk(&["--only", "web", "--only", "other", "--only", "nobody"]);
    let made = place.lab.server.run(|| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        (server, client, TcpListener::bind("127.0.0.1:0").unwrap())
    });
    let (server, client, second) = made.unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixDatagram::unbound().unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    let fds = |sockets: &[&dyn AsRawFd]| {
        sockets
            .iter()
            .map(|one| one.as_raw_fd())
            .collect::<Vec<_>>()
    };
    let web = message("web");
    // A desk outlives policies: it is there before one is.
    assert!(
        place.answer(&web, &fds(&[&server])).contains("no policy"),
        "before"
    );
    place.says(&["apply", &place.policy], 0);
    let path = place.folder.0.join("other.sock");
    let listen = ["socket", "listen", path.to_str().unwrap()];
    let mistyped = place.says(
        &[&listen[..], &["--only", "web", "--only", "wbe"]].concat(),
        64,
    );
    assert!(mistyped.contains("did you mean \"web\"?"), "{mistyped}");
    assert!(!path.exists(), "{mistyped}");
    let cases: [(Vec<u8>, Vec<RawFd>, &str); 13] = [
        (
            message("nobody"),
            fds(&[&server]),
            "declares no socket \"nobody\"",
        ),
        (message("strange"), fds(&[&server]), "not among those"),
        (message(""), fds(&[&server]), "says no name"),
        (message(&"n".repeat(300)), fds(&[&server]), "too long"),
        (vec![1; 3], fds(&[&server]), "fewer than 8 bytes"),
        (
            [1u32, 0, 0, 0].map(u32::to_ne_bytes).concat(),
            fds(&[&server]),
            "sockc socket pair",
        ),
        (web.clone(), Vec::new(), "no descriptor"),
        (web.clone(), fds(&[&client]), "does not listen"),
        (web.clone(), fds(&[&elsewhere]), "another network namespace"),
        (web.clone(), fds(&[&unix]), "no socket of IPv4 or IPv6"),
        (web.clone(), fds(&[&file]), "no socket of IPv4 or IPv6"),
        (
            web.clone(),
            fds(&[&server, &second]),
            "two of these sockets are tcp4",
        ),
        (
            message("other"),
            fds(&[&server]),
            "does not belong to its owner",
        ),
    ];
    for (bytes, descriptors, why) in cases {
        let answer = place.answer(&bytes, &descriptors);
        assert!(answer.contains(why), "{why}: {answer}");
        assert!(place.heard()[0].is_err(), "{why}");
    }
    assert_eq!(place.answer(&web, &fds(&[&server])), "ok tcp4");
    let (code, said) = ends(desk, Some(Signal::SIGTERM));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 taken, 14 refused"), "{said}");
    place.says(&["unload", "--yes"], 0);
}

#[test]
fn a_service_is_started_with_sockets_that_stand_behind_its_name() {
    if !root() {
        return;
    }
    let place = Place::new("run-service");
    place.says(&["apply", &place.policy], 0);
    let service = place.service();
    let service = service.to_str().unwrap();
    let start = |byte| {
        let at = [
            "socket",
            "run",
            "web",
            "--tcp",
            "127.0.0.1:0",
            "--tcp",
            "[::1]:0",
            "--",
        ];
        let arguments = [&at[..], &[service, "inherited", "web", byte]].concat();
        place.started(sockc(&arguments), "ready")
    };
    let first = start("a");
    assert_eq!(place.heard().map(Result::unwrap), [b'a'; 2]);
    // What cannot be started takes nobody's place.
    let nothing = place.says(
        &[
            "socket",
            "run",
            "web",
            "--tcp",
            "127.0.0.1:0",
            "--",
            "/no/such/program",
        ],
        3,
    );
    assert!(nothing.contains("no program that can be run"), "{nothing}");
    let taken = place
        .lab
        .server
        .run(|| TcpListener::bind("127.0.0.1:0").unwrap())
        .unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place.says(
        &["socket", "run", "web", "--tcp", &address, "--", "true"],
        3,
    );
    assert!(said.contains("Address already in use"), "{said}");
    let said = place.says(
        &[
            "socket",
            "run",
            "nobody",
            "--udp",
            "127.0.0.1:0",
            "--",
            "true",
        ],
        64,
    );
    assert!(said.contains("declares no socket \"nobody\""), "{said}");
    assert_eq!(place.heard().map(Result::unwrap), [b'a'; 2]);
    // One that is no program after all.
    let text = place.folder.file("text", "#!/no/such/interpreter\n");
    let mut mode = fs::metadata(&text).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&text, mode).unwrap();
    let said = place.says(
        &["socket", "run", "web", "--udp", "127.0.0.1:0", "--", &text],
        3,
    );
    assert!(said.contains("nothing stands there now"), "{said}");
    // It had no place in the slots of TCP.
    assert_eq!(place.heard().map(Result::unwrap), [b'a'; 2]);
    let second = start("b");
    assert_eq!(place.heard().map(Result::unwrap), [b'b'; 2]);
    for service in [first, second] {
        assert_eq!(ends(service, None), (Some(0), String::new()));
    }
    assert!(place.heard().iter().all(Result::is_err));
    place.says(&["unload", "--yes"], 0);
}

#[test]
fn a_socket_is_named_by_its_cookie() {
    if !root() {
        return;
    }
    let place = Place::new("cookie");
    place.says(&["apply", &place.policy], 0);
    let made = place.lab.server.run(|| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect("127.0.0.1:9").unwrap();
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        (server, udp, connected, client)
    });
    let (server, udp, connected, client) = made.unwrap();
    let cookie = |fd: OwnedFd| SockRef::from(&fd).cookie().unwrap();
    let hexadecimal = format!("0x{:x}", cookie(server.try_clone().unwrap().into()));
    let decimal = cookie(udp.try_clone().unwrap().into()).to_string();
    for (cookie, slot) in [(&hexadecimal, "tcp4"), (&decimal, "udp6")] {
        let said = place.says(&["socket", "register", "web", "--cookie", cookie], 0);
        assert!(said.contains(&format!("now holds {slot}")), "{said}");
    }
    let listed = place.says(&["socket", "list"], 0);
    assert!(
        listed.contains(&server.local_addr().unwrap().to_string()),
        "{listed}"
    );
    assert!(listed.contains(&format!("cookie {decimal}")), "{listed}");
    for (fd, why) in [
        (OwnedFd::from(connected), "connected to one peer"),
        (OwnedFd::from(client), "does not listen"),
    ] {
        let cookie = cookie(fd.try_clone().unwrap()).to_string();
        let said = place.says(&["socket", "register", "web", "--cookie", &cookie], 3);
        assert!(said.contains(why), "{said}");
    }
    // One of another namespace, and one of nobody.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = cookie(elsewhere.into()).to_string();
    for cookie in [elsewhere.as_str(), "18446744073709551615"] {
        let said = place.says(&["socket", "register", "web", "--cookie", cookie], 3);
        assert!(said.contains("has the cookie"), "{said}");
    }
    place.says(&["socket", "register", "web", "--cookie", "many"], 64);
    place.says(&["unload", "--yes"], 0);
}
