//! What every command begins with: rights, the bpf file system, the namespace.

use std::io;

use crate::error::{Error, at, passes};
use crate::options::Options;
use crate::state::State;
use crate::sys::netns::{self, Namespace};
use crate::sys::{caps, token};

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
    token::seek(&options.bpffs);
    let missing = caps::missing(options.netns.is_some());
    if !missing.is_empty() {
        return Err(Error::rights(missing));
    }
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
