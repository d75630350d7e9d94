//! eBPF instructions as a typed enum: encode, decode, assemble, disassemble.
//!
//! The instruction set is that of RFC 9669 (version 4, with the legacy packet loads), on a
//! little-endian machine. Nothing here knows what an instruction does at run time beyond
//! what its documentation says: the verifier and the virtual machine are other crates.
//!
//! Invariants:
//! - [`decode`] accepts no slot with a reserved field set, and
//!   `decode(&encode(x)) == x` for every program `x` without reserved combinations.
//! - `assemble(insn.to_string()) == [insn]` for the same instructions.
//! - Jumps and relative calls count 8-byte slots, as in the kernel, not elements of a slice.
//!
//! ```
//! use beetrace_isa::{Insn, Reg, assemble, decode, disassemble, encode};
//!
//! let program = assemble(
//!     "   call bpf_get_current_pid_tgid
//!         r0 s>>= 32
//!         if r0 != 1 goto out
//!         r0 = 0
//!     out: exit",
//! )?;
//! assert_eq!(program[3], Insn::mov(Reg::R0, 0));
//! assert_eq!(decode(&encode(&program))?, program);
//! assert!(disassemble(&program).contains("2: if r0 != 1 goto +1\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asm;
mod decode;
mod encode;
mod helpers;
mod insn;
mod ops;
mod raw;
mod text;

pub use asm::{AsmError, AsmErrorKind, assemble};
pub use decode::{DecodeError, DecodeErrorKind, decode, decode_one};
pub use encode::{encode, encode_one};
pub use helpers::{helper, helper_id, helper_name};
pub use insn::{Imm64, Insn};
pub use ops::{AluOp, AtomicOp, Endian, JmpOp, Reg, Size, Src, Width};
pub use raw::{RawInsn, from_bytes, to_bytes};
pub use text::disassemble;
