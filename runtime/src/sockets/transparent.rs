//! Whether sockets that redirects `at tc` lead to may answer in the name of any address.
//!
//! Takes how slots stand; the kernel has told of each socket whether it is transparent. One of which it does not tell, before Linux
//! 5.10, is not refused.

use sockc_compiler::artifact::Manifest;

use super::lookup::SlotState;
use crate::error::Error;

/// Why a socket that is not transparent is refused, and what to do.
pub(crate) const OPAQUE: &str = "is not transparent (IP_TRANSPARENT), so that it could not answer in the name of the addresses that redirects `at tc` take; have its program set that option before it binds, which needs CAP_NET_ADMIN, as haproxy does with `transparent` on its `bind` line and systemd with `Transparent=yes`";

impl SlotState {
    /// Whether a redirect `at tc` of a policy leads to the socket that is in the slot, or that stands there to be taken, and it is
    /// not transparent.
    #[must_use]
    pub fn is_opaque(&self, manifest: &Manifest) -> bool {
        let opaque = self.who.as_ref().and_then(|who| who.transparent) == Some(false);
        opaque && is_intercepting(manifest, &self.socket)
    }
}

/// Whether a redirect `at tc` leads to a named socket.
pub(crate) fn is_intercepting(manifest: &Manifest, name: &str) -> bool {
    let sockets = manifest.intercepts.iter().flat_map(|plan| &plan.sockets);
    sockets.into_iter().any(|socket| socket == name)
}

/// Refuses a policy that leads packets to such a socket.
pub(crate) fn check(manifest: &Manifest, states: &[SlotState]) -> Result<(), Error> {
    let mut opaque = states.iter().filter(|state| state.is_opaque(manifest));
    match opaque.next() {
        Some(state) => Err(refusal(state)),
        None => Ok(()),
    }
}

fn refusal(state: &SlotState) -> Error {
    let who = state.who.as_ref();
    let process = who.and_then(|who| who.process.as_ref());
    let process = process.map_or_else(String::new, |(pid, name)| {
        format!(" of process {pid} ({name})")
    });
    let at = who.map_or_else(String::new, |who| format!(" at {}", who.local));
    let name = &state.socket;
    Error::Undelivered {
        wrong: vec![format!("the socket{at}{process} of \"{name}\" {OPAQUE}")],
        addable: false,
        netns: None,
    }
}
