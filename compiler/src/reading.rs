//! A policy's text with everything that it names: included files put in their places, the lists of sets read.
//!
//! Takes a source and the [`Files`] around it; gives one file of statements without `include`, the lists by the place
//! where they are named, and what is wrong. Every text is added to the source map, so that spans point into the file that
//! they were written in. Not here: what statements mean.

pub(crate) mod codes;
mod list;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sockc_grammar::ast::{self, ForBlock, Include, Name, SetTerm, SetValue, Statement};
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceId, SourceMap, Span, Spanned};

use crate::files::{BUILTINS, Files, next_to, normal, title_of_builtin};
use crate::names::nearest;

pub(crate) use list::{List, place_of, read as read_list};

/// The lists that sets are made of, by the place of the path that names them; `None` for those that are wrong.
pub(crate) type Lists = BTreeMap<Span, Option<Arc<List>>>;

/// Files may include each other to this depth. A chain that is longer goes in circles through links.
const MAX_INCLUDE_DEPTH: usize = 32;

/// A policy may include this many files in all.
const MAX_INCLUDES: usize = 4096;

/// The name of this stage.
const STAGE: &str = "read the policy";

/// What was read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The statements, those of included files in the place of their `include`.
    pub file: ast::File,
    /// The lists.
    pub lists: Lists,
    /// Whether nothing was left out: every statement was understood, every included file was there.
    pub whole: bool,
}

/// Reads a policy that is in the source map already, and every file that it names.
pub(crate) fn read(
    sources: &mut SourceMap,
    id: SourceId,
    files: &mut dyn Files,
) -> (Reading, Vec<Diagnostic>) {
    files.stage(STAGE);
    let path = normal(sources.get(id).name.as_ref());
    let mut reader = Reader {
        sources,
        files,
        diagnostics: Vec::new(),
        open: vec![Open { path, named: None }],
        included: 0,
        known_lists: BTreeMap::new(),
        lists: Lists::new(),
        whole: true,
    };
    let statements = reader.source(id);
    let reading = Reading {
        file: ast::File {
            source: id,
            statements,
        },
        lists: reader.lists,
        whole: reader.whole,
    };
    (reading, reader.diagnostics)
}

/// A file that is being read.
struct Open {
    path: PathBuf,
    /// The `include` that names it; `None` for the policy itself.
    named: Option<Span>,
}

/// One run.
struct Reader<'a> {
    sources: &'a mut SourceMap,
    files: &'a mut dyn Files,
    diagnostics: Vec<Diagnostic>,
    /// The file that is being read, after those that include it.
    open: Vec<Open>,
    included: usize,
    /// Lists that were read, by their paths.
    known_lists: BTreeMap<PathBuf, Option<Arc<List>>>,
    lists: Lists,
    whole: bool,
}

