//! Programs that use maps, helpers, callbacks and one another.

use std::sync::Arc;

use beetrace_isa::assemble;
use beetrace_vm::maps::{Map, MapSpec, MapType};
use beetrace_vm::{Errno, FaultKind, Program, Run};

use crate::scene::{Scene, is, map, result, ways};

#[test]
fn maps_are_read_and_written() {
    let text = "
        *(u32 *)(r10 - 4) = 5
        *(u64 *)(r10 - 16) = 40
        r1 = map[0] ll
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call bpf_map_update_elem
        r1 = map[0] ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = *(u64 *)(r0 + 0)
        r1 += 2
        *(u64 *)(r0 + 0) = r1
        r0 = r1
    out: exit";
    for kind in [MapType::Hash, MapType::PerCpuHash, MapType::LruHash] {
        let map = map(kind, 4, 8, 4);
        assert_eq!(result(text, std::slice::from_ref(&map)), 42, "{kind:?}");
        let values = map.get(&5u32.to_ne_bytes()).expect("there");
        assert_eq!(values.last_chunk(), Some(&42u64.to_ne_bytes()), "{kind:?}");
    }
    let array = map(MapType::Array, 4, 8, 4);
    assert_eq!(result(text, &[array]), 0, "the index is behind the end");
}

#[test]
fn callbacks_walk_maps() {
    let map = map(MapType::Hash, 4, 8, 16);
    for n in 1..=10u64 {
        assert_eq!(
            map.set(&(n as u32).to_ne_bytes(), &n.to_ne_bytes(), 0),
            Ok(())
        );
    }
    let text = "
        *(u64 *)(r10 - 8) = 0
        r1 = map[0] ll
        r2 = func[add] ll
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_for_each_map_elem
        r1 = *(u64 *)(r10 - 8)
        r1 *= 100
        r0 += r1
        exit
    add:
        r1 = *(u32 *)(r2 + 0)
        r2 = *(u64 *)(r3 + 0)
        r1 += r2
        r2 = *(u64 *)(r4 + 0)
        r2 += r1
        *(u64 *)(r4 + 0) = r2
        r0 = 0
        exit";
    assert_eq!(result(text, &[map]), 2 * 55 * 100 + 10);
}

#[test]
fn loops_end_when_the_callback_says_so() {
    let text = "
        r6 = 3
        *(u64 *)(r10 - 8) = 0
        r1 = 1000
        r2 = func[step] ll
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_loop
        r1 = *(u64 *)(r10 - 8)
        r1 <<= 32
        r0 |= r1
        r0 += r6
        exit
    step:
        r6 = r1
        r1 = *(u64 *)(r2 + 0)
        r1 += r6
        *(u64 *)(r2 + 0) = r1
        r0 = 0
        if r6 < 9 goto out
        r0 = 1
    out: exit";
    assert_eq!(result(text, &[]), 45 << 32 | 13);
}

#[test]
fn tail_calls_replace_the_caller_and_are_counted() {
    let texts = "
        *(u64 *)(r10 - 8) = 1
        r2 = map[0] ll
        r3 = 0
        call bpf_tail_call
        r0 = 77
        exit";
    let empty = map(MapType::ProgArray, 4, 4, 2);
    assert_eq!(result(texts, &[empty]), 77);

    let scene = Scene::default();
    let programs = map(MapType::ProgArray, 4, 4, 2);
    let counter = map(MapType::Array, 4, 8, 1);
    let text = "
        r6 = r1
        r1 = map[1][0]+0 ll
        r2 = *(u64 *)(r1 + 0)
        r2 += 1
        *(u64 *)(r1 + 0) = r2
        r1 = r6
        r2 = map[0] ll
        r3 = 1
        call bpf_tail_call
        r0 = 5
        exit";
    let maps = [programs.clone(), counter.clone()];
    for program in ways(text, &maps) {
        let program = Arc::new(program);
        let array = programs.programs().expect("a program array");
        assert_eq!(array.set(1, program.clone()), Ok(()));
        assert_eq!(counter.set(&[0; 4], &[0; 8], 0), Ok(()));
        assert_eq!(program.run(&mut Run::new(&scene), &mut [1, 2]), Ok(5));
        assert_eq!(counter.get(&[0; 4]), Some(34u64.to_ne_bytes().to_vec()));
        assert_eq!(programs.remove(&1u32.to_ne_bytes()), Ok(()));
    }
}

#[test]
fn memory_is_read_where_it_is() {
    let user = "
        r1 = r10
        r1 += -16
        r2 = 16
        r3 = 0x1000
        call bpf_probe_read_user_str
        r1 = *(u32 *)(r10 - 16)
        r1 <<= 8
        r0 |= r1
        exit";
    let hell = u64::from(u32::from_le_bytes(*b"hell"));
    assert_eq!(result(user, &[]), hell << 8 | 7);
    let own = "
        *(u64 *)(r10 - 8) = 9
        *(u64 *)(r10 - 16) = 1
        r1 = r10
        r1 += -16
        r2 = 8
        r3 = r10
        r3 += -8
        call bpf_probe_read_kernel
        r0 = *(u64 *)(r10 - 16)
        exit";
    assert_eq!(result(own, &[]), 9);
    let missing = "
        *(u64 *)(r10 - 8) = 9
        r1 = r10
        r1 += -8
        r2 = 8
        r3 = 64
        call bpf_probe_read_user
        r1 = *(u64 *)(r10 - 8)
        r0 += r1
        exit";
    assert!(
        is(result(missing, &[]), Errno::FAULT),
        "and the buffer is zero"
    );
}

