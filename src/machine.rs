//! Where the runtime works, from the command line; and how its refusals end the command.

pub(crate) mod author;
pub(crate) mod cards;
pub(crate) mod clock;
pub(crate) mod counted;
pub(crate) mod coverage;
pub(crate) mod destinations;
pub(crate) mod doors;
pub(crate) mod drift;
pub(crate) mod entries;
pub(crate) mod handed;
pub(crate) mod local;
pub(crate) mod losses;
pub(crate) mod others;
pub(crate) mod otherwise;
pub(crate) mod passing;
pub(crate) mod remote;
pub(crate) mod slots;
pub(crate) mod waiting;

use std::path::PathBuf;

use sockc_compiler::policy::OWN;
use sockc_runtime::{Error, Means, Options};

use crate::cli::Deployment;
use crate::exit::Exit;
use crate::output::Output;

/// Where what is in force for good is kept for the next start of the machine.
const KEPT_IN: &str = "/var/lib/sockc";

/// The runtime's options for a place on the command line.
pub(crate) fn options(place: &Deployment) -> Options {
    Options {
        bpffs: place.bpffs.clone(),
        netns: place.netns.clone(),
        kept_in: Some(PathBuf::from(KEPT_IN)),
        ..Options::default()
    }
}

/// Says why the runtime did not do it, and how that ends the command.
pub(crate) fn refused(error: &Error, output: &mut Output) -> Exit {
    output.error_about(error, &about(error));
    ended_by(error)
}

/// The same in the words of `status`.
pub(crate) fn refused_to_status(error: &Error, output: &mut Output) -> Exit {
    output.error_about(error.told_by_status(), &about(error));
    ended_by(error)
}

/// Whether it says that what runs is not what sockc left.
pub(crate) fn is_changed(error: &Error) -> bool {
    ended_by(error) == Exit::Changed
}

fn ended_by(error: &Error) -> Exit {
    match error {
        Error::Object { .. } | Error::Version { .. } => Exit::Policy,
        Error::Elsewhere { .. } => Exit::Changed,
        Error::Unknowable { cause, .. } if cause.is_damage() => Exit::Changed,
        error if error.is_damage() => Exit::Changed,
        Error::Unknown { .. } | Error::OwnSet => Exit::Usage,
        Error::OnTrial { .. }
        | Error::TooLate { .. }
        | Error::NoneOnTrial { .. }
        | Error::SameConnection { .. } => Exit::Guard,
        Error::NotKept { .. } => Exit::Guard,
        _ => Exit::Refused,
    }
}

/// What a refusal is about, by name, for programs.
fn about(error: &Error) -> Vec<(&'static str, String)> {
    let one = |name, value: &str| vec![(name, value.to_owned())];
    match error {
        Error::Rights { missing, .. } => one("missing", &missing.join(" ")),
        Error::NoBpffs { path, .. }
        | Error::Untrusted { path, .. }
        | Error::Cgroup { path, .. }
        | Error::SameCgroup { path, .. }
        | Error::TakenIn { path, .. }
        | Error::Locked { path, .. }
        | Error::State { path, .. }
        | Error::Unpinned { path } => one("path", &path.display().to_string()),
        Error::Netns { name, .. } => one("netns", name),
        Error::NoInterface { name, netns, .. } => {
            let netns = netns.iter().map(|netns| ("netns", netns.clone()));
            one("interface", name).into_iter().chain(netns).collect()
        }
        Error::NoEthernet { name } => one("interface", name),
        Error::TwoZones { interface, .. }
        | Error::ForeignXdp { interface, .. }
        | Error::XdpAbove { interface, .. } => one("interface", interface),
        Error::OwnSet | Error::OwnTooMany { .. } => one("set", OWN),
        Error::SetFull { set, .. }
        | Error::SetOutgrown { set, .. }
        | Error::NotInSet { set, .. } => one("set", set),
        Error::MapFull { map, .. } | Error::MapTooWide { map, .. } | Error::Entry { map, .. } => {
            one("map", map)
        }
        Error::Socket { name, .. } => one("socket", name),
        Error::Undelivered {
            netns: Some(netns), ..
        } => one("netns", netns),
        Error::Pairs { pairs, .. } => one("pairs", pairs),
        Error::Program { name, .. } => one("program", name),
        Error::OtherPolicy { policy, .. } | Error::NoInterfaceNamed { policy, .. } => {
            one("policy", policy)
        }
        _ => Vec::new(),
    }
}

/// What a hook is for, and what it hangs on if that is another control group.
pub(crate) fn place(target: &str, on: Option<&str>) -> String {
    match on {
        Some(on) => format!("{target} (hangs on {on})"),
        None => target.to_owned(),
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
