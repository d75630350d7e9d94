//! The shape of the flow of control: blocks that need not be, jumps that may go further, parameters that are always the same.

use super::facts::Facts;
use super::fold;
use crate::ir::cfg::Cfg;
use crate::ir::{Block, Function, Inst, Op, Target, Terminator, Value};

/// Replaces parameters that get one value from everywhere. True where anything changed.
pub(crate) fn remove_same_params(function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let mut changed = false;
    loop {
        let Some((block, index, value)) = same_param(function, &cfg) else {
            return changed;
        };
        changed = true;
        let param = function.blocks[block.0 as usize].params.remove(index);
        for data in &mut function.blocks {
            for target in data.end.targets_mut() {
                if target.block == block {
                    target.args.remove(index);
                }
            }
            let replace = |v| if v == param { value } else { v };
            for inst in &mut data.insts {
                inst.op.map(replace);
            }
            data.end.map(replace);
        }
    }
}

fn same_param(function: &Function, cfg: &Cfg) -> Option<(Block, usize, Value)> {
    let mut incoming: Vec<Vec<&Target>> = vec![Vec::new(); function.blocks.len()];
    for &block in &cfg.order {
        for target in function.blocks[block.0 as usize].end.targets() {
            incoming[target.block.0 as usize].push(target);
        }
    }
    for &block in &cfg.order {
        let params = &function.blocks[block.0 as usize].params;
        for (index, &param) in params.iter().enumerate() {
            let args = incoming[block.0 as usize].iter().map(|t| t.args[index]);
            let mut others = args.filter(|&a| a != param);
            if let Some(first) = others.next()
                && others.all(|a| a == first)
            {
                return Some((block, index, first));
            }
        }
    }
    None
}

/// Appends a block to its only predecessor, where that jumps nowhere else. True where anything changed.
pub(crate) fn merge_blocks(function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let mut preds: Vec<usize> = cfg.preds.iter().map(Vec::len).collect();
    let mut replaced: Vec<Option<Value>> = vec![None; function.values as usize];
    let mut changed = false;
    for &block in &cfg.order {
        loop {
            let data = &function.blocks[block.0 as usize];
            let Terminator::Jump(target) = &data.end else {
                break;
            };
            let next = target.block;
            if preds[next.0 as usize] != 1 || next == block || next.0 == 0 {
                break;
            }
            let args = target.args.clone();
            let next = &mut function.blocks[next.0 as usize];
            let insts = std::mem::take(&mut next.insts);
            let params = std::mem::take(&mut next.params);
            let end = std::mem::replace(&mut next.end, Terminator::Unreachable);
            let span = next.end_span;
            for (param, arg) in params.into_iter().zip(args) {
                replaced[param.0 as usize] = Some(arg);
            }
            let data = &mut function.blocks[block.0 as usize];
            data.insts.extend(insts);
            data.end = end;
            data.end_span = span;
            changed = true;
        }
    }
    if changed {
        // The emptied blocks have no predecessors; what they still name is replaced with the rest.
        preds.clear();
        let resolve = |mut v: Value| {
            while let Some(new) = replaced[v.0 as usize] {
                v = new;
            }
            v
        };
        for block in &mut function.blocks {
            for inst in &mut block.insts {
                inst.op.map(resolve);
            }
            block.end.map(resolve);
        }
    }
    changed
}

/// Lets jumps to blocks that do nothing but decide where to go next go there at once, where they bring what decides.
/// True where anything changed.
pub(crate) fn thread_jumps(function: &mut Function) -> bool {
    let facts = Facts::new(function);
    let deciders: Vec<bool> = (0..function.blocks.len())
        .map(|b| only_decides(function, b))
        .collect();
    let mut changed = false;
    for block in 0..function.blocks.len() {
        let mut end = function.blocks[block].end.clone();
        for target in end.targets_mut() {
            // Blocks that only jump among each other would go on for ever.
            for _ in 0..8 {
                let at = target.block.0 as usize;
                if !deciders[at] || at == block {
                    break;
                }
                let Some(next) = decide(function, &facts, target) else {
                    break;
                };
                if next == *target {
                    break;
                }
                *target = next;
                changed = true;
            }
        }
        function.blocks[block].end = end;
    }
    changed
}

