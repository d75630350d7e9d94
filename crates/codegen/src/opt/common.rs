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

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn pure_calls_and_constant_loads_are_shared() {
        check(
            &[merge_common],
            "block0:
             v1 = call.pure get_current_pid_tgid()
             v2 = load.u64.const v0+8
             v3 = call get_prandom_u32()
             v4 = call.pure get_current_pid_tgid()
             v5 = load.u64.const v0+8
             v6 = add.64 v4, v5
             v7 = add.64 v1, v2
             v8 = xor.64 v6, v7
             ret v8",
            "block0:
             v1 = call.pure get_current_pid_tgid()
             v2 = load.u64.const v0+8
             v3 = call get_prandom_u32()
             v6 = add.64 v1, v2
             v8 = xor.64 v6, v6
             ret v8",
        );
    }

    #[test]
    fn what_may_change_is_read_again() {
        let body = "block0:
             v1 = call.reads ktime_get_ns()
             v2 = load.u64 v0+8
             v3 = call.reads ktime_get_ns()
             v4 = load.u64 v0+8
             v5 = add.64 v1, v2
             v6 = add.64 v3, v4
             v7 = xor.64 v5, v6
             ret v7";
        check(&[merge_common], body, body);
    }

    #[test]
    fn only_what_dominates_serves() {
        check(
            &[merge_common],
            "block0:
             v1 = const 0
             br ne.64 v0, v1, block1, block2
             block1:
             v2 = call.pure get_current_pid_tgid()
             jump block3
             block2:
             jump block3
             block3:
             v3 = call.pure get_current_pid_tgid()
             v4 = const 0
             v5 = call.pure get_current_pid_tgid()
             v6 = add.64 v3, v5
             ret v6",
            "block0:
             v1 = const 0
             br ne.64 v0, v1, block1, block2
             block1:
             v2 = call.pure get_current_pid_tgid()
             jump block3
             block2:
             jump block3
             block3:
             v3 = call.pure get_current_pid_tgid()
             v6 = add.64 v3, v3
             ret v6",
        );
    }
}
