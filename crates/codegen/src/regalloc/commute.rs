//! Which operand of a sum becomes the result: the one whose register is free for it.

use std::collections::HashSet;

use beetrace_isa::AluOp;

use super::liveness::{live_out, step, step_end};
use crate::emit::mir::{MFunc, MOp, MSrc, VReg};

/// Exchanges the operands of operations that allow it, where the right one dies or is to be overwritten with the result anyway
/// and the left one is not.
pub(crate) fn choose_operands(func: &mut MFunc) {
    let mut joined: HashSet<(VReg, VReg)> = HashSet::new();
    for inst in func.blocks.iter().flat_map(|b| &b.insts) {
        if let MOp::Mov { dst, src } = inst.op {
            joined.insert((dst, src));
        }
    }
    let live = live_out(func);
    for (block, mut live) in func.blocks.iter_mut().zip(live) {
        step_end(block, &mut live);
        for i in (0..block.insts.len()).rev() {
            if let (
                Some(&before),
                MOp::Alu {
                    op,
                    width,
                    dst,
                    src: MSrc::Reg(right),
                },
            ) = (
                i.checked_sub(1).and_then(|i| block.insts.get(i)),
                block.insts[i].op,
            ) && let MOp::Mov {
                dst: copy,
                src: left,
            } = before.op
                && copy == dst
                && left != right
                && right != dst
                && commutes(op)
            {
                // Dying counts more than where the result goes.
                let worth = |r: VReg| {
                    let dies = !live.contains(r.index());
                    (dies, dies && joined.contains(&(r, dst)))
                };
                if worth(right) > worth(left) {
                    block.insts[i - 1].op = MOp::Mov { dst, src: right };
                    block.insts[i].op = MOp::Alu {
                        op,
                        width,
                        dst,
                        src: MSrc::Reg(left),
                    };
                }
            }
            step(&block.insts[i], &mut live);
        }
    }
}

fn commutes(op: AluOp) -> bool {
    matches!(
        op,
        AluOp::Add | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor
    )
}
