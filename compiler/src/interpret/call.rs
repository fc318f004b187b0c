//! Helper calls: which type of program may call what, and what each one does.

mod checksum;
mod packet;
mod sockets;

use super::Machine;
use super::fault::FaultKind;
use super::map::{Errno, is_read_only};
use super::value::Value;
use crate::artifact::{MapId, MapKind, Section};
use crate::bpf::constant::{
    BPF_F_CTXLEN_MASK, BPF_F_CURRENT_CPU, BPF_F_INDEX_MASK, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP,
};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::Register;

/// The types of program that may call a helper.
fn allowed(helper: Helper) -> &'static [Section] {
    use Section::{CgroupSkb, CgroupSkbOut, Classifier, SkLookup, SkMsg, SkSkb, SockOps, Xdp};
    match helper {
        Helper::MapLookupElem
        | Helper::MapUpdateElem
        | Helper::MapDeleteElem
        | Helper::KtimeGetNs
        | Helper::GetPrandomU32
        | Helper::RingbufOutput
        | Helper::TailCall => &Section::ALL,
        Helper::SkbPullData
        | Helper::SkbStoreBytes
        | Helper::SkbLoadBytes
        | Helper::SkbChangeTail
        | Helper::SkbChangeHead
        | Helper::L3CsumReplace
        | Helper::L4CsumReplace
        | Helper::CloneRedirect
        | Helper::RedirectNeigh => &[Classifier],
        Helper::SkbAdjustRoom => &[Classifier, SkSkb],
        Helper::XdpAdjustHead | Helper::XdpAdjustTail | Helper::RedirectMap => &[Xdp],
        Helper::Redirect | Helper::CsumDiff | Helper::PerfEventOutput => &[Xdp, Classifier],
        Helper::SockMapUpdate
        | Helper::SockHashUpdate
        | Helper::SockOpsCbFlagsSet
        | Helper::Setsockopt => &[SockOps],
        Helper::MsgRedirectHash | Helper::MsgRedirectMap => &[SkMsg],
        Helper::SkRedirectHash | Helper::SkRedirectMap | Helper::ProbeReadKernel => &[SkSkb],
        Helper::GetSocketCookie => &[Classifier, SkSkb, SockOps],
        Helper::SkLookupTcp | Helper::SkLookupUdp | Helper::SkcLookupTcp => &[Xdp, Classifier],
        Helper::SkRelease => &[Xdp, Classifier, SkLookup],
        Helper::SkStorageGet => &[Classifier, SkMsg, SockOps, CgroupSkbOut],
        Helper::GetNetnsCookie => &[Classifier, SkMsg, SockOps],
        Helper::SkFullsock => &[CgroupSkb, CgroupSkbOut],
        Helper::SkStorageDelete => &[SockOps],
        Helper::SkAssign => &[Classifier, SkLookup],
    }
}

