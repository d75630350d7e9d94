//! Common subexpressions: what a dominating instruction computed already is not computed again.

use std::collections::HashMap;

use crate::ir::cfg::Cfg;
use crate::ir::{Block, Effect, Function, Inst, Op, Value, Volatility};

/// Replaces instructions by equal ones that dominate them. True where anything changed.
///
/// Constants and addresses that are constants go to the entry, where they serve the whole function: selection makes them where
/// they are used, so that where they stand costs nothing.
pub(crate) fn merge_common(function: &mut Function) -> bool {
    gather_constants(function);
    let cfg = Cfg::new(function);
    let mut seen: HashMap<Op, Vec<(Block, Value)>> = HashMap::new();
    let mut replaced: Vec<Option<Value>> = vec![None; function.values as usize];
    let mut changed = false;
    for &block in &cfg.order {
        let data = &mut function.blocks[block.0 as usize];
        data.insts.retain_mut(|inst| {
            inst.op.map(|v| replaced[v.0 as usize].unwrap_or(v));
            let (Some(result), true) = (inst.result, is_repeatable(&inst.op)) else {
                return true;
            };
            let places = seen.entry(inst.op.clone()).or_default();
            let found = places.iter().find(|(at, _)| cfg.dominates(*at, block));
            match found {
                Some(&(_, value)) => {
                    replaced[result.0 as usize] = Some(value);
                    changed = true;
                    false
                }
                None => {
                    places.push((block, result));
                    true
                }
            }
        });
    }
    for block in &mut function.blocks {
        for inst in &mut block.insts {
            inst.op.map(|v| replaced[v.0 as usize].unwrap_or(v));
        }
        block.end.map(|v| replaced[v.0 as usize].unwrap_or(v));
    }
    changed
}

fn gather_constants(function: &mut Function) {
    let mut gathered: Vec<Inst> = Vec::new();
    for block in &mut function.blocks {
        let mut kept = Vec::with_capacity(block.insts.len());
        for inst in block.insts.drain(..) {
            if is_constant(&inst.op) {
                gathered.push(inst);
            } else {
                kept.push(inst);
            }
        }
        block.insts = kept;
    }
    if let Some(entry) = function.blocks.first_mut() {
        entry.insts.splice(0..0, gathered);
    }
}

fn is_constant(op: &Op) -> bool {
    matches!(
        op,
        Op::Const(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValue { .. }
            | Op::FuncRef(_)
            | Op::KernelSymbol { .. }
    )
}

/// Whether the same operands always give the same result.
fn is_repeatable(op: &Op) -> bool {
    match op {
        Op::Load { volatility, .. } => *volatility == Volatility::Constant,
        Op::Call { effect, .. } => *effect == Effect::Pure,
        Op::Store { .. } | Op::Atomic { .. } | Op::CallKfunc { .. } | Op::CallLocal { .. } => false,
        _ => true,
    }
}
