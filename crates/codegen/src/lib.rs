//! From a typed program to bytecode: lowering, IR, optimisation, register allocation, emission.

pub mod emit;
pub mod ir;
pub mod opt;
mod regalloc;
pub mod target;

pub use emit::{EmitError, EmitErrorKind, Emitted, emit};
pub use opt::optimise;
pub use target::Target;
