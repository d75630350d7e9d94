//! The stack frame: where each slot lies below `r10`.
//!
//! Slots that are never in use at the same time share bytes. A slot is in use from the first instruction that touches it on some
//! path to the last that may, where an address in a register touches whatever slot it was made from.

use super::mir::{Addr, Base, MFunc, MOp, MSrc};
use crate::bits::BitSet;
use crate::ir::Slot;
use beetrace_isa::Size;
use beetrace_object::SourceSpan;

/// Bytes of stack that a function may have, and all functions of a chain of calls together (`MAX_BPF_STACK`).
pub(crate) const MAX_STACK: u32 = 512;

/// Offsets from `r10`.
pub(crate) struct Frame {
    offsets: Vec<i32>,
    /// Bytes in use.
    pub(crate) size: u32,
    /// The slot that is farthest from `r10`.
    deepest: Option<Slot>,
}

impl Frame {
    /// Lays out the slots of a function whose registers are allocated.
    pub(crate) fn new(func: &MFunc) -> Frame {
        let conflicts = Analysis::new(func).conflicts();
        let mut order: Vec<usize> = (0..func.slots.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(func.slots[i].size), i));
        // How far below `r10` each slot begins, and how far it reaches up from there.
        let mut placed: Vec<Option<(u32, u32)>> = vec![None; func.slots.len()];
        let (mut size, mut deepest) = (0, None);
        for index in order {
            let Some(conflicts) = &conflicts[index] else {
                continue;
            };
            let slot = &func.slots[index];
            let taken: Vec<(u32, u32)> =
                conflicts.iter().filter_map(|other| placed[other]).collect();
            let depth = lowest(slot.size, slot.align, &taken);
            placed[index] = Some((depth, slot.size));
            if depth > size {
                size = depth;
                deepest = Some(Slot(index as u32));
            }
        }
        let offset = |p: &Option<(u32, u32)>| p.map_or(0, |(depth, _)| -i64::from(depth));
        let offsets = placed
            .iter()
            .map(|p| i32::try_from(offset(p)).unwrap_or(i32::MIN))
            .collect();
        Frame {
            offsets,
            size,
            deepest,
        }
    }

    /// Where the function first names the slot that is farthest from `r10`.
    pub(crate) fn deepest_span(&self, func: &MFunc) -> Option<SourceSpan> {
        let mut insts = func.blocks.iter().flat_map(|b| &b.insts);
        let found = insts.find(|i| i.op.slot().is_some() && i.op.slot() == self.deepest);
        found.map(|i| i.span)
    }

    pub(crate) fn offset(&self, slot: Slot) -> i32 {
        self.offsets[slot.0 as usize]
    }
}

/// The least depth that a slot can begin at without touching those that are taken.
fn lowest(size: u32, align: u32, taken: &[(u32, u32)]) -> u32 {
    let up = |n: u32| n.checked_next_multiple_of(align).unwrap_or(u32::MAX);
    let mut candidates: Vec<u32> = taken
        .iter()
        .map(|&(depth, _)| up(depth.saturating_add(size)))
        .collect();
    candidates.push(up(size));
    candidates.sort_unstable();
    let is_free = |depth: u32| {
        let (low, high) = (depth - size.min(depth), depth);
        taken
            .iter()
            .all(|&(other, bytes)| high <= other - bytes || other <= low)
    };
    candidates
        .into_iter()
        .find(|&depth| is_free(depth))
        .unwrap_or(u32::MAX)
}

/// Which slots the registers may point to, and which slots instructions touch.
struct Analysis<'a> {
    func: &'a MFunc,
    slots: usize,
    /// By block and register: the slots that it may point to at the block's start.
    pointers: Vec<[BitSet; 11]>,
    /// By slot: the slots whose addresses may be stored in it.
    held: Vec<BitSet>,
    /// Slots whose addresses were stored elsewhere: they are always in use.
    escaped: BitSet,
}

