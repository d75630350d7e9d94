//! Records without a ring buffer.

use beetrace_engine::{Engine, ProgramId};
use beetrace_kernel::Kernel;
use beetrace_object::{Event, MapKind, MapRole, ProgramKind};

use crate::common::*;

#[test]
fn records_come_through_perf_buffers() {
    if skipped() {
        return;
    }
    let text = "
            *(u64 *)(r10 - 8) = 9
            r2 = map[0] ll
            r3 = 0xffffffff ll
            r4 = r10
            r4 += -8
            r5 = 8
            call bpf_perf_event_output
            r0 = 0
            exit";
    let buffer = map(
        "records",
        MapKind::PerfEventArray,
        [4, 4, 0],
        MapRole::Records,
    );
    let mut object = object(
        vec![buffer],
        vec![program(
            ProgramKind::RawTracepoint,
            text,
            vec![Event::Begin],
        )],
    );
    object.config.perf_rb_pages = Some(1);
    // A buffer tells of what it lost with the next record of the same processor.
    stay_here();
    let mut kernel = loaded(&object);
    // Often enough that the buffers wrap.
    for _ in 0..10 {
        kernel.run(ProgramId(0), 50).expect("run");
        assert_eq!(drained(&mut kernel), 50);
    }
    assert_eq!(kernel.losses().expect("losses").records, 0);

    // More than there is room for, without a reader.
    kernel.run(ProgramId(0), 1000).expect("run");
    let kept = drained(&mut kernel);
    kernel.run(ProgramId(0), 1).expect("run");
    assert_eq!(drained(&mut kernel), 1);
    assert_eq!(kept + kernel.losses().expect("losses").records, 1000);
}

fn drained(kernel: &mut Kernel) -> u64 {
    let polled = kernel.poll(None, &[], &mut |record| {
        // The kernel pads samples to eight bytes.
        assert_eq!(record.first_chunk(), Some(&9_u64.to_ne_bytes()));
        true
    });
    polled.expect("poll").records
}

/// Keeps this thread on the processor where it is.
fn stay_here() {
    // SAFETY: a set of processors is plain data, for which zeros are the empty set, and it lives through the calls.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}
