//! The bpftrace language: from text to a typed program.

pub mod ast;
pub mod check;
pub mod diagnostic;
pub mod dump;
pub mod expand;
pub mod expanded;
pub mod lexer;
pub mod options;
pub mod parser;
pub mod render;
pub mod span;
pub mod stdlib;
pub mod structs;
pub mod suggest;
pub mod typed;
pub mod types;

/// Stack that the compiler's stages need at the most: a tree is as deep as [`parser::MAX_DEPTH`] allows, and each stage walks it
/// by recursion, and macros put trees into trees. Whoever compiles scripts of strangers gives it this much; what is not used costs
/// nothing.
pub const STACK_BYTES: usize = 256 << 20;
