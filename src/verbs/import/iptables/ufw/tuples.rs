//! The comment that ufw writes above the lines of each rule: what the user said, field by field.
//!
//! Takes that comment; gives the command as `ufw show added` prints it, with the names of applications and the user's remark as a note. What
//! decides about packets are the lines below it. Not here: these lines.

use crate::verbs::import::line::Written;

/// How the comment begins.
pub(super) const BEGINS: &str = "### tuple ###";
/// What stands between the fields and the user's remark.
const REMARK: &str = " comment=";

/// What the user said.
struct Tuple<'a> {
    is_routed: bool,
    action: &'a str,
    log: Option<&'a str>,
    protocol: &'a str,
    to: Side<'a>,
    from: Side<'a>,
    leaves: bool,
    came_in: Option<&'a str>,
    left_by: Option<&'a str>,
}

/// An end of the packet.
struct Side<'a> {
    address: &'a str,
    port: &'a str,
    application: Option<String>,
}

/// What the user told ufw, if the comment is as ufw writes it.
pub(super) fn read(comment: &str) -> Option<Written> {
    let (fields, remark) = match comment.split_once(REMARK) {
        Some((fields, remark)) => (fields, Some(decoded(remark.trim()))),
        None => (comment, None),
    };
    let fields: Vec<&str> = fields.strip_prefix(BEGINS)?.split_whitespace().collect();
    let tuple = Tuple::of(&fields)?;
    let applications = [&tuple.to, &tuple.from].map(|side| side.application.clone());
    let mut names: Vec<String> = applications.into_iter().flatten().collect();
    names.dedup();
    let names = Some(names.join(", ")).filter(|names| !names.is_empty());
    let note = match (names, remark) {
        (Some(names), Some(remark)) => Some(format!("{names}: {remark}")),
        (names, remark) => names.or(remark),
    };
    Some(Written {
        command: tuple.command(),
        note,
    })
}

impl<'a> Tuple<'a> {
    /// The fields: six, or eight with applications, and behind them the direction with its interfaces.
    fn of(fields: &[&'a str]) -> Option<Self> {
        let (&[action, protocol, to_port, to, from_port, from], rest) =
            fields.split_first_chunk()?;
        let (applications, direction) = match rest {
            [] => (None, "in"),
            [direction] => (None, *direction),
            [to, from] => (Some((*to, *from)), "in"),
            [to, from, direction] => (Some((*to, *from)), *direction),
            _ => return None,
        };
        let (is_routed, action) = match action.strip_prefix("route:") {
            Some(action) => (true, action),
            None => (false, action),
        };
        let (action, log) = match action.split_once('_') {
            Some((action, log)) => (action, Some(log)),
            None => (action, None),
        };
        let side = |address, port, application: Option<&str>| Side {
            address: if matches!(address, "0.0.0.0/0" | "::/0") {
                "any"
            } else {
                address
            },
            port,
            application: application
                .filter(|name| *name != "-")
                .map(|name| name.replace("%20", " ")),
        };
        let mut tuple = Self {
            is_routed,
            action,
            log,
            protocol,
            to: side(to, to_port, applications.map(|(to, _)| to)),
            from: side(from, from_port, applications.map(|(_, from)| from)),
            leaves: direction.starts_with("out"),
            came_in: None,
            left_by: None,
        };
        for part in direction.split('!') {
            match part.split_once('_') {
                Some(("in", name)) => tuple.came_in = Some(name),
                Some(("out", name)) => tuple.left_by = Some(name),
                None if matches!(part, "in" | "out") => {}
                _ => return None,
            }
        }
        Some(tuple)
    }

    /// The command.
    fn command(&self) -> String {
        let mut words = vec!["ufw".to_owned()];
        words.extend(self.is_routed.then(|| "route".to_owned()));
        words.push(self.action.to_owned());
        let log = self.log.map(ToOwned::to_owned);
        if self.is_short() {
            words.extend(self.leaves.then(|| "out".to_owned()));
            words.extend(log);
            let port = || match self.protocol {
                "any" => self.to.port.to_owned(),
                protocol => format!("{}/{protocol}", self.to.port),
            };
            words.push(self.to.application.as_deref().map_or_else(port, quoted));
            return words.join(" ");
        }
        words.extend(self.came_in.map(|name| format!("in on {name}")));
        words.extend(match self.left_by {
            Some(name) => Some(format!("out on {name}")),
            None => self.leaves.then(|| "out".to_owned()),
        });
        words.extend(log);
        let sides = [("from", &self.from), ("to", &self.to)];
        let sides: Vec<String> = sides
            .into_iter()
            .filter_map(|(word, side)| side.words(word))
            .collect();
        let is_bare = sides.is_empty() && self.came_in.is_none() && self.left_by.is_none();
        words.extend(sides);
        words.extend(is_bare.then(|| "to any".to_owned()));
        let has_application = self.to.application.is_some() || self.from.application.is_some();
        if self.protocol != "any" && !has_application {
            words.push(format!("proto {}", self.protocol));
        }
        words.join(" ")
    }

    /// Whether a port or an application is all that it is about.
    fn is_short(&self) -> bool {
        let is_any = self.to.address == "any" && self.from.address == "any";
        let is_plain = self.from.port == "any" && self.from.application.is_none();
        let has_interface = self.came_in.is_some() || self.left_by.is_some();
        is_any && is_plain && !has_interface && self.to.port != "any"
    }
}

impl Side<'_> {
    /// What is said of this end; nothing where it is any.
    fn words(&self, word: &str) -> Option<String> {
        let more = match (&self.application, self.port) {
            (Some(name), _) => format!(" app {}", quoted(name)),
            (None, "any") => String::new(),
            (None, port) => format!(" port {port}"),
        };
        let is_any = self.address == "any" && more.is_empty();
        (!is_any).then(|| format!("{word} {}{more}", self.address))
    }
}

