//! What the kernel can do, and what it says of that.

use std::sync::Arc;

use beetrace_btf::Btf;
use beetrace_isa::helper;
use beetrace_kernel::{Feature, Features, info};
use beetrace_object::ProgramKind;

use crate::common::*;

fn features() -> Features {
    let btf = Btf::from_file("/sys/kernel/btf/vmlinux").ok();
    Features::new(btf.map(Arc::new))
}

#[test]
fn helpers_that_are_and_are_not_there() {
    if skipped() {
        return;
    }
    let features = features();
    let has = |kind: ProgramKind, helper| {
        features.has(Feature::Helper {
            program: kind as u32,
            helper,
        })
    };
    for kind in [
        ProgramKind::Kprobe,
        ProgramKind::Tracepoint,
        ProgramKind::PerfEvent,
        ProgramKind::RawTracepoint,
    ] {
        assert!(has(kind, helper::KTIME_GET_NS), "{kind:?}");
        assert!(has(kind, helper::PERF_EVENT_OUTPUT), "{kind:?}");
        // A helper of socket programs, and one that is none.
        assert!(!has(kind, helper::SKB_STORE_BYTES), "{kind:?}");
        assert!(!has(kind, 9999), "{kind:?}");
    }
    if features.has(Feature::Btf) {
        assert!(has(ProgramKind::Tracing, helper::KTIME_GET_NS));
        assert!(!has(ProgramKind::Tracing, helper::SKB_STORE_BYTES));
    }
}

#[test]
fn answers_agree_with_what_the_tests_do() {
    if skipped() {
        return;
    }
    let features = features();
    // The other tests need both.
    assert!(features.has(Feature::RingBuffer));
    assert!(!features.has(Feature::Iterator("nonsense")));
    assert!(
        features
            .instruction_limit()
            .is_none_or(|limit| limit >= 4096)
    );
    // Once more, from memory.
    assert!(features.has(Feature::RingBuffer));
}

#[test]
fn the_report_has_the_names_that_scripts_look_for() {
    if skipped() {
        return;
    }
    let text: String = info(&features()).iter().map(ToString::to_string).collect();
    for name in [
        "dpath",
        "get_tai_ns",
        "get_func_ip",
        "lookup_percpu_elem",
        "loop",
        "Instruction limit",
        "btf",
        "module btf",
        "kprobe_multi",
        "uprobe_multi",
        "kprobe_session",
        "iter",
    ] {
        assert!(text.contains(&format!("{name}: ")), "{name} in\n{text}");
    }
    eprintln!("{text}");
}
