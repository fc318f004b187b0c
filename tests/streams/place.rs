//! Where a test happens: two namespaces joined by a veth, a cgroup, and one policy in force.

use std::fs::{self, DirEntry};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use nix::sys::signal::{SigSet, Signal};
use sockc_compiler::artifact::CounterKind;
use sockc_compiler::files::Texts;
use sockc_compiler::object;
use sockc_compiler::pipeline;
use sockc_compiler::target::Target;
use sockc_grammar::source::SourceMap;
use sockc_runtime::lab::{FRONT, Group, Lab, Space, missing_rights};
use sockc_runtime::{
    Applied, Carried, EndState, Error, Expiry, Faults, Features, Handover, Kept, Missing,
    MovedGroup, Options, Prefix, apply, counters, forecast, keep_pairs, set_add, set_del,
    socket_register, socket_unregister, status, unload,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// The client's addresses.
pub(crate) const CLIENT4: &str = "198.51.100.9";
pub(crate) const CLIENT6: &str = "2001:db8::9";
/// Prefixes of the server: the first of each family is refused by the talk's policy.
const SERVED: [(&str, u8); 4] = [
    ("192.0.2.0", 24),
    ("203.0.113.0", 24),
    ("2001:db8:2::", 48),
    ("2001:db8:3::", 48),
];

/// Held by every test that has a policy in force.
static OTHERS: RwLock<()> = RwLock::new(());

/// Namespaces, a cgroup, and the policy in the server's namespace.
pub(crate) struct Place {
    pub(crate) lab: Lab,
    pub(crate) group: Group,
    options: Options,
}

/// Says that a test cannot run without something, which fails where everything must be tested.
pub(crate) fn skip(needed: &str) {
    let required = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
    assert!(!required, "needs {needed}");
    println!("skipped: needs {needed}");
}

/// How often something is done that is only more of the same: less often where every instruction is emulated.
pub(crate) fn repeated(here: u64) -> u64 {
    match crate::guests::folder() {
        None => here,
        Some(_) => here / 20,
    }
}

/// Runs a test where it may run; says so where it may not, and fails where it must.
pub(crate) fn inside(test: impl FnOnce(&Place)) {
    inside_named("", test);
}

/// The same, with a cgroup whose name ends in `ending`.
pub(crate) fn inside_named(ending: &str, test: impl FnOnce(&Place)) {
    inside_mut(ending, |place| test(place));
}

/// The same while no other policy of these tests is in force.
pub(crate) fn inside_alone(test: impl FnOnce(&Place)) {
    let _alone = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    in_place("", |place| test(place));
}

/// The same for a test that changes how policies are put in force.
pub(crate) fn inside_mut(ending: &str, test: impl FnOnce(&mut Place)) {
    let _beside = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    in_place(ending, test);
}

fn in_place(ending: &str, test: impl FnOnce(&mut Place)) {
    if !nix::unistd::geteuid().is_root() || !missing_rights().is_empty() {
        return skip("root");
    }
    // The end of another test's command is told to any thread that listens. Of a socket that is in a table the kernel ends a read
    // then with EAGAIN, and on every socket one that waits for more with what has come.
    SigSet::from(Signal::SIGCHLD).thread_block().unwrap();
    let lab = Lab::new().unwrap();
    for (prefix, length) in SERVED {
        lab.serve(ip(prefix), length).unwrap();
    }
    lab.own(ip(CLIENT4), 32, FRONT).unwrap();
    lab.own(ip(CLIENT6), 128, FRONT).unwrap();
    test(&mut Place {
        lab,
        group: Group::named(ending).unwrap(),
        options: Options::default(),
    });
}

impl Place {
    /// Puts a policy in force. `GROUP` in its text stands for the declaration of the group `pods`.
    pub(crate) fn apply(&self, text: &str) -> Applied {
        self.try_apply(text).unwrap()
    }

    pub(crate) fn try_apply(&self, text: &str) -> Result<Applied, Error> {
        self.try_apply_in(&self.lab.server, text)
    }

    /// The same in another namespace, where the test takes it away itself.
    pub(crate) fn try_apply_in(&self, space: &Space, text: &str) -> Result<Applied, Error> {
        let artifact = compiled(self.declared(text));
        let bytes = object::write(&artifact).unwrap();
        let work = || apply(&bytes, &artifact.manifest, &self.options);
        space.run(work).unwrap()
    }

    /// Takes away what is in force in another namespace; whether something was.
    pub(crate) fn unload_in(&self, space: &Space) -> bool {
        let work = || unload(&self.options);
        space.run(work).unwrap().unwrap().removed
    }

    /// Puts a policy in force with these features of the kernel only.
    pub(crate) fn apply_with(&mut self, text: &str, features: Features) {
        self.use_features(features);
        self.apply(text);
    }

    /// From now on the kernel has these features only.
    pub(crate) fn use_features(&mut self, features: Features) {
        self.options.features = Some(features);
    }

    /// From now on what the policy in force knows and is gone is no error.
    pub(crate) fn leave_out_missing(&mut self) {
        self.options.leave_out_missing = true;
    }

    /// Hands a socket of this process over; what it is.
    pub(crate) fn register(&self, name: &str, socket: BorrowedFd<'_>) -> Result<String, Error> {
        let handover = [Handover::Own(socket.as_raw_fd())];
        let work = || socket_register(&self.options, name, &handover);
        let registered = self.lab.server.run(work).unwrap()?;
        Ok(registered.held[0].name())
    }

    /// Takes what stands behind a name away; what it was.
    pub(crate) fn unregister(&self, name: &str) -> Option<String> {
        let work = || socket_unregister(&self.options, name, &[]);
        let gone = self.lab.server.run(work).unwrap().unwrap();
        gone.first().map(|held| held.name())
    }

    /// How the sockets stand whose queues take data.
    pub(crate) fn ends(&self) -> Vec<EndState> {
        let found = self.lab.server.run(|| status(&self.options));
        found.unwrap().unwrap().unwrap().ends
    }

    /// What the kernel does otherwise on the connections of the policy, as status says.
    pub(crate) fn otherwise(&self) -> Faults {
        let found = self.lab.server.run(|| status(&self.options));
        found.unwrap().unwrap().unwrap().faults.unwrap()
    }

    /// How many connections of the group stand in its tables, by their directions, and how many have room.
    pub(crate) fn taken_in(&self) -> Vec<(&'static str, u32, u32)> {
        let found = self.lab.server.run(|| status(&self.options));
        let groups = found.unwrap().unwrap().unwrap().groups;
        let tables = groups.into_iter().flat_map(|group| group.tables);
        tables
            .map(|table| (table.direction, table.connections, table.places))
            .collect()
    }

    /// The groups that status says are on control groups no longer.
    pub(crate) fn moved_groups(&self) -> Vec<MovedGroup> {
        let found = self.lab.server.run(|| status(&self.options));
        found.unwrap().unwrap().unwrap().coverage.groups
    }

    /// How much of what is in force others have changed.
    pub(crate) fn drift(&self) -> usize {
        let found = self.lab.server.run(|| status(&self.options));
        found.unwrap().unwrap().unwrap().drift.len()
    }

    /// Takes the hooks off whose pins begin so, as somebody else would; how many there were.
    pub(crate) fn take_off(&self, beginning: &str) -> usize {
        let links = || {
            let inode = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
            let state = Path::new("/sys/fs/bpf/sockc").join(inode.to_string());
            let links = fs::read_dir(state.join("link")).unwrap();
            let begins =
                |link: &DirEntry| link.file_name().to_string_lossy().starts_with(beginning);
            let links = links.map(Result::unwrap).filter(begins);
            links
                .map(|link| fs::remove_file(link.path()).unwrap())
                .count()
        };
        self.lab.server.run(links).unwrap()
    }

    /// Puts an address into a live set.
    pub(crate) fn add_to_set(&self, set: &str, address: IpAddr) {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let element = [Prefix::new(address, length).unwrap()];
        let add = || set_add(&self.options, set, &element, Expiry::Declared);
        self.lab.server.run(add).unwrap().unwrap();
    }

    /// Takes it out again.
    pub(crate) fn take_from_set(&self, set: &str, address: IpAddr) {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let element = [Prefix::new(address, length).unwrap()];
        let del = || set_del(&self.options, set, &element, Missing::Refused);
        self.lab.server.run(del).unwrap().unwrap();
    }

    /// What an apply would do with the sockets of each group.
    pub(crate) fn foretold(&self, text: &str) -> Vec<(String, Carried)> {
        let artifact = compiled(self.declared(text));
        let bytes = object::write(&artifact).unwrap();
        let work = || forecast(&bytes, &artifact.manifest, &self.options);
        let forecast = self.lab.server.run(work).unwrap().unwrap();
        let groups = forecast.data.into_iter().filter(|one| one.kind == "group");
        groups.map(|one| (one.name, one.fate)).collect()
    }

    /// The text with the declaration of the group in it.
    pub(crate) fn declared(&self, text: &str) -> String {
        let declared = format!("group pods = cgroup \"{}\"", self.group.path());
        text.replace("GROUP", &declared)
    }

    /// Takes the policy away; whether there was one.
    pub(crate) fn unload(&self) -> bool {
        self.unload_in(&self.lab.server)
    }

    /// Writes and bytes that the rule with this label has counted.
    pub(crate) fn counted(&self, label: &str) -> (u64, u64) {
        self.count(|counter| counter.label.as_deref() == Some(label))
    }

    /// Keeps the pairs of a name, until the policy declares them no more.
    pub(crate) fn keep(
        &self,
        name: &str,
        path: &Path,
        ready: &mut (dyn FnMut() + Send),
    ) -> Result<Kept, Error> {
        let keep = || keep_pairs(&self.options, name, (path, 0o600), ready);
        self.lab.server.run(keep).unwrap()
    }

    /// How many pairs of all names are joined.
    pub(crate) fn joined_pairs(&self) -> usize {
        let found = self.lab.server.run(|| status(&self.options));
        let found = found.unwrap().unwrap().unwrap();
        found.pairs.iter().map(|pairs| pairs.count).sum()
    }

    /// Segments and bytes that came back on spliced pairs.
    pub(crate) fn counted_back(&self) -> (u64, u64) {
        self.count(|counter| counter.kind == CounterKind::Back)
    }

    /// Sockets that could not be taken in.
    pub(crate) fn escaped(&self) -> u64 {
        self.count(|counter| counter.kind == CounterKind::Escaped).0
    }

    /// What was asked for a queue that nobody stood behind.
    pub(crate) fn nobody(&self) -> (u64, u64) {
        self.count(|counter| counter.kind == CounterKind::Absent)
    }

    /// Packets with data of these that were dropped.
    pub(crate) fn refused(&self) -> u64 {
        self.count(|counter| counter.kind == CounterKind::Refused).0
    }

    /// The pin of the group's table for `send`, in the server's namespace.
    pub(crate) fn table() -> PathBuf {
        let inode = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let groups = Path::new("/sys/fs/bpf/sockc").join(inode.to_string());
        let mut folders = fs::read_dir(groups.join("group")).unwrap();
        folders.next().unwrap().unwrap().path().join("peers")
    }

    pub(crate) fn count(
        &self,
        wanted: impl Fn(&sockc_compiler::artifact::Counter) -> bool,
    ) -> (u64, u64) {
        let all = self.lab.server.run(|| counters(&self.options));
        let all = all.unwrap().unwrap();
        let found = all.iter().find(|value| wanted(&value.counter)).unwrap();
        (found.packets, found.bytes)
    }

    /// A client's end in the client's namespace, in the group or not, connected to a server's end.
    pub(crate) fn pair(&self, from: &str, to: &str, sides: Sides) -> Pair {
        let spaces = [&self.lab.client, &self.lab.server];
        self.pair_in(spaces, from, to, sides)
    }

    /// The same over `lo` of one namespace.
    pub(crate) fn pair_over_lo(&self, space: &Space, address: &str, sides: Sides) -> Pair {
        self.pair_in([space, space], address, address, sides)
    }

    fn pair_in(&self, spaces: [&Space; 2], from: &str, to: &str, sides: Sides) -> Pair {
        let listener = self.listener(spaces[1], SocketAddr::new(ip(to), 0), sides.server);
        let to = listener.local_addr().unwrap();
        let client = self.client(spaces[0], SocketAddr::new(ip(from), 0), sides.client);
        client.connect(&SockAddr::from(to)).unwrap();
        Pair {
            client: client.into(),
            server: listener.accept().unwrap().0,
        }
    }

    /// A bound socket that has yet to connect.
    pub(crate) fn client(&self, space: &Space, local: SocketAddr, grouped: bool) -> Socket {
        let socket = self.socket(space, local, grouped);
        socket.bind(&local.into()).unwrap();
        socket
    }

    /// A listener; what it accepts is in the group if it is.
    pub(crate) fn listener(&self, space: &Space, local: SocketAddr, grouped: bool) -> TcpListener {
        let socket = self.client(space, local, grouped);
        socket.listen(1024).unwrap();
        socket.into()
    }

    /// A socket that may take any address, not bound.
    pub(crate) fn socket(&self, space: &Space, local: SocketAddr, grouped: bool) -> Socket {
        let socket = if grouped {
            let made = space.run(|| self.group.tcp_socket(local));
            Socket::from(made.unwrap().unwrap())
        } else {
            space.run(|| plain_socket(local)).unwrap()
        };
        socket.set_nonblocking(false).unwrap();
        socket
    }

    /// A connection of MPTCP both ends of which are the group's, where the kernel has MPTCP.
    pub(crate) fn mptcp_pair(&self) -> Option<Pair> {
        self.mptcp_pair_to(CLIENT4, "192.0.2.5")
    }

    /// The same between other addresses.
    pub(crate) fn mptcp_pair_to(&self, from: &str, to: &str) -> Option<Pair> {
        let [from, at] = [from, to].map(|end| SocketAddr::new(ip(end), 0));
        let client = Socket::from(self.mptcp_socket(&self.lab.client, from)?);
        let listener = Socket::from(self.mptcp_socket(&self.lab.server, at)?);
        for (socket, address) in [(&client, from), (&listener, at)] {
            socket.set_nonblocking(false).unwrap();
            socket.bind(&address.into()).unwrap();
        }
        listener.listen(1).unwrap();
        client.connect(&listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        Some(Pair {
            client: client.into(),
            server: server.into(),
        })
    }

    /// An MPTCP socket of the group, where the kernel has MPTCP.
    pub(crate) fn mptcp_socket(&self, space: &Space, local: SocketAddr) -> Option<OwnedFd> {
        let made = space.run(|| self.group.mptcp_socket(local));
        made.unwrap().ok()
    }
}

impl Drop for Place {
    /// Programs on a cgroup hold nothing of the namespace: without this they would stay as long as the bpf file system.
    fn drop(&mut self) {
        let _ = self.lab.server.run(|| unload(&self.options));
    }
}

/// Which ends of a connection are in the group.
#[derive(Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) client: bool,
    pub(crate) server: bool,
}

pub(crate) const CLIENT: Sides = Sides {
    client: true,
    server: false,
};
pub(crate) const BOTH: Sides = Sides {
    client: true,
    server: true,
};
pub(crate) const NEITHER: Sides = Sides {
    client: false,
    server: false,
};

/// A connection.
pub(crate) struct Pair {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

fn plain_socket(local: SocketAddr) -> Socket {
    let socket = Socket::new(
        Domain::for_address(local),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_freebind_v4(true).unwrap();
    if local.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket
}

pub(crate) fn compiled(text: String) -> sockc_compiler::artifact::Artifact {
    let mut sources = SourceMap::default();
    let id = sources.add("streams.sk", text.clone());
    let outcome = pipeline::compile(
        &mut sources,
        id,
        "streams",
        &Target::baseline(),
        &mut Texts::default(),
    );
    let Some(built) = outcome.built else {
        panic!("{text}\n{:?}", outcome.diagnostics);
    };
    built.artifact
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Bytes that an interface of a space has sent.
pub(crate) fn sent_by(space: &Space, interface: &str) -> u64 {
    let table = space.run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let table = table.unwrap();
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{interface}:")));
    let fields: Vec<&str> = line.unwrap().split_whitespace().collect();
    fields[8].parse().unwrap()
}