impl<'a> Analysis<'a> {
    fn new(func: &'a MFunc) -> Self {
        let slots = func.slots.len();
        let nothing: [BitSet; 11] = std::array::from_fn(|_| BitSet::new(slots));
        let mut analysis = Analysis {
            func,
            slots,
            pointers: vec![nothing; func.blocks.len()],
            held: vec![BitSet::new(slots); slots],
            escaped: BitSet::new(slots),
        };
        let mut changed = true;
        while changed {
            changed = false;
            for (label, block) in func.blocks.iter().enumerate() {
                let mut regs = analysis.pointers[label].clone();
                for inst in &block.insts {
                    changed |= analysis.track(&inst.op, &mut regs);
                }
                for target in block.end.targets() {
                    for (known, new) in analysis.pointers[target].iter_mut().zip(&regs) {
                        changed |= known.union(new);
                    }
                }
            }
        }
        analysis
    }

    /// Goes over an instruction. True where memory came to hold an address that it was not known to hold.
    fn track(&mut self, op: &MOp, regs: &mut [BitSet; 11]) -> bool {
        let mut changed = false;
        match *op {
            MOp::SlotAddr { dst, slot, .. } => {
                regs[dst.index()].clear();
                regs[dst.index()].insert(slot.0 as usize);
            }
            MOp::Mov { dst, src } => regs[dst.index()] = regs[src.index()].clone(),
            MOp::Alu {
                dst,
                src: MSrc::Reg(src),
                ..
            }
            | MOp::MovUnless {
                dst,
                src: MSrc::Reg(src),
                ..
            } => {
                let more = regs[src.index()].clone();
                regs[dst.index()].union(&more);
            }
            MOp::Load { dst, addr, .. } => {
                let mut found = BitSet::new(self.slots);
                for place in self.reached(addr, regs).iter() {
                    found.union(&self.held[place]);
                }
                regs[dst.index()] = found;
            }
            MOp::Store {
                addr,
                src: MSrc::Reg(src),
                ..
            }
            | MOp::Atomic { addr, src, .. } => {
                let value = regs[src.index()].clone();
                if !value.is_empty() {
                    let places = self.reached(addr, regs);
                    for place in places.iter() {
                        changed |= self.held[place].union(&value);
                    }
                    if places.is_empty() {
                        changed |= self.escaped.union(&value);
                    }
                }
            }
            MOp::Call { .. } => regs[..6].iter_mut().for_each(BitSet::clear),
            MOp::Alu { .. }
            | MOp::MovUnless { .. }
            | MOp::Neg { .. }
            | MOp::Swap { .. }
            | MOp::Store { .. } => {}
            MOp::MovImm { dst, .. }
            | MOp::Zext32 { dst, .. }
            | MOp::MovSx { dst, .. }
            | MOp::LdImm64 { dst, .. }
            | MOp::FuncAddr { dst, .. } => regs[dst.index()].clear(),
        }
        changed
    }

    /// The slots that a place in memory may be in.
    fn reached(&self, addr: Addr, regs: &[BitSet; 11]) -> BitSet {
        match addr.base {
            Base::Reg(reg) => regs[reg.index()].clone(),
            Base::Slot(slot) => {
                let mut one = BitSet::new(self.slots);
                one.insert(slot.0 as usize);
                one
            }
        }
    }

    /// The slots that an instruction reads or writes.
    fn touched(&self, op: &MOp, regs: &[BitSet; 11]) -> BitSet {
        match *op {
            MOp::Load { addr, .. } | MOp::Store { addr, .. } | MOp::Atomic { addr, .. } => {
                self.reached(addr, regs)
            }
            MOp::Call { args, .. } => {
                let mut all = BitSet::new(self.slots);
                for given in &regs[1..=usize::from(args)] {
                    all.union(given);
                }
                // What it is given may lead it on.
                loop {
                    let mut more = all.clone();
                    for slot in all.iter() {
                        more.union(&self.held[slot]);
                    }
                    if !all.union(&more) {
                        return all;
                    }
                }
            }
            _ => BitSet::new(self.slots),
        }
    }

    /// The slot that an instruction overwrites whole, so that what was in it before does not matter.
    fn overwritten(&self, op: &MOp) -> Option<Slot> {
        match *op {
            MOp::Store {
                size: Size::B8,
                addr:
                    Addr {
                        base: Base::Slot(slot),
                        off: 0,
                    },
                ..
            } if self.func.slots[slot.0 as usize].size == 8 => Some(slot),
            _ => None,
        }
    }

