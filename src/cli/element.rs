//! Elements of live sets as text: on the command line, and one a line in files.
//!
//! Not here: entries of live maps, and the elements of sets that policies declare.

use std::net::IpAddr;

use sockc_compiler::pipeline::list_of_live_set;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceMap;
use sockc_runtime::Prefix;

/// Reads an address or a prefix; what is wrong with it is said with what to write.
pub(crate) fn element(text: &str) -> Result<Prefix, String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let parsed: IpAddr = address.parse().map_err(|_| wrong(text))?;
    let Some(length) = length else {
        return not_mapped(Prefix::host(parsed));
    };
    let most = Prefix::host(parsed).length();
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length
        .parse()
        .ok()
        .filter(|length| digits && *length <= most);
    let length = length.ok_or_else(|| {
        format!("the prefix length of `{text}` is none; write a number from 0 to {most}")
    })?;
    let prefix = Prefix::new(parsed, length).ok_or_else(|| host_bits(parsed, length))?;
    not_mapped(prefix)
}

/// Refuses what stands for IPv4 addresses in IPv6: no packet that carries one would match it. The whole block of them means
/// packets that carry such addresses as they are.
pub(crate) fn not_mapped(prefix: Prefix) -> Result<Prefix, String> {
    const BLOCK: u8 = 96;
    let IpAddr::V6(address) = prefix.address() else {
        return Ok(prefix);
    };
    let v4 = address.to_ipv4_mapped().filter(|_| prefix.length() > BLOCK);
    match v4.and_then(|v4| Prefix::new(v4.into(), prefix.length() - BLOCK)) {
        None => Ok(prefix),
        Some(v4) => Err(format!(
            "`{prefix}` is an IPv4 address as programs see it, and packets carry the address itself: it would match none of them; write `{v4}`"
        )),
    }
}

/// Reads every element of a command line; what is wrong with each is told together.
pub(crate) fn all(texts: &[String]) -> Result<Vec<Prefix>, Vec<String>> {
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    for text in texts {
        match element(text) {
            Ok(one) => found.push(one),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() {
        Ok(found)
    } else {
        Err(mistakes)
    }
}

/// That bits are set beyond a prefix.
pub(crate) fn host_bits(address: IpAddr, length: u8) -> String {
    let right = Prefix::truncate(address, length).map_or_else(String::new, |right| {
        format!("; write `{}/{length}`", right.address())
    });
    format!("the prefix `{address}/{length}` has host bits set{right}")
}

fn wrong(text: &str) -> String {
    if text.contains('-') {
        return format!(
            "`{text}`: live sets hold addresses and prefixes, no ranges; write the prefixes that make up the range"
        );
    }
    format!(
        "`{text}` is neither an address nor a prefix; write for instance `192.0.2.7` or `2001:db8::/32`"
    )
}

/// Reads the elements of a file as a policy that names it does. Up to 20 wrong lines are told, with their
/// numbers, and of ranges that are no prefix the first by address.
pub(crate) fn elements(text: &str) -> Result<Vec<Prefix>, Vec<String>> {
    let mut sources = SourceMap::default();
    let id = sources.add_list("list", text);
    let line = |wrong: &Diagnostic| {
        let help = wrong.help.iter().map(|help| format!("; {help}"));
        let (line, _) = sources.place(wrong.primary.span);
        format!("line {line}: {}{}", wrong.message, help.collect::<String>())
    };
    match list_of_live_set(&sources, id) {
        Err(wrong) => Err(wrong.iter().map(line).collect()),
        Ok(found) => {
            let prefixes = found.into_iter().map(|(address, length)| {
                Prefix::new(address, length).ok_or_else(|| vec![host_bits(address, length)])
            });
            prefixes.collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_prefixes_of_both_families_are_read() {
        for text in [
            "192.0.2.7",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::1",
        ] {
            assert_eq!(element(text).unwrap().to_string(), text);
        }
        assert_eq!(element("192.0.2.7/32").unwrap().to_string(), "192.0.2.7");
        assert!(element("::ffff:0:0/96").is_ok(), "the block as a whole");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (text, said) in [
            ("10.0.0.1/8", "has host bits set; write `10.0.0.0/8`"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("::/+1", "from 0 to 128"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.1-10.0.0.9", "no ranges"),
            ("host.example", "neither an address nor a prefix"),
            ("10.0.0.1:53", "neither an address nor a prefix"),
            ("::ffff:192.0.2.7", "write `192.0.2.7`"),
            ("::ffff:10.0.0.0/104", "write `10.0.0.0/8`"),
        ] {
            let mistake = element(text).unwrap_err();
            assert!(mistake.contains(said), "{mistake}");
        }
    }

    #[test]
    fn files_have_comments_and_every_wrong_line_is_told() {
        let read = elements("# banned\n10.0.0.1 # why\n\n  ::1\n").unwrap();
        assert_eq!(read.len(), 2);
        let mistakes = elements("10.0.0.1\nx\n::1\n10.0.0.1/8\n").unwrap_err();
        assert!(mistakes[0].starts_with("line 2: `x`"), "{mistakes:?}");
        assert!(mistakes[1].starts_with("line 4: "), "{mistakes:?}");
    }

    /// What a policy takes from a file, `set load` takes from it.
    #[test]
    fn files_are_read_as_policies_read_them() {
        let text = "\u{feff}10.0.0.0-10.0.0.255 # a prefix\r\n\r\n\t2001:db8::/32 \r\n# none\r\n";
        let texts = |found: Vec<Prefix>| found.iter().map(Prefix::to_string).collect::<Vec<_>>();
        assert_eq!(
            elements(text).map(texts),
            Ok(vec!["10.0.0.0/24".to_owned(), "2001:db8::/32".to_owned()])
        );
        for (text, line, said) in [
            (
                "\u{feff}::1\r\n10.0.0.1-10.0.0.3",
                2,
                "write its prefixes: 10.0.0.1/32, 10.0.0.2/31",
            ),
            ("::1\n::ffff:192.0.2.7\n", 2, "matches no IPv4 packet"),
            ("[::1]\n", 1, "no address"),
            ("10.0.0.9-10.0.0.1", 1, "reversed"),
        ] {
            let mistakes = elements(text).unwrap_err();
            assert_eq!(mistakes.len(), 1);
            assert!(
                mistakes[0].starts_with(&format!("line {line}: ")),
                "{mistakes:?}"
            );
            assert!(mistakes[0].contains(said), "{mistakes:?}");
        }
    }
}
