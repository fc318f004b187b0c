//! Tests of the whole crate: examples, recovery, mutations, formatting.

mod examples;
mod formatting;
mod generate;
mod mutation;
mod plain;
mod recovery;
mod slips;
mod tables;

use crate::ast::{File, Statement};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, SourceMap};

/// Every example of the language reference.
const LANGUAGE: &str = include_str!("tests/language.sk");

/// Every other way to write things.
const MORE: &str = include_str!("tests/more.sk");

fn source(text: &str) -> (SourceMap, SourceId) {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    (sources, id)
}

fn read(text: &str) -> (File, Vec<Diagnostic>) {
    let (sources, id) = source(text);
    crate::parse(&sources, id)
}

/// The statements of a text that has no mistake.
fn statements(text: &str) -> Vec<Statement> {
    let (file, mistakes) = read(text);
    assert!(mistakes.is_empty(), "{text}\n{}", drawn(text, &mistakes));
    file.statements
        .into_iter()
        .map(|statement| statement.value)
        .collect()
}

fn drawn(text: &str, mistakes: &[Diagnostic]) -> String {
    let (sources, _) = source(text);
    crate::render::render(mistakes, &sources, false)
}

/// Codes and lines of the mistakes of a text.
fn mistakes(text: &str) -> Vec<(&'static str, u32)> {
    let (sources, id) = source(text);
    let (_, mistakes) = crate::parse(&sources, id);
    mistakes
        .iter()
        .map(|mistake| (mistake.code.0, sources.place(mistake.primary.span).0))
        .collect()
}

/// The statements without their spans, the clauses of each rule sorted.
fn meaning(text: &str) -> Vec<String> {
    fn sort(statements: &mut [crate::source::Spanned<Statement>]) {
        for statement in statements {
            match &mut statement.value {
                Statement::Rule(rule) => rule
                    .clauses
                    .sort_by_key(|clause| without_spans(&format!("{:?}", clause.value))),
                Statement::For(block) => sort(&mut block.statements),
                _ => {}
            }
        }
    }
    let (mut file, mistakes) = read(text);
    assert!(mistakes.is_empty(), "{text}\n{}", drawn(text, &mistakes));
    sort(&mut file.statements);
    file.statements
        .iter()
        .map(|statement| without_spans(&format!("{:?}", statement.value)))
        .collect()
}

fn without_spans(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("Span { ") {
        result.push_str(&rest[..at]);
        let after = &rest[at..];
        rest = &after[after.find(" }").map_or(after.len(), |end| end + 2)..];
    }
    result + rest
}
