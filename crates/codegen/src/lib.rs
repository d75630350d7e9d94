//! From a typed program to bytecode: lowering, IR, optimisation, register allocation, emission.

pub mod ir;
pub mod target;

pub use target::Target;
