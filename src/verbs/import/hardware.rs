//! Hardware addresses, as tools ask for those of a frame.
//!
//! Takes them as they are written; gives what a rule asks. Not here: how a tool says which address of the frame is meant.

use sockc_compiler::policy::Family;

use super::list::List;
use super::rule::Asks;
use super::what::{Asked, What, any_of};

/// Frames that are `from` or `to` one of these, or none of them.
pub(super) fn asks(
    word: &str,
    addresses: &[&str],
    negated: bool,
    family: Family,
    list: List,
) -> Result<Asks, String> {
    if list != List::In {
        return Err("hardware addresses are asked for where a packet arrives alone; by then, it is in another frame".to_owned());
    }
    if let Some(wrong) = addresses.iter().find(|one| !is_one(one)) {
        return Err(format!("`{wrong}` is no hardware address"));
    }
    let texts = addresses.iter();
    let texts = texts.map(|one| format!("ether {word} {}", one.to_ascii_lowercase()));
    let texts: Vec<String> = texts.collect();
    let with = texts.first().cloned();
    let asked = Asked::unless(negated, any_of(texts), with);
    Ok(What::asked(family, asked).into())
}

/// Whether it is a hardware address: six octets of two digits.
pub(super) fn is_one(text: &str) -> bool {
    let mut octets = text.split(':');
    let is_octet = |one: &str| one.len() == 2 && one.bytes().all(|one| one.is_ascii_hexdigit());
    text.split(':').count() == 6 && octets.all(is_octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_asked_for_where_they_arrive() {
        let text = |addresses: &[&str], negated| {
            let asks = asks("from", addresses, negated, Family::V4, List::In).unwrap();
            asks.cases[0].conditions[0].text.clone()
        };
        let (one, other) = ("02:42:AC:11:00:02", "02:42:ac:11:00:03");
        assert_eq!(text(&[one], false), "ether from 02:42:ac:11:00:02");
        assert_eq!(text(&[one], true), "no ether from 02:42:ac:11:00:02");
        assert_eq!(
            text(&[one, other], false),
            "any of { ether from 02:42:ac:11:00:02, ether from 02:42:ac:11:00:03 }"
        );
        for list in [List::Out, List::Forward] {
            assert!(asks("from", &[one], false, Family::V4, list).is_err());
        }
        for wrong in [
            "02:42:ac:11:00",
            "2:42:ac:11:00:02",
            "02:42:ac:11:00:02:03",
            "x",
        ] {
            assert!(
                asks("to", &[wrong], false, Family::V4, List::In).is_err(),
                "{wrong}"
            );
        }
    }
}
