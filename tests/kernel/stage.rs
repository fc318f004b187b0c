//! A lab with addresses of both families, policies compiled and put in force on its server, and plain sockets on either side.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::{CounterKind, Manifest};
use sockc_compiler::files::Texts;
use sockc_compiler::policy::Policy;
use sockc_compiler::target::Target;
use sockc_compiler::{object, pipeline};
use sockc_grammar::source::SourceMap;
use sockc_runtime::lab::{BPFFS, FRONT, Lab, Space};
use sockc_runtime::{Applied, Fill, Options};
use sockc_testing::{again, closing};
use socket2::{Domain, Socket, Type};

/// How long anything that must come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(250);
/// The client's addresses.
pub(crate) const CLIENT: [&str; 2] = ["198.51.100.9", "2001:db8:9::9"];
/// The server's own addresses, which no rule of a test speaks of.
pub(crate) const SERVER: [&str; 2] = ["192.0.2.80", "2001:db8:80::80"];

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An address and port.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The client's address of the family of `peer`, with any port.
pub(crate) fn client_for(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(ip(CLIENT[usize::from(peer.is_ipv6())]), 0)
}

/// Whether the kernel may be asked; says so if not, and fails where that is required.
pub(crate) fn permitted() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let required = std::env::var("SOCKC_KERNEL").is_ok_and(|value| value == "require");
        assert!(!required, "kernel tests are required and need root");
        println!("skipped: needs root");
    }
    root
}

/// A policy of the language, compiled.
pub(crate) struct Compiled {
    /// What it means.
    pub(crate) policy: Policy,
    /// The object's bytes.
    pub(crate) object: Vec<u8>,
    /// What is in the object.
    pub(crate) manifest: Manifest,
}

/// Compiles a policy that has no mistakes.
pub(crate) fn compile(text: &str) -> Compiled {
    compile_changed(text, &Target::baseline(), |_| ())
}

/// Compiles a policy that differs from its text.
pub(crate) fn compile_changed(
    text: &str,
    target: &Target,
    change: impl FnOnce(&mut Policy),
) -> Compiled {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text.to_owned());
    let written = pipeline::compile(&mut sources, id, "test", target, &mut Texts::default());
    assert!(!written.failed(), "{text}\n{:?}", written.diagnostics);
    let mut policy = written.policy.unwrap();
    change(&mut policy);
    let outcome = pipeline::compile_policy(policy, &sources, id, target);
    assert!(!outcome.failed(), "{text}\n{:?}", outcome.diagnostics);
    let artifact = outcome.built.unwrap().artifact;
    Compiled {
        policy: outcome.policy.unwrap(),
        object: object::write(&artifact).unwrap(),
        manifest: artifact.manifest,
    }
}

/// The text of a policy of the folder `rules`.
pub(crate) fn rules(name: &str) -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    std::fs::read_to_string(format!("{folder}/rules/{name}.sk")).unwrap()
}

/// The lab of one test.
pub(crate) struct Stage {
    /// The namespaces.
    pub(crate) lab: Lab,
    /// How the runtime is asked.
    pub(crate) options: Options,
}

impl Stage {
    /// Client and server that reach each other; `None` where the kernel may not be asked.
    pub(crate) fn new() -> Option<Self> {
        if !permitted() {
            return None;
        }
        let lab = Lab::new().unwrap();
        for (client, server) in CLIENT.into_iter().zip(SERVER) {
            let length = if ip(client).is_ipv4() { 32 } else { 128 };
            lab.own(ip(client), length, FRONT).unwrap();
            lab.serve(ip(server), length).unwrap();
        }
        let options = Options {
            bpffs: BPFFS.into(),
            interfaces: vec![FRONT.into()],
            ..Options::default()
        };
        Some(Self { lab, options })
    }

    /// Makes more prefixes the server's own.
    pub(crate) fn serving(self, prefixes: &[(&str, u8)]) -> Self {
        for (prefix, length) in prefixes {
            self.lab.serve(ip(prefix), *length).unwrap();
        }
        self
    }

    /// Puts a policy in force.
    pub(crate) fn apply(&self, text: &str) -> Applied {
        self.apply_compiled(&compile(text)).unwrap()
    }

    /// Asks the runtime to put a policy in force.
    pub(crate) fn apply_compiled(
        &self,
        compiled: &Compiled,
    ) -> Result<Applied, sockc_runtime::Error> {
        let apply = || sockc_runtime::apply(&compiled.object, &compiled.manifest, &self.options);
        self.lab.server.run(apply).unwrap()
    }

    /// What is in force.
    pub(crate) fn status(&self) -> Option<sockc_runtime::Status> {
        let status = || sockc_runtime::status(&self.options);
        self.lab.server.run(status).unwrap().unwrap()
    }

    /// How the slots of the named sockets stand.
    pub(crate) fn fills(&self) -> Vec<Fill> {
        let sockets = self.status().unwrap().sockets;
        sockets.iter().map(|slot| slot.state).collect()
    }

    /// The packets that the rule with this label counted.
    pub(crate) fn counted(&self, label: &str) -> u64 {
        self.total(|counter| counter.label.as_deref() == Some(label))
    }

    /// The packets that the default of `in` decided, the malformed ones included.
    pub(crate) fn dropped(&self) -> u64 {
        self.total(|counter| {
            matches!(counter.kind, CounterKind::Default | CounterKind::Malformed)
                && counter.direction == "in"
        })
    }

    /// The answers to rejected packets that were beyond their limits.
    pub(crate) fn withheld(&self) -> u64 {
        self.total(|counter| counter.kind == CounterKind::Withheld)
    }

    /// The lookups that redirects of TCP and UDP decided.
    pub(crate) fn counted_redirects(&self) -> u64 {
        self.total(|counter| counter.verdict == "redirect")
    }

