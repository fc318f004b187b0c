//! The settings of ufw: `ufw.conf` and `/etc/default/ufw`, which its start reads as a shell does.
//!
//! Takes both texts; gives what they set of what decides about packets, or says which line is none. Only plain settings are taken: what a
//! shell would make of anything else is not guessed. Not here: rules.

use std::collections::BTreeMap;

/// What becomes of packets that no rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Accept,
    Drop,
    Reject,
}

impl Policy {
    /// The target of iptables.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Reject => "REJECT",
        }
    }

    /// The policy of a built-in chain, which cannot reject.
    pub(super) fn of_chain(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Drop | Self::Reject => "DROP",
        }
    }
}

/// A setting, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set<T> {
    /// The value.
    pub(super) value: T,
    /// The file.
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: usize,
}

/// The settings that decide about packets.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `DEFAULT_INPUT_POLICY`.
    pub(super) input: Set<Policy>,
    /// `DEFAULT_OUTPUT_POLICY`.
    pub(super) output: Set<Policy>,
    /// `DEFAULT_FORWARD_POLICY`.
    pub(super) forward: Set<Policy>,
    /// `IPV6`.
    pub(super) ipv6: Set<bool>,
    /// `ENABLED`.
    pub(super) enabled: Set<bool>,
    /// `IPT_MODULES`, where it names any.
    pub(super) modules: Option<Set<String>>,
}

/// A mistake: the file, the line, and what is wrong.
pub(super) type Mistake = (String, usize, String);

impl Settings {
    /// Reads the defaults and `ufw.conf`, each a name and a text, in the order in which ufw does.
    pub(super) fn read(defaults: (&str, &str), conf: (&str, &str)) -> Result<Self, Mistake> {
        let mut found = BTreeMap::new();
        for (file, text) in [defaults, conf] {
            for (number, line) in (1..).zip(text.lines()) {
                let set = setting(line).map_err(|why| (file.to_owned(), number, why))?;
                let Some((name, value)) = set else { continue };
                let set = Set {
                    value,
                    file: file.to_owned(),
                    line: number,
                };
                found.insert(name.to_owned(), set);
            }
        }
        let policy = |name| valued(&found, name, defaults.0, &POLICIES);
        let is = |name, file| valued(&found, name, file, &ANSWERS);
        let modules = found.get("IPT_MODULES");
        Ok(Self {
            input: policy("DEFAULT_INPUT_POLICY")?,
            output: policy("DEFAULT_OUTPUT_POLICY")?,
            forward: policy("DEFAULT_FORWARD_POLICY")?,
            ipv6: is("IPV6", defaults.0)?,
            enabled: is("ENABLED", conf.0)?,
            modules: modules.filter(|set| !set.value.trim().is_empty()).cloned(),
        })
    }
}

const POLICIES: [(&str, Policy); 3] = [
    ("ACCEPT", Policy::Accept),
    ("DROP", Policy::Drop),
    ("REJECT", Policy::Reject),
];
const ANSWERS: [(&str, bool); 4] = [("yes", true), ("no", false), ("YES", true), ("NO", false)];

/// The value of a setting that has to be there, one of these.
fn valued<T: Copy>(
    found: &BTreeMap<String, Set<String>>,
    name: &str,
    file: &str,
    values: &[(&str, T)],
) -> Result<Set<T>, Mistake> {
    let words: Vec<&str> = values.iter().map(|(word, _)| *word).collect();
    let wanted = format!("write {name}= and one of {}", words.join(", "));
    let Some(set) = found.get(name) else {
        return Err((file.to_owned(), 1, format!("{name} is not set; {wanted}")));
    };
    let known = values.iter().find(|(word, _)| *word == set.value);
    let Some((_, value)) = known else {
        let said = format!(
            "{name} is {:?}, which ufw does not know; {wanted}",
            set.value
        );
        return Err((set.file.clone(), set.line, said));
    };
    Ok(Set {
        value: *value,
        file: set.file.clone(),
        line: set.line,
    })
}

