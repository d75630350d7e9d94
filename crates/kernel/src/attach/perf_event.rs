//! `interval`, `profile`, `software` and `hardware`: programs that perf events call; and the link of any perf event.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use beetrace_object::{Event, Period};

use super::Env;
use crate::sys::perf::{self, EventAttr, Scope, flag};
use crate::sys::{bpf, errno};

/// Lets `event` call `program` for as long as the answer's descriptors are open.
pub(super) fn connect(
    program: BorrowedFd,
    event: OwnedFd,
    cookie: u64,
) -> io::Result<Vec<OwnedFd>> {
    match bpf::link_perf_event(program, event.as_fd(), cookie) {
        // The link keeps the event.
        Ok(link) => Ok(vec![link]),
        // Links of perf events came with Linux 5.15.
        Err(error) if matches!(errno(&error), libc::EINVAL | libc::E2BIG) => {
            perf::set_program(event.as_fd(), program)?;
            perf::enable(event.as_fd())?;
            Ok(vec![event])
        }
        Err(error) => Err(error),
    }
}

pub(super) fn attach(
    env: &Env,
    program: BorrowedFd,
    event: &Event,
    cookie: u64,
) -> io::Result<Vec<OwnedFd>> {
    let attr = match *event {
        Event::Interval { nanos } => clock(Period::Nanos(nanos)),
        Event::Profile { period } => clock(period),
        Event::Software { event, count } => EventAttr {
            kind: perf::kind::SOFTWARE,
            config: event,
            sample_period: count,
            ..Default::default()
        },
        Event::Hardware {
            event,
            cache,
            count,
        } => EventAttr {
            kind: if cache {
                perf::kind::HW_CACHE
            } else {
                perf::kind::HARDWARE
            },
            config: event,
            sample_period: count,
            ..Default::default()
        },
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    if let Event::Interval { .. } = event {
        let event = perf::open(attr, None, Scope::Cpu(env.some_cpu()))?;
        return connect(program, event, cookie);
    }
    let mut all = Vec::with_capacity(env.online.len());
    for &cpu in &env.online {
        let mut attr = attr;
        let scope = match env.pid {
            0 => Scope::Cpu(cpu),
            pid => {
                // Threads and children that come later are sampled, too.
                attr.flags |= flag::INHERIT;
                Scope::TaskOnCpu(pid, cpu)
            }
        };
        let opened = perf::open(attr, None, scope).map_err(|error| {
            let is_hardware = matches!(event, Event::Hardware { .. });
            match errno(&error) {
                libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV if is_hardware => no_pmu(),
                _ => error,
            }
        })?;
        all.extend(connect(program, opened, cookie)?);
    }
    Ok(all)
}

fn no_pmu() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this machine has no hardware PMU that counts it (virtual machines seldom have one)",
    )
}

fn clock(period: Period) -> EventAttr {
    let (sample_period, flags) = match period {
        Period::Nanos(nanos) => (nanos, 0),
        Period::Frequency(hertz) => (hertz, flag::FREQ),
    };
    EventAttr {
        kind: perf::kind::SOFTWARE,
        config: perf::software::CPU_CLOCK,
        sample_period,
        flags,
        ..Default::default()
    }
}
