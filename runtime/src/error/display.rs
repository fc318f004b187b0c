//! Refusals in words, as a person reads them.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::cause::passes;
use super::{Error, Exposed, is_damage};
use crate::hook::is_dispatcher;
use crate::sys::token::{self, Inside};
use crate::sys::{cgroup, clock, nsid};

/// Where a program of sockc comes from that nothing here knows.
const ELSEWHERE: &str = "nothing in this bpf file system knows it: its policy is kept in another bpf file system. Run sockc where that is mounted, which under `ip netns exec` is outside, with `--netns NAME`, or name it with --bpffs";

impl std::error::Error for Error {}

/// Whether a path is one of what was in force before.
fn is_kept(path: &Path) -> bool {
    path.iter().any(|part| part == "sockc-history")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights { missing, inside } => {
                write!(f, "this needs the rights {}", missing.join(" and "))?;
                f.write_str(match inside {
                    None => "; run it as root, or give the command these capabilities",
                    Some(Inside::Beyond) => " of the machine, which no bpf file system delegates; run it outside of this user namespace",
                    Some(Inside::Delegated) => " in this user namespace; run it as its root, or give the command these capabilities",
                    Some(Inside::NoCapability) => " in this user namespace, CAP_BPF by its own name (CAP_SYS_ADMIN does not stand for it here); run it as its root, or give the command these capabilities",
                    Some(Inside::NotDelegated) => " of the machine: those of a user namespace count where its bpf file system delegates (Linux 6.9), which this one does not; whoever runs the container can mount it so, or run it outside",
                    Some(Inside::NoFileSystem) => " of the machine: those of a user namespace count where its bpf file system delegates (Linux 6.9), and there is no root of one where sockc looks; --bpffs names where it is mounted",
                })
            }
            Self::NoBpffs { path, apart } => {
                let path = path.display();
                write!(f, "{path} is not a bpf file system; mount one with `mount -t bpf -o mode=0700 bpf {path}`, or name another place with --bpffs")?;
                match apart {
                    true => write!(f, ". This process has a network and mounts of its own: under `ip netns exec`, what is mounted so ends with the command, and its policy with it, so run `sockc --netns NAME …` outside instead"),
                    false => Ok(()),
                }
            }
            Self::Untrusted { path, why: Exposed::Mode } => write!(
                f,
                "others can change {path}, so sockc does not use it, and nothing was changed; `chmod 0750 {path}` shuts them out, and then `sockc status` says whether anybody changed what is in it",
                path = path.display()
            ),
            Self::Untrusted { path, why: Exposed::Owner(owner) } => write!(
                f,
                "{path} belongs to the user {owner}, who can change it, so sockc does not use it, and nothing was changed; where a policy is in force, to remove it would take that off: `chown root {path}` and `chmod 0750 {path}` shut others out, and then `sockc status` says whether anybody changed what is in it. Where sockc did not make it, remove it by hand, and mount the bpf file system with `-o mode=0700`",
                path = path.display()
            ),
            Self::Untrusted { path, why: Exposed::Container } => write!(
                f,
                "{} is in a bpf file system of another user namespace, as a container's is, which is for that one's users alone, and nothing was changed; leave it as it is, and run sockc from inside: `nsenter --target PID --user --mount --net sockc …`",
                path.display()
            ),
            Self::Untrusted { path, why: Exposed::NoFolder } => write!(
                f,
                "{} is no folder, so sockc does not use it; look at what is there, remove it by hand, and mount the bpf file system with `-o mode=0700`",
                path.display()
            ),
            Self::Netns { name, cause } if name.is_empty() => {
                write!(f, "the network namespace of this process cannot be read: {cause}")
            }
            Self::Netns { name, cause } if cause.raw_os_error() == Some(libc::EPERM) => write!(
                f,
                "the network namespace \"{name}\" cannot be entered: {cause}; that takes the right CAP_SYS_ADMIN in the user namespace that it belongs to, as in this one (setns(2))"
            ),
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
                    nsid::OURS
                )
            }
            Self::SameNetns {
                other: Some(other),
                name,
            } => write!(
                f,
                "the network namespaces \"{other}\" and \"{name}\" are the same one; it can have one policy only"
            ),
            Self::SameNetns { other: None, name } => write!(
                f,
                "the network namespace \"{name}\" of a `for netns` block is the one that the policy itself is for here, and it can have one policy only; apply the policy in another one"
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
                    "which no `for netns` block of this policy put there; take it away with `sockc unload"
                })?;
                match (owned, netns) {
                    (true, _) => Ok(()),
                    (false, Some(netns)) => write!(f, " --netns {netns}` first"),
                    (false, None) => f.write_str("` first"),
                }
            }
            Self::NoInterface { name, netns, present } => {
                write!(f, "there is no interface \"{name}\" in ")?;
                match netns {
                    Some(netns) => write!(f, "the network namespace \"{netns}\"")?,
                    None => f.write_str("this network namespace")?,
                }
                write!(f, "; it has {}", present.join(", "))
            }
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
                    && is_dispatcher(name)
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
            Self::XdpAbove { interface, above } => {
                let above = match above {
                    Some(above) => format!("\"{above}\", which it belongs to"),
                    None => "an interface above it, as a VLAN on it".to_owned(),
                };
                write!(
                    f,
                    "the kernel puts no XDP program on the interface \"{interface}\" while there is one on {above}: leave one of both out, move the rules with `at tc`, or have \"{interface}\" get its program first, while none is above"
                )
            }
            Self::NoCgroups => f.write_str(
                "no control groups of version 2 are mounted, which rules for groups need; mount them with `mount -t cgroup2 none /sys/fs/cgroup/unified`",
            ),
            Self::Cgroup { group, path, cause } if cgroup::is_gone(cause) => write!(
                f,
                "there is no control group {}, which the group \"{group}\" is for: start its service, make it (`mkdir`) or correct the path, and try again; or apply a policy without the group. Nothing was changed",
                path.display()
            ),
            Self::Cgroup { group, path, cause } => write!(
                f,
                "the control group of the group \"{group}\" cannot be opened: {}: {cause}; start its service first, or correct the path, or apply the policy without the group",
                path.display()
            ),
            Self::SameCgroup { groups: [one, other], path } => write!(
                f,
                "the groups \"{one}\" and \"{other}\" are one control group, {}; a socket can be in one group only, so keep one of them",
                path.display()
            ),
            Self::TakenIn { group, path, hooks, remedy } => write!(
                f,
                "rules of `send` or `receive` for the group \"{group}\" ({}) would not hold: a policy of sockc that was applied in another network namespace has its sockets ({}), and the kernel asks one policy alone about a socket; write the rules in one policy, or take that one away: {remedy}",
                path.display(),
                hooks.join(", ")
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
            Self::LogTaken => f.write_str(
                "another `sockc monitor` reads what this policy logs, and each record is given to one reader only; end that one first: `pgrep -af 'sockc.* monitor'` shows it, also where `sockc answer` runs it for a member of its group",
            ),
            Self::DropsTaken => f.write_str(
                "another `sockc monitor --drops` samples what this policy drops, and each drop is given to one reader only; end that one first",
            ),
            Self::NotKept { generation: Some(generation), kept } if !kept.is_empty() => {
                let kept: Vec<String> = kept.iter().map(u32::to_string).collect();
                write!(
                    f,
                    "generation {generation} is not kept; kept are {}, which `sockc history` shows",
                    kept.join(", ")
                )
            }
            Self::NotKept { generation: Some(generation), .. } => write!(
                f,
                "generation {generation} is not kept, nor is any other of this network namespace; --netns names another namespace"
            ),
            Self::NotKept { generation: None, kept } if !kept.is_empty() => {
                let kept: Vec<String> = kept.iter().map(u32::to_string).collect();
                write!(
                    f,
                    "nothing is in force, and nothing was before the policy whose trial ended; name the generation that is to come back: {}",
                    kept.join(", ")
                )
            }
            Self::NotKept { generation: None, .. } => f.write_str(
                "no generation is kept of this network namespace that could come back; --netns names another namespace",
            ),
            Self::Unknown { kind, name, nearest, declared } => {
                unknown(f, kind, name, nearest.as_deref(), declared)
            }
            Self::SetFull { set, size, wanted, max } => set_full(f, set, *size, *wanted, *max),
            Self::SetOutgrown { set, size, max } => write!(
                f,
                "{size} elements are in the live set \"{set}\", and the new policy says `max {max}`; raise it, or remove some with `sockc set del`"
            ),
            Self::OwnSet => f.write_str(
                "`self` holds the addresses of this machine, as its table of local routes says, and no command changes it; an apply brings it up to date, for a `for netns` block that of the policy that has the block",
            ),
            Self::OwnTooMany { size, max } => write!(
                f,
                "{size} prefixes are this machine's own, and `self` holds at most {max}; declare a live set, put those into it that the rules are about, and name it in place of `self`"
            ),
            Self::Outlived { set } => write!(
                f,
                "the trial of the policy ended while its live set \"{set}\" was changed, and the policy in force has another one; run the command again"
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
            Self::Undelivered {
                wrong,
                addable,
                netns,
            } => {
                if let Some(netns) = netns {
                    write!(f, "in the network namespace \"{netns}\": ")?;
                }
                write!(
                    f,
                    "what redirects `at tc` take would not get to its socket, or get no answer: {}",
                    wrong.join("; ")
                )?;
                match addable {
                    true => f.write_str(". `sockc apply --add-routes` makes rules and routes, and `sockc unload` takes them back. Nothing was changed"),
                    false => f.write_str(". Nothing was changed"),
                }
            }
            Self::Pairs { pairs, cause } => write!(f, "the pairs \"{pairs}\": {cause}"),
            Self::Path { path, why } => {
                let [what, remedy] = why.words();
                write!(f, "cannot listen at {}: {what}; name another path, or {remedy}", path.display())
            }
            Self::Listen { path, cause } => listen(f, path, cause),
            Self::Locked { path, waited } => write!(
                f,
                "another sockc is changing the policy of this network namespace (lock on {}, waited {} s); try again when it is done",
                path.display(),
                waited.as_secs()
            ),
            Self::State { path, cause } if is_kept(path) => write!(
                f,
                "{path} is not as sockc left it: {cause}. What is in force is another matter; this generation cannot come back, and `rm -r {path}` lets it go",
                path = path.display()
            ),
            Self::State { path, cause } => write!(
                f,
                "{} is not as sockc left it: {cause}. This command changed nothing, and what packets meet may be another thing by that; `sockc apply` puts a policy in force again; where it refuses, `sockc unload` first, and every packet passes until the next apply",
                path.display()
            ),
            Self::Unpinned { path } => {
                write!(
                    f,
                    "{} is gone, and to look for what has no pin takes CAP_SYS_ADMIN of the machine. This command changed nothing; ",
                    path.display()
                )?;
                f.write_str(match token::inside() {
                    Some(_) => "`sockc unload` and then `sockc apply` put a policy in force again, and every packet passes in between",
                    None => "with that, `sockc apply` puts it back; without, `sockc unload` and then `sockc apply` put a policy in force again, and every packet passes in between",
                })
            }
            Self::Elsewhere { bpffs, hooks } => write!(
                f,
                "{} holds no policy for this network namespace, and yet programs of sockc are on hooks of it ({}): they are pinned in a bpf file system that is not seen here, and what comes there may meet a policy; run the command in the mount namespace where the policy was applied, or name the file system with --bpffs. Where nobody has that any more, `bpftool net` and `bpftool link` name the programs, and take them off",
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
                "what this was to change is out of date: {what}; nothing was changed. Run the command again; a saved plan is made again with `sockc plan -o`"
            ),
            Self::OnTrial { generation, fallback, left } => write!(
                f,
                "generation {generation} is in force on trial, for {} more, and nothing is changed until then; `sockc confirm` keeps it, and `sockc rollback` {}",
                seconds(*left),
                match fallback {
                    0 => "takes it away at once".to_owned(),
                    fallback => format!("brings generation {fallback} back at once"),
                }
            ),
            Self::TooLate { generation, fallback, since } => {
                write!(f, "generation {generation} was not confirmed: ")?;
                match fallback {
                    0 => f.write_str("no policy is in force, as before it")?,
                    fallback => write!(f, "generation {fallback} is in force again")?,
                }
                let ago = clock::since_boot().saturating_sub(*since);
                write!(f, ", since {} ago; apply it again to try once more", seconds(Duration::from_nanos(ago)))
            }
            Self::NoneOnTrial { generation: None } => f.write_str(
                "no policy is in force in this network namespace, so none waits to be confirmed",
            ),
            Self::NoneOnTrial { generation: Some(generation) } => write!(
                f,
                "nothing waits to be confirmed: generation {generation} is in force for good (`sockc apply --confirm 60s` puts a policy in force on trial)"
            ),
            Self::SameConnection { fallback, left } => write!(
                f,
                "this SSH connection was there before the policy was in force, and that it goes on does not show that a new one gets through; run `sockc confirm` from a new one within {}, or {} (`sockc confirm --same-connection` confirms from here all the same)",
                seconds(*left),
                comes_back(*fallback)
            ),
            Self::NoTrial { why } => write!(f, "the policy cannot be put in force on trial: {why}"),
            Self::Stopped { step } => write!(f, "stopped before \"{step}\"; nothing was changed"),
            Self::Kernel { what, cause } if passes(cause) => write!(
                f,
                "the kernel refused to {what}: {cause}; that may pass, so try again; where it does not, `sockc status` says whether others changed what sockc left"
            ),
            Self::Kernel { what, cause } if is_damage(cause) => write!(
                f,
                "cannot {what}: somebody changed what sockc left: {cause}; `sockc status` says where"
            ),
            Self::Kernel { what, cause } => {
                write!(f, "the kernel refused to {what}: {cause}")?;
                match cause.raw_os_error() {
                    // Types that are not delegated are named.
                    Some(libc::EPERM) if token::inside().is_some() => f.write_str("; in a user namespace that takes a right of the machine, as CAP_SYS_ADMIN, which no bpf file system delegates, or a security module forbids it"),
                    Some(libc::EROFS) => f.write_str("; the bpf file system is mounted read-only: `mount -o remount,rw` makes it writable"),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// That the kernel refused to listen; of a file system that cannot be written which one that is.
fn listen(f: &mut fmt::Formatter<'_>, path: &Path, cause: &io::Error) -> fmt::Result {
    let shown = path.display();
    write!(f, "the kernel refused to listen at {shown}: {cause}")?;
    let folder = path
        .parent()
        .filter(|_| cause.raw_os_error() == Some(libc::EROFS));
    match folder {
        Some(folder) => write!(
            f,
            "; the file system of {} is mounted read-only: a socket is a file there",
            folder.display()
        ),
        None => Ok(()),
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

/// A time, with one decimal below ten seconds.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{whole} s"),
    }
}

/// What happens where nobody confirms.
fn comes_back(fallback: u32) -> String {
    match fallback {
        0 => "it is taken away again".to_owned(),
        fallback => format!("generation {fallback} comes back"),
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
    if token::is_of_delegation(cause) {
        return f.write_str("\nNothing was changed");
    }
    // The verifier says EACCES or EINVAL of what it does not take.
    if cause.raw_os_error() == Some(libc::EPERM) {
        return f.write_str("\nNothing was changed. The kernel does not let this process load such a program, as where a security module forbids it");
    }
    f.write_str("\nNothing was changed. This is a fault of sockc, or the kernel is older than the policy needs; please report it with these lines")
}

impl Error {
    /// The refusal for who has asked `sockc status`: it sends nobody there.
    #[must_use]
    pub fn told_by_status(&self) -> String {
        match self {
            Self::Kernel { what, cause } if passes(cause) => {
                format!("the kernel refused to {what}: {cause}; that may pass, so try again")
            }
            Self::Kernel { what, cause } if is_damage(cause) => {
                format!("cannot {what}: somebody changed what sockc left: {cause}")
            }
            error => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody else is told to ask it.
    #[test]
    fn status_is_no_remedy_of_its_own() {
        let damage = io::Error::from(io::ErrorKind::InvalidData);
        for cause in [io::Error::from_raw_os_error(libc::ENOMEM), damage] {
            let what = "read the counters".to_owned();
            let error = Error::Kernel { what, cause };
            assert!(error.to_string().contains("sockc status"), "{error}");
            let told = error.told_by_status();
            assert!(!told.contains("sockc status"), "{told}");
            assert!(told.contains("read the counters"), "{told}");
        }
    }
}
