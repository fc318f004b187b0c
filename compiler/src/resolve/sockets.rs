//! `socket` declarations: where a named socket comes from, and the addresses it listens on.

use sockc_grammar::ast::{Listen as WrittenListen, SocketDecl, SocketOrigin, SocketOwner, Verb};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::groups::cgroup_path;
use super::members::{is_alone, sharing};
use super::report::Report;
use crate::policy::SocketOrigin as Origin;
use crate::policy::{Family, Listen, Owner, Socket, SourceLocation};
use crate::protocol::IpProtocol;
use crate::spread::MAX_MEMBERS;
use crate::values::numbers::Checked;

/// The socket that is declared; `None` if something is wrong with it, which is reported.
pub(super) fn socket(
    decl: &SocketDecl,
    place: SourceLocation,
    report: &mut Report,
) -> Option<Socket> {
    let drop_if_absent = drop_if_absent(decl.absent.as_ref(), report);
    let sharing = sharing(decl, report);
    let members = sharing.map_or(MAX_MEMBERS, |(members, _)| members);
    let origin = origin(&decl.origin, members, report);
    let owner = match &decl.owner {
        Some(written) => owner(&written.value, report).map(Some),
        None => Some(None),
    };
    let (members, spread) = sharing?;
    Some(Socket {
        name: decl.name.value.clone(),
        origin: origin?,
        owner: owner?,
        members,
        spread,
        pinned: decl.pinned.is_some(),
        drop_if_absent: drop_if_absent?,
        fed: false,
        place,
    })
}

/// Whether something can be steered to a socket: not to one whose queues take data, which does not listen.
pub(super) fn is_steerable(socket: &Socket, span: Span, report: &mut Report) -> Option<()> {
    if !socket.fed {
        return Some(());
    }
    report.push(
        Diagnostic::error(
            codes::SOCKET_FED,
            format!("nothing can be steered to the socket `{}`", socket.name),
            span,
            "rules put data into its queues, so it is a connected socket, which takes no new flows",
        )
        .also(socket.place.span, "declared here")
        .help(
            "declare two sockets, and register the one that listens and the one that is connected",
        ),
    );
    None
}

/// Whether data can be put into the queues of a socket: a connected one, which nobody can look for.
pub(super) fn is_feedable(socket: &Socket, span: Span, report: &mut Report) -> Option<()> {
    if socket.origin == Origin::Registered {
        return is_alone(socket, span, report);
    }
    report.push(
        Diagnostic::error(
            codes::SOCKET_FED,
            format!("no data can be put into the queues of the socket `{}`", socket.name),
            span,
            "it is found as it listens, and only a connected socket has such queues",
        )
        .also(socket.place.span, "declared here")
        .help(format!(
            "declare a socket for it by `socket NAME = registered`, and hand the connected one over: `sockc socket register NAME`, not `{}`",
            socket.name
        )),
    );
    None
}

fn origin(written: &SocketOrigin, members: u32, report: &mut Report) -> Option<Origin> {
    match written {
        SocketOrigin::Listen(addresses) => {
            listening(addresses, members, report).map(Origin::Listen)
        }
        SocketOrigin::Registered(_) => Some(Origin::Registered),
        SocketOrigin::Systemd { unit, name } => {
            let sound = report.checked(unit_name(unit));
            let named = name.as_ref().map_or(Ok(()), descriptor_name);
            report.checked(named).and(sound)?;
            Some(Origin::Systemd {
                unit: unit.value.clone(),
                name: name.as_ref().map(|name| name.value.clone()),
            })
        }
        SocketOrigin::Process { pid_file, listen } => {
            let sound = report.checked(pid_path(pid_file));
            let listen = listening(listen, members, report);
            sound?;
            Some(Origin::Process {
                pid_file: pid_file.value.clone(),
                listen: listen?,
            })
        }
    }
}

