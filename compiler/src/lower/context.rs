//! Offsets in the context of each program type (`linux/bpf.h`). They are part of the kernel's interface and never change.

use crate::bpf::opcode::{JumpOp, Width};
use crate::ir::{Block, Builder, Value};

/// `struct xdp_md`
pub(super) mod xdp {
    pub(in crate::lower) const DATA: i16 = 0;
    pub(in crate::lower) const DATA_END: i16 = 4;
    pub(in crate::lower) const INGRESS_IFINDEX: i16 = 12;
}

/// `struct __sk_buff`. Family, addresses and ports are those of the socket, in the byte orders of `sk_msg_md`, and for sk_skb only.
pub(super) mod skb {
    pub(in crate::lower) const LEN: i16 = 0;
    pub(in crate::lower) const PACKET_TYPE: i16 = 4;
    pub(in crate::lower) const MARK: i16 = 8;
    pub(in crate::lower) const VLAN_PRESENT: i16 = 20;
    pub(in crate::lower) const VLAN_TCI: i16 = 24;
    pub(in crate::lower) const VLAN_PROTO: i16 = 28;
    pub(in crate::lower) const INGRESS_IFINDEX: i16 = 36;
    pub(in crate::lower) const IFINDEX: i16 = 40;
    pub(in crate::lower) const DATA: i16 = 76;
    pub(in crate::lower) const DATA_END: i16 = 80;
    pub(in crate::lower) const FAMILY: i16 = 88;
    pub(in crate::lower) const REMOTE_IP4: i16 = 92;
    pub(in crate::lower) const LOCAL_IP4: i16 = 96;
    pub(in crate::lower) const REMOTE_IP6: i16 = 100;
    pub(in crate::lower) const LOCAL_IP6: i16 = 116;
    pub(in crate::lower) const REMOTE_PORT: i16 = 132;
    pub(in crate::lower) const LOCAL_PORT: i16 = 136;
    pub(in crate::lower) const GSO_SEGS: i16 = 164;
    pub(in crate::lower) const SK: i16 = 168;
}

/// `struct bpf_sock`
pub(super) mod sock {
    pub(in crate::lower) const PROTOCOL: i16 = 12;
    pub(in crate::lower) const STATE: i16 = 72;
}

/// `struct bpf_sk_lookup`: addresses and the remote port in network order, the local port in host order.
pub(super) mod lookup {
    pub(in crate::lower) const FAMILY: i16 = 8;
    pub(in crate::lower) const PROTOCOL: i16 = 12;
    pub(in crate::lower) const REMOTE_IP4: i16 = 16;
    pub(in crate::lower) const REMOTE_IP6: i16 = 20;
    pub(in crate::lower) const REMOTE_PORT: i16 = 36;
    pub(in crate::lower) const LOCAL_IP4: i16 = 40;
    pub(in crate::lower) const LOCAL_IP6: i16 = 44;
    pub(in crate::lower) const LOCAL_PORT: i16 = 60;
    /// Linux 5.17.
    pub(in crate::lower) const INGRESS_IFINDEX: i16 = 64;
}

/// `struct sk_msg_md`: addresses in network order, the remote port in network order in 32 bits, the local in host order.
pub(super) mod msg {
    pub(in crate::lower) const FAMILY: i16 = 16;
    pub(in crate::lower) const REMOTE_IP4: i16 = 20;
    pub(in crate::lower) const LOCAL_IP4: i16 = 24;
    pub(in crate::lower) const REMOTE_IP6: i16 = 28;
    pub(in crate::lower) const LOCAL_IP6: i16 = 44;
    pub(in crate::lower) const REMOTE_PORT: i16 = 60;
    pub(in crate::lower) const LOCAL_PORT: i16 = 64;
    pub(in crate::lower) const SIZE: i16 = 68;
    pub(in crate::lower) const SK: i16 = 72;
}

/// `struct bpf_sock_ops`: byte orders as in `sk_msg_md`.
pub(super) mod ops {
    pub(in crate::lower) const OP: i16 = 0;
    /// The second word of `args`: in a callback of states, the new one.
    pub(in crate::lower) const NEW_STATE: i16 = 8;
    pub(in crate::lower) const FAMILY: i16 = 20;
    pub(in crate::lower) const REMOTE_IP4: i16 = 24;
    pub(in crate::lower) const LOCAL_IP4: i16 = 28;
    pub(in crate::lower) const REMOTE_IP6: i16 = 32;
    pub(in crate::lower) const LOCAL_IP6: i16 = 48;
    pub(in crate::lower) const REMOTE_PORT: i16 = 64;
    pub(in crate::lower) const LOCAL_PORT: i16 = 68;
    pub(in crate::lower) const CALLBACKS: i16 = 84;
    pub(in crate::lower) const RCV_NXT: i16 = 100;
    pub(in crate::lower) const SND_NXT: i16 = 104;
    pub(in crate::lower) const SK: i16 = 184;
}

/// `struct bpf_sockopt`
pub(super) mod option {
    pub(in crate::lower) const LEVEL: i16 = 24;
    pub(in crate::lower) const NAME: i16 = 28;
    pub(in crate::lower) const LENGTH: i16 = 32;
}

/// `AF_INET`
pub(super) const AF_INET: i32 = 2;
/// `AF_INET6`
pub(super) const AF_INET6: i32 = 10;

/// The third word of an IPv4-mapped address (`::ffff:0:0/96`) in memory order.
const MAPPED: i32 = 0xffff_0000_u32.cast_signed();

/// Goes on in a fresh block if the address at `offset` is IPv4-mapped, else leaves to `otherwise`.
pub(super) fn mapped(builder: &mut Builder, context: Value, offset: i16, otherwise: Block) {
    for (word, expected) in [(0, 0), (4, 0), (8, MAPPED)] {
        let value = builder.load(context, offset + word, Width::W);
        builder.leave_if(value, JumpOp::Ne, expected, otherwise);
    }
}
