//! A folder of ufw in the manner of Debian's, shortened, with what a test says of it.
//!
//! Not here: what is asked of it.

use std::fs;
use std::path::PathBuf;

use super::super::Folder;

/// `before.rules`; `ufw6` and `ICMP` stand for what differs between the families.
const BEFORE: &str = "# ahead of the user's
*filter
:ufw6-before-input - [0:0]
:ufw6-before-output - [0:0]
:ufw6-before-forward - [0:0]
:ufw6-not-local - [0:0]

-A ufw6-before-input -i lo -j ACCEPT
-A ufw6-before-output -o lo -j ACCEPT
-A ufw6-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw6-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw6-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw6-before-input -m conntrack --ctstate INVALID -j ufw6-logging-deny
-A ufw6-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw6-before-input -p ICMP -j ACCEPT
-A ufw6-before-output -p ICMP -j ACCEPT
";
/// What of it is of IPv4 alone.
const NOT_LOCAL: &str = "-A ufw-before-input -j ufw-not-local
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
";
const AFTER: &str = "*filter
:ufw6-after-input - [0:0]
:ufw6-after-output - [0:0]
:ufw6-after-forward - [0:0]
-A ufw6-after-input -p udp --dport 137 -j ufw6-skip-to-policy-input
COMMIT
";
/// What ufw writes above the user's rules.
const ABOVE: &str = "*filter
:ufw6-user-input - [0:0]
:ufw6-user-output - [0:0]
:ufw6-user-forward - [0:0]
:ufw6-before-logging-input - [0:0]
:ufw6-user-logging-input - [0:0]
:ufw6-after-logging-input - [0:0]
:ufw6-logging-deny - [0:0]
:ufw6-user-limit - [0:0]
:ufw6-user-limit-accept - [0:0]
### RULES ###
";
/// What it writes below them, with `LINES` for what depends on the level.
const BELOW: &str = "
### END RULES ###

### LOGGING ###
LINES### END LOGGING ###

### RATE LIMITING ###
-A ufw6-user-limit -m limit --limit 3/minute -j LOG --log-prefix \"[UFW LIMIT BLOCK] \"
-A ufw6-user-limit -j REJECT
-A ufw6-user-limit-accept -j ACCEPT
### END RATE LIMITING ###
COMMIT
";
/// Lines of the level `low`.
const LOW: &str = "-A ufw6-after-logging-input -j LOG --log-prefix \"[UFW BLOCK] \" -m limit --limit 3/min --limit-burst 10
-A ufw6-logging-deny -j LOG --log-prefix \"[UFW BLOCK] \" -m limit --limit 3/min --limit-burst 10
";

/// What a test says of the folder.
pub(crate) struct Files<'a> {
    /// The user's rules of each family, with `ufw6` in names of chains of both.
    pub(crate) user: [&'a str; 2],
    /// Lines behind those of the defaults, which override them.
    pub(crate) settings: &'a str,
    /// Whether ufw is enabled.
    pub(crate) enabled: &'a str,
    /// Lines of what is logged.
    pub(crate) logging: &'a str,
}

impl Default for Files<'_> {
    fn default() -> Self {
        Self {
            user: [""; 2],
            settings: "",
            enabled: "yes",
            logging: LOW,
        }
    }
}

/// A text of one of both families.
fn of_family(text: &str, family: usize) -> String {
    let icmp = ["icmp", "ipv6-icmp"][family];
    let own = ["ufw-", "ufw6-"][family];
    text.replace("ICMP", icmp).replace("ufw6-", own)
}

impl Files<'_> {
    /// The texts of `before`, `after` and `user` of a family.
    pub(crate) fn rules(&self, family: usize) -> [String; 3] {
        let before = match family {
            0 => [BEFORE, NOT_LOCAL, "COMMIT\n"].concat(),
            _ => [BEFORE, "COMMIT\n"].concat(),
        };
        let below = BELOW.replace("LINES", self.logging);
        let user = [ABOVE, self.user[family], &below].concat();
        [before, AFTER.to_owned(), user].map(|text| of_family(&text, family))
    }

    /// Writes the folder; gives its name.
    pub(crate) fn write(&self, folder: &Folder, name: &str) -> String {
        let etc: PathBuf = folder.0.join(name);
        for part in ["ufw", "default"] {
            fs::create_dir_all(etc.join(part)).unwrap();
        }
        let own = etc.join("ufw");
        for (family, digit) in [(0, ""), (1, "6")] {
            let names = ["before", "after", "user"];
            for (name, text) in names.into_iter().zip(self.rules(family)) {
                fs::write(own.join(format!("{name}{digit}.rules")), text).unwrap();
            }
        }
        let conf = format!("# ufw\nENABLED={}\nLOGLEVEL=low\n", self.enabled);
        fs::write(own.join("ufw.conf"), conf).unwrap();
        let defaults = format!(
            "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\nDEFAULT_FORWARD_POLICY=\"DROP\"\nIPT_MODULES=\"\"\n{}",
            self.settings
        );
        fs::write(etc.join("default/ufw"), defaults).unwrap();
        own.to_str().unwrap().to_owned()
    }
}
