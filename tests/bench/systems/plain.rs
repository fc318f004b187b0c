//! A program that drops everything, at either layer: what every system costs at least.

use std::io;
use std::os::fd::OwnedFd;

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use sockc_compiler::bpf::constant::{TC_ACT_SHOT, XDP_DROP};

use crate::code::{self, Code, Context};
use crate::syscalls::prog;
use crate::systems::Layer;

/// What programs of a layer are made with.
pub(crate) struct Kind {
    pub(crate) program: bpf_prog_type,
    pub(crate) attach: Option<bpf_attach_type>,
    pub(crate) context: Context,
    /// The answer that drops a packet.
    pub(crate) drop: i32,
    /// Another answer that does.
    pub(crate) also_drop: i32,
}

/// `TC_ACT_STOLEN`: the program has the packet, and it is freed.
const TC_ACT_STOLEN: i32 = 4;
/// `XDP_ABORTED`
const XDP_ABORTED: i32 = 0;

impl Kind {
    pub(crate) fn of(layer: Layer) -> Self {
        match layer {
            Layer::Xdp => Self {
                program: bpf_prog_type::BPF_PROG_TYPE_XDP,
                attach: Some(bpf_attach_type::BPF_XDP),
                context: code::XDP,
                drop: XDP_DROP,
                also_drop: XDP_ABORTED,
            },
            Layer::Stack => Self {
                program: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
                attach: None,
                context: code::SKB,
                drop: TC_ACT_SHOT,
                also_drop: TC_ACT_STOLEN,
            },
        }
    }

    /// Loads a program of this layer; where it gives up, it drops in its other way.
    pub(crate) fn load(&self, name: &str, code: Code) -> io::Result<OwnedFd> {
        prog::load(&prog::Source {
            name,
            kind: self.program,
            attach: self.attach,
            code: &code.finish(self.also_drop),
        })
    }
}

/// The program.
pub(crate) fn drop_all(layer: Layer) -> io::Result<OwnedFd> {
    let kind = Kind::of(layer);
    let mut code = Code::default();
    code.give(kind.drop);
    kind.load("drop_all", code)
}
