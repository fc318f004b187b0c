//! Patterns of interface names: `*` stands for any characters, `?` for one; every other character for itself.
//!
//! Takes a pattern and a name; gives whether they match. `lo` is matched only by its name: who writes `*` thinks of the
//! network. Not here: which interfaces there are.

/// Bytes that an interface's name may have.
const MAX_NAME_LENGTH: usize = 15;

/// Whether the whole name matches the pattern. Takes time in proportion to the product of their lengths at most.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    if name == "lo" {
        return pattern == name;
    }
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = name.get(read) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(&wanted), _) if wanted == b'?' || wanted == byte => {
                at += 1;
                read += 1;
            }
            (_, Some((star_at, taken))) => {
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                read = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|&left| left == b'*'))
}

/// Why no interface has a name that matches a pattern, or is this name; `None` if one may.
#[must_use]
pub fn never_an_interface(pattern: &str) -> Option<&'static str> {
    if !is_pattern(pattern) {
        return not_of_an_interface(pattern);
    }
    // A star may stand for nothing, and for no letter that no name has.
    match pattern.replace('*', "").as_str() {
        "" | "." | ".." => None,
        least => not_of_an_interface(least),
    }
}

/// What speaks against the name of an interface, as `dev_valid_name` of net/core/dev.c does.
fn not_of_an_interface(name: &str) -> Option<&'static str> {
    Some(match name {
        "" => "empty",
        "." | ".." => "the name of a folder",
        other if other.len() > MAX_NAME_LENGTH => "longer than 15 bytes",
        other if other.contains(['/', ':', '\0']) || other.contains(char::is_whitespace) => {
            "holds a blank, `/` or `:`"
        }
        _ => return None,
    })
}

/// Whether a name is a pattern: one that may match several interfaces.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth0", "eth", false),
            ("eth?", "eth0", true),
            ("eth?", "eth", false),
            ("eth*", "eth", true),
            ("br-*", "br-lan.12", true),
            ("br-*", "br", false),
            ("*", "", true),
            ("*.12", "eth0.12", true),
            ("*.12", "eth0.12.12", true),
            ("*.12", "eth0.123", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("a.c", "abc", false),
            ("lo", "lo", true),
            ("l*", "lo", false),
            ("*", "lo", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(is_pattern("br-*") && is_pattern("eth?") && !is_pattern("eth0.12"));
    }
}
