//! A protocol that no hook of the kernel decides about: refused with the reason, for no later version can do better.
//!
//! Takes a statement that did not parse; says so where the word stands in the place of a protocol. Protocols that only some
//! directions have are refused by the compiler.

use super::Failure;
use crate::codes;
use crate::diagnostic::Diagnostic;

impl Failure<'_> {
    /// The refusal of `unix`. `unix_stream_bpf_update_proto` of net/unix/unix_bpf.c replaces what reads and not what writes, so
    /// sk_msg is never run; and sock_ops, which takes sockets in, is called for TCP alone.
    pub(super) fn unseen(&self, word: &str) -> Option<Diagnostic> {
        let stands = word == "unix" && self.expected.kinds.contains(&"a protocol");
        if !stands || self.expected.has_name() {
            return None;
        }
        let refused = self.error(
            codes::UNSEEN,
            "what goes over UNIX sockets cannot be decided",
            self.span(word.len()),
            "no hook takes new UNIX sockets of a group in, and the kernel runs no sk_msg program for what they write",
        );
        Some(refused.help(
            "leave the rule out: the permissions of a socket's file and its folders say who may connect",
        ))
    }
}
