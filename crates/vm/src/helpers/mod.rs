//! Helper functions, one file a family, with the kernel's numbers and signatures.
//!
//! A helper gets the five argument registers and gives `r0`. Sizes and flags are checked as the kernel does at run
//! time; what the kernel's verifier checks (types, sizes of buffers) is checked in checked mode only.

use crate::run::Run;

mod control;
mod csum;
mod dynptr;
mod each;
mod format;
mod info;
mod maps;
mod memory;
mod numbers;
mod output;
mod stacks;
mod task;
mod text;
mod time;

/// The registers `r1` to `r5`.
type Args = [u64; 5];

/// A helper as both the interpreter and machine code call it.
pub(crate) type Helper = for<'r, 'w> extern "C" fn(&'r mut Run<'w>, u64, u64, u64, u64, u64) -> u64;

/// Writes the function `find` of a family: from a helper's number to its entry.
macro_rules! family {
    ($($id:ident => $function:expr),* $(,)?) => {
        pub(super) fn find(id: u32) -> Option<super::Helper> {
            match id {
                $(beetrace_isa::helper::$id => {
                    extern "C" fn entry(
                        run: &mut crate::run::Run<'_>,
                        a: u64,
                        b: u64,
                        c: u64,
                        d: u64,
                        e: u64,
                    ) -> u64 {
                        let function: fn(&mut crate::run::Run<'_>, super::Args) -> u64 = $function;
                        function(run, [a, b, c, d, e])
                    }
                    Some(entry)
                })*
                _ => None,
            }
        }
    };
}
use family;

/// The helper with this number of the kernel's `enum bpf_func_id`. `bpf_tail_call` is an instruction here.
pub(crate) fn find(id: u32) -> Option<Helper> {
    [
        maps::find,
        memory::find,
        output::find,
        task::find,
        time::find,
        text::find,
        numbers::find,
        stacks::find,
        control::find,
        each::find,
        csum::find,
        dynptr::find,
        info::find,
    ]
    .iter()
    .find_map(|family| family(id))
}

/// Whether a helper with this number can be called.
pub fn is_supported(id: u32) -> bool {
    id == beetrace_isa::helper::TAIL_CALL || find(id).is_some()
}

#[cfg(test)]
mod tests {
    use beetrace_isa::{helper_id, helper_name};

    use super::*;

    #[test]
    fn helpers_are_found_by_number() {
        for name in [
            "map_lookup_elem",
            "ktime_get_ns",
            "ringbuf_output",
            "loop",
            "tail_call",
        ] {
            assert!(helper_id(name).is_some_and(is_supported), "{name}");
        }
        assert!(!is_supported(0));
        assert!(!helper_id("skb_store_bytes").is_some_and(is_supported));
        assert!(helper_name(250).is_none() && !is_supported(250));
    }
}
