//! From a typed program to bytecode: lowering, IR, optimisation, register allocation, emission.
//!
//! [`compile`] goes the whole way. Its stages are pure functions: lowering makes a module of the [`ir`] of every probe, [`optimise`]
//! improves it, [`emit`](emit()) makes instructions of it. The IR has a text form, which tests read and write.
//!
//! Invariants:
//! - Lowering and every pass leave a module that [`ir::verify`] accepts.
//! - What is emitted means what the module means, with and without optimisation, and the kernel's verifier accepts it where it
//!   accepts the module as it was lowered.
//! - No input makes it panic: what cannot be compiled is a [`CompileError`] with its place in the script.
//!
//! ```
//! use beetrace_codegen::{Target, emit, ir::parse::parse, optimise};
//!
//! let mut module = parse(
//!     "fn \"pid\" entry(v0) {
//!     block0:
//!       v1 = call.pure get_current_pid_tgid()
//!       v2 = const 32
//!       v3 = rsh.64 v1, v2
//!       v4 = ext.u32 v3
//!       ret v4
//!     }",
//! )?;
//! optimise(&mut module);
//! let emitted = emit(&module, &Target::default())?;
//! let expected = "   0: call bpf_get_current_pid_tgid#14\n   1: r0 >>= 32\n   2: exit\n";
//! assert_eq!(beetrace_isa::disassemble(&emitted.insns), expected);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bits;
mod compile;
pub mod emit;
pub mod ir;
mod lower;
pub mod opt;
mod regalloc;
pub mod target;

pub use compile::{CompileError, compile, lower_to_ir};
pub use emit::{EmitError, EmitErrorKind, Emitted, emit};
pub use lower::LowerError;
pub use opt::optimise;
pub use target::Target;
