//! The syntax tree of a packet to the packet.

use sockc_grammar::ast::{On, Packet, Protocol};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::case::{Said, mistake, plain_icmp};
use super::endpoint::{End, end};
use super::with::said;
use super::{Described, codes, interface, own};
use crate::direction::Deed;
use crate::event::{Event, Fragment, Header, Parsed, SocketAnswer, Transport};
use crate::field::FieldKind;
use crate::header_field::{Exists, HeaderField, Plain};
use crate::hook::Hook;
use crate::packet::{longest_length, shortest_length};
use crate::policy::{ClassId, Direction, Family, GroupId, Policy};
use crate::protocol::IpProtocol;
use crate::values::protocols::{Written, icmp_type, protocol};

/// The packet (or write) that the words describe. `whole` is the span of all of them, for what is missing.
///
/// # Errors
/// The first mistake.
pub fn read(packet: &Packet, policy: &Policy, whole: Span) -> Result<Described, Box<Diagnostic>> {
    let written = packet.direction.as_ref();
    let direction = written.map_or(Direction::In, |written| Direction::of(written.value));
    let classes = classes(packet, policy, direction)?;
    let mut said = said(&packet.with, policy)?;
    let own = own::address(packet, policy, &mut said);
    if let (Some(malformed), false) = (&said.malformed, direction.of_processes()) {
        return malformed_packet(packet, direction, classes, malformed.span);
    }
    let to = || end(packet.to.as_ref(), "to", direction, whole, own);
    let (from, to) = match (direction.has_sender(), &packet.from) {
        (true, from) => (end(from.as_ref(), "from", direction, whole, own)?, to()?),
        (false, Some(from)) => {
            return Err(does_not_fit(
                "the sender's address is not known yet",
                from.span,
            ));
        }
        (false, None) => {
            let to = to()?;
            (End::unknown(&to), to)
        }
    };
    own::hold(&mut said, direction, [&from, &to], policy)?;
    let kind = Kind::of(packet, &from, &to, &said, whole)?;
    let header = kind.header(&from, &to, &said)?;
    let event = if let Some(deed) = direction.deed() {
        Event::Process {
            direction,
            group: group(deed, &kind, &said, policy, whole)?,
            header,
        }
    } else {
        let processes = Direction::words_of_processes("and");
        not_said(
            said.group.as_ref(),
            &format!("a group: that belongs to {processes}"),
        )?;
        socketless(direction, &said)?;
        Event::of_packet(direction, classes, Parsed::Ip(header))
    };
    Ok(said.describe(event))
}

/// Refuses a socket of what passes through, as `expect` does: none of this machine belongs to it.
fn socketless(direction: Direction, said: &Said) -> Result<(), Box<Diagnostic>> {
    let mut own = said.sockets.iter();
    let own = own.find(|one| one.netns.is_none() && one.answer != SocketAnswer::None);
    match own.filter(|_| direction.passes()) {
        Some(socket) => Err(does_not_fit(
            "no socket of this machine belongs to what passes through",
            socket.span,
        )),
        None => Ok(()),
    }
}

/// The class of the interface, and of that by which what passes through leaves; what is written has none.
fn classes(
    packet: &Packet,
    policy: &Policy,
    direction: Direction,
) -> Result<[ClassId; 2], Box<Diagnostic>> {
    let leaves = match &packet.leaves {
        None => Policy::plain_class(),
        Some(leaves) if !direction.passes() => {
            return Err(mistake(
                codes::DOES_NOT_FIT,
                "only a packet that passes through has an interface by which it leaves beside that by which it came in",
                leaves.span,
                "does not fit this packet",
                "leave it out, or write `forward` first",
            ));
        }
        Some(leaves) => interface::read(&leaves.value, policy)?,
    };
    let on = match &packet.on {
        None => Policy::plain_class(),
        Some(on) if direction.of_processes() => {
            return Err(does_not_fit(
                Hook::without(direction, FieldKind::Interface),
                on.span,
            ));
        }
        Some(on) => interface::read(&on.value, policy)?,
    };
    passes_through(packet, policy, [on, leaves])?;
    Ok([on, leaves])
}

