//! Numbers of the kernel's interface that programs hold as immediates: flags, return codes, states.
//!
//! Taken from `linux/bpf.h`, `linux/if_ether.h` and `linux/in.h`. Opcodes are in `opcode`, limits in `limits`.

/// Source register value in a 64-bit immediate: the immediate is a map.
pub(crate) const PSEUDO_MAP_FD: u8 = 1;
/// Source register value in a 64-bit immediate: the address of a map's first value, plus the second half's immediate.
pub(crate) const PSEUDO_MAP_VALUE: u8 = 2;
/// Source register value in a call: a function of the same program.
pub(crate) const PSEUDO_CALL: u8 = 1;

/// Map update: create or replace.
pub(crate) const BPF_ANY: i32 = 0;
/// Map update: create only.
pub const BPF_NOEXIST: i32 = 1;
/// Map update: replace only.
pub(crate) const BPF_EXIST: i32 = 2;
/// Map flag: no preallocation (socket storage must have it).
pub const BPF_F_NO_PREALLOC: u32 = 1;
/// Map flag: an array that a process can have in its own memory (since Linux 5.5).
pub const BPF_F_MMAPABLE: u32 = 1 << 10;
/// Map flag: programs only read.
pub(crate) const BPF_F_RDONLY_PROG: u32 = 1 << 7;
/// Redirect of a message: to the other socket's receive queue.
pub const BPF_F_INGRESS: i32 = 1;
/// Socket lookup: the network namespace of the context. All 64 bits are set: a zero-extended 32-bit value finds nothing.
pub const BPF_F_CURRENT_NETNS: i64 = -1;
/// `bpf_sk_storage_get`: create the storage if the socket has none.
pub(crate) const BPF_SK_STORAGE_GET_F_CREATE: i32 = 1;
/// `bpf_sk_assign` at sk_lookup: replace an earlier choice.
pub(crate) const BPF_SK_LOOKUP_F_REPLACE: i32 = 1;
/// `bpf_sk_assign` at sk_lookup: exactly this socket, no spreading over its reuseport group.
pub(crate) const BPF_SK_LOOKUP_F_NO_REUSEPORT: i32 = 2;

/// `bpf_ringbuf_output`: does not wake the reader.
pub(crate) const BPF_RB_NO_WAKEUP: i32 = 1;
/// `bpf_ringbuf_output`: wakes the reader.
pub(crate) const BPF_RB_FORCE_WAKEUP: i32 = 2;
/// What `bpf_perf_event_output` says, as a negative number, of a ring without room.
pub(crate) const ENOSPC: i32 = 28;
/// `bpf_perf_event_output`: the bits of the flags that hold a processor, and those for the one that asks.
pub(crate) const BPF_F_INDEX_MASK: u64 = 0xffff_ffff;
/// The processor that asks.
pub(crate) const BPF_F_CURRENT_CPU: u64 = BPF_F_INDEX_MASK;
/// The bits that hold how many bytes of the packet are taken.
pub(crate) const BPF_F_CTXLEN_MASK: u64 = 0xf_ffff << 32;
/// `bpf_skb_store_bytes`: mends a checksum that the interface computed over the packet.
pub(crate) const BPF_F_RECOMPUTE_CSUM: i32 = 1;
/// `bpf_skb_store_bytes`: the flow hash is void.
pub(crate) const BPF_F_INVALIDATE_HASH: i32 = 2;
/// `bpf_l4_csum_replace`: the field is part of the pseudo header.
pub const BPF_F_PSEUDO_HDR: i32 = 1 << 4;
/// `bpf_l4_csum_replace`: a checksum of 0 means none and stays, as for UDP.
pub const BPF_F_MARK_MANGLED_0: i32 = 1 << 5;
/// `bpf_l4_csum_replace`: a checksum of 0 is one.
pub(crate) const BPF_F_MARK_ENFORCE: i32 = 1 << 6;
/// `bpf_l3_csum_replace`, `bpf_l4_csum_replace`: the bits of the flags that hold the field's size, 0 for a difference.
pub(crate) const BPF_F_HDR_FIELD_MASK: i32 = 0xf;
/// `bpf_skb_adjust_room`: after the network header.
pub const BPF_ADJ_ROOM_NET: i32 = 0;
/// `bpf_skb_adjust_room`: after the Ethernet header.
pub const BPF_ADJ_ROOM_MAC: i32 = 1;
/// `bpf_skb_adjust_room`: segments keep their size.
pub(crate) const BPF_F_ADJ_ROOM_FIXED_GSO: i32 = 1;
/// `bpf_skb_adjust_room`: the interface's checksum stays.
pub(crate) const BPF_F_ADJ_ROOM_NO_CSUM_RESET: i32 = 1 << 5;

