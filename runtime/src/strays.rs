//! Programs of sockc in a network namespace of which the bpf file system at hand knows nothing: their state is kept in another.
//!
//! `ip netns exec` gives each command a `/sys` of its own, and so do containers: there "no policy is in force" would be said of
//! a namespace whose packets a policy decides. Takes the options of a command; gives the programs. Not here: what they do.

use std::os::fd::AsFd;

use crate::error::{Error, at};
use crate::foreign::{self, Foreign};
use crate::hook::{Point, is_ours};
use crate::options::Options;
use crate::session;
use crate::sys::netns;
use crate::sys::prog::Place;

/// Programs of sockc where nothing is known of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strays {
    /// Where each hangs, and its id: "xdp on eth0: program 12".
    pub programs: Vec<String>,
    /// The name that `ip netns` gave the namespace, if it did.
    pub netns: Option<String>,
}

/// The programs of sockc on the interfaces and lookups of a network namespace. To be asked where nothing is in force.
///
/// # Errors
///
/// Any [`Error`].
pub fn strays(options: &Options) -> Result<Strays, Error> {
    session::enter(options, |session| {
        let mut programs = Vec::new();
        for (index, name) in netns::interfaces().map_err(at("list the interfaces"))? {
            if let Some((id, _)) = foreign::xdp(index.into()).filter(|(_, of)| is_ours(of)) {
                programs.push(format!("xdp on {name}: program {id}"));
            }
            for point in [Point::TcIn(index), Point::TcOut(index)] {
                let there = foreign::at(Place::Interface(index), point.kind().attach, &[]);
                let place = format!("{} on {name}", point.title());
                programs.extend(named(&there, &place));
            }
        }
        let lookups = foreign::lookups(session.namespace.as_fd(), &[]);
        programs.extend(named(&lookups, "lookup"));
        Ok(Strays {
            programs,
            netns: netns::name_of(session.namespace.inode),
        })
    })
}

fn named(there: &[Foreign], place: &str) -> Vec<String> {
    let ours = there.iter().filter(|one| is_ours(&one.name));
    ours.map(|one| format!("{place}: program {}", one.id))
        .collect()
}
