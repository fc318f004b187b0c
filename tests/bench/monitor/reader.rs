//! A monitor that runs on a processor of its own: what it printed, and what it used.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::Space;

use crate::sender::stay_on;

/// The processor of readers.
const CPU: usize = 1;
/// How long a reader may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it prints, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines for a person, to a file.
    Plain,
    /// JSON, to a file.
    Json,
    /// JSON, to `/dev/null`.
    Nowhere,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Json, Self::Nowhere];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "lines, to a file",
            Self::Json => "--json, to a file",
            Self::Nowhere => "--json, /dev/null",
        }
    }

    /// Whether what it prints is kept.
    pub(crate) fn is_kept(self) -> bool {
        self != Self::Nowhere
    }
}

/// It runs.
pub(crate) struct Reader(Child);

impl Reader {
    /// Starts it, and waits until it waits for records.
    pub(crate) fn start(space: &Space, form: Form, out: &Path) -> Self {
        let out = match form.is_kept() {
            true => File::create(out).unwrap(),
            false => File::create("/dev/null").unwrap(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
        command.arg("monitor").stdin(Stdio::null()).stdout(out);
        if form != Form::Plain {
            command.arg("--json");
        }
        // SAFETY: between fork and exec only one call is made, which allocates nothing.
        unsafe {
            command.pre_exec(|| {
                stay_on(CPU);
                Ok(())
            });
        }
        let child = space.run(|| command.spawn().unwrap()).unwrap();
        let waits_in = format!("/proc/{}/wchan", child.id());
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(&waits_in).is_ok_and(|name| name.contains("poll")) {
            assert!(Instant::now() < deadline, "the reader does not begin");
            thread::sleep(Duration::from_millis(1));
        }
        Self(child)
    }

    /// Ends it; gives what it used of a processor.
    pub(crate) fn end(self) -> Duration {
        let process = self.0.id().cast_signed();
        let mut used = MaybeUninit::<libc::rusage>::zeroed();
        let mut status = 0;
        // SAFETY: the process is ours and was not waited for; the call writes both values, which live through it.
        let used = unsafe {
            assert_eq!(libc::kill(process, libc::SIGTERM), 0);
            let ended = libc::wait4(process, &raw mut status, 0, used.as_mut_ptr());
            assert_eq!(ended, process);
            used.assume_init()
        };
        assert_eq!(status, 0, "the reader failed");
        [used.ru_utime, used.ru_stime]
            .map(|time| {
                Duration::from_secs(time.tv_sec.unsigned_abs())
                    + Duration::from_micros(time.tv_usec.unsigned_abs())
            })
            .iter()
            .sum()
    }
}

/// What a reader told.
pub(crate) struct Told {
    /// How many records.
    pub(crate) records: u64,
    /// How many it said were lost.
    pub(crate) lost: u64,
}

/// Counts what was printed.
pub(crate) fn told(path: &Path) -> Told {
    let mut told = Told {
        records: 0,
        lost: 0,
    };
    for line in BufReader::new(File::open(path).unwrap()).lines() {
        match lost(&line.unwrap()) {
            Some(lost) => told.lost += lost,
            None => told.records += 1,
        }
    }
    told
}

/// How many records a line says were lost, if it is such a line.
fn lost(line: &str) -> Option<u64> {
    if let Some(words) = line.strip_prefix("... ") {
        return words.split(' ').next()?.parse().ok();
    }
    if !line.contains("\"event\":\"lost\"") {
        return None;
    }
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    json["records"].as_u64()
}
