//! Tracepoints of tracefs.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::{fs, io};

use beetrace_engine::Error;

use super::{failed, perf_event, refused};
use crate::caps;
use crate::sys::perf::{self, EventAttr, Scope};

/// Where tracefs is mounted, the newer place first.
const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

pub(super) fn attach(
    program: BorrowedFd,
    probe: &str,
    category: &str,
    name: &str,
    cookie: u64,
) -> Result<Vec<OwnedFd>, Error> {
    let id = id(probe, category, name)?;
    let attr = EventAttr {
        kind: perf::kind::TRACEPOINT,
        config: id,
        sample_period: 1,
        ..Default::default()
    };
    // The programs of a tracepoint run on every processor, whichever the event is opened for.
    perf::open(attr, None, Scope::Cpu(0))
        .and_then(|event| perf_event::connect(program, event, cookie))
        .map_err(|error| failed(probe, error))
}

fn id(probe: &str, category: &str, name: &str) -> Result<u64, Error> {
    let mut first = None;
    for root in ROOTS {
        let path = Path::new(root)
            .join("events")
            .join(category)
            .join(name)
            .join("id");
        match fs::read_to_string(&path) {
            Ok(text) => {
                return text
                    .trim()
                    .parse()
                    .map_err(|_| refused(probe, format!("{} is no number", path.display()), None));
            }
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    let error = first.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    if caps::is_refusal(&error) {
        return Err(Error::Permission {
            action: format!("attaching {probe}"),
            capability: "read access to tracefs (/sys/kernel/tracing)",
        });
    }
    if ROOTS
        .iter()
        .all(|root| !Path::new(root).join("events").exists())
    {
        return Err(refused(
            probe,
            "tracefs is not mounted",
            Some("mount -t tracefs nodev /sys/kernel/tracing"),
        ));
    }
    Err(refused(probe, "there is no such tracepoint", None))
}
