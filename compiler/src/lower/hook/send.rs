//! sk_msg: its context has the connection, whose local side is the sender. The kernel runs it in the writing process
//! (`sk_psock_msg_verdict`), which a preemptible kernel may take off its CPU.

use super::{Code, Place, address, context, stack};
use crate::bpf::opcode::Width;
use crate::field::Field;
use crate::ir::Slot;
use crate::log::offset;
use crate::lower::Lowering;
use crate::lower::context::msg;
use crate::policy::Family;

pub(super) static CODE: Code = Code {
    open: |lowering| lowering.open_send(),
    field,
    size: |_| context(msg::SIZE, Width::W, 0),
    noted: &[(msg::SIZE, offset::LENGTH)],
    preemptible: true,
    reach: None,
};

fn field(lowering: &Lowering<'_>, field: Field, family: Family) -> Option<Place> {
    if let Some(door) = &lowering.door {
        return at_door(door.own, field);
    }
    let (from, to) = match family {
        Family::V4 => (msg::LOCAL_IP4, msg::REMOTE_IP4),
        Family::V6 => (msg::LOCAL_IP6, msg::REMOTE_IP6),
    };
    match field {
        Field::FromPort => context(msg::LOCAL_PORT, Width::W, 0),
        Field::ToPort => context(msg::REMOTE_PORT, Width::W, 32),
        _ => context(address(field, from, to)?, Width::W, 32),
    }
}

/// The sock_ops program of a group reads what it has put into the connection's own key, whose ports are in host order.
fn at_door(own: Slot, field: Field) -> Option<Place> {
    match field {
        Field::FromPort => stack(own, 32, Width::W, 0),
        Field::ToPort => stack(own, 36, Width::W, 0),
        _ => stack(own, address(field, 0, 16)?, Width::W, 32),
    }
}
