//! A protocol that no hook of the kernel decides about: refused with the reason, for no later version can do better.
//!
//! Takes a statement that did not parse; says so where the word stands in the place of a protocol. Protocols that only some
//! directions have are refused by the compiler.

use super::Failure;
use crate::codes;
use crate::diagnostic::Diagnostic;

/// Sockets of a kind that no hook decides about: the word, how people call them, and what to do.
///
/// `unix_stream_bpf_update_proto` of net/unix/unix_bpf.c, and `vsock_bpf_update_proto` of net/vmw_vsock/vsock_bpf.c, replace what
/// reads and not what writes, so sk_msg is never run; and sock_ops, which takes sockets in, is called for TCP alone.
const UNSEEN: [(&str, &str, &str); 2] = [
    (
        "unix",
        "UNIX",
        "leave the rule out: the permissions of a socket's file and its folders say who may connect",
    ),
    (
        "vsock",
        "VSOCK",
        "leave the rule out: a seccomp filter can keep a process from making such sockets",
    ),
];

impl Failure<'_> {
    /// The refusal of `unix` and `vsock`.
    pub(super) fn unseen(&self, word: &str) -> Option<Diagnostic> {
        let (_, name, help) = UNSEEN.iter().find(|(unseen, ..)| *unseen == word)?;
        if !self.expected.kinds.contains(&"a protocol") || self.expected.has_name() {
            return None;
        }
        let refused = self.error(
            codes::UNSEEN,
            format!("what goes over {name} sockets cannot be decided"),
            self.span(word.len()),
            format!(
                "no hook takes new {name} sockets of a group in, and the kernel runs no sk_msg program for what they write"
            ),
        );
        Some(refused.help(*help))
    }
}