    /// By slot: the slots that are in use at the same time; `None` for slots that the code does not name.
    fn conflicts(&self) -> Vec<Option<BitSet>> {
        let mut conflicts = vec![BitSet::new(self.slots); self.slots];
        let touched: Vec<Vec<BitSet>> = (0..self.func.blocks.len())
            .map(|label| self.touched_in(label))
            .collect();
        let begun = self.begun(&touched);
        let wanted = self.wanted(&touched);
        for (label, block) in self.func.blocks.iter().enumerate() {
            let mut later = wanted[label].clone();
            let mut so_far = vec![begun[label].clone()];
            for touch in &touched[label] {
                let mut next = so_far[so_far.len() - 1].clone();
                next.union(touch);
                so_far.push(next);
            }
            for (i, inst) in block.insts.iter().enumerate().rev() {
                let mut used: Vec<usize> = later
                    .iter()
                    .filter(|&s| so_far[i + 1].contains(s))
                    .collect();
                used.extend(touched[label][i].iter());
                for &a in &touched[label][i].iter().collect::<Vec<_>>() {
                    for &b in &used {
                        conflicts[a].insert(b);
                        conflicts[b].insert(a);
                    }
                }
                if let Some(slot) = self.overwritten(&inst.op) {
                    later.remove(slot.0 as usize);
                } else {
                    later.union(&touched[label][i]);
                }
            }
        }
        let mut named = BitSet::new(self.slots);
        for inst in self.func.blocks.iter().flat_map(|b| &b.insts) {
            if let Some(slot) = inst.op.slot() {
                named.insert(slot.0 as usize);
            }
        }
        for escaped in self.escaped.iter() {
            for other in named.iter() {
                conflicts[escaped].insert(other);
                conflicts[other].insert(escaped);
            }
        }
        let mut all: Vec<Option<BitSet>> = conflicts.into_iter().map(Some).collect();
        for (index, conflicts) in all.iter_mut().enumerate() {
            if !named.contains(index) {
                *conflicts = None;
            }
        }
        all
    }

    fn touched_in(&self, label: usize) -> Vec<BitSet> {
        let mut regs = self.pointers[label].clone();
        let mut copy = Analysis {
            func: self.func,
            slots: self.slots,
            pointers: Vec::new(),
            held: self.held.clone(),
            escaped: self.escaped.clone(),
        };
        let insts = self.func.blocks[label].insts.iter();
        insts
            .map(|inst| {
                let touched = self.touched(&inst.op, &regs);
                copy.track(&inst.op, &mut regs);
                touched
            })
            .collect()
    }

    /// By block: the slots that may have been touched before it.
    fn begun(&self, touched: &[Vec<BitSet>]) -> Vec<BitSet> {
        let mut begun = vec![BitSet::new(self.slots); self.func.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for (label, block) in self.func.blocks.iter().enumerate() {
                let mut all = begun[label].clone();
                for touch in &touched[label] {
                    all.union(touch);
                }
                for target in block.end.targets() {
                    changed |= begun[target].union(&all);
                }
            }
        }
        begun
    }

    /// By block: the slots whose contents at its end may be touched later.
    fn wanted(&self, touched: &[Vec<BitSet>]) -> Vec<BitSet> {
        let mut wanted = vec![BitSet::new(self.slots); self.func.blocks.len()];
        let mut at_start = wanted.clone();
        let mut changed = true;
        while changed {
            changed = false;
            for (label, block) in self.func.blocks.iter().enumerate().rev() {
                for target in block.end.targets() {
                    let more = at_start[target].clone();
                    wanted[label].union(&more);
                }
                let mut later = wanted[label].clone();
                for (inst, touch) in block.insts.iter().zip(&touched[label]).rev() {
                    match self.overwritten(&inst.op) {
                        Some(slot) => later.remove(slot.0 as usize),
                        None => {
                            later.union(touch);
                        }
                    }
                }
                changed |= at_start[label].union(&later);
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_to_the_first_gap_that_holds_it() {
        assert_eq!(lowest(8, 8, &[]), 8);
        assert_eq!(lowest(8, 8, &[(8, 8)]), 16);
        assert_eq!(lowest(8, 8, &[(8, 8), (24, 8)]), 16);
        assert_eq!(lowest(16, 8, &[(8, 8), (24, 8)]), 40);
        assert_eq!(lowest(4, 4, &[(8, 4)]), 4);
        // Alignment counts from `r10`, which is aligned.
        assert_eq!(lowest(5, 8, &[]), 8);
        assert_eq!(lowest(8, 8, &[(5, 5)]), 16);
    }
}
