//! From a typed program to IR: one module a probe, and the maps and records that they share.
//!
//! Every expression is lowered in the way that its use asks for: [`Lower::scalar`](func::Lower::scalar) gives a value in a register,
//! [`Lower::place`](func::Lower::place) says where the bytes of a composite lie, and [`Lower::store_into`](func::Lower::store_into)
//! builds a value where it is wanted (a map key, the record in the ring buffer) without a copy.

mod action;
mod aggregate;
mod analysis;
mod arith;
mod btf;
mod builtin;
mod cond;
mod func;
mod into;
mod layout;
mod loops;
mod maps;
mod memory;
mod percpu;
mod place;
mod record;
mod room;
mod scalar;
mod ssa;
mod stack;
mod stmt;
mod strings;
mod tables;
mod unit;
mod vars;
mod walk;

use beetrace_lang::span::Span;
use beetrace_lang::typed::{Probe, Program};
use beetrace_object::{Object, ProgramKind, SourceSpan};

use crate::ir::Module;
use crate::target::Target;

pub(crate) use unit::Unit;

/// Why a checked program cannot be compiled for a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// The engine lacks what the script needs.
    #[error("{what} needs {needs}, which this kernel does not have")]
    Unsupported {
        what: &'static str,
        needs: &'static str,
        span: Span,
    },
    #[error("{what} takes {size} bytes; at most {limit} are possible")]
    TooLarge {
        what: &'static str,
        size: u64,
        limit: u64,
        span: Span,
    },
    /// The checker let something through that it must not.
    #[error("the compiler does not understand this expression: {what}")]
    Malformed { what: &'static str, span: Span },
}

impl LowerError {
    pub fn span(&self) -> Span {
        match self {
            LowerError::Unsupported { span, .. }
            | LowerError::TooLarge { span, .. }
            | LowerError::Malformed { span, .. } => *span,
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, LowerError>;

/// A program lowered: an object without its programs' instructions, and each probe's module.
pub(crate) struct Lowered<'p> {
    pub(crate) object: Object,
    pub(crate) modules: Vec<(&'p Probe, ProgramKind, Module)>,
}

/// How much of the 512 bytes of stack values may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Normal,
    /// As little as can be: registers need the stack.
    Scarce,
}

pub(crate) fn lower<'p>(
    program: &'p Program,
    target: &'p Target,
    room: Room,
) -> Result<Lowered<'p>> {
    let mut unit = Unit::new(program, target, room);
    let mut modules = Vec::with_capacity(program.probes.len());
    for (index, probe) in program.probes.iter().enumerate() {
        let module = func::lower_probe(&mut unit, probe, index as u32)?;
        modules.push((probe, program_kind(probe.kind), module));
    }
    Ok(Lowered {
        object: unit.finish(),
        modules,
    })
}

/// Probes that run only when asked are raw tracepoints: `BPF_PROG_TEST_RUN` runs them, and they may call all helpers of tracing.
fn program_kind(kind: ProgramKind) -> ProgramKind {
    match kind {
        ProgramKind::Syscall => ProgramKind::RawTracepoint,
        other => other,
    }
}

pub(crate) fn source_span(span: Span) -> SourceSpan {
    SourceSpan {
        source: span.source.0,
        start: span.start,
        end: span.end,
    }
}
