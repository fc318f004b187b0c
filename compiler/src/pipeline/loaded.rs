//! The list that a live set is loaded with while its policy is in force: what a policy that names the file reads in it.

use std::net::IpAddr;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceId, SourceMap, Span};

use crate::observer::Silent;
use crate::reading::{place_of, read_list};
use crate::resolve::prefixes_of_list;

/// The prefixes that a list of the source map means to a live set. What a policy is only warned of is wrong here: whoever loads
/// a list every hour reads no warnings.
///
/// # Errors
///
/// What is wrong, up to 20 lines in their order, and how many more; of ranges that are no prefix the first by address.
pub fn list_of_live_set(
    sources: &SourceMap,
    id: SourceId,
) -> Result<Vec<(IpAddr, u8)>, Vec<Diagnostic>> {
    let source = sources.get(id);
    let (list, mut wrong) = read_list(source, id, &mut Silent);
    if !wrong.is_empty() {
        wrong.sort_by_key(|one| one.primary.span.start);
        return Err(wrong);
    }
    let beginning = Span {
        source: id,
        start: 0,
        end: 0,
    };
    let place = |ends| place_of(source, id, ends).unwrap_or(beginning);
    prefixes_of_list(&list, place).map_err(|wrong| vec![*wrong])
}
