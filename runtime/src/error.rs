//! What the world may refuse: each variant says what, where, why, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::attach::dispatch;
use crate::prefix::Prefix;

/// Where a program of sockc comes from that nothing here knows.
const ELSEWHERE: &str = "nothing in this bpf file system knows it: its policy is kept in another bpf file system. Run sockc where that is mounted, which under `ip netns exec` is outside, with `--netns NAME`, or name it with --bpffs";

/// Why the runtime did not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// Capabilities miss.
    Rights {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The state folder is not on a bpf file system.
    NoBpffs {
        /// The folder.
        path: PathBuf,
        /// Whether this process has mounts and a network of its own, as under `ip netns exec`.
        apart: bool,
    },
    /// Others can change the state folder, or made it.
    Untrusted {
        /// The folder.
        path: PathBuf,
        /// Whether it is our own folder, whose mode somebody changed.
        ours: bool,
    },
    /// The network namespace cannot be opened or entered.
    Netns {
        /// As it was named; empty for the caller's own.
        name: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Conditions look into namespaces whose ids the kernel gives to others, and it cannot be seen here when that happens.
    LentNetnsIds {
        /// The namespaces, as they were named.
        names: Vec<String>,
        /// Why it cannot be seen.
        cause: io::Error,
    },
    /// Two names are of one network namespace, and both are to have a policy.
    SameNetns {
        /// The names.
        names: [String; 2],
    },
    /// The policy in force in a namespace is not one that this apply may replace.
    OtherPolicy {
        /// The namespace; `None` for the caller's own.
        netns: Option<String>,
        /// The policy in force there.
        policy: String,
        /// Whether it comes from a `for netns` block of another policy.
        owned: bool,
    },
    /// A named interface is not there.
    NoInterface {
        /// Its name.
        name: String,
        /// Those that are there.
        present: Vec<String>,
    },
    /// A named interface carries no Ethernet frames.
    NoEthernet {
        /// Its name.
        name: String,
    },
    /// The policy has packet rules and names no interface.
    NoInterfaceNamed {
        /// The policy.
        policy: String,
        /// What of it needs the packets of interfaces.
        because: String,
    },
    /// The patterns of two zones cover one interface.
    TwoZones {
        /// The interface.
        interface: String,
        /// The zones.
        zones: [String; 2],
    },
    /// Another XDP program is on the interface.
    ForeignXdp {
        /// The interface.
        interface: String,
        /// Id and name of the program, where the system tells.
        program: Option<(u32, String)>,
    },
    /// No control groups of version 2 are mounted.
    NoCgroups,
    /// The control group of a group cannot be opened.
    Cgroup {
        /// The group.
        group: String,
        /// The control group's folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Two groups are one control group.
    SameCgroup {
        /// The groups.
        groups: [String; 2],
        /// The control group's folder.
        path: PathBuf,
    },
    /// The kernel refused a program of the object.
    Program {
        /// The program.
        name: String,
        /// The system's error.
        cause: io::Error,
        /// The source line the verifier stopped in, where it says.
        rule: Option<String>,
        /// The end of the verifier's log.
        log: Vec<String>,
    },
    /// The object is not one, is cut short, or lacks something that its manifest names.
    Object {
        /// What is wrong.
        cause: String,
    },
    /// The manifest has another version.
    Version {
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// No policy is in force that could be asked or changed.
    NothingInForce,
    /// The policy in force declares nothing by this name.
    Unknown {
        /// What was looked for: `live set`, `live map`, `socket`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The declared name that was probably meant.
        nearest: Option<String>,
        /// What is declared of this kind.
        declared: Vec<String>,
    },
    /// A change would leave more elements in a live set than it may hold.
    SetFull {
        /// The set.
        set: String,
        /// How many are in it, and stay there.
        size: usize,
        /// How many there would be.
        wanted: usize,
        /// The maximum number of elements.
        max: u32,
    },
    /// A live set has more elements than the new policy lets it hold.
    SetOutgrown {
        /// The set.
        set: String,
        /// How many are in it.
        size: usize,
        /// The maximum number of elements.
        max: u32,
    },
    /// An element to be removed is not in the live set.
    NotInSet {
        /// The set.
        set: String,
        /// The element.
        element: Prefix,
        /// An element that is in the set and covers it.
        covered_by: Option<Prefix>,
    },
    /// A live map would have more entries than it may hold.
    MapFull {
        /// The map.
        map: String,
        /// How many there would be.
        wanted: usize,
        /// The maximum number of entries.
        max: u32,
    },
    /// The entries of a live map cut the ports into too many pieces.
    MapTooWide {
        /// The map.
        map: String,
        /// How many keys they make.
        keys: usize,
        /// The maximum number of keys.
        room: u32,
    },
    /// An entry of a live map is wrong, or not there.
    Entry {
        /// The map.
        map: String,
        /// The entry.
        entry: String,
        /// What is wrong.
        cause: String,
    },
    /// A socket cannot be registered by this name.
    Socket {
        /// The name.
        name: String,
        /// Why.
        cause: String,
    },
    /// Another command is changing the same namespace.
    Locked {
        /// The state folder.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// What earlier commands left behind may not be read by this process.
    NoAccess {
        /// What was to be read.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A policy was taken out of force, but not all that belongs to it could be removed.
    Left {
        /// What is left, and whether it is in force.
        left: Vec<String>,
        /// Why the first of it is.
        cause: Box<Error>,
    },
    /// Programs of sockc are on hooks, and the state folder knows nothing of them.
    Elsewhere {
        /// The bpf file system.
        bpffs: PathBuf,
        /// The hooks, in words.
        hooks: Vec<String>,
    },
    /// Whose `for netns` block the policy in a namespace is cannot be known.
    Unknowable {
        /// The namespace: its name, or a path of it.
        netns: String,
        /// Why.
        cause: Box<Error>,
    },
    /// What earlier commands left behind is not as they left it.
    State {
        /// The state folder.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// What runs is not what a saved plan was made for.
    Moved {
        /// What is other, in words.
        what: String,
    },
    /// The caller asked to stop.
    Stopped {
        /// Before which step.
        step: String,
    },
    /// The kernel refused a step.
    Kernel {
        /// What was being done.
        what: String,
        /// The system's error.
        cause: io::Error,
    },
}

/// Whether a map is another one than sockc made, which we find out and the kernel does not say.
fn is_damage(cause: &io::Error) -> bool {
    cause.raw_os_error().is_none() && cause.kind() == io::ErrorKind::InvalidData
}

impl Error {
    /// Whether there is no network namespace of the name that was asked for: none at all, or a file that leads to none (which
    /// setns(2) calls EINVAL). Any other refusal says nothing of that.
    pub(crate) fn is_no_namespace(&self) -> bool {
        let is_gone = |cause: &io::Error| {
            cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(libc::EINVAL)
        };
        matches!(self, Self::Netns { cause, .. } if is_gone(cause))
    }

    /// Whether what sockc left in the kernel is not what it finds there.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::State { .. } | Self::Moved { .. } => true,
            Self::Kernel { cause, .. } => is_damage(cause),
            _ => false,
        }
    }

    /// What was refused, without what it means for the whole command: where that had done its work, or part of it.
    pub(crate) fn bare(&self) -> String {
        match self {
            Self::NoAccess { path, cause } => format!("{} cannot be read: {cause}", path.display()),
            Self::State { path, cause } => {
                format!("{} is not as sockc left it: {cause}", path.display())
            }
            error => error.to_string(),
        }
    }

    /// Whether the kernel or the machine refused, as opposed to a bad object or a caller that stopped.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Object { .. } | Self::Version { .. } | Self::Stopped { .. }
        )
    }
}

/// Whether the system refused for a reason that passes by itself: want of memory or of descriptors, a signal, somebody who is
/// just busy with the same thing. It says nothing of what was asked for.
pub(crate) fn passes(cause: &io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(
            libc::ENOMEM
                | libc::EMFILE
                | libc::ENFILE
                | libc::EINTR
                | libc::EBUSY
                | libc::EAGAIN
                | libc::ENOBUFS
        )
    )
}

/// Whether the system refused for want of something, or since it fails. It says nothing of what was asked for, either.
pub(crate) fn is_machine(cause: &io::Error) -> bool {
    passes(cause) || matches!(cause.raw_os_error(), Some(libc::EIO | libc::ENOSPC))
}

/// What it means that something in the state folder cannot be read: damage only if neither the machine nor the rights of this
/// process are the reason.
pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::NoAccess {
            path: path.to_owned(),
            cause,
        },
        _ if is_machine(&cause) => at(format!("read {}", path.display()))(cause),
        Some(libc::ENOENT) => Error::State {
            path: path.to_owned(),
            cause: "it is gone".to_owned(),
        },
        _ => Error::State {
            path: path.to_owned(),
            cause: cause.to_string(),
        },
    }
}

