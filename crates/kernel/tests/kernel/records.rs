//! Loading, running, records.

use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::common::*;
use beetrace_engine::{Engine, Error, LoadOptions, MapId, ProgramId};
use beetrace_kernel::Kernel;
use beetrace_object::{
    Event, Function, Line, Loss, MapKind, MapRole, Parameter, ProgramKind, Signature, SourceSpan,
    SourceText,
};

#[test]
fn a_program_that_is_run_sends_records() {
    if skipped() {
        return;
    }
    for kind in [ProgramKind::RawTracepoint, ProgramKind::Syscall] {
        let text = format!("r6 = 42\n{}", send_r6());
        let object = object(
            vec![records()],
            vec![program(kind, &text, vec![Event::Begin])],
        );
        let mut kernel = loaded(&object);
        let result = kernel.run(ProgramId(0), 3).expect("run");
        assert_eq!(result.value, 0);
        assert!(result.duration > Duration::ZERO);
        assert_eq!(received(&mut kernel, 3), [42, 42, 42], "{kind:?}");
        assert_eq!(received(&mut kernel, 0), [0_u64; 0]);
    }
}

#[test]
fn the_sink_ends_a_round() {
    if skipped() {
        return;
    }
    let text = format!("r6 = 7\n{}", send_r6());
    let object = object(
        vec![records()],
        vec![program(
            ProgramKind::RawTracepoint,
            &text,
            vec![Event::Begin],
        )],
    );
    let mut kernel = loaded(&object);
    kernel.run(ProgramId(0), 3).expect("run");
    let polled = kernel
        .poll(None, &[], &mut |_| false)
        .expect("the first record");
    assert_eq!(polled.records, 1);
    assert_eq!(received(&mut kernel, 2), [7, 7]);
}

#[test]
fn a_ring_goes_round() {
    if skipped() {
        return;
    }
    let text = format!("r6 = 1\n{}", send_r6());
    let mut object = object(
        vec![records()],
        vec![program(
            ProgramKind::RawTracepoint,
            &text,
            vec![Event::Begin],
        )],
    );
    object.config.perf_rb_pages = Some(1);
    let mut kernel = loaded(&object);
    for _ in 0..20 {
        // 100 records of 16 bytes: the page of 4096 wraps every third time.
        kernel.run(ProgramId(0), 100).expect("run");
        assert_eq!(received(&mut kernel, 100), vec![1; 100]);
    }
}

#[test]
fn waiting_ends_with_the_time_or_another_file() {
    if skipped() {
        return;
    }
    let object = object(vec![records()], vec![]);
    let mut kernel = loaded(&object);
    let polled = kernel
        .poll(Some(Duration::from_millis(1)), &[], &mut |_| true)
        .expect("poll");
    assert_eq!((polled.records, polled.other), (0, false));
    let file = std::fs::File::open("/dev/zero").expect("a file");
    let polled = kernel
        .poll(None, &[file.as_raw_fd()], &mut |_| true)
        .expect("poll");
    assert_eq!((polled.records, polled.other), (0, true));
}

#[test]
fn constants_tables_and_parameters_are_there_before_the_run() {
    if skipped() {
        return;
    }
    let maps = vec![
        records(),
        map(
            "constants",
            MapKind::Array,
            [4, 16, 1],
            MapRole::Constants([1_u64.to_ne_bytes(), 20_u64.to_ne_bytes()].concat()),
        ),
        map(
            "parameters",
            MapKind::Array,
            [4, 16, 1],
            MapRole::Parameters(vec![Parameter::ChildPid, Parameter::TargetPid]),
        ),
        map(
            "table",
            MapKind::Array,
            [4, 8, 3],
            MapRole::Table([5_u64, 6, 7].map(u64::to_ne_bytes).concat()),
        ),
    ];
    let text = format!(
        "   r1 = map[1][0]+8 ll
            r6 = *(u64 *)(r1 + 0)
            r1 = map[2][0]+8 ll
            r1 = *(u64 *)(r1 + 0)
            r6 += r1
            *(u32 *)(r10 - 4) = 2
            r1 = map[3] ll
            r2 = r10
            r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto send
            r1 = *(u64 *)(r0 + 0)
            r6 += r1
        send:
            {}",
        send_r6()
    );
    let object = object(
        maps,
        vec![program(
            ProgramKind::RawTracepoint,
            &text,
            vec![Event::Begin],
        )],
    );
    let mut kernel = Kernel::new();
    let options = LoadOptions {
        parameters: vec![(Parameter::TargetPid, 300)],
        ..LoadOptions::default()
    };
    kernel.load(&object, &options).expect("load");
    kernel.run(ProgramId(0), 1).expect("run");
    assert_eq!(received(&mut kernel, 1), [327]);
}

