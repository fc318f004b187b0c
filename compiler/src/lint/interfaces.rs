//! Names and patterns that no interface can have.
//!
//! Takes the text of a policy; warns where it names an interface that the kernel would never make, since the policy holds
//! nowhere by that name. Not here: targets of redirects, which must be one interface and are refused (E0329).

use sockc_grammar::ast::{Clause, File, Name, Scope, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::NO_INTERFACE;
use crate::glob::never_an_interface;

/// Warns of each such name.
pub(super) fn check(file: &File, found: &mut Vec<Diagnostic>) {
    statements(&file.statements, found);
}

fn statements(all: &[Spanned<Statement>], found: &mut Vec<Diagnostic>) {
    for statement in all {
        match &statement.value {
            Statement::Interfaces(names) => tell(names, found),
            Statement::Zone(zone) => tell(&zone.interfaces, found),
            Statement::For(block) => {
                if let Scope::Interface(name) = &block.scope {
                    tell(std::slice::from_ref(name), found);
                }
                statements(&block.statements, found);
            }
            Statement::Rule(rule) => {
                for clause in &rule.clauses {
                    if let Clause::OnInterface(name) | Clause::ToInterface(name) = &clause.value {
                        tell(std::slice::from_ref(name), found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn tell(names: &[Name], found: &mut Vec<Diagnostic>) {
    for name in names {
        let Some(why) = never_an_interface(&name.value) else {
            continue;
        };
        let written = name.value.escape_debug();
        let message = format!("no interface can be called `{written}`");
        found.push(
            Diagnostic::warning(NO_INTERFACE, message, name.span, why).help(
                "write the name that `ip link` shows, or a pattern of such names, such as `br-*`",
            ),
        );
    }
}
