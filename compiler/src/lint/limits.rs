//! Sets and maps that are nearly full as they start, so that soon one more element is refused.

use sockc_grammar::ast::{SetTerm, SetValue, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::NEARLY_FULL;
use crate::policy::{Policy, SetKind};
use crate::reading::Reading;

/// From this part of its size on, in percent, a set is nearly full.
const NEARLY: u64 = 90;

fn is_nearly_full(elements: u64, max: u64) -> bool {
    elements.saturating_mul(100) >= max.saturating_mul(NEARLY)
}

/// Reports live sets and maps.
pub(super) fn live(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for set in policy.sets.values() {
        if let SetKind::Live { max, start, .. } = &set.kind {
            let (elements, max) = (start.len() as u64, u64::from(*max));
            if is_nearly_full(elements, max) {
                found.push(report("live set", &set.name, set.place.span, elements, max));
            }
        }
    }
    for map in policy.live_maps.values() {
        let (elements, max) = (map.start.len() as u64, u64::from(map.max));
        if is_nearly_full(elements, max) {
            found.push(report("live map", &map.name, map.place.span, elements, max));
        }
    }
}

/// Reports lists of files.
pub(super) fn files(reading: &Reading, found: &mut Vec<Diagnostic>) {
    statements(&reading.file.statements, reading, found);
}

fn statements(statements: &[Spanned<Statement>], reading: &Reading, found: &mut Vec<Diagnostic>) {
    for statement in statements {
        match &statement.value {
            Statement::For(block) => self::statements(&block.statements, reading, found),
            Statement::Set(set) => {
                if let Some(SetValue::Addresses { first, rest }) = &set.value {
                    let rest = rest.iter().map(|(_, term)| term);
                    let terms = std::iter::once(first).chain(rest);
                    found.extend(terms.filter_map(|term| file(term, reading)));
                }
            }
            _ => {}
        }
    }
}

fn file(term: &SetTerm, reading: &Reading) -> Option<Diagnostic> {
    let SetTerm::File {
        path,
        max: Some(max),
    } = term
    else {
        return None;
    };
    let list = reading.lists.get(&path.span)?.as_ref()?;
    is_nearly_full(list.elements, max.value)
        .then(|| report("list", &path.value, max.span, list.elements, max.value))
}

fn report(kind: &str, name: &str, span: Span, elements: u64, max: u64) -> Diagnostic {
    Diagnostic::warning(
        NEARLY_FULL,
        format!("the {kind} `{name}` starts nearly full"),
        span,
        format!("{elements} elements of at most {max}"),
    )
    .help(format!(
        "write a larger `max`, such as {}",
        elements.saturating_mul(2)
    ))
}
