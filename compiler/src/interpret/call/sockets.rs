//! Helpers that find, hand over, store and release sockets.

use std::net::{IpAddr, SocketAddr};

use super::status;
use crate::artifact::{MapId, MapKind};
use crate::bpf::constant::{
    AF_INET, BPF_F_INGRESS, BPF_SK_LOOKUP_F_NO_REUSEPORT, BPF_SK_LOOKUP_F_REPLACE,
    BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB,
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, SK_DROP, SK_PASS,
    TCP_ESTABLISHED, TCP_LISTEN,
};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::Register;
use crate::interpret::fault::FaultKind;
use crate::interpret::kernel::{LookupKind, Netns, Tuple};
use crate::interpret::map::Errno;
use crate::interpret::socket::SocketModel;
use crate::interpret::value::{SocketPointer, Value};
use crate::interpret::{Machine, Redirect, alu};
use crate::protocol::IpProtocol;

impl Machine<'_> {
    /// `bpf_sk_lookup_tcp` and its kin. A tuple of another size, flags, or a namespace that cannot be give NULL.
    pub(super) fn socket_lookup(&mut self, helper: Helper) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let size = usize::try_from(alu::low(self.scalar(Register::R3)?)).unwrap_or(usize::MAX);
        let bytes = self.bytes(self.get(Register::R2)?, size)?;
        let netns = netns(self.scalar(Register::R4)?);
        let flags = self.scalar(Register::R5)?;
        let (Some(tuple), Some(netns), 0) = (tuple(&bytes), netns, flags) else {
            return Ok(Value::Scalar(0));
        };
        let kind = match helper {
            Helper::SkLookupTcp => LookupKind::Tcp,
            Helper::SkcLookupTcp => LookupKind::SkcTcp,
            _ => LookupKind::Udp,
        };
        Ok(match self.world.lookup(kind, tuple, netns) {
            Some(model) => {
                let full = kind != LookupKind::SkcTcp;
                Value::Socket(self.ledger.take(model, full))
            }
            None => Value::Scalar(0),
        })
    }

    pub(super) fn release(&mut self) -> Result<Value, FaultKind> {
        match self.get(Register::R1)? {
            Value::Socket(pointer) => self.ledger.release(pointer)?,
            Value::Scalar(0) => return Err(FaultKind::NullPointer),
            _ => return Err(FaultKind::BadArgument(Register::R1)),
        }
        Ok(Value::Scalar(0))
    }

    /// `bpf_sk_fullsock` of the context's own socket, which is one.
    pub(super) fn full_socket(&mut self) -> Result<Value, FaultKind> {
        self.socket_argument(Register::R1)?;
        Ok(Value::Socket(SocketPointer::Full))
    }

    /// At sk_lookup NULL takes an earlier choice back.
    pub(super) fn assign(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let flags = self.scalar(Register::R3)?;
        let Some((protocol, family)) = self.context.wanted() else {
            let (socket, _) = self.socket_argument(Register::R2)?;
            return Ok(self.assign_at_tc(socket, flags));
        };
        let socket = match self.get(Register::R2)? {
            Value::Scalar(0) => None,
            _ => Some(self.socket_argument(Register::R2)?.0),
        };
        let known = BPF_SK_LOOKUP_F_REPLACE | BPF_SK_LOOKUP_F_NO_REUSEPORT;
        let replace = flags & u64::from(BPF_SK_LOOKUP_F_REPLACE.cast_unsigned()) != 0;
        let taken = self.assigned.is_some() && !replace;
        let result = match socket {
            _ if flags & !u64::from(known.cast_unsigned()) != 0 => Err(Errno::EINVAL),
            Some(socket) => fits(&socket, protocol, family),
            None => Ok(()),
        };
        let result = match result {
            Ok(()) if taken => Err(Errno::EEXIST),
            result => result,
        };
        if result.is_ok() {
            self.assigned = socket;
        }
        Ok(status(result))
    }

    fn assign_at_tc(&mut self, socket: SocketModel, flags: u64) -> Value {
        if flags != 0 {
            return status(Err(Errno::EINVAL));
        }
        if self.context.egress() {
            return status(Err(Errno::EOPNOTSUPP));
        }
        self.assigned = Some(socket);
        status(Ok(()))
    }

    pub(super) fn msg_redirect_hash(&mut self) -> Result<Value, FaultKind> {
        let (map, key) = self.map_and_key(Register::R2, Register::R3)?;
        self.redirect_data(MapKind::SockHash, map, &key)
    }

    /// What is written, and what arrives. The index is a number, not the address of one.
    pub(super) fn redirect_map(&mut self) -> Result<Value, FaultKind> {
        let map = self.map_argument(Register::R2)?;
        let index = alu::low(self.scalar(Register::R3)?);
        self.redirect_data(MapKind::SockMap, map, &index.to_le_bytes())
    }

    /// `SK_DROP` where the key has no socket: a program that wants plain TCP then must not return it.
    fn redirect_data(&mut self, kind: MapKind, map: MapId, key: &[u8]) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        if self.maps.spec(map)?.kind != kind {
            return Err(FaultKind::UnknownMap);
        }
        let flags = i32::try_from(self.scalar(Register::R4)?);
        let found = self.maps.socket(map, key);
        let open = found.filter(|socket| socket.state != TCP_LISTEN.cast_unsigned());
        let code = match (flags, open) {
            (Ok(flags @ (0 | BPF_F_INGRESS)), Some(socket)) => {
                self.redirected = Some(Redirect {
                    socket,
                    ingress: flags == BPF_F_INGRESS,
                });
                SK_PASS
            }
            _ => SK_DROP,
        };
        Ok(Value::Scalar(i64::from(code).cast_unsigned()))
    }

    /// `bpf_sock_map_update`, `bpf_sock_hash_update`: only in the callbacks where the socket is complete.
    pub(super) fn socket_update(&mut self, kind: MapKind) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let (map, key) = self.map_and_key(Register::R2, Register::R3)?;
        let flags = self.scalar(Register::R4)?;
        if self.maps.spec(map)?.kind != kind {
            return Err(FaultKind::UnknownMap);
        }
        let complete = [
            BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB,
            BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
            BPF_SOCK_OPS_TCP_LISTEN_CB,
        ];
        let own = self.context.own_socket();
        Ok(status(match own {
            Some(socket) if complete.contains(&self.context.op().cast_signed()) => {
                self.maps.update_socket(map, &key, socket, flags)
            }
            _ => Err(Errno::EOPNOTSUPP),
        }))
    }

    /// 0 where the context has no socket.
    pub(super) fn cookie(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let own = self.context.own_socket();
        Ok(Value::Scalar(own.map_or(0, |socket| socket.id + 1)))
    }

    /// Nothing calls a program of a run again.
    pub(super) fn set_callbacks(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        self.scalar(Register::R2)?;
        let own = self.context.own_socket();
        Ok(status(own.map(|_| ()).ok_or(Errno::EINVAL)))
    }

    /// Sockets of a run have no options that do anything: the value is looked at, and no more.
    pub(super) fn set_option(&mut self) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        self.scalar(Register::R2)?;
        self.scalar(Register::R3)?;
        let size = usize::try_from(alu::low(self.scalar(Register::R5)?)).unwrap_or(usize::MAX);
        self.bytes(self.get(Register::R4)?, size)?;
        Ok(Value::Scalar(0))
    }

    /// The socket's value in a storage map: NULL where there is none and none is to be made.
    pub(super) fn storage(&mut self) -> Result<Value, FaultKind> {
        let map = self.map_argument(Register::R1)?;
        let spec = self.maps.spec(map)?;
        if spec.kind != MapKind::SkStorage {
            return Err(FaultKind::UnknownMap);
        }
        let empty = vec![0; usize::try_from(spec.value_size).unwrap_or(0)];
        let (socket, _) = self.socket_argument(Register::R2)?;
        let flags = self.scalar(Register::R4)?;
        let initial = match self.get(Register::R3)? {
            Value::Scalar(0) => empty,
            _ => self.value_argument(map, Register::R3)?,
        };
        let key = socket.id.to_le_bytes();
        let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE.cast_unsigned());
        if self.maps.entry(map, &key).is_none() && flags == create {
            // Storage has no limit of entries and the sizes are the map's own, so this cannot fail.
            let _ = self.maps.update(map, &key, &initial, 0);
        }
        let entry = self.maps.entry(map, &key).filter(|_| flags <= create);
        Ok(entry.map_or(Value::Scalar(0), |entry| Value::Entry {
            map,
            entry,
            offset: 0,
        }))
    }

    /// Takes the socket's value out of a storage map.
    pub(super) fn storage_delete(&mut self) -> Result<Value, FaultKind> {
        let map = self.map_argument(Register::R1)?;
        if self.maps.spec(map)?.kind != MapKind::SkStorage {
            return Err(FaultKind::UnknownMap);
        }
        let (socket, _) = self.socket_argument(Register::R2)?;
        Ok(status(self.maps.delete(map, &socket.id.to_le_bytes())))
    }

    pub(super) fn socket_argument(
        &self,
        register: Register,
    ) -> Result<(SocketModel, bool), FaultKind> {
        match self.get(register)? {
            Value::Socket(pointer) => self.socket(pointer),
            Value::Scalar(0) => Err(FaultKind::NullPointer),
            _ => Err(FaultKind::BadArgument(register)),
        }
    }
}

