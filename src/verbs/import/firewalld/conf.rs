//! `firewalld.conf`.
//!
//! Takes its text; gives what of it decides about packets. A line that firewalld does not read means its default, as there. Not here:
//! what is said of that.

/// What is written of packets that are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogDenied {
    Off,
    All,
    /// Those of one kind: unicast, broadcast or multicast.
    Kind(String),
}

/// What it says.
#[derive(Debug)]
pub(super) struct Conf {
    /// The zone of what no zone names.
    pub(super) default_zone: String,
    pub(super) log_denied: LogDenied,
    /// Whether packets of IPv6 are dropped whose senders are elsewhere.
    pub(super) checks_senders: bool,
    /// Whether what goes to addresses of IPv6 that stand for private ones of IPv4 is rejected.
    pub(super) rejects_embedded: bool,
    /// Whether packets of a zone with senders go on in that of the interface, as old versions have it.
    pub(super) drifts: bool,
    /// Whether its rules are in iptables.
    pub(super) uses_iptables: bool,
}

impl Conf {
    /// Reads it; nothing at all is what firewalld has without the file.
    pub(super) fn read(text: &str) -> Self {
        let of = |key: &str| {
            let lines = text.lines().map(str::trim);
            let pairs = lines
                .filter(|line| !line.starts_with(['#', ';']))
                .filter_map(|line| line.split_once('='));
            let mut values = pairs
                .filter(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim());
            values.find(|value| !value.is_empty() && !value.contains('='))
        };
        let is_no = |key: &str| {
            let value = of(key).map(str::to_ascii_lowercase);
            matches!(value.as_deref(), Some("no" | "false"))
        };
        let is_yes = |key: &str| {
            let value = of(key).map(str::to_ascii_lowercase);
            matches!(value.as_deref(), Some("yes" | "true"))
        };
        Self {
            default_zone: of("DefaultZone").unwrap_or("public").to_owned(),
            log_denied: match of("LogDenied") {
                Some("all") => LogDenied::All,
                Some(kind @ ("unicast" | "broadcast" | "multicast")) => {
                    LogDenied::Kind(kind.to_owned())
                }
                _ => LogDenied::Off,
            },
            checks_senders: !is_no("IPv6_rpfilter"),
            rejects_embedded: !is_no("RFC3964_IPv4"),
            drifts: is_yes("AllowZoneDrifting"),
            uses_iptables: of("FirewallBackend") == Some("iptables"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_or_not_read_is_the_default() {
        let plain = Conf::read("# DefaultZone=home\nLogDenied=\nIPv6_rpfilter=perhaps\n");
        assert_eq!(plain.default_zone, "public");
        assert_eq!(plain.log_denied, LogDenied::Off);
        assert!(plain.checks_senders && plain.rejects_embedded && !plain.drifts);
        let said = Conf::read(
            "DefaultZone = home\nDefaultZone=work\nLogDenied=all\nIPv6_rpfilter=No\nRFC3964_IPv4=no\nAllowZoneDrifting=yes\nFirewallBackend=iptables\n",
        );
        assert_eq!(said.default_zone, "home");
        assert_eq!(said.log_denied, LogDenied::All);
        assert!(
            !said.checks_senders && !said.rejects_embedded && said.drifts && said.uses_iptables
        );
    }
}
