//! Names that the kernel must know: one interface, one network namespace.
//!
//! Each check gives the diagnostic of a name that can be none. Not here: whether there is such a thing on a machine.

use sockc_grammar::ast::Name;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::codes;
use super::numbers::Checked;
use crate::glob;

/// One interface as the kernel names it: up to 15 bytes, no pattern.
pub(crate) fn interface(name: &Name) -> Checked<()> {
    let wrong = match glob::is_pattern(&name.value) {
        true => Some("a pattern: it may stand for several interfaces"),
        false => glob::never_an_interface(&name.value),
    };
    let Some(wrong) = wrong else { return Ok(()) };
    let found = Diagnostic::error(
        codes::INTERFACE_NAME,
        format!("`{}` is not one interface", name.value.escape_debug()),
        name.span,
        wrong,
    );
    Err(Box::new(
        found.help("write the name of one interface, such as `eth1`"),
    ))
}

/// A network namespace as `ip netns` names it: a file name.
pub(crate) fn netns(name: &Spanned<String>) -> Checked<()> {
    let wrong = match name.value.as_str() {
        "" => "empty",
        "." | ".." => "the name of a folder",
        other if other.contains(['/', '\0']) => "holds a `/` or a NUL byte",
        other if other.len() > 255 => "longer than 255 bytes",
        _ => return Ok(()),
    };
    let found = Diagnostic::error(
        codes::NETNS_NAME,
        format!(
            "no network namespace can be called `{}`",
            name.value.escape_debug()
        ),
        name.span,
        wrong,
    );
    Err(Box::new(found.help(
        "write the name that `ip netns` shows, such as \"blue\"",
    )))
}
