//! Abstract interpretation of eBPF bytecode: accepts, or explains.
//!
//! [`verify`] follows every path of a program with what is known about each register and each byte of stack, and
//! gives its verdict before anything runs. The measure is Linux 6.18 with all privileges: what it rejects is
//! rejected here.
//!
//! Invariants:
//! - An accepted program touches only memory that it was given, ends, and gives back what it acquired.
//! - Every number that a run can leave in a register is among those of the register's set at that point.
//! - What needs a kernel (BTF pointers, kernel functions) is refused as unsupported, never accepted.
//! - No input makes this crate panic, and [`Options::instruction_budget`] bounds its work.
//!
//! ```
//! use beetrace_isa::assemble;
//! use beetrace_verifier::{MapDef, Options, ProgramInput, Refusal, map_type, verify};
//!
//! let maps = [MapDef::new("counts", map_type::HASH, 8, 8, 64)];
//! let insns = assemble(
//!     "*(u64 *)(r10 - 8) = 0
//!      r1 = map[0] ll
//!      r2 = r10
//!      r2 += -8
//!      call bpf_map_lookup_elem
//!      r0 = *(u64 *)(r0 + 0)
//!      exit",
//! )?;
//! let input = ProgramInput { insns: &insns, maps: &maps, ..ProgramInput::default() };
//! let Err(Refusal::Rejected(why)) = verify(&input, Options::default()) else {
//!     return Err("accepted".into());
//! };
//! assert!(why.to_string().starts_with("r0 may be null here: a map value is accessed without a check"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alu;
mod arguments;
mod assign;
mod branch;
mod call;
mod code;
mod compare;
mod context;
mod dag;
mod explain;
mod explore;
mod helpers;
mod immediate;
mod iterators;
mod kernel_log;
mod map_rules;
mod memory;
mod object;
mod pointer;
mod program;
mod prune;
mod reject;
mod scalar;
mod special;
mod stack;
mod state;
mod tnum;
mod verify;

pub use kernel_log::{Explanation, explain_kernel_log};
pub use object::Prepared;
pub use program::*;
pub use reject::{Refusal, RejectKind, Rejection, SourceLine, Step, Verified};
pub use scalar::{Bounds, Scalar};
pub use tnum::Tnum;
pub use verify::verify;
