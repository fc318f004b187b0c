//! A packet through the lab as through a router: in by one wire, out by another.
//!
//! What is seen is what left, with a time to live that is one less, and what came back. Not here: packets that the lab's server
//! takes for its own.

use std::net::IpAddr;

use sockc_compiler::decide::before;
use sockc_compiler::event::{Header, Parsed};
use sockc_compiler::policy::ClassId;
use sockc_runtime::lab::{BPFFS, Error, Netlink, Reply};
use sockc_runtime::{Options, not_local};

use super::wires::Way;
use super::{Case, Seen, Stage, frame, is_ordinary, ports, whole};
use crate::verbs::trial::around;

impl Stage<'_> {
    /// Plays a case of a packet that passes through.
    pub(super) fn passing(
        &mut self,
        classes @ [came_in, leaves]: [ClassId; 2],
        case: &Case,
    ) -> Result<Seen, Error> {
        let (Some(Parsed::Ip(header)), Some(arriving)) = (case.event.packet(), before(&case.event))
        else {
            return Ok(Seen::NotSent(
                "a router passes only whole packets of IP on".into(),
            ));
        };
        let Some(packet) = arriving.packet() else {
            return Ok(Seen::NotSent("it came in nowhere".into()));
        };
        let sent = frame::bytes(packet);
        let obstacle = [came_in, leaves]
            .into_iter()
            .find_map(|class| self.obstacle(class, packet, &sent));
        if let Some(reason) = obstacle.or_else(|| self.stops(case, header)) {
            return Ok(Seen::NotSent(reason));
        }
        let Some(way) = self.wires.way(classes) else {
            let reason =
                "the lab has one interface of those, and a packet passes from one to another";
            return Ok(Seen::NotSent(reason.into()));
        };
        self.clear()?;
        self.route(way, header, true)?;
        let seen = self.through(way, header, &sent);
        self.route(way, header, false)?;
        seen
    }

    /// Why a router does not pass it on, whatever `forward` says; or why it gets to no wire though that lets it go.
    fn stops(&self, case: &Case, header: &Header) -> Option<String> {
        let ends = [header.from, header.to];
        if ends.into_iter().any(|end| !is_routed(end)) || header.from == header.to {
            return Some("no router passes a packet with such addresses on".into());
        }
        if header.ttl == 0 || header.ttl == u8::MAX {
            return Some("no packet leaves a router with that time to live".into());
        }
        if header.vlan.is_some() {
            return Some("the lab's router has no interface for that VLAN".into());
        }
        let stopped = around::arriving(self.policy, case);
        stopped.or_else(|| around::leaving(self.policy, case))
    }

    /// Has the server pass on what is for the receiver, by the last wire of the way, and reach the sender by the first one; or
    /// takes that away.
    fn route(&self, way: Way, header: &Header, there: bool) -> Result<(), Error> {
        self.lab.pass_on(there)?;
        let ends = [header.from, header.to].into_iter();
        let ways: Vec<(IpAddr, &str)> = ends.zip(self.wires.names(way)).collect();
        self.lab.server.run(|| {
            let mut netlink = Netlink::open()?;
            ways.into_iter().try_for_each(|(end, name)| match there {
                true => netlink.route(end, whole(end), name),
                false => netlink.remove_route(end, whole(end), name),
            })
        })?
    }

    /// What becomes of it.
    fn through(&mut self, way: Way, header: &Header, sent: &[u8]) -> Result<Seen, Error> {
        let options = Options {
            bpffs: BPFFS.into(),
            ..Options::default()
        };
        let ends = [header.from, header.to];
        let strange = self.lab.server.run(|| not_local(&options, &ends))?;
        if !strange.is_ok_and(|strange| strange.len() == ends.len()) {
            let reason =
                "one of its addresses is the lab's own, so it is no packet that passes through";
            return Ok(Seen::NotSent(reason.into()));
        }
        let leaves = frame::bytes(&Parsed::Ip(header.clone()));
        self.wires.clear()?;
        let seen = self.wires.pass(way, sent)?;
        if seen.left.contains(&leaves) {
            return Ok(Seen::Passed);
        }
        if let Some(port) = self.wires.left_by(&leaves)? {
            return Ok(Seen::Forwarded(port));
        }
        let (from, to) = ports(header).unwrap_or_default();
        let mut replies = seen
            .came_back
            .iter()
            .filter_map(|frame| Reply::read(frame, header.to, header.from, (to, from)));
        let refused = replies.any(|reply| matches!(reply, Reply::Reset | Reply::Unreachable));
        Ok(if refused {
            Seen::Answered
        } else {
            Seen::Dropped
        })
    }
}

/// Whether a router passes on what has this address: one that is only for a link goes no further.
fn is_routed(address: IpAddr) -> bool {
    let of_link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_ordinary(address) && !of_link
}
