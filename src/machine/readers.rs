//! The group whose members may read what is in force, by its name.
//!
//! Takes what `apply` is asked for; gives the group's number, and words for those who show it. Not here: what members may, which the
//! modes of pins say.

use std::fs;

use nix::unistd::{Gid, Group};
use sockc_compiler::names::nearest;
use sockc_runtime::{Options, Readers, check_readers};

use super::refused;
use crate::cli::Reading;
use crate::exit::Exit;
use crate::output::Output;

/// The groups of the machine itself; those of a directory service are found by their names alone.
const GROUPS: &str = "/etc/group";

/// Who may read after an apply. A group is refused that is not there, and one whose members could not come to what is in force, or
/// could change it.
pub(crate) fn asked(
    reading: &Reading,
    options: &Options,
    output: &mut Output,
) -> Result<Readers, Exit> {
    let Some(name) = &reading.group else {
        return Ok(match reading.no_group {
            true => Readers::Nobody,
            false => Readers::AsBefore,
        });
    };
    let group = match Group::from_name(name) {
        Ok(Some(group)) => group.gid.as_raw(),
        Ok(None) => {
            output.error(unknown(name));
            return Err(Exit::Usage);
        }
        Err(cause) => {
            output.error(format!(
                "whether there is a group \"{name}\" cannot be known: {cause}; nothing was changed"
            ));
            return Err(Exit::Refused);
        }
    };
    check_readers(&options.bpffs, group).map_err(|error| refused(&error, output))?;
    Ok(Readers::Group(group))
}

fn unknown(name: &str) -> String {
    let there = fs::read_to_string(GROUPS).unwrap_or_default();
    let names = there.lines().filter_map(|line| line.split(':').next());
    let near = nearest(name, names).map(|near| format!("did you mean \"{near}\"? "));
    format!(
        "there is no group \"{name}\"; {}Nothing was changed; `getent group` lists those that are there",
        near.unwrap_or_default()
    )
}

/// What a group is called: by its number where it has no name any more.
pub(crate) fn name(group: u32) -> String {
    let known = Group::from_gid(Gid::from_raw(group)).ok().flatten();
    known.map_or_else(|| group.to_string(), |known| known.name)
}

/// Who may read, in words.
pub(crate) fn words(group: u32) -> String {
    format!(
        "members of the group {} read it without rights",
        name(group)
    )
}
