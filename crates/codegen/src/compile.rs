//! The whole way from a typed program to an object.

use beetrace_lang::span::{SourceId, Span};
use beetrace_lang::typed;
use beetrace_object::{Object, Program, SourceSpan};

use crate::emit::{EmitError, EmitErrorKind, Emitted, emit};
use crate::ir::Module;
use crate::lower::{self, LowerError, Room};
use crate::{Target, optimise};

/// Why a checked program cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error(transparent)]
    Lower(#[from] LowerError),
    #[error("in `{program}`: {error}")]
    Emit {
        /// Name of the program.
        program: String,
        error: EmitError,
    },
}

impl CompileError {
    /// Where in the script.
    pub fn span(&self) -> Span {
        match self {
            CompileError::Lower(error) => error.span(),
            CompileError::Emit { error, .. } => {
                let SourceSpan { source, start, end } = error.span;
                Span {
                    source: SourceId(source),
                    start,
                    end,
                }
            }
        }
    }
}

/// Compiles a checked program for a target.
pub fn compile(program: &typed::Program, target: &Target) -> Result<Object, CompileError> {
    match compile_with(program, target, Room::Normal) {
        Err(CompileError::Emit { error, .. }) if is_stack(&error.kind) => {
            // Registers that had to be kept left too little of the stack: the variables make room for them.
            compile_with(program, target, Room::Scarce)
        }
        result => result,
    }
}

fn is_stack(kind: &EmitErrorKind) -> bool {
    matches!(
        kind,
        EmitErrorKind::FrameTooLarge { .. } | EmitErrorKind::StackTooDeep { .. }
    )
}

fn compile_with(
    program: &typed::Program,
    target: &Target,
    room: Room,
) -> Result<Object, CompileError> {
    let lowered = lower::lower(program, target, room)?;
    let mut object = lowered.object;
    for (probe, kind, mut module) in lowered.modules {
        optimise(&mut module);
        let Emitted {
            insns,
            functions,
            lines,
        } = emit(&module, target).map_err(|error| CompileError::Emit {
            program: probe.name.clone(),
            error,
        })?;
        object.programs.push(Program {
            name: probe.name.clone(),
            kind,
            insns,
            functions,
            lines,
            probes: probe.attach.clone(),
        });
    }
    Ok(object)
}

/// The IR of every probe, by its name: as it was lowered, or as the back end gets it.
pub fn lower_to_ir(
    program: &typed::Program,
    target: &Target,
    optimised: bool,
) -> Result<Vec<(String, Module)>, CompileError> {
    let lowered = lower::lower(program, target, Room::Normal)?;
    let modules = lowered.modules.into_iter().map(|(probe, _, mut module)| {
        if optimised {
            optimise(&mut module);
        }
        (probe.name.clone(), module)
    });
    Ok(modules.collect())
}
