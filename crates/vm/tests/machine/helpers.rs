//! Helper families that no other test calls.

use beetrace_vm::maps::{Map, MapFlags, MapSpec, MapType};
use beetrace_vm::{Errno, Run};

use crate::scene::{Scene, is, map, result, ways};

#[test]
fn text_becomes_numbers() {
    let text = "
        r1 = 0x3332312d ll
        *(u64 *)(r10 - 8) = r1
        *(u64 *)(r10 - 16) = 0
        r1 = r10
        r1 += -8
        r2 = 8
        r3 = 0
        r4 = r10
        r4 += -16
        call bpf_strtol
        r1 = *(u64 *)(r10 - 16)
        r1 *= -1000
        r0 += r1
        exit";
    assert_eq!(result(text, &[]), 123_004, "-123, four bytes");
}

#[test]
fn numbers_become_text() {
    let format = map(MapType::Array, 4, 16, 1);
    assert_eq!(format.set(&[0; 4], b"<%d:%x>\0\0\0\0\0\0\0\0\0", 0), Ok(()));
    let text = "
        *(u64 *)(r10 - 16) = 12
        *(u64 *)(r10 - 8) = 255
        r1 = r10
        r1 += -24
        r2 = 8
        r3 = map[0][0]+0 ll
        r4 = r10
        r4 += -16
        r5 = 16
        call bpf_snprintf
        r6 = r0
        r0 = *(u64 *)(r10 - 24)
        r0 += r6
        exit";
    let printed = u64::from_le_bytes(*b"<12:ff>\0");
    assert_eq!(result(text, &[format]), printed + 8);
}

#[test]
fn strings_are_compared_to_their_end() {
    let constant = map(MapType::Array, 4, 8, 1);
    assert_eq!(constant.set(&[0; 4], b"abc\0\0\0\0\0", 0), Ok(()));
    let text = |last: u8| {
        format!(
            "r1 = {} ll
            *(u64 *)(r10 - 8) = r1
            r1 = r10
            r1 += -8
            r2 = 8
            r3 = map[0][0]+0 ll
            call bpf_strncmp
            exit",
            u64::from_le_bytes([b'a', b'b', last, 0, b'x', 0, 0, 0])
        )
    };
    let maps = [constant];
    assert_eq!(result(&text(b'c'), &maps), 0);
    assert!((result(&text(b'd'), &maps) as i64) > 0);
    assert!((result(&text(b'b'), &maps) as i64) < 0);
}

#[test]
fn queues_are_filled_and_emptied() {
    let text = "
        *(u64 *)(r10 - 8) = 5
        r1 = map[0] ll
        r2 = r10
        r2 += -8
        r3 = 0
        call bpf_map_push_elem
        *(u64 *)(r10 - 8) = 6
        r1 = map[0] ll
        r2 = r10
        r2 += -8
        r3 = 0
        call bpf_map_push_elem
        r1 = map[0] ll
        r2 = r10
        r2 += -16
        call bpf_map_peek_elem
        r1 = map[0] ll
        r2 = r10
        r2 += -24
        call bpf_map_pop_elem
        r1 = map[0] ll
        r2 = r10
        r2 += -32
        call bpf_map_pop_elem
        r1 = map[0] ll
        r2 = r10
        r2 += -40
        call bpf_map_pop_elem
        r1 = *(u64 *)(r10 - 16)
        r1 *= 100
        r2 = *(u64 *)(r10 - 24)
        r2 *= 10
        r1 += r2
        r2 = *(u64 *)(r10 - 32)
        r1 += r2
        r1 *= 10
        r1 -= r0
        r0 = r1
        exit";
    let queue = map(MapType::Queue, 0, 8, 4);
    assert_eq!(
        result(text, &[queue]),
        5562,
        "peek 5, pop 5 and 6, then ENOENT"
    );
    let stack = map(MapType::Stack, 0, 8, 4);
    assert_eq!(result(text, &[stack]), 6652);
}

