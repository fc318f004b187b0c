//! Sockets as programs see them, and the ledger of references to them.

use std::net::{IpAddr, SocketAddr};

use super::context::Cell;
use super::fault::FaultKind;
use super::value::SocketPointer;
use super::{Machine, context};
use crate::artifact::Section;
use crate::bpf::constant::{AF_INET, AF_INET6, TCP_CLOSE, TCP_LISTEN};
use crate::bpf::opcode::Width;
use crate::protocol::IpProtocol;

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketModel {
    /// Its cookie: two sockets are the same if this is.
    pub id: u64,
    /// TCP or UDP.
    pub protocol: IpProtocol,
    /// `TCP_LISTEN`, `TCP_ESTABLISHED`, … (UDP: `TCP_CLOSE` unless connected).
    pub state: u32,
    /// Its own address; IPv6 for a socket of that family, also where it holds a mapped IPv4 address.
    pub local: SocketAddr,
    /// The peer's address, all zero where there is none.
    pub remote: SocketAddr,
    /// `IPV6_V6ONLY`
    pub v6_only: bool,
    /// Multipath TCP: the kernel refuses it in a SOCKMAP or SOCKHASH.
    pub multipath: bool,
}

impl SocketModel {
    /// A TCP listener.
    #[must_use]
    pub fn listener(id: u64, local: SocketAddr) -> Self {
        Self::bound(id, IpProtocol::TCP, TCP_LISTEN, local)
    }

    /// An unconnected UDP socket.
    #[must_use]
    pub fn udp(id: u64, local: SocketAddr) -> Self {
        Self::bound(id, IpProtocol::UDP, TCP_CLOSE, local)
    }

    /// The same in another state, with this peer.
    #[must_use]
    pub fn connected(self, state: i32, remote: SocketAddr) -> Self {
        Self {
            state: state.cast_unsigned(),
            remote,
            ..self
        }
    }

    fn bound(id: u64, protocol: IpProtocol, state: i32, local: SocketAddr) -> Self {
        let nobody = match local {
            SocketAddr::V4(_) => IpAddr::from([0; 4]),
            SocketAddr::V6(_) => IpAddr::from([0; 16]),
        };
        Self {
            id,
            protocol,
            state: state.cast_unsigned(),
            local,
            remote: SocketAddr::new(nobody, 0),
            v6_only: false,
            multipath: false,
        }
    }

    /// `AF_INET` or `AF_INET6`.
    pub(super) fn family(&self) -> i32 {
        match self.local {
            SocketAddr::V4(_) => AF_INET,
            SocketAddr::V6(_) => AF_INET6,
        }
    }

    /// A load from `struct bpf_sock`; of a socket that is not known to be full only the common fields.
    pub(super) fn load(&self, full: bool, offset: i16, width: Width) -> Result<u64, FaultKind> {
        let cells = self.cells(full);
        match context::find(&cells, offset, width)? {
            context::Content::Number(value) => Ok(value),
            _ => Err(FaultKind::BadField),
        }
    }

    fn cells(&self, full: bool) -> Vec<Cell> {
        let (local, remote) = (self.local, self.remote);
        let family = self.family().cast_unsigned();
        let mut cells = vec![
            Cell::word(0, 0),
            Cell::narrow(4, family),
            Cell::narrow(24, context::ip4(local)),
            Cell::narrow(44, u32::from(local.port())),
            // Two bytes in network order, then zero: loads of four bytes stay allowed for old programs.
            Cell::narrow(48, u32::from(remote.port().to_be())),
            Cell::narrow(52, context::ip4(remote)),
            Cell::narrow(72, self.state),
        ];
        cells.extend(context::ip6(28, local, true));
        cells.extend(context::ip6(56, remote, true));
        if full {
            let kind = if self.protocol == IpProtocol::TCP {
                1
            } else {
                2
            };
            cells.push(Cell::narrow(8, kind));
            cells.push(Cell::narrow(12, u32::from(self.protocol)));
            cells.push(Cell::word(16, 0));
            cells.push(Cell::word(20, 0));
        }
        cells
    }
}

/// Which references were taken and given back.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Stored>,
}

#[derive(Clone, Debug)]
struct Stored {
    model: SocketModel,
    full: bool,
    live: bool,
}

impl Ledger {
    /// Takes a reference; `full` unless it may be a request or TIME_WAIT socket.
    pub(super) fn take(&mut self, model: SocketModel, full: bool) -> SocketPointer {
        self.entries.push(Stored {
            model,
            full,
            live: true,
        });
        SocketPointer::Reference(self.entries.len() - 1)
    }

    pub(super) fn release(&mut self, pointer: SocketPointer) -> Result<(), FaultKind> {
        let SocketPointer::Reference(number) = pointer else {
            return Err(FaultKind::NotAReference);
        };
        match self.entries.get_mut(number) {
            Some(entry) if entry.live => {
                entry.live = false;
                Ok(())
            }
            _ => Err(FaultKind::Released),
        }
    }

    pub(super) fn has_live(&self) -> bool {
        self.entries.iter().any(|entry| entry.live)
    }
}

impl Machine<'_> {
    /// The socket behind a pointer, and whether it is known to be a full one.
    pub(super) fn socket(&self, pointer: SocketPointer) -> Result<(SocketModel, bool), FaultKind> {
        match pointer {
            SocketPointer::Own | SocketPointer::Full => {
                let own = self.context.own_socket().ok_or(FaultKind::NullPointer)?;
                // That of a packet may be a request or TIME_WAIT socket, as far as the verifier knows.
                let section = self.context.section();
                let known = !matches!(section, Section::CgroupSkb | Section::CgroupSkbOut);
                Ok((own, known || pointer == SocketPointer::Full))
            }
            SocketPointer::Reference(number) => match self.ledger.entries.get(number) {
                Some(entry) if entry.live => Ok((entry.model, entry.full)),
                _ => Err(FaultKind::Released),
            },
        }
    }
}
