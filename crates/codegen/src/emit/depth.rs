//! How deep the stack gets over calls of functions.

use super::frame::MAX_STACK;
use super::mir::{Callee, Label, MFunc, MOp};
use super::{EmitError, EmitErrorKind};
use crate::ir::FuncId;
use beetrace_object::SourceSpan;

/// The most functions that may be active at once (`MAX_CALL_FRAMES`).
const MAX_FRAMES: usize = 8;

/// The functions that a function calls or passes on as callbacks, with the place. The kernel counts both alike.
pub(crate) fn callees(func: &MFunc, order: &[Label]) -> Vec<(FuncId, SourceSpan)> {
    let insts = order.iter().flat_map(|&label| &func.blocks[label].insts);
    insts
        .filter_map(|inst| match inst.op {
            MOp::Call {
                callee: Callee::Local(function),
                ..
            }
            | MOp::FuncAddr { function, .. } => Some((function, inst.span)),
            _ => None,
        })
        .collect()
}

/// Checks the sum of frames on every chain of calls as the kernel does (`check_max_stack_depth`): each frame counts with at
/// least one byte, rounded up to 32.
pub(crate) fn check(
    callees: &[Vec<(FuncId, SourceSpan)>],
    frames: &[u32],
) -> Result<(), EmitError> {
    let mut chain = Vec::new();
    walk(0, SourceSpan::default(), 0, callees, frames, &mut chain)
}

fn walk(
    at: usize,
    span: SourceSpan,
    below: u32,
    callees: &[Vec<(FuncId, SourceSpan)>],
    frames: &[u32],
    chain: &mut Vec<usize>,
) -> Result<(), EmitError> {
    let error = |kind| Err(EmitError { span, kind });
    if chain.contains(&at) {
        return error(EmitErrorKind::Recursion);
    }
    if chain.len() >= MAX_FRAMES {
        return error(EmitErrorKind::TooManyFrames);
    }
    let depth = below.saturating_add(frames[at].max(1).next_multiple_of(32));
    if depth > MAX_STACK {
        return error(EmitErrorKind::StackTooDeep { bytes: depth });
    }
    chain.push(at);
    for &(callee, span) in &callees[at] {
        walk(callee.0 as usize, span, depth, callees, frames, chain)?;
    }
    chain.pop();
    Ok(())
}
