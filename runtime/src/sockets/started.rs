//! Sockets that are made for a service, stand behind a name, and are handed to the program that serves them.
//!
//! Takes a name, addresses and a command; makes the sockets, registers them, and becomes the command, which finds them as those
//! of systemd (`sd_listen_fds(3)`). So connections wait for the service from the beginning, and when it ends they end with it. Not here: who may
//! stand behind a name ([`super::registered`]).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Command;

use sockc_compiler::protocol::IpProtocol;

use super::handover::{Handed, refused};
use super::registered::{Registered, register};
use crate::active;
use crate::error::Error;
use crate::options::Options;
use crate::state::Access;
use crate::sys::bound::bound;
use crate::sys::caps::Memlock;
use crate::sys::process;

/// A socket to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// TCP or UDP.
    pub protocol: IpProtocol,
    /// Where it is bound; with port 0 the kernel chooses one.
    pub address: SocketAddr,
}

/// Sockets that were made and stand behind a name.
#[derive(Debug)]
pub struct Started {
    name: String,
    sockets: Vec<OwnedFd>,
    memlock: Option<Memlock>,
    /// What the registration gave.
    pub registered: Registered,
}

/// Makes sockets in the network namespace of the options, and puts them behind a name in place of those that are there.
///
/// # Errors
///
/// Any [`Error`]; nothing is made or changed then.
pub fn socket_start(options: &Options, name: &str, wanted: &[Wanted]) -> Result<Started, Error> {
    let memlock = Memlock::now();
    let (sockets, registered) = active::with(options, Access::Change, |active| {
        let made = wanted.iter().map(|one| made(name, one));
        let made: Vec<Handed> = made.collect::<Result<_, _>>()?;
        let registered = register(active, name, &made)?;
        let sockets = made.into_iter().map(|handed| handed.fd);
        Ok((sockets.collect(), registered))
    })?;
    Ok(Started {
        name: name.to_owned(),
        sockets,
        memlock,
        registered,
    })
}

fn made(name: &str, wanted: &Wanted) -> Result<Handed, Error> {
    let fd = bound(wanted.protocol, wanted.address).map_err(|error| {
        let Wanted { protocol, address } = wanted;
        let protocol = protocol.words();
        refused(
            name,
            format!("no {protocol} socket can be bound to {address}: {error}"),
        )
    })?;
    Ok(Handed { fd, holder: None })
}

impl Started {
    /// Becomes the command, with the sockets as descriptors from 3 on, and `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`. Comes
    /// back only where that fails; the sockets leave the name with this process then.
    #[must_use]
    pub fn become_command(self, mut command: Command) -> io::Error {
        let names = vec![self.name.as_str(); self.sockets.len()].join(":");
        command
            .env("LISTEN_PID", std::process::id().to_string())
            .env("LISTEN_FDS", self.sockets.len().to_string())
            .env("LISTEN_FDNAMES", names);
        // A limit that was lifted for older kernels is none of the service's.
        if let Some(memlock) = self.memlock {
            memlock.restore();
        }
        process::become_command(command, self.sockets)
    }
}
