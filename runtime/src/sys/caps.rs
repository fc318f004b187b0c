//! What this process may do, and what it must ask for.

use std::io;

use super::map;
use super::token::{self, Inside};

/// The capabilities that loading and attaching need: bit in `CapEff` and name (`linux/capability.h`).
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (39, "CAP_BPF")];
/// What loading takes besides them: without it the verifier refuses sums of pointers and values, and so any policy's programs
/// (`bpf_allow_ptr_leaks` of `linux/bpf.h`, since Linux 5.8).
const TO_LOAD: (u32, &str) = (38, "CAP_PERFMON");
/// Reading and writing files of others, and looking into other processes.
const DAC_OVERRIDE: u32 = 1;
const SYS_PTRACE: u32 = 19;
/// CAP_SYS_ADMIN, which stands for CAP_BPF and CAP_PERFMON on every kernel.
const SYS_ADMIN: u32 = 21;

/// The capabilities that miss, for work in the caller's network namespace or (`elsewhere`) in another; none if all is well or
/// if the kernel does not tell.
#[must_use]
pub fn missing(elsewhere: bool) -> Vec<&'static str> {
    told().map_or_else(Vec::new, |bits| missing_of(bits, elsewhere))
}

/// The capabilities that miss for loading the programs of a policy.
pub(crate) fn missing_to_load() -> Vec<&'static str> {
    told().map_or_else(Vec::new, missing_to_load_of)
}

/// What misses for rings of samples, and how it stands with that inside of a user namespace: `perf_event_open` takes no token.
pub(crate) fn missing_to_sample() -> (Vec<&'static str>, Option<Inside>) {
    match token::is_held() {
        true => (vec![TO_LOAD.1], Some(Inside::Beyond)),
        false => (missing_to_load(), None),
    }
}

/// Whether this process may ask for programs, maps and links that others made: only CAP_SYS_ADMIN may, by their ids
/// (`bpf_prog_get_fd_by_id` of kernel/bpf/syscall.c and its kin). Where the kernel does not tell, the question shows it.
pub(crate) fn may_ask_by_id() -> bool {
    !token::is_held() && told().is_none_or(|bits| bits >> SYS_ADMIN & 1 == 1)
}

/// What else the verbs take of a process that is not root's: reading what root pinned, and taking sockets out of other processes.
/// What a third user pinned no capability opens: `state` refuses it to all but its owner.
pub(crate) fn missing_beside() -> Vec<&'static str> {
    told().map_or_else(Vec::new, |bits| {
        missing_beside_of(bits, nix::unistd::geteuid().is_root())
    })
}

fn missing_beside_of(effective: u64, is_root: bool) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let beside = [
        (is_root || has(DAC_OVERRIDE), "CAP_DAC_OVERRIDE"),
        (has(SYS_PTRACE), "CAP_SYS_PTRACE"),
    ];
    let missing = beside.into_iter().filter(|(has, _)| !has);
    missing.map(|(_, name)| name).collect()
}

/// The capabilities that hold for the machine, by their bits; nothing if the kernel does not tell.
pub(crate) fn told() -> Option<u64> {
    let holds = token::is_held() || !token::is_inside();
    token::capabilities().map(|bits| if holds { bits } else { 0 })
}

fn missing_to_load_of(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let (bit, name) = TO_LOAD;
    match has(bit) || has(SYS_ADMIN) {
        true => Vec::new(),
        false => vec![name],
    }
}

fn missing_of(effective: u64, elsewhere: bool) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let stands_in = |name: &str| name == "CAP_BPF" && has(SYS_ADMIN);
    // setns(2) wants it.
    let to_enter = elsewhere.then_some((SYS_ADMIN, "CAP_SYS_ADMIN"));
    let needed = NEEDED.into_iter().chain(to_enter);
    needed
        .filter(|(bit, name)| !has(*bit) && !stands_in(name))
        .map(|(_, name)| name)
        .collect()
}

/// Lifts the limit on locked memory, which kernels before 5.11 charge maps and programs against. A refusal shows itself at
/// the first map.
pub(crate) fn lift_memlock() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the struct lives through the call.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// How much memory this process might lock before that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memlock(libc::rlimit);

impl Memlock {
    /// What holds now.
    pub(crate) fn now() -> Option<Self> {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the call writes one limit.
        let got = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
        (got == 0).then_some(Self(limit))
    }

    /// Lets that hold again.
    pub(crate) fn restore(self) {
        // SAFETY: the call reads one limit.
        let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const self.0) };
    }
}

/// Waits until every program that ran when this was called has ended. Programs run in read sections of RCU.
pub(crate) fn wait_for_running_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // This command is `synchronize_rcu()`. It may not be built in, and is refused where CPUs run without a tick.
    // SAFETY: the command takes no memory.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if done == 0 {
        return Ok(());
    }
    map::wait_for_readers()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_misses() {
        assert_eq!(missing_of(0, false), ["CAP_NET_ADMIN", "CAP_BPF"]);
        assert_eq!(missing_of(1 << 12 | 1 << 39, false), Vec::<&str>::new());
        assert_eq!(missing_of(1 << 12 | 1 << 21, false), Vec::<&str>::new());
        assert_eq!(missing_of(1 << 39, false), ["CAP_NET_ADMIN"]);
        assert_eq!(
            missing_of(1 << 12 | 1 << 39, true),
            ["CAP_SYS_ADMIN"],
            "to enter a namespace"
        );
        assert_eq!(missing_to_load_of(1 << 12 | 1 << 39), ["CAP_PERFMON"]);
        assert!(missing_to_load_of(1 << 38).is_empty());
        assert!(missing_to_load_of(1 << 21).is_empty());
    }
}
