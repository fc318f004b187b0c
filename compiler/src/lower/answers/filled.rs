//! Questions that small maps answer which the runtime fills: the id of a named network namespace, the class of the
//! interface that a lookup's packet came in by.

use crate::artifact::MapId;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Block, Builder};
use crate::policy::NetnsId;

use super::{Answers, Way};

impl Answers<'_> {
    /// Leaves the id of a namespace in its slot; to `none` while the runtime knows no such namespace. A value of the map
    /// `namespaces` is one more than the id.
    pub(super) fn namespace(&self, builder: &mut Builder, map: MapId, netns: NetnsId, none: Block) {
        let index = builder.fit(netns.as_u32(), "the number of a namespace");
        builder.set_slot(self.given.frame.key, 0, index, Width::W);
        let found = self.given.found(builder, map, none);
        builder.load_to(found, found, 0, Width::W);
        builder.leave_if(found, JumpOp::Eq, 0, none);
        builder.alu(found, AluOp::Sub, 1);
        builder.store_slot(self.given.frame.netns, 0, found, Width::W);
    }

    /// The class of the interface by which the packet of a lookup came in; one that is not in the map `interfaces` is in
    /// class 0. A value of the map is one more than the class, as the answer is.
    pub(super) fn find_interface(&self, builder: &mut Builder, map: MapId, way: Way) {
        let plain = self.answered(builder, 0, way.done);
        builder.enter(way.entry);
        let Some(came_in) = self.given.code().came_in else {
            return builder.bug("the interface is asked for where the context does not say it");
        };
        let index = builder.load(self.given.context, came_in, Width::W);
        builder.store_slot(self.given.frame.key, 0, index, Width::W);
        let found = self.given.found(builder, map, plain);
        let class = builder.load(found, 0, Width::W);
        builder.store_slot(self.given.frame.answer, 0, class, Width::W);
        builder.jump(way.done);
    }
}
