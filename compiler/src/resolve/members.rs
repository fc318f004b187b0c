//! `members`, `spread` and `pinned` of a socket: how many share a name, and how.

use sockc_grammar::ast::SocketDecl;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::report::Report;
use crate::policy::{Socket, Spread};
use crate::spread::MAX_MEMBERS;

/// How many sockets of each kind a name may hold, and what keeps flows together that are spread over them; `None` if something
/// is wrong with it, which is reported.
pub(super) fn sharing(decl: &SocketDecl, report: &mut Report) -> Option<(u32, Spread)> {
    let members = match &decl.members {
        Some(written) => members(written, report)?,
        None => 1,
    };
    let spread = match decl.spread_by_source {
        None => Spread::ByFlow,
        Some(_) if members > 1 => Spread::BySource,
        Some(span) => {
            report.error(
                codes::SOCKET_SHARED,
                format!("nothing is spread behind the socket `{}`", decl.name.value),
                span,
                "it holds one socket of each kind",
                "say how many there may be, such as `members 4 spread by source`, or leave this out",
            );
            return None;
        }
    };
    Some((members, spread))
}

fn members(written: &Spanned<u64>, report: &mut Report) -> Option<u32> {
    let fits = u32::try_from(written.value).ok();
    let fits = fits.filter(|members| (2..=MAX_MEMBERS).contains(members));
    if fits.is_none() {
        let (found, help) = match written.value {
            0 => (
                "a name that holds none steers to nobody".to_owned(),
                format!("write a number from 2 to {MAX_MEMBERS}, or leave `members` out"),
            ),
            1 => (
                "every name holds one socket of each kind".to_owned(),
                "leave it out, or write how many more there may be".to_owned(),
            ),
            _ => (
                format!("2 to {MAX_MEMBERS} are possible"),
                format!(
                    "write a number from 2 to {MAX_MEMBERS}; each member may be a reuseport group of any size"
                ),
            ),
        };
        report.error(
            codes::SOCKET_MEMBERS,
            format!("a socket cannot have {} members", written.value),
            written.span,
            found,
            help,
        );
    }
    fits
}

/// Whether nothing is said of a socket that only those can mean that listen: rules put data into the queues of this one.
pub(super) fn is_alone(socket: &Socket, span: Span, report: &mut Report) -> Option<()> {
    if socket.members == 1 && !socket.pinned {
        return Some(());
    }
    report.push(
        Diagnostic::error(
            codes::SOCKET_SHARED,
            format!(
                "no data can be put into the queues of the socket `{}`",
                socket.name
            ),
            span,
            "data goes to one connected socket, which has neither members nor a reuseport group",
        )
        .also(socket.place.span, "declared here")
        .help("leave `members`, `spread` and `pinned` out, or declare another socket for this"),
    );
    None
}

/// Whether a redirect `at tc` leads to a socket as it says: `bpf_sk_assign` takes no flags there, and the kernel spreads what it is
/// given over the reuseport group of the socket.
pub(super) fn is_spread(socket: &Socket, at: Span, report: &mut Report) -> Option<()> {
    if !socket.pinned {
        return Some(());
    }
    report.push(
        Diagnostic::error(
            codes::SOCKET_PINNED,
            format!(
                "the socket `{}` is pinned, to which a redirect at tc cannot keep",
                socket.name
            ),
            at,
            "here the kernel may give a packet to any socket of a reuseport group",
        )
        .also(socket.place.span, "declared here")
        .help("leave `pinned` out, and bind each socket to an address of its own, as those of a name with `members` may be; or leave `at tc` out where the addresses are those of this machine"),
    );
    None
}
