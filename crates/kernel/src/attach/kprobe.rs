//! Functions of the kernel: one perf event, or many functions through one link (Linux 5.18).

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use beetrace_engine::Error;
use beetrace_object::Event;

use super::{c_string, failed, perf_event, refused};
use crate::sys::attr::attach_type::TRACE_KPROBE_MULTI;
use crate::sys::bpf;
use crate::sys::errno;
use crate::sys::perf::{self, EventAttr, Scope};

/// Where in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Symbol { name: &'a str, offset: u64 },
    Address(u64),
}

impl<'a> Place<'a> {
    pub(super) fn new(symbol: &'a str, offset: u64, address: Option<u64>) -> Place<'a> {
        match address {
            Some(address) if symbol.is_empty() => Place::Address(address),
            _ => Place::Symbol {
                name: symbol,
                offset,
            },
        }
    }
}

pub(super) fn attach(
    program: BorrowedFd,
    probe: &str,
    place: &Place,
    is_return: bool,
    cookie: u64,
) -> Result<Vec<OwnedFd>, Error> {
    static PMU: OnceLock<Option<u32>> = OnceLock::new();
    let Some(pmu) = *PMU.get_or_init(|| pmu_type("kprobe")) else {
        return Err(Error::Unsupported {
            what: format!("`{probe}`"),
            reason: "the kernel was built without kprobes".into(),
        });
    };
    let (name, offset) = match *place {
        Place::Symbol { name, offset } => (Some(c_string(probe, name)?), offset),
        Place::Address(address) => (None, address),
    };
    let attr = EventAttr {
        kind: pmu,
        config: u64::from(is_return),
        config2: offset,
        ..Default::default()
    };
    perf::open(attr, name.as_deref(), Scope::Cpu(0))
        .and_then(|event| perf_event::connect(program, event, cookie))
        .map_err(|error| match errno(&error) {
            libc::EILSEQ => refused(
                probe,
                "Possible attachment attempt in the middle of an instruction, try a different offset.",
                None,
            ),
            libc::ENOENT | libc::EADDRNOTAVAIL => {
                refused(probe, "the kernel has no such function", None)
            }
            libc::EINVAL => refused(probe, "the kernel does not let it be traced", None),
            _ => failed(probe, error),
        })
}

/// Whether a `kprobe_multi` link can hold it: those take the beginning of functions only.
pub(crate) fn can_group(event: &Event) -> bool {
    matches!(
        event,
        Event::Kprobe { symbol, offset: 0, .. } if !symbol.is_empty()
    )
}

/// Attaches to the beginning (or the return) of all `symbols`, each with its cookie.
pub(crate) fn attach_many(
    program: BorrowedFd,
    probe: &str,
    symbols: &[(&str, u64)],
    is_return: bool,
) -> Result<Vec<OwnedFd>, Error> {
    let names = symbols
        .iter()
        .map(|(symbol, _)| c_string(probe, symbol))
        .collect::<Result<Vec<CString>, Error>>()?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let cookies: Vec<u64> = symbols.iter().map(|(_, cookie)| *cookie).collect();
    bpf::link_kprobe_multi(program, TRACE_KPROBE_MULTI, &names, &cookies, is_return)
        .map(|link| vec![link])
        .map_err(|error| failed(probe, error))
}

/// The number by which perf_event_open(2) knows a dynamic PMU.
pub(super) fn pmu_type(name: &str) -> Option<u32> {
    let path = format!("/sys/bus/event_source/devices/{name}/type");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