/// What was found at a path; nothing if it is gone or damaged, which is told elsewhere. A refusal that has another reason is an
/// error: it must not look like that.
pub(crate) fn unless_passing<T>(
    path: &Path,
    found: io::Result<Option<T>>,
) -> Result<Option<T>, Error> {
    match found.map_err(|cause| unreadable(path, cause)) {
        Err(Error::State { .. }) => Ok(None),
        found => found,
    }
}

/// The system's refusal somewhere behind an error of a library.
pub(crate) fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let number = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if let Some(number) = number {
            return Some(io::Error::from_raw_os_error(number));
        }
        next = error.source();
    }
    None
}

/// Makes the `map_err` of a step.
pub(crate) fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |cause| Error::Kernel { what, cause }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights { missing } => write!(
                f,
                "this needs the rights {}; run it as root, or give the command these capabilities",
                missing.join(" and ")
            ),
            Self::NoBpffs { path, apart } => {
                let path = path.display();
                write!(f, "{path} is not a bpf file system; mount one with `mount -t bpf -o mode=0700 bpf {path}`, or name another place with --bpffs")?;
                match apart {
                    true => write!(f, ". This process has a network and mounts of its own: under `ip netns exec`, what is mounted so ends with the command, and its policy with it, so run `sockc --netns NAME …` outside instead"),
                    false => Ok(()),
                }
            }
            Self::Untrusted { path, ours: true } => write!(
                f,
                "others can change {path}, so sockc does not use it, and nothing was changed; `chmod 0750 {path}` shuts them out, and then `sockc status` says whether anybody changed what is in it",
                path = path.display()
            ),
            Self::Untrusted { path, ours: false } => write!(
                f,
                "others can change {}, so sockc does not use it; look at what is there, remove it by hand, and mount the bpf file system with `-o mode=0700`",
                path.display()
            ),
            Self::Netns { name, cause } if name.is_empty() => {
                write!(f, "the network namespace of this process cannot be read: {cause}")
            }
            Self::Netns { name, cause } => write!(
                f,
                "the network namespace \"{name}\" cannot be entered: {cause}; `ip netns list` shows those with names"
            ),
            Self::LentNetnsIds { names, cause } => {
                let first = names.first().map_or("", String::as_str);
                let named = names.join("\" and \"");
                write!(
                    f,
                    "`in netns` looks into \"{named}\", which the kernel has given an id by itself; when such a namespace ends, the kernel gives its id to another one, and here nobody can see that in time ({cause}); give it an id that is not given again: make it anew, run `ip netns set {first} {}` before it gets an interface, and then `sockc apply`",
                    crate::sys::nsid::OURS
                )
            }
            Self::SameNetns { names: [one, other] } => write!(
                f,
                "the network namespaces \"{one}\" and \"{other}\" are the same one; it can have one policy only"
            ),
            Self::OtherPolicy { netns, policy, owned } => {
                match netns {
                    Some(netns) => write!(f, "in the network namespace \"{netns}\"")?,
                    None => f.write_str("in this network namespace")?,
                }
                write!(f, " the policy \"{policy}\" is in force, ")?;
                f.write_str(if *owned {
                    "which a `for netns` block of another namespace's policy put there; change it in that policy, or take it away with `sockc unload` here"
                } else {
                    "which no `for netns` block of this policy put there; take it away with `sockc unload` first"
                })
            }
            Self::NoInterface { name, present } => write!(
                f,
                "there is no interface \"{name}\" in this network namespace; it has {}",
                present.join(", ")
            ),
            Self::NoEthernet { name } => write!(
                f,
                "the interface \"{name}\" carries no Ethernet frames, which packet rules read; name the interface below or next to it instead"
            ),
            Self::NoInterfaceNamed { policy, because } => write!(
                f,
                "{because} is about the packets of interfaces, and the policy \"{policy}\" names none; add `interfaces …` to it or give --interface"
            ),
            Self::TwoZones { interface, zones: [one, other] } => write!(
                f,
                "the interface \"{interface}\" is in two zones, \"{one}\" and \"{other}\"; an interface can be in one only, so change the patterns of one of them"
            ),
            Self::ForeignXdp { interface, program } => {
                if let Some((id, name)) = program
                    && dispatch::is_title(name)
                {
                    return write!(
                        f,
                        "the XDP program on the interface \"{interface}\", program {id} \"{name}\", is named as sockc names its own, and {ELSEWHERE}"
                    );
                }
                write!(f, "another XDP program is on the interface \"{interface}\"")?;
                if let Some((id, name)) = program {
                    write!(f, ": program {id} \"{name}\"")?;
                }
                write!(f, "; only one fits there, and sockc leaves what it did not make alone. Unload it with the tool that loaded it, or move the rules with `at tc`")
            }
            Self::NoCgroups => f.write_str(
                "no control groups of version 2 are mounted, which rules for groups need; mount them with `mount -t cgroup2 none /sys/fs/cgroup/unified`",
            ),
            Self::Cgroup { group, path, cause } => write!(
                f,
                "the control group of the group \"{group}\" cannot be opened: {}: {cause}; start its service first, or correct the path",
                path.display()
            ),
            Self::SameCgroup { groups: [one, other], path } => write!(
                f,
                "the groups \"{one}\" and \"{other}\" are one control group, {}; a socket can be in one group only, so keep one of them",
                path.display()
            ),
            Self::Program { name, cause, rule, log } => program_refused(f, name, cause, rule.as_deref(), log),
            Self::Object { cause } => {
                write!(f, "this is not an object that sockc can load: {cause}; compile the policy again")
            }
            Self::Version { found, known } => write!(
                f,
                "the object was made by another version of sockc (format {found}, this one knows {known}); compile the policy again"
            ),
            Self::NothingInForce => f.write_str(
                "no policy is in force in this network namespace; `sockc apply` puts one in force, and --netns names another namespace",
            ),
            Self::Unknown { kind, name, nearest, declared } => {
                unknown(f, kind, name, nearest.as_deref(), declared)
            }
            Self::SetFull { set, size, wanted, max } => set_full(f, set, *size, *wanted, *max),
            Self::SetOutgrown { set, size, max } => write!(
                f,
                "{size} elements are in the live set \"{set}\", and the new policy says `max {max}`; raise it, or remove some with `sockc set del`"
            ),
            Self::NotInSet { set, element, covered_by } => {
                write!(f, "{element} is not an element of the live set \"{set}\"")?;
                match covered_by {
                    Some(outer) => write!(f, "; it is a member by the element {outer}"),
                    None => write!(f, "; `sockc set list {set}` shows what is"),
                }
            }
            Self::MapFull { map, wanted, max } => write!(
                f,
                "the live map \"{map}\" holds at most {max} entries, and there would be {wanted}; remove some, or raise its `max` and apply the policy again"
            ),
            Self::MapTooWide { map, keys, room } => write!(
                f,
                "the entries of the live map \"{map}\" make {keys} keys, and it has room for {room}: ranges of ports that overlap those of other entries take several; use fewer of them, or raise the map's `max`"
            ),
            Self::Entry { map, entry, cause } => {
                write!(f, "`{entry}` of the live map \"{map}\": {cause}")
            }
            Self::Socket { name, cause } => write!(f, "the socket \"{name}\": {cause}"),
            Self::Locked { path, waited } => write!(
                f,
                "another sockc is changing the policy of this network namespace (lock on {}, waited {} s); try again when it is done",
                path.display(),
                waited.as_secs()
            ),
            Self::State { path, cause } => write!(
                f,
                "{} is not as sockc left it: {cause}. What packets meet was not changed; `sockc apply` puts a policy in force again; where it refuses, `sockc unload` first, and every packet passes until the next apply",
                path.display()
            ),
            Self::Elsewhere { bpffs, hooks } => write!(
                f,
                "{} holds no policy for this network namespace, and yet programs of sockc are on hooks of it ({}): they are pinned in a bpf file system that is not seen here, and packets may meet a policy; run the command in the mount namespace where `sockc apply` ran, or name the file system with --bpffs",
                bpffs.display(),
                hooks.join(", ")
            ),
            Self::Unknowable { netns, cause } => write!(
                f,
                "nothing was changed, since whether the policy in the network namespace \"{netns}\" belongs to a `for netns` block of the one here cannot be known ({cause}); if it does, `sockc unload --netns {netns}` takes it away"
            ),
            Self::NoAccess { path, cause } => write!(
                f,
                "{} cannot be read: {cause}; nothing was changed. Run the command as root, or with CAP_DAC_OVERRIDE besides its other capabilities",
                path.display()
            ),
            Self::Left { left, cause } => write!(f, "{}: {}", left.join("; "), cause.bare()),
            Self::Moved { what } => write!(
                f,
                "this plan is out of date: {what}; nothing was changed. Make it again with `sockc plan -o`"
            ),
            Self::Stopped { step } => write!(f, "stopped before \"{step}\"; nothing was changed"),
            Self::Kernel { what, cause } if passes(cause) => write!(
                f,
                "the kernel refused to {what}: {cause}; that passes, so try again"
            ),
            Self::Kernel { what, cause } if is_damage(cause) => write!(
                f,
                "cannot {what}: somebody changed what sockc left: {cause}; `sockc status` says where"
            ),
            Self::Kernel { what, cause } => write!(f, "the kernel refused to {what}: {cause}"),
        }
    }
}

