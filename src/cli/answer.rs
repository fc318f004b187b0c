//! The options of `answer`.

use std::path::PathBuf;

use clap::Args;

use super::Door;

/// Where commands ask. No option names another path: a command that asked at a path of the caller's would believe whoever is there.
pub(crate) const ANSWERS_AT: &str = "/run/sockc/answer";

#[derive(Args, Debug)]
pub(crate) struct Answer {
    /// Where commands ask: `unix:/run/sockc/answer`, or `systemd` for a socket that is handed over (LISTEN_FDS)
    #[arg(long, value_name = "ADDRESS", default_value = "unix:/run/sockc/answer", value_parser = place)]
    pub(crate) listen: Door,
    /// The group whose members are answered, by name or number; with `--listen systemd` the socket has it already
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
}

/// Reads where to listen.
fn place(text: &str) -> Result<Door, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path == ANSWERS_AT => Ok(Door::Unix(PathBuf::from(path))),
        None if text == "systemd" => Ok(Door::HandedOver),
        _ => Err(format!(
            "write `unix:{ANSWERS_AT}`, since commands ask nowhere else, or `systemd` for a socket that is handed over"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_where_commands_ask() {
        let path = PathBuf::from(ANSWERS_AT);
        assert_eq!(place("unix:/run/sockc/answer"), Ok(Door::Unix(path)));
        assert_eq!(place("systemd"), Ok(Door::HandedOver));
        for wrong in ["", "unix:", "unix:/tmp/answer", "127.0.0.1:1", ANSWERS_AT] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
