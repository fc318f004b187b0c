//! Which command lines are answered for others: those that read what is in force, and name nothing of the caller's.
//!
//! Every verb and every option stands here by name, so that rustc asks of a new one whether it is answered. The service holds each
//! request to this, whatever a client did before it; a command asks only for what stands here. Not here: whether rights miss.

use std::path::Path;

use crate::cli::{
    Arguments, Counters, Deployment, MapVerb, Metrics, Monitor, SetVerb, Show, SocketVerb, Verb,
};

/// The verbs, for messages.
pub(crate) const VERBS: &str = "`status`, `counters`, `history`, `show running`, `set list`, `set test`, `map list`, `socket list`, `metrics` and `monitor`";
/// The bpf file system that is answered about; others are whoever's made them.
const BPFFS: &str = "/sys/fs/bpf";

/// A command line that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether it goes on until it is ended.
    pub(crate) stays: bool,
    /// Whether it names a network namespace, so that the caller's own does not matter.
    pub(crate) elsewhere: bool,
}

/// Whether a command line is answered; or why it is not.
pub(crate) fn taken(arguments: &Arguments) -> Result<Taken, String> {
    // How it prints is the same for all.
    let Arguments {
        json: _,
        color: _,
        verbose: _,
        verb,
    } = arguments;
    match verb {
        Verb::Status(place) | Verb::History(place) => once(place),
        Verb::Counters(arguments) => counters(arguments),
        Verb::Show(arguments) => show(arguments),
        Verb::Set(verb) => set(verb),
        Verb::Map(verb) => map(verb),
        Verb::Socket(verb) => socket(verb),
        Verb::Metrics(arguments) => metrics(arguments),
        Verb::Monitor(arguments) => monitor(arguments),
        // These change something.
        Verb::Apply(_)
        | Verb::Confirm(_)
        | Verb::Rollback(_)
        | Verb::Unload(_)
        // These read or write files of the caller's.
        | Verb::Check(_)
        | Verb::Fmt(_)
        | Verb::Compile(_)
        | Verb::Explain(_)
        | Verb::Diff(_)
        | Verb::Test(_)
        | Verb::Try(_)
        | Verb::Plan(_)
        | Verb::Import(_)
        | Verb::Man(_)
        // These take no rights.
        | Verb::Doctor(_)
        | Verb::ExplainCode(_)
        | Verb::Completions(_)
        // This one draws on the caller's terminal.
        | Verb::Top(_)
        // Nobody has others answered in their place.
        | Verb::Answer(_) => Err(not_a_verb()),
    }
}

fn not_a_verb() -> String {
    format!("{VERBS} are answered here, and no other command")
}

fn not_an_option(what: &str) -> String {
    format!(
        "{what} is not answered here: only root, or who has the capabilities, may have that done"
    )
}

fn once(place: &Deployment) -> Result<Taken, String> {
    let Deployment { netns, bpffs } = place;
    once_at(bpffs, netns.as_slice())
}

fn once_at(bpffs: &Path, netns: &[String]) -> Result<Taken, String> {
    ours(bpffs)?;
    netns.iter().try_for_each(|name| plain(name))?;
    Ok(Taken {
        stays: false,
        elsewhere: !netns.is_empty(),
    })
}

fn ours(bpffs: &Path) -> Result<(), String> {
    match bpffs == Path::new(BPFFS) {
        true => Ok(()),
        false => Err(not_an_option("`--bpffs` of another place")),
    }
}

/// A network namespace is named as `ip netns` does: a path would have the service open what the caller chose.
fn plain(netns: &str) -> Result<(), String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match netns.starts_with(|first: char| first.is_ascii_alphanumeric())
        && netns.chars().all(is_plain)
    {
        true => Ok(()),
        false => Err(not_an_option("`--netns` with a path")),
    }
}

fn counters(arguments: &Counters) -> Result<Taken, String> {
    let Counters {
        place,
        nonzero: _,
        rules: _,
        watch,
        reset,
        yes,
    } = arguments;
    if reset.is_some() || *yes {
        return Err(not_an_option("`--reset`"));
    }
    Ok(Taken {
        stays: watch.is_some(),
        ..once(place)?
    })
}

