//! One value for each field: a packet as a diagram sees it, and back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{Fragment, Header, SocketAnswer, Transport};
use crate::field::{FROM, Field, TO};
use crate::header_field;
use crate::policy::{LiveMapId, NetnsId, RuleId, SetId, SocketId};
use crate::protocol::IpProtocol;

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

    /// What a lookup finds: in the interface's own namespace, or in another.
    #[must_use]
    pub fn socket(&self, netns: Option<NetnsId>) -> SocketAnswer {
        SocketAnswer::from_value(self.get(netns.map_or(Field::Socket, Field::SocketIn)))
    }

    /// Whether a named socket is there.
    #[must_use]
    pub fn is_there(&self, socket: SocketId) -> bool {
        self.get(Field::Absent(socket)) == 0
    }

    /// Whether an address of the packet is in a set. One that is both ends' is if it is asked for at either end and is there.
    #[must_use]
    pub fn is_member(&self, header: &Header, set: SetId, address: IpAddr) -> bool {
        let ends = [
            (header.to, Field::ToIn(set)),
            (header.from, Field::FromIn(set)),
        ];
        let mut asked = ends.into_iter().filter(|(end, _)| *end == address);
        asked.any(|(_, field)| self.get(field) == 1)
    }

    /// The socket that a live map has for the packet.
    #[must_use]
    pub fn entry(&self, map: LiveMapId) -> Option<SocketId> {
        let number = self.get(Field::Entry(map)).checked_sub(1)?;
        Some(SocketId::from_u32(number))
    }

    /// Whether the packet conforms to the rate of a rule.
    #[must_use]
    pub fn conforms(&self, rule: RuleId) -> bool {
        self.get(Field::Conforms(rule)) == 1
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

/// The field values of a packet for which the lookup gives this answer.
#[must_use]
pub fn values_of(header: &Header, socket: SocketAnswer) -> FieldValues {
    let mut values = FieldValues::default()
        .with(Field::Family, u32::from(header.from.is_ipv6()))
        .with(Field::Protocol, header.protocol.into())
        .with(Field::Socket, socket as u32);
    for row in header_field::rows() {
        for (variable, part) in row.parts(row.encode((row.get)(header))) {
            values.set(variable, part);
        }
    }
    values.set_address(FROM, header.from);
    values.set_address(TO, header.to);
    match header.transport {
        Transport::None => values,
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => values
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
    let protocol = IpProtocol(values.get(Field::Protocol) as u8);
    let mut header = Header {
        from: values.address(FROM),
        to: values.address(TO),
        protocol,
        ..Header::PLAIN
    };
    set_fields(&mut header, values, true);
    header.transport = transport_of(values, protocol, header.fragment);
    set_fields(&mut header, values, false);
    let socket = match header.has_socket() {
        true => values.socket(None),
        false => SocketAnswer::None,
    };
    (header, socket)
}

/// Sets the fields of a header that the rest of it depends on, or the others.
fn set_fields(header: &mut Header, values: &FieldValues, shaping: bool) {
    for row in header_field::rows().filter(|row| row.shapes() == shaping) {
        if let Some(value) = row.decode(row.joined(|variable| values.get(variable))) {
            (row.set)(header, value);
        }
    }
}

fn transport_of(values: &FieldValues, protocol: IpProtocol, fragment: Fragment) -> Transport {
    let from = values.get(Field::FromPort) as u16;
    let to = values.get(Field::ToPort) as u16;
    match (protocol, values.get(Field::Family)) {
        _ if fragment == Fragment::Later => Transport::None,
        (IpProtocol::TCP, _) => Transport::Tcp { from, to, flags: 0 },
        (IpProtocol::UDP | IpProtocol::SCTP, _) => Transport::Ports { from, to },
        (IpProtocol::ICMP, 0) | (IpProtocol::ICMP6, 1) => {
            let [_, _, kind, code] = values.get(Field::Icmp).to_be_bytes();
            Transport::Icmp { kind, code }
        }
        _ => Transport::None,
    }
}
