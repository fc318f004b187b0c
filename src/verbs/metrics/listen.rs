//! `sockc metrics --listen`: an exporter, until SIGTERM.
//!
//! Takes where to listen, and reads the numbers when somebody asks. Not here: how that is opened
//! ([`crate::machine::doors`]), connections ([`super::serve`]), and what numbers there are.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use sockc_runtime::{Error, Options};
use socket2::{SockAddr, Socket};

use super::family::Metrics;
use super::gather::{Gathered, Which, gather};
use super::serve::serve;
use crate::cli::{Door, Form};
use crate::exit::Exit;
use crate::machine::doors;
use crate::output::Output;

/// Answers until it is ended.
pub(super) fn run(
    door: &Door,
    mode: u32,
    (places, which): (&[Options], Which),
    output: &mut Output,
) -> Exit {
    // Before anything is open, so that whoever sees the door may end it.
    let end = match sockc_runtime::end_signals() {
        Ok(end) => end,
        Err(error) => return failed("hear of SIGTERM", &error, output),
    };
    let doors = match doors::open(door, mode, output) {
        Ok(doors) => doors,
        Err(exit) => return exit,
    };
    for door in &doors.sockets {
        output.line(format!("metrics are at {}", name(door)));
    }
    let told = Mutex::new((output, Vec::new()));
    let tell = |errors: Vec<String>| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let (output, before) = &mut *told;
        // What was said at the last request need not be said again.
        for error in errors.iter().filter(|error| !before.contains(*error)) {
            output.note(error);
        }
        *before = errors;
    };
    let readings = Readings::default();
    let answer = |form, arrived| readings.text(form, arrived, places, which, &tell);
    let served = serve(&doors, end.as_fd(), &answer);
    let (output, _) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    match served {
        Ok(()) => Exit::Done,
        Err(error) => failed("listen", &error, output),
    }
}

fn failed(what: &str, error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("cannot {what}: {error}"));
    Exit::Refused
}

/// Where a socket listens.
fn name(socket: &Socket) -> String {
    let local = socket.local_addr().ok();
    let tcp = local.as_ref().and_then(SockAddr::as_socket);
    let path = local.as_ref().and_then(SockAddr::as_pathname);
    match (tcp, path) {
        (Some(tcp), _) => format!("http://{tcp}/metrics"),
        (_, Some(path)) => format!("unix:{}, GET /metrics", path.display()),
        _ => "a socket that was handed over, GET /metrics".to_owned(),
    }
}

/// The numbers of the last requests.
#[derive(Default)]
struct Readings(Mutex<Option<Arc<Reading>>>);

/// Numbers that were read.
struct Reading {
    /// When reading began.
    began: Instant,
    metrics: Arc<Metrics>,
    texts: [OnceLock<String>; 2],
}

impl Readings {
    /// The numbers in a form, read since a moment: requests that come together are answered by one reading.
    fn text(
        &self,
        form: Form,
        arrived: Instant,
        places: &[Options],
        which: Which,
        tell: &dyn Fn(Vec<String>),
    ) -> String {
        let reading = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match last.as_ref().filter(|last| last.began >= arrived) {
                Some(last) => last.clone(),
                None => {
                    let began = Instant::now();
                    let Gathered { metrics, errors } = gather(places, which);
                    tell(errors.iter().map(Error::told_by_status).collect());
                    let read = Arc::new(Reading {
                        began,
                        metrics: Arc::new(metrics),
                        texts: Default::default(),
                    });
                    *last = Some(read.clone());
                    read
                }
            }
        };
        let [openmetrics, prometheus] = &reading.texts;
        let text = match form {
            Form::Openmetrics => openmetrics,
            Form::Prometheus => prometheus,
        };
        text.get_or_init(|| reading.metrics.text(form)).clone()
    }
}