/// XDP: an error of the program; away.
pub const XDP_ABORTED: i32 = 0;
/// XDP: away.
pub const XDP_DROP: i32 = 1;
/// XDP: on to the stack.
pub const XDP_PASS: i32 = 2;
/// XDP: out of the interface it came in by.
pub const XDP_TX: i32 = 3;
/// XDP: where `bpf_redirect` said.
pub const XDP_REDIRECT: i32 = 4;
/// TC: away.
pub const TC_ACT_SHOT: i32 = 2;
/// TC: where `bpf_redirect` said.
pub const TC_ACT_REDIRECT: i32 = 7;
/// TCX: the next program, and the stack if there is none.
pub(crate) const TCX_NEXT: i32 = -1;
/// sk_lookup and sk_msg: refuse.
pub(crate) const SK_DROP: i32 = 0;
/// sk_lookup and sk_msg: go on.
pub const SK_PASS: i32 = 1;

/// Put into a map of sockets: it is in one already whose programs are of the same kind, or a call is at work on it.
pub(crate) const EBUSY: i32 = 16;

/// `AF_INET`
pub const AF_INET: i32 = 2;
/// `AF_INET6`
pub const AF_INET6: i32 = 10;

/// EtherType of IPv4.
pub const ETH_P_IP: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETH_P_IPV6: u16 = 0x86dd;
/// EtherType of a VLAN tag.
pub(crate) const ETH_P_8021Q: u16 = 0x8100;
/// EtherType of a service VLAN tag.
pub(crate) const ETH_P_8021AD: u16 = 0x88a8;

/// The EtherTypes of IPv4 and of IPv6 as a program loads them from a frame, in memory order.
pub(crate) const IP_TYPES: [i32; 2] = [in_memory(ETH_P_IP), in_memory(ETH_P_IPV6)];
/// Those of VLAN tags likewise.
pub(crate) const VLAN_TYPES: [i32; 2] = [in_memory(ETH_P_8021Q), in_memory(ETH_P_8021AD)];
/// Length of a VLAN tag (IEEE 802.1Q), in bytes.
pub(crate) const VLAN_HLEN: i32 = 4;

/// Two bytes in network order, loaded by a little-endian machine.
const fn in_memory(kind: u16) -> i32 {
    kind.swap_bytes() as i32
}

/// sock_ops: our connect succeeded.
pub(crate) const BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB: i32 = 4;
/// sock_ops: a connection was accepted.
pub(crate) const BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB: i32 = 5;
/// sock_ops: a socket begins to listen.
pub(crate) const BPF_SOCK_OPS_TCP_LISTEN_CB: i32 = 11;
/// sock_ops callback: the socket gets another state, which is its second argument.
pub const BPF_SOCK_OPS_STATE_CB: i32 = 10;
/// That a socket calls by it.
pub(crate) const BPF_SOCK_OPS_STATE_CB_FLAG: i32 = 1 << 2;

/// The level of a setsockopt(2) that is for TCP.
pub const IPPROTO_TCP: i32 = 6;
/// `IPPROTO_UDP` of `netinet/in.h`.
pub const IPPROTO_UDP: i32 = 17;
/// Its option that says for how many milliseconds data may stay unconfirmed until the connection is given up.
pub(crate) const TCP_USER_TIMEOUT: i32 = 18;
/// Its option that puts another protocol between the process and TCP.
pub const TCP_ULP: i32 = 31;
/// The smallest page there is. Of a longer value of an option a program sees a page, and older kernels (5.10) then refuse the call
/// with EFAULT, unless the program says by a length of 0 that the kernel shall take the value from the process
/// (`__cgroup_bpf_run_filter_setsockopt` of kernel/bpf/cgroup.c).
pub const SMALLEST_PAGE: i32 = 4096;

/// Socket state: TCP past the handshake, UDP connected.
pub(crate) const TCP_ESTABLISHED: i32 = 1;
/// Socket state: unconnected UDP.
pub(crate) const TCP_CLOSE: i32 = 7;
/// Socket state: TCP whose other side has ended.
pub(crate) const TCP_CLOSE_WAIT: i32 = 8;
/// Socket state: a listener.
pub(crate) const TCP_LISTEN: i32 = 10;
/// A handshake that is not finished on our side.
pub(crate) const NEW_SYN_RECV: i32 = 12;
