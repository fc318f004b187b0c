//! The system calls: raw bpf(2), namespaces, capabilities, the bpf file system.
//!
//! Takes and gives file descriptors, numbers and bytes; every failure is a plain [`std::io::Error`]. It knows nothing of
//! policies, generations or the layout of the state. All `unsafe` of the crate is in here.

pub(crate) mod batch;
pub(crate) mod bound;
pub(crate) mod bpf;
pub(crate) mod bpffs;
pub(crate) mod caps;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod diag;
pub(crate) mod driver;
pub(crate) mod epoll;
pub(crate) mod grace;
pub(crate) mod handed;
pub(crate) mod inside;
pub(crate) mod layers;
pub(crate) mod link;
pub(crate) mod local_route;
pub(crate) mod local_table;
pub(crate) mod map;
pub(crate) mod netns;
pub(crate) mod nsid;
#[cfg(test)]
pub(crate) mod pelted;
pub(crate) mod perf;
pub(crate) mod process;
pub(crate) mod prog;
pub(crate) mod retry;
pub(crate) mod ringbuf;
pub(crate) mod route;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod symbols;
pub(crate) mod tcp;
pub(crate) mod token;
pub(crate) mod types;
pub(crate) mod unix;
pub(crate) mod verified;
pub(crate) mod watched;