/// The name and the value of a line; nothing of one that says nothing.
fn setting(line: &str) -> Result<Option<(&str, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let none = || {
        format!(
            "`{line}` is no plain setting, and what a shell makes of it is not known here; write NAME=VALUE, or NAME=\"VALUE\""
        )
    };
    let (name, rest) = line.split_once('=').ok_or_else(none)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(none());
    }
    let value = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (value, behind) = rest[1..].split_once(quote).ok_or_else(none)?;
            comment(behind).ok_or_else(none)?;
            value
        }
        _ => {
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            comment(&rest[end..]).ok_or_else(none)?;
            &rest[..end]
        }
    };
    let is_expanded = |letter: char| "$`\\;&|<>(){}\"'".contains(letter);
    match value.contains(is_expanded) {
        true => Err(none()),
        false => Ok(Some((name, value.to_owned()))),
    }
}

/// Whether nothing or a comment stands behind a value.
fn comment(text: &str) -> Option<()> {
    let rest = text.trim_start();
    let is_apart = rest.len() < text.len();
    (rest.is_empty() || is_apart && rest.starts_with('#')).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = "# ufw\nIPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nDEFAULT_OUTPUT_POLICY='ACCEPT' # out\n\
                            DEFAULT_FORWARD_POLICY=REJECT\nIPT_MODULES=\"\"\nOTHER=/etc/x\n";

    fn read(defaults: &str, conf: &str) -> Result<Settings, Mistake> {
        Settings::read(("defaults", defaults), ("conf", conf))
    }

    #[test]
    fn settings_have_their_values_and_their_places() {
        let settings = read(DEFAULTS, "ENABLED=no\nLOGLEVEL=low\n").unwrap();
        assert_eq!(settings.input.value, Policy::Drop);
        assert_eq!(settings.output.value, Policy::Accept);
        let forward = &settings.forward;
        assert_eq!(
            (forward.value, forward.file.as_str(), forward.line),
            (Policy::Reject, "defaults", 5)
        );
        assert!(settings.ipv6.value && !settings.enabled.value && settings.modules.is_none());
        // What stands in the second file is what holds.
        let settings = read(DEFAULTS, "ENABLED=yes\nIPV6=no\nIPT_MODULES=\"a b\"").unwrap();
        assert!(settings.enabled.value && !settings.ipv6.value);
        assert_eq!(
            (settings.ipv6.file.as_str(), settings.ipv6.line),
            ("conf", 2)
        );
        assert_eq!(settings.modules.unwrap().value, "a b");
    }

    #[test]
    fn what_is_no_plain_setting_is_refused_by_its_line() {
        for (line, said) in [
            ("export IPV6=no", "no plain setting"),
            ("if true; then", "no plain setting"),
            ("IPV6=$(cat x)", "no plain setting"),
            ("IPV6=\"no", "no plain setting"),
            ("IPV6=no; ENABLED=yes", "no plain setting"),
            ("IPV6=no ENABLED=yes", "no plain setting"),
            ("IPV6=\"no\"#x", "no plain setting"),
            ("IPV6=maybe", "write IPV6= and one of yes, no"),
            ("DEFAULT_INPUT_POLICY=drop", "one of ACCEPT, DROP, REJECT"),
        ] {
            let (file, at, why) = read(&(DEFAULTS.to_owned() + line), "ENABLED=yes").unwrap_err();
            assert_eq!((file.as_str(), at), ("defaults", 8), "{line}: {why}");
            assert!(why.contains(said), "{line}: {why}");
        }
        let (file, _, why) = read(DEFAULTS, "").unwrap_err();
        assert!(
            file == "conf" && why.contains("ENABLED is not set"),
            "{why}"
        );
        assert!(read("", "ENABLED=yes").is_err());
    }
}
