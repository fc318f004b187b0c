//! The options of `metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::live::file_mode;

#[derive(Args, Debug)]
pub(crate) struct Metrics {
    /// A network namespace, by the name `ip netns` knows or by a path; may be given several times [default: the caller's]
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Vec<String>,
    /// The bpf file system that holds the state
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
    /// A series for every rule, also for those without a label, named by their text
    #[arg(long)]
    pub(crate) all_rules: bool,
    /// The form of the text [default: openmetrics; with --textfile: prometheus]
    #[arg(long, value_name = "FORM", conflicts_with = "listen")]
    pub(crate) format: Option<Form>,
    /// Write into this file instead, whole, with mode 644: for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(crate) textfile: Option<PathBuf>,
    /// Answer `GET /metrics` here until SIGTERM: `unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`; or `systemd` for
    /// sockets that are handed over (LISTEN_FDS)
    #[arg(long, value_name = "ADDRESS", value_parser = door)]
    pub(crate) listen: Option<Door>,
    /// The mode of the file of a UNIX socket: who may write to it may ask
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = file_mode, requires = "listen")]
    pub(crate) mode: u32,
}

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// OpenMetrics 1.0
    Openmetrics,
    /// The older text format of Prometheus, 0.0.4
    Prometheus,
}

/// Where an exporter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A UNIX socket at a path.
    Unix(PathBuf),
    /// A loopback address.
    Tcp(SocketAddr),
    /// The sockets that were handed to this command by systemd's protocol.
    HandedOver,
}

/// Reads where to listen. What others could reach is refused: what rules count is nobody else's business, and nothing here asks
/// who somebody is.
fn door(text: &str) -> Result<Door, String> {
    if text == "systemd" {
        return Ok(Door::HandedOver);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.is_empty() {
            true => Err("a path is missing, as in `unix:/run/sockc-metrics.sock`".to_owned()),
            false => Ok(Door::Unix(PathBuf::from(path))),
        };
    }
    let address: SocketAddr = text.parse().map_err(|_| {
        "write `unix:PATH`, `127.0.0.1:PORT`, `[::1]:PORT`, or `systemd` for sockets that are handed over"
            .to_owned()
    })?;
    match address.ip().is_loopback() {
        true => Ok(Door::Tcp(address)),
        false => Err(NOT_LOOPBACK.to_owned()),
    }
}

/// Why no other address is listened at.
pub(crate) const NOT_LOOPBACK: &str = "an exporter of sockc asks nobody who they are, so it listens at loopback addresses and UNIX sockets alone; put a proxy that does (with TLS) in front of it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_loopback_or_unix() {
        assert_eq!(door("unix:/a"), Ok(Door::Unix(PathBuf::from("/a"))));
        for tcp in ["127.0.0.1:9814", "127.9.9.9:1", "[::1]:0"] {
            assert_eq!(door(tcp), Ok(Door::Tcp(tcp.parse().unwrap())));
        }
        assert_eq!(door("systemd"), Ok(Door::HandedOver));
        for wide in [
            "0.0.0.0:9814",
            "[::]:9814",
            "192.0.2.1:80",
            "[::ffff:192.0.2.1]:80",
        ] {
            assert_eq!(door(wide), Err(NOT_LOOPBACK.to_owned()), "{wide}");
        }
        for wrong in [
            "",
            "unix:",
            "9814",
            "localhost:9814",
            "127.0.0.1",
            "::1:9814:",
        ] {
            assert!(door(wrong).is_err(), "{wrong}");
        }
    }
}