impl Reader<'_> {
    /// The statements of a source, with those of the files that it includes.
    fn source(&mut self, id: SourceId) -> Vec<Spanned<Statement>> {
        let (file, mistakes) = sockc_grammar::parse(self.sources, id);
        self.whole &= mistakes.is_empty();
        self.diagnostics.extend(mistakes);
        self.expanded(file.statements)
    }

    fn expanded(&mut self, statements: Vec<Spanned<Statement>>) -> Vec<Spanned<Statement>> {
        let is_plain = |one: &Spanned<Statement>| {
            !matches!(
                one.value,
                Statement::Include(_) | Statement::For(_) | Statement::Set(_)
            )
        };
        // A long list is as it is to be.
        if statements.iter().all(is_plain) {
            return statements;
        }
        let mut expanded = Vec::with_capacity(statements.len());
        for statement in statements {
            let span = statement.span;
            match statement.value {
                Statement::Include(Include::Path(path)) => expanded.extend(self.include(&path)),
                Statement::Include(Include::Builtin(name)) => expanded.extend(self.builtin(&name)),
                Statement::For(block) => {
                    let value = Statement::For(ForBlock {
                        statements: self.expanded(block.statements),
                        scope: block.scope,
                    });
                    expanded.push(Spanned { value, span });
                }
                Statement::Set(set) => {
                    self.lists_of(set.value.as_ref());
                    expanded.push(Spanned {
                        value: Statement::Set(set),
                        span,
                    });
                }
                value => expanded.push(Spanned { value, span }),
            }
        }
        expanded
    }

    fn include(&mut self, written: &Spanned<String>) -> Vec<Spanned<Statement>> {
        let statements = self.included_file(written);
        // What is missing may declare names.
        self.whole &= statements.is_some();
        statements.unwrap_or_default()
    }

    fn included_file(&mut self, written: &Spanned<String>) -> Option<Vec<Spanned<Statement>>> {
        let span = written.span;
        let path = self.path(written);
        let identity = normal(&path);
        if let Some(first) = self.open.iter().position(|open| open.path == identity) {
            self.diagnostics.push(self.cycle(first, span));
            return None;
        }
        self.included += 1;
        if self.open.len() > MAX_INCLUDE_DEPTH || self.included > MAX_INCLUDES {
            self.too_many_includes(span);
            return None;
        }
        let text = self.text(written)?;
        let id = self.sources.add(path.display().to_string(), text);
        self.open.push(Open {
            path: identity,
            named: Some(span),
        });
        let statements = self.source(id);
        self.open.pop();
        Some(statements)
    }

    fn builtin(&mut self, name: &Name) -> Vec<Spanned<Statement>> {
        let Some(text) = self.files.builtin(&name.value) else {
            self.whole = false;
            self.unknown_builtin(name);
            return Vec::new();
        };
        let id = self.sources.add(title_of_builtin(&name.value), text);
        self.source(id)
    }

    /// Reads the lists of a set, each file once however often it is named.
    fn lists_of(&mut self, value: Option<&SetValue>) {
        let Some(SetValue::Addresses { first, rest }) = value else {
            return;
        };
        for term in std::iter::once(first).chain(rest.iter().map(|(_, term)| term)) {
            if let SetTerm::File { path, .. } = term {
                let identity = normal(&self.path(path));
                let list = match self.known_lists.get(&identity) {
                    Some(list) => list.clone(),
                    None => self.list(path),
                };
                self.known_lists.insert(identity, list.clone());
                self.lists.insert(path.span, list);
            }
        }
    }

    fn list(&mut self, written: &Spanned<String>) -> Option<Arc<List>> {
        let text = self.text(written)?;
        let name = self.path(written).display().to_string();
        let id = self.sources.add_list(name, text);
        let source = self.sources.get(id);
        self.files.stage(&format!("read {}", source.name));
        let (list, found) = list::read(source, id, self.files);
        self.files.stage(STAGE);
        let sound = found.iter().all(|one| one.severity != Severity::Error);
        self.diagnostics.extend(found);
        sound.then(|| Arc::new(list))
    }

    fn path(&self, written: &Spanned<String>) -> PathBuf {
        next_to(&self.sources.get(written.span.source).name, &written.value)
    }

    /// The text of a file; one that cannot be read is reported where it is named.
    fn text(&mut self, written: &Spanned<String>) -> Option<String> {
        let path = self.path(written);
        let reason = match self.files.read(&path) {
            Ok(bytes) if u32::try_from(bytes.len()).is_err() => "it is larger than 4 GiB".into(),
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(error) => {
                    let at = error.utf8_error().valid_up_to();
                    format!("byte {at} is not UTF-8 text")
                }
            },
            Err(reason) => reason,
        };
        self.diagnostics.push(
            Diagnostic::error(
                codes::UNREADABLE,
                format!("cannot read `{}`: {reason}", path.display()),
                written.span,
                "named here",
            )
            .help("write a path that is relative to the folder of this file, or an absolute one"),
        );
        None
    }

    /// `first` is the place in the chain of the file that is included again.
    fn cycle(&self, first: usize, span: Span) -> Diagnostic {
        let chain = &self.open[first..];
        let names: Vec<String> = chain
            .iter()
            .chain(chain.first())
            .map(|open| format!("`{}`", open.path.display()))
            .collect();
        let mut diagnostic = Diagnostic::error(
            codes::INCLUDE_CYCLE,
            format!("the file {} includes itself", names[0]),
            span,
            match chain.len() {
                1 => "this is the file itself".to_owned(),
                _ => format!("this closes the circle: {}", names.join(" includes ")),
            },
        );
        for link in chain.iter().skip(1).filter_map(|open| open.named) {
            diagnostic = diagnostic.also(link, "included here");
        }
        diagnostic.help("leave one of the `include` lines out; put what both files need in a third")
    }

    fn too_many_includes(&mut self, span: Span) {
        self.diagnostics.push(
            Diagnostic::error(
                codes::TOO_MANY_INCLUDES,
                "too many files are included",
                span,
                format!(
                    "files may include each other {MAX_INCLUDE_DEPTH} deep, and a policy {MAX_INCLUDES} of them"
                ),
            )
            .help("put what they say in fewer files"),
        );
    }

    fn unknown_builtin(&mut self, name: &Name) {
        let names = || BUILTINS.iter().map(|(known, _)| *known);
        let help = match nearest(&name.value, names()) {
            Some(near) => format!("write `<{near}>`, or the path of a file as a string"),
            None => format!(
                "there is `<{}>`; the path of a file is written as a string: `include \"{}\"`",
                names().collect::<Vec<_>>().join(">`, `<"),
                name.value
            ),
        };
        self.diagnostics.push(
            Diagnostic::error(
                codes::UNKNOWN_BUILTIN,
                format!("sockc has no text `<{}>`", name.value),
                name.span,
                "not known",
            )
            .help(help),
        );
    }
}