#[test]
fn a_rejection_says_why_and_where() {
    if skipped() {
        return;
    }
    let mut bad = program(
        ProgramKind::RawTracepoint,
        "r1 = 5
         r0 = *(u64 *)(r1 + 0)
         exit",
        vec![Event::Begin],
    );
    let span = |start| SourceSpan {
        source: 0,
        start,
        end: start + 1,
    };
    bad.lines = vec![
        Line {
            insn: 0,
            span: span(3),
        },
        Line {
            insn: 1,
            span: span(9),
        },
    ];
    let error = Kernel::new()
        .load(&object(vec![], vec![bad]), &LoadOptions::default())
        .expect_err("a read through a number");
    let Error::Rejected {
        program,
        reason,
        span: found,
        log,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(program, "probe:0");
    assert!(reason.contains("invalid mem access"), "{reason}");
    assert_eq!(found, Some(span(9)));
    assert!(log.contains("invalid mem access"));
}

#[test]
fn logs_are_kept_on_demand() {
    if skipped() {
        return;
    }
    let object = object(
        vec![],
        vec![program(
            ProgramKind::RawTracepoint,
            "r0 = 0\nexit",
            vec![Event::Begin],
        )],
    );
    let mut kernel = Kernel::new();
    let options = LoadOptions {
        verifier_log: true,
        ..LoadOptions::default()
    };
    kernel.load(&object, &options).expect("load");
    let logs = kernel.verifier_logs();
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].0, "test");
    assert!(logs[0].1.contains("r0 = 0"), "{}", logs[0].1);
}

#[test]
fn losses_are_summed_over_processors() {
    if skipped() {
        return;
    }
    let losses = map("losses", MapKind::PerCpuArray, [4, 24, 1], MapRole::Losses);
    let text = "
            *(u32 *)(r10 - 4) = 0
            r1 = map[0] ll
            r2 = r10
            r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            r1 = 2
            lock *(u64 *)(r0 + 0) += r1
            r1 = 3
            lock *(u64 *)(r0 + 16) += r1
        out: r0 = 0
            exit";
    assert_eq!(Loss::StackFailed as u32, 2);
    let object = object(
        vec![losses],
        vec![program(
            ProgramKind::RawTracepoint,
            text,
            vec![Event::Begin],
        )],
    );
    let mut kernel = loaded(&object);
    kernel.run(ProgramId(0), 5).expect("run");
    let losses = kernel.losses().expect("losses");
    assert_eq!(
        (losses.records, losses.map_updates, losses.stacks),
        (10, 0, 15)
    );
    assert!(kernel.entries(MapId(9)).is_err());
}

#[test]
fn callbacks_are_loaded_with_their_types() {
    if skipped() {
        return;
    }
    // `bpf_loop` needs BTF of its callback; a tracepoint puts a prologue in front, which moves it.
    let text = format!(
        "   r6 = 0
            *(u64 *)(r10 - 8) = 0
            r1 = 7
            r2 = func[callback] ll
            r3 = r10
            r3 += -8
            r4 = 0
            call bpf_loop
            r6 = *(u64 *)(r10 - 8)
            {}
        callback:
            r3 = *(u64 *)(r2 + 0)
            r3 += 2
            *(u64 *)(r2 + 0) = r3
            r0 = 0
            exit",
        send_r6()
    );
    for (kind, event) in [
        (ProgramKind::RawTracepoint, Event::Begin),
        (
            ProgramKind::Tracepoint,
            Event::Tracepoint {
                category: "syscalls".into(),
                name: "sys_enter_getppid".into(),
            },
        ),
    ] {
        let mut program = program(kind, &text, vec![event.clone()]);
        let start = program.insns.len() as u32 - 5;
        program.functions = vec![
            Function {
                name: "main".into(),
                start: 0,
                signature: Signature::Entry,
            },
            Function {
                name: "callback".into(),
                start,
                signature: Signature::LoopCallback,
            },
        ];
        program.lines = vec![Line {
            insn: 0,
            span: SourceSpan::default(),
        }];
        let mut object = object(vec![records()], vec![program]);
        object.sources = vec![SourceText {
            name: "script.bt".into(),
            text: "begin { }\n".into(),
            expanded_from: None,
        }];
        let mut kernel = loaded(&object);
        if event == Event::Begin {
            kernel.run(ProgramId(0), 1).expect("run");
        } else {
            kernel.attach(ProgramId(0), 0).expect("attach");
            std::hint::black_box(std::os::unix::process::parent_id());
        }
        assert_eq!(received(&mut kernel, 1), [14], "{kind:?}");
    }
}

#[test]
fn runs_are_measured_whatever_the_program_calls() {
    if skipped() {
        return;
    }
    // A stack can be asked for where there is one only: not in a program of packets.
    let with_stack = "
            r2 = r10
            r2 += -8
            *(u64 *)(r2 + 0) = 0
            r3 = 8
            r4 = 0
            call bpf_get_stack
            r0 = 3
            exit";
    for text in ["r0 = 3\nexit", with_stack] {
        let object = object(
            vec![],
            vec![program(
                ProgramKind::RawTracepoint,
                text,
                vec![Event::Bench { name: "b".into() }],
            )],
        );
        let mut kernel = loaded(&object);
        for repeat in [1, 1000] {
            let result = kernel.run(ProgramId(0), repeat).expect("run");
            assert_eq!(result.value, 3);
            assert!(result.duration < Duration::from_secs(1));
        }
    }
}
