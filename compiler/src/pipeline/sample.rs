//! Policies that tests put together by hand, compiled.

use super::*;

/// What is built of a policy that must be right.
pub(crate) fn built(policy: &Policy, target: &Target) -> Built {
    let mut sources = SourceMap::default();
    let id = sources.add("sample.sk", "");
    match build(policy, &sources, id, target) {
        Ok(built) => built,
        Err(Stop::Diagnostics(found)) => panic!("{found:?}"),
        Err(Stop::Bug(what)) => panic!("{what}"),
    }
}
