//! Options about what else stands in a packet's header: protocol, type of ICMP, flags of TCP, length, time to live, code points, mark.
//!
//! Takes an option; gives what it asks. Not here: addresses, ports, interfaces, and states of connections.

use sockc_compiler::names::IcmpKind;
use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::options::Given;
use crate::verbs::import::hardware;
use crate::verbs::import::list::List;
use crate::verbs::import::marks::{self, Mark};
use crate::verbs::import::protocols;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Asked, What, icmp};

/// Whether an option is read here.
pub(super) fn takes(name: &str) -> bool {
    matches!(
        name,
        "-p" | "-f"
            | "--tcp-flags"
            | "--syn"
            | "--icmp-type"
            | "--icmpv6-type"
            | "--mark"
            | "--mac-source"
            | "--length"
            | "--ttl-eq"
            | "--ttl-lt"
            | "--ttl-gt"
            | "--hl-eq"
            | "--hl-lt"
            | "--hl-gt"
            | "--dscp"
            | "--dscp-class"
            | "--ecn-tcp-cwr"
            | "--ecn-tcp-ece"
            | "--ecn-ip-ect"
    )
}

/// What an option asks.
pub(super) fn asks(given: &Given, family: Family, list: List) -> Result<Asks, String> {
    match given.name.as_str() {
        "-p" => protocol(given, family),
        "-f" => Err(
            "`-f` is about later fragments alone, and `fragment` about every part of a datagram"
                .to_owned(),
        ),
        "--tcp-flags" => match given.values.as_slice() {
            [mask, set] => flags(
                &names_of_flags(mask)?,
                &names_of_flags(set)?,
                given.negated,
                family,
            ),
            _ => Err(format!("`{given}` has not the two lists that it takes")),
        },
        "--syn" => flags(
            &["syn", "rst", "ack", "fin"],
            &["syn"],
            given.negated,
            family,
        ),
        "--ecn-tcp-cwr" => flags(&["cwr"], &["cwr"], given.negated, family),
        "--ecn-tcp-ece" => flags(&["ece"], &["ece"], given.negated, family),
        "--icmp-type" => icmp_type(given, family, IcmpKind::Icmp),
        "--icmpv6-type" => icmp_type(given, family, IcmpKind::Icmp6),
        "--mark" => mark(given, family, list),
        "--mac-source" => hardware::asks("from", &[given.value()?], given.negated, family, list),
        "--length" => length(given, family, list),
        "--dscp" | "--dscp-class" => code_point(given, family),
        "--ecn-ip-ect" => {
            let word = match given.value()? {
                "0" => "none",
                "1" => "ect1",
                "2" => "ect0",
                "3" => "ce",
                other => return Err(format!("{other} is no code point of ECN")),
            };
            Ok(condition(&format!("ecn {word}"), given.negated, family))
        }
        _ => time_to_live(given, family),
    }
}

/// A condition that a plain packet has not, unless it is negated.
fn condition(text: &str, negated: bool, family: Family) -> Asks {
    let asked = Asked::unless(negated, text.to_owned(), Some(text.to_owned()));
    What::asked(family, asked).into()
}

fn protocol(given: &Given, family: Family) -> Result<Asks, String> {
    let name = given.value()?.to_ascii_lowercase();
    let number = protocols::number(&name);
    let number = match number {
        // 0 is every protocol to iptables, so its negation is none.
        Some(0) | None if matches!(name.as_str(), "all" | "0") => {
            let cases = if given.negated {
                Vec::new()
            } else {
                vec![What::any(family)]
            };
            return Ok(Asks {
                cases,
                ..Asks::default()
            });
        }
        Some(number) => number,
        None => {
            return Err(format!(
                "the protocol {name} is not known here; write its number"
            ));
        }
    };
    // ip6tables looks for the header behind these (ipv6_find_hdr), so it never finds one of them last.
    if family == Family::V6 && [43, 44, 51, 60].contains(&number) {
        return Err(format!("ip6tables steps over the header {number}"));
    }
    let mut what = What::protocol(family, number);
    if given.negated {
        what.protocols = RangeSet::full().minus(&what.protocols);
    }
    let is_of_other = match family {
        Family::V4 => number == 58,
        Family::V6 => number == 1,
    };
    let note = "this is the ICMP of the other family, which is in no packet of this one; if that was not meant, the files of both families are swapped";
    Ok(Asks {
        note: is_of_other.then(|| note.to_owned()),
        ..what.into()
    })
}

/// The flags that iptables knows, in their order.
const FLAGS: [&str; 6] = ["fin", "syn", "rst", "psh", "ack", "urg"];

fn names_of_flags(text: &str) -> Result<Vec<&'static str>, String> {
    let mut found = Vec::new();
    for name in text.split(',') {
        let flag = name.to_ascii_lowercase();
        match (flag.as_str(), FLAGS.iter().find(|known| **known == flag)) {
            ("all", _) => found.extend(FLAGS),
            ("none", _) => {}
            (_, Some(known)) => found.push(known),
            (_, None) => return Err(format!("{name:?} is no flag of TCP")),
        }
    }
    Ok(found)
}

