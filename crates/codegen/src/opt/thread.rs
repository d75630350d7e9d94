//! Jumps that know where the block that they lead to will go: they go there at once.

use super::facts::Facts;
use super::fold;
use crate::ir::{Block, Function, Op, Target, Terminator, Value};

/// Lets a jump skip a block that has no effect, where what the jump brings decides how that block ends.
/// True where anything changed.
pub(crate) fn thread_jumps(function: &mut Function) -> bool {
    let facts = Facts::new(function);
    let mut changed = false;
    for block in 0..function.blocks.len() {
        let mut end = function.blocks[block].end.clone();
        for target in end.targets_mut() {
            // Blocks that only jump among each other would go on for ever.
            for _ in 0..8 {
                let skipped = target.block;
                let Some(next) = decide(function, &facts, target) else {
                    break;
                };
                if skipped.0 as usize == block || !may_skip(function, skipped, next.block) {
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

/// Whether control may come to `to` without having been in `skipped`: nothing that it may reach uses what is defined there.
fn may_skip(function: &Function, skipped: Block, to: Block) -> bool {
    let block = &function.blocks[skipped.0 as usize];
    if skipped.0 == 0 || skipped == to {
        return false;
    }
    let mut own = block.params.clone();
    own.extend(block.insts.iter().filter_map(|i| i.result));
    let mut seen = vec![false; function.blocks.len()];
    seen[skipped.0 as usize] = true;
    seen[to.0 as usize] = true;
    let mut work = vec![to];
    while let Some(at) = work.pop() {
        let data = &function.blocks[at.0 as usize];
        let mut uses = false;
        let mut see = |v: Value| uses |= own.contains(&v);
        data.insts.iter().for_each(|i| i.op.for_each(&mut see));
        data.end.for_each(&mut see);
        if uses {
            return false;
        }
        for target in data.end.targets() {
            if !std::mem::replace(&mut seen[target.block.0 as usize], true) {
                work.push(target.block);
            }
        }
    }
    true
}

/// Where a jump to a block goes on from there, `None` where that is not known or the block has effects.
fn decide(function: &Function, facts: &Facts, target: &Target) -> Option<Target> {
    let block = &function.blocks[target.block.0 as usize];
    if !block.insts.iter().all(|i| i.op.is_droppable()) {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::super::dead::remove_unreached;
    use super::super::testing::check;
    use super::*;

    #[test]
    fn a_condition_that_the_way_decides_is_not_tested() {
        check(
            &[thread_jumps, remove_unreached],
            "block0:
             v1 = const 0
             v2 = const 1
             br sgt.64 v0, v2, block1, block2
             block1:
             br slt.64 v0, v1, block3(v2), block3(v0)
             block2:
             jump block3(v1)
             block3(v3):
             v4 = ne.64 v3, v1
             br ne.64 v4, v1, block4, block5
             block4:
             ret v1
             block5:
             ret v2",
            "block0:
             v1 = const 0
             v2 = const 1
             br sgt.64 v0, v2, block1, block4
             block1:
             br slt.64 v0, v1, block3, block2(v0)
             block2(v3):
             v4 = ne.64 v3, v1
             br ne.64 v4, v1, block3, block4
             block3:
             ret v1
             block4:
             ret v2",
        );
    }

    #[test]
    fn a_value_that_is_needed_later_keeps_its_block() {
        let body = "block0:
             v1 = const 0
             br ne.64 v0, v1, block1(v1), block1(v0)
             block1(v2):
             br eq.64 v2, v1, block2, block3
             block2:
             ret v2
             block3:
             ret v1";
        check(&[thread_jumps], body, body);
    }
}