#[test]
fn the_task_is_known() {
    let text = "
        r1 = r10
        r1 += -16
        r2 = 16
        call bpf_get_current_comm
        call bpf_get_current_pid_tgid
        r6 = r0
        call bpf_get_smp_processor_id
        r6 += r0
        r0 = *(u8 *)(r10 - 11)
        r6 += r0
        r0 = r6
        exit";
    assert_eq!(result(text, &[]), (7 << 32 | 8) + 1 + u64::from(b'r'));
}

#[test]
fn records_reach_the_ring() {
    let ring = map(MapType::RingBuf, 0, 0, 4096);
    let text = "
        r1 = map[0] ll
        r2 = 8
        r3 = 0
        call bpf_ringbuf_reserve
        if r0 == 0 goto out
        r1 = 11
        *(u64 *)(r0 + 0) = r1
        r1 = r0
        r2 = 0
        call bpf_ringbuf_submit
        *(u32 *)(r10 - 4) = 22
        r1 = map[0] ll
        r2 = r10
        r2 += -4
        r3 = 4
        r4 = 0
        call bpf_ringbuf_output
    out: exit";
    assert_eq!(result(text, std::slice::from_ref(&ring)), 0);
    let mut records = Vec::new();
    ring.ring().expect("a ring").drain(&mut |record| {
        records.push(record.to_vec());
        true
    });
    let pair = [11u64.to_ne_bytes().to_vec(), 22u32.to_ne_bytes().to_vec()];
    let thrice: Vec<_> = std::iter::repeat_n(pair, 3).flatten().collect();
    assert_eq!(records, thrice, "once each way");
}

#[test]
fn stacks_get_ids() {
    let stacks = map(MapType::StackTrace, 4, 16, 64);
    let text = "
        r2 = map[0] ll
        r3 = 256
        call bpf_get_stackid
        exit";
    let id = result(text, std::slice::from_ref(&stacks)) as u32;
    let frames = stacks.get(&id.to_ne_bytes()).expect("kept");
    assert_eq!(
        frames,
        [0x10u64.to_ne_bytes(), 0x20u64.to_ne_bytes()].concat()
    );
    let kernel = "r2 = map[0] ll\n r3 = 0\n call bpf_get_stackid\n exit";
    assert!(is(result(kernel, &[stacks]), Errno::OPNOTSUPP));
}

#[test]
fn maps_are_found_in_maps() {
    let inner = map(MapType::Array, 4, 8, 1);
    let spec = MapSpec::new(MapType::ArrayOfMaps, 4, 4, 2);
    let outer = Map::of_maps(spec, &inner).expect("made");
    assert_eq!(
        outer.set_inner(&1u32.to_ne_bytes(), inner.clone(), 0),
        Ok(())
    );
    assert_eq!(inner.set(&[0; 4], &6u64.to_ne_bytes(), 0), Ok(()));
    let text = "
        *(u32 *)(r10 - 4) = 1
        *(u32 *)(r10 - 8) = 0
        r1 = map[0] ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = r0
        r2 = r10
        r2 += -8
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r0 = *(u64 *)(r0 + 0)
    out: exit";
    assert_eq!(result(text, &[outer]), 6);
}

#[test]
fn lines_are_traced() {
    let format = map(MapType::Array, 4, 16, 1);
    assert_eq!(format.set(&[0; 4], b"n=%d s=%s\0\0\0\0\0\0\0", 0), Ok(()));
    let text = "
        r1 = map[0][0]+0 ll
        r2 = 16
        r3 = -4
        r4 = 0x1000
        call bpf_trace_printk
        exit";
    let scene = Scene::default();
    for program in ways(text, &[format]) {
        assert_eq!(program.run(&mut Run::new(&scene), &mut []), Ok(13));
    }
    let lines = scene.trace.lock().expect("not poisoned").clone();
    assert_eq!(lines, ["n=-4 s=hello!"; 3]);
}

/// What stops a program in checked mode.
fn fault(text: &str) -> FaultKind {
    let scene = Scene::default();
    let program = Program::new(&assemble(text).expect("assembles"), &[]).expect("loads");
    let mut run = Run::new(&scene);
    run.set_budget(1000);
    program.run(&mut run, &mut [0; 4]).expect_err("faults").kind
}

#[test]
fn checked_mode_stops_what_is_not_allowed() {
    let access = |text: &str| match fault(text) {
        FaultKind::Access { size, write, .. } => (size, write),
        other => panic!("{other:?}"),
    };
    assert_eq!(access("r0 = *(u64 *)(r1 + 0)\n exit"), (8, false));
    assert_eq!(access("*(u8 *)(r1 + 4) = 1\n exit"), (1, true));
    assert_eq!(access("*(u8 *)(r10 + 0) = 1\n exit"), (1, true));
    assert_eq!(
        access("r2 = 4096\n call bpf_get_current_comm\n exit"),
        (4096, true)
    );
    assert_eq!(fault("goto -1\n exit"), FaultKind::Budget);
    assert_eq!(
        fault("r1 = 5\n call bpf_map_lookup_elem\n exit"),
        FaultKind::Map(5)
    );
    let callback = "r1 = 1\n r2 = 9\n r3 = 0\n r4 = 0\n call bpf_loop\n exit";
    assert_eq!(fault(callback), FaultKind::Function(9));
}
