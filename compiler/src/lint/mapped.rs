//! Rules that let in or out what carries IPv4-mapped addresses, and nothing else: who names their block means IPv4.
//!
//! Who drops it means packets that are forged. Not here: addresses inside the block, which name one of IPv4 each (`values`).

use std::net::Ipv4Addr;

use sockc_grammar::diagnostic::Diagnostic;

use crate::policy::{Action, AddressSet, Policy, Rule, Side};
use crate::values::codes::MATCHES_NOTHING;

/// Reports them.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let block = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into();
    let block = AddressSet::of_prefixes([(block, 96)]);
    for rule in policy.rules.values() {
        let sides = [&rule.matches.from, &rule.matches.to];
        let mut sides = sides.into_iter().flatten();
        let passes = !matches!(rule.action, Action::Drop | Action::Reject | Action::Count);
        if passes && sides.any(|side| is_of_block(policy, side, &block)) {
            found.push(report(rule));
        }
    }
}

fn is_of_block(policy: &Policy, side: &Side, block: &AddressSet) -> bool {
    let Side::Endpoints {
        negated: false,
        endpoints,
    } = side
    else {
        return false;
    };
    let mut all = endpoints.iter();
    let is_it = |of: Option<&AddressSet>| of == Some(block);
    !endpoints.is_empty() && all.all(|endpoint| is_it(endpoint.addresses.constant(policy)))
}

fn report(rule: &Rule) -> Diagnostic {
    Diagnostic::warning(
        MATCHES_NOTHING,
        "IPv4-mapped addresses match no IPv4 packet",
        rule.place.span,
        "programs see IPv4 so; packets carry the IPv4 addresses themselves, and only forged ones carry these",
    )
    .help("write `0.0.0.0/0`")
}

#[cfg(test)]
mod tests {
    use sockc_grammar::source::SourceMap;

    use super::MATCHES_NOTHING;
    use crate::files::Texts;
    use crate::pipeline;

    /// The help of what is said of a rule.
    fn said(text: &str) -> Vec<Option<String>> {
        let mut sources = SourceMap::default();
        let id = sources.add("t.sk", format!("default in drop\n{text}\n"));
        let checked = pipeline::check(&mut sources, id, "t", &mut Texts::default());
        let found = checked.diagnostics.into_iter();
        let found = found.filter(|one| one.code == MATCHES_NOTHING);
        found.map(|one| one.help).collect()
    }

    #[test]
    fn the_block_is_warned_of_where_it_is_not_dropped() {
        for text in [
            "allow tcp from ::ffff:0:0/96 to any:22",
            "allow tcp to [::ffff:0:0/96]:22",
            "set v4 = { ::ffff:0:0/96 }\nallow tcp from @v4 to any:22",
        ] {
            assert_eq!(said(text), [Some("write `0.0.0.0/0`".to_owned())], "{text}");
        }
        for text in [
            "drop from ::ffff:0:0/96\nallow tcp to any:22",
            "allow tcp from ::ffff:0:0/96, 10.0.0.0/8 to any:22",
            "allow tcp from ::/0 to any:22",
            "allow tcp from not ::ffff:0:0/96 to any:22",
        ] {
            assert_eq!(said(text), [], "{text}");
        }
    }
}
