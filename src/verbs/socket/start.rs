//! `sockc socket run`: makes sockets for a service, puts them behind a name, and becomes the service.
//!
//! What the service prints is all that this prints: nothing where all is well.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{AccessFlags, access};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::Wanted;

use crate::cli::SocketRun;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;

/// Runs it; comes back only where the service could not be started.
pub(super) fn run(arguments: &SocketRun, output: &mut Output) -> Result<(), Exit> {
    let (name, place) = (&arguments.socket, options(&arguments.place));
    let Some((program, words)) = arguments.command.split_first() else {
        return Err(Exit::Usage);
    };
    // Looked at first: what stands behind the name now would have left it for nothing.
    if !is_there(program) {
        let program = program.to_string_lossy();
        output.error(format!(
            "{program} is no program that can be run here, so no socket was made and \"{name}\" is as it was"
        ));
        return Err(Exit::Refused);
    }
    let kinds = [
        (IpProtocol::TCP, &arguments.tcp),
        (IpProtocol::UDP, &arguments.udp),
    ];
    let wanted = kinds.into_iter().flat_map(|(protocol, addresses)| {
        let addresses = addresses.iter();
        addresses.map(move |address| Wanted {
            protocol,
            address: *address,
        })
    });
    let wanted: Vec<Wanted> = wanted.collect();
    let started = sockc_runtime::socket_start(&place, name, &wanted)
        .map_err(|error| refused(&error, output))?;
    for note in &started.registered.notes {
        output.note(note);
    }
    let mut command = Command::new(program);
    command.args(words);
    let error = started.become_command(command);
    let program = program.to_string_lossy();
    output.error(format!(
        "{program} cannot be started: {error}; its sockets took the places behind \"{name}\", and are closed again, so nothing stands there now"
    ));
    Err(Exit::Refused)
}

/// Whether a command can be run: by its path, or in one of the folders of `PATH`.
fn is_there(program: &OsStr) -> bool {
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if program.as_bytes().contains(&b'/') {
        return runs(Path::new(program));
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| runs(&folder.join(program)))
}
