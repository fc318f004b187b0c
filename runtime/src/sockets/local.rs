//! Whether addresses are this machine's own, as its routes say.
//!
//! A redirect hands a packet over at the socket lookup, which only packets for local addresses come to. Takes addresses; asks
//! the kernel for the route of each, in the network namespace of the options. Changes nothing.

use std::net::IpAddr;

use crate::error::{Error, at};
use crate::options::Options;
use crate::session;
use crate::sys::{local_route, route};

/// Those of the addresses that are not local.
///
/// # Errors
///
/// Any [`Error`].
pub fn not_local(options: &Options, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    session::enter(options, |_| {
        let what = "say whether an address is local";
        let socket = route::socket().map_err(at(what))?;
        let mut found = Vec::new();
        for address in addresses {
            if !local_route::is_local(&socket, *address).map_err(at(what))? {
                found.push(*address);
            }
        }
        Ok(found)
    })
}
