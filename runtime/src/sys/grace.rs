//! Waiting until every program that packets meet has ended that ran when the wait began, without a grace period of RCU.
//!
//! Programs at XDP and TC run where the kernel has switched off softirqs, and so leave their processor to nobody until they
//! end (but where PREEMPT_RT makes locks of that). A thread that has run on every processor has therefore seen the end of all
//! that ran when it set out. That takes as long as moving a thread takes, some 50 µs a processor where nothing else runs, and a
//! grace period 5 to 20 ms. Programs of control groups and sockets may be put off while they run: their end only RCU tells.
//!
//! Nobody is disturbed for it who was promised not to be: where processors are isolated, or are too many or too busy, RCU is
//! waited for.

use std::fs;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::statfs::{SYSFS_MAGIC, statfs};
use nix::unistd::Pid;

use super::caps;
use super::retry::again;

/// Where the kernel lists the processors. A container may have a list of its own there (lxcfs), and packets come on all of them.
const ONLINE: &str = "/sys/devices/system/cpu/online";
/// Visiting more would take as long as a grace period.
const MOST: usize = 64;
/// How long the thread may take before the other way is gone. It ends with the process, wherever it is then.
const PATIENCE: Duration = Duration::from_millis(8);

/// Waits until every program at XDP and TC that ran when this was called has ended.
pub(crate) fn wait_for_packet_programs() -> io::Result<()> {
    visit_all().or_else(|_| caps::wait_for_running_programs())
}

fn visit_all() -> io::Result<()> {
    let processors = processors()?;
    let (told, tells) = mpsc::channel();
    thread::Builder::new().spawn(move || told.send(visit(&processors)))?;
    let visited = tells.recv_timeout(PATIENCE);
    visited.map_err(io::Error::other)?
}

/// Runs on each of some processors.
fn visit(processors: &[usize]) -> io::Result<()> {
    let this = Pid::from_raw(0);
    for processor in processors {
        let mut only = CpuSet::new();
        only.set(*processor)?;
        sched_setaffinity(this, &only)?;
        if sched_getcpu()? != *processor {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
    Ok(())
}

/// Those that run programs, if all may be visited.
fn processors() -> io::Result<Vec<usize>> {
    let version = fs::read_to_string("/proc/sys/kernel/version")?;
    let refused = || Err(io::ErrorKind::Unsupported.into());
    if !softirqs_keep_their_processor(&version) {
        return refused();
    }
    for kept in ["isolated", "nohz_full"] {
        // Kernels that keep none for themselves lack the file, or have nothing in it.
        let list = match fs::read_to_string(format!("/sys/devices/system/cpu/{kept}")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            list => list?,
        };
        if !matches!(list.trim(), "" | "(null)") {
            return refused();
        }
    }
    if again(|| Ok(statfs(ONLINE)?))?.filesystem_type() != SYSFS_MAGIC {
        return refused();
    }
    let online = aya::util::online_cpus().map_err(|(_, error)| error)?;
    match online.len() <= MOST {
        true => Ok(online.iter().map(|one| *one as usize).collect()),
        false => refused(),
    }
}

/// What a kernel says of itself. `PREEMPT_RT` was two words while it was a patch.
fn softirqs_keep_their_processor(version: &str) -> bool {
    !version.contains("PREEMPT_RT") && !version.contains("PREEMPT RT")
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
    use sockc_compiler::bpf::asm;
    use sockc_compiler::bpf::helper::Helper;
    use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

    use super::*;
    use crate::code::Code;
    use crate::sys::map::{self, Shape};
    use crate::sys::prog;

    /// So often the program looks whether the wait has ended: for some milliseconds.
    const LOOKS: i32 = 60_000;

    /// A program that runs as long as it can, and the words by which it says that it has begun, is told that the wait has ended,
    /// and says that it was told so.
    struct Runner {
        program: OwnedFd,
        began: OwnedFd,
        ended: OwnedFd,
        saw: OwnedFd,
    }

    impl Runner {
        fn new() -> Self {
            let word = || map::create("word", Shape::array(4, 1)).unwrap();
            let (began, ended, saw) = (word(), word(), word());
            let mut code = Code::default();
            let (again, on, out) = (code.label(), code.label(), code.label());
            code.map_value(Register::R6, began.as_fd());
            code.map_value(Register::R7, ended.as_fd());
            code.map_value(Register::R8, saw.as_fd());
            code.add([
                asm::store_imm(Width::W, Register::R6, 0, 1),
                asm::mov64_imm(Register::R9, LOOKS),
            ]);
            code.place(again);
            code.add([asm::load(Width::W, Register::R1, Register::R7, 0)]);
            code.jump_if(JumpOp::Eq, Register::R1, 0, on);
            code.add([asm::store_imm(Width::W, Register::R8, 0, 1)]);
            code.jump(out);
            code.place(on);
            code.add([
                asm::call(Helper::KtimeGetNs),
                asm::alu64_imm(AluOp::Sub, Register::R9, 1),
            ]);
            code.jump_if(JumpOp::Ne, Register::R9, 0, again);
            code.place(out);
            code.give(2);
            let program = prog::load(&prog::Source {
                name: "runs",
                kind: bpf_prog_type::BPF_PROG_TYPE_XDP,
                attach: Some(bpf_attach_type::BPF_XDP),
                code: &code.bytes().unwrap(),
            });
            Self {
                program: program.unwrap(),
                began,
                ended,
                saw,
            }
        }

        /// Whether the program ran when `wait` had ended.
        fn outlasts(&self, wait: impl FnOnce()) -> bool {
            for word in [&self.began, &self.ended, &self.saw] {
                set(word.as_fd(), 0);
            }
            thread::scope(|scope| {
                let runs = scope.spawn(|| prog::run(self.program.as_fd(), &[0; 64]).unwrap());
                while get(self.began.as_fd()) == 0 {
                    thread::yield_now();
                }
                wait();
                set(self.ended.as_fd(), 1);
                runs.join().unwrap();
            });
            get(self.saw.as_fd()) == 1
        }
    }

    fn set(word: BorrowedFd<'_>, value: u32) {
        map::update(word, &[0; 4], &value.to_ne_bytes()).unwrap();
    }

    fn get(word: BorrowedFd<'_>) -> u32 {
        let mut value = [0; 4];
        assert!(map::lookup(word, &[0; 4], &mut value).unwrap());
        u32::from_ne_bytes(value)
    }

    #[test]
    fn no_program_outlasts_the_wait() {
        let Ok(processors) = processors() else { return };
        if !nix::unistd::geteuid().is_root() || processors.len() < 2 {
            return;
        }
        let runner = Runner::new();
        // Beside a load the program may have ended before anybody could tell it something.
        assert!((0..200).any(|_| runner.outlasts(|| ())), "it tells nothing");
        for _ in 0..20 {
            assert!(!runner.outlasts(|| visit(&processors).unwrap()));
            assert!(!runner.outlasts(|| wait_for_packet_programs().unwrap()));
        }
    }

    #[test]
    fn kernels_whose_softirqs_can_be_put_off_are_told_apart() {
        for (version, keep) in [
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.41-1 (2025-08-12)", true),
            ("#1 SMP Debian 5.10.237-1 (2025-05-19)", true),
            ("#1 SMP PREEMPT_RT Debian 6.1.140-1 (2025-05-22)", false),
            ("#1 SMP PREEMPT RT Debian 4.19.316-1 (2024-06-25)", false),
        ] {
            assert_eq!(softirqs_keep_their_processor(version), keep, "{version}");
        }
    }
}