/// Refuses a packet that is said to pass through and to leave by the interface by which it came.
fn passes_through(
    packet: &Packet,
    policy: &Policy,
    [on, leaves]: [ClassId; 2],
) -> Result<(), Box<Diagnostic>> {
    let (Some(came_in), Some(leaving)) = (&packet.on, &packet.leaves) else {
        return Ok(());
    };
    let alike = match (&came_in.value, &leaving.value) {
        (On::Interface(one), On::Interface(other)) => one.value == other.value,
        _ => !policy.lead_through(on, leaves),
    };
    if !alike {
        return Ok(());
    }
    let back = mistake(
        codes::DOES_NOT_FIT,
        "what goes back out of the interface by which it came does not pass through: it does not meet `forward`",
        leaving.span,
        "the same interface",
        "ask the two lists that it meets: leave out `forward` and this end for `in`, and write `out` with `on` for `out`",
    );
    Err(Box::new(back.also(came_in.span, "by which it came in")))
}

/// A malformed packet has no header that could be looked at: addresses may be named, the rest may not.
fn malformed_packet(
    packet: &Packet,
    direction: Direction,
    classes: [ClassId; 2],
    span: Span,
) -> Result<Described, Box<Diagnostic>> {
    if let Some(other) = packet.with.iter().find(|item| item.span != span) {
        return Err(does_not_fit(
            "a malformed packet has nothing else",
            other.span,
        ));
    }
    let event = Event::of_packet(direction, classes, Parsed::Malformed);
    Ok(Described::plain(event, SocketAnswer::None))
}

/// Family, protocol and part, which say what else a packet has.
struct Kind {
    family: Family,
    number: IpProtocol,
    fragment: Fragment,
    /// Type and code, if a type was named.
    icmp: Option<(u8, u8)>,
    span: Span,
}

impl Kind {
    fn of(
        packet: &Packet,
        from: &End,
        to: &End,
        said: &Said,
        whole: Span,
    ) -> Result<Self, Box<Diagnostic>> {
        let [written] = packet.protocols.as_slice() else {
            return Err(mistake(
                codes::NOT_ONE_PROTOCOL,
                "a packet has one protocol",
                whole,
                "not one single protocol",
                "write one protocol first, such as `tcp`",
            ));
        };
        let family = Family::of(from.address);
        let (number, icmp) = protocol_of(written, family)?;
        if Family::of(to.address) != family {
            let differ = mistake(
                codes::FAMILIES_DIFFER,
                "a packet's addresses are of one family",
                to.span,
                "of the other family",
                "write both as IPv4 or both as IPv6",
            );
            return Err(Box::new(differ.also(from.span, "of one family")));
        }
        let told = from.port.is_some() || to.port.is_some() || icmp.is_some();
        let fragment = match (&said.header[HeaderField::Fragment], told) {
            (None, _) => Fragment::Whole,
            (Some(_), true) => Fragment::First,
            (Some(_), false) => Fragment::Later,
        };
        if family == Family::V6 && fragment != Fragment::Later && number.is_extension() {
            let text = "IPv6 steps over this header: the packet's protocol is the one after it";
            return Err(does_not_fit(text, written.span));
        }
        Ok(Self {
            family,
            number,
            fragment,
            icmp,
            span: written.span,
        })
    }

    fn header(&self, from: &End, to: &End, said: &Said) -> Result<Header, Box<Diagnostic>> {
        let mut header = Header {
            from: from.address,
            to: to.address,
            protocol: self.number,
            fragment: self.fragment,
            transport: self.transport(from, to, said)?,
            length: self.length(said)?,
            ..Header::PLAIN
        };
        for (row, said) in said.header.iter().filter(|(row, _)| !row.shapes()) {
            let plain = match row.plain {
                Plain::Value(value) => Some(value),
                Plain::Absent | Plain::Shortest => None,
            };
            if let Some(value) = said.as_ref().map(|said| said.value).or(plain) {
                (row.set)(&mut header, value);
            }
        }
        Ok(header)
    }

    fn transport(&self, from: &End, to: &End, said: &Said) -> Result<Transport, Box<Diagnostic>> {
        let has_ports = self.number.has_ports();
        if self.number != IpProtocol::TCP || self.fragment == Fragment::Later {
            self.without_tcp(said)?;
        }
        if !self.number.has_socket() || self.fragment == Fragment::Later {
            let mut found = said.sockets.iter();
            if let Some(found) = found.find(|it| it.answer != SocketAnswer::None) {
                return Err(not_had("a socket", found.span));
            }
        }
        if !has_ports {
            not_said(from.port.as_ref().or(to.port.as_ref()), "ports")?;
        }
        if self.fragment == Fragment::Later {
            return Ok(Transport::None);
        }
        if has_ports {
            let (from, to) = (self.port(from)?, self.port(to)?);
            return Ok(match self.number {
                IpProtocol::TCP => Transport::Tcp { from, to, flags: 0 },
                _ => Transport::Ports { from, to },
            });
        }
        if self.number != self.family.icmp() {
            return Ok(Transport::None);
        }
        let (kind, code) = self.icmp.unwrap_or(plain_icmp(self.family));
        Ok(Transport::Icmp { kind, code })
    }

