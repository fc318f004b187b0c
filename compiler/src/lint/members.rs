//! Members of a name that share an address and are not pinned: they are one reuseport group, and the kernel chooses among it
//! once more.
//!
//! Not here: sockets that are handed over, whose addresses a policy does not say.

use std::net::SocketAddr;

use sockc_grammar::diagnostic::Diagnostic;

use super::SPREAD_TWICE;
use crate::policy::{Action, Family, Listen, Policy, Socket, SocketId};

/// Reports names whose members share an address, so that what one of them is given goes to any.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for (id, socket) in &policy.sockets {
        if let Some(listen) = shared(socket).filter(|_| !socket.pinned) {
            found.push(report(socket, listen).help(remedy(policy, id)));
        }
    }
}

/// An address at which there may be several members: the members of a kind are dealt out to its addresses.
fn shared(socket: &Socket) -> Option<&Listen> {
    let addresses = socket.origin.listen()?;
    addresses.iter().find(|one| {
        let kind = |listen: &Listen| (Family::of(listen.address), listen.protocol);
        let same = addresses.iter().filter(|other| kind(other) == kind(one));
        (1..).zip(same).all(|(count, _)| count < socket.members)
    })
}

fn report(socket: &Socket, listen: &Listen) -> Diagnostic {
    let (name, address) = (&socket.name, SocketAddr::new(listen.address, listen.port));
    Diagnostic::warning(
        SPREAD_TWICE,
        format!("the kernel spreads what members of `{name}` get over all sockets at {address}"),
        socket.place.span,
        "sockets that share an address are one reuseport group, and any of it may get what one is given",
    )
}

/// What to write instead. Nothing is pinned at TC.
fn remedy(policy: &Policy, socket: SocketId) -> &'static str {
    let mut rules = policy.rules.values();
    match rules.any(|rule| rule.action == Action::Intercept(socket)) {
        true => {
            "give each member an address of its own, since nothing can be pinned at tc; or leave `members` out, and let the kernel alone spread"
        }
        false => {
            "add `pinned`, so that the member itself gets it; or leave `members` out, and let the kernel alone spread"
        }
    }
}