/// The order of the tests is the kernel's (`bpf_sk_lookup_assign`).
fn fits(socket: &SocketModel, protocol: IpProtocol, family: i32) -> Result<(), Errno> {
    let state = socket.state.cast_signed();
    let connected = match socket.protocol {
        // TCP sockets are freed by RCU, as the lookup needs, only while they listen.
        IpProtocol::TCP => state != TCP_LISTEN,
        _ => state == TCP_ESTABLISHED,
    };
    if connected {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if socket.protocol != protocol {
        return Err(Errno::EPROTOTYPE);
    }
    let other = socket.family() != family;
    if other && (socket.family() == AF_INET || socket.v6_only) {
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(())
}

/// "Current" is -1 in all 64 bits; a zero-extended 32-bit -1 names no namespace (measured on 6.18).
fn netns(argument: u64) -> Option<Netns> {
    match i32::try_from(argument.cast_signed()) {
        Ok(-1) => Some(Netns::Current),
        Ok(id) => u32::try_from(id).ok().map(Netns::Id),
        Err(_) => None,
    }
}

/// `struct bpf_sock_tuple`: addresses, then ports, all in network order; 12 or 36 bytes.
fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (addresses, ports) = bytes.split_last_chunk::<4>()?;
    let half = addresses.len() / 2;
    let (source, destination) = addresses.split_at_checked(half)?;
    let [a, b, c, d] = *ports;
    Some(Tuple {
        source: SocketAddr::new(address(source)?, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(address(destination)?, u16::from_be_bytes([c, d])),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    let v6: [u8; 16] = bytes.try_into().ok()?;
    Some(IpAddr::from(v6))
}
