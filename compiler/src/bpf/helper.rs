//! The kernel helpers that programs call, by number and name.
//!
//! Numbers are the order of `__BPF_FUNC_MAPPER` in `linux/bpf.h` and never change. Which hook may call which helper is
//! not here: that is the hook's own table.

/// A kernel helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Helper {
    /// `(map, key) -> value or NULL`
    MapLookupElem,
    /// `(map, key, value, flags) -> 0 or -errno`
    MapUpdateElem,
    /// `(map, key) -> 0 or -errno`
    MapDeleteElem,
    /// `() -> nanoseconds since boot`
    KtimeGetNs,
    /// `(ctx, program array, index)`: does not come back when it succeeds.
    TailCall,
    /// `(skb, bytes) -> 0 or -errno`: makes that many bytes linear; packet pointers are void afterwards.
    SkbPullData,
    /// `(sock_ops ctx, SOCKMAP, key, flags) -> 0 or -errno`
    SockMapUpdate,
    /// `(sock_ops ctx, SOCKHASH, key, flags) -> 0 or -errno`
    SockHashUpdate,
    /// `(sk_msg ctx, SOCKHASH, key, flags) -> SK_PASS or SK_DROP`
    MsgRedirectHash,
    /// `(ctx, tuple, size, netns, flags) -> socket or NULL`: full sockets, TCP.
    SkLookupTcp,
    /// `(ctx, tuple, size, netns, flags) -> socket or NULL`: UDP.
    SkLookupUdp,
    /// `(socket) -> 0`: gives the reference back.
    SkRelease,
    /// `(ctx, tuple, size, netns, flags) -> socket or NULL`: TCP with TIME_WAIT and request sockets.
    SkcLookupTcp,
    /// `(SK_STORAGE map, socket, initial value, flags) -> value or NULL`
    SkStorageGet,
    /// `(ctx) -> cookie of its network namespace`
    GetNetnsCookie,
    /// `(ctx, socket, flags) -> 0 or -errno`: the socket that takes this packet.
    SkAssign,
}

impl Helper {
    /// Every helper with its number and name.
    pub const TABLE: [(Self, u32, &'static str); 16] = [
        (Self::MapLookupElem, 1, "bpf_map_lookup_elem"),
        (Self::MapUpdateElem, 2, "bpf_map_update_elem"),
        (Self::MapDeleteElem, 3, "bpf_map_delete_elem"),
        (Self::KtimeGetNs, 5, "bpf_ktime_get_ns"),
        (Self::TailCall, 12, "bpf_tail_call"),
        (Self::SkbPullData, 39, "bpf_skb_pull_data"),
        (Self::SockMapUpdate, 53, "bpf_sock_map_update"),
        (Self::SockHashUpdate, 70, "bpf_sock_hash_update"),
        (Self::MsgRedirectHash, 71, "bpf_msg_redirect_hash"),
        (Self::SkLookupTcp, 84, "bpf_sk_lookup_tcp"),
        (Self::SkLookupUdp, 85, "bpf_sk_lookup_udp"),
        (Self::SkRelease, 86, "bpf_sk_release"),
        (Self::SkcLookupTcp, 99, "bpf_skc_lookup_tcp"),
        (Self::SkStorageGet, 107, "bpf_sk_storage_get"),
        (Self::GetNetnsCookie, 122, "bpf_get_netns_cookie"),
        (Self::SkAssign, 124, "bpf_sk_assign"),
    ];

    /// Its number, the immediate of the call.
    #[must_use]
    pub fn number(self) -> u32 {
        Self::TABLE[self as usize].1
    }

    /// Its name in the kernel's manual.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE[self as usize].2
    }

    /// The helper with this number, if we use it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::TABLE
            .iter()
            .find(|row| row.1 == number)
            .map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_indexed_by_its_variants() {
        assert!(
            (0..)
                .zip(Helper::TABLE)
                .all(|(i, row)| row.0 as usize == i && Helper::from_number(row.1) == Some(row.0))
        );
    }
}
