//! The `sockc` command: reads the command line, runs one verb, ends with its code.

mod answering;
mod changes;
mod cli;
mod exit;
mod files;
mod machine;
mod output;
mod policies;
mod replay;
mod stages;
mod svg;
mod verbs;

use std::panic;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use cli::{Arguments, Verb, suggested};
use exit::Exit;
use output::{Manner, Output};
use verbs::{
    answer, apply, check, compile, completions, confirm, counters, diff, doctor, explain,
    explain_code, fmt, history, import, man, map, metrics, monitor, plan, rollback, set, show,
    socket, status, test, top, trial, unload,
};

fn main() -> ExitCode {
    panic::set_hook(Box::new(output::bug));
    let ended = panic::catch_unwind(run).unwrap_or_else(|_| {
        output::alone(Exit::Bug, "this is a bug in sockc");
        Exit::Bug
    });
    ended.into()
}

/// Reads the command line and runs its verb.
fn run() -> Exit {
    let matches = Arguments::command().try_get_matches();
    let read = matches.and_then(|matches| Ok((Arguments::from_arg_matches(&matches)?, matches)));
    let (arguments, matches) = match read {
        Ok(read) => read,
        Err(error) => return output::usage(&error),
    };
    let mut output = Output::new(Manner {
        json: arguments.json,
        color: arguments.color.wish(),
        verbose: arguments.verbose,
        works: suggested::named(&matches),
    });
    let exit = match answering::instead(&arguments, &mut output) {
        Some(exit) => exit,
        None => dispatch(&arguments.verb, &mut output),
    };
    output.finish(exit)
}

fn dispatch(verb: &Verb, output: &mut Output) -> Exit {
    match verb {
        Verb::Check(arguments) => check::run(arguments, output),
        Verb::Fmt(arguments) => fmt::run(arguments, output),
        Verb::Compile(arguments) => compile::run(arguments, output),
        Verb::Explain(arguments) => explain::run(arguments, output),
        Verb::Diff(arguments) => diff::run(arguments, output),
        Verb::Test(arguments) => test::run(arguments, output),
        Verb::Try(arguments) => trial::run(arguments, output),
        Verb::Plan(arguments) => plan::run(arguments, output),
        Verb::Answer(arguments) => answer::run(arguments, output),
        Verb::Apply(arguments) => apply::run(arguments, output),
        Verb::Confirm(arguments) => confirm::run(arguments, output),
        Verb::Doctor(arguments) => doctor::run(arguments, output),
        Verb::Status(arguments) => status::run(arguments, output),
        Verb::Counters(arguments) => counters::run(arguments, output),
        Verb::History(arguments) => history::run(arguments, output),
        Verb::Rollback(arguments) => rollback::run(arguments, output),
        Verb::Show(arguments) => show::run(arguments, output),
        Verb::ExplainCode(arguments) => explain_code::run(arguments, output),
        Verb::Completions(arguments) => completions::run(arguments, output),
        Verb::Man(arguments) => man::run(arguments, output),
        Verb::Import(verb) => import::run(verb, output),
        Verb::Map(verb) => map::run(verb, output),
        Verb::Metrics(arguments) => metrics::run(arguments, output),
        Verb::Monitor(arguments) => monitor::run(arguments, output),
        Verb::Socket(verb) => socket::run(verb, output),
        Verb::Set(verb) => set::run(verb, output),
        Verb::Top(arguments) => top::run(arguments, output),
        Verb::Unload(arguments) => unload::run(arguments, output),
    }
}
