//! What this machine's kernel can do, as the compiler asks for it.

use std::os::linux::fs::MetadataExt;

use beetrace_codegen::Target;
use beetrace_probes::World;
use beetrace_probes::live::FeatureProbe;
use beetrace_probes::world::Feature;

use crate::args::Args;

/// The inode of the first pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Answers the compiler's and the probes' questions.
pub fn feature_probe() -> FeatureProbe {
    Box::new(|feature| !matches!(feature, Feature::KprobeMulti | Feature::KprobeSession))
}

pub fn probe(args: &Args, world: &dyn World) -> Target {
    Target {
        initial_pid_namespace: pid_namespace().0 == INITIAL_PID_NAMESPACE,
        report_failures: args.helper_errors,
        cpus: world.possible_cpus(),
        ..Target::default()
    }
}

/// Inode and device of this process's pid namespace; zero where `/proc` does not tell.
pub fn pid_namespace() -> (u64, u64) {
    std::fs::metadata("/proc/self/ns/pid").map_or((0, 0), |m| (m.st_ino(), m.st_dev()))
}
