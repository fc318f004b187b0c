//! `sockc apply --boot`: puts in force what is kept on disk, when the machine has started and nothing is in force.
//!
//! Takes what the runtime finds on disk; where that cannot be put in force the one before it, then the minimal policy that the
//! machine names, then one that comes with sockc. Each step is said, and how the command ends says which it was. Never is
//! everything left open where something can be in force: what is named and not there yet is left out. Not here: how each is
//! applied, which is as any other object or policy is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sockc_compiler::object;
use sockc_runtime::{AtStart, Error, InForce, KeptOnDisk, OnDisk, Options};

use super::{FORMAT, Failure, apply, ended, running};
use crate::cli::{self, StartFrom};
use crate::exit::Exit;
use crate::files::input::Text;
use crate::machine::clock::utc;
use crate::machine::{options, refused};
use crate::output::Output;
use crate::policies::lints::Lints;
use crate::policies::lockout;
use crate::policies::ready::{Ready, digest};

/// The minimal policy of the machine, where none is named.
const MINIMAL: &str = "/etc/sockc/minimal.sk";
/// The one that is left where nothing else can be in force.
const BUILT_IN: &str = include_str!("minimal.sk");
/// How that one is called in messages.
const BUILT_IN_NAME: &str = "<minimal>";

/// The JSON where nothing is put in force, since the policy was taken away.
#[derive(Serialize)]
struct Nothing<'a> {
    format: &'static str,
    policy: Option<&'a str>,
    start: &'static str,
}

/// What comes may be another policy than the last one, so that none of them is asked whether it cuts the connection.
const OVER_SSH: &str = "nothing was changed: `--boot` is for the start of a machine, and puts something in force whether or not it lets this SSH connection go on; put a policy in force with `sockc apply`, which looks after that, or give `--lock-me-out`";

/// Puts in force what can be, unless something is.
pub(super) fn apply_boot(arguments: &cli::Apply, output: &mut Output) -> Exit {
    let options = options(&arguments.subject.place);
    let files = match sockc_runtime::on_disk(&options) {
        // Without these nothing can be put in force.
        Err(error @ (Error::Rights { .. } | Error::NoBpffs { .. })) => {
            return refused(&error, output);
        }
        Err(error) => {
            output.error(&error);
            Vec::new()
        }
        Ok(files) => files,
    };
    match sockc_runtime::running(&options) {
        Ok(Some(now)) if stands(&options) => return in_force(&now, &files, &options, output),
        Ok(_) => {}
        // Whatever that is, an apply finds it too, or it has passed by then.
        Err(error) => output.error(&error),
    }
    if let Some(OnDisk {
        found: Ok(KeptOnDisk::Unloaded(when)),
        path,
    }) = files.first()
    {
        return nothing(*when, path, output);
    }
    if lockout::is_over_ssh() && !arguments.lock_me_out {
        output.error(OVER_SSH);
        return Exit::Guard;
    }
    let question = "Put in force what is kept for the start of the machine, or a minimal policy where that cannot be?";
    if !output.consent(arguments.yes, question) {
        output.note("nothing was changed");
        return Exit::Policy;
    }
    start(&files, arguments, &options, output)
}

/// Tries one after the other.
fn start(files: &[OnDisk], arguments: &cli::Apply, options: &Options, output: &mut Output) -> Exit {
    if files.is_empty() {
        output.error("nothing is kept of this network namespace for the start of the machine");
    }
    for (from, file) in [StartFrom::Last, StartFrom::Before].into_iter().zip(files) {
        if of_disk(from, file, arguments, output) {
            return as_it_is(from, output);
        }
    }
    if of_machine(arguments, output) {
        return as_it_is(StartFrom::Minimal, output);
    }
    if built_in(arguments, output) {
        return as_it_is(StartFrom::BuiltIn, output);
    }
    match sockc_runtime::running(options) {
        // Another apply may have come in between, after which none of these is put in force.
        Ok(Some(now)) => in_force(&now, files, options, output),
        Ok(None) => {
            output.error("no policy is in force: every packet passes");
            Exit::Refused
        }
        Err(_) => {
            output
                .error("what is in force, if anything is, is not known: `sockc status` says more");
            Exit::Refused
        }
    }
}