/// The name of an application.
fn quoted(name: &str) -> String {
    match name.contains(' ') {
        true => format!("'{name}'"),
        false => name.to_owned(),
    }
}

/// The user's remark, of which ufw writes the octets of UTF-8 in hexadecimal digits; what is none stays as it is.
fn decoded(text: &str) -> String {
    let octets = text.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    });
    let octets: Option<Vec<u8>> = octets.collect();
    let decoded = octets.and_then(|octets| String::from_utf8(octets).ok());
    decoded.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_the_command_that_ufw_shows() {
        for (tuple, command, note) in [
            (
                "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in",
                "ufw allow 22/tcp",
                None,
            ),
            ("allow any 53 ::/0 any ::/0 in", "ufw allow 53", None),
            (
                "deny any any 0.0.0.0/0 any 0.0.0.0/0 in",
                "ufw deny to any",
                None,
            ),
            (
                "deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 out",
                "ufw deny out 25/tcp",
                None,
            ),
            (
                "deny_log-all udp 69 0.0.0.0/0 any 0.0.0.0/0 in",
                "ufw deny log-all 69/udp",
                None,
            ),
            (
                "allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in_eth0",
                "ufw allow in on eth0 to any port 80,443 proto tcp",
                None,
            ),
            (
                "route:allow tcp 80 10.0.0.0/8 any 0.0.0.0/0 in_eth1!out_eth2",
                "ufw route allow in on eth1 out on eth2 to 10.0.0.0/8 port 80 proto tcp",
                None,
            ),
            (
                "allow any any 192.0.2.0/24 123 198.51.100.7 in comment=646f6e277420c3bc",
                "ufw allow from 198.51.100.7 port 123 to 192.0.2.0/24",
                Some("don't ü"),
            ),
            (
                "allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in comment=77",
                "ufw allow 'Nginx Full'",
                Some("Nginx Full: w"),
            ),
            (
                "allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 OpenSSH - in",
                "ufw allow from 10.0.0.0/8 to any app OpenSSH",
                Some("OpenSSH"),
            ),
            (
                "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=7g",
                "ufw allow 22/tcp",
                Some("7g"),
            ),
            (
                "deny any any 0.0.0.0/0 any 0.0.0.0/0 out_eth0",
                "ufw deny out on eth0",
                None,
            ),
        ] {
            let written = read(&format!("{BEGINS} {tuple}")).unwrap();
            assert_eq!(written.command, command, "{tuple}");
            assert_eq!(written.note.as_deref(), note, "{tuple}");
        }
        for other in [
            "# comment",
            "### tuple ### allow tcp 22",
            "### tuple ### allow tcp 22 a any b x_eth0",
            "### tuple ### allow tcp 22 a any b c d in e",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