#[test]
fn dynptrs_reach_their_memory_only() {
    let ring = map(MapType::RingBuf, 0, 0, 4096);
    let text = "
        r1 = map[0] ll
        r2 = 16
        r3 = 0
        r4 = r10
        r4 += -16
        call bpf_ringbuf_reserve_dynptr
        r6 = r0
        *(u64 *)(r10 - 24) = 7
        r1 = r10
        r1 += -16
        r2 = 8
        r3 = r10
        r3 += -24
        r4 = 8
        r5 = 0
        call bpf_dynptr_write
        r6 += r0
        r1 = r10
        r1 += -16
        r2 = 12
        r3 = r10
        r3 += -24
        r4 = 8
        r5 = 0
        call bpf_dynptr_write
        r7 = r0
        r1 = r10
        r1 += -16
        r2 = 0
        r3 = 8
        call bpf_dynptr_data
        if r0 == 0 goto out
        *(u64 *)(r0 + 0) = 3
    out:
        r1 = r10
        r1 += -16
        r2 = 0
        call bpf_ringbuf_submit_dynptr
        r0 = r7
        r0 += r6
        exit";
    assert!(is(result(text, std::slice::from_ref(&ring)), Errno(7)));
    let mut records = Vec::new();
    ring.ring().expect("a ring").drain(&mut |record| {
        records.push(record.to_vec());
        true
    });
    assert_eq!(records.len(), 3);
    let expected = [3u64.to_ne_bytes(), 7u64.to_ne_bytes()].concat();
    assert!(records.iter().all(|r| *r == expected), "{records:?}");
}

#[test]
fn the_probe_is_known() {
    let text = "
        r2 = 1
        r3 = r10
        r3 += -8
        call bpf_get_func_arg
        r6 = *(u64 *)(r10 - 8)
        call bpf_get_func_arg_cnt
        r6 += r0
        call bpf_get_attach_cookie
        r0 += r6
        exit";
    assert_eq!(result(text, &[]), 20 + 2 + 99);
    let none = "r2 = 2\n r3 = r10\n r3 += -8\n call bpf_get_func_arg\n exit";
    assert!(is(result(none, &[]), Errno::INVAL));
}

#[test]
fn perf_records_are_of_a_processor() {
    let events = map(MapType::PerfEventArray, 4, 4, 2);
    let text = "
        *(u64 *)(r10 - 8) = 4
        r2 = map[0] ll
        w3 = -1
        r4 = r10
        r4 += -8
        r5 = 8
        call bpf_perf_event_output
        exit";
    assert_eq!(result(text, std::slice::from_ref(&events)), 0);
    let mut records = Vec::new();
    events.perf().expect("events").drain(&mut |cpu, record| {
        records.push((cpu, record.to_vec()));
        true
    });
    assert_eq!(records, vec![(1, 4u64.to_ne_bytes().to_vec()); 3]);
}

#[test]
fn tasks_have_storage() {
    let mut spec = MapSpec::new(MapType::TaskStorage, 4, 8, 0);
    spec.flags = MapFlags::NO_PREALLOC;
    let storage = Map::new(spec, 1).expect("made");
    let text = "
        call bpf_get_current_task_btf
        r1 = map[0] ll
        r2 = r0
        r3 = 0
        r4 = 1
        call bpf_task_storage_get
        if r0 == 0 goto out
        r1 = *(u64 *)(r0 + 0)
        r1 += 1
        *(u64 *)(r0 + 0) = r1
        r0 = r1
    out: exit";
    let scene = Scene::default();
    for (program, expected) in ways(text, std::slice::from_ref(&storage)).iter().zip(1..) {
        assert_eq!(program.run(&mut Run::new(&scene), &mut []), Ok(expected));
    }
    assert_eq!(
        storage.get(&8u32.to_ne_bytes()),
        Some(3u64.to_ne_bytes().to_vec())
    );
    assert_eq!(storage.remove(&8u32.to_ne_bytes()), Ok(()));
    assert_eq!(storage.get(&8u32.to_ne_bytes()), None);
}

#[test]
fn sums_and_locks() {
    let sum = "
        *(u32 *)(r10 - 4) = 0x00010002
        r1 = 0
        r2 = 0
        r3 = r10
        r3 += -4
        r4 = 4
        r5 = 0
        call bpf_csum_diff
        exit";
    assert_eq!(result(sum, &[]), 3);
    let value = map(MapType::Array, 4, 16, 1);
    let lock = "
        r6 = map[0][0]+0 ll
        r1 = r6
        call bpf_spin_lock
        r7 = *(u32 *)(r6 + 0)
        r1 = r6
        call bpf_spin_unlock
        r0 = *(u32 *)(r6 + 0)
        r0 += r7
        exit";
    assert_eq!(result(lock, &[value]), 1, "held, then free");
}

#[test]
fn packets_are_big_endian_and_end_the_program_behind_their_end() {
    let scene = Scene::default();
    let text = |offset: u32| format!("r0 = *(u16 *)skb[{offset}]\n r0 += 1\n exit");
    for (offset, expected) in [(1, 0x0204), (2, 0)] {
        for program in ways(&text(offset), &[]) {
            let mut run = Run::new(&scene);
            run.set_packet(&[1, 2, 3]);
            assert_eq!(program.run(&mut run, &mut []), Ok(expected));
        }
    }
}
