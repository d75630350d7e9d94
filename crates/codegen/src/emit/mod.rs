//! The back end: from the IR to eBPF instructions.
//!
//! [`emit`] selects instructions over virtual registers, allocates registers, lays out the stack, orders blocks and writes
//! instructions. It works on any module that [`verify`] accepts; how good its code is depends on
//! [`crate::optimise`].

mod depth;
mod extend;
mod frame;
mod hoist;
mod layout;
mod legalise;
pub(crate) mod mir;
mod moves;
mod select;
mod write;

use beetrace_isa::Insn;
use beetrace_object::{Function, Line, SourceSpan};

use crate::Target;
use crate::ir::verify::{VerifyError, verify};
use crate::ir::{self, Module};
use crate::regalloc::allocate;
use frame::{Frame, MAX_STACK};
use mir::{Label, MFunc};
use write::Writer;

/// A module as bytecode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emitted {
    pub insns: Vec<Insn>,
    /// The functions of `insns`, the entry first. Functions that the entry does not reach are left out.
    pub functions: Vec<Function>,
    /// Where lines begin, by rising instruction index. Every function begins a line.
    pub lines: Vec<Line>,
}

/// Why a module cannot be bytecode for the target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct EmitError {
    /// Where in the script.
    pub span: SourceSpan,
    pub kind: EmitErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitErrorKind {
    #[error("too much to keep on the stack: `{function}` needs {bytes} of 512 bytes")]
    FrameTooLarge { function: String, bytes: u32 },
    #[error("too much to keep on the stack: a chain of calls needs {bytes} of 512 bytes")]
    StackTooDeep { bytes: u32 },
    #[error("more than eight functions active at once")]
    TooManyFrames,
    #[error("a function calls itself")]
    Recursion,
    #[error("this kernel has no atomic operation that this needs (Linux 5.12)")]
    NeedsAtomicFetch,
    #[error("the program is too long for this kernel: a jump is farther than 32767 instructions")]
    JumpTooFar,
    #[error("an offset is out of range")]
    Offset,
    #[error("no registers are left")]
    Registers,
    #[error("the compiler made code that breaks its own rules: {0}")]
    Invalid(Box<VerifyError>),
}

/// Turns a module into bytecode for the target.
pub fn emit(module: &Module, target: &Target) -> Result<Emitted, EmitError> {
    verify(module).map_err(|error| EmitError {
        span: error.span,
        kind: EmitErrorKind::Invalid(error),
    })?;
    let module = &legal(module, target);
    let count = module.functions.len();
    let mut compiled: Vec<Option<Compiled>> = (0..count).map(|_| None).collect();
    let mut callees = vec![Vec::new(); count];
    let mut frames = vec![0; count];
    let mut work = vec![0];
    while let Some(index) = work.pop() {
        if compiled[index].is_some() {
            continue;
        }
        let function = compile(&module.functions[index], target)?;
        callees[index] = depth::callees(&function.code, &function.order);
        frames[index] = function.frame.size;
        work.extend(callees[index].iter().map(|(callee, _)| callee.0 as usize));
        compiled[index] = Some(function);
    }
    depth::check(&callees, &frames)?;
    let mut writer = Writer::default();
    let mut functions = Vec::new();
    let mut starts = vec![None; count];
    for (index, function) in compiled.iter().enumerate() {
        let Some(function) = function else {
            continue;
        };
        let start = writer.function(function, target.isa_v4)?;
        starts[index] = Some(start);
        functions.push(Function {
            name: module.functions[index].name.clone(),
            start,
            signature: module.functions[index].signature,
        });
    }
    writer.resolve_calls(&starts);
    Ok(Emitted {
        insns: writer.insns,
        functions,
        lines: writer.lines,
    })
}

/// A function as machine code with registers and stack assigned.
struct Compiled {
    code: MFunc,
    /// The blocks that are written, in this order.
    order: Vec<Label>,
    frame: Frame,
}

fn compile(function: &ir::Function, target: &Target) -> Result<Compiled, EmitError> {
    let mut code = select::select(function, target)?;
    let span = code.blocks[0].end_span;
    if !allocate(&mut code) {
        let kind = EmitErrorKind::Registers;
        return Err(EmitError { span, kind });
    }
    hoist::hoist_moves(&mut code);
    let frame = Frame::new(&code);
    if frame.size > MAX_STACK {
        return Err(EmitError {
            span: frame.deepest_span(&code).unwrap_or(span),
            kind: EmitErrorKind::FrameTooLarge {
                function: function.name.clone(),
                bytes: frame.size,
            },
        });
    }
    let order = layout::arrange(&mut code);
    Ok(Compiled { code, order, frame })
}

/// The module in terms of what the target has.
fn legal(module: &Module, target: &Target) -> Module {
    let mut module = module.clone();
    for function in &mut module.functions {
        if legalise::legalise(function, target) {
            crate::opt::improve(function);
        }
        extend::extend_loads(function, target);
    }
    module
}
