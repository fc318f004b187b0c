//! Filters of TC, asked of the kernel by the id of the program they hold: a name can be anybody's, and our own pin says
//! nothing of whether the filter still is there.
//!
//! Takes an interface of the calling thread's namespace and a point. It attaches nothing.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::hook::Point;
use crate::sys::retry::again;

type Message = NetlinkMessage<RouteNetlinkMessage>;

/// A filter of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// The id of its program; `None` if it is no BPF filter.
    pub(crate) program: Option<u32>,
    /// Its kind, such as `flower`.
    pub(crate) kind: String,
    /// Its priority: the smaller one is asked first.
    pub(crate) priority: u32,
}

/// The filters of an interface that do not hold the program, and the priority of the one that does.
pub(crate) fn others(
    interface: u64,
    point: Point,
    program: Option<u32>,
) -> io::Result<(Vec<Other>, Option<u32>)> {
    let ours = |filter: &TcMessage| program.is_some_and(|program| holds(filter, program));
    let mut found = Vec::new();
    let mut own = None;
    for filter in filters(interface, point)? {
        // The priority is the upper half of this word, the protocol the lower (`TC_H_MAJ` of `tcm_info`).
        let priority = filter.header.info >> 16;
        if ours(&filter) {
            own = Some(priority);
        } else if let Some(other) = other(&filter, priority) {
            found.push(other);
        }
    }
    Ok((found, own))
}

/// A filter as it is told; the dump has a message without a handle for each priority too, which is none.
fn other(filter: &TcMessage, priority: u32) -> Option<Other> {
    let attributes = || filter.attributes.iter();
    let program = attributes().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().find_map(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
            _ => None,
        }),
        _ => None,
    });
    let kind = attributes().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.clone()),
        _ => None,
    })?;
    let is_filter = u32::from(filter.header.handle) != 0;
    (is_filter && (program.is_some() || kind != "bpf")).then_some(Other {
        program,
        kind,
        priority,
    })
}

/// Whether a filter holds the program.
pub(crate) fn is_there(interface: u64, point: Point, program: u32) -> io::Result<bool> {
    Ok(!holding(interface, point, program)?.is_empty())
}

/// Removes the filters that hold the program; fine if there are none.
pub(crate) fn remove(interface: u64, point: Point, program: u32) -> io::Result<()> {
    for header in holding(interface, point, program)? {
        let mut message = TcMessage::default();
        message.header = header;
        let socket = ask(
            RouteNetlinkMessage::DelTrafficFilter(message),
            NLM_F_REQUEST | NLM_F_ACK,
        )?;
        let (answer, _) = again(|| socket.recv_from_full())?;
        let answer = Message::deserialize(&answer).map_err(io::Error::other)?;
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(error.to_io());
        }
    }
    Ok(())
}

fn holding(interface: u64, point: Point, program: u32) -> io::Result<Vec<TcHeader>> {
    let filters = filters(interface, point)?.into_iter();
    let ours = filters.filter(|filter| holds(filter, program));
    Ok(ours.map(|filter| filter.header).collect())
}

fn filters(interface: u64, point: Point) -> io::Result<Vec<TcMessage>> {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(interface).map_err(io::Error::other)?;
    message.header.parent = TcHandle {
        major: TcHandle::CLSACT.major,
        minor: match point {
            Point::TcOut(_) => TcHandle::MIN_EGRESS,
            _ => TcHandle::MIN_INGRESS,
        },
    };
    let request = RouteNetlinkMessage::GetTrafficFilter(message);
    let socket = ask(request, NLM_F_REQUEST | NLM_F_DUMP)?;
    let mut found = Vec::new();
    loop {
        let (answer, _) = again(|| socket.recv_from_full())?;
        for message in messages(&answer) {
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(filter)) => {
                    found.push(filter);
                }
                _ => {}
            }
        }
    }
}

fn ask(message: RouteNetlinkMessage, flags: u16) -> io::Result<Socket> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// The messages of a datagram. One that cannot be read is a filter of a kind that we do not make.
fn messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(one) = bytes.get(..length).filter(|one| !one.is_empty()) else {
            break;
        };
        found.extend(Message::deserialize(one));
        // Messages begin at multiples of four bytes.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn holds(filter: &TcMessage, program: u32) -> bool {
    let attributes = filter.attributes.iter();
    let mut options = attributes.filter_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    });
    let ours = TcOption::Bpf(TcFilterBpfOption::ProgId(program));
    options.any(|options| options.contains(&ours))
}
