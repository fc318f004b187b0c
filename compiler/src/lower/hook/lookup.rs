//! sk_lookup: its context has addresses and ports; the remote side is the sender.

use super::{Code, Place, address, context};
use crate::bpf::opcode::Width;
use crate::field::Field;
use crate::lower::Lowering;
use crate::lower::context::lookup;
use crate::policy::Family;

pub(super) static CODE: Code = Code {
    open: |lowering| lowering.open_lookup(),
    field,
    size: |_| None,
    noted: &[],
    preemptible: false,
    reach: None,
};

fn field(_: &Lowering<'_>, field: Field, family: Family) -> Option<Place> {
    let (from, to) = match family {
        Family::V4 => (lookup::REMOTE_IP4, lookup::LOCAL_IP4),
        Family::V6 => (lookup::REMOTE_IP6, lookup::LOCAL_IP6),
    };
    match field {
        Field::Protocol => context(lookup::PROTOCOL, Width::W, 0),
        Field::FromPort => context(lookup::REMOTE_PORT, Width::H, 16),
        Field::ToPort => context(lookup::LOCAL_PORT, Width::W, 0),
        _ => context(address(field, from, to)?, Width::W, 32),
    }
}
