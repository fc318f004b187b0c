//! Rules about interfaces.
//!
//! Takes names, and at which end of a packet they are meant; gives what is asked. Not here: how a tool writes names.

use sockc_compiler::policy::Family;

use super::list::List;
use super::rule::Asks;
use super::what::{Pattern, What};

/// An end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The interface by which it came in.
    CameIn,
    /// The interface by which it leaves.
    Leaves,
}

/// What a rule about interfaces asks: any of these, or none of them. No name at all stands for every one. What arrives leaves by none, and
/// what leaves came in by none: there a name is never the packet's.
pub(super) fn asks(
    end: End,
    patterns: &[Pattern],
    negated: bool,
    family: Family,
    list: List,
) -> Asks {
    let has_it = list == List::Forward || (list == List::In) == (end == End::CameIn);
    let any = What::any(family);
    if !has_it || patterns.is_empty() {
        let is_always = negated != patterns.is_empty();
        let cases = if is_always { vec![any] } else { Vec::new() };
        return Asks {
            cases,
            ..Asks::default()
        };
    }
    if negated {
        return all_but(end, patterns, any, list);
    }
    let cases = patterns
        .iter()
        .map(|pattern| What::by(family, end, pattern));
    Asks {
        cases: cases.collect(),
        ..Asks::default()
    }
}

/// All interfaces but these. By `lo` nothing passes through, and a policy is on it only if it is named.
fn all_but(end: End, patterns: &[Pattern], mut any: What, list: List) -> Asks {
    let note = "it holds on every interface of the policy here, so do not name `lo` among them";
    let (lo, others): (Vec<&Pattern>, Vec<&Pattern>) = patterns
        .iter()
        .partition(|one| **one == Pattern::One("lo".to_owned()));
    let not = match end {
        End::CameIn => &mut any.not_on,
        End::Leaves => &mut any.not_leaves,
    };
    not.extend(others.into_iter().cloned());
    Asks {
        cases: vec![any],
        note: (!lo.is_empty() && list != List::Forward).then(|| note.to_owned()),
        changed: None,
    }
}
