//! A plain server for every named socket, and which of them a packet reached.

use std::net::SocketAddr;

use sockc_compiler::policy::{Action, Family, Policy, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::SlotKind;
use sockc_runtime::lab::{Error, Listener, SERVER};

/// The TTL of the first server; the next ones count up. Ordinary ones have 64.
const FIRST_TTL: u8 = 100;

/// The servers.
#[derive(Debug)]
pub(super) struct Servers(Vec<(SocketId, Listener)>);

impl Servers {
    /// Starts them in the calling thread's namespace: on the addresses that the policy names; where it names none, one of
    /// each kind on the lab's own address. Only TCP ones need a TTL of their own, but each has one.
    pub(super) fn start(policy: &Policy, absent: &[SocketId]) -> Result<Self, Error> {
        let actions = policy.rules.values().map(|rule| rule.action);
        let intercepting: Vec<SocketId> = actions
            .filter(|action| matches!(action, Action::Intercept(_)))
            .filter_map(Action::receiver)
            .collect();
        let named = policy.sockets.iter();
        let named = named.filter(|(id, socket)| !absent.contains(id) && !socket.fed);
        let wanted = named.flat_map(|(id, socket)| {
            let addresses = match socket.origin.listen() {
                Some(listen) => listen
                    .iter()
                    .map(|one| (one.protocol, SocketAddr::new(one.address, one.port)))
                    .collect(),
                None => of_every_kind(),
            };
            addresses.into_iter().map(move |one| (id, one))
        });
        let numbered = (FIRST_TTL..=u8::MAX).cycle().zip(wanted);
        let started = numbered.map(|(ttl, (id, (protocol, address)))| {
            let start = match intercepting.contains(&id) {
                true => Listener::transparent,
                false => Listener::start,
            };
            Ok((id, start(protocol, address, ttl)?))
        });
        started.collect::<Result<_, _>>().map(Self)
    }

    /// Forgets the datagrams that came.
    pub(super) fn datagrams(&self) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|(_, server)| server.datagrams().map(drop))
    }

    /// The socket whose server has a datagram.
    pub(super) fn reached(&self, protocol: IpProtocol) -> Result<Option<SocketId>, Error> {
        for (socket, server) in &self.0 {
            if server.protocol == protocol && !server.datagrams()?.is_empty() {
                return Ok(Some(*socket));
            }
        }
        Ok(None)
    }

    /// The socket whose server sends with this TTL.
    pub(super) fn with_ttl(&self, ttl: u8) -> Option<SocketId> {
        let mut servers = self.0.iter();
        let found = servers.find(|(_, server)| server.ttl == ttl);
        found.map(|(socket, _)| *socket)
    }

    /// The descriptor of a socket's server of this kind.
    pub(super) fn descriptor(&self, socket: SocketId, kind: SlotKind) -> Option<i32> {
        let mut servers = self.0.iter();
        let found = servers.find(|(id, server)| {
            *id == socket
                && server.protocol == kind.protocol
                && Family::of(server.address.ip()) == kind.family
        });
        found.map(|(_, server)| server.descriptor())
    }
}

/// Any port of the lab's own addresses, TCP and UDP.
fn of_every_kind() -> Vec<(IpProtocol, SocketAddr)> {
    SlotKind::all()
        .filter_map(|kind| {
            let mut own = SERVER.into_iter();
            let address = own.find(|address| Family::of(*address) == kind.family)?;
            Some((kind.protocol, SocketAddr::new(address, 0)))
        })
        .collect()
}
