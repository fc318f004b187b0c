//! Links: make, describe.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

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

/// What the kernel says of a link; an error if the descriptor is not a link.
pub(crate) fn describe(link: BorrowedFd<'_>) -> io::Result<Description> {
    let block: bpf_link_info = info(link)?;
    Ok(Description {
        id: block.id,
        program: block.prog_id,
        alive: target(&block) != 0,
    })
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
