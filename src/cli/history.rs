//! The command line of `history`, `rollback` and `show`.

use std::path::PathBuf;

use clap::Args;

use super::{Deployment, Guards};

#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// The generation to put in force again, as `sockc history` numbers them [default: the one before]
    #[arg(value_name = "GENERATION")]
    pub(crate) generation: Option<u32>,
    /// Make the rule and the route that redirects `at tc` need, where they are not there; `unload` takes them back
    #[arg(long)]
    pub(crate) add_routes: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) why: Why,
    /// Never ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Put it in force though it cuts the SSH connection that this comes over, or lets no new one in
    #[arg(long)]
    pub(crate) lock_me_out: bool,
}

/// Why something is put in force.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Why {
    /// What `sockc history` is to tell of it, such as the number of a ticket
    #[arg(long, value_name = "TEXT", value_parser = note)]
    pub(crate) note: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// A text that `include <NAME>` takes, such as `essentials`; or `running`: the text of what is in force
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// With `running`: the text of this generation, as `sockc history` numbers them
    #[arg(value_name = "GENERATION")]
    pub(crate) generation: Option<u32>,
    /// With `running`: write the policy and the files that it names into this folder, which is made, or is empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// The longest note, in bytes.
const LONGEST: usize = 1000;

/// A note: a line of text.
fn note(text: &str) -> Result<String, String> {
    if text.len() > LONGEST {
        return Err(format!("a note has at most {LONGEST} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("a note is one line of text, without control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line() {
        assert_eq!(note("ticket NET-88").unwrap(), "ticket NET-88");
        assert!(note("a\nb").is_err() && note("\u{1b}[2J").is_err());
        assert!(note(&"x".repeat(LONGEST)).is_ok());
        assert!(note(&"x".repeat(LONGEST + 1)).is_err());
    }
}
