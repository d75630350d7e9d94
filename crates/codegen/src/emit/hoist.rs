//! Moves on the way of one arm of a branch, made before the branch: the block between needs no jump then.

use super::layout::predecessors;
use super::mir::{Label, MEnd, MFunc, MOp};
use crate::bits::BitSet;
use crate::regalloc::liveness::{live_out, step, step_end};

/// The most moves that the other arm may have to make for nothing.
const MOST: usize = 2;

/// Empties blocks that only set registers which the other arm of the branch does not read.
pub(crate) fn hoist_moves(func: &mut MFunc) {
    let preds = predecessors(func);
    let live = live_in(func);
    for label in 0..func.blocks.len() {
        let MEnd::Branch {
            then, otherwise, ..
        } = func.blocks[label].end
        else {
            continue;
        };
        for (arm, other) in [(then, otherwise), (otherwise, then)] {
            if preds[arm] == 1 && may_hoist(func, label, arm, &live[other]) {
                let insts = std::mem::take(&mut func.blocks[arm].insts);
                func.blocks[label].insts.extend(insts);
                break;
            }
        }
    }
}

fn may_hoist(func: &MFunc, label: Label, arm: Label, live_in_other: &BitSet) -> bool {
    let (block, arm) = (&func.blocks[label], &func.blocks[arm]);
    let fits = arm.insts.len() <= MOST && !arm.insts.is_empty() && arm.depth >= block.depth;
    if !fits || !matches!(arm.end, MEnd::Jump(_)) {
        return false;
    }
    arm.insts.iter().all(|inst| match inst.op {
        MOp::Mov { dst, .. } | MOp::MovImm { dst, .. } => {
            let mut compared = false;
            block.end.visit(|reg, _| compared |= reg == dst);
            !compared && !live_in_other.contains(dst.index())
        }
        _ => false,
    })
}

/// Registers that are live at the start of each block.
fn live_in(func: &MFunc) -> Vec<BitSet> {
    let at_end = live_out(func);
    func.blocks
        .iter()
        .zip(at_end)
        .map(|(block, mut live)| {
            step_end(block, &mut live);
            for inst in block.insts.iter().rev() {
                step(inst, &mut live);
            }
            live
        })
        .collect()
}
