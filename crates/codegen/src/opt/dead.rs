//! Dead code: instructions whose results nobody uses.

use crate::ir::{Function, Op, Value};

/// Drops what may be dropped and has no use, with what only fed it.
pub(crate) fn remove_dead(function: &mut Function) {
    let mut uses = function.use_counts();
    let mut changed = true;
    while changed {
        changed = false;
        for block in function.blocks.iter_mut().rev() {
            let mut kept = Vec::with_capacity(block.insts.len());
            for inst in block.insts.drain(..).rev() {
                let unused = inst.result.is_some_and(|v: Value| uses[v.0 as usize] == 0);
                if unused && inst.op.is_droppable() {
                    let drop_use = |v: Value| uses[v.0 as usize] -= 1;
                    Op::for_each(&inst.op, drop_use);
                    changed = true;
                } else {
                    kept.push(inst);
                }
            }
            kept.reverse();
            block.insts = kept;
        }
    }
}
