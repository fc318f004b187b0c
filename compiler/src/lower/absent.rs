//! The question whether a named socket is not there.

use crate::bpf::opcode::Width;
use crate::ir::Block;
use crate::policy::{Family, SocketId};

use super::Lowering;

impl Lowering<'_> {
    /// Looks into the slot for the packet's family and protocol; where there is none, the socket is absent.
    pub(super) fn find_absent(
        &mut self,
        socket: SocketId,
        entry: Block,
        family: Family,
        done: Block,
    ) {
        let present = self.answered(0, done);
        let absent = self.answered(1, done);
        self.builder.enter(entry);
        self.slot_key(socket, family, absent);
        self.slot_region(false, present, absent);
    }

    /// A block that leaves a value of a field as the answer (see `question::base`).
    pub(super) fn answered(&mut self, value: i32, done: Block) -> Block {
        let block = self.builder.block();
        self.builder.enter(block);
        self.builder
            .set_slot(self.frame.answer, 0, value + 1, Width::W);
        self.builder.jump(done);
        block
    }
}
