//! `sockc answer`: runs reading commands for the members of a group, who have not the rights to, until SIGTERM, or until nobody finds its socket any more.
//!
//! Takes where to listen and for whom. What is run is this program itself, with a command line that [`crate::answering::taken`]
//! allows. Not here: who asks, and in what order ([`desk`]); the command that is run ([`child`]), and
//! what it wrote ([`kept`]).

mod child;
mod desk;
mod kept;
mod turn;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use nix::unistd::{Group, geteuid};
use sockc_runtime::Error;
use socket2::Domain;

use crate::answering::frames::Namespace;
use crate::answering::is_roots_alone;
use crate::answering::taken::VERBS;
use crate::cli::{ANSWERS_AT, Answer, Door};
use crate::exit::Exit;
use crate::machine::doors::{self, Doors};
use crate::machine::refused;
use crate::output::Output;
use desk::Desk;

/// The mode of the socket while its group is not set yet, and then.
const NOBODYS: u32 = 0o600;
const THEIRS: u32 = 0o660;

/// Answers until it is ended.
pub(crate) fn run(arguments: &Answer, output: &mut Output) -> Exit {
    if output.is_json() {
        output.error(
            "a service prints no JSON; leave --json out: who asks for JSON is answered in it",
        );
        return Exit::Usage;
    }
    if !geteuid().is_root() {
        output.error("commands believe root's answers alone; run `sockc answer` as root");
        return Exit::Refused;
    }
    let missing = sockc_runtime::missing_rights(false);
    if !missing.is_empty() {
        return refused(&Error::rights(missing), output);
    }
    // Before anything is open, so that whoever sees the socket may end it.
    let end = match sockc_runtime::end_signals() {
        Ok(end) => end,
        Err(error) => return failed("hear of SIGTERM", &error, output),
    };
    let own = match Namespace::own() {
        Ok(own) => own,
        Err(error) => return failed("find out the own network namespace", &error, output),
    };
    let (doors, whom) = match open(arguments, output) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    output.line(format!("{VERBS} are answered for {whom}"));
    match Desk::new(end.as_fd(), own, output).serve(&doors) {
        Ok(()) => Exit::Done,
        Err(error) => failed("listen", &error, output),
    }
}

fn failed(what: &str, error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("cannot {what}: {error}"));
    Exit::Refused
}

/// The socket, and who may ask there.
fn open(arguments: &Answer, output: &mut Output) -> Result<(Doors, String), Exit> {
    match (&arguments.listen, &arguments.group) {
        (Door::HandedOver, None) => {
            let doors = doors::open(&arguments.listen, THEIRS, output)?;
            let is_unix = |door: &socket2::Socket| {
                door.local_addr()
                    .is_ok_and(|at| at.domain() == Domain::UNIX)
            };
            if !doors.sockets.iter().all(is_unix) {
                output.error("a socket that is no UNIX socket was handed over, which does not say who asks; write `ListenStream=/run/sockc/answer`");
                return Err(Exit::Usage);
            }
            Ok((
                doors,
                "who may write to the socket that was handed over".to_owned(),
            ))
        }
        (Door::HandedOver, Some(_)) => {
            output.error("a socket that is handed over has its group already; leave --group out, and write `SocketGroup=` into its unit");
            Err(Exit::Usage)
        }
        (Door::Unix(_) | Door::Tcp(_), None) => {
            output.error("say whom to answer, as in `sockc answer --group adm`");
            Err(Exit::Usage)
        }
        (Door::Unix(_) | Door::Tcp(_), Some(group)) => {
            let number = number(group, output)?;
            let doors = for_group(number, output)?;
            Ok((doors, format!("the group {group} at {ANSWERS_AT}")))
        }
    }
}

fn number(group: &str, output: &mut Output) -> Result<u32, Exit> {
    match group.parse() {
        // To chown(2) that is "leave the group as it is", which is root's.
        Ok(u32::MAX) => {
            output.error(format!("no group has the number {group}"));
            return Err(Exit::Usage);
        }
        Ok(number) => return Ok(number),
        Err(_) => {}
    }
    match Group::from_name(group) {
        Ok(Some(found)) => Ok(found.gid.as_raw()),
        Ok(None) => {
            output.error(format!(
                "there is no group `{group}`; `getent group` lists them"
            ));
            Err(Exit::Usage)
        }
        Err(error) => Err(failed("look for the group", &error.into(), output)),
    }
}

/// Opens the socket for nobody, and then for the group: at no moment may others ask.
fn for_group(group: u32, output: &mut Output) -> Result<Doors, Exit> {
    let path = Path::new(ANSWERS_AT);
    let folder = path.parent().unwrap_or(path);
    made(folder).map_err(|error| failed(&format!("use {}", folder.display()), &error, output))?;
    let doors = doors::open_only(path, NOBODYS, output)?;
    // Nobody but root can change the folder, so the file is the one that was made.
    let given = lchown(path, None, Some(group))
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(THEIRS)));
    given.map_err(|error| failed(&format!("give {ANSWERS_AT} to the group"), &error, output))?;
    Ok(doors)
}

/// Makes the folder, if need be, for all to look into and for root to change.
fn made(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(folder) {
        // The mask of this process is not the group's business.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let about = fs::symlink_metadata(folder)?;
    if !is_roots_alone(&about) {
        return Err(io::Error::other(
            "others than root can change it; look at what is there, and remove it or take their rights away",
        ));
    }
    if about.mode() & 0o001 == 0 {
        return Err(io::Error::other(
            "only root can look into it, so nobody else would find the socket; `chmod 755` lets them",
        ));
    }
    Ok(())
}
