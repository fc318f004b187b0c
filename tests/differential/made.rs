//! A world whose answers are numbers drawn from the packet, so that every engine gets the same.
//!
//! Not here: the sockets of flows, which the caller makes up or opens.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use sockc_compiler::event::{Header, SocketAnswer, World};
use sockc_compiler::policy::{
    Direction, Family, LiveMapId, NetnsId, Policy, RuleId, SetId, SocketId,
};
use sockc_compiler::protocol::IpProtocol;

use crate::world::{Flow, There};

/// The answers about one policy.
pub(crate) struct Made<'a> {
    pub(crate) seed: u64,
    pub(crate) policy: &'a Policy,
    pub(crate) answers: &'a dyn Fn(Flow) -> SocketAnswer,
    pub(crate) there: There,
}

impl Made<'_> {
    fn draw(&self, of: impl Hash, ways: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, of).hash(&mut hasher);
        hasher.finish() % ways
    }
}

impl World for Made<'_> {
    /// Another namespace is the same for half of the flows.
    fn socket(
        &self,
        direction: Direction,
        netns: Option<NetnsId>,
        header: &Header,
    ) -> SocketAnswer {
        let Some(flow) = Flow::of(header) else {
            return SocketAnswer::None;
        };
        let flow = match direction {
            Direction::Out => flow.reversed(),
            _ => flow,
        };
        match netns {
            Some(netns) if self.draw((netns, flow), 2) == 0 => SocketAnswer::Established,
            _ => (self.answers)(flow),
        }
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.there.any(socket, family, protocol)
    }

    fn holds(&self, socket: SocketId, family: Family, protocol: IpProtocol, member: u32) -> bool {
        self.there.has(&(socket, family, protocol, member))
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.draw((set, address), 2) == 0
    }

    fn entry(&self, map: LiveMapId, header: &Header) -> Option<SocketId> {
        let sockets = self.policy.sockets.len() as u64;
        let drawn = self.draw((map, header.to, header.protocol), sockets + 1);
        self.policy.sockets.keys().nth(drawn as usize)
    }

    fn conforms(&self, rule: RuleId, header: &Header) -> bool {
        self.draw((rule, header), 2) == 0
    }
}

/// The same world, which remembers whose tokens were taken.
pub(crate) struct Metered<'a> {
    world: &'a dyn World,
    taken: RefCell<BTreeSet<RuleId>>,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(world: &'a dyn World) -> Self {
        Self {
            world,
            taken: RefCell::default(),
        }
    }

    /// The rules that the packet fitted in when it was asked.
    pub(crate) fn taken(self) -> BTreeSet<RuleId> {
        self.taken.into_inner()
    }
}

impl World for Metered<'_> {
    fn socket(
        &self,
        direction: Direction,
        netns: Option<NetnsId>,
        header: &Header,
    ) -> SocketAnswer {
        self.world.socket(direction, netns, header)
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.world.present(socket, family, protocol)
    }

    fn holds(&self, socket: SocketId, family: Family, protocol: IpProtocol, member: u32) -> bool {
        self.world.holds(socket, family, protocol, member)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.world.member(set, address)
    }

    fn entry(&self, map: LiveMapId, header: &Header) -> Option<SocketId> {
        self.world.entry(map, header)
    }

    fn conforms(&self, rule: RuleId, header: &Header) -> bool {
        let fits = self.world.conforms(rule, header);
        if fits {
            self.taken.borrow_mut().insert(rule);
        }
        fits
    }
}
