//! What of a machine is as it should be, whatever is in force.

use std::time::SystemTime;

use sockc_runtime::{Features, Health, Inside, OWN_GROUPS, Options, REACH_OUT, Remembered};

use super::Finding;
use crate::machine::clock;
use crate::output::count;

/// The oldest kernel that programs are made for.
const OLDEST: (u32, u32) = (5, 10);

/// What a kernel may lack: whether it has it, since which Linux it is there, what becomes of it without, and what else than
/// another kernel helps.
type Lack = (
    fn(&Features) -> bool,
    &'static str,
    &'static str,
    &'static str,
);

const LACKS: [Lack; 8] = [
    (
        |all| all.tcx,
        "6.6",
        "programs at tc hang on filters of clsact, and those of others there may come before ours",
        "`tc filter show dev NAME ingress` lists what comes before ours",
    ),
    (
        |all| all.gotol,
        "6.6",
        "a policy whose program is too long for a jump is refused",
        "write fewer rules for one hook",
    ),
    (
        |all| all.sockmap_link,
        "6.10",
        "programs of `send`, `receive tcp` and `splice` hang there without a link",
        "ask `sockc status` whether somebody took them off",
    ),
    (
        |all| all.lookup_interface,
        "5.17",
        "what is decided at sk_lookup cannot ask by which interface a packet came",
        "choose by the address in place of the interface",
    ),
    (
        |all| all.netns_cookie_in_sock_ops,
        "5.15",
        "slots of named sockets are filled as packets come, and not as a service begins to listen",
        "run `sockc socket refresh` once the service listens",
    ),
    (
        |all| all.sk_skb_verdict,
        "5.13",
        "policies with `receive tcp` or `splice` are refused",
        "decide with `in` about the packets",
    ),
    (
        |all| all.atomics,
        "5.12",
        "several processors may answer a few more rejects at once than they should",
        "write `drop` for `reject` where a few more answers matter",
    ),
    (
        |all| all.kernel_types,
        "",
        "there is no /sys/kernel/btf/vmlinux: groups do not follow the paths of their control groups, and `receive tcp` is refused",
        "mount sysfs at /sys where it is not, or start a kernel with CONFIG_DEBUG_INFO_BTF",
    ),
];

/// All of them.
pub(super) fn of(health: &Health, options: &Options) -> Vec<Finding> {
    let mut found = vec![kernel(health)];
    found.extend(features(health));
    found.push(kept(health));
    found.push(rights(health, options));
    found.push(bpffs(health, options));
    found.push(cgroups(health));
    found.extend([jit(health), harden(health), unprivileged(health)]);
    found.extend(cards(health));
    found.extend(others(health));
    found
}

fn kernel(health: &Health) -> Finding {
    let Some(release) = &health.release else {
        return Finding::note(
            "kernel",
            "the kernel does not tell its release",
            (
                "sockc needs Linux 5.10 or later",
                "mount -t proc proc /proc; `uname -r` tells it too",
            ),
        );
    };
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    let version: Option<(u32, u32)> = numbers.next().zip(numbers.next());
    match version {
        Some(version) if version < OLDEST => Finding::fault(
            "kernel",
            format!("Linux {release}"),
            (
                "programs of sockc are made for Linux 5.10 and later",
                "start a kernel of these",
            ),
        ),
        _ => Finding::ok("kernel", format!("Linux {release}")),
    }
}

/// What the kernel lacks, each by itself.
fn features(health: &Health) -> Vec<Finding> {
    let Some(features) = &health.features else {
        return vec![
            Finding::unseen(
                "features",
                "what this kernel can do was not looked at",
                (
                    "it is found by loading programs, for which rights miss",
                    to_have_rights(health.inside),
                ),
            )
            .needed(),
        ];
    };
    if let Some(narrowed) = health.delegated.as_ref().filter(|all| !all.is_empty()) {
        return vec![Finding::unseen(
            "features",
            "what this kernel can do is not known",
            (
                "it is found by making maps and programs, and only some types of them are delegated",
                to_widen(narrowed),
            ),
        )];
    }
    let lacking = LACKS.iter().filter(|(has, ..)| !has(features));
    let lacking: Vec<Finding> = lacking
        .map(|(_, since, why, helps)| match *since {
            "" => Finding::note(
                "features",
                "the kernel does not describe its types",
                (*why, *helps),
            ),
            since => Finding::note(
                "features",
                format!("not what Linux {since} has"),
                (
                    *why,
                    format!("start Linux {since} or later; without, {helps}"),
                ),
            ),
        })
        .collect();
    if lacking.is_empty() {
        return vec![Finding::ok("features", "all that sockc has a use for")];
    }
    lacking
}

