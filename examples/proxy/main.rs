//! A TCP proxy that is done with a connection once it has seen its first bytes.
//!
//! ```text
//! cargo run --example proxy -- 127.0.0.1:8443 192.0.2.7:80 --tls 192.0.2.7:443 --pairs /run/pairs.sock
//! ```
//!
//! takes connections at the first address, looks at what the client sends first, connects to one of the upstreams, and hands
//! both connections over to `sockc socket pair NAME --listen /run/pairs.sock`, with the bytes that it has read. With `--copy` it
//! moves the data itself, with `--splice2` by splice(2), as proxies do without a splice of the kernel. With `--register PATH NAME` it
//! hands its listener over first, to `sockc socket listen PATH`: rules steer to NAME, whatever the proxy's own address is.

mod ask;
mod pairs;
mod register;
mod relay;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fmt};

use relay::{Upstreams, Way};

const USAGE: &str = "proxy LISTEN UPSTREAM [--tls UPSTREAM] [--register PATH NAME] (--pairs PATH | --copy | --splice2)";

/// What it is to do.
struct Job {
    listen: SocketAddr,
    /// Where the listener is handed over, and for which name.
    register: Option<(PathBuf, String)>,
    upstreams: Upstreams,
    way: Way,
}

fn main() -> ExitCode {
    let done = job().and_then(|job| {
        let listener = TcpListener::bind(job.listen).map_err(words)?;
        if let Some((path, name)) = &job.register {
            register::register(path, name, &listener).map_err(words)?;
        }
        relay::serve(&listener, job.upstreams, &job.way).map_err(words)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("proxy: {why}");
            ExitCode::FAILURE
        }
    }
}

fn job() -> Result<Job, String> {
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().ok_or_else(|| USAGE.to_owned());
    let (listen, plain) = (address(&next()?)?, address(&next()?)?);
    let (mut tls, mut register) = (None, None);
    let way = loop {
        match next()?.as_str() {
            "--tls" => tls = Some(address(&next()?)?),
            "--register" => register = Some((next()?.into(), next()?)),
            "--pairs" => break Way::Pairs(next()?.into()),
            "--copy" => break Way::Copy,
            "--splice2" => break Way::Splice,
            _ => return Err(USAGE.to_owned()),
        }
    };
    if next().is_ok() {
        return Err(USAGE.to_owned());
    }
    Ok(Job {
        listen,
        register,
        upstreams: Upstreams { plain, tls },
        way,
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |error| format!("{text}: {error}; {USAGE}");
    text.parse().map_err(wrong)
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}