/// Says which it is, if it is not the last one, and how that ends the command.
fn as_it_is(from: StartFrom, output: &mut Output) -> Exit {
    let (exit, what) = match from {
        StartFrom::Last => return Exit::Done,
        StartFrom::Before => (
            Exit::Guard,
            "the last policy could not be put in force; the one that was kept before it is",
        ),
        StartFrom::Minimal => (
            Exit::Changed,
            "no policy that is kept could be put in force; the minimal policy of this machine is",
        ),
        StartFrom::BuiltIn => (
            Exit::Changed,
            "no policy that is kept could be put in force; the minimal policy that comes with sockc is, which lets in SSH, pings, and what answers this machine",
        ),
    };
    output.error(format!(
        "{what}; put the right one in force with `sockc apply`"
    ));
    exit
}

fn of_disk(from: StartFrom, file: &OnDisk, arguments: &cli::Apply, output: &mut Output) -> bool {
    let path = file.path.display().to_string();
    let (about, object) = match &file.found {
        Ok(KeptOnDisk::Policy(about, object)) => (about, object),
        Ok(KeptOnDisk::Unloaded(_)) => {
            output.error(format!("{path} is not used: it holds no policy"));
            return false;
        }
        Err(why) => {
            output.error(format!("{path} is not used: {why}"));
            return false;
        }
    };
    output.note(format!("{path}: {}", words(about)));
    let kept = || (about.clone(), object.clone());
    let tried = attempt(from, arguments, output, |again, output| {
        Ready::of_disk(&path, kept(), &again.subject, output)
    });
    if tried != Tried::Program {
        return tried == Tried::Done;
    }
    output.note(format!("{path}: its text is compiled for this kernel"));
    let tried = attempt(from, arguments, output, |again, output| {
        Ready::of_disk_compiled(&path, kept(), &again.subject, output)
    });
    tried == Tried::Done
}

/// What is known of a policy that is kept, in words.
fn words(about: &AtStart) -> String {
    let since = about.applied.map(|when| format!(", of {}", utc(when)));
    format!(
        "the policy \"{}\", which was generation {}{}",
        about.policy,
        about.generation,
        since.unwrap_or_default()
    )
}

/// The minimal policy that the machine names.
fn of_machine(arguments: &cli::Apply, output: &mut Output) -> bool {
    let named = arguments.boot.minimal.clone();
    let path = named.unwrap_or_else(|| PathBuf::from(MINIMAL));
    if let Err(why) = fit(&path) {
        output.error(format!("{} is not used: {why}", path.display()));
        return false;
    }
    output.note(format!(
        "{}: the minimal policy of this machine",
        path.display()
    ));
    let tried = attempt(StartFrom::Minimal, arguments, output, |again, output| {
        Ready::read(&path, &again.subject, output)
    });
    tried == Tried::Done
}

/// Whether nobody but root can have written a file.
fn fit(path: &Path) -> Result<(), String> {
    let about = fs::metadata(path).map_err(|cause: io::Error| cause.to_string())?;
    match (about.is_file(), about.uid(), about.mode() & 0o022) {
        (false, ..) => Err("it is no regular file".to_owned()),
        (_, owner, _) if owner != 0 => Err(format!("it belongs to the user {owner}")),
        (_, _, 0) => Ok(()),
        _ => Err("others than its owner can write to it".to_owned()),
    }
}

