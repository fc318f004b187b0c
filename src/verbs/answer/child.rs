//! A command that is run for somebody: this program itself, with nothing of the service's but its rights.
//!
//! Takes arguments that were looked at; gives what it writes, piece by piece. It ends when this goes, however that is. Not here:
//! whether it may run.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::answering::frames::{Kind, PIECE};

/// It, at work.
pub(super) struct Running {
    child: Child,
    ended: bool,
    asked_to_end: bool,
    /// Its outputs, as long as they are open.
    outputs: Vec<(Kind, Box<dyn Pipe>)>,
}

/// What it writes into.
trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

impl Running {
    /// Starts it. Its program is that of this process, also where its file was replaced since.
    pub(super) fn start(arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("sockc")
            .args(arguments)
            .env_clear()
            .current_dir("/");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0);
        sockc_runtime::end_with_caller(&mut command);
        let mut child = command.spawn()?;
        let mut outputs: Vec<(Kind, Box<dyn Pipe>)> = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            outputs.push((Kind::Results, Box::new(pipe)));
        }
        if let Some(pipe) = child.stderr.take() {
            outputs.push((Kind::Messages, Box::new(pipe)));
        }
        Ok(Self {
            child,
            ended: false,
            asked_to_end: false,
            outputs,
        })
    }

    /// What can be read where it writes.
    pub(super) fn outputs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outputs.iter().map(|(_, pipe)| pipe.as_fd())
    }

    /// Reads what is there at one of them; nothing once that is at its end, after which it is none any more.
    pub(super) fn read(&mut self, place: usize) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let Some((kind, pipe)) = self.outputs.get_mut(place) else {
            return Ok(None);
        };
        let mut bytes = vec![0; PIECE];
        let count = match pipe.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            count => count?,
        };
        if count == 0 {
            self.outputs.remove(place);
            return Ok(None);
        }
        bytes.truncate(count);
        Ok(Some((*kind, bytes)))
    }

    /// Asks it to end, as whoever had run it would by a signal.
    pub(super) fn ask_to_end(&mut self) {
        self.asked_to_end = true;
        if let Ok(process) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
        }
    }

    /// The code that it ended with.
    pub(super) fn end(&mut self) -> io::Result<u8> {
        let status = self.child.wait()?;
        self.ended = true;
        code(status, self.asked_to_end)
            .ok_or_else(|| io::Error::other(format!("it ended by {status}")))
    }
}

fn code(status: ExitStatus, asked_to_end: bool) -> Option<u8> {
    // One that was asked to end before it heard of signals ends as any program does.
    let as_asked = asked_to_end && status.signal() == Some(Signal::SIGTERM as i32);
    let code = as_asked.then_some(0).or(status.code());
    code.and_then(|code| u8::try_from(code).ok())
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Ok(process) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(process), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