fn show(arguments: &Show) -> Result<Taken, String> {
    let Show {
        name,
        generation: _,
        out,
        place,
    } = arguments;
    match (name.as_str(), out) {
        ("running", None) => once(place),
        ("running", Some(_)) => Err(not_an_option("`--out`")),
        _ => Err(not_a_verb()),
    }
}

fn set(verb: &SetVerb) -> Result<Taken, String> {
    match verb {
        SetVerb::List(list) => once(&list.place),
        SetVerb::Test(test) => once(&test.place),
        SetVerb::Add(_) | SetVerb::Clear(_) | SetVerb::Del(_) | SetVerb::Load(_) => {
            Err(not_a_verb())
        }
    }
}

fn map(verb: &MapVerb) -> Result<Taken, String> {
    match verb {
        MapVerb::List(list) => once(&list.place),
        MapVerb::Add(_) | MapVerb::Clear(_) | MapVerb::Del(_) | MapVerb::Load(_) => {
            Err(not_a_verb())
        }
    }
}

fn socket(verb: &SocketVerb) -> Result<Taken, String> {
    match verb {
        SocketVerb::List(place) => once(place),
        SocketVerb::Register(_)
        | SocketVerb::Unregister(_)
        | SocketVerb::Refresh(_)
        | SocketVerb::Pair(_)
        | SocketVerb::Listen(_)
        | SocketVerb::Run(_) => Err(not_a_verb()),
    }
}

fn metrics(arguments: &Metrics) -> Result<Taken, String> {
    let Metrics {
        netns,
        bpffs,
        all_rules: _,
        format: _,
        textfile,
        listen,
        // It says nothing without `--listen`.
        mode: _,
    } = arguments;
    if textfile.is_some() || listen.is_some() {
        return Err(not_an_option("`--textfile` or `--listen`"));
    }
    once_at(bpffs, netns)
}

fn monitor(arguments: &Monitor) -> Result<Taken, String> {
    let Monitor {
        place,
        rules: _,
        verdicts: _,
        count: _,
        time: _,
        drops,
        pcap_out,
        // It is read without any file (`monitor/filter.rs`).
        filter: _,
    } = arguments;
    if pcap_out.is_some() {
        return Err(not_an_option("`--pcap-out`"));
    }
    // It opens gates in programs: what each drop costs is not the readers' to say.
    if drops.is_some() {
        return Err(not_an_option("`--drops`"));
    }
    Ok(Taken {
        stays: true,
        ..once(place)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn of(line: &str) -> Result<Taken, String> {
        taken(&Arguments::try_parse_from(line.split(' ')).unwrap())
    }

    #[test]
    fn what_reads_is_taken() {
        for (line, stays, elsewhere) in [
            ("sockc status --json -v", false, false),
            ("sockc history --netns blue", false, true),
            ("sockc counters --rule /etc/shadow:1", false, false),
            ("sockc counters --watch=5", true, false),
            ("sockc show running 12", false, false),
            ("sockc set list", false, false),
            ("sockc set test banned 192.0.2.1", false, false),
            ("sockc map list tenants", false, false),
            ("sockc socket list", false, false),
            ("sockc metrics --netns a --netns b", false, true),
            ("sockc monitor tcp to any:53", true, false),
        ] {
            assert_eq!(of(line), Ok(Taken { stays, elsewhere }), "{line}");
        }
    }

    #[test]
    fn what_changes_or_names_something_of_the_callers_is_not() {
        for line in [
            "sockc apply a.sk --yes",
            "sockc unload --yes",
            "sockc confirm",
            "sockc rollback --yes",
            "sockc set add banned 192.0.2.1",
            "sockc set load banned -",
            "sockc map clear tenants",
            "sockc socket refresh",
            "sockc counters --reset --yes",
            "sockc diff running /etc/shadow",
            "sockc show /etc/shadow",
            "sockc show running --out /tmp/a",
            "sockc metrics --textfile /tmp/a",
            "sockc metrics --listen unix:/tmp/a",
            "sockc monitor --pcap-out /tmp/a",
            "sockc monitor --pcap-out -",
            "sockc monitor --drops",
            "sockc status --bpffs /tmp/a",
            "sockc metrics --bpffs /tmp/a",
            "sockc status --netns /proc/1/ns/net",
            "sockc status --netns ..",
            "sockc metrics --netns ./a",
            "sockc answer --group adm",
            "sockc top",
            "sockc doctor",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
