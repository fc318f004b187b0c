//! Redirects of addresses that are not this machine's: nothing they say ever happens, and no verb shows it otherwise.
//!
//! Takes a policy, and entries of live maps; asks the runtime about some addresses of each range that a redirect is for, in the
//! namespace where it holds. Not here: ranges of every address, which are for whatever is local.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::artifact::LiveEntryPlan;
use sockc_compiler::policy::{Action, Addresses, Policy, Rule, Side, span_of};
use sockc_runtime::{LiveMap, Options, entry_text};

/// So many ranges are named.
const MAX_NAMED: usize = 5;
/// Of so many parts of a range one address each is asked about.
const PARTS: u128 = 8;

/// A range that a redirect is for.
struct Range {
    low: IpAddr,
    high: IpAddr,
    /// The rule, by label or text, with its place; or the entry of a live map.
    rule: String,
}

/// What a person should know of the redirects of a policy and of its `for netns` blocks; nothing where all of them can happen.
pub(crate) fn notes(policy: &Policy, options: &Options) -> Vec<String> {
    let mut notes = own_notes(policy, &[], options);
    for inner in &policy.netns {
        let options = within(options, &inner.name);
        let found = own_notes(&inner.policy, &[], &options);
        notes.extend(found.iter().map(|note| in_netns(&inner.name, note)));
    }
    notes
}

/// The same options for another namespace.
pub(crate) fn within(options: &Options, netns: &str) -> Options {
    Options {
        netns: Some(netns.to_owned()),
        ..options.clone()
    }
}

/// A note about a `for netns` block.
pub(crate) fn in_netns(netns: &str, note: &str) -> String {
    format!("{}: {note}", of_block(netns, None))
}

/// The namespace of a `for netns` block, by its name, and by the path that it is entered by where it lost that.
pub(crate) fn of_block(netns: &str, path: Option<&str>) -> String {
    match path {
        Some(path) => format!("in the network namespace {path}, which was \"{netns}\""),
        None => format!("in the network namespace \"{netns}\""),
    }
}

/// What a person should know of the redirects of a policy in its own namespace, and of those by the entries of live maps.
pub(crate) fn own_notes(policy: &Policy, maps: &[LiveMap], options: &Options) -> Vec<String> {
    let ruled = policy.rules.values().flat_map(ranges);
    let ranges: Vec<Range> = ruled.chain(maps.iter().flat_map(entries)).collect();
    let asked: BTreeSet<IpAddr> = ranges.iter().flat_map(Range::samples).collect();
    let asked: Vec<IpAddr> = asked.into_iter().collect();
    let strange = match sockc_runtime::not_local(options, &asked) {
        Ok(strange) => strange,
        Err(error) => {
            return vec![format!(
                "whether redirected addresses are local is not known: {error}"
            )];
        }
    };
    let is_strange = |address: &IpAddr| strange.contains(address);
    let of_range = |range: &Range| range.samples().find(is_strange).map(|one| range.note(one));
    let strange: Vec<String> = ranges.iter().filter_map(of_range).collect();
    let mut notes: Vec<String> = strange.iter().take(MAX_NAMED).cloned().collect();
    if strange.len() > MAX_NAMED {
        notes.push(format!(
            "{} more redirects are for addresses that are not local",
            strange.len() - MAX_NAMED
        ));
    }
    notes
}

/// The ranges of the entries of a live map. One of every address is for whatever is local.
fn entries(map: &LiveMap) -> Vec<Range> {
    let entries = map.entries.iter().filter(|entry| entry.prefix.1 > 0);
    entries.map(|entry| range_of(entry, &map.name)).collect()
}

fn range_of(entry: &LiveEntryPlan, map: &str) -> Range {
    let (first, length) = entry.prefix;
    let (_, high) = span_of(first, length);
    let text = entry_text(entry);
    Range {
        low: first,
        high,
        rule: format!("the entry `{text}` of the live map {map}"),
    }
}

fn ranges(rule: &Rule) -> Vec<Range> {
    let (
        Action::Redirect(_),
        Some(Side::Endpoints {
            negated: false,
            endpoints,
        }),
    ) = (rule.action, &rule.matches.to)
    else {
        return Vec::new();
    };
    let place = &rule.place;
    let name = rule.label.as_deref().unwrap_or(&place.text);
    let name = format!("`{name}` ({}:{})", place.file, place.line);
    let range = |low: IpAddr, high: IpAddr| Range {
        low,
        high,
        rule: name.clone(),
    };
    let mut found = Vec::new();
    for endpoint in endpoints {
        let Addresses::Ranges(set) = &endpoint.addresses else {
            continue;
        };
        if !set.v4.is_full() {
            let v4 = set.v4.ranges().iter();
            found.extend(v4.map(|&(low, high)| {
                range(
                    Ipv4Addr::from_bits(low).into(),
                    Ipv4Addr::from_bits(high).into(),
                )
            }));
        }
        if !set.v6.is_full() {
            let v6 = set.v6.ranges().iter();
            found.extend(v6.map(|&(low, high)| {
                range(
                    Ipv6Addr::from_bits(low).into(),
                    Ipv6Addr::from_bits(high).into(),
                )
            }));
        }
    }
    found
}