fn set_full(
    f: &mut fmt::Formatter<'_>,
    set: &str,
    size: usize,
    wanted: usize,
    max: u32,
) -> fmt::Result {
    write!(f, "the live set \"{set}\" holds at most {max} elements: ")?;
    if size == 0 {
        return write!(
            f,
            "these are {wanted}; name fewer, or raise its `max` and apply the policy again"
        );
    }
    write!(
        f,
        "{size} are in it, and this would make {wanted}; remove some, or raise its `max` and apply the policy again"
    )
}

fn unknown(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    name: &str,
    nearest: Option<&str>,
    declared: &[String],
) -> fmt::Result {
    write!(f, "the policy in force declares no {kind} \"{name}\"")?;
    match nearest {
        Some(nearest) => write!(f, "; did you mean \"{nearest}\"?"),
        None if declared.is_empty() => write!(f, ", nor any other {kind}"),
        None => write!(f, "; it declares {}", declared.join(", ")),
    }
}

fn program_refused(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    cause: &io::Error,
    rule: Option<&str>,
    log: &[String],
) -> fmt::Result {
    write!(f, "the kernel refused the program \"{name}\": {cause}")?;
    if let Some(rule) = rule {
        write!(f, "\n  in the code of: {rule}")?;
    }
    for line in log {
        write!(f, "\n  {line}")?;
    }
    f.write_str("\nNothing was changed. This is a fault of sockc, or the kernel is older than the policy needs; please report it with these lines")
}