fn built_in(arguments: &cli::Apply, output: &mut Output) -> bool {
    output.note("the minimal policy that comes with sockc is put in force");
    let tried = attempt(StartFrom::BuiltIn, arguments, output, |again, output| {
        let text = Text::new(
            Path::new(BUILT_IN_NAME),
            BUILT_IN.as_bytes().to_vec(),
            output,
        )?;
        Ready::of_text(text, &again.subject, &Lints::silent(), output)
    });
    tried == Tried::Done
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// It is in force.
    Done,
    /// The kernel takes a program not, which may have been compiled for another kernel.
    Program,
    /// It is not in force.
    Failed,
}

/// Puts something in force. What is wrong with it is said.
fn attempt(
    from: StartFrom,
    arguments: &cli::Apply,
    output: &mut Output,
    made: impl FnOnce(&cli::Apply, &mut Output) -> Result<Ready, Exit>,
) -> Tried {
    let again = like(from, arguments);
    let ready = made(&again, output).map_err(Failure::from);
    let applied = ready.and_then(|ready| apply(&ready, &again, output));
    let program = matches!(applied, Err(Failure::Refused(Error::Program { .. })));
    match (ended(applied, output), program) {
        (Exit::Done, _) => Tried::Done,
        (_, true) => Tried::Program,
        (_, false) => Tried::Failed,
    }
}

/// The command line of one of them.
fn like(from: StartFrom, arguments: &cli::Apply) -> cli::Apply {
    let subject = &arguments.subject;
    cli::Apply {
        file: None,
        running: false,
        boot: cli::Boot {
            boot: true,
            minimal: None,
            from: Some(from),
        },
        subject: cli::Subject {
            interfaces: Vec::new(),
            add_routes: subject.add_routes,
            place: subject.place.clone(),
            guards: subject.guards.clone(),
            counting: cli::Counting::default(),
            lints: cli::Lints::default(),
        },
        watch: false,
        why: arguments.why.clone(),
        // It was asked.
        yes: true,
        confirm: None,
        no_confirm: true,
        // Over SSH it was wanted.
        lock_me_out: true,
    }
}

/// Whether what is pinned decides. A namespace that was made anew may have the number of one that ended, whose pins are still there: a
/// look at what hangs on its hooks takes them away.
fn stands(options: &Options) -> bool {
    !matches!(sockc_runtime::status(options), Ok(None))
}

/// Says that nothing is to be in force.
fn nothing(when: Option<u64>, path: &Path, output: &mut Output) -> Exit {
    if output.is_json() {
        output.value(&Nothing {
            format: FORMAT,
            policy: None,
            start: "unloaded",
        });
    } else {
        let when = when.map_or_else(String::new, |when| format!(" at {}", utc(when)));
        output.line(format!(
            "nothing is put in force: `sockc unload` took the policy away{when} ({})",
            path.display()
        ));
    }
    Exit::Done
}

/// Something is in force already: it stays, and whether it is what is kept is said.
fn in_force(now: &InForce, files: &[OnDisk], options: &Options, output: &mut Output) -> Exit {
    let kept = match files.first().map(|file| &file.found) {
        Some(Ok(KeptOnDisk::Policy(about, object))) => {
            about.interfaces == now.interfaces && is_same(object, &now.object)
        }
        _ => false,
    };
    let (policy, generation) = (&now.policy, now.generation);
    let note = match kept {
        true => format!(
            "the policy \"{policy}\" is in force already, generation {generation}; nothing was changed"
        ),
        false => format!(
            "the policy \"{policy}\" is in force, generation {generation}, and is not what is kept for the start of the machine; nothing was changed"
        ),
    };
    match sockc_runtime::status(options) {
        Ok(Some(status)) if output.is_json() => running::told(&status, &[note], output),
        _ if kept => output.note(note),
        _ => output.error(note),
    }
    match kept {
        true => Exit::Done,
        false => Exit::Changed,
    }
}

/// Whether two objects were compiled from the same texts.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let of = |bytes: &[u8]| {
        let manifest = object::read_manifest(bytes).ok()?;
        let lists = object::read_lists(bytes).unwrap_or_default();
        Some(digest(&manifest, &lists))
    };
    one == other || of(one).is_some_and(|digest| Some(digest) == of(other))
}
