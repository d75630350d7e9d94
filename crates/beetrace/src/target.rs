//! What this machine's kernel can do, as the compiler asks for it.

use std::os::linux::fs::MetadataExt;
use std::rc::Rc;

use beetrace_codegen::Target;
use beetrace_isa::helper;
use beetrace_kernel::{Feature as Kernel, Features};
use beetrace_object::ProgramKind;
use beetrace_probes::World;
use beetrace_probes::live::FeatureProbe;
use beetrace_probes::world::Feature;

use crate::args::Args;

/// The inode of the first pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Answers the questions that resolving probes asks.
pub fn feature_probe(features: Rc<Features>) -> FeatureProbe {
    Box::new(move |feature| match feature {
        Feature::Helper { id, program } => features.has(Kernel::Helper {
            program,
            helper: id,
        }),
        Feature::RingBuf => features.has(Kernel::RingBuffer),
        Feature::UprobeMulti => features.has(Kernel::UprobeMulti),
        Feature::KprobeMulti => features.has(Kernel::KprobeMulti),
        Feature::KprobeSession => features.has(Kernel::KprobeSession),
        Feature::UprobeRefCount => features.has(Kernel::UprobeRefCount),
        Feature::BpfLinkPerfEvent => features.has(Kernel::PerfEventLink),
        Feature::MapBatch => features.has(Kernel::MapBatch),
        // Answered from BTF by whoever has it at hand.
        Feature::Kfunc(_) => false,
    })
}

/// What the code may use.
pub fn probe(args: &Args, features: &Features, world: &dyn World) -> Target {
    // Every helper asked for here is there in all kinds of programs, or in none.
    let has = |helper| {
        features.has(Kernel::Helper {
            program: ProgramKind::Kprobe as u32,
            helper,
        })
    };
    let current_task_btf = has(helper::GET_CURRENT_TASK_BTF);
    Target {
        isa_v4: features.has(Kernel::InstructionsV4),
        atomic_fetch: features.has(Kernel::AtomicFetch),
        ring_buffer: features.has(Kernel::RingBuffer),
        bpf_loop: has(helper::LOOP),
        for_each_map_elem: has(helper::FOR_EACH_MAP_ELEM),
        lookup_percpu_elem: has(helper::MAP_LOOKUP_PERCPU_ELEM),
        ns_pid_tgid: has(helper::GET_NS_CURRENT_PID_TGID),
        ktime_tai: has(helper::KTIME_GET_TAI_NS),
        current_task_btf,
        direct_btf_loads: current_task_btf,
        initial_pid_namespace: pid_namespace().0 == INITIAL_PID_NAMESPACE,
        report_failures: args.helper_errors,
        clock_map: std::env::var("BPFTRACE_DUMMY_TS_MAP").ok(),
        cpus: world.possible_cpus(),
    }
}

/// Inode and device of this process's pid namespace; zero where `/proc` does not tell.
pub fn pid_namespace() -> (u64, u64) {
    std::fs::metadata("/proc/self/ns/pid").map_or((0, 0), |m| (m.st_ino(), m.st_dev()))
}
