//! Programs written by hand, and the objects around them.

use std::time::{Duration, Instant};

use beetrace_engine::{Engine, LoadOptions};
use beetrace_isa::assemble;
use beetrace_kernel::{Kernel, Privileges};
use beetrace_object::{
    Event, Layout, Map, MapKind, MapRole, Object, ProbeSpec, Program, ProgramKind, UserMap,
};

/// Says why and answers `true` where this process may not trace.
pub(crate) fn skipped() -> bool {
    let privileges = Privileges::current();
    let skip = !privileges.may_bpf() || !privileges.may_trace();
    if skip {
        eprintln!("skipped: needs CAP_BPF and CAP_PERFMON");
    }
    skip
}

pub(crate) fn object(maps: Vec<Map>, programs: Vec<Program>) -> Object {
    Object {
        license: "GPL".into(),
        programs,
        maps,
        ..Object::default()
    }
}

pub(crate) fn program(kind: ProgramKind, text: &str, events: Vec<Event>) -> Program {
    Program {
        name: "test".into(),
        kind,
        insns: assemble(text).expect("assembly"),
        functions: Vec::new(),
        lines: Vec::new(),
        probes: events
            .into_iter()
            .enumerate()
            .map(|(index, event)| ProbeSpec {
                name: format!("probe:{index}"),
                event,
            })
            .collect(),
    }
}

pub(crate) fn map(name: &str, kind: MapKind, sizes: [u32; 3], role: MapRole) -> Map {
    let [key_size, value_size, max_entries] = sizes;
    Map {
        name: name.into(),
        kind,
        key_size,
        value_size,
        max_entries,
        role,
    }
}

pub(crate) fn records() -> Map {
    map("records", MapKind::RingBuf, [0, 0, 0], MapRole::Records)
}

/// A map of the script from one 8-byte number to another.
pub(crate) fn numbers(kind: MapKind, max_entries: u32) -> Map {
    let number = Layout::Int {
        size: 8,
        signed: false,
    };
    let role = MapRole::User(UserMap {
        key: number.clone(),
        value: number,
        scalar: false,
    });
    map("@numbers", kind, [8, 8, max_entries], role)
}

/// Sends the number in `r6` as a record through map 0, if the thread is this one.
pub(crate) fn send_r6() -> String {
    format!(
        "   call bpf_get_current_pid_tgid
            w0 = w0
            if r0 != {} goto out
            *(u64 *)(r10 - 8) = r6
            r1 = map[0] ll
            r2 = r10
            r2 += -8
            r3 = 8
            r4 = 0
            call bpf_ringbuf_output
        out: r0 = 0
            exit",
        thread_id()
    )
}

fn thread_id() -> u32 {
    std::fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|path| path.file_name()?.to_str()?.parse().ok())
        .expect("the thread's number")
}

pub(crate) fn loaded(object: &Object) -> Kernel {
    let mut kernel = Kernel::new();
    kernel
        .load(object, &LoadOptions::default())
        .unwrap_or_else(|e| panic!("load: {e}: {e:?}"));
    kernel
}

/// All numbers sent so far; waits up to two seconds until there are `count`.
pub(crate) fn received(kernel: &mut Kernel, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let wait = if numbers.len() < count {
            end.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        let polled = kernel
            .poll(Some(wait), &[], &mut |record| {
                numbers.push(u64::from_ne_bytes(record.try_into().expect("8 bytes")));
                true
            })
            .expect("poll");
        if polled.records == 0 && (numbers.len() >= count || Instant::now() >= end) {
            return numbers;
        }
    }
}
