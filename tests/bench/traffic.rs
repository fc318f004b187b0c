//! The generator: an XDP program that makes each frame the next one of a trace.
//!
//! It reads the trace in order, and then either calls the program that is measured, or lets the frame go up the stack to
//! whatever is in force there. All of it happens on one processor inside of one system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::XDP_PASS;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, Register, Width};

use crate::code::{self, Code};
use crate::frame::Layout;
use crate::rules::Header;
use crate::syscalls::map::{self, Shape};
use crate::syscalls::{prog, run};

use Register::{R1, R2, R3, R6, R7};

/// Neither passed nor dropped on purpose: a tail call that failed, or a table that did not have the packet.
const XDP_ABORTED: i32 = 0;

/// Packets in the kernel, and where in them the next frame is.
pub(crate) struct Trace {
    pub(crate) layout: Layout,
    /// The first frame, which test runs begin with.
    pub(crate) frame: Vec<u8>,
    packets: OwnedFd,
    cursor: OwnedFd,
}

/// The generator in the kernel.
pub(crate) struct Generator {
    program: OwnedFd,
    /// An array of programs is emptied when nobody holds it, whoever calls through it.
    _measured: Option<OwnedFd>,
}

impl AsFd for Generator {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

impl Trace {
    /// A trace of these headers, repeated until it is full.
    pub(crate) fn new(layout: Layout, headers: &[Header]) -> io::Result<Self> {
        let bytes = layout.trace(headers);
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let packets = map::create("trace", Shape::array(size, 1))?;
        map::update(packets.as_fd(), &[0; 4], &bytes)?;
        let cursor = map::create("cursor", Shape::array(8, 1))?;
        let frame = headers.first().map(|first| layout.frame(first));
        Ok(Self {
            layout,
            frame: frame.unwrap_or_default(),
            packets,
            cursor,
        })
    }

    /// Begins the trace anew.
    pub(crate) fn rewind(&self) -> io::Result<()> {
        map::update(self.cursor.as_fd(), &[0; 4], &[0; 8])
    }

    /// The generator for what is in force in the stack.
    pub(crate) fn toward_stack(&self) -> io::Result<Generator> {
        let mut code = self.next_packet();
        code.give(XDP_PASS);
        Ok(Generator {
            program: load(code)?,
            _measured: None,
        })
    }

    /// The generator for an XDP program, which the first packet of the trace has been through.
    pub(crate) fn toward_program(&self, program: BorrowedFd<'_>) -> io::Result<Generator> {
        let programs = map::create("measured", Shape::programs(1))?;
        let measured = program.as_raw_fd().to_ne_bytes();
        map::update(programs.as_fd(), &[0; 4], &measured)?;
        let mut code = self.next_packet();
        code.push(asm::mov64_reg(R1, R6));
        code.map(R2, &programs);
        code.push(asm::mov64_imm(R3, 0));
        code.push(asm::call(Helper::TailCall));
        let generator = load(code)?;
        self.rewind()?;
        match run::dry(generator.as_fd(), &self.frame, 1)? {
            (aborted, _) if aborted.cast_signed() == XDP_ABORTED => Err(io::Error::other(
                "a packet went past the program, or past its table",
            )),
            _ => Ok(Generator {
                program: generator,
                _measured: Some(programs),
            }),
        }
    }

    /// Writes the next packet over the frame.
    fn next_packet(&self) -> Code {
        let mut code = Code::default();
        code.packet(code::XDP, self.layout.length as i32);
        code.value(R1, &self.cursor);
        code.push(asm::load(Width::DW, R2, R1, 0));
        code.push(asm::mov64_reg(R3, R2));
        code.push(asm::alu64_imm(AluOp::Add, R3, 1));
        code.push(asm::store_reg(Width::DW, R1, 0, R3));
        code.push(asm::alu64_imm(
            AluOp::And,
            R2,
            self.layout.packets as i32 - 1,
        ));
        let shift = self.layout.entry.trailing_zeros();
        code.push(asm::alu64_imm(AluOp::Lsh, R2, shift as i32));
        code.value(R1, &self.packets);
        code.push(asm::alu64_reg(AluOp::Add, R1, R2));
        for (width, from, to) in self.layout.copies {
            code.push(asm::load(*width, R3, R1, *from));
            code.push(asm::store_reg(*width, R7, *to, R3));
        }
        code
    }
}

fn load(code: Code) -> io::Result<OwnedFd> {
    prog::load(&prog::Source {
        name: "generator",
        kind: bpf_prog_type::BPF_PROG_TYPE_XDP,
        attach: Some(bpf_attach_type::BPF_XDP),
        code: &code.finish(XDP_ABORTED),
    })
}