/// What becomes of what was found of the kernel. Where it is not kept all else works.
fn kept(health: &Health) -> Finding {
    const WHY: &str =
        "each command finds out anew what the kernel can do, by some dozen system calls";
    match health.kept {
        Remembered::Since(since) => {
            let age = SystemTime::now().duration_since(since).unwrap_or_default();
            Finding::ok(
                "probe",
                format!(
                    "what the kernel can do was found {} ago, and is kept in /run/sockc until the machine starts again",
                    clock::age(age.as_secs())
                ),
            )
        }
        Remembered::Next => Finding::ok(
            "probe",
            "the next `sockc apply` keeps in /run/sockc what the kernel can do",
        ),
        Remembered::Unwritable => Finding::note(
            "probe",
            "/run/sockc cannot be written",
            (WHY, "mount a tmpfs at /run that root may write to"),
        ),
        Remembered::Exposed => Finding::note(
            "probe",
            "others than root can change /run/sockc, so what is kept there is not used",
            (WHY, "chown root:root /run/sockc && chmod 755 /run/sockc"),
        ),
        Remembered::NoFolder => Finding::note(
            "probe",
            "/run/sockc is no folder",
            (WHY, "move away what is at /run/sockc"),
        ),
        Remembered::Unknown => Finding::ok(
            "probe",
            "nothing is kept of what the kernel can do, or it cannot be read",
        ),
    }
}

fn rights(health: &Health, options: &Options) -> Finding {
    let [to_look, to_load] = &health.missing;
    if !to_look.is_empty() {
        let all: Vec<&str> = to_look.iter().chain(to_load).copied().collect();
        return Finding::note(
            "rights",
            format!("this process lacks {}", all.join(", ")),
            (
                "without them it can compile, explain and compare policies, and neither see nor change what is in force",
                to_have_rights(health.inside),
            ),
        );
    }
    if !to_load.is_empty() {
        return Finding::note(
            "rights",
            format!("this process lacks {}", to_load.join(", ")),
            (
                "without it `apply` and `plan` cannot load programs; `status`, `set` and `map` work",
                to_have_rights(health.inside),
            ),
        );
    }
    if let Some(narrowed) = &health.delegated {
        return delegated(narrowed);
    }
    if !health.missing_beside.is_empty() {
        return Finding::note(
            "rights",
            format!("this process lacks {}", health.missing_beside.join(", ")),
            (
                "only the user who applied a policy sees it; where that was root, CAP_DAC_OVERRIDE does too; sockets in processes of others are found by CAP_SYS_PTRACE alone",
                "run it as root",
            ),
        );
    }
    if !health.sees_others {
        return Finding::note(
            "rights",
            "this process lacks CAP_SYS_ADMIN",
            (
                "without it nobody sees policies that are pinned elsewhere, nor can `--netns` be used",
                "run it as root",
            ),
        );
    }
    let elsewhere = match &options.netns {
        Some(netns) => format!(", in the network namespace \"{netns}\" too"),
        None => String::new(),
    };
    Finding::ok(
        "rights",
        format!("all that `apply` and `status` need{elsewhere}"),
    )
}

/// What to do where rights miss.
fn to_have_rights(inside: Option<Inside>) -> &'static str {
    match inside {
        None => "run it as root",
        Some(Inside::Delegated | Inside::NoCapability) => {
            "run it as root of this user namespace, with CAP_BPF"
        }
        Some(Inside::NotDelegated | Inside::Beyond) => {
            "have the bpf file system of this user namespace delegate `map_create`, `prog_load`, `btf_load` and the types that policies take, or run it outside"
        }
        Some(Inside::NoFileSystem) => {
            "name by --bpffs where the bpf file system of this user namespace is mounted, or run it outside"
        }
    }
}

