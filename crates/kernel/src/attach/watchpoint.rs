//! Watchpoints: the debug registers of the processor.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};

use beetrace_engine::Error;
use beetrace_object::WatchMode;

use super::{Env, failed, perf_event, refused};
use crate::sys::errno;
use crate::sys::perf::{self, EventAttr, Scope, flag};

/// Bits of `bp_type` (include/uapi/linux/hw_breakpoint.h).
const READ: u32 = 1;
const WRITE: u32 = 2;
const EXECUTE: u32 = 4;

/// In the threads of the run's process and those that they start; without one, on every processor.
pub(super) fn attach(
    env: &Env,
    program: BorrowedFd,
    probe: &str,
    address: u64,
    len: u32,
    mode: WatchMode,
    cookie: u64,
) -> Result<Vec<OwnedFd>, Error> {
    let bit = |set: bool, bit| if set { bit } else { 0 };
    let attr = EventAttr {
        kind: perf::kind::BREAKPOINT,
        sample_period: 1,
        flags: flag::INHERIT,
        bp_type: bit(mode.read, READ) | bit(mode.write, WRITE) | bit(mode.execute, EXECUTE),
        config1: address,
        // The kernel wants the length of a word for instructions, whatever their own.
        config2: if mode.execute {
            size_of::<usize>() as u64
        } else {
            u64::from(len)
        },
        ..Default::default()
    };
    let scopes: Vec<Scope> = match env.pid {
        0 => env.online.iter().map(|cpu| Scope::Cpu(*cpu)).collect(),
        pid => threads(pid).into_iter().map(Scope::Task).collect(),
    };
    let mut all = Vec::new();
    let mut last = None;
    // A thread may have ended and a processor gone: one that works is enough.
    for scope in scopes {
        match perf::open(attr, None, scope)
            .and_then(|event| perf_event::connect(program, event, cookie))
        {
            Ok(fds) => all.extend(fds),
            Err(error) => last = Some(error),
        }
    }
    if !all.is_empty() {
        return Ok(all);
    }
    Err(match last {
        None => refused(probe, format!("there is no process {}", env.pid), None),
        Some(error) => match errno(&error) {
            libc::ENOSPC => refused(probe, "No more HW registers left", None),
            libc::EINVAL => refused(
                probe,
                "the processor cannot watch that",
                Some(
                    "a length is 1, 2, 4 or 8, the address a multiple of it, and reads are watched along with writes (rw)",
                ),
            ),
            libc::ESRCH => refused(probe, format!("there is no process {}", env.pid), None),
            libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV => {
                refused(probe, "this machine has no hardware breakpoints", None)
            }
            _ => failed(probe, error),
        },
    })
}

fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}
