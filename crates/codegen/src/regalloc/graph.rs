//! The interference graph: which registers are live at the same time, and which copies join them.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use beetrace_isa::Reg;

use super::liveness::{live_out, step, step_end};
use crate::bits::BitSet;
use crate::emit::mir::{MFunc, MOp, VReg};

/// Nodes are registers by number. The fixed ones interfere with each other; `r10` takes no part.
pub(crate) struct Graph {
    edges: HashSet<u64, BuildHasherDefault<PairHasher>>,
    /// Neighbours of virtual registers; those of fixed ones are not listed.
    pub(crate) neighbours: Vec<Vec<VReg>>,
    /// Copies as `(dst, src)`.
    pub(crate) moves: Vec<(VReg, VReg)>,
    /// By register: what it costs to keep it in memory, weighed by how deep its uses are in loops.
    pub(crate) cost: Vec<f32>,
}

impl Graph {
    pub(crate) fn build(func: &MFunc) -> Graph {
        let regs = func.regs as usize;
        let mut graph = Graph {
            edges: HashSet::default(),
            neighbours: vec![Vec::new(); regs],
            moves: Vec::new(),
            cost: vec![0.0; regs],
        };
        for (block, mut live) in func.blocks.iter().zip(live_out(func)) {
            let weight = 8f32.powi(block.depth.min(6) as i32);
            step_end(block, &mut live);
            block.end.visit(|reg, _| graph.cost[reg.index()] += weight);
            for inst in block.insts.iter().rev() {
                inst.op.visit(|reg, _| graph.cost[reg.index()] += weight);
                graph.interfere(&inst.op, &live);
                step(inst, &mut live);
            }
        }
        graph
    }

    /// What an instruction writes interferes with what is live after it, except a copy with its source.
    fn interfere(&mut self, op: &MOp, live: &BitSet) {
        let copied = match *op {
            MOp::Mov { dst, src } => {
                self.moves.push((dst, src));
                Some(src)
            }
            _ => None,
        };
        let mut written: Vec<VReg> = Vec::new();
        op.visit(|reg, role| {
            if role.writes() {
                written.push(reg);
            }
        });
        for &reg in &written {
            for other in live.iter() {
                let other = VReg(other as u32);
                if Some(other) != copied {
                    self.add(reg, other);
                }
            }
            for &other in &written {
                self.add(reg, other);
            }
        }
    }

    pub(crate) fn add(&mut self, a: VReg, b: VReg) {
        let frame = VReg::fixed(Reg::FP);
        if a == b || a == frame || b == frame || !self.edges.insert(pair(a, b)) {
            return;
        }
        for (a, b) in [(a, b), (b, a)] {
            if a.is_virtual() {
                self.neighbours[a.index()].push(b);
            }
        }
    }

    pub(crate) fn interferes(&self, a: VReg, b: VReg) -> bool {
        (!a.is_virtual() && !b.is_virtual()) || self.edges.contains(&pair(a, b))
    }
}

fn pair(a: VReg, b: VReg) -> u64 {
    u64::from(a.0.min(b.0)) << 32 | u64::from(a.0.max(b.0))
}

/// Spreads the bits of one number; enough for pairs of small numbers.
#[derive(Default)]
pub(crate) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0.rotate_left(29) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
