//! Tests of the back end: random programs, interpreted as IR and as bytecode and run by the kernel, and the code of small ones.

mod bpf;
mod code;
mod generate;
mod interpret;
mod kernel;
mod random;

use beetrace_codegen::Target;

/// What helpers do in both interpreters, and what a run left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Calls with effects, with the arguments that are numbers.
    pub(crate) calls: Vec<(u32, Vec<u64>)>,
}

impl Trace {
    /// Runs a helper: its result depends on its arguments and, unless it is pure, on the calls with effects so far.
    pub(crate) fn call(&mut self, helper: u32, args: &[u64]) -> u64 {
        let mut hash = u64::from(helper).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for &arg in args {
            hash = (hash ^ arg)
                .wrapping_mul(0x2545_f491_4f6c_dd1d)
                .rotate_left(23);
        }
        match helper {
            PURE => hash,
            READS => hash ^ self.calls.len() as u64,
            _ => {
                self.calls.push((helper, args.to_vec()));
                hash ^ self.calls.len() as u64
            }
        }
    }
}

/// `bpf_get_current_pid_tgid`
pub(crate) const PURE: u32 = 14;
/// `bpf_ktime_get_ns`
pub(crate) const READS: u32 = 5;
/// `bpf_jiffies64`
pub(crate) const WRITES: u32 = 118;

/// Bytes of the context that programs get, all zero. Programs fill all but the first eight themselves.
pub(crate) const CONTEXT: usize = 96;

pub(crate) fn target(isa_v4: bool) -> Target {
    Target {
        isa_v4,
        ..Target::default()
    }
}
