//! Which registers are live where.

use crate::bits::BitSet;
use crate::emit::mir::{Label, MBlock, MFunc, MInst, VReg};

/// Registers live at the end of each block. What only feeds results that nobody uses is not live.
pub(crate) fn live_out(func: &MFunc) -> Vec<BitSet> {
    let regs = func.regs as usize;
    let mut out = vec![BitSet::new(regs); func.blocks.len()];
    let mut preds: Vec<Vec<Label>> = vec![Vec::new(); func.blocks.len()];
    for (label, block) in func.blocks.iter().enumerate() {
        for target in block.end.targets() {
            preds[target].push(label);
        }
    }
    let mut queued = BitSet::new(func.blocks.len());
    let mut work: Vec<Label> = (0..func.blocks.len()).collect();
    for &label in &work {
        queued.insert(label);
    }
    while let Some(label) = work.pop() {
        queued.remove(label);
        let mut live = out[label].clone();
        let block = &func.blocks[label];
        step_end(block, &mut live);
        for inst in block.insts.iter().rev() {
            step(inst, &mut live);
        }
        for &pred in &preds[label] {
            if out[pred].union(&live) && queued.insert(pred) {
                work.push(pred);
            }
        }
    }
    out
}

/// Goes back over the end of a block.
pub(crate) fn step_end(block: &MBlock, live: &mut BitSet) {
    block.end.visit(|reg, _| {
        live.insert(reg.index());
    });
}

/// Goes back over an instruction: from what is live after it to what is live before.
pub(crate) fn step(inst: &MInst, live: &mut BitSet) {
    if is_dead(inst, live) {
        return;
    }
    inst.op.visit(|reg, role| {
        if role.writes() && !role.reads() {
            live.remove(reg.index());
        }
    });
    inst.op.visit(|reg, role| {
        if role.reads() {
            live.insert(reg.index());
        }
    });
}

/// Whether the instruction has no purpose when this is live after it.
pub(crate) fn is_dead(inst: &MInst, live: &BitSet) -> bool {
    inst.op.is_pure() && {
        let mut used = false;
        inst.op.visit(|reg: VReg, role| {
            used |= role.writes() && live.contains(reg.index());
        });
        !used
    }
}

/// Drops instructions whose results nobody uses.
pub(crate) fn remove_dead(func: &mut MFunc) {
    let out = live_out(func);
    for (block, mut live) in func.blocks.iter_mut().zip(out) {
        step_end(block, &mut live);
        let mut kept = Vec::with_capacity(block.insts.len());
        for inst in block.insts.drain(..).rev() {
            if !is_dead(&inst, &live) {
                step(&inst, &mut live);
                kept.push(inst);
            }
        }
        kept.reverse();
        block.insts = kept;
    }
}
