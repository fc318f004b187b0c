//! One value for each field: a packet as a diagram sees it, and back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{Header, Part, SocketAnswer, Transport};
use crate::field::Field;

/// A value for each field; those that do not exist in a packet are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldValues {
    fixed: [u32; Field::FIXED.len()],
    /// Those of the policy's own fields that are not 0.
    own: BTreeMap<Field, u32>,
}

impl FieldValues {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: Field) -> u32 {
        match field.fixed_index() {
            Some(index) => self.fixed[index],
            None => self.own.get(&field).copied().unwrap_or_default(),
        }
    }

    /// Sets the value of a field.
    pub fn set(&mut self, field: Field, value: u32) {
        match field.fixed_index() {
            Some(index) => self.fixed[index] = value,
            None if value == 0 => {
                self.own.remove(&field);
            }
            None => {
                self.own.insert(field, value);
            }
        }
    }

    /// The same with one field changed.
    #[must_use]
    pub fn with(mut self, field: Field, value: u32) -> Self {
        self.set(field, value);
        self
    }

    /// The values of the policy's own fields that are not 0, in order.
    pub fn own(&self) -> impl Iterator<Item = (Field, u32)> {
        self.own.iter().map(|(field, value)| (*field, *value))
    }

    fn set_address(&mut self, words: [Field; 4], address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.set(words[0], v4.to_bits()),
            IpAddr::V6(v6) => {
                for (at, word) in words.into_iter().enumerate() {
                    self.set(word, (v6.to_bits() >> (96 - 32 * at)) as u32);
                }
            }
        }
    }

    fn address(&self, words: [Field; 4]) -> IpAddr {
        if self.get(Field::Family) == 0 {
            return Ipv4Addr::from_bits(self.get(words[0])).into();
        }
        let bits = words
            .into_iter()
            .fold(0, |bits, word| bits << 32 | u128::from(self.get(word)));
        Ipv6Addr::from_bits(bits).into()
    }
}

/// The words of the receiver's address.
pub const TO: [Field; 4] = [Field::To0, Field::To1, Field::To2, Field::To3];
/// The words of the sender's address.
pub const FROM: [Field; 4] = [Field::From0, Field::From1, Field::From2, Field::From3];

/// The bytes of the packet mark.
pub const MARK: [Field; 4] = [Field::Mark0, Field::Mark1, Field::Mark2, Field::Mark3];

/// The field values of a packet for which the lookup gives this answer.
#[must_use]
pub fn values_of(header: &Header, socket: SocketAnswer) -> FieldValues {
    let mut values = FieldValues::default()
        .with(Field::Family, u32::from(header.from.is_ipv6()))
        .with(Field::Protocol, header.protocol.into())
        .with(Field::Length, header.length)
        .with(Field::Ttl, header.ttl.into())
        .with(Field::Dscp, header.dscp.into())
        .with(Field::Vlan, header.vlan.map_or(0, |id| u32::from(id) + 1))
        .with(Field::Socket, socket as u32);
    for (byte, value) in MARK.into_iter().zip(header.mark.to_be_bytes()) {
        values.set(byte, value.into());
    }
    let part = match header.part {
        Part::Whole => 0,
        Part::First => 1,
        Part::Later => 2,
    };
    values.set(Field::Fragment, part);
    values.set_address(FROM, header.from);
    values.set_address(TO, header.to);
    match header.transport {
        Transport::None => values,
        Transport::Tcp { from, to, flags } => values
            .with(Field::FromPort, from.into())
            .with(Field::ToPort, to.into())
            .with(Field::TcpFlags, flags.into()),
        Transport::Ports { from, to } => values
            .with(Field::FromPort, from.into())
            .with(Field::ToPort, to.into()),
        Transport::Icmp { kind, code } => {
            values.with(Field::Icmp, u32::from(kind) << 8 | u32::from(code))
        }
    }
}

/// The packet that has these values, and the lookup's answer for it. Fields that do not exist in it are left out.
#[must_use]
pub fn header_of(values: &FieldValues) -> (Header, SocketAnswer) {
    let part = match values.get(Field::Fragment) {
        0 => Part::Whole,
        1 => Part::First,
        _ => Part::Later,
    };
    let protocol = values.get(Field::Protocol) as u8;
    let header = Header {
        from: values.address(FROM),
        to: values.address(TO),
        protocol,
        part,
        transport: transport_of(values, protocol, part),
        length: values.get(Field::Length),
        ttl: values.get(Field::Ttl) as u8,
        dscp: values.get(Field::Dscp) as u8,
        vlan: values.get(Field::Vlan).checked_sub(1).map(|id| id as u16),
        mark: MARK
            .into_iter()
            .fold(0, |mark, byte| mark << 8 | values.get(byte)),
    };
    let socket = match header.has_socket() {
        true => SocketAnswer::from_value(values.get(Field::Socket)),
        false => SocketAnswer::None,
    };
    (header, socket)
}

fn transport_of(values: &FieldValues, protocol: u8, part: Part) -> Transport {
    let from = values.get(Field::FromPort) as u16;
    let to = values.get(Field::ToPort) as u16;
    match (protocol, values.get(Field::Family)) {
        _ if part == Part::Later => Transport::None,
        (6, _) => Transport::Tcp {
            from,
            to,
            flags: values.get(Field::TcpFlags) as u8,
        },
        (17 | 132, _) => Transport::Ports { from, to },
        (1, 0) | (58, 1) => {
            let [_, _, kind, code] = values.get(Field::Icmp).to_be_bytes();
            Transport::Icmp { kind, code }
        }
        _ => Transport::None,
    }
}
