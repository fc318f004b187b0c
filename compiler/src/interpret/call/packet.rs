//! Helpers that rewrite a packet or send it elsewhere.

use super::status;
use crate::artifact::Section;
use crate::bpf::constant::{
    BPF_ADJ_ROOM_MAC, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_ADJ_ROOM_NO_CSUM_RESET,
    BPF_F_INGRESS, BPF_F_INVALIDATE_HASH, BPF_F_RECOMPUTE_CSUM, ETH_P_IP, ETH_P_IPV6,
    TC_ACT_REDIRECT, TC_ACT_SHOT, XDP_ABORTED, XDP_REDIRECT,
};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::Register;
use crate::interpret::buffer::ETHERNET;
use crate::interpret::fault::FaultKind;
use crate::interpret::map::Errno;
use crate::interpret::value::Value;
use crate::interpret::{Forward, Machine, alu};

/// The maximum number of bytes that `bpf_skb_adjust_room` opens or closes.
const MAX_ROOM: usize = 0xfff;

impl Machine<'_> {
    /// `bpf_skb_store_bytes`
    pub(super) fn store_bytes(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let length = self.length_argument(Register::R4)?;
        let bytes = self.bytes_off_packet(Register::R3, length)?;
        let offset = self.packet_offset(Register::R2)?;
        let known = BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH;
        if self.has_other_flags(Register::R5, known)? {
            return self.refused(Errno::EINVAL);
        }
        let Some(offset) = offset else {
            return self.refused(Errno::EFAULT);
        };
        let place = self.packet.writable(offset, length);
        Ok(status(place.map(|place| place.copy_from_slice(&bytes))))
    }

    /// `bpf_skb_load_bytes`: what cannot be read is zeros.
    pub(super) fn load_bytes(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let length = self.length_argument(Register::R4)?;
        let to = self.off_packet(Register::R3)?;
        let range = self.packet_offset(Register::R2)?;
        let range = range.and_then(|start| Some(start..start.checked_add(length)?));
        let found = range.and_then(|range| self.packet.bytes().get(range));
        let result = found.map(|_| ()).ok_or(Errno::EFAULT);
        let bytes = found.map_or_else(|| vec![0; length], <[u8]>::to_vec);
        self.write_bytes(to, &bytes)?;
        Ok(status(result))
    }

    /// `bpf_skb_change_tail`
    pub(super) fn change_tail(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let length = usize::try_from(alu::low(self.scalar(Register::R2)?));
        if self.has_other_flags(Register::R3, 0)? {
            return self.refused(Errno::EINVAL);
        }
        let length = length.unwrap_or(usize::MAX);
        Ok(status(self.packet.change_tail(length)))
    }

    /// `bpf_skb_change_head`
    pub(super) fn change_head(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let amount = usize::try_from(alu::low(self.scalar(Register::R2)?));
        if self.has_other_flags(Register::R3, 0)? {
            return self.refused(Errno::EINVAL);
        }
        let amount = amount.unwrap_or(usize::MAX);
        Ok(status(self.packet.insert(0, amount)))
    }

    /// `bpf_skb_adjust_room`: the order of the tests is the kernel's. Flags that add tunnel headers are left out.
    pub(super) fn adjust_room(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let delta = alu::low(self.scalar(Register::R2)?).cast_signed();
        let mode = alu::low(self.scalar(Register::R3)?).cast_signed();
        let known = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
        if self.has_other_flags(Register::R4, known)? {
            return Err(FaultKind::Unsupported("a tunnel flag"));
        }
        self.packet.void();
        let amount = usize::try_from(delta.unsigned_abs()).unwrap_or(usize::MAX);
        let header = match self.context.ethertype() {
            ETH_P_IP => 20,
            ETH_P_IPV6 => 40,
            _ if amount > MAX_ROOM => return self.refused(Errno::EFAULT),
            _ => return self.refused(Errno::ENOTSUPP),
        };
        let offset = match mode {
            _ if amount > MAX_ROOM => return self.refused(Errno::EFAULT),
            BPF_ADJ_ROOM_NET => ETHERNET + header,
            BPF_ADJ_ROOM_MAC => ETHERNET,
            _ => return self.refused(Errno::ENOTSUPP),
        };
        if delta >= 0 {
            return Ok(status(self.packet.insert(offset, amount)));
        }
        let rest = self.packet.bytes().len().checked_sub(ETHERNET + amount);
        if rest.is_none_or(|rest| rest < header) {
            return self.refused(Errno::ENOTSUPP);
        }
        Ok(status(self.packet.remove(offset, amount)))
    }

    /// `bpf_xdp_adjust_head`, `bpf_xdp_adjust_tail`
    pub(super) fn adjust_frame(&mut self, helper: Helper) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let delta = alu::low(self.scalar(Register::R2)?).cast_signed();
        Ok(status(match helper {
            Helper::XdpAdjustHead => self.packet.adjust_head(delta),
            _ => self.packet.adjust_tail(delta),
        }))
    }

    /// `bpf_redirect`: at XDP there are no flags, at TC only the one to arrive.
    pub(super) fn redirect(&mut self) -> Result<Value, FaultKind> {
        let ifindex = alu::low(self.scalar(Register::R1)?);
        let flags = self.scalar(Register::R2)?;
        let ingress = flags == u64::from(BPF_F_INGRESS.cast_unsigned());
        let (goes, stays, known) = match self.program.section {
            Section::Xdp => (XDP_REDIRECT, XDP_ABORTED, flags == 0),
            _ => (TC_ACT_REDIRECT, TC_ACT_SHOT, flags == 0 || ingress),
        };
        let code = if known {
            self.forwarded = Some(Forward { ifindex, ingress });
            goes
        } else {
            stays
        };
        Ok(Value::Scalar(i64::from(code).cast_unsigned()))
    }

    /// `bpf_redirect_neigh`, to whom the routing table says.
    pub(super) fn redirect_neigh(&mut self) -> Result<Value, FaultKind> {
        let ifindex = alu::low(self.scalar(Register::R1)?);
        let mut others = [Register::R2, Register::R3, Register::R4].into_iter();
        if others.try_fold(false, |any, one| Ok(any || self.scalar(one)? != 0))? {
            return Ok(Value::Scalar(i64::from(TC_ACT_SHOT).cast_unsigned()));
        }
        self.forwarded = Some(Forward {
            ifindex,
            ingress: false,
        });
        Ok(Value::Scalar(i64::from(TC_ACT_REDIRECT).cast_unsigned()))
    }

    /// `bpf_clone_redirect`
    pub(super) fn clone_redirect(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let ifindex = alu::low(self.scalar(Register::R2)?);
        if self.has_other_flags(Register::R3, BPF_F_INGRESS)? {
            return self.refused(Errno::EINVAL);
        }
        let ingress = self.scalar(Register::R3)? != 0;
        self.packet.void();
        let copy = self.packet.bytes().to_vec();
        self.clones.push((Forward { ifindex, ingress }, copy));
        Ok(status(Ok(())))
    }

    /// An offset into the packet; `None` beyond `INT_MAX`, which the helpers refuse.
    pub(super) fn packet_offset(&self, register: Register) -> Result<Option<usize>, FaultKind> {
        let offset = alu::low(self.scalar(register)?).cast_signed();
        Ok(usize::try_from(offset).ok())
    }

    /// Whether flags are set besides the known ones.
    pub(super) fn has_other_flags(
        &self,
        register: Register,
        known: i32,
    ) -> Result<bool, FaultKind> {
        Ok(self.scalar(register)? & !u64::from(known.cast_unsigned()) != 0)
    }

    /// An error of a helper that voids packet pointers even when it refuses.
    pub(super) fn refused(&mut self, errno: Errno) -> Result<Value, FaultKind> {
        self.packet.void();
        Ok(status(Err(errno)))
    }
}
