//! `sockc socket listen`: takes sockets that services hand over, and says what becomes of each.

use serde::Serialize;
use sockc_runtime::{Caller, DeskEvent, Held};

use crate::cli::SocketListen;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;

/// The JSON, when it ends.
#[derive(Serialize)]
struct Ended {
    format: &'static str,
    taken: u64,
    refused: u64,
}

/// Runs it.
pub(super) fn run(arguments: &SocketListen, output: &mut Output) -> Result<(), Exit> {
    let place = options(&arguments.place);
    let listen = (arguments.path.as_path(), arguments.mode);
    let mut tell = |event: DeskEvent<'_>| {
        if !output.is_json() {
            told(&event, arguments, output);
        }
    };
    let count = sockc_runtime::socket_listen(&place, listen, &arguments.only, &mut tell)
        .map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&Ended {
            format: "sockc.socket-listen/1",
            taken: count.taken,
            refused: count.refused,
        });
    } else {
        output.line(format!("{} taken, {} refused", count.taken, count.refused));
    }
    Ok(())
}

fn told(event: &DeskEvent<'_>, arguments: &SocketListen, output: &mut Output) {
    match event {
        DeskEvent::Ready => {
            let path = arguments.path.display();
            output.line(format!("sockets are taken at {path}"));
        }
        DeskEvent::Taken(caller, registered) => {
            let held = registered.held.iter().map(|held| Held::name(*held));
            let held = held.collect::<Vec<_>>().join(", ");
            let name = &caller.name;
            output.line(format!("socket \"{name}\" now holds {held}{}", by(caller)));
            for note in &registered.notes {
                output.note(note);
            }
        }
        DeskEvent::Refused(caller, why) => output.note(format!("refused{}: {why}", by(caller))),
    }
}

/// Who handed it over, as far as that can be told.
fn by(caller: &Caller) -> String {
    let process = caller.process.map(|process| format!("process {process}"));
    let user = caller.uid.map(|uid| format!("user {uid}"));
    let who: Vec<String> = process.into_iter().chain(user).collect();
    match who.as_slice() {
        [] => String::new(),
        who => format!(", from {}", who.join(" of ")),
    }
}
