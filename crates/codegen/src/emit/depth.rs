//! How deep the stack gets over calls of functions.

use super::frame::MAX_STACK;
use super::{EmitError, EmitErrorKind};
use crate::ir::{FuncId, Module, Op};
use beetrace_object::SourceSpan;

/// The most functions that may be active at once (`MAX_CALL_FRAMES`).
const MAX_FRAMES: usize = 8;

/// The functions that each function calls or passes on as callbacks, with the place. The kernel counts both alike.
pub(crate) fn callees(module: &Module) -> Vec<Vec<(FuncId, SourceSpan)>> {
    module
        .functions
        .iter()
        .map(|function| {
            let insts = function.blocks.iter().flat_map(|b| &b.insts);
            insts
                .filter_map(|inst| match inst.op {
                    Op::CallLocal { function, .. } | Op::FuncRef(function) => {
                        Some((function, inst.span))
                    }
                    _ => None,
                })
                .collect()
        })
        .collect()
}

/// Which functions the entry reaches.
pub(crate) fn reached(callees: &[Vec<(FuncId, SourceSpan)>]) -> Vec<bool> {
    let mut reached = vec![false; callees.len()];
    let mut work = vec![0usize];
    reached[0] = true;
    while let Some(at) = work.pop() {
        for &(callee, _) in &callees[at] {
            let callee = callee.0 as usize;
            if !std::mem::replace(&mut reached[callee], true) {
                work.push(callee);
            }
        }
    }
    reached
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
