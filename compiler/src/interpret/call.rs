//! Helper calls: which type of program may call what, and what each one does.

mod sockets;

use super::Machine;
use super::fault::FaultKind;
use super::map::Errno;
use super::value::Value;
use crate::artifact::{MapId, MapKind, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::Register;

/// The types of program that may call a helper.
fn allowed(helper: Helper) -> &'static [Section] {
    use Section::{Classifier, SkLookup, SkMsg, SockOps, Xdp};
    match helper {
        Helper::MapLookupElem
        | Helper::MapUpdateElem
        | Helper::MapDeleteElem
        | Helper::KtimeGetNs
        | Helper::TailCall => &[Xdp, Classifier, SkLookup, SkMsg, SockOps],
        Helper::SkbPullData => &[Classifier],
        Helper::SockMapUpdate | Helper::SockHashUpdate => &[SockOps],
        Helper::MsgRedirectHash => &[SkMsg],
        Helper::SkLookupTcp | Helper::SkLookupUdp | Helper::SkcLookupTcp => &[Xdp, Classifier],
        Helper::SkRelease => &[Xdp, Classifier, SkLookup],
        Helper::SkStorageGet | Helper::GetNetnsCookie => &[Classifier, SkMsg, SockOps],
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
            Helper::TailCall => Err(FaultKind::Unsupported("a tail call")),
            Helper::SkbPullData => self.pull_data(),
            Helper::SockMapUpdate => self.socket_update(MapKind::SockMap),
            Helper::SockHashUpdate => self.socket_update(MapKind::SockHash),
            Helper::MsgRedirectHash => self.msg_redirect(),
            Helper::SkLookupTcp | Helper::SkLookupUdp | Helper::SkcLookupTcp => {
                self.socket_lookup(helper)
            }
            Helper::SkRelease => self.release(),
            Helper::SkStorageGet => self.storage(),
            Helper::GetNetnsCookie => {
                self.context_argument(Register::R1)?;
                Ok(Value::Scalar(self.world.netns_cookie()))
            }
            Helper::SkAssign => self.assign(),
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
            MapKind::SkStorage => Err(FaultKind::UnknownMap),
            _ => Ok(match self.maps.entry(map, &key) {
                Some(entry) => Value::Entry {
                    map,
                    entry,
                    offset: 0,
                },
                None => Value::Scalar(0),
            }),
        }
    }

    fn map_update(&mut self) -> Result<Value, FaultKind> {
        let (map, key) = self.map_and_key(Register::R1, Register::R2)?;
        let flags = self.scalar(Register::R4)?;
        let kind = self.maps.spec(map)?.kind;
        if matches!(kind, MapKind::SockMap | MapKind::SockHash) {
            let (socket, _) = self.socket_argument(Register::R3)?;
            return Ok(status(self.maps.update_socket(map, &key, socket, flags)));
        }
        let value = self.value_argument(map, Register::R3)?;
        Ok(status(self.maps.update(map, &key, &value, flags)))
    }

    fn map_delete(&mut self) -> Result<Value, FaultKind> {
        let (map, key) = self.map_and_key(Register::R1, Register::R2)?;
        Ok(status(self.maps.delete(map, &key)))
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
