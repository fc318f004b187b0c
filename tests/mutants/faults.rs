//! The table of faults, by part.
//!
//! Each names a file, a text that stands in it once, what stands there instead, and the narrow tests that have to notice it.
//! One that cannot be noticed, since nothing changes, says why. Numbers are names: they do not change when others go.

mod answered;
mod around;
mod arriving;
mod asked;
mod boots;
mod bounded;
mod buckets;
mod bulk;
mod calls;
mod chained;
mod classifier;
mod compose;
mod composed;
mod costly;
mod datagrams;
mod destinations;
mod diff;
mod emit;
mod ends;
mod entry;
mod filtered;
mod frames;
mod generations;
mod handed;
mod imported;
mod intercepts;
mod interpret;
mod interrupted;
mod ipsets;
mod listed;
mod live;
mod loading;
mod lockout;
mod lower;
mod meaning;
mod members;
mod mended;
mod metrics;
mod monitor;
mod noticed;
mod operated;
mod outside;
mod outsiders;
mod own;
mod parser;
mod passed;
mod passes;
mod passing;
mod place;
mod rated;
mod rates;
mod reach;
mod rights;
mod said;
mod sessions;
mod spared;
mod standing;
mod steps;
mod tested;
mod topped;
mod trials;
mod walk;
mod zoned;

/// A fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) number: u32,
    pub(crate) file: &'static str,
    /// What stands there: an expression, if `new` does not say where the switch is.
    pub(crate) old: &'static str,
    /// What is written instead; with `FAULT` in it, it replaces the old text for good, and `FAULT` is whether it is on.
    pub(crate) new: &'static str,
    /// Tests that have to notice it, the cheapest first.
    pub(crate) tests: &'static [Narrow],
    /// Why nobody can notice it; empty for all others.
    pub(crate) harmless: &'static str,
}

/// Tests by parts of their names, with blanks between them.
pub(crate) type Narrow = (Suite, &'static str);

/// Which binary tests are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suite {
    Grammar,
    Compiler,
    Runtime,
    Differential,
    /// Examples, goldens and the manual.
    It,
    /// The runtime in namespaces of its own.
    Kernel,
    /// Policies in force that real packets meet.
    Packets,
    /// The command's own modules.
    Command,
    /// Verbs in namespaces of their own.
    Verbs,
    /// Commands that are killed.
    Kill,
    /// What comes back when a machine starts.
    Boot,
    /// Writes between sockets of a group.
    Streams,
    /// Numbers for Prometheus.
    Metrics,
    /// Commands as another user.
    Rights,
}

impl Suite {
    /// The package, its folder, and which of its test targets; `None` for what it is itself.
    fn of_cargo(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Grammar => ("sockc-grammar", "grammar", None),
            Self::Compiler => ("sockc-compiler", "compiler", None),
            Self::Runtime => ("sockc-runtime", "runtime", None),
            Self::Differential => ("sockc", "", Some("differential")),
            Self::It => ("sockc", "", Some("it")),
            Self::Kernel => ("sockc-runtime", "runtime", Some("kernel")),
            Self::Packets => ("sockc", "", Some("kernel")),
            Self::Command => ("sockc", "", None),
            Self::Verbs => ("sockc", "", Some("verbs")),
            Self::Kill => ("sockc", "", Some("kill")),
            Self::Boot => ("sockc", "", Some("boot")),
            Self::Streams => ("sockc", "", Some("streams")),
            Self::Metrics => ("sockc", "", Some("metrics")),
            Self::Rights => ("sockc", "", Some("rights")),
        }
    }

    pub(crate) fn package(self) -> &'static str {
        self.of_cargo().0
    }

    /// Where cargo says what kind a target is.
    pub(crate) fn kind(self) -> &'static str {
        match self.target() {
            Some(_) => "test",
            None if self == Self::Command => "bin",
            None => "lib",
        }
    }

    pub(crate) fn folder(self) -> &'static str {
        self.of_cargo().1
    }

    pub(crate) fn target(self) -> Option<&'static str> {
        self.of_cargo().2
    }

    /// Whether its tests make nothing that outlives them.
    pub(crate) fn is_pure(self) -> bool {
        match self {
            Self::Grammar | Self::Compiler | Self::Differential | Self::It | Self::Command => true,
            Self::Runtime
            | Self::Kernel
            | Self::Packets
            | Self::Verbs
            | Self::Kill
            | Self::Boot
            | Self::Streams
            | Self::Metrics
            | Self::Rights => false,
        }
    }
}

/// Every fault.
pub(crate) fn all() -> Vec<Fault> {
    let parts = [
        classifier::FAULTS,
        walk::FAULTS,
        bulk::FAULTS,
        buckets::FAULTS,
        place::FAULTS,
        compose::FAULTS,
        composed::FAULTS,
        datagrams::FAULTS,
        destinations::FAULTS,
        parser::FAULTS,
        emit::FAULTS,
        ends::FAULTS,
        intercepts::FAULTS,
        interpret::FAULTS,
        interrupted::FAULTS,
        diff::FAULTS,
        steps::FAULTS,
        tested::FAULTS,
        meaning::FAULTS,
        outside::FAULTS,
        outsiders::FAULTS,
        own::FAULTS,
        lower::FAULTS,
        said::FAULTS,
        spared::FAULTS,
        live::FAULTS,
        loading::FAULTS,
        lockout::FAULTS,
        sessions::FAULTS,
        standing::FAULTS,
        calls::FAULTS,
        passes::FAULTS,
        passed::FAULTS,
        passing::FAULTS,
        reach::FAULTS,
        rights::FAULTS,
        rated::FAULTS,
        rates::FAULTS,
        answered::FAULTS,
        around::FAULTS,
        asked::FAULTS,
        entry::FAULTS,
        arriving::FAULTS,
        boots::FAULTS,
        bounded::FAULTS,
        filtered::FAULTS,
        frames::FAULTS,
        generations::FAULTS,
        handed::FAULTS,
        members::FAULTS,
        mended::FAULTS,
        metrics::FAULTS,
        monitor::FAULTS,
        noticed::FAULTS,
        imported::FAULTS,
        chained::FAULTS,
        listed::FAULTS,
        operated::FAULTS,
        costly::FAULTS,
        trials::FAULTS,
        topped::FAULTS,
        zoned::FAULTS,
        ipsets::FAULTS,
    ];
    parts.concat()
}

/// A fault that has to be noticed.
const fn fault(
    number: u32,
    file: &'static str,
    old: &'static str,
    new: &'static str,
    tests: &'static [Narrow],
) -> Fault {
    Fault {
        number,
        file,
        old,
        new,
        tests,
        harmless: "",
    }
}

/// A fault that changes nothing that anybody could see.
const fn harmless(fault: Fault, why: &'static str) -> Fault {
    Fault {
        harmless: why,
        ..fault
    }
}
