//! The plain rules of a large text, read ahead by several threads.
//!
//! Whether the text of a statement is a plain rule, and which, depends on nothing else; so the statements of a text are read in
//! parts at once, and whoever walks through it takes what was read. Not here: where statements begin and end, which the
//! outline says, and what is no plain rule.

use std::iter::Peekable;
use std::panic::resume_unwind;
use std::thread;
use std::vec::IntoIter;

use super::plain;
use crate::ast::Rule;
use crate::outline::Outline;
use crate::source::SourceId;

/// So few statements are read where they are come to.
const FEW: usize = 2048;

/// No more threads than this.
const MOST_PARTS: usize = 8;

/// Where a statement begins, and the plain rule that it is.
type Read = (usize, Option<Box<Rule>>);

/// What was read ahead, in the order of the text.
pub(super) struct Ahead {
    rest: Peekable<IntoIter<Read>>,
}

impl Ahead {
    /// Nothing was.
    pub(super) fn nothing() -> Self {
        Self {
            rest: Vec::new().into_iter().peekable(),
        }
    }

    /// Reads a text whose `plain` form the grammar reads, if it is a large one.
    pub(super) fn of(text: &str, plain: &str, outline: &Outline, source: SourceId) -> Self {
        let starts = &outline.starts;
        if starts.len() <= FEW {
            return Self::nothing();
        }
        let parts = thread::available_parallelism().map_or(1, usize::from);
        let each = starts.len().div_ceil(parts.min(MOST_PARTS));
        let statement = |index: usize| {
            let start = *starts.get(index)?;
            let next = starts.get(index + 1).copied().unwrap_or(text.len());
            let end = outline.token_end_before(text, next);
            let rule = plain::rule(plain.get(start..end)?, source, start);
            Some((start, rule.map(Box::new)))
        };
        let part = |first: usize| {
            let indices = first..starts.len().min(first + each);
            indices.filter_map(statement).collect::<Vec<Read>>()
        };
        let read = thread::scope(|scope| {
            let others = (each..starts.len()).step_by(each);
            let others = others.map(|first| {
                let work = move || part(first);
                (first, thread::Builder::new().spawn_scoped(scope, work).ok())
            });
            let others: Vec<_> = others.collect();
            let mut read = part(0);
            for (first, other) in others {
                read.extend(match other {
                    Some(other) => other.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    None => part(first),
                });
            }
            read
        });
        Self {
            rest: read.into_iter().peekable(),
        }
    }

    /// The plain rule that begins at `start`, or that there is none; nothing if that was not read. What stands before `start`
    /// is not asked for any more.
    pub(super) fn take(&mut self, start: usize) -> Option<Option<Box<Rule>>> {
        while self.rest.next_if(|(at, _)| *at < start).is_some() {}
        let (_, rule) = self.rest.next_if(|(at, _)| *at == start)?;
        Some(rule)
    }
}
