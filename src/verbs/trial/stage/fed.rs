//! A connection for every named socket whose queues take data, and which queue a write came out of.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use sockc_compiler::policy::{Feed, Policy, Queue, SocketId};

/// The connections.
#[derive(Debug)]
pub(super) struct Connections(Vec<Connection>);

/// One of them, over the lab's `lo`.
#[derive(Debug)]
struct Connection {
    socket: SocketId,
    /// What is handed over: it reads what is put into its input.
    own: TcpStream,
    /// Its peer: it reads what is put into the output.
    peer: TcpStream,
}

impl Connections {
    /// Makes them in the calling thread's namespace.
    pub(super) fn make(policy: &Policy, absent: &[SocketId]) -> io::Result<Self> {
        let fed = policy.sockets.iter();
        let fed = fed.filter(|(socket, data)| data.fed && !absent.contains(socket));
        let made = fed.map(|(socket, _)| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let own = TcpStream::connect(listener.local_addr()?)?;
            let (peer, _) = listener.accept()?;
            Ok(Connection { socket, own, peer })
        });
        made.collect::<io::Result<_>>().map(Self)
    }

    /// The descriptor that is handed over for a socket.
    pub(super) fn descriptor(&self, socket: SocketId) -> Option<i32> {
        let found = self.0.iter().find(|one| one.socket == socket);
        found.map(|one| one.own.as_raw_fd())
    }

    /// Where what is put into the queues comes out.
    pub(super) fn ends(&self) -> impl Iterator<Item = (Feed, BorrowedFd<'_>)> {
        self.0.iter().flat_map(|one| {
            let ends = [(Queue::Input, &one.own), (Queue::Output, &one.peer)];
            ends.map(|(queue, stream)| {
                let socket = one.socket;
                (Feed { socket, queue }, stream.as_fd())
            })
        })
    }
}