fn owner(written: &SocketOwner, report: &mut Report) -> Option<Owner> {
    match written {
        SocketOwner::Uid(uid) => {
            // The highest number is no user: calls take it for "nobody is named" (`chown(2)`).
            let number = u32::try_from(uid.value)
                .ok()
                .filter(|&number| number != u32::MAX);
            if number.is_none() {
                report.error(
                    codes::SOCKET_OWNER,
                    format!("`{}` is no user's number", uid.value),
                    uid.span,
                    "users have numbers from 0 to 4294967294",
                    "write the number that `id -u` shows, or the user's name",
                );
            }
            number.map(Owner::Uid)
        }
        SocketOwner::User(name) => {
            let wrong = match name.value.as_str() {
                "" => Some("empty"),
                other if other.starts_with('-') => Some("begins with `-`"),
                other
                    if other.contains([':', '/', '\0']) || other.contains(char::is_whitespace) =>
                {
                    Some("holds a blank, a `:`, a `/` or a NUL byte")
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                report.error(
                    codes::SOCKET_OWNER,
                    format!("`{}` is no user's name", name.value.escape_debug()),
                    name.span,
                    wrong,
                    "write the name that `id -un` shows, such as www-data, or the user's number",
                );
                return None;
            }
            Some(Owner::User(name.value.clone()))
        }
        SocketOwner::Cgroup(path) => {
            let found = cgroup_path(path, report)?;
            if found == "/" {
                report.error(
                    codes::SOCKET_OWNER,
                    "every process is in the control group `/`",
                    path.span,
                    "this owner is anybody",
                    "name the group of the service, such as \"/system.slice/haproxy.service\", or leave `owner` out",
                );
                return None;
            }
            Some(Owner::Cgroup(found))
        }
    }
}

/// A unit as systemd names it: it has a type after its last dot, and is no path.
fn unit_name(unit: &Spanned<String>) -> Checked<()> {
    let wrong = match unit.value.rsplit_once('.') {
        _ if unit.value.contains(['/', '\0']) || unit.value.contains(char::is_whitespace) => {
            "holds a blank, a `/` or a NUL byte"
        }
        Some((stem, "socket" | "service")) if !stem.is_empty() => return Ok(()),
        _ => "does not end in `.socket` or `.service`",
    };
    let help = "write the name that `systemctl` shows, such as \"authdns.socket\"";
    Err(no_origin("unit", unit, wrong, help))
}

/// What systemd takes as a `FileDescriptorName=`.
fn descriptor_name(name: &Spanned<String>) -> Checked<()> {
    let wrong = match name.value.as_str() {
        "" => "empty",
        other if other.len() > 255 => "longer than 255 bytes",
        other if other.contains(':') || other.contains(char::is_control) => {
            "holds a colon or a control character"
        }
        _ => return Ok(()),
    };
    let help = "write the unit's `FileDescriptorName=`, or leave `name` out";
    Err(no_origin("name of a file descriptor", name, wrong, help))
}

fn pid_path(path: &Spanned<String>) -> Checked<()> {
    let wrong = match path.value.as_str() {
        other if other.contains('\0') => "holds a NUL byte",
        other if !other.starts_with('/') => "does not begin with `/`",
        other if other.ends_with('/') => "names a folder",
        _ => return Ok(()),
    };
    let help = "write the whole path of the file, such as \"/run/api.pid\"";
    Err(no_origin("path of a process's file", path, wrong, help))
}

fn no_origin(what: &str, found: &Spanned<String>, wrong: &str, help: &str) -> Box<Diagnostic> {
    let message = format!("`{}` is no {what}", found.value.escape_debug());
    let found = Diagnostic::error(codes::SOCKET_ORIGIN, message, found.span, wrong);
    Box::new(found.help(help))
}

fn drop_if_absent(absent: Option<&Spanned<Verb>>, report: &mut Report) -> Option<bool> {
    match absent.map(|verb| (verb.value, verb.span)) {
        None | Some((Verb::Reject, _)) => Some(false),
        Some((Verb::Drop, _)) => Some(true),
        Some((_, span)) => {
            report.error(
                codes::VERB_MISPLACED,
                "an absent socket can only drop or reject",
                span,
                "neither `drop` nor `reject`",
                "write `if absent drop` or `if absent reject`",
            );
            None
        }
    }
}

/// Every address, for each family and protocol at most as many as there may be members; every wrong one is reported.
fn listening(
    addresses: &[Spanned<WrittenListen>],
    members: u32,
    report: &mut Report,
) -> Option<Vec<Listen>> {
    let mut listen: Vec<(Listen, &Spanned<WrittenListen>)> = Vec::new();
    let mut sound = true;
    for written in addresses {
        let Some(one) = one_address(&written.value, report) else {
            sound = false;
            continue;
        };
        let kind = |listen: &Listen| (Family::of(listen.address), listen.protocol);
        let same = || listen.iter().filter(|(first, _)| kind(first) == kind(&one));
        let again = same().find(|(first, _)| *first == one);
        // Those that are there already, and this one.
        let many = (1..).zip(same()).any(|(count, _)| count == members);
        match again.or_else(|| same().next_back().filter(|_| many)) {
            Some((_, first)) => {
                report.push(second_address(written, first, members));
                sound = false;
            }
            None => listen.push((one, written)),
        }
    }
    sound.then(|| listen.into_iter().map(|(one, _)| one).collect())
}

fn one_address(written: &WrittenListen, report: &mut Report) -> Option<Listen> {
    let protocol = match written.protocol.value.as_str() {
        "tcp" => Some(IpProtocol::TCP),
        "udp" => Some(IpProtocol::UDP),
        other => {
            report.error(
                codes::SOCKET_PROTOCOL,
                format!("a socket cannot be found by listening on `{other}`"),
                written.protocol.span,
                "neither `tcp` nor `udp`",
                "write `tcp listen ADDRESS:PORT` or `udp listen ADDRESS:PORT`",
            );
            None
        }
    };
    let port = u16::try_from(written.port.value)
        .ok()
        .filter(|&port| port != 0);
    if port.is_none() {
        report.error(
            codes::LISTEN_PORT,
            format!("no socket listens on port {}", written.port.value),
            written.port.span,
            "ports that can be listened on are 1 to 65535",
            "write the port that the socket is bound to",
        );
    }
    Some(Listen {
        protocol: protocol?,
        // A socket of both families that is bound to an IPv4 address gets that address's IPv4 packets.
        address: written.address.value.to_canonical(),
        port: port?,
    })
}

fn second_address(
    second: &Spanned<WrittenListen>,
    first: &Spanned<WrittenListen>,
    members: u32,
) -> Diagnostic {
    let family = Family::of(second.value.address.value.to_canonical()).name();
    let protocol = second.value.protocol.value.to_uppercase();
    let (message, [this, other], help) = match members {
        1 => (
            format!("the socket has two addresses for {protocol} over {family}"),
            ["the second", "the first"],
            "declare two sockets, and say in the rules which one gets what; or let the name hold both: `members 2`",
        ),
        _ => (
            format!(
                "the socket has more addresses for {protocol} over {family} than its {members} members, or one twice"
            ),
            ["one too many", "the one before"],
            "write each address once, and as many `members` as there are addresses, or more",
        ),
    };
    Diagnostic::error(codes::LISTEN_TWICE, message, second.span, this)
        .also(first.span, other)
        .help(help)
}
