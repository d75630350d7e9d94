//! Register allocation: from virtual registers to the machine's ten, and slots of the stack for what does not fit.
//!
//! After it, a function names machine registers only. A call destroys `r0` to `r5` for the allocator's purposes, so what lives
//! across one ends up in `r6` to `r9` or in a slot of 8 bytes, written and read whole, as the kernel wants for pointers.

mod colour;
mod commute;
mod graph;
pub(crate) mod liveness;
mod spill;

use beetrace_isa::Reg;

use crate::emit::mir::{FIRST_VIRTUAL, MFunc, MOp, VReg};
use colour::{Colouring, colour};
use graph::Graph;
use spill::Spills;

/// How often spilling may be tried. Each try shortens what is live; a handful is usual.
const ROUNDS: usize = 64;

/// Gives every virtual register a machine register. False where the registers do not suffice even so, which no function
/// that selection makes comes to.
pub(crate) fn allocate(func: &mut MFunc) -> bool {
    liveness::remove_dead(func);
    commute::choose_operands(func);
    let mut spills = Spills::default();
    for _ in 0..ROUNDS {
        let mut graph = Graph::build(func);
        for &reg in spills.unspillable() {
            graph.cost[reg.index()] = f32::INFINITY;
        }
        match colour(graph, &present(func)) {
            Colouring::Done(colours) => {
                rewrite(func, &colours);
                return true;
            }
            Colouring::Spill(groups) => {
                for group in groups {
                    spills.spill(func, &group);
                }
                liveness::remove_dead(func);
            }
        }
    }
    false
}

/// Which registers the function names.
fn present(func: &MFunc) -> Vec<bool> {
    let mut present = vec![false; func.regs as usize];
    let mut see = |reg: VReg| present[reg.index()] = true;
    for block in &func.blocks {
        for inst in &block.insts {
            inst.op.visit(|r, _| see(r));
        }
        block.end.visit(|r, _| see(r));
    }
    present
}

fn rewrite(func: &mut MFunc, colours: &[Option<Reg>]) {
    let paint = |reg: &mut VReg| {
        if let Some(colour) = colours[reg.index()] {
            *reg = VReg::fixed(colour);
        }
    };
    for block in &mut func.blocks {
        for inst in &mut block.insts {
            inst.op.visit_mut(|r, _| paint(r));
        }
        block.end.visit_mut(|r, _| paint(r));
        block
            .insts
            .retain(|i| !matches!(i.op, MOp::Mov { dst, src } if dst == src));
    }
    func.regs = FIRST_VIRTUAL;
}
