//! Questions that small maps answer which the runtime fills: the id of a named network namespace, the class of the
//! interface that a lookup's packet came in by.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Value};
use crate::policy::NetnsId;

use super::Lowering;
use super::context::lookup;

impl Lowering<'_> {
    /// Leaves the id of a namespace in its slot; to `none` while the runtime knows no such namespace. A value of the map
    /// `namespaces` is one more than the id.
    pub(super) fn namespace(&mut self, map: MapId, netns: NetnsId, none: Block) {
        let index = self
            .builder
            .fit(netns.as_u32(), "the number of a namespace");
        self.builder.set_slot(self.frame.key, 0, index, Width::W);
        let found = self.found(map, none);
        self.builder.load_to(found, found, 0, Width::W);
        self.builder.leave_if(found, JumpOp::Eq, 0, none);
        self.builder.alu(found, AluOp::Sub, 1);
        self.builder
            .store_slot(self.frame.netns, 0, found, Width::W);
    }

    /// The class of the interface by which the packet of a lookup came in; one that is not in the map `interfaces` is in
    /// class 0. A value of the map is one more than the class, as the answer is.
    pub(super) fn find_interface(&mut self, map: MapId, entry: Block, done: Block) {
        let plain = self.answered(0, done);
        self.builder.enter(entry);
        let index = self
            .builder
            .load(self.registers.context, lookup::INGRESS_IFINDEX, Width::W);
        self.builder.store_slot(self.frame.key, 0, index, Width::W);
        let found = self.found(map, plain);
        let class = self.builder.load(found, 0, Width::W);
        self.builder
            .store_slot(self.frame.answer, 0, class, Width::W);
        self.builder.jump(done);
    }

    /// The value of a map for the key in the slot `key`, else to `none`.
    pub(super) fn found(&mut self, map: MapId, none: Block) -> Value {
        let args = [Arg::Map(map), Arg::SlotAddress(self.frame.key)];
        let value = self.builder.call_value(Helper::MapLookupElem, &args);
        self.builder.leave_if_wide(value, JumpOp::Eq, 0, none);
        value
    }
}
