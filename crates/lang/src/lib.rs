//! The bpftrace language: from text to a typed program.

pub mod ast;
pub mod diagnostic;
pub mod expanded;
pub mod options;
pub mod span;
pub mod structs;
pub mod typed;
pub mod types;
