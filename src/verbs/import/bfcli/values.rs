//! Values as bpfilter's rules have them: numbers, ranges, names, addresses, flags.
//!
//! Takes a word; gives the numbers that it stands for. Not here: what they ask.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::matchers::{Field, Op};
use crate::verbs::import::addresses;
use crate::verbs::import::flags::bit;
use crate::verbs::import::points::DSCP;
use crate::verbs::import::protocols;
use crate::verbs::import::types::{ICMP, ICMP6};
use crate::verbs::import::what::{bits, block, last};

/// Headers and protocols by the names that no other tool has.
const HEADERS: [(&str, u8); 6] = [
    ("hop", 0),
    ("routing", 43),
    ("route", 43),
    ("frag", 44),
    ("dst", 60),
    ("mh", 135),
];
/// Code points that other tools do not name.
const MORE_DSCP: [(&str, u8); 4] = [("voice-admit", 44), ("le", 1), ("nqb", 45), ("be", 0)];
/// What stands behind an Ethernet header, by name.
const ETHERTYPES: [(&str, u16); 2] = [("ipv4", IPV4), ("ipv6", IPV6)];

/// The number of IPv4 behind an Ethernet header.
pub(super) const IPV4: u16 = 0x0800;
/// The same of IPv6.
pub(super) const IPV6: u16 = 0x86dd;

/// The values that a word means, of a field compared so.
pub(super) fn values(field: Field, op: Op, text: &str) -> Result<RangeSet<u128>, String> {
    let none = || match text.contains(' ') {
        true => format!(
            "`{text}` is written as bytes, which are read of addresses alone; write the value"
        ),
        false => format!("`{text}` is no value here"),
    };
    let one = |text: &str| single(field, text).filter(|(_, high)| *high <= field.last());
    let (low, high) = match op {
        Op::Range => {
            let (low, high) = text.split_once('-').ok_or_else(none)?;
            let (low, high) = (one(low).ok_or_else(none)?, one(high).ok_or_else(none)?);
            (low.0, high.1)
        }
        Op::Any if field == Field::Protocol => {
            let ranges: Option<Vec<_>> = text.split(',').map(one).collect();
            return Ok(RangeSet::from_ranges(ranges.ok_or_else(none)?));
        }
        _ => one(text).ok_or_else(none)?,
    };
    match low <= high {
        true => Ok(RangeSet::from_ranges([(low, high)])),
        false => Err(none()),
    }
}

/// The first and the last number that a word stands for.
fn single(field: Field, text: &str) -> Option<(u128, u128)> {
    let word = text.to_lowercase();
    let same = |number: u128| (number, number);
    match field {
        Field::Address(family, _) => {
            // A mask of dots and brackets are other tools' forms.
            let is_plain = !text.contains('[') && text.split('/').nth(1).is_none_or(is_decimal);
            if text.starts_with("0x") {
                return of_bytes(text, family);
            }
            let (of, range) = addresses::prefix(text)?;
            (of == family && is_plain).then_some(range)
        }
        Field::Port(_) | Field::CarriedPort(..) => {
            is_decimal(text).then(|| text.parse().ok().map(same))?
        }
        Field::Transport | Field::Protocol | Field::NextHeader => {
            let known = named(&HEADERS, &word).or_else(|| protocols::number(&word));
            known.map(u128::from).or_else(|| number(&word)).map(same)
        }
        Field::Ethertype => {
            let known = ETHERTYPES.iter().find(|(name, _)| *name == word);
            let known = known.map(|&(_, number)| u128::from(number));
            known.or_else(|| number(&word)).map(same)
        }
        Field::Dscp(_) => {
            let known = named(&DSCP, &word).or_else(|| named(&MORE_DSCP, &word));
            known.map(u128::from).or_else(|| number(&word)).map(same)
        }
        Field::IcmpType(family) => {
            let names: &[(&str, u8)] = match family {
                Family::V4 => &ICMP,
                Family::V6 => &ICMP6,
            };
            let known = named(names, &word).map(u128::from);
            known.or_else(|| number(&word)).map(same)
        }
        Field::Flags => flags(&word).map(same),
        _ => number(&word).map(same),
    }
}

