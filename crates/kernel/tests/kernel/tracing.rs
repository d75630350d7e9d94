//! Programs that are attached by a type of the kernel's BTF.

use std::io::Read;
use std::path::PathBuf;

use beetrace_btf::{Btf, Kind};
use beetrace_engine::{Engine, Error, LoadOptions, ProgramId};
use beetrace_kernel::Kernel;
use beetrace_object::{BtfTarget, Event, IterKind, Object, Parameter, ProgramKind};

use crate::common::*;

/// The type of that name; a skip where this kernel has no BTF or no such type.
fn target(kind: Kind, name: &str) -> Option<BtfTarget> {
    let id = Btf::from_file("/sys/kernel/btf/vmlinux")
        .ok()
        .and_then(|btf| btf.find(kind, name));
    let Some(id) = id else {
        eprintln!("skipped: needs {name} in the kernel's BTF");
        return None;
    };
    Some(BtfTarget {
        module: None,
        type_id: id.0,
    })
}

fn sending(event: Event) -> Object {
    let text = format!("r6 = 5\n{}", send_r6());
    object(
        vec![records()],
        vec![program(ProgramKind::Tracing, &text, vec![event])],
    )
}

#[test]
fn a_raw_tracepoint_by_its_type() {
    let Some(target) = target(Kind::Typedef, "btf_trace_sys_enter") else {
        return;
    };
    if skipped() {
        return;
    }
    let mut kernel = loaded(&sending(Event::RawTracepoint {
        name: "sys_enter".into(),
        btf: Some(target),
    }));
    kernel.attach(ProgramId(0), 0).expect("attach");
    std::hint::black_box(std::os::unix::process::parent_id());
    kernel.detach();
    assert!(!received(&mut kernel, 1).is_empty());
}

#[test]
fn a_function_and_its_return() {
    let Some(target) = target(Kind::Func, "__x64_sys_unlink") else {
        return;
    };
    if skipped() {
        return;
    }
    for is_exit in [false, true] {
        let mut kernel = Kernel::new();
        let object = sending(Event::Fentry {
            function: "__x64_sys_unlink".into(),
            target: target.clone(),
            is_exit,
        });
        let attached = kernel
            .load(&object, &LoadOptions::default())
            .and_then(|()| kernel.attach(ProgramId(0), 0));
        if let Err(error) = attached {
            // A kernel without direct calls from ftrace verifies the program and cannot attach it.
            eprintln!("skipped: needs fentry ({error})");
            return;
        }
        assert!(std::fs::remove_file("/no/such/file").is_err());
        assert_eq!(received(&mut kernel, 1), [5]);
    }
}

/// Writes the eight bytes `task ok\n` for each task.
fn walking(pin: Option<PathBuf>, target: BtfTarget) -> Object {
    let text = format!(
        "   r2 = *(u64 *)(r1 + 8)
            if r2 == 0 goto out
            r6 = *(u64 *)(r1 + 0)
            r1 = {} ll
            *(u64 *)(r10 - 8) = r1
            r1 = *(u64 *)(r6 + 0)
            r2 = r10
            r2 += -8
            r3 = 8
            call bpf_seq_write
        out: r0 = 0
            exit",
        u64::from_ne_bytes(*b"task ok\n")
    );
    let event = Event::Iter {
        kind: IterKind::Task,
        target,
        pin,
    };
    object(
        vec![],
        vec![program(ProgramKind::Tracing, &text, vec![event])],
    )
}

fn read(kernel: &mut Kernel) -> String {
    let mut text = String::new();
    kernel
        .iterator(ProgramId(0))
        .expect("iterator")
        .expect("it is an iterator")
        .read_to_string(&mut text)
        .expect("read");
    text
}

#[test]
fn an_iterator_is_read() {
    let Some(target) = target(Kind::Func, "bpf_iter_task") else {
        return;
    };
    if skipped() {
        return;
    }
    let object = walking(None, target);
    let mut kernel = loaded(&object);
    assert!(kernel.iterator(ProgramId(0)).expect("none yet").is_none());
    kernel.attach(ProgramId(0), 0).expect("attach");
    let all = read(&mut kernel);
    assert!(all.lines().count() > 1);
    assert!(all.lines().all(|line| line == "task ok"), "{all}");
    assert_eq!(read(&mut kernel).lines().next(), Some("task ok"));

    let mut kernel = Kernel::new();
    let options = LoadOptions {
        parameters: vec![(Parameter::TargetPid, std::process::id().into())],
        ..LoadOptions::default()
    };
    kernel.load(&object, &options).expect("load");
    kernel.attach(ProgramId(0), 0).expect("attach");
    let own = read(&mut kernel).lines().count();
    assert!(own >= 1 && own < all.lines().count(), "{own}");
}

#[test]
fn a_pin_needs_its_file_system() {
    let Some(target) = target(Kind::Func, "bpf_iter_task") else {
        return;
    };
    if skipped() {
        return;
    }
    let path = std::env::temp_dir().join(format!("pin-{}", std::process::id()));
    let mut kernel = loaded(&walking(Some(path), target));
    let error = kernel
        .attach(ProgramId(0), 0)
        .expect_err("not a BPF file system");
    let Error::Attach { help, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        help.as_deref(),
        Some("pins live in a BPF file system, usually /sys/fs/bpf")
    );
}
