//! The command that shows why a packet gets what it gets, as a shell takes it.

/// Where a policy is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whereabouts<'a> {
    /// The file that is compiled.
    pub file: &'a str,
    /// The namespace of the block in it that is the policy, if it is not the file's own.
    pub netns: Option<&'a str>,
}

impl Whereabouts<'_> {
    /// A packet in the words that `explain` takes of this file.
    pub(crate) fn packet(&self, packet: &str) -> String {
        let Some(netns) = self.netns else {
            return packet.to_owned();
        };
        // It stands first, since after a socket state it would say where that socket is.
        let name = netns.replace('\\', "\\\\").replace('"', "\\\"");
        match packet.split_once(" with ") {
            Some((packet, with)) => format!("{packet} with in netns \"{name}\", {with}"),
            None => format!("{packet} with in netns \"{name}\""),
        }
    }

    /// The command that explains a packet, given in the words of [`packet`](Self::packet).
    pub(crate) fn explain(&self, packet: &str) -> String {
        let file = match self.file {
            "<stdin>" => "-".to_owned(),
            file if file.starts_with('-') => word(&format!("./{file}")),
            file => word(file),
        };
        format!("sockc explain {file} {}", quoted(packet))
    }
}

/// A word of a shell's command line; in quotes if it needs them.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The text in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_a_shell_needs_it() {
        let explain = |file, netns| {
            let place = Whereabouts { file, netns };
            place.explain(&place.packet("tcp from 192.0.2.1:1 to 192.0.2.2:2 with fragment"))
        };
        let packet = "'tcp from 192.0.2.1:1 to 192.0.2.2:2 with fragment'";
        assert_eq!(
            explain("a/b.sk", None),
            format!("sockc explain a/b.sk {packet}")
        );
        assert_eq!(
            explain("<stdin>", None),
            format!("sockc explain - {packet}")
        );
        assert_eq!(explain("-x", None), format!("sockc explain ./-x {packet}"));
        assert_eq!(
            explain("it's a.sk", None),
            format!(r"sockc explain 'it'\''s a.sk' {packet}")
        );
        assert!(explain("a", Some("blue")).contains("2 with in netns \"blue\", fragment'"));
    }
}
