//! The flow of control: predecessors, order, dominators, loops.

use super::{Block, Function};

/// Facts about the blocks of one function, good until a terminator changes.
#[derive(Clone, Debug)]
pub struct Cfg {
    /// Blocks from which control comes; one that comes by both arms of a branch is there twice.
    pub preds: Vec<Vec<Block>>,
    /// The blocks that are reached, in reverse postorder: a block comes before what it dominates.
    pub order: Vec<Block>,
    /// Position in `order`; `None` for a block that is never reached.
    position: Vec<Option<u32>>,
    /// By position: the position of the immediate dominator (the entry's is its own).
    idom: Vec<u32>,
    /// By position: when a walk of the dominator tree enters and leaves.
    interval: Vec<(u32, u32)>,
    /// By position: how many loops it is in.
    depth: Vec<u32>,
}

impl Cfg {
    pub fn new(function: &Function) -> Cfg {
        let order = postorder(function);
        let mut position = vec![None; function.blocks.len()];
        for (i, block) in order.iter().enumerate() {
            position[block.0 as usize] = Some(i as u32);
        }
        let mut preds = vec![Vec::new(); function.blocks.len()];
        for &block in &order {
            for target in function.blocks[block.0 as usize].end.targets() {
                preds[target.block.0 as usize].push(block);
            }
        }
        let mut cfg = Cfg {
            preds,
            order,
            position,
            idom: Vec::new(),
            interval: Vec::new(),
            depth: Vec::new(),
        };
        cfg.find_dominators();
        cfg.find_intervals();
        cfg.find_loops();
        cfg
    }

    pub fn is_reached(&self, block: Block) -> bool {
        self.position[block.0 as usize].is_some()
    }

    /// Whether every path to `b` goes through `a`; a block dominates itself. False where either is never reached.
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        match (self.position[a.0 as usize], self.position[b.0 as usize]) {
            (Some(a), Some(b)) => self.dominates_at(a, b),
            _ => false,
        }
    }

    /// The closest block that dominates this one, `None` for the entry and for what is never reached.
    pub fn idom(&self, block: Block) -> Option<Block> {
        let at = self.position[block.0 as usize]?;
        (at != 0).then(|| self.order[self.idom[at as usize] as usize])
    }

    /// How many loops the block is in.
    pub fn depth(&self, block: Block) -> u32 {
        self.position[block.0 as usize].map_or(0, |at| self.depth[at as usize])
    }

    /// The blocks of each loop, with its header first; outer loops come before inner ones.
    pub fn loops(&self) -> Vec<Vec<Block>> {
        let mut all = Vec::new();
        for (at, &header) in self.order.iter().enumerate() {
            let members = self.members(at as u32);
            if !members.is_empty() {
                let mut blocks = vec![header];
                let inner = members.iter().map(|&m| self.order[m as usize]);
                blocks.extend(inner.filter(|&b| b != header));
                all.push(blocks);
            }
        }
        all
    }

    fn dominates_at(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.interval[a as usize], self.interval[b as usize]);
        a.0 <= b.0 && b.1 <= a.1
    }

    /// Cooper, Harvey and Kennedy: "A simple, fast dominance algorithm".
    fn find_dominators(&mut self) {
        let n = self.order.len();
        let mut idom: Vec<Option<u32>> = vec![None; n];
        if let Some(entry) = idom.first_mut() {
            *entry = Some(0);
        }
        let mut changed = true;
        while changed {
            changed = false;
            for at in 1..n {
                let mut new: Option<u32> = None;
                for pred in &self.preds[self.order[at].0 as usize] {
                    let Some(pred) = self.position[pred.0 as usize] else {
                        continue;
                    };
                    if idom[pred as usize].is_none() {
                        continue;
                    }
                    new = Some(new.map_or(pred, |other| common(&idom, pred, other)));
                }
                if idom[at] != new {
                    idom[at] = new;
                    changed = true;
                }
            }
        }
        self.idom = idom.into_iter().map(|d| d.unwrap_or(0)).collect();
    }

    fn find_intervals(&mut self) {
        let n = self.order.len();
        let mut children = vec![Vec::new(); n];
        for at in 1..n {
            children[self.idom[at] as usize].push(at);
        }
        self.interval = vec![(0, 0); n];
        let mut clock = 0;
        let mut stack = vec![(0usize, 0usize)];
        while let Some((at, child)) = stack.pop() {
            if at >= n {
                break;
            }
            if child == 0 {
                self.interval[at].0 = clock;
                clock += 1;
            }
            if let Some(&next) = children[at].get(child) {
                stack.push((at, child + 1));
                stack.push((next, 0));
            } else {
                self.interval[at].1 = clock;
                clock += 1;
            }
        }
    }

    fn find_loops(&mut self) {
        self.depth = vec![0; self.order.len()];
        for at in 0..self.order.len() as u32 {
            for member in self.members(at) {
                self.depth[member as usize] += 1;
            }
        }
    }

    /// Positions of the blocks of the natural loop with this header; empty where it heads none.
    fn members(&self, header: u32) -> Vec<u32> {
        let mut seen = vec![header];
        let mut work = Vec::new();
        let mut is_loop = false;
        let preds = |at: u32| {
            let block = self.order[at as usize];
            self.preds[block.0 as usize]
                .iter()
                .filter_map(|p| self.position[p.0 as usize])
        };
        for pred in preds(header) {
            if self.dominates_at(header, pred) {
                is_loop = true;
                work.push(pred);
            }
        }
        while let Some(at) = work.pop() {
            if !seen.contains(&at) {
                seen.push(at);
                work.extend(preds(at));
            }
        }
        if is_loop { seen } else { Vec::new() }
    }
}

