//! Tracepoints and perf events, around this process.

use std::time::Duration;

use crate::common::*;
use beetrace_engine::{Engine, Error, LoadOptions, ProgramId};
use beetrace_kernel::Kernel;
use beetrace_object::{Event, Object, Parameter, Period, ProgramKind, WatchMode};

fn sending(kind: ProgramKind, events: Vec<Event>) -> Object {
    let text = format!("r6 = 5\n{}", send_r6());
    object(vec![records()], vec![program(kind, &text, events)])
}

/// Sends a number from every process: for probes that fire in whatever runs.
fn sending_always(kind: ProgramKind, events: Vec<Event>) -> Object {
    let text = "
            r6 = 5
            *(u64 *)(r10 - 8) = r6
            r1 = map[0] ll
            r2 = r10
            r2 += -8
            r3 = 8
            r4 = 0
            call bpf_ringbuf_output
            r0 = 0
            exit";
    object(vec![records()], vec![program(kind, text, events)])
}

fn tracepoint(category: &str, name: &str) -> Event {
    Event::Tracepoint {
        category: category.into(),
        name: name.into(),
    }
}

fn raw(name: &str) -> Event {
    Event::RawTracepoint {
        name: name.into(),
        btf: None,
    }
}

#[test]
fn a_tracepoint_sees_this_process_until_it_is_detached() {
    if skipped() {
        return;
    }
    let event = tracepoint("syscalls", "sys_enter_getppid");
    let mut kernel = loaded(&sending(ProgramKind::Tracepoint, vec![event]));
    kernel.attach(ProgramId(0), 0).expect("attach");
    for _ in 0..3 {
        std::hint::black_box(std::os::unix::process::parent_id());
    }
    kernel.detach();
    std::hint::black_box(std::os::unix::process::parent_id());
    assert_eq!(received(&mut kernel, 3), [5, 5, 5]);
}

#[test]
fn a_tracepoint_that_is_not_there_is_named() {
    if skipped() {
        return;
    }
    let event = tracepoint("syscalls", "nonsense");
    let mut kernel = loaded(&sending(ProgramKind::Tracepoint, vec![event]));
    let error = kernel.attach(ProgramId(0), 0).expect_err("nonsense");
    assert_eq!(
        error.to_string(),
        "cannot attach probe:0: there is no such tracepoint"
    );
    assert!(matches!(
        kernel.attach(ProgramId(0), 1),
        Err(Error::Io { .. })
    ));
}

#[test]
fn raw_tracepoints_are_attached_by_name() {
    if skipped() {
        return;
    }
    let mut kernel = loaded(&sending(
        ProgramKind::RawTracepoint,
        vec![raw("sys_enter"), raw("nonsense")],
    ));
    let results = kernel.attach_all(&[(ProgramId(0), 1), (ProgramId(0), 0)]);
    let texts: Vec<String> = results
        .iter()
        .map(|r| match r {
            Ok(()) => "attached".into(),
            Err(e) => e.to_string(),
        })
        .collect();
    assert_eq!(
        texts,
        [
            "cannot attach probe:1: Probe does not exist: probe:1",
            "attached"
        ]
    );
    std::hint::black_box(std::os::unix::process::parent_id());
    kernel.detach();
    assert!(!received(&mut kernel, 1).is_empty());
}

#[test]
fn intervals_and_profiles_tick() {
    if skipped() {
        return;
    }
    let events = [
        Event::Interval { nanos: 1_000_000 },
        Event::Profile {
            period: Period::Frequency(999),
        },
        Event::Profile {
            period: Period::Nanos(1_000_000),
        },
        Event::Software {
            event: 0,
            count: 1_000_000,
        },
    ];
    for event in events {
        let text = format!("{event:?}");
        let mut kernel = loaded(&sending_always(ProgramKind::PerfEvent, vec![event]));
        kernel.attach(ProgramId(0), 0).expect("attach");
        let numbers = received(&mut kernel, 3);
        assert!(numbers.len() >= 3, "{text}: {numbers:?}");
    }
}

#[test]
fn hardware_counts_or_says_that_there_is_no_pmu() {
    if skipped() {
        return;
    }
    let event = Event::Hardware {
        event: 0,
        cache: false,
        count: 1_000_000,
    };
    let mut kernel = loaded(&sending_always(ProgramKind::PerfEvent, vec![event]));
    if let Err(error) = kernel.attach(ProgramId(0), 0) {
        assert!(error.to_string().contains("no hardware PMU"), "{error}");
    }
}

static WATCHED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

#[test]
fn a_watchpoint_sees_writes_until_it_is_taken_away() {
    if skipped() {
        return;
    }
    let address = std::ptr::from_ref(&WATCHED) as u64;
    let event = Event::Watchpoint {
        address,
        len: 8,
        mode: WatchMode {
            write: true,
            ..WatchMode::default()
        },
    };
    let mut kernel = Kernel::new();
    let options = LoadOptions {
        parameters: vec![(Parameter::TargetPid, std::process::id().into())],
        ..LoadOptions::default()
    };
    kernel
        .load(&sending(ProgramKind::PerfEvent, vec![event]), &options)
        .expect("load");
    match kernel.attach(ProgramId(0), 0) {
        Err(error) if error.to_string().contains("no hardware breakpoints") => {
            eprintln!("skipped: needs hardware breakpoints");
            return;
        }
        result => result.expect("attach"),
    }
    WATCHED.store(1, std::sync::atomic::Ordering::SeqCst);
    let seen = received(&mut kernel, 1).len();
    assert!(seen >= 1);
    kernel.unwatch(address).expect("unwatch");
    WATCHED.store(2, std::sync::atomic::Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(received(&mut kernel, 0), [0_u64; 0]);
}

#[test]
fn probes_that_are_run_cannot_be_attached() {
    if skipped() {
        return;
    }
    let mut kernel = loaded(&sending(ProgramKind::RawTracepoint, vec![Event::Begin]));
    let error = kernel.attach(ProgramId(0), 0).expect_err("begin");
    assert_eq!(
        error.to_string(),
        "attaching `probe:0` is not supported: such a probe is run, not attached"
    );
}