    /// Nothing may be said of fields of a TCP header.
    fn without_tcp(&self, said: &Said) -> Result<(), Box<Diagnostic>> {
        let fields = said.header.iter();
        let mut of_tcp = fields.filter(|(row, _)| row.exists == Exists::InTcp);
        of_tcp.try_for_each(|(row, said)| not_said(said.as_ref(), row.what))
    }

    fn port(&self, end: &End) -> Result<u16, Box<Diagnostic>> {
        end.port.as_ref().map(|port| port.value).ok_or_else(|| {
            let missing = mistake(
                codes::PORTS_MISSING,
                "a packet of tcp, udp or sctp has ports",
                end.span,
                "no port",
                "write `ADDRESS:PORT`, in IPv6 `[ADDRESS]:PORT`",
            );
            Box::new(missing.also(self.span, "this protocol has ports"))
        })
    }

    fn length(&self, said: &Said) -> Result<u32, Box<Diagnostic>> {
        let shortest = shortest_length(self.family, self.number, self.fragment);
        let longest = longest_length(self.family);
        let Some(said) = &said.header[HeaderField::Length] else {
            return Ok(shortest);
        };
        let length = u32::try_from(said.value).ok();
        if let Some(length) = length.filter(|length| (shortest..=longest).contains(length)) {
            return Ok(length);
        }
        Err(mistake(
            codes::LENGTH,
            format!("no packet of this kind has {} bytes", said.value),
            said.span,
            format!("from {shortest} to {longest} bytes are possible"),
            "write a length that a packet of this kind has, or `malformed`",
        ))
    }
}

/// A protocol's number, with type and code if a type was named.
type Named = (IpProtocol, Option<(u8, u8)>);

fn protocol_of(written: &Spanned<Protocol>, family: Family) -> Result<Named, Box<Diagnostic>> {
    let (kind, types) = match protocol(&written.value)? {
        Written::Plain(number) => return Ok((number, None)),
        Written::Icmp(kind, types) => (kind, types),
    };
    let number = kind.family().icmp();
    if kind.family() != family {
        return Err(mistake(
            codes::FAMILIES_DIFFER,
            "`icmp` goes with IPv4 addresses, `icmp6` with IPv6 addresses",
            written.span,
            "of the other family than the addresses",
            format!("write the other one, or `proto {number}` if that is meant"),
        ));
    }
    match types {
        [] => Ok((number, None)),
        [one] => {
            let found = icmp_type(kind, one)?;
            Ok((number, Some((found.kind, found.code.unwrap_or(0)))))
        }
        [_, second, ..] => Err(does_not_fit("a packet has one ICMP type", second.span)),
    }
}

/// The group whose process does it. Nothing is known then but protocol, addresses and ports.
fn group(
    deed: &Deed,
    kind: &Kind,
    said: &Said,
    policy: &Policy,
    whole: Span,
) -> Result<GroupId, Box<Diagnostic>> {
    if !Hook::protocols(deed.direction).contains(&kind.number) {
        let about = deed.about.to_lowercase();
        let text = format!("`{}` is about {about}", deed.direction.word());
        return Err(does_not_fit(text, kind.span));
    }
    not_said(said.malformed.as_ref(), "a header that could be malformed")?;
    for (row, said) in said.header.iter() {
        not_said(said.as_ref(), row.what)?;
    }
    if let Some(socket) = said.sockets.first() {
        return Err(not_had("a lookup", socket.span));
    }
    if let Some(group) = &said.group {
        return Ok(group.value);
    }
    let mut all = policy.groups.keys();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(mistake(
            codes::GROUP_MISSING,
            format!("a {} belongs to a group", deed.one),
            whole,
            "no group is named",
            "write `with group NAME`",
        )),
    }
}

fn not_said<T>(said: Option<&Spanned<T>>, what: &str) -> Result<(), Box<Diagnostic>> {
    match said {
        None => Ok(()),
        Some(said) => Err(not_had(what, said.span)),
    }
}

fn not_had(what: &str, span: Span) -> Box<Diagnostic> {
    does_not_fit(format!("this packet does not have {what}"), span)
}

fn does_not_fit(message: impl Into<String>, span: Span) -> Box<Diagnostic> {
    mistake(
        codes::DOES_NOT_FIT,
        message,
        span,
        "does not fit this packet",
        "leave it out",
    )
}
