//! Links: make, describe, list.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_link_info, bpf_link_type};

use super::bpf::{address, attr, call, call_fd, info, number};
use super::prog::AttachTarget;

/// The number of sockmap links, which the generated headers do not have yet.
const BPF_LINK_TYPE_SOCKMAP: u32 = 14;

/// What the kernel says of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Its id.
    pub(crate) id: u32,
    /// The id of the program it holds.
    pub(crate) program: u32,
    /// Whether what it hangs on is still there: a link outlives its interface, namespace or control group.
    pub(crate) alive: bool,
    /// What it hangs on, as far as that is asked.
    pub(crate) on: On,
}

/// What a link hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The control group with this id, by this attach type.
    Cgroup(u64, u32),
    /// A map of sockets.
    Sockets,
    /// Something else.
    Other,
}

impl Description {
    /// Whether it hangs where sockets are taken into a map, or decided about in one.
    pub(crate) fn takes_in(&self) -> bool {
        let door = bpf_attach_type::BPF_CGROUP_SOCK_OPS as u32;
        matches!(self.on, On::Sockets) || matches!(self.on, On::Cgroup(_, attach) if attach == door)
    }
}

/// Attaches a program by a link.
pub(crate) fn create(
    program: BorrowedFd<'_>,
    place: AttachTarget<'_>,
    kind: bpf_attach_type,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut a = attr();
    a.link_create.__bindgen_anon_1.prog_fd = number(program);
    match place {
        AttachTarget::Interface(index) => a.link_create.__bindgen_anon_2.target_ifindex = index,
        AttachTarget::Fd(fd) => a.link_create.__bindgen_anon_2.target_fd = number(fd),
    }
    a.link_create.attach_type = kind as u32;
    a.link_create.flags = flags;
    call_fd(bpf_cmd::BPF_LINK_CREATE, &mut a)
}

/// Attaches a program to a tracepoint of the kernel.
pub(crate) fn at_tracepoint(program: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name).map_err(io::Error::other)?;
    let mut a = attr();
    a.raw_tracepoint.prog_fd = number(program);
    a.raw_tracepoint.name = address(name.as_ptr());
    call_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut a)
}

/// Attaches a tracing program to what it was loaded to follow.
pub(crate) fn at_function(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut a = attr();
    // Without a name: the kernel knows the place since it was loaded (`bpf_raw_tp_link_attach` of kernel/bpf/syscall.c).
    a.raw_tracepoint.prog_fd = number(program);
    call_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut a)
}

/// What the kernel says of a link; an error if the descriptor is not a link.
pub(crate) fn describe(link: BorrowedFd<'_>) -> io::Result<Description> {
    let block: bpf_link_info = info(link)?;
    Ok(Description {
        id: block.id,
        program: block.prog_id,
        alive: target(&block) != 0,
        on: on(&block),
    })
}

fn on(block: &bpf_link_info) -> On {
    match block.type_ {
        t if t == bpf_link_type::BPF_LINK_TYPE_CGROUP as u32 => {
            // SAFETY: the kernel fills the member of the union that belongs to the link's type.
            let cgroup = unsafe { block.__bindgen_anon_1.cgroup };
            On::Cgroup(cgroup.cgroup_id, cgroup.attach_type)
        }
        BPF_LINK_TYPE_SOCKMAP => On::Sockets,
        _ => On::Other,
    }
}

/// All links of the machine that hang on something; only for CAP_SYS_ADMIN. Those that end meanwhile may be among them or not,
/// and so may those that are being made: `bpf_link_by_id` of the kernel says EAGAIN of one from when it has its id until it hangs
/// where it should, which takes as long as others hold the kernel's locks.
pub(crate) fn all() -> io::Result<Vec<Description>> {
    let mut found = Vec::new();
    let mut last = 0;
    while let Some(id) = after(last)? {
        last = id;
        match by_id(id).and_then(|link| describe(link.as_fd())) {
            Err(error) if is_not_there(&error) => {}
            described => found.push(described?),
        }
    }
    found.retain(|link| link.alive);
    Ok(found)
}

/// Whether a link has gone, or is being made.
fn is_not_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::WouldBlock
    )
}

/// The id of the next link.
fn after(last: u32) -> io::Result<Option<u32>> {
    let mut a = attr();
    a.__bindgen_anon_6.__bindgen_anon_1.start_id = last;
    match call(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut a) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // SAFETY: the command just wrote this field of the union.
        called => called.map(|_| Some(unsafe { a.__bindgen_anon_6.next_id })),
    }
}

fn by_id(id: u32) -> io::Result<OwnedFd> {
    let mut a = attr();
    // The kernel calls it `link_id`; all ids are the first word.
    a.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    call_fd(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut a)
}

/// What the link hangs on; the kernel puts 0 here once that is gone.
fn target(block: &bpf_link_info) -> u64 {
    let details = &block.__bindgen_anon_1;
    // SAFETY: the kernel fills the member of the union that belongs to the link's type.
    unsafe {
        match block.type_ {
            t if t == bpf_link_type::BPF_LINK_TYPE_XDP as u32 => details.xdp.ifindex.into(),
            t if t == bpf_link_type::BPF_LINK_TYPE_TCX as u32 => details.tcx.ifindex.into(),
            t if t == bpf_link_type::BPF_LINK_TYPE_NETNS as u32 => details.netns.netns_ino.into(),
            t if t == bpf_link_type::BPF_LINK_TYPE_CGROUP as u32 => details.cgroup.cgroup_id,
            // The first word is the map's id.
            t if t == BPF_LINK_TYPE_SOCKMAP => details.struct_ops.map_id.into(),
            _ => 1,
        }
    }
}

/// Puts another program into a link, at once.
pub(crate) fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut a = attr();
    a.link_update.link_fd = number(link);
    a.link_update.__bindgen_anon_1.new_prog_fd = number(program);
    call(bpf_cmd::BPF_LINK_UPDATE, &mut a).map(drop)
}

/// Takes a link off what it hangs on, at once; one that is already off stays so. The kernel refuses it for types that it cannot do
/// it for: the end of the pin does the same later.
pub(crate) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut a = attr();
    a.link_detach.link_fd = number(link);
    call(bpf_cmd::BPF_LINK_DETACH, &mut a).map(drop)
}
