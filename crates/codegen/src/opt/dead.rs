//! Dead code: instructions, parameters and blocks that nothing needs.

use crate::ir::cfg::Cfg;
use crate::ir::{Block, Function, Op, Terminator, Value};

/// Drops instructions and block parameters whose values reach nothing that has an effect. True where anything changed.
pub(crate) fn remove_dead(function: &mut Function) -> bool {
    let live = live_values(function);
    let is_live = |v: &Value| live[v.0 as usize];
    let mut changed = false;
    let kept: Vec<Vec<bool>> = function
        .blocks
        .iter()
        .map(|b| b.params.iter().map(is_live).collect())
        .collect();
    for block in &mut function.blocks {
        let before = (block.insts.len(), block.params.len());
        block
            .insts
            .retain(|i| !i.op.is_droppable() || i.result.as_ref().is_none_or(is_live));
        block.params.retain(is_live);
        changed |= before != (block.insts.len(), block.params.len());
        for target in block.end.targets_mut() {
            let mut keep = kept[target.block.0 as usize].iter();
            target.args.retain(|_| keep.next().copied().unwrap_or(true));
        }
    }
    changed
}

fn live_values(function: &Function) -> Vec<bool> {
    let mut operands: Vec<Vec<Value>> = vec![Vec::new(); function.values as usize];
    let mut live = vec![false; function.values as usize];
    let mut work = Vec::new();
    for block in &function.blocks {
        for inst in &block.insts {
            match inst.result {
                Some(value) if inst.op.is_droppable() => {
                    Op::for_each(&inst.op, |v| operands[value.0 as usize].push(v));
                }
                _ => inst.op.for_each(|v| work.push(v)),
            }
        }
        match &block.end {
            Terminator::Branch { left, right, .. } => work.extend([*left, *right]),
            Terminator::Return(value) => work.push(*value),
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
        for target in block.end.targets() {
            let params = &function.blocks[target.block.0 as usize].params;
            for (param, &arg) in params.iter().zip(&target.args) {
                operands[param.0 as usize].push(arg);
            }
        }
    }
    while let Some(value) = work.pop() {
        let index = value.0 as usize;
        if !std::mem::replace(&mut live[index], true) {
            work.append(&mut operands[index]);
        }
    }
    live
}

/// Drops blocks that control never reaches and numbers the others in reverse postorder.
pub(crate) fn remove_unreached(function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let in_order = cfg.order.iter().enumerate().all(|(i, b)| i as u32 == b.0);
    if in_order && cfg.order.len() == function.blocks.len() {
        return false;
    }
    let mut names = vec![Block(0); function.blocks.len()];
    for (i, block) in cfg.order.iter().enumerate() {
        names[block.0 as usize] = Block(i as u32);
    }
    let mut old: Vec<Option<_>> = function.blocks.drain(..).map(Some).collect();
    for block in &cfg.order {
        if let Some(mut data) = old[block.0 as usize].take() {
            for target in data.end.targets_mut() {
                target.block = names[target.block.0 as usize];
            }
            function.blocks.push(data);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn effects_keep_their_operands_alive() {
        check(
            &[remove_dead],
            "block0:
             v1 = const 1
             v2 = const 2
             v3 = add.64 v2, v2
             v4 = call.reads ktime_get_ns()
             v5 = call send_signal(v1)
             ret v1",
            "block0:
             v1 = const 1
             v5 = call send_signal(v1)
             ret v1",
        );
    }

    #[test]
    fn parameters_that_only_feed_themselves_go() {
        check(
            &[remove_dead],
            "block0:
             v1 = const 1
             jump block1(v1, v1)
             block1(v2, v3):
             v4 = add.64 v2, v1
             v5 = add.64 v3, v1
             br lt.64 v3, v0, block1(v4, v5), block2
             block2:
             ret v1",
            "block0:
             v1 = const 1
             jump block1(v1)
             block1(v3):
             v5 = add.64 v3, v1
             br lt.64 v3, v0, block1(v5), block2
             block2:
             ret v1",
        );
    }

    #[test]
    fn blocks_are_numbered_in_order() {
        check(
            &[remove_unreached],
            "block0:
             jump block2
             block1:
             jump block3
             block2:
             jump block3
             block3:
             ret v0",
            "block0:
             jump block1
             block1:
             jump block2
             block2:
             ret v0",
        );
    }
}
