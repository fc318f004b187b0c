//! The kernel helpers that programs call, by number and name.
//!
//! Numbers are the order of `__BPF_FUNC_MAPPER` in `linux/bpf.h` and never change. Which hook may call which helper is
//! not here: that is the hook's own table. Linux 5.10 has every one, unless it says otherwise.

listed! {
    /// A kernel helper.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Helper:
        /// Every helper with its number and name.
        (u32, &'static str)
    {
        /// `(map, key) -> value or NULL`
        MapLookupElem = (1, "bpf_map_lookup_elem"),
        /// `(map, key, value, flags) -> 0 or -errno`
        MapUpdateElem = (2, "bpf_map_update_elem"),
        /// `(map, key) -> 0 or -errno`
        MapDeleteElem = (3, "bpf_map_delete_elem"),
        /// `() -> nanoseconds since boot`
        KtimeGetNs = (5, "bpf_ktime_get_ns"),
        /// `() -> a random number of 32 bits`
        GetPrandomU32 = (7, "bpf_get_prandom_u32"),
        /// `(skb, offset, bytes, length, flags) -> 0 or -errno`: TC. Overwrites the packet; packet pointers are void
        /// afterwards.
        SkbStoreBytes = (9, "bpf_skb_store_bytes"),
        /// `(skb, offset, from, to, flags) -> 0 or -errno`: TC. Mends the checksum at an offset for a changed field of 2 or 4
        /// bytes, or by a difference in `to`; packet pointers are void afterwards.
        L3CsumReplace = (10, "bpf_l3_csum_replace"),
        /// `(skb, offset, from, to, flags) -> 0 or -errno`: TC. The same where the checksum covers a pseudo header or may be
        /// absent.
        L4CsumReplace = (11, "bpf_l4_csum_replace"),
        /// `(ctx, program array, index)`: does not come back when it succeeds.
        TailCall = (12, "bpf_tail_call"),
        /// `(skb, ifindex, flags) -> 0 or -errno`: TC. Sends a copy; packet pointers are void afterwards.
        CloneRedirect = (13, "bpf_clone_redirect"),
        /// `(ifindex, flags) -> TC_ACT_REDIRECT or XDP_REDIRECT`: TC, XDP. Where the packet goes if that is returned.
        Redirect = (23, "bpf_redirect"),
        /// `(ctx, event array, bytes of the packet << 32 | processor, bytes, length) -> 0 or -errno`: TC, XDP. One event with those
        /// bytes and the packet's first ones after them.
        PerfEventOutput = (25, "bpf_perf_event_output"),
        /// `(skb, offset, to, length) -> 0 or -errno`: TC. Reads the packet, linear or not.
        SkbLoadBytes = (26, "bpf_skb_load_bytes"),
        /// `(from, from size, to, to size, seed) -> sum or -errno`: TC, XDP. What `to` in place of `from` adds to a checksum,
        /// before folding; sizes are multiples of 4, and 0 with NULL.
        CsumDiff = (28, "bpf_csum_diff"),
        /// `(skb, length, flags) -> 0 or -errno`: TC. Cuts the packet or appends zeros; packet pointers are void afterwards.
        SkbChangeTail = (38, "bpf_skb_change_tail"),
        /// `(skb, bytes) -> 0 or -errno`: makes that many bytes linear; packet pointers are void afterwards.
        SkbPullData = (39, "bpf_skb_pull_data"),
        /// `(skb, bytes, flags) -> 0 or -errno`: TC, from Linux 5.11 on. Puts zeros in front of the Ethernet header; packet
        /// pointers are void afterwards.
        SkbChangeHead = (43, "bpf_skb_change_head"),
        /// `(xdp ctx, delta) -> 0 or -errno`: XDP. Moves the packet's beginning; packet pointers are void afterwards.
        XdpAdjustHead = (44, "bpf_xdp_adjust_head"),
        /// `(skb or sock_ops) -> cookie of the socket that it is at`
        GetSocketCookie = (46, "bpf_get_socket_cookie"),
        /// `(sock_ops ctx, level, option, value, length) -> 0 or -errno`
        Setsockopt = (49, "bpf_setsockopt"),
        /// `(skb, delta, mode, flags) -> 0 or -errno`: TC and sk_skb. For sk_skb it opens or closes room where the data begins,
        /// with neither mode nor flags; at TC after the Ethernet header (mode 1) or the
        /// network header (mode 0); packet pointers are void afterwards.
        SkbAdjustRoom = (50, "bpf_skb_adjust_room"),
        /// `(device map, key, flags) -> XDP_REDIRECT or flags`: XDP.
        RedirectMap = (51, "bpf_redirect_map"),
        /// `(sk_skb ctx, SOCKMAP, index, flags) -> SK_PASS or SK_DROP`
        SkRedirectMap = (52, "bpf_sk_redirect_map"),
        /// `(sock_ops ctx, SOCKMAP, key, flags) -> 0 or -errno`
        SockMapUpdate = (53, "bpf_sock_map_update"),
        /// `(sock_ops ctx, callbacks) -> 0, or those that there are not`: says by which callbacks the socket calls.
        SockOpsCbFlagsSet = (59, "bpf_sock_ops_cb_flags_set"),
        /// `(sk_msg ctx, SOCKMAP, index, flags) -> SK_PASS or SK_DROP`
        MsgRedirectMap = (60, "bpf_msg_redirect_map"),
        /// `(xdp ctx, delta) -> 0 or -errno`: XDP. Moves the packet's end; packet pointers are void afterwards.
        XdpAdjustTail = (65, "bpf_xdp_adjust_tail"),
        /// `(sock_ops ctx, SOCKHASH, key, flags) -> 0 or -errno`
        SockHashUpdate = (70, "bpf_sock_hash_update"),
        /// `(sk_msg ctx, SOCKHASH, key, flags) -> SK_PASS or SK_DROP`
        MsgRedirectHash = (71, "bpf_msg_redirect_hash"),
        /// `(sk_skb ctx, SOCKHASH, key, flags) -> SK_PASS or SK_DROP`
        SkRedirectHash = (72, "bpf_sk_redirect_hash"),
        /// `(ctx, tuple, size, netns, flags) -> socket or NULL`: full sockets, TCP.
        SkLookupTcp = (84, "bpf_sk_lookup_tcp"),
        /// `(ctx, tuple, size, netns, flags) -> socket or NULL`: UDP.
        SkLookupUdp = (85, "bpf_sk_lookup_udp"),
        /// `(socket) -> 0`: gives the reference back.
        SkRelease = (86, "bpf_sk_release"),
        /// `(socket) -> the same as a full socket, or NULL`
        SkFullsock = (95, "bpf_sk_fullsock"),
        /// `(ctx, tuple, size, netns, flags) -> socket or NULL`: TCP with TIME_WAIT and request sockets.
        SkcLookupTcp = (99, "bpf_skc_lookup_tcp"),
        /// `(SK_STORAGE map, socket, initial value, flags) -> value or NULL`
        SkStorageGet = (107, "bpf_sk_storage_get"),
        /// `(SK_STORAGE map, socket) -> 0 or -errno`
        SkStorageDelete = (108, "bpf_sk_storage_delete"),
        /// `(to, length, kernel address) -> 0 or -errno`
        ProbeReadKernel = (113, "bpf_probe_read_kernel"),
        /// `(ctx) -> cookie of its network namespace`
        GetNetnsCookie = (122, "bpf_get_netns_cookie"),
        /// `(ctx, socket, flags) -> 0 or -errno`: the socket that takes this packet.
        SkAssign = (124, "bpf_sk_assign"),
        /// `(ifindex, parameters or NULL, their size, flags) -> TC_ACT_REDIRECT`: TC. Out of that interface to whom the routing
        /// table says, with the hardware addresses that takes.
        RedirectNeigh = (152, "bpf_redirect_neigh"),
        /// `(ring buffer, bytes, length, flags) -> 0 or -errno`: one record, or none if the ring is full.
        RingbufOutput = (130, "bpf_ringbuf_output"),
    }
}

impl Helper {
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
    pub(crate) fn from_number(number: u32) -> Option<Self> {
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
    fn numbers_come_back() {
        for (helper, number, _) in Helper::TABLE {
            assert_eq!(Helper::from_number(number), Some(helper));
        }
    }
}