/// The rights of a user namespace, by what its bpf file system delegates.
fn delegated(narrowed: &[&str]) -> Finding {
    let what = "the rights are those of this user namespace, as its bpf file system delegates them";
    let why = "programs that others attached and policies that are pinned elsewhere are not seen, and drops are not sampled: that takes rights of the machine";
    match narrowed {
        [] => Finding::note(
            "rights",
            what,
            (why, "look at these from outside, as root of the machine"),
        ),
        some => Finding::note(
            "rights",
            format!("{what}; {} name only some types", some.join(", ")),
            (
                format!("{why}; a policy that takes another type is refused"),
                to_widen(some),
            ),
        ),
    }
}

/// What to do where options of the bpf file system name only some types.
fn to_widen(narrowed: &[&str]) -> String {
    format!(
        "mount the bpf file system with `any` for {}, or with what the policies take",
        narrowed.join(", ")
    )
}

fn bpffs(health: &Health, options: &Options) -> Finding {
    let path = options.bpffs.display();
    match &health.bpffs {
        Ok(true) if health.is_read_only => Finding::fault(
            "bpffs",
            format!("{path} is read-only"),
            (
                "what is in force is pinned there, and nothing of it can be changed",
                format!("mount -o remount,rw {path}"),
            ),
        ),
        Ok(true) => Finding::ok("bpffs", format!("{path} is a bpf file system")),
        Ok(false) => Finding::fault(
            "bpffs",
            format!("{path} is no bpf file system"),
            (
                "what is in force is pinned there, and `apply` refuses without it",
                to_mount(options, health.inside),
            ),
        ),
        Err(cause) => Finding::unseen(
            "bpffs",
            format!("{path} was not looked at: {cause}"),
            (
                "what is in force is pinned there",
                format!("run it as who may look into {path}, as root may"),
            ),
        ),
    }
}

/// Who makes a bpf file system. The root of a user namespace may not mount one that is of use to it.
fn to_mount(options: &Options, inside: Option<Inside>) -> String {
    let path = options.bpffs.display();
    match inside {
        None => format!("mount -t bpf -o mode=0700 bpf {path}"),
        Some(_) => format!(
            "have whoever runs this container mount at {path} a bpf file system of this user namespace that delegates BPF to it, name by --bpffs where one is, or run it outside"
        ),
    }
}

fn cgroups(health: &Health) -> Finding {
    match &health.cgroups {
        Some(path) if health.cgroups_are_of_all => Finding::note(
            "cgroups",
            format!(
                "version 2 at {} is that of the whole machine",
                path.display()
            ),
            (REACH_OUT, OWN_GROUPS),
        ),
        Some(path) => Finding::ok("cgroups", format!("version 2 at {}", path.display())),
        None => Finding::note(
            "cgroups",
            "none of version 2 is mounted",
            (
                "policies with groups are refused, and slots of named sockets are filled as packets come only",
                "mount -t cgroup2 none /sys/fs/cgroup/unified; where `ip netns exec` hid it: `nsenter --net=/run/netns/NAME`",
            ),
        ),
    }
}

fn jit(health: &Health) -> Finding {
    match setting(health, "net.core.bpf_jit_enable") {
        Some("0") => Finding::note(
            "jit",
            "net.core.bpf_jit_enable is 0",
            (
                "the kernel interprets programs: each packet costs several times as much",
                "sysctl -w net.core.bpf_jit_enable=1",
            ),
        ),
        Some(value) => Finding::ok("jit", format!("net.core.bpf_jit_enable is {value}")),
        None => unread(
            "jit",
            "net.core.bpf_jit_enable",
            "an interpreter costs each packet several times as much",
        ),
    }
}

