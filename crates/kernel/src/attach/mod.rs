//! Attaching programs: one file a kind of probe.
//!
//! Each kind gives file descriptors; the program is attached for as long as they are open.

mod fentry;
mod iter;
mod kprobe;
mod perf_event;
mod raw_tracepoint;
mod tracepoint;
mod uprobe;
mod uprobe_multi;
mod watchpoint;

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use beetrace_engine::Error;
use beetrace_object::{Event, ProbeSpec};

use crate::caps;
use crate::program::Variant;
use crate::sys::attr::attach_type;
use crate::sys::errno;

pub(crate) use iter::read as read_iterator;
pub(crate) use kprobe::{attach_many as attach_kprobes, can_group as can_group_kprobe};
pub(crate) use uprobe::Sites;
pub(crate) use uprobe_multi::attach_many as attach_uprobes;

/// What attaching needs to know of the system and of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    pub(crate) online: Vec<u32>,
    /// The process that the run is about; zero for all.
    pub(crate) pid: u32,
}

impl Env {
    /// A processor that can take events.
    fn some_cpu(&self) -> u32 {
        self.online.first().copied().unwrap_or(0)
    }
}

/// The variant that a probe needs of its program. `multi` asks for one link of many places where there is such a link.
pub(crate) fn variant(event: &Event, multi: bool) -> Variant {
    let target = |attach_type, target: &beetrace_object::BtfTarget| Variant {
        attach_type,
        target: Some(target.clone()),
        ..Variant::PLAIN
    };
    match event {
        Event::Uprobe(_) | Event::Usdt(_) if multi => {
            Variant::multi(attach_type::TRACE_UPROBE_MULTI)
        }
        Event::Kprobe { .. } if multi => Variant::multi(attach_type::TRACE_KPROBE_MULTI),
        Event::RawTracepoint { btf: Some(btf), .. } => target(attach_type::TRACE_RAW_TP, btf),
        Event::Iter { target: btf, .. } => target(attach_type::TRACE_ITER, btf),
        Event::Fentry {
            target: btf,
            is_exit,
            ..
        } => target(
            if *is_exit {
                attach_type::TRACE_FEXIT
            } else {
                attach_type::TRACE_FENTRY
            },
            btf,
        ),
        _ => Variant::PLAIN,
    }
}

/// Attaches the program, loaded as [`variant`] says without `multi`. The cookie is what `bpf_get_attach_cookie` gives, where the kernel can.
pub(crate) fn attach(
    env: &Env,
    program: BorrowedFd,
    spec: &ProbeSpec,
    cookie: u64,
) -> Result<Vec<OwnedFd>, Error> {
    let name = spec.name.as_str();
    match &spec.event {
        Event::Begin
        | Event::End
        | Event::SelfSignal { .. }
        | Event::Test { .. }
        | Event::Bench { .. } => Err(Error::Unsupported {
            what: format!("attaching `{name}`"),
            reason: "such a probe is run, not attached".into(),
        }),
        Event::Interval { .. }
        | Event::Profile { .. }
        | Event::Software { .. }
        | Event::Hardware { .. } => {
            perf_event::attach(env, program, &spec.event, cookie).map_err(|e| failed(name, e))
        }
        Event::Tracepoint {
            category,
            name: event,
        } => tracepoint::attach(program, name, category, event, cookie),
        Event::RawTracepoint { name: event, btf } => {
            raw_tracepoint::attach(program, name, event, btf.is_some())
        }
        Event::Uprobe(_) | Event::Usdt(_) => {
            let sites = Sites::of(&spec.event)
                .ok_or_else(|| refused(name, "it has no place to be attached to", None))?;
            uprobe::attach(program, name, &sites, cookie)
        }
        Event::Iter { pin, .. } => iter::attach(program, name, env.pid, pin.as_deref()),
        Event::Watchpoint { address, len, mode } => {
            watchpoint::attach(env, program, name, *address, *len, *mode, cookie)
        }
        Event::Kprobe {
            symbol,
            offset,
            address,
            is_return,
        } => {
            let place = kprobe::Place::new(symbol, *offset, *address);
            kprobe::attach(program, name, &place, *is_return, cookie)
        }
        Event::Fentry { .. } => fentry::attach(program).map_err(|e| failed(name, e)),
    }
}

/// A probe that the kernel refuses, for a reason of its own.
fn refused(probe: &str, reason: impl Into<String>, help: Option<&str>) -> Error {
    Error::Attach {
        probe: probe.to_owned(),
        reason: reason.into(),
        help: help.map(str::to_owned),
    }
}

/// What an error number means for any probe.
fn failed(probe: &str, error: io::Error) -> Error {
    match errno(&error) {
        libc::EPERM | libc::EACCES => caps::perf_error(format!("attaching {probe}"), error),
        libc::EMFILE | libc::ENFILE => refused(
            probe,
            "too many files are open",
            Some("every probe takes a file: raise the limit with `ulimit -n`"),
        ),
        _ => refused(probe, text(&error), None),
    }
}

/// The error's own text without Rust's number behind it.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// A path or name as the kernel takes it.
fn c_string(probe: &str, bytes: impl AsRef<[u8]>) -> Result<CString, Error> {
    CString::new(bytes.as_ref()).map_err(|_| refused(probe, "a name holds a NUL byte", None))
}

fn c_path(probe: &str, path: &Path) -> Result<CString, Error> {
    use std::os::unix::ffi::OsStrExt;
    c_string(probe, path.as_os_str().as_bytes())
}
