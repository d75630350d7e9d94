//! Iteration, clearing, zeroing.

use crate::common::*;
use beetrace_engine::{Engine, MapId, ProgramId};
use beetrace_kernel::Kernel;
use beetrace_object::{Event, MapKind, ProgramKind};

/// Adds one to `@numbers[i]` for each `i` below `count`.
fn counting(kind: MapKind, count: u32, max_entries: u32) -> Kernel {
    let text = format!(
        "   r6 = 0
        next:
            *(u64 *)(r10 - 8) = r6
            *(u64 *)(r10 - 16) = 1
            r1 = map[0] ll
            r2 = r10
            r2 += -8
            r3 = r10
            r3 += -16
            r4 = 0
            call bpf_map_update_elem
            r6 += 1
            if r6 < {count} goto next
            r0 = 0
            exit"
    );
    let object = object(
        vec![numbers(kind, max_entries)],
        vec![program(
            ProgramKind::RawTracepoint,
            &text,
            vec![Event::Begin],
        )],
    );
    let mut kernel = loaded(&object);
    kernel.run(ProgramId(0), 1).expect("run");
    kernel
}

fn sorted_keys(kernel: &mut Kernel) -> Vec<u64> {
    let mut keys: Vec<u64> = kernel
        .entries(MapId(0))
        .expect("entries")
        .iter()
        .map(|e| u64::from_ne_bytes(e.key.as_slice().try_into().expect("8 bytes")))
        .collect();
    keys.sort_unstable();
    keys
}

/// The sum over all processors of the value of a key.
fn value(kernel: &mut Kernel, key: u64) -> Option<u64> {
    let bytes = kernel
        .lookup(MapId(0), &key.to_ne_bytes())
        .expect("lookup")?;
    Some(
        bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|w| u64::from_ne_bytes(*w))
            .sum(),
    )
}

#[test]
fn hashes_give_all_their_entries() {
    if skipped() {
        return;
    }
    for kind in [
        MapKind::Hash,
        MapKind::PerCpuHash,
        MapKind::LruHash,
        MapKind::LruPerCpuHash,
    ] {
        let mut kernel = counting(kind, 1000, 4096);
        assert_eq!(
            sorted_keys(&mut kernel),
            (0..1000).collect::<Vec<u64>>(),
            "{kind:?}"
        );
        let cpus = if kind.is_per_cpu() { kernel.cpus() } else { 1 };
        let entries = kernel.entries(MapId(0)).expect("entries");
        assert!(entries.iter().all(|e| e.value.len() == 8 * cpus));
        assert_eq!(value(&mut kernel, 999), Some(1));
        assert_eq!(value(&mut kernel, 1000), None);
    }
}

#[test]
fn clearing_takes_keys_and_zeroing_keeps_them() {
    if skipped() {
        return;
    }
    for kind in [MapKind::Hash, MapKind::PerCpuHash] {
        let mut kernel = counting(kind, 500, 512);
        kernel.zero(MapId(0)).expect("zero");
        assert_eq!(sorted_keys(&mut kernel).len(), 500);
        assert_eq!(value(&mut kernel, 17), Some(0));
        kernel.clear(MapId(0)).expect("clear");
        assert_eq!(sorted_keys(&mut kernel), [0_u64; 0]);
        kernel.clear(MapId(0)).expect("clear nothing");
        kernel.zero(MapId(0)).expect("zero nothing");
    }
}

#[test]
fn a_full_map_takes_its_capacity() {
    if skipped() {
        return;
    }
    for kind in [MapKind::Hash, MapKind::PerCpuHash] {
        let mut kernel = counting(kind, 4200, 4096);
        assert_eq!(sorted_keys(&mut kernel).len(), 4096, "{kind:?}");
    }
}

#[test]
fn keys_of_the_wrong_size_are_refused() {
    if skipped() {
        return;
    }
    let mut kernel = counting(MapKind::Hash, 1, 1);
    assert!(kernel.lookup(MapId(0), &[1, 2, 3]).is_err());
}
