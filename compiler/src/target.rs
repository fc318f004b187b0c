//! What a kernel can do, as an input of the compiler. Probed by the runtime, or named.

use crate::bpf::limits::Limits;

/// Features and limits of the kernel that will run the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name, recorded in the object.
    pub name: String,
    /// Whether it has the jump with a 32-bit offset (cpu v4, Linux 6.6, and backports).
    pub gotol: bool,
    /// Whether it has atomic instructions that give the old value back: compare-and-exchange, exchange, fetch-and-add
    /// (Linux 5.12). Adding without the old value is there everywhere.
    pub atomics: bool,
    /// Whether a socket lookup is told the interface that the packet came in by (Linux 5.17).
    pub lookup_interface: bool,
    /// How much of everything it takes.
    pub limits: Limits,
}

/// A release that brought something, as it left the kernel's own tree. Distributions carry features back to older ones, so
/// whoever has a kernel at hand asks it instead.
struct Release {
    name: &'static str,
    gotol: bool,
    atomics: bool,
    lookup_interface: bool,
    limits: Limits,
}

/// Every release that brought something we use, oldest first.
const RELEASES: [Release; 5] = [
    Release {
        name: "linux-5.10",
        gotol: false,
        atomics: false,
        lookup_interface: false,
        limits: Limits::LINUX_5_10,
    },
    Release {
        name: "linux-5.12",
        gotol: false,
        atomics: true,
        lookup_interface: false,
        limits: Limits::LINUX_5_10,
    },
    Release {
        name: "linux-5.17",
        gotol: false,
        atomics: true,
        lookup_interface: true,
        limits: Limits::LINUX_5_10,
    },
    Release {
        name: "linux-6.0",
        gotol: false,
        atomics: true,
        lookup_interface: true,
        limits: Limits::LINUX_6_0,
    },
    Release {
        name: "linux-6.6",
        gotol: true,
        atomics: true,
        lookup_interface: true,
        limits: Limits::LINUX_6_0,
    },
];

/// What a name says of a feature that its release has not.
const GOTOL: &str = "gotol";
const ATOMICS: &str = "atomics";
const INTERFACE: &str = "lookup_interface";

impl From<&Release> for Target {
    fn from(release: &Release) -> Self {
        Self {
            name: release.name.into(),
            gotol: release.gotol,
            atomics: release.atomics,
            lookup_interface: release.lookup_interface,
            limits: release.limits,
        }
    }
}

impl Target {
    /// What every supported kernel has: Linux 5.10.
    #[must_use]
    pub fn baseline() -> Self {
        Self::from(&RELEASES[0])
    }

    /// Every release that brought something we use, oldest first.
    pub fn releases() -> impl Iterator<Item = Self> {
        RELEASES.iter().map(Self::from)
    }

    /// Linux 5.17, the first that tells a socket lookup the interface.
    #[must_use]
    pub fn linux_5_17() -> Self {
        let mut releases = Self::releases();
        releases
            .find(|release| release.lookup_interface)
            .unwrap_or_else(Self::baseline)
    }

    /// Linux 6.6, the first whose programs may jump as far as they like (`gotol`).
    #[must_use]
    pub fn linux_6_6() -> Self {
        let mut releases = Self::releases();
        releases
            .find(|release| release.gotol)
            .unwrap_or_else(Self::newest)
    }

    /// Named by the first release that has as much of this one as any release, and by what this one has beyond it: so the
    /// name says what code for it may use.
    fn renamed(mut self) -> Self {
        let has = |one: &Self| [one.gotol, one.atomics, one.lookup_interface];
        let count = |one: &Self| has(one).iter().filter(|has| **has).count();
        let own = has(&self);
        let within = |one: &Self| has(one).iter().zip(own).all(|(theirs, own)| own || !theirs);
        // Of several that have as much, the last of these reversed is the first.
        let releases: Vec<Self> = Self::releases().filter(within).collect();
        let Some(release) = releases.into_iter().rev().max_by_key(count) else {
            return self;
        };
        let beyond = [
            (self.gotol && !release.gotol, GOTOL),
            (self.atomics && !release.atomics, ATOMICS),
            (
                self.lookup_interface && !release.lookup_interface,
                INTERFACE,
            ),
        ];
        self.name = release.name;
        for (_, word) in beyond.iter().filter(|(has, _)| *has) {
            self.name.push('+');
            self.name.push_str(word);
        }
        self
    }

    /// The newest release of the table.
    #[must_use]
    pub fn newest() -> Self {
        Self::releases().last().unwrap_or_else(Self::baseline)
    }

    /// The same with `gotol`.
    #[must_use]
    pub fn with_gotol(mut self) -> Self {
        self.gotol = true;
        self.renamed()
    }

    /// The same with `atomics`.
    #[must_use]
    pub fn with_atomics(mut self) -> Self {
        self.atomics = true;
        self.renamed()
    }

    /// The same with `lookup_interface`.
    #[must_use]
    pub fn with_lookup_interface(mut self) -> Self {
        self.lookup_interface = true;
        self.renamed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_releases_take_nothing_away() {
        let releases: Vec<Target> = Target::releases().collect();
        for pair in releases.windows(2) {
            let has = |one: &Target| [one.gotol, one.atomics, one.lookup_interface];
            let kept = has(&pair[0]).into_iter().zip(has(&pair[1]));
            assert!(kept.into_iter().all(|(before, after)| after || !before));
            assert!(pair[1].limits.table.kernel >= pair[0].limits.table.kernel);
        }
        assert_eq!(Target::linux_5_17().name, "linux-5.17");
    }

    #[test]
    fn a_name_says_what_a_target_has() {
        let name = |target: Target| target.name;
        let base = Target::baseline;
        assert_eq!(name(base().with_gotol()), "linux-5.10+gotol");
        assert_eq!(name(base().with_atomics()), "linux-5.12");
        let three = base().with_gotol().with_atomics().with_lookup_interface();
        assert_eq!(name(three), "linux-6.6");
        let back = base().with_gotol().with_lookup_interface();
        assert_eq!(back.name, "linux-5.10+gotol+lookup_interface");
        let two = base().with_atomics().with_lookup_interface();
        assert_eq!(name(two), "linux-5.17");
    }

    #[test]
    fn we_never_take_more_than_the_kernel_gives() {
        for release in Target::releases() {
            let limits = release.limits;
            let all = [
                limits.instructions,
                limits.processed,
                limits.pending_jumps,
                limits.maps,
                limits.table,
                limits.jump,
            ];
            assert!(all.iter().all(|limit| limit.ours <= limit.kernel));
        }
    }
}