/// Whether a block's instructions only serve its own end, and its values are not used elsewhere.
fn only_decides(function: &Function, index: usize) -> bool {
    let block = &function.blocks[index];
    if index == 0 || block.insts.len() > 3 || matches!(block.end, Terminator::Return(_)) {
        return false;
    }
    let is_simple = |inst: &Inst| matches!(inst.op, Op::Const(_) | Op::Compare { .. });
    if !block.insts.iter().all(is_simple) {
        return false;
    }
    let mut own = block.params.clone();
    own.extend(block.insts.iter().filter_map(|i| i.result));
    let mut escapes = false;
    let mut see = |v: Value| escapes |= own.contains(&v);
    for (other, data) in function.blocks.iter().enumerate() {
        if other == index {
            continue;
        }
        for inst in &data.insts {
            inst.op.for_each(&mut see);
        }
        data.end.for_each(&mut see);
    }
    !escapes
}

/// Where a jump to a deciding block ends up, `None` where that is not known.
fn decide(function: &Function, facts: &Facts, target: &Target) -> Option<Target> {
    let block = &function.blocks[target.block.0 as usize];
    let mut known: Vec<(Value, Option<i64>)> = Vec::new();
    let number = |v: Value, known: &[(Value, Option<i64>)]| {
        let own = known.iter().find(|(name, _)| *name == v);
        own.map_or_else(|| facts.constant(v), |(_, n)| *n)
    };
    for (&param, &arg) in block.params.iter().zip(&target.args) {
        known.push((param, facts.constant(arg)));
    }
    for inst in &block.insts {
        let n = match inst.op {
            Op::Const(n) => Some(n),
            Op::Compare {
                op,
                width,
                left,
                right,
            } => number(left, &known)
                .zip(number(right, &known))
                .map(|(a, b)| i64::from(fold::compare(op, width, a, b))),
            _ => None,
        };
        if let Some(result) = inst.result {
            known.push((result, n));
        }
    }
    let next = match &block.end {
        Terminator::Jump(next) => next,
        Terminator::Branch {
            op,
            width,
            left,
            right,
            then,
            otherwise,
        } => {
            let (a, b) = (number(*left, &known)?, number(*right, &known)?);
            if fold::compare(*op, *width, a, b) {
                then
            } else {
                otherwise
            }
        }
        Terminator::Return(_) | Terminator::Unreachable => return None,
    };
    // What the block passes on must exist before it.
    let args = next.args.iter().map(|&arg| {
        if let Some(i) = block.params.iter().position(|&p| p == arg) {
            return Some(target.args[i]);
        }
        let is_own = block.insts.iter().any(|i| i.result == Some(arg));
        (!is_own).then_some(arg)
    });
    Some(Target {
        block: next.block,
        args: args.collect::<Option<_>>()?,
    })
}

/// Turns a branch whose arms go to one block with different arguments into a choice of arguments.
/// True where anything changed.
pub(crate) fn form_selects(function: &mut Function) -> bool {
    let mut changed = false;
    for index in 0..function.blocks.len() {
        let Terminator::Branch {
            op,
            width,
            left,
            right,
            then,
            otherwise,
        } = function.blocks[index].end.clone()
        else {
            continue;
        };
        let differ = then
            .args
            .iter()
            .zip(&otherwise.args)
            .filter(|(a, b)| a != b)
            .count();
        // Each choice tests again: more than one costs more than two ways.
        if then.block != otherwise.block || differ != 1 {
            continue;
        }
        let span = function.blocks[index].end_span;
        let mut add = |op: Op| {
            let value = Value(function.values);
            function.values += 1;
            function.blocks[index].insts.push(Inst {
                op,
                result: Some(value),
                span,
            });
            value
        };
        let cond = add(Op::Compare {
            op,
            width,
            left,
            right,
        });
        let args = then
            .args
            .iter()
            .zip(&otherwise.args)
            .map(|(&then, &otherwise)| {
                if then == otherwise {
                    return then;
                }
                add(Op::Select {
                    cond,
                    then,
                    otherwise,
                })
            })
            .collect();
        function.blocks[index].end = Terminator::Jump(Target {
            block: then.block,
            args,
        });
        changed = true;
    }
    changed
}
