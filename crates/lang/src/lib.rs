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
