//! Patterns of interface names: `*` stands for any characters, `?` for one; every other character for itself.
//!
//! Takes a pattern and a name; gives whether they match. `lo` is matched only by its name: who writes `*` thinks of the
//! network. Not here: which interfaces there are.

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
