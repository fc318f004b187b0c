//! Programs of sockc on the hooks of a namespace whose state folder knows nothing of them.
//!
//! They are pinned in a bpf file system that this process does not see: another mount namespace's, or one that something was
//! mounted over. Takes the namespace of a session; says on which hooks they are. Hooks on control groups are not looked at.

use std::os::fd::AsFd;

use crate::attach::foreign::{self, Foreign};
use crate::error::{Error, at};
use crate::hook::{Hook, Means, Point, is_dispatcher};
use crate::session::Session;
use crate::sys::netns;
use crate::sys::prog::AttachTarget;

/// The hooks, in words.
pub(crate) fn hooks(session: &Session) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for (index, name) in netns::interfaces().map_err(at("list the interfaces"))? {
        let xdp = foreign::xdp(index.into())?;
        if xdp.is_some_and(|(_, program)| is_dispatcher(&program)) {
            found.push(words(Point::Xdp(index), &name));
        }
        for point in [Point::TcIn(index), Point::TcOut(index)] {
            if ours(&on_tc(index, point)?) {
                found.push(words(point, &name));
            }
        }
    }
    if ours(&foreign::lookups(session.namespace.as_fd(), &[])?) {
        found.push(Point::Lookup.title());
    }
    Ok(found)
}

fn on_tc(index: u32, point: Point) -> Result<Vec<Foreign>, Error> {
    let mut programs = foreign::on(AttachTarget::Interface(index), point.kind().attach, &[])?;
    let filters = Hook {
        point,
        target: index.into(),
        since: 0,
        means: Means::Clsact,
    };
    programs.extend(foreign::filters(&filters, None)?);
    Ok(programs)
}

fn ours(programs: &[Foreign]) -> bool {
    programs.iter().any(|one| is_dispatcher(&one.name))
}

fn words(point: Point, interface: &str) -> String {
    format!("{} {interface}", point.title())
}
