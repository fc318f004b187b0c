//! Whoever sends: datagrams of one socket, from a processor of its own, on which the kernel carries each to the rule as well.

use std::mem;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sockc_runtime::lab::{CLIENT, SERVER, Space};

/// The processor of whoever sends.
const CPU: usize = 0;
/// So many times a second a steady sender sends some.
const TURNS: u32 = 1_000;

/// How many a second.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many.
    Steady(u32),
    /// As many as it can.
    Fast,
}

impl Pace {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Steady(count) => format!("{count} a second"),
            Self::Fast => "as fast as it goes".to_owned(),
        }
    }
}

/// What was sent.
pub(crate) struct Sent {
    pub(crate) count: u64,
    time: Duration,
    /// What its thread used of the processor: all of a packet's way to the rule, and what the kernel does there meanwhile.
    used: Duration,
}

impl Sent {
    pub(crate) fn a_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }

    /// Nanoseconds of the processor for each packet.
    pub(crate) fn cost(&self) -> f64 {
        self.used.as_secs_f64() * 1e9 / self.count as f64
    }
}

/// Sends for so long.
pub(crate) fn send(space: &Space, pace: Pace, time: Duration) -> Sent {
    let sent = space.run(|| {
        stay_on(CPU);
        let socket = UdpSocket::bind((CLIENT[0], 0)).unwrap();
        socket.connect((SERVER[0], 9)).unwrap();
        let (began, before) = (Instant::now(), used());
        let mut count = 0;
        while began.elapsed() < time {
            let due = match pace {
                Pace::Steady(rate) => due(rate, began.elapsed()),
                Pace::Fast => count + 64,
            };
            while count < due {
                // A queue that is full takes the next one.
                count += u64::from(socket.send(&[0; 64]).is_ok());
            }
            if let Pace::Steady(_) = pace {
                thread::sleep(Duration::from_secs(1) / TURNS);
            }
        }
        Sent {
            count,
            time: began.elapsed(),
            used: used() - before,
        }
    });
    sent.unwrap()
}

/// How many are to be sent after so long.
fn due(rate: u32, elapsed: Duration) -> u64 {
    (f64::from(rate) * elapsed.as_secs_f64()) as u64
}

/// What the calling thread has used of a processor: what others do there meanwhile is not in it.
fn used() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::from(time)
}

/// Has the calling thread, or the program that it becomes, stay on a processor.
pub(crate) fn stay_on(cpu: usize) {
    // SAFETY: the set is integers, for which zeros are valid, and lives through the calls.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set);
    }
}
