//! Commands that are waited for, but not for ever.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::Problem;
use crate::systems::Unfit;

/// How long a system may take to load its rules.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(60);
/// How often the end of a command is looked for.
const GLANCE: Duration = Duration::from_micros(200);

/// What a command did.
pub(crate) struct Done {
    pub(crate) milliseconds: f64,
    pub(crate) output: String,
}

/// Runs a command with this input, and ends it if it takes longer than [`MAX_TIME`].
pub(crate) fn run(command: &mut Command, input: &str) -> Result<Done, Unfit> {
    let name = command.get_program().to_string_lossy().into_owned();
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Unfit::Refused(format!("cannot run {name}: {error}")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        let output = scope.spawn(move || all(stdout));
        let errors = scope.spawn(move || all(stderr));
        let ended = wait(&mut child, began);
        let text = |reader: thread::ScopedJoinHandle<'_, String>| reader.join().unwrap_or_default();
        let (output, errors) = (text(output), text(errors));
        match ended? {
            None => Err(Unfit::Refused(format!(
                "it takes over {} s",
                MAX_TIME.as_secs()
            ))),
            Some(false) => Err(Unfit::Refused(format!("{name}: {}", first_line(&errors)))),
            Some(true) => Ok(Done {
                milliseconds: began.elapsed().as_secs_f64() * 1e3,
                output,
            }),
        }
    })
}

/// Whether the command did well; `None` if it had to be ended.
fn wait(child: &mut Child, began: Instant) -> Result<Option<bool>, Problem> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if began.elapsed() > MAX_TIME {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(GLANCE);
    }
}

fn all(pipe: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What could be read before a failure is all there is.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn first_line(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or("it failed")
}