/// Flags: of those in the mask these are set, and the others clear. A packet has to have flags, also where the option is negated.
fn flags(mask: &[&str], set: &[&str], negated: bool, family: Family) -> Result<Asks, String> {
    let mut what = What::any(family);
    what.to.ports = Some(RangeSet::full());
    let is_never = set.iter().any(|flag| !mask.contains(flag));
    if is_never || mask.is_empty() {
        let cases = if is_never == negated {
            vec![what]
        } else {
            Vec::new()
        };
        return Ok(Asks {
            cases,
            ..Asks::default()
        });
    }
    let clear = mask.iter().filter(|flag| !set.contains(flag));
    let words = set
        .iter()
        .map(|flag| (*flag).to_owned())
        .chain(clear.map(|flag| format!("no {flag}")));
    let words: Vec<String> = words.collect();
    let text = format!("tcp flags {}", words.join(" "));
    let free = FLAGS.iter().find(|flag| !mask.contains(flag));
    let example = match (set, free) {
        ([], Some(free)) => Some(format!("tcp flags {free}")),
        ([], None) => None,
        _ => Some(format!("tcp flags {}", set.join(" "))),
    };
    what.conditions.push(Asked::unless(negated, text, example));
    Ok(what.into())
}

fn icmp_type(given: &Given, family: Family, kind: IcmpKind) -> Result<Asks, String> {
    let value = given.value()?;
    // The kernel takes the type 255 of ICMP for every one (icmp_type_code_match).
    if kind == IcmpKind::Icmp && matches!(value, "any" | "255") {
        return Ok(match given.negated {
            true => Asks::default(),
            false => Asks {
                cases: vec![What::protocol(family, icmp(family))],
                changed: Some("later fragments of ICMP match, too".to_owned()),
                note: None,
            },
        });
    }
    if given.negated {
        return Err(
            "all types of ICMP but one are meant; a rule names those that it is about".to_owned(),
        );
    }
    let named = kind.named(value).map(|named| (named.kind, named.code));
    let (number, code) = named
        .or_else(|| numbered(value))
        .ok_or_else(|| format!("{value:?} is no type of ICMP that is known here"))?;
    Ok(What::icmp(family, number, code).into())
}

/// A type, or a type and a code.
fn numbered(text: &str) -> Option<(u8, Option<u8>)> {
    match text.split_once('/') {
        Some((kind, code)) => Some((kind.parse().ok()?, Some(code.parse().ok()?))),
        None => Some((text.parse().ok()?, None)),
    }
}

fn mark(given: &Given, family: Family, list: List) -> Result<Asks, String> {
    let value = given.value()?;
    let none = || format!("{value:?} is no mark");
    let (wanted, mask) = value.split_once('/').unwrap_or((value, "0xffffffff"));
    let mark = Mark {
        wanted: marks::number(wanted).ok_or_else(none)?,
        mask: marks::number(mask).ok_or_else(none)?,
    };
    if mark.wanted & !mark.mask != 0 {
        return Err(format!("the mark {value} has bits that its mask has not"));
    }
    Ok(marks::asks(&[mark], given.negated, family, list))
}

/// Lengths. A datagram that came in fragments is put together ahead of INPUT (ip_local_deliver), one that leaves is cut behind OUTPUT, and
/// conntrack puts together what passes through; programs at interfaces see the fragments.
fn length(given: &Given, family: Family, list: List) -> Result<Asks, String> {
    let value = given.value()?;
    let (low, high) = value.split_once(':').unwrap_or((value, value));
    let bound = |text: &str, otherwise: u16| match text {
        "" => Ok(otherwise),
        _ => text.parse().map_err(|_| format!("{text:?} is no length")),
    };
    let (low, high) = (bound(low, 0)?, bound(high, u16::MAX)?);
    if low > high {
        return Err(format!("the lengths {value} end before they begin"));
    }
    let (text, with) = match (given.negated, low, high) {
        (false, 0, u16::MAX) => return Ok(What::any(family).into()),
        (true, 0, u16::MAX) => return Ok(Asks::default()),
        (false, ..) if low == high => (format!("length = {low}"), Some(format!("length {low}"))),
        (true, ..) if low == high => (format!("no length = {low}"), None),
        (false, 0, _) => (format!("length <= {high}"), None),
        (true, 0, _) => (format!("length > {high}"), None),
        (false, _, u16::MAX) => (format!("length >= {low}"), None),
        (true, _, u16::MAX) => (format!("length < {low}"), None),
        (false, ..) => (format!("length >= {low} and length <= {high}"), None),
        (true, ..) => (
            format!("any of {{ length < {low}, length > {high} }}"),
            None,
        ),
    };
    let whole = match list {
        List::Forward => "; there, where connections are tracked, it has the length of the whole",
        List::In | List::Out => "; there it has the length of the whole",
    };
    Ok(Asks {
        cases: vec![What::asked(family, Asked { text, with })],
        changed: Some("each fragment of a datagram has its own length here".to_owned() + whole),
        note: None,
    })
}

