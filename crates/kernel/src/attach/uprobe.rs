//! Functions, addresses and USDT probes of user programs, one perf event a place.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use beetrace_engine::Error;
use beetrace_object::{Event, UprobeTarget};

use super::{c_path, failed, perf_event, refused};
use crate::sys::errno;
use crate::sys::perf::{self, EventAttr, Scope};

/// Where in which file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sites<'a> {
    pub(crate) path: &'a Path,
    pub(crate) targets: &'a [UprobeTarget],
    pub(crate) is_return: bool,
    /// Zero for all processes.
    pub(crate) pid: u32,
}

impl<'a> Sites<'a> {
    /// Those of a uprobe or a USDT probe.
    pub(crate) fn of(event: &'a Event) -> Option<Sites<'a>> {
        match event {
            Event::Uprobe(uprobe) => Some(Sites {
                path: &uprobe.path,
                targets: &uprobe.targets,
                is_return: uprobe.is_return,
                pid: uprobe.pid.unwrap_or(0),
            }),
            Event::Usdt(usdt) => Some(Sites {
                path: &usdt.path,
                targets: &usdt.targets,
                is_return: false,
                pid: usdt.pid.unwrap_or(0),
            }),
            _ => None,
        }
    }

    /// Whether one link may hold the targets of both.
    pub(crate) fn goes_with(&self, other: &Sites) -> bool {
        self.path == other.path && self.is_return == other.is_return && self.pid == other.pid
    }
}

pub(super) fn attach(
    program: BorrowedFd,
    probe: &str,
    sites: &Sites,
    cookie: u64,
) -> Result<Vec<OwnedFd>, Error> {
    let Some(pmu) = pmu() else {
        return Err(Error::Unsupported {
            what: format!("`{probe}`"),
            reason: "the kernel was built without uprobes".into(),
        });
    };
    let path = c_path(probe, sites.path)?;
    let scope = match sites.pid {
        0 => Scope::Cpu(0),
        pid => Scope::Task(pid),
    };
    let mut all = Vec::with_capacity(sites.targets.len());
    for target in sites.targets {
        let attr = EventAttr {
            kind: pmu,
            // Bit 0 asks for the return, bits 32 and up are the offset of the counter
            // (/sys/bus/event_source/devices/uprobe/format).
            config: target.ref_ctr_offset << 32 | u64::from(sites.is_return),
            config2: target.offset,
            ..Default::default()
        };
        let fds = perf::open(attr, Some(&path), scope)
            .and_then(|event| perf_event::connect(program, event, cookie))
            .map_err(|error| match errno(&error) {
                libc::ENOENT => refused(
                    probe,
                    format!("{} is not there", sites.path.display()),
                    None,
                ),
                libc::ESRCH => refused(probe, format!("there is no process {}", sites.pid), None),
                _ => failed(probe, error),
            })?;
        all.extend(fds);
    }
    Ok(all)
}

/// The number of the kernel's PMU for uprobes.
fn pmu() -> Option<u32> {
    static PMU: OnceLock<Option<u32>> = OnceLock::new();
    *PMU.get_or_init(|| super::kprobe::pmu_type("uprobe"))
}