    fn total(&self, which: impl Fn(&sockc_compiler::artifact::Counter) -> bool) -> u64 {
        let counters = || sockc_runtime::counters(&self.options);
        let counters = self.lab.server.run(counters).unwrap().unwrap();
        let mut found = counters
            .iter()
            .filter(|value| which(&value.counter))
            .peekable();
        assert!(found.peek().is_some(), "no such counter in {counters:?}");
        found.map(|value| value.packets).sum()
    }

    /// A TCP listener of the server.
    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        listener(&self.lab.server, at(address))
    }

    /// A UDP socket of the server.
    pub(crate) fn udp(&self, address: &str) -> UdpSocket {
        udp(&self.lab.server, at(address))
    }

    /// Connects from the client.
    pub(crate) fn connect(&self, to: &str) -> Result<TcpStream, ErrorKind> {
        connect(&self.lab.client, client_for(at(to)), at(to), PATIENCE)
    }

    /// Asserts that the server does not answer the client's SYN in any way.
    pub(crate) fn assert_silent(&self, to: &str) {
        let answer = connect(&self.lab.client, client_for(at(to)), at(to), SILENCE);
        assert_eq!(answer.err(), Some(ErrorKind::TimedOut), "{to}");
    }

    /// Asserts that the server refuses the client's SYN.
    pub(crate) fn assert_refused(&self, to: &str) {
        assert_eq!(
            self.connect(to).err(),
            Some(ErrorKind::ConnectionRefused),
            "{to}"
        );
    }

    /// Asserts that a connection of the client reaches this listener: both ends have the right names, and a byte gets
    /// through each way. Gives the connection, client's end first.
    pub(crate) fn assert_reaches(
        &self,
        to: &str,
        listener: &TcpListener,
    ) -> (TcpStream, TcpStream) {
        let mut client = self
            .connect(to)
            .unwrap_or_else(|error| panic!("{to}: {error}"));
        let mut server = accept(listener);
        assert_eq!(server.local_addr().unwrap(), at(to));
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        assert_eq!(client.peer_addr().unwrap(), at(to));
        assert_talks(&mut client, &mut server);
        (client, server)
    }

    /// Asserts that a datagram of the client reaches this socket.
    pub(crate) fn assert_datagram(&self, to: &str, server: &UdpSocket) {
        let client = udp(&self.lab.client, client_for(at(to)));
        client.send_to(to.as_bytes(), at(to)).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 100];
        let (length, peer) =
            again(|| server.recv_from(&mut buffer)).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!(&buffer[..length], to.as_bytes());
        assert_eq!(peer, client.local_addr().unwrap());
    }
}

/// A byte each way.
pub(crate) fn assert_talks(one: &mut TcpStream, other: &mut TcpStream) {
    for byte in [b'a', b'z'] {
        let (from, to): (&mut TcpStream, &mut TcpStream) = if byte == b'a' {
            (&mut *one, &mut *other)
        } else {
            (&mut *other, &mut *one)
        };
        from.write_all(&[byte]).unwrap();
        to.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut read = [0];
        to.read_exact(&mut read).unwrap();
        assert_eq!(read, [byte]);
    }
}

/// Takes the next connection, for which it waits only so long.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut accepted = None;
    wait_for("a connection", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (stream, _) = accepted.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Waits until something holds, and fails if it never does.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A socket of a space that may take any address, for IPv6 no IPv4 ones.
pub(crate) fn socket(space: &Space, kind: Type, local: SocketAddr) -> Socket {
    let make = || {
        let socket = Socket::new(Domain::for_address(local), kind, None).unwrap();
        socket.set_reuse_address(kind == Type::STREAM).unwrap();
        if local.is_ipv6() {
            socket.set_only_v6(true).unwrap();
            socket.set_freebind_v6(true).unwrap();
        } else {
            socket.set_freebind_v4(true).unwrap();
        }
        bind(&socket, local);
        socket
    };
    space.run(make).unwrap()
}

/// Binds a socket. An address that was let go may be taken for a moment: a process that is just being started by another test
/// has copies of all descriptors until it has become its program.
pub(crate) fn bind(socket: &Socket, local: SocketAddr) {
    wait_for("a free address", || match socket.bind(&local.into()) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => false,
        bound => {
            bound.unwrap();
            true
        }
    });
}

/// Closes a socket of TCP or UDP, also for processes that are just being started by another test.
pub(crate) fn close(space: &Space, socket: impl AsFd) {
    let is_there = closing(socket).unwrap();
    wait_for("the end of a socket", || {
        !space.run(&is_there).unwrap().unwrap()
    });
}

/// A TCP listener.
pub(crate) fn listener(space: &Space, address: SocketAddr) -> TcpListener {
    let socket = socket(space, Type::STREAM, address);
    socket.listen(4096).unwrap();
    socket.into()
}

/// A UDP socket.
pub(crate) fn udp(space: &Space, address: SocketAddr) -> UdpSocket {
    socket(space, Type::DGRAM, address).into()
}

/// Connects, or says why not.
pub(crate) fn connect(
    space: &Space,
    from: SocketAddr,
    to: SocketAddr,
    patience: Duration,
) -> Result<TcpStream, ErrorKind> {
    let socket = socket(space, Type::STREAM, from);
    socket
        .connect_timeout(&to.into(), patience)
        .map_err(|error| error.kind())?;
    Ok(socket.into())
}

/// A counter of the kernel's TCP in a namespace.
pub(crate) fn kernel_counter(space: &Space, name: &str) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let text = space.run(read).unwrap();
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(found, _)| *found == name)
        .unwrap()
        .1
        .parse()
        .unwrap()
}
