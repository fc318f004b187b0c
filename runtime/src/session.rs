//! What every command begins with: rights, the bpf file system, the namespace.
//!
//! A command that changes something, or asks the kernel what hangs where, enters with [`enter`]; one that reads what is pinned with
//! [`look`], which members of the group that may read it do without rights.

use std::io;

use crate::error::{Error, at, passes};
use crate::options::Options;
use crate::state::{State, readers};
use crate::sys::caps;
use crate::sys::netns::{self, Namespace};

/// A command at work, in a thread that is in the policy's namespace.
#[derive(Debug)]
pub(crate) struct Session {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// Its state folder.
    pub(crate) state: State,
}

impl Session {
    /// Where its hooks are: the pins of ours, and the namespace.
    pub(crate) fn place(&self) -> (&State, &Namespace) {
        (&self.state, &self.namespace)
    }
}

/// Checks the rights and runs `work` inside the namespace that the options name.
pub(crate) fn enter<T: Send>(
    options: &Options,
    work: impl FnOnce(&Session) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let missing = missing(options);
    match missing.is_empty() {
        true => within(options, work),
        false => Err(Error::Rights { missing }),
    }
}

/// The same for `work` that only reads what is pinned: a member of the group that may read it needs no rights for that. Into other
/// namespaces nobody comes without.
pub(crate) fn look<T: Send>(
    options: &Options,
    work: impl FnOnce(&Session) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let missing = missing(options);
    if missing.is_empty() {
        return within(options, work);
    }
    if options.netns.is_some() {
        return Err(Error::Rights { missing });
    }
    let none = missing.clone();
    let looked = within(options, |session| {
        readers::admit(&session.state, missing)?;
        Ok(work(session))
    });
    match looked {
        // Not even the folder can be come to.
        Err(Error::NoAccess { .. }) => Err(Error::Rights { missing: none }),
        looked => looked?,
    }
}

/// The capabilities that miss for work where the options say.
fn missing(options: &Options) -> Vec<&'static str> {
    caps::missing(options.netns.is_some())
}

fn within<T: Send>(
    options: &Options,
    work: impl FnOnce(&Session) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    caps::lift_memlock();
    let refused = |cause: io::Error| match passes(&cause) {
        true => at("work in the network namespace")(cause),
        false => Error::Netns {
            name: options.netns.clone().unwrap_or_default(),
            cause,
        },
    };
    let file = options
        .netns
        .as_deref()
        .map(netns::open)
        .transpose()
        .map_err(refused)?;
    let done = netns::within(file.as_ref(), || {
        let namespace = Namespace::current().map_err(refused)?;
        let state = State::at(&options.bpffs, namespace.inode)?;
        work(&Session { namespace, state })
    });
    done.map_err(refused)?
}
