//! Lists in which a port stands beside addresses: `to 10.0.0.1, port 80` is every port of that address, and that port of every
//! address. Who writes it mostly means the port of the address. `not 10.0.0.1, port 80` is neither, and says what it means.

use sockc_grammar::ast::{Address, Endpoint, File};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceMap, Spanned};

use super::{LONE_PORT, sides};

/// Reports such lists.
pub(super) fn check(file: &File, sources: &SourceMap, found: &mut Vec<Diagnostic>) {
    let meant = sides::lists(file).filter(|list| !list.negated);
    found.extend(meant.filter_map(|list| beside(list.endpoints, sources)));
}

fn beside(list: &[Spanned<Endpoint>], sources: &SourceMap) -> Option<Diagnostic> {
    let lone = list.iter().find(|one| one.value.address.is_none())?;
    let ports = sources.text(lone.value.ports.as_ref()?.span);
    let whole: Vec<&Spanned<Address>> = list
        .iter()
        .filter(|one| one.value.ports.is_none())
        .filter_map(|one| one.value.address.as_ref())
        .collect();
    let first = sources.text(whole.first()?.span);
    let meant: Vec<String> = whole
        .iter()
        .map(|address| Endpoint::written(sources.text(address.span), ports))
        .collect();
    let warning = Diagnostic::warning(
        LONE_PORT,
        format!("this is every port of `{first}`, and these ports of every address"),
        lone.span,
        "an item of the list like the others",
    );
    Some(warning.help(format!(
        "write `{}` for these ports of what is named, or a rule of its own for the ports of every address",
        meant.join(", ")
    )))
}
