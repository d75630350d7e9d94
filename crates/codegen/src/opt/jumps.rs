//! The shape of the flow of control: blocks that need not be, jumps that may go further, parameters that are always the same.

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

#[cfg(test)]
mod tests {
    use super::super::dead::remove_unreached;
    use super::super::testing::check;
    use super::*;

    #[test]
    fn one_value_from_everywhere_needs_no_parameter() {
        check(
            &[remove_same_params],
            "block0:
             v1 = const 0
             jump block1(v1, v1)
             block1(v2, v3):
             v4 = add.64 v3, v0
             br lt.64 v4, v0, block1(v2, v4), block2
             block2:
             ret v2",
            "block0:
             v1 = const 0
             jump block1(v1)
             block1(v3):
             v4 = add.64 v3, v0
             br lt.64 v4, v0, block1(v4), block2
             block2:
             ret v1",
        );
    }

    #[test]
    fn chains_become_one_block() {
        check(
            &[merge_blocks, remove_unreached],
            "block0:
             v1 = const 1
             jump block1(v1)
             block1(v2):
             v3 = add.64 v2, v0
             jump block2(v3, v2)
             block2(v4, v5):
             v6 = add.64 v4, v5
             ret v6",
            "block0:
             v1 = const 1
             v3 = add.64 v1, v0
             v6 = add.64 v3, v1
             ret v6",
        );
    }

    #[test]
    fn two_ways_to_one_block_are_a_choice() {
        check(
            &[form_selects],
            "block0:
             v1 = const 1
             v2 = const 2
             br eq.64 v0, v1, block1(v0, v1), block1(v0, v2)
             block1(v3, v4):
             ret v4",
            "block0:
             v1 = const 1
             v2 = const 2
             v5 = eq.64 v0, v1
             v6 = select v5, v1, v2
             jump block1(v0, v6)
             block1(v3, v4):
             ret v4",
        );
    }
}