impl Range {
    /// Addresses of it from its middle on, one in each of its parts, none of them its first or its last where it has others: these
    /// may be a network's own and its broadcast address.
    fn samples(&self) -> impl Iterator<Item = IpAddr> {
        let (low, span) = self.bits();
        let is_ipv4 = self.low.is_ipv4();
        let middle = PARTS / 2;
        let parts = (middle..PARTS).chain(1..middle);
        let mut seen = BTreeSet::new();
        let places = parts.map(move |part| {
            // The span of all of IPv6 times the parts has no room.
            span / PARTS * part + span % PARTS * part / PARTS
        });
        places
            .filter(move |place| (*place > 0 || span < 2) && seen.insert(*place))
            .map(move |place| match is_ipv4 {
                true => Ipv4Addr::from_bits((low + place) as u32).into(),
                false => Ipv6Addr::from_bits(low + place).into(),
            })
    }

    /// The first address as a number, and how far away the last one is.
    fn bits(&self) -> (u128, u128) {
        let number = |address| match address {
            IpAddr::V4(four) => u128::from(four.to_bits()),
            IpAddr::V6(six) => six.to_bits(),
        };
        let low = number(self.low);
        (low, number(self.high).saturating_sub(low))
    }

    fn note(&self, address: IpAddr) -> String {
        let rule = &self.rule;
        if is_for_many(address) {
            return format!(
                "{address} is an address of many, and no address of this machine, so {rule} gets no packets to it, and no route changes that: take it out of the rule"
            );
        }
        let remedy = match self.prefix() {
            Some(prefix) => format!(
                "`ip route add local {prefix} dev lo` makes all of {prefix} local, and whoever else is there, such as neighbours, is not reached any more then"
            ),
            None => format!(
                "`ip route add local PREFIX dev lo` for each prefix of {}-{} makes them local, and whoever else is there is not reached any more then",
                self.low, self.high
            ),
        };
        format!(
            "{address} is no address of this machine, so {rule} gets no packets to it: {remedy}"
        )
    }

    /// The range as a prefix, if it is one.
    fn prefix(&self) -> Option<String> {
        let (low, span) = self.bits();
        let bits = if self.low.is_ipv4() { 32 } else { 128 };
        // All ones, and none of them in the first address: then it is a prefix.
        let is_prefix = span & span.wrapping_add(1) == 0 && low & span == 0;
        let length = bits - (128 - span.leading_zeros());
        is_prefix.then(|| format!("{}/{length}", self.low))
    }
}

/// Whether an address is one of many: multicast, or every host of a wire.
fn is_for_many(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: &str, high: &str) -> Range {
        Range {
            low: low.parse().unwrap(),
            high: high.parse().unwrap(),
            rule: String::new(),
        }
    }

    #[test]
    fn ranges_are_prefixes_where_they_are() {
        for (low, high, prefix, asked) in [
            (
                "10.7.1.0",
                "10.7.1.255",
                Some("10.7.1.0/24"),
                "127 159 191 223 31 63 95",
            ),
            ("10.7.1.1", "10.7.1.1", Some("10.7.1.1/32"), "1"),
            ("10.7.1.1", "10.7.1.2", None, "1"),
            ("10.7.1.1", "10.7.1.3", None, "2"),
            (
                "2001:db8::",
                "2001:db8:0:ffff:ffff:ffff:ffff:ffff",
                Some("2001:db8::/48"),
                "2001:db8:0:7fff:ffff:ffff:ffff:ffff 2001:db8:0:9fff:ffff:ffff:ffff:ffff \
                 2001:db8:0:bfff:ffff:ffff:ffff:ffff 2001:db8:0:dfff:ffff:ffff:ffff:ffff \
                 2001:db8:0:1fff:ffff:ffff:ffff:ffff 2001:db8:0:3fff:ffff:ffff:ffff:ffff \
                 2001:db8:0:5fff:ffff:ffff:ffff:ffff",
            ),
        ] {
            let range = range(low, high);
            assert_eq!(range.prefix().as_deref(), prefix, "{low}");
            let samples: Vec<String> = range.samples().map(|one| one.to_string()).collect();
            let samples = samples.join(" ").replace("10.7.1.", "");
            assert_eq!(samples, asked, "{low}");
        }
    }
}