fn code_point(given: &Given, family: Family) -> Result<Asks, String> {
    let value = given.value()?;
    let text = match given.name.as_str() {
        "--dscp" => {
            let point = marks::number(value).filter(|point| *point < 64);
            let point = point.ok_or_else(|| format!("{value:?} is no code point"))?;
            format!("dscp {point}")
        }
        // BE is the class selector of 0.
        _ if value.eq_ignore_ascii_case("be") => "dscp cs0".to_owned(),
        _ => {
            let name = value.to_ascii_lowercase();
            let is_class = matches!(
                name.as_bytes(),
                b"ef" | [b'c', b's', b'0'..=b'7'] | [b'a', b'f', b'1'..=b'4', b'1'..=b'3']
            );
            if !is_class {
                return Err(format!("{value:?} is no class of DSCP"));
            }
            format!("dscp {name}")
        }
    };
    Ok(condition(&text, given.negated, family))
}

fn time_to_live(given: &Given, family: Family) -> Result<Asks, String> {
    let value = given.value()?;
    let ttl: u8 = value
        .parse()
        .map_err(|_| format!("{value:?} is no time to live"))?;
    let (sign, example) = match given.name.get(given.name.len().saturating_sub(2)..) {
        Some("lt") => ("<", ttl.checked_sub(1)),
        Some("gt") => (">", ttl.checked_add(1)),
        _ => ("=", Some(ttl)),
    };
    let Some(example) = example else {
        // No packet has less than 0, or more than 255.
        let cases = if given.negated {
            vec![What::any(family)]
        } else {
            Vec::new()
        };
        return Ok(Asks {
            cases,
            ..Asks::default()
        });
    };
    let mut asks = condition(&format!("ttl {sign} {ttl}"), given.negated, family);
    for asked in asks.cases.iter_mut().flat_map(|case| &mut case.conditions) {
        asked.with = asked.with.as_ref().map(|_| format!("ttl {example}"));
    }
    Ok(asks)
}

#[cfg(test)]
mod tests {
    use super::super::options::options;
    use super::*;
    use crate::verbs::import::text::{clauses, protocols as words};

    fn said(text: &str) -> Result<Vec<String>, String> {
        let given = options(text).unwrap().remove(0);
        let asks = asks(&given, Family::V4, List::Out)?;
        let text = |what: &What| words(what) + &clauses(what, List::Out, false);
        Ok(asks.cases.iter().map(text).collect())
    }

    #[test]
    fn fields_are_read_as_conditions() {
        for (text, rule) in [
            ("-p udp", "udp "),
            ("-p 89", "proto 89 "),
            ("-p all", ""),
            (
                "--tcp-flags FIN,SYN SYN",
                " to port * if tcp flags syn no fin",
            ),
            (
                "! --tcp-flags SYN,ACK ACK",
                " to port * if no tcp flags ack no syn",
            ),
            ("--tcp-flags NONE NONE", " to port *"),
            ("! --tcp-flags SYN ACK", " to port *"),
            ("--syn", " to port * if tcp flags syn no rst no ack no fin"),
            ("--icmp-type 8", "icmp echo-request "),
            ("--icmp-type 3/4", "icmp fragmentation-needed "),
            ("--icmp-type any", "icmp "),
            ("--mark 0x10/0xf0", " if mark 0x10/0xf0"),
            ("! --mark 7", " if no mark 0x7"),
            ("--length 20:100", " if length >= 20 and length <= 100"),
            ("! --length :100", " if length > 100"),
            (
                "! --length 50:100",
                " if any of { length < 50, length > 100 }",
            ),
            ("--ttl-lt 2", " if ttl < 2"),
            ("! --ttl-eq 64", " if no ttl = 64"),
            ("--dscp 0x2e", " if dscp 46"),
            ("--dscp-class EF", " if dscp ef"),
            ("--dscp-class AF11", " if dscp af11"),
            ("--ecn-ip-ect 2", " if ecn ect0"),
        ] {
            assert_eq!(said(text).unwrap(), [rule], "{text}");
        }
        for text in [
            "! -p all",
            "--tcp-flags SYN ACK",
            "--ttl-lt 0",
            "! --icmp-type any",
        ] {
            assert!(said(text).unwrap().is_empty(), "{text}");
        }
        for text in [
            "-p nothing",
            "-f",
            "--tcp-flags SYN",
            "--tcp-flags X SYN",
            "! --icmp-type 8",
            "--icmp-type x",
            "--mark 0x10/0x0f",
            "--mark x",
            "--length 9:1",
            "--ttl-eq 256",
            "--dscp 64",
            "--dscp-class XX",
            "--dscp-class AF44",
            "--ecn-ip-ect 4",
        ] {
            assert!(said(text).is_err(), "{text}");
        }
    }
}
