//! What the world may refuse: each variant says what, where, why, and what to do.
//!
//! [`cause`] tells what a refusal of the system means; [`display`] has the sentences.

mod cause;
mod display;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use cause::{
    at, is_machine, passes, reasons, system_error, undeclared, unless_passing, unreadable,
};

use crate::prefix::Prefix;
use crate::sys::netns;
use crate::sys::token::{self, Inside};

/// What keeps a command from listening at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Something is there that is no socket.
    NoSocket,
    /// Somebody listens there.
    Listens,
    /// A socket is bound there that does not listen yet.
    Bound,
}

impl Taken {
    /// What it is, and what makes room, in words.
    #[must_use]
    pub fn words(self) -> [&'static str; 2] {
        match self {
            Self::NoSocket => ["there is something that is no socket", "move it away"],
            Self::Listens => [
                "somebody listens there already",
                "end who does (`ss -xlp` shows it)",
            ],
            Self::Bound => [
                "a socket is bound there that does not listen yet",
                "end who has it (`ss -xap` shows it)",
            ],
        }
    }
}

/// Why a state folder is not one that sockc uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// Its mode lets others change it.
    Mode,
    /// It belongs to the user of this number.
    Owner(u32),
    /// Its bpf file system is of another user namespace.
    Container,
    /// It is no folder.
    NoFolder,
}

/// Why the runtime did not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// Capabilities miss.
    Rights {
        /// Their names.
        missing: Vec<&'static str>,
        /// How it stands with the rights of the user namespace that this process is in; nothing in the machine's own.
        inside: Option<Inside>,
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
        /// How it came to that.
        why: Exposed,
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
        /// The one that has it already; `None` for that of the policy itself.
        other: Option<String>,
        /// The one of a `for netns` block.
        name: String,
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
        /// The namespace of the `for netns` block that names it; `None` of the policy's own.
        netns: Option<String>,
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
    /// An XDP program is on an interface above, and the kernel puts none below one.
    XdpAbove {
        /// The interface.
        interface: String,
        /// The one above it that has a program; `None` where that is not what it belongs to, as a VLAN on it.
        above: Option<String>,
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
    /// A policy of another network namespace has the sockets of a group in its tables.
    TakenIn {
        /// The group.
        group: String,
        /// The control group's folder.
        path: PathBuf,
        /// The hooks of the other policy, in words.
        hooks: Vec<String>,
        /// What takes them off.
        remedy: String,
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
    /// Another process reads what the policy logs, and a record is given to one reader only.
    LogTaken,
    /// Another process samples what the policy drops, and each processor writes for one reader only.
    DropsTaken,
    /// The generation that is to come back is not kept, or none is.
    NotKept {
        /// The generation that was asked for; `None` for the one before.
        generation: Option<u32>,
        /// Those that are kept, the newest first.
        kept: Vec<u32>,
    },
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
    /// `self` was to be changed by a command.
    OwnSet,
    /// The machine has more addresses than `self` can hold.
    OwnTooMany {
        /// How many prefixes are delivered here.
        size: usize,
        /// The maximum number of elements.
        max: u32,
    },
    /// A live set was changed while the trial of its policy ended.
    Outlived {
        /// The set.
        set: String,
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
    /// Packets that redirects `at tc` take would not get to their sockets, or answers not out.
    Undelivered {
        /// What is missing or in the way, each with what to do.
        wrong: Vec<String>,
        /// Whether apply may make what is missing.
        addable: bool,
        /// The namespace of the `for netns` block that has them; `None` of the policy's own.
        netns: Option<String>,
    },
    /// Connections cannot be joined by this name.
    Pairs {
        /// The name.
        pairs: String,
        /// Why.
        cause: String,
    },
    /// Nobody can listen at a path for those who hand something over.
    Path {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: Taken,
    },
    /// The kernel refused to listen at a path.
    Listen {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        cause: io::Error,
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
    /// A pin is gone that an apply builds on, and this process may not look for what it was of.
    Unpinned {
        /// The pin.
        path: PathBuf,
    },
    /// What runs is not what a saved plan was made for.
    Moved {
        /// What is other, in words.
        what: String,
    },
    /// What is in force waits to be confirmed, and nothing is changed until then.
    OnTrial {
        /// The generation in force.
        generation: u32,
        /// The one that comes back; 0 for none.
        fallback: u32,
        /// After so long.
        left: Duration,
    },
    /// It is too late to confirm: the policy before is in force again.
    TooLate {
        /// The generation that was on trial.
        generation: u32,
        /// The one in force; 0 for none.
        fallback: u32,
        /// Since when, in nanoseconds since boot.
        since: u64,
    },
    /// Nothing waits to be confirmed.
    NoneOnTrial {
        /// The generation in force; `None` if nothing is.
        generation: Option<u32>,
    },
    /// A confirmation over a connection that was there before says nothing of new ones.
    SameConnection {
        /// The generation that comes back; 0 for none.
        fallback: u32,
        /// After so long.
        left: Duration,
    },
    /// The policy cannot be put in force on trial.
    NoTrial {
        /// Why, and what to do.
        why: String,
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

impl Error {
    /// That these capabilities miss.
    #[must_use]
    pub fn rights(missing: Vec<&'static str>) -> Self {
        Self::Rights {
            missing,
            inside: token::inside(),
        }
    }

    /// Whether there is no network namespace of the name that was asked for.
    pub(crate) fn is_no_namespace(&self) -> bool {
        matches!(self, Self::Netns { cause, .. } if netns::is_absent(cause))
    }

    /// Whether what sockc left in the kernel is not what it finds there.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::State { .. } | Self::Unpinned { .. } | Self::Moved { .. } => true,
            Self::Kernel { cause, .. } => is_damage(cause),
            _ => false,
        }
    }

    /// What was refused, without what it means for the whole command: where that had done its work, or part of it.
    pub(crate) fn bare(&self) -> String {
        match self {
            Self::NoAccess { path, cause } => format!("{} cannot be read: {cause}", path.display()),
            Self::Untrusted { path, why } if *why != Exposed::Container => {
                format!(
                    "others can change {}, so sockc does not use it",
                    path.display()
                )
            }
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

/// Whether a map is another one than sockc made, which we find out and the kernel does not say.
fn is_damage(cause: &io::Error) -> bool {
    cause.raw_os_error().is_none() && cause.kind() == io::ErrorKind::InvalidData
}
