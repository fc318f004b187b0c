//! How far a region reaches, in words.

use sockc_compiler::diff::report::{Addresses, Change, Count, End, Spans};

use crate::output::count;

/// `senders: all; receivers: 256 IPv4 addresses; 1 port`; nothing of malformed packets, which have no fields.
pub(super) fn of(change: &Change) -> String {
    change.spans.as_ref().map_or_else(String::new, words)
}

fn words(spans: &Spans) -> String {
    let ends = [("senders", spans.senders), ("receivers", spans.receivers)];
    let ends = ends.into_iter().filter_map(|(name, end)| match end {
        End::Of(addresses) => Some(format!("{name}: {}", addresses_in_words(addresses))),
        End::Parts => Some(format!("{name}: many parts")),
        End::Unknown => None,
    });
    let ports = spans.ports.map(|ports| match ports {
        Count::All => "every port".to_owned(),
        Count::Some(ports) => count::of(ports, "port"),
    });
    let words = ends.chain(ports).collect::<Vec<_>>().join("; ");
    match spans.at_most {
        true => format!("at most {words}"),
        false => words,
    }
}

fn addresses_in_words(addresses: Addresses) -> String {
    let none = Count::Some(0);
    match (addresses.v4, addresses.v6) {
        (Count::All, Count::All) => "all".to_owned(),
        (v4, v6) if v6 == none => family("IPv4", 32, v4),
        (v4, v6) if v4 == none => family("IPv6", 128, v6),
        (v4, v6) => format!("{} and {}", family("IPv4", 32, v4), family("IPv6", 128, v6)),
    }
}

/// Some addresses of a family, whose addresses have so many bits.
fn family(name: &str, bits: u32, addresses: Count) -> String {
    let number = match addresses {
        Count::All => return format!("all of {name}"),
        Count::Some(number) => number,
    };
    let rest = match bits {
        128 => (u128::MAX - number).saturating_add(1),
        bits => (1 << bits) - number,
    };
    if rest <= 1 << (bits - 8) {
        return format!("all of {name} but {}", many(rest, name, bits));
    }
    many(number, name, bits)
}

/// A number of addresses; of very many the prefix that has as many.
fn many(number: u128, name: &str, bits: u32) -> String {
    if bits == 32 || number < 1 << 20 {
        return count::of(number, &format!("{name} address")).replace("addresss", "addresses");
    }
    let length = bits - number.ilog2();
    let about = if number.is_power_of_two() {
        ""
    } else {
        "about "
    };
    format!("{about}as many {name} addresses as a /{length} has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_say_them() {
        let none = Count::Some(0);
        for ((v4, v6), said) in [
            ((Count::All, Count::All), "all"),
            ((Count::All, none), "all of IPv4"),
            ((Count::Some(1), none), "1 IPv4 address"),
            ((Count::Some(256), none), "256 IPv4 addresses"),
            (
                (Count::Some((1 << 32) - 65_536), Count::All),
                "all of IPv4 but 65,536 IPv4 addresses and all of IPv6",
            ),
            (
                (none, Count::Some(1 << 80)),
                "as many IPv6 addresses as a /48 has",
            ),
            (
                (Count::Some(4), Count::Some((1 << 80) + 1)),
                "4 IPv4 addresses and about as many IPv6 addresses as a /48 has",
            ),
        ] {
            assert_eq!(addresses_in_words(Addresses { v4, v6 }), said);
        }
    }
}
