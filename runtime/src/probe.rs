//! What this kernel can do, found by trying it: versions say little about kernels that distributions patch.

pub(crate) mod kept;
pub(crate) mod streams;

use std::os::fd::{AsFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{Register, Width};
use sockc_compiler::target::Target;

use crate::code::Code;
use crate::code::kernel_types;
use crate::sys::{link, map, prog, token};

/// Features that the runtime or the compiler has another way for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// TC programs on links (Linux 6.6); else filters under clsact.
    pub tcx: bool,
    /// Links on SOCKMAPs (Linux 6.10); else programs are attached without a link.
    pub sockmap_link: bool,
    /// SOCKMAPs take sk_skb programs that need no parser (Linux 5.13): these kernels hand what arrived before a socket was
    /// accepted to the program, too. What arrives on connections is decided only there.
    pub sk_skb_verdict: bool,
    /// The kernel is asked where a segment of TCP begins, since it describes its types. Whether programs can read that shows itself
    /// where a policy needs it: the description is long. Else data could come twice where it is decided as it arrives.
    pub segments: bool,
    /// A sock_ops program can tell network namespaces apart (Linux 5.15); else slots are not filled again by themselves.
    pub netns_cookie_in_sock_ops: bool,
    /// Jumps of 32 bits (Linux 6.6).
    pub gotol: bool,
    /// Atomic instructions that give the old value back (Linux 5.12).
    pub atomics: bool,
    /// A socket lookup is told the interface that the packet came in by (Linux 5.17).
    pub lookup_interface: bool,
    /// The kernel describes its types; else groups are not followed by the paths of their control groups.
    pub kernel_types: bool,
}

impl Features {
    /// The target that programs are compiled for here: the baseline, with what this kernel has beyond it.
    #[must_use]
    pub fn target(&self) -> Target {
        let mut target = Target::baseline();
        if self.gotol {
            target = target.with_gotol();
        }
        if self.atomics {
            target = target.with_atomics();
        }
        if self.lookup_interface {
            target = target.with_lookup_interface();
        }
        target
    }
}

/// Tries what the kernel can do. Without the rights to try, everything is absent.
#[must_use]
pub fn probe() -> Features {
    Features {
        tcx: tcx(),
        sockmap_link: sockmap_link().is_some(),
        sk_skb_verdict: sk_skb_verdict().is_some(),
        segments: kernel_types::are_told(),
        netns_cookie_in_sock_ops: netns_cookie(),
        gotol: gotol(),
        atomics: atomics(),
        lookup_interface: lookup_interface(),
        kernel_types: kernel_types::are_told(),
    }
}

fn tcx() -> bool {
    // A kernel that knows the attach type looks for the interface and misses it; another one does not get that far.
    let nowhere = prog::AttachTarget::Interface(i32::MAX.unsigned_abs());
    let answer = prog::query(nowhere, bpf_attach_type::BPF_TCX_INGRESS);
    // The question is for capabilities of the machine; tokens came after the attach type.
    token::is_held() || answer.is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
}

/// Attaching alone tells: Linux 5.10 loads the program and refuses the place.
fn sk_skb_verdict() -> Option<()> {
    let (program, readers) = verdict(bpf_prog_type::BPF_PROG_TYPE_SK_SKB, None)?;
    let attach = bpf_attach_type::BPF_SK_SKB_VERDICT;
    prog::attach(program.as_fd(), readers.as_fd(), attach).ok()
}

fn sockmap_link() -> Option<()> {
    let attach = bpf_attach_type::BPF_SK_MSG_VERDICT;
    let (program, peers) = verdict(bpf_prog_type::BPF_PROG_TYPE_SK_MSG, Some(attach))?;
    let target = prog::AttachTarget::Fd(peers.as_fd());
    link::create(program.as_fd(), target, attach, 0).ok()?;
    Some(())
}

/// A program that lets all go, and a map of sockets to attach it to.
fn verdict(kind: bpf_prog_type, attach: Option<bpf_attach_type>) -> Option<(OwnedFd, OwnedFd)> {
    let sockets = map::create("probe", map::Shape::sockets(4, 1)).ok()?;
    let mut code = Code::default();
    code.give(1);
    let program = prog::load(&prog::Source {
        name: "probe",
        kind,
        attach,
        code: &code.bytes().ok()?,
    });
    Some((program.ok()?, sockets))
}

fn netns_cookie() -> bool {
    let mut code = Code::default();
    code.add([asm::call(Helper::GetNetnsCookie)]);
    code.give(1);
    loads(
        bpf_prog_type::BPF_PROG_TYPE_SOCK_OPS,
        Some(bpf_attach_type::BPF_CGROUP_SOCK_OPS),
        code,
    )
}

fn gotol() -> bool {
    let mut code = Code::default();
    code.add([asm::mov64_imm(Register::R0, 0), asm::gotol(0), asm::exit()]);
    loads(bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, None, code)
}

fn atomics() -> bool {
    let mut code = Code::default();
    code.add([
        asm::store_imm(Width::DW, Register::R10, -8, 0),
        asm::mov64_imm(Register::R0, 0),
        asm::mov64_imm(Register::R1, 1),
        asm::compare_exchange64(Register::R10, -8, Register::R1),
    ]);
    code.give(0);
    loads(bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, None, code)
}

fn lookup_interface() -> bool {
    /// `ingress_ifindex` in `struct bpf_sk_lookup`.
    const INGRESS_IFINDEX: i16 = 64;
    let mut code = Code::default();
    code.add([asm::load(
        Width::W,
        Register::R0,
        Register::R1,
        INGRESS_IFINDEX,
    )]);
    code.give(1);
    loads(
        bpf_prog_type::BPF_PROG_TYPE_SK_LOOKUP,
        Some(bpf_attach_type::BPF_SK_LOOKUP),
        code,
    )
}

fn loads(kind: bpf_prog_type, attach: Option<bpf_attach_type>, code: Code) -> bool {
    let loaded = code.bytes().and_then(|code| {
        prog::load(&prog::Source {
            name: "probe",
            kind,
            attach,
            code: &code,
        })
    });
    loaded.is_ok()
}