fn common(idom: &[Option<u32>], mut a: u32, mut b: u32) -> u32 {
    while a != b {
        let deeper = if a > b { &mut a } else { &mut b };
        *deeper = idom[*deeper as usize].unwrap_or(0);
    }
    a
}

fn postorder(function: &Function) -> Vec<Block> {
    let mut seen = vec![false; function.blocks.len()];
    let mut order = Vec::new();
    if seen.is_empty() {
        return order;
    }
    seen[0] = true;
    let mut stack = vec![(Block(0), 0usize)];
    while let Some((block, next)) = stack.pop() {
        // The last target first, so that the first one comes first in the reversed order.
        let targets: Vec<Block> = function.blocks[block.0 as usize]
            .end
            .targets()
            .map(|t| t.block)
            .collect();
        match targets.iter().rev().nth(next) {
            Some(&target) => {
                stack.push((block, next + 1));
                if !std::mem::replace(&mut seen[target.0 as usize], true) {
                    stack.push((target, 0));
                }
            }
            None => order.push(block),
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// A loop in a loop, with a way around both, and a block that is never reached.
    fn cfg() -> Cfg {
        let text = "fn \"f\" entry(v0) {
            block0:
              br eq.64 v0, v0, block1, block5
            block1:
              jump block2
            block2:
              br eq.64 v0, v0, block2, block3
            block3:
              br eq.64 v0, v0, block1, block4
            block4:
              jump block5
            block5:
              ret v0
            block6:
              jump block5
            }";
        Cfg::new(&parse(text).expect("IR").functions[0])
    }

    #[test]
    fn dominators() {
        let cfg = cfg();
        let idom = (0..7).map(|b| cfg.idom(Block(b)).map(|d| d.0));
        let expected = [None, Some(0), Some(1), Some(2), Some(3), Some(0), None];
        assert_eq!(idom.collect::<Vec<_>>(), expected);
        assert!(cfg.dominates(Block(1), Block(4)) && cfg.dominates(Block(4), Block(4)));
        assert!(!cfg.dominates(Block(4), Block(5)) && !cfg.dominates(Block(0), Block(6)));
        assert!(!cfg.is_reached(Block(6)));
    }

    #[test]
    fn loops_nest() {
        let cfg = cfg();
        let depths: Vec<u32> = (0..7).map(|b| cfg.depth(Block(b))).collect();
        assert_eq!(depths, [0, 1, 2, 1, 0, 0, 0]);
        let loops = cfg.loops();
        assert_eq!(loops[0], [Block(1), Block(3), Block(2)]);
        assert_eq!(loops[1], [Block(2)]);
    }

    #[test]
    fn predecessors_are_those_that_are_reached() {
        let mut preds = cfg().preds[5].clone();
        preds.sort_unstable();
        assert_eq!(preds, [Block(0), Block(4)]);
    }
}
