//! The system calls of the benchmarks: the runtime's own, and those that only benchmarks ask for.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the runtime uses more of it, and gives some of it on"
)]

#[path = "../../runtime/src/sys/batch.rs"]
pub(crate) mod batch;
#[path = "../../runtime/src/sys/bpf.rs"]
pub(crate) mod bpf;
#[path = "../../runtime/src/sys/bpffs.rs"]
pub(crate) mod bpffs;
#[path = "../../runtime/src/sys/link.rs"]
pub(crate) mod link;
#[path = "../../runtime/src/sys/map.rs"]
pub(crate) mod map;
#[path = "../../runtime/src/sys/prog.rs"]
pub(crate) mod prog;
#[path = "../../runtime/src/sys/retry.rs"]
pub(crate) mod retry;
#[path = "../../runtime/src/sys/token.rs"]
pub(crate) mod token;

#[path = "syscalls/run.rs"]
pub(crate) mod run;