impl Machine<'_> {
    /// Runs a helper: the result goes to R0, R1 to R5 are void.
    pub(super) fn call(&mut self, number: u32) -> Result<(), FaultKind> {
        let helper = Helper::from_number(number).ok_or(FaultKind::UnknownHelper(number))?;
        if !allowed(helper).contains(&self.program.section) {
            return Err(FaultKind::HelperNotAllowed(helper));
        }
        let result = self.answer(helper)?;
        self.context.set_length(&self.packet);
        for argument in [
            Register::R1,
            Register::R2,
            Register::R3,
            Register::R4,
            Register::R5,
        ] {
            self.registers[argument as usize] = None;
        }
        self.set(Register::R0, result)
    }

    fn answer(&mut self, helper: Helper) -> Result<Value, FaultKind> {
        match helper {
            Helper::MapLookupElem => self.map_lookup(),
            Helper::MapUpdateElem => self.map_update(),
            Helper::MapDeleteElem => self.map_delete(),
            Helper::KtimeGetNs => Ok(Value::Scalar(self.world.now())),
            Helper::TailCall => self.tail_call(),
            Helper::GetPrandomU32 => Ok(Value::Scalar(u64::from(self.world.random()))),
            Helper::RingbufOutput => self.ring_output(),
            Helper::PerfEventOutput => self.event_output(),
            Helper::SkbPullData => self.pull_data(),
            Helper::SkbStoreBytes => self.store_bytes(),
            Helper::SkbLoadBytes => self.load_bytes(),
            Helper::SkbChangeTail => self.change_tail(),
            Helper::SkbChangeHead => self.change_head(),
            Helper::SkbAdjustRoom if self.program.section == Section::Classifier => {
                self.adjust_room()
            }
            Helper::XdpAdjustHead | Helper::XdpAdjustTail => self.adjust_frame(helper),
            Helper::L3CsumReplace | Helper::L4CsumReplace => self.replace_checksum(helper),
            Helper::CsumDiff => self.checksum_difference(),
            Helper::Redirect => self.redirect(),
            Helper::RedirectNeigh => self.redirect_neigh(),
            Helper::CloneRedirect => self.clone_redirect(),
            // The kernel takes maps of devices, CPUs and AF_XDP sockets only, and we have none.
            Helper::RedirectMap => Err(FaultKind::UnknownMap),
            Helper::SockMapUpdate => self.socket_update(MapKind::SockMap),
            Helper::SockHashUpdate => self.socket_update(MapKind::SockHash),
            Helper::MsgRedirectHash => self.msg_redirect_hash(),
            Helper::MsgRedirectMap | Helper::SkRedirectMap => self.redirect_map(),
            // What came before on a socket is not known here, and no program of the tests splices.
            Helper::SkRedirectHash | Helper::ProbeReadKernel | Helper::SkbAdjustRoom => {
                Err(FaultKind::Unsupported("a socket that data arrives on"))
            }
            Helper::GetSocketCookie => self.cookie(),
            Helper::SockOpsCbFlagsSet => self.set_callbacks(),
            Helper::Setsockopt => self.set_option(),
            Helper::SkLookupTcp | Helper::SkLookupUdp | Helper::SkcLookupTcp => {
                self.socket_lookup(helper)
            }
            Helper::SkRelease => self.release(),
            Helper::SkStorageGet => self.storage(),
            Helper::SkStorageDelete => self.storage_delete(),
            Helper::GetNetnsCookie => {
                self.context_argument(Register::R1)?;
                Ok(Value::Scalar(self.world.netns_cookie()))
            }
            Helper::SkFullsock => self.full_socket(),
            Helper::SkAssign => self.assign(),
        }
    }

    /// Goes on with another program, which no array has here: what the runtime puts there is not known.
    fn tail_call(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let map = self.map_argument(Register::R2)?;
        self.scalar(Register::R3)?;
        match self.maps.spec(map)?.kind {
            MapKind::ProgArray => Ok(status(Err(Errno::ENOENT))),
            _ => Err(FaultKind::UnknownMap),
        }
    }

    fn map_lookup(&mut self) -> Result<Value, FaultKind> {
        let (map, key) = self.map_and_key(Register::R1, Register::R2)?;
        let kind = self.maps.spec(map)?.kind;
        match kind {
            MapKind::SockMap | MapKind::SockHash => Ok(match self.maps.socket(map, &key) {
                Some(model) => Value::Socket(self.ledger.take(model, true)),
                None => Value::Scalar(0),
            }),
            MapKind::SkStorage | MapKind::RingBuf | MapKind::PerfEventArray => {
                Err(FaultKind::UnknownMap)
            }
            _ => Ok(match self.maps.entry(map, &key) {
                Some(entry) => {
                    self.maps.touch(map, entry);
                    Value::Entry {
                        map,
                        entry,
                        offset: 0,
                    }
                }
                None => Value::Scalar(0),
            }),
        }
    }

    fn map_update(&mut self) -> Result<Value, FaultKind> {
        let (map, key) = self.map_and_key(Register::R1, Register::R2)?;
        let flags = self.scalar(Register::R4)?;
        let kind = self.changeable(map)?;
        if matches!(kind, MapKind::SockMap | MapKind::SockHash) {
            let (socket, _) = self.socket_argument(Register::R3)?;
            return Ok(status(self.maps.update_socket(map, &key, socket, flags)));
        }
        let value = self.value_argument(map, Register::R3)?;
        Ok(status(self.maps.update(map, &key, &value, flags)))
    }

    fn map_delete(&mut self) -> Result<Value, FaultKind> {
        let (map, key) = self.map_and_key(Register::R1, Register::R2)?;
        self.changeable(map)?;
        Ok(status(self.maps.delete(map, &key)))
    }

    /// The kind of a map, if programs may put something in or take it out by key.
    fn changeable(&self, map: MapId) -> Result<MapKind, FaultKind> {
        let spec = self.maps.spec(map)?;
        match spec.kind {
            MapKind::SkStorage | MapKind::RingBuf | MapKind::PerfEventArray => {
                Err(FaultKind::UnknownMap)
            }
            _ if is_read_only(spec) => Err(FaultKind::ReadOnly),
            kind => Ok(kind),
        }
    }

    fn ring_output(&mut self) -> Result<Value, FaultKind> {
        let map = self.map_argument(Register::R1)?;
        if self.maps.spec(map)?.kind != MapKind::RingBuf {
            return Err(FaultKind::UnknownMap);
        }
        let length = self.length_argument(Register::R3)?;
        let record = self.bytes_off_packet(Register::R2, length)?;
        let flags = self.scalar(Register::R4)?;
        let known = BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP;
        if flags & !u64::from(known.cast_unsigned()) != 0 {
            return Ok(status(Err(Errno::EINVAL)));
        }
        Ok(status(self.maps.output(map, record)))
    }

    /// `bpf_skb_event_output`, `bpf_xdp_event_output`: the order of the tests is the kernel's. There is one processor, and the
    /// events of another one nobody reads.
    fn event_output(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let map = self.map_argument(Register::R2)?;
        if self.maps.spec(map)?.kind != MapKind::PerfEventArray {
            return Err(FaultKind::UnknownMap);
        }
        let flags = self.scalar(Register::R3)?;
        let length = self.length_argument(Register::R5)?;
        let mut event = self.bytes_off_packet(Register::R4, length)?;
        let processor = flags & BPF_F_INDEX_MASK;
        let taken = (flags & BPF_F_CTXLEN_MASK) >> 32;
        if flags & !(BPF_F_INDEX_MASK | BPF_F_CTXLEN_MASK) != 0 {
            return Ok(status(Err(Errno::EINVAL)));
        }
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        let Some(bytes) = self.packet.bytes().get(..taken) else {
            return Ok(status(Err(Errno::EFAULT)));
        };
        event.extend_from_slice(bytes);
        Ok(status(match processor {
            0 | BPF_F_CURRENT_CPU => self.maps.event(map, event),
            _ => Err(Errno::E2BIG),
        }))
    }

    /// The kernel pulls what it can or nothing, and voids packet pointers either way.
    fn pull_data(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let length = super::alu::low(self.scalar(Register::R2)?);
        let pulled = self
            .packet
            .pull(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(status(if pulled { Ok(()) } else { Err(Errno::ENOMEM) }))
    }

    pub(super) fn context_argument(&self, register: Register) -> Result<(), FaultKind> {
        match self.get(register)? {
            Value::Context => Ok(()),
            _ => Err(FaultKind::BadArgument(register)),
        }
    }

    /// Bytes for a helper that must not read the packet (its `pkt_access` is not set).
    fn bytes_off_packet(&self, register: Register, length: usize) -> Result<Vec<u8>, FaultKind> {
        let pointer = self.off_packet(register)?;
        self.bytes(pointer, length)
    }

    /// A pointer for a helper that must not touch the packet.
    fn off_packet(&self, register: Register) -> Result<Value, FaultKind> {
        match self.get(register)? {
            Value::Packet { .. } => Err(FaultKind::BadArgument(register)),
            value => Ok(value),
        }
    }

    /// A length that the verifier must know to be in range: whole, not negative.
    pub(super) fn length_argument(&self, register: Register) -> Result<usize, FaultKind> {
        let length = self.scalar(register)?;
        let length = i32::try_from(length).ok();
        let length = length.and_then(|length| usize::try_from(length).ok());
        length.ok_or(FaultKind::BadArgument(register))
    }

    pub(super) fn map_argument(&self, register: Register) -> Result<MapId, FaultKind> {
        match self.get(register)? {
            Value::Map(map) => Ok(map),
            _ => Err(FaultKind::BadArgument(register)),
        }
    }

    /// A map and the key that another register points at.
    pub(super) fn map_and_key(
        &self,
        map: Register,
        key: Register,
    ) -> Result<(MapId, Vec<u8>), FaultKind> {
        let map = self.map_argument(map)?;
        let size = self.maps.spec(map)?.key_size;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok((map, self.bytes(self.get(key)?, size)?))
    }

    /// The value that a register points at, of the map's size.
    pub(super) fn value_argument(
        &self,
        map: MapId,
        register: Register,
    ) -> Result<Vec<u8>, FaultKind> {
        let size = self.maps.spec(map)?.value_size;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.bytes(self.get(register)?, size)
    }
}

/// 0, or the negative error number.
pub(super) fn status(result: Result<(), Errno>) -> Value {
    Value::Scalar(result.map_or_else(Errno::value, |()| 0))
}
