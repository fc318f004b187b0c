//! Where the runtime works, from the command line; and how its refusals end the command.

use sockc_runtime::{Error, Means, Options};

use crate::cli::Place;
use crate::exit::Exit;
use crate::output::Output;

/// The runtime's options for a place on the command line.
pub(crate) fn options(place: &Place) -> Options {
    Options {
        bpffs: place.bpffs.clone(),
        netns: place.netns.clone(),
        ..Options::default()
    }
}

/// Says why the runtime did not do it, and how that ends the command.
pub(crate) fn refused(error: &Error, output: &mut Output) -> Exit {
    output.error(error);
    match error {
        Error::Object { .. } | Error::Version { .. } => Exit::Policy,
        Error::State { .. } | Error::Moved { .. } => Exit::Changed,
        Error::Unknown { .. } => Exit::Usage,
        _ => Exit::Refused,
    }
}

/// How a hook is attached, in a word.
pub(crate) fn means(means: Means) -> &'static str {
    match means {
        Means::XdpNative => "native",
        Means::XdpGeneric => "generic",
        Means::Tcx => "tcx",
        Means::Clsact => "clsact",
        Means::Link => "link",
        Means::MapAttach => "map",
    }
}
