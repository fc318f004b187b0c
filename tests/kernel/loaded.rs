//! A policy's only packet program in the kernel, run on single frames without an interface.

use std::os::fd::{AsFd, BorrowedFd};

use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};

use crate::stage::Compiled;
use crate::syscalls;

/// An object in the kernel.
pub(crate) struct Loaded {
    /// Its maps.
    pub(crate) ebpf: Ebpf,
    name: String,
}

impl Loaded {
    /// Loads the first program of a policy.
    pub(crate) fn new(compiled: &Compiled) -> Self {
        let mut ebpf = EbpfLoader::new().load(&compiled.object).unwrap();
        let name = compiled.manifest.programs[0].program.clone();
        match ebpf.program_mut(&name).unwrap() {
            Program::Xdp(program) => program.load().unwrap(),
            Program::SchedClassifier(program) => program.load().unwrap(),
            other => panic!("{other:?}"),
        }
        Self { ebpf, name }
    }

    /// The program.
    pub(crate) fn program(&self) -> BorrowedFd<'_> {
        match self.ebpf.program(&self.name).unwrap() {
            Program::Xdp(program) => program.fd().unwrap().as_fd(),
            Program::SchedClassifier(program) => program.fd().unwrap().as_fd(),
            other => panic!("{other:?}"),
        }
    }

    /// Whether it runs at XDP.
    pub(crate) fn is_xdp(&self) -> bool {
        matches!(self.ebpf.program(&self.name), Some(Program::Xdp(_)))
    }

    /// What it returns for a frame.
    pub(crate) fn run(&self, frame: &[u8]) -> u32 {
        syscalls::run_on_frame(self.program(), frame).unwrap()
    }

    /// The same, with the frame as it leaves it.
    pub(crate) fn rewrite(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        syscalls::rewrite(self.program(), frame).unwrap()
    }
}
