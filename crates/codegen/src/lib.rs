//! From a typed program to bytecode: lowering, IR, optimisation, register allocation, emission.

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
