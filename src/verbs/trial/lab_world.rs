//! The lab's world, as the reference meaning asks about it: which sockets are there, what live sets hold.
//!
//! What it answers is what the kernel would, given the plain listeners of the policy's sockets, the socket held for the
//! packet at hand, and the redirects: a packet that a redirect would steer finds the socket it would be steered to.

use std::net::{IpAddr, SocketAddr};

use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, SocketAnswer, Transport, Verdict, World};
use sockc_compiler::packet::text::{Described as Case, DescribedWorld};
use sockc_compiler::policy::{
    ClassId, Direction, Family, LiveMapId, NetnsId, Policy, RuleId, SetId, SocketId,
};
use sockc_compiler::protocol::IpProtocol;

/// The lab as it is for one case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabWorld<'a> {
    policy: &'a Policy,
    case: &'a Case,
    held: SocketAnswer,
}

impl<'a> LabWorld<'a> {
    /// The world of a case: every named socket listens but those that it says are absent, and the socket that it asks for
    /// is there.
    pub(crate) fn of(policy: &'a Policy, case: &'a Case) -> Self {
        Self {
            policy,
            case,
            held: case.socket,
        }
    }

    /// The same with another socket held for the packet at hand.
    pub(crate) fn holding(self, held: SocketAnswer) -> Self {
        Self { held, ..self }
    }

    /// What the case says of all but its own namespace's sockets.
    fn described(&self) -> DescribedWorld<'a> {
        DescribedWorld::new(self.policy, self.case)
    }

    /// The class of the interface that the case is about.
    fn class(&self) -> ClassId {
        self.case.event.on().unwrap_or(Policy::plain_class())
    }

    /// What the kernel's lookup for a packet finds.
    pub(crate) fn answer(&self, direction: Direction, header: &Header) -> SocketAnswer {
        let Some(ends) = Ends::of(direction, header) else {
            return SocketAnswer::None;
        };
        if self.held == SocketAnswer::Established {
            return SocketAnswer::Established;
        }
        let arriving = match direction {
            Direction::Out => mirrored(header),
            _ => header.clone(),
        };
        match decide(
            self.policy,
            &Event::Lookup {
                class: self.class(),
                header: arriving,
            },
            self,
        )
        .verdict
        {
            Verdict::Redirect(_) => SocketAnswer::Listening,
            Verdict::Drop | Verdict::Reject => SocketAnswer::None,
            Verdict::Allow | Verdict::Shortcut(_) | Verdict::Feed(_) | Verdict::Forward(_)
                if self.held == SocketAnswer::Listening
                    || self.named_at(header.protocol, ends.local).is_some() =>
            {
                SocketAnswer::Listening
            }
            _ => SocketAnswer::None,
        }
    }

    /// The named socket that is bound to this address.
    pub(crate) fn named_at(&self, protocol: IpProtocol, local: SocketAddr) -> Option<SocketId> {
        self.policy.sockets.iter().find_map(|(id, socket)| {
            let bound = |listen: &sockc_compiler::policy::Listen| {
                listen.protocol == protocol
                    && listen.port == local.port()
                    && (listen.address == local.ip() || is_wildcard_for(listen.address, local.ip()))
            };
            let there = !self.case.absent.contains(&id)
                && socket.origin.listen().unwrap_or_default().iter().any(bound);
            there.then_some(id)
        })
    }
}

impl World for LabWorld<'_> {
    fn socket(
        &self,
        direction: Direction,
        netns: Option<NetnsId>,
        header: &Header,
    ) -> SocketAnswer {
        match netns {
            None => self.answer(direction, header),
            elsewhere => self.described().socket(direction, elsewhere, header),
        }
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.described().present(socket, family, protocol)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.described().member(set, address)
    }

    fn entry(&self, map: LiveMapId, header: &Header) -> Option<SocketId> {
        self.described().entry(map, header)
    }

    fn conforms(&self, rule: RuleId, header: &Header) -> bool {
        self.described().conforms(rule, header)
    }
}

/// The two ends of a flow, seen from the machine that the policy is in force on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Our own.
    pub(crate) local: SocketAddr,
    /// The peer's.
    pub(crate) remote: SocketAddr,
}

impl Ends {
    /// The ends of a TCP or UDP packet that has ports.
    pub(crate) fn of(direction: Direction, header: &Header) -> Option<Self> {
        let (from, to) = ports(header)?;
        if !header.has_socket() {
            return None;
        }
        let from = SocketAddr::new(header.from, from);
        let to = SocketAddr::new(header.to, to);
        Some(match direction {
            Direction::In => Self {
                local: to,
                remote: from,
            },
            _ => Self {
                local: from,
                remote: to,
            },
        })
    }
}

/// The sender's and the receiver's port.
pub(crate) fn ports(header: &Header) -> Option<(u16, u16)> {
    match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => Some((from, to)),
        Transport::None | Transport::Icmp { .. } => None,
    }
}

/// The packet that goes the other way.
fn mirrored(header: &Header) -> Header {
    let transport = match header.transport {
        Transport::Tcp { from, to, flags } => Transport::Tcp {
            from: to,
            to: from,
            flags,
        },
        Transport::Ports { from, to } => Transport::Ports { from: to, to: from },
        other => other,
    };
    Header {
        from: header.to,
        to: header.from,
        transport,
        ..header.clone()
    }
}

fn is_wildcard_for(listen: IpAddr, address: IpAddr) -> bool {
    listen.is_unspecified() && listen.is_ipv4() == address.is_ipv4()
}
