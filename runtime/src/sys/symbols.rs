//! Which functions the running kernel has, and where.
//!
//! Takes names; gives what `/proc/kallsyms` says, which is read once a process. What a function does there stands where it is
//! asked for. Not here: types of the kernel (`crate::code::kernel_types`).

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A function of the kernel that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Symbol {
    /// `tcp_bpf_ioctl` of `net/ipv4/tcp_bpf.c`, since Linux 6.5.
    TcpBpfIoctl,
    /// `__sk_msg_recvmsg` of `net/core/skmsg.c`, which came with a mend to 6.18.44 and to Debian's 6.1 and 6.12.
    SkMsgRecvmsg,
    /// `woken_wake_function` of `kernel/sched/wait.c`: what wakes a thread whose call waits on a socket.
    WokenWakeFunction,
}

impl Symbol {
    const ALL: [Self; 3] = [
        Self::TcpBpfIoctl,
        Self::SkMsgRecvmsg,
        Self::WokenWakeFunction,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::TcpBpfIoctl => "tcp_bpf_ioctl",
            Self::SkMsgRecvmsg => "__sk_msg_recvmsg",
            Self::WokenWakeFunction => "woken_wake_function",
        }
    }

    /// Whether the kernel has it.
    pub(crate) fn is_there(self) -> bool {
        all().contains_key(&self)
    }

    /// Where it is, if the kernel has it and tells that (`kernel.kptr_restrict`).
    pub(crate) fn address(self) -> Option<u64> {
        all().get(&self).copied().filter(|&address| address != 0)
    }
}

fn all() -> &'static BTreeMap<Symbol, u64> {
    static FOUND: OnceLock<BTreeMap<Symbol, u64>> = OnceLock::new();
    FOUND.get_or_init(|| found(&std::fs::read_to_string("/proc/kallsyms").unwrap_or_default()))
}

/// The lines say address, kind and name. A name that stands there twice has no address that is meant.
fn found(text: &str) -> BTreeMap<Symbol, u64> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Some(symbol) = Symbol::ALL.into_iter().find(|symbol| symbol.name() == name) else {
            continue;
        };
        let address = u64::from_str_radix(address, 16).unwrap_or(0);
        let place = found.entry(symbol).or_insert(address);
        if *place != address {
            *place = 0;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_by_their_whole_name() {
        let text = "ffffffff81000010 T woken_wake_function\nffffffff81000020 t tcp_bpf_ioctl_not\n";
        let found = found(text);
        assert_eq!(
            found.get(&Symbol::WokenWakeFunction),
            Some(&0xffff_ffff_8100_0010)
        );
        assert_eq!(found.get(&Symbol::TcpBpfIoctl), None);
    }

    #[test]
    fn a_name_that_stands_twice_has_no_address() {
        let found = found("10 T tcp_bpf_ioctl\n20 t tcp_bpf_ioctl [other]\n");
        assert_eq!(found.get(&Symbol::TcpBpfIoctl), Some(&0));
    }
}