/// Whether a word is a byte as `bfcli ruleset get` prints them.
pub(super) fn is_byte(word: &str) -> bool {
    let digits = word.strip_prefix("0x").filter(|digits| digits.len() == 2);
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The bytes of an address, and behind them, if they stand there, those of its mask.
fn of_bytes(text: &str, family: Family) -> Option<(u128, u128)> {
    let byte = |word: &str| u128::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let bytes: Vec<u128> = text.split(' ').map(byte).collect::<Option<_>>()?;
    let number = |bytes: &[u128]| bytes.iter().fold(0, |so_far, byte| so_far << 8 | byte);
    let size = usize::try_from(bits(family) / 8).ok()?;
    let (address, mask) = bytes.split_at_checked(size)?;
    let mask = match mask.len() {
        0 => last(family),
        given if given == size => number(mask),
        _ => return None,
    };
    let length = mask.count_ones();
    let (low, high) = block(number(address), length, family)?;
    (mask == last(family) & !(low ^ high)).then_some((low, high))
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn named(table: &[(&str, u8)], word: &str) -> Option<u8> {
    let known = table.iter().find(|(name, _)| *name == word);
    known.map(|&(_, number)| number)
}

/// A number: decimal, or what is left of it in hexadecimal, with or without `0x`.
pub(super) fn number(text: &str) -> Option<u128> {
    if is_decimal(text) {
        return text.parse().ok();
    }
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal.then(|| u128::from_str_radix(digits, 16).ok())?
}

/// The bits of flags with commas between.
fn flags(word: &str) -> Option<u128> {
    let mut names = word.split(',').filter(|name| !name.is_empty());
    let all = names.try_fold(0, |so_far, name| Some(so_far | bit(name)?));
    all.filter(|bits| *bits != 0).map(u128::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::import::what::Of;

    #[test]
    fn values_are_what_bpfilter_takes_them_for() {
        let v4 = Field::Address(Family::V4, Of::From);
        let v6 = Field::Address(Family::V6, Of::From);
        let port = Field::CarriedPort(6, Of::To);
        for (field, op, text, meant) in [
            (v4, Op::Eq, "10.0.0.1", Some((0x0a00_0001, 0x0a00_0001))),
            (v4, Op::Eq, "10.1.2.3/8", Some((0x0a00_0000, 0x0aff_ffff))),
            (v4, Op::Eq, "10.0.0.0/33", None),
            (v4, Op::Eq, "10.0.0.0/255.0.0.0", None),
            (v4, Op::Eq, "::1", None),
            (v6, Op::Eq, "::1", Some((1, 1))),
            (
                v4,
                Op::Eq,
                "0xc0 0xa8 0x01 0x01 0xff 0xff 0xff 0xff",
                Some((0xc0a8_0101, 0xc0a8_0101)),
            ),
            (
                v4,
                Op::Eq,
                "0x0a 0x01 0x00 0x00 0xff 0xff 0x00 0x00",
                Some((0x0a01_0000, 0x0a01_ffff)),
            ),
            (
                v4,
                Op::Eq,
                "0x0a 0x01 0x00 0x00",
                Some((0x0a01_0000, 0x0a01_0000)),
            ),
            (v4, Op::Eq, "0x0a 0x01 0x00 0x00 0xff 0x00 0xff 0x00", None),
            (v4, Op::Eq, "0x0a 0x01 0x00", None),
            (port, Op::Eq, "0x00 0x16", None),
            (port, Op::Range, "20-30", Some((20, 30))),
            (port, Op::Range, "30-20", None),
            (port, Op::Eq, "65536", None),
            (port, Op::Eq, "0x16", None),
            (Field::Transport, Op::Eq, "ICMPv6", Some((58, 58))),
            (Field::Transport, Op::Eq, "hop", Some((0, 0))),
            (Field::Protocol, Op::Eq, "256", None),
            (Field::Mark, Op::Eq, "0x10", Some((16, 16))),
            (Field::Mark, Op::Eq, "4294967296", None),
            (Field::Dscp(Family::V4), Op::Eq, "EF", Some((46, 46))),
            (Field::Dscp(Family::V4), Op::Eq, "64", None),
            (Field::Flags, Op::All, "SYN,ack", Some((18, 18))),
            (Field::Flags, Op::All, "nothing", None),
            (
                Field::IcmpType(Family::V4),
                Op::Eq,
                "echo-request",
                Some((8, 8)),
            ),
            (
                Field::IcmpType(Family::V6),
                Op::Eq,
                "echo-request",
                Some((128, 128)),
            ),
            (Field::IcmpType(Family::V6), Op::Eq, "", None),
        ] {
            let found = values(field, op, text).ok();
            let found = found.map(|set| set.ranges()[0]);
            assert_eq!(found, meant, "{text}");
        }
    }
}