fn harden(health: &Health) -> Finding {
    const NAME: &str = "net.core.bpf_jit_harden";
    match setting(health, NAME) {
        Some("2") => Finding::note(
            "harden",
            format!("{NAME} is 2"),
            (
                "the kernel hides every constant in programs of root too: they are longer, and each packet costs more",
                format!("sysctl -w {NAME}=1 hides those of other users alone"),
            ),
        ),
        Some(value) => Finding::ok("harden", format!("{NAME} is {value}")),
        None => unread("harden", NAME, "2 would make each packet cost more"),
    }
}

fn unprivileged(health: &Health) -> Finding {
    const NAME: &str = "kernel.unprivileged_bpf_disabled";
    match setting(health, NAME) {
        Some("0") => Finding::note(
            "users",
            format!("{NAME} is 0"),
            (
                "every user may load programs, which sockc has no use for",
                format!("sysctl -w {NAME}=1"),
            ),
        ),
        Some(value) => Finding::ok("users", format!("{NAME} is {value}")),
        None => unread(
            "users",
            NAME,
            "sockc has no use for programs of other users",
        ),
    }
}

fn setting<'a>(health: &'a Health, name: &str) -> Option<&'a str> {
    health.settings.get(name).map(String::as_str)
}

fn unread(check: &'static str, name: &str, why: &str) -> Finding {
    let words = format!(
        "{name} cannot be read, as by others than root, or in a network namespace of its own"
    );
    let remedy = format!("ask `sysctl {name}` as root, in the machine's own network namespace");
    Finding::unseen(check, words, (why, remedy))
}

fn cards(health: &Health) -> Vec<Finding> {
    let joining = health.cards.iter().filter(|card| card.joins == Some(true));
    let notes = joining.map(|card| {
        Finding::note(
            "cards",
            format!("{} joins packets as they arrive (LRO)", card.name),
            (
                "`length`, and rates of packets, are about what was joined; programs at xdp switch it off",
                format!("ethtool -K {} lro off", card.name),
            ),
        )
    });
    let notes: Vec<Finding> = notes.collect();
    if !notes.is_empty() {
        return notes;
    }
    let number = health.cards.len();
    vec![match number {
        0 => Finding::note(
            "cards",
            "no Ethernet interface is there",
            (
                "rules for packets hold on such interfaces alone",
                "name by --netns the network namespace that has them, or apply the policy once one is there",
            ),
        ),
        number => Finding::ok("cards", count::of(number, "Ethernet interface")),
    }]
}

/// What other firewalls drop, whatever a policy says.
fn others(health: &Health) -> Vec<Finding> {
    const WHY: &str = "a packet that a policy allows has to get past these too";
    let mut found = match &health.chains {
        Err(cause) => vec![Finding::unseen(
            "nftables",
            format!("its chains were not looked at: {cause}"),
            (WHY, "`nft list ruleset`, as root, shows what they drop"),
        )],
        Ok(chains) => {
            let meets = |hook: &str| ["input", "forward", "ingress", "prerouting"].contains(&hook);
            let dropping: Vec<&str> = chains
                .iter()
                .filter(|chain| meets(&chain.hook))
                .map(|chain| chain.name.as_str())
                .collect();
            match dropping.len() {
                0 => vec![Finding::ok(
                    "nftables",
                    "no base chain on what arrives has `policy drop`",
                )],
                number => vec![Finding::note(
                    "nftables",
                    format!(
                        "{} with `policy drop` on what arrives: {}",
                        count::of(number, "chain"),
                        dropping.join(", ")
                    ),
                    (
                        WHY,
                        format!(
                            "accept in them what the policy allows; `nft list chain {}` shows the rules",
                            dropping.join("` and `nft list chain ")
                        ),
                    ),
                )],
            }
        }
    };
    if !health.legacy.is_empty() {
        found.push(Finding::note(
            "iptables",
            format!(
                "tables of the older iptables are there: {}",
                health.legacy.join(", ")
            ),
            (
                format!("{WHY}, and what they say was not looked at"),
                "look with `iptables-legacy-save` and `ip6tables-legacy-save`, and accept there what the policy allows",
            ),
        ));
    }
    found
}

#[cfg(test)]
mod tests;
