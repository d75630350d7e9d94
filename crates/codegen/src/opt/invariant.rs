//! Loop invariants: what gives the same in every round of a loop is computed once, before it.
//!
//! Only what needs no check first is moved: pure calls, arithmetic on numbers, and loads from the context.

use beetrace_object::{Signature, SourceSpan};

use super::facts::Facts;
use crate::ir::cfg::Cfg;
use crate::ir::{
    Block, BlockData, Effect, Function, Inst, Op, Target, Terminator, Value, Volatility,
};

/// Moves invariants out of loops, inner loops first. True where anything changed.
pub(crate) fn hoist_invariants(function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let mut changed = false;
    for blocks in cfg.loops().into_iter().rev() {
        // Nothing comes before the entry.
        if blocks[0] == Block(0) {
            continue;
        }
        changed |= hoist(function, &cfg, &blocks);
    }
    changed
}

/// Moves the invariants of the loop of these blocks, the first of which is its head.
fn hoist(function: &mut Function, cfg: &Cfg, blocks: &[Block]) -> bool {
    let facts = Facts::new(function);
    let mut inside = vec![false; function.values as usize];
    for block in blocks {
        let data = &function.blocks[block.0 as usize];
        let results = data.insts.iter().filter_map(|i| i.result);
        for value in data.params.iter().copied().chain(results) {
            inside[value.0 as usize] = true;
        }
    }
    let mut hoisted: Vec<Inst> = Vec::new();
    // The order of blocks is one in which definitions come before uses.
    let mut in_order: Vec<Block> = cfg.order.clone();
    in_order.retain(|b| blocks.contains(b));
    for block in in_order {
        let mut insts = std::mem::take(&mut function.blocks[block.0 as usize].insts);
        insts.retain(|inst| {
            let mut is_invariant = is_movable(function, &facts, &inst.op);
            inst.op.for_each(|v| is_invariant &= !inside[v.0 as usize]);
            if let (true, Some(result)) = (is_invariant, inst.result) {
                inside[result.0 as usize] = false;
                hoisted.push(inst.clone());
            }
            !is_invariant
        });
        function.blocks[block.0 as usize].insts = insts;
    }
    let changed = !hoisted.is_empty();
    if changed {
        let before = preheader(function, blocks);
        function.blocks[before.0 as usize].insts.extend(hoisted);
    }
    changed
}

fn is_movable(function: &Function, facts: &Facts, op: &Op) -> bool {
    let mut is_number = true;
    op.for_each(|v| is_number &= !facts.may_be_pointer(v));
    match op {
        Op::Call { effect, .. } => *effect == Effect::Pure,
        Op::Load {
            base, volatility, ..
        } => {
            function.signature == Signature::Entry
                && function.params.first() == Some(base)
                && *volatility == Volatility::Constant
        }
        Op::Binary { .. }
        | Op::Neg { .. }
        | Op::Ext { .. }
        | Op::Swap { .. }
        | Op::Compare { .. }
        | Op::Select { .. } => is_number,
        _ => false,
    }
}

/// A block that every way into the loop goes through last, and that goes nowhere else.
fn preheader(function: &mut Function, blocks: &[Block]) -> Block {
    let head = blocks[0];
    let leads_in = |end: &Terminator| end.targets().any(|t| t.block == head);
    let is_outside = |b: usize| !blocks.contains(&Block(b as u32));
    let outside: Vec<usize> = (0..function.blocks.len())
        .filter(|&b| is_outside(b) && leads_in(&function.blocks[b].end))
        .collect();
    if let [only] = outside.as_slice()
        && matches!(function.blocks[*only].end, Terminator::Jump(_))
    {
        return Block(*only as u32);
    }
    let count = function.blocks[head.0 as usize].params.len();
    let params: Vec<Value> = (0..count).map(|_| function.fresh()).collect();
    let new = Block(function.blocks.len() as u32);
    for index in outside {
        for target in function.blocks[index].end.targets_mut() {
            if target.block == head {
                target.block = new;
            }
        }
    }
    function.blocks.push(BlockData {
        params: params.clone(),
        insts: Vec::new(),
        end: Terminator::Jump(Target {
            block: head,
            args: params,
        }),
        end_span: SourceSpan::default(),
    });
    new
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn pure_calls_and_what_depends_on_them_alone_move() {
        check(
            &[hoist_invariants],
            "block0:
             v1 = const 0
             v2 = const 32
             br ne.64 v0, v1, block1(v1), block2(v1)
             block1(v3):
             v4 = call.pure get_current_pid_tgid()
             v5 = rsh.64 v4, v2
             v6 = load.u64.const v0+8
             v7 = load.u64 v0+16
             v8 = add.64 v3, v5
             v9 = xor.64 v8, v6
             br lt.64 v9, v7, block1(v9), block2(v3)
             block2(v10):
             ret v10",
            "block0:
             v1 = const 0
             v2 = const 32
             br ne.64 v0, v1, block3(v1), block2(v1)
             block1(v3):
             v7 = load.u64 v0+16
             v8 = add.64 v3, v5
             v9 = xor.64 v8, v6
             br lt.64 v9, v7, block1(v9), block2(v3)
             block2(v10):
             ret v10
             block3(v11):
             v4 = call.pure get_current_pid_tgid()
             v5 = rsh.64 v4, v2
             v6 = load.u64.const v0+8
             jump block1(v11)",
        );
    }

    #[test]
    fn addresses_and_loads_behind_checks_stay() {
        let text = "block0:
             v1 = const 0
             v2 = call.reads map_lookup_elem(v0, v0)
             jump block1(v1)
             block1(v3):
             br ne.64 v2, v1, block2, block3
             block2:
             v4 = add.64 v2, v0
             v5 = load.u64 v4+0
             v6 = add.64 v3, v5
             jump block1(v6)
             block3:
             ret v1";
        check(&[hoist_invariants], text, text);
    }

    #[test]
    fn a_loop_around_the_entry_keeps_what_it_has() {
        let text = "block0:
             v1 = call.pure get_current_pid_tgid()
             br lt.64 v1, v0, block0, block1
             block1:
             ret v1";
        check(&[hoist_invariants], text, text);
    }
}
