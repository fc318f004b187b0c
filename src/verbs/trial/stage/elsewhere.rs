//! Sockets in the other network namespaces that conditions look into.

use sockc_compiler::event::SocketAnswer;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{self, Error, Held, Netlink, Space};

use super::{state_of, whole};
use crate::verbs::trial::lab_world::Ends;

/// Makes the socket there that a lookup for the packet finds so. Both ends become the namespace's own, since a connected
/// socket needs a way to its peer.
pub(super) fn hold(
    space: &Space,
    protocol: IpProtocol,
    ends: Ends,
    answer: SocketAnswer,
) -> Result<Option<Held>, Error> {
    let Some(state) = state_of(answer) else {
        return Ok(None);
    };
    space.run(|| {
        let mut netlink = Netlink::open()?;
        netlink.up("lo")?;
        for end in [ends.local, ends.remote] {
            netlink.local(end.ip(), whole(end.ip()))?;
        }
        lab::hold(protocol, ends.local, ends.remote, state).map(Some)
    })?
}
