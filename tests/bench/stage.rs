//! Where one system is in force: a namespace of its own, with an interface that frames arrive at.
//!
//! Each system has a stage, so that all of them are ready at once and take turns without being loaded again.

use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sockc_compiler::bpf::constant::XDP_PASS;
use sockc_runtime::lab::{FRONT, Lab};

use crate::code::Code;
use crate::syscalls::prog::AttachTarget;
use crate::syscalls::{link, prog, run};

/// `XDP_FLAGS_DRV_MODE`
const NATIVE: u32 = 1 << 2;

/// What goes wrong here is told, never handled.
pub(crate) type Problem = Box<dyn Error + Send + Sync>;

/// A namespace with an interface.
pub(crate) struct Stage {
    lab: Lab,
    interface: u32,
    /// What is held in force: links end with their last descriptor.
    links: Vec<OwnedFd>,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, Problem> {
        let mut stage = Self {
            lab: Lab::new()?,
            interface: 0,
            links: Vec::new(),
        };
        stage.interface = stage.inside(|| Ok(if_nametoindex(FRONT)?))?;
        // Live frames are refused where the interface is not ready for XDP, which this makes it. They do not meet it.
        let mut code = Code::default();
        code.give(XDP_PASS);
        let pass = prog::load(&prog::Source {
            name: "pass",
            kind: bpf_prog_type::BPF_PROG_TYPE_XDP,
            attach: Some(bpf_attach_type::BPF_XDP),
            code: &code.finish(XDP_PASS),
        })?;
        stage.attach(pass.as_fd(), bpf_attach_type::BPF_XDP, NATIVE)?;
        Ok(stage)
    }

    /// Puts a TC program in force on what arrives.
    pub(crate) fn attach_tc(&mut self, program: BorrowedFd<'_>) -> Result<(), Problem> {
        self.attach(program, bpf_attach_type::BPF_TCX_INGRESS, 0)
    }

    fn attach(
        &mut self,
        program: BorrowedFd<'_>,
        kind: bpf_attach_type,
        flags: u32,
    ) -> Result<(), Problem> {
        let place = AttachTarget::Interface(self.interface);
        let link = self.inside(|| Ok(link::create(program, place, kind, flags)?))?;
        self.links.push(link);
        Ok(())
    }

    /// Does something in the namespace.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send,
    ) -> Result<T, Problem> {
        self.lab.server.run(work)?
    }

    /// Several windows of live frames, and a shorter one ahead of them that warms the caches; nanoseconds a packet of each.
    pub(crate) fn live(
        &self,
        generator: BorrowedFd<'_>,
        frame: &[u8],
        packets: u32,
        windows: usize,
    ) -> Result<Vec<u32>, Problem> {
        self.inside(|| {
            stay_on_one_processor()?;
            run::live(generator, frame, self.interface, packets.div_ceil(4))?;
            let window = |_| Ok(run::live(generator, frame, self.interface, packets)?);
            (0..windows).map(window).collect()
        })
    }

    /// The same with frames that go nowhere.
    pub(crate) fn dry(
        &self,
        generator: BorrowedFd<'_>,
        frame: &[u8],
        packets: u32,
        windows: usize,
    ) -> Result<Vec<u32>, Problem> {
        self.inside(|| {
            stay_on_one_processor()?;
            run::dry(generator, frame, packets.div_ceil(4))?;
            let window = |_| Ok(run::dry(generator, frame, packets)?.1);
            (0..windows).map(window).collect()
        })
    }
}

/// Keeps the calling thread, which ends with its work, on the last processor: the first has most interrupts.
fn stay_on_one_processor() -> Result<(), Problem> {
    let count = std::thread::available_parallelism()?.get();
    let mut one = CpuSet::new();
    one.set(count - 1)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
}
