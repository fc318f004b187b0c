//! Where it is measured: two namespaces joined by a veth, a control group, and one policy in force by the command.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sockc_runtime::lab::{FRONT, Group, Lab, Space};
use socket2::{SockAddr, Socket};

/// The server's address.
pub(crate) const SERVER: &str = "203.0.113.5";
const CLIENT: &str = "198.51.100.9";

/// Namespaces, a control group, and the policy in the server's namespace.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) group: Group,
    folder: PathBuf,
}

/// A connection whose ends do not wait to send.
pub(crate) struct Pair {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let lab = Lab::new().unwrap();
        lab.serve(SERVER.parse().unwrap(), 32).unwrap();
        lab.own(CLIENT.parse().unwrap(), 32, FRONT).unwrap();
        let name = format!("sockc-bench-streams-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self {
            lab,
            group: Group::new().unwrap(),
            folder,
        }
    }

    /// Puts a policy about the group `pods` in force.
    pub(crate) fn apply(&self, rules: &str) {
        let path = self.folder.join("policy.sk");
        let group = self.group.path();
        let text = format!("default send allow\ngroup pods = cgroup \"{group}\"\n{rules}");
        fs::write(&path, text).unwrap();
        self.sockc(&["apply", path.to_str().unwrap()]);
    }

    fn sockc(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
        command.args(arguments).stdin(Stdio::null());
        let output = self.lab.server.run(|| command.output().unwrap()).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// The command, which goes on in the server's namespace.
    pub(crate) fn started(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped());
        self.lab.server.run(|| command.spawn().unwrap()).unwrap()
    }

    /// A connection by the veth; both of its ends are in the group, or neither.
    pub(crate) fn pair(&self, grouped: bool) -> Pair {
        let listener = self.socket(&self.lab.server, SERVER, grouped);
        listener.listen(1).unwrap();
        let listener = TcpListener::from(listener);
        let to = SockAddr::from(listener.local_addr().unwrap());
        let client = self.socket(&self.lab.client, CLIENT, grouped);
        client.connect(&to).unwrap();
        let (client, server) = (TcpStream::from(client), listener.accept().unwrap().0);
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        Pair { client, server }
    }

    fn socket(&self, space: &Space, address: &str, grouped: bool) -> Socket {
        let address: IpAddr = address.parse().unwrap();
        let local = SocketAddr::new(address, 0);
        let made = space.run(|| match grouped {
            true => Socket::from(self.group.tcp_socket(local).unwrap()),
            false => {
                let socket = Socket::new(
                    socket2::Domain::for_address(local),
                    socket2::Type::STREAM,
                    None,
                );
                let socket = socket.unwrap();
                socket.set_freebind_v4(true).unwrap();
                socket
            }
        });
        let socket = made.unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.bind(&local.into()).unwrap();
        socket
    }
}

impl Drop for Stage {
    /// Programs on a control group would stay as long as the bpf file system.
    fn drop(&mut self) {
        self.sockc(&["unload"]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
