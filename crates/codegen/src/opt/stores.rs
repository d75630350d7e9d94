//! Stores to slots that nothing reads.

use crate::bits::BitSet;
use crate::ir::cfg::Cfg;
use crate::ir::{Effect, Function, Inst, Op, Slot, Volatility};

use super::slots::{Exposure, Slots};

/// Drops stores whose bytes are never read, or overwritten first. True where anything changed.
pub(crate) fn remove_dead_stores(function: &mut Function) -> bool {
    if function.slots.is_empty() {
        return false;
    }
    let cfg = Cfg::new(function);
    let bytes = Bytes::new(function);
    let mut at_start = vec![bytes.none(); function.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for &block in cfg.order.iter().rev() {
            let data = &function.blocks[block.0 as usize];
            let mut live = bytes.none();
            for target in data.end.targets() {
                live.union(&at_start[target.block.0 as usize]);
            }
            for inst in data.insts.iter().rev() {
                bytes.step(inst, &mut live);
            }
            changed |= at_start[block.0 as usize].union(&live);
        }
    }
    let mut removed = false;
    for &block in &cfg.order {
        let data = &mut function.blocks[block.0 as usize];
        let mut live = bytes.none();
        for target in data.end.targets() {
            live.union(&at_start[target.block.0 as usize]);
        }
        let mut kept = Vec::with_capacity(data.insts.len());
        for inst in data.insts.drain(..).rev() {
            if bytes.is_dead(&inst, &live) {
                removed = true;
            } else {
                bytes.step(&inst, &mut live);
                kept.push(inst);
            }
        }
        kept.reverse();
        data.insts = kept;
    }
    removed
}

/// Numbers for the bytes of all slots.
struct Bytes {
    slots: Slots,
    /// By slot: its first byte's number, and its size.
    ranges: Vec<(usize, usize)>,
    total: usize,
}

impl Bytes {
    fn new(function: &Function) -> Bytes {
        let mut total = 0;
        let ranges = function.slots.iter().map(|slot| {
            let start = total;
            total += slot.size as usize;
            (start, slot.size as usize)
        });
        let ranges = ranges.collect();
        Bytes {
            slots: Slots::new(function),
            ranges,
            total,
        }
    }

    fn none(&self) -> BitSet {
        BitSet::new(self.total)
    }

    /// The bytes of a slot from an offset on; what lies outside of the slot is no byte.
    fn range(&self, slot: Slot, offset: i32, len: u32) -> std::ops::Range<usize> {
        let (start, size) = self.ranges[slot.0 as usize];
        let at = |n: i64| start + usize::try_from(n).unwrap_or(0).min(size);
        at(i64::from(offset))..at(i64::from(offset) + i64::from(len))
    }

    fn is_dead(&self, inst: &Inst, live: &BitSet) -> bool {
        let Op::Store {
            size, base, offset, ..
        } = inst.op
        else {
            return false;
        };
        self.slots
            .place(base, offset)
            .is_some_and(|(slot, offset)| {
                let mut bytes = self.range(slot, offset, size.bytes());
                bytes.all(|b| !live.contains(b))
            })
    }

    /// From what is read after an instruction to what is read from before it on.
    fn step(&self, inst: &Inst, live: &mut BitSet) {
        match inst.op {
            Op::Store {
                size, base, offset, ..
            } => {
                if let Some((slot, offset)) = self.slots.place(base, offset) {
                    for byte in self.range(slot, offset, size.bytes()) {
                        live.remove(byte);
                    }
                }
            }
            Op::Load {
                size, base, offset, ..
            }
            | Op::Atomic {
                size, base, offset, ..
            } => match self.slots.place(base, offset) {
                Some((slot, offset)) => {
                    for byte in self.range(slot, offset, size.bytes()) {
                        live.insert(byte);
                    }
                }
                None if matches!(
                    inst.op,
                    Op::Load {
                        volatility: Volatility::Constant,
                        ..
                    }
                ) => {}
                None => self.read(live, |s| self.slots.exposure(s) == Exposure::Escaped),
            },
            Op::Call {
                effect: Effect::Pure,
                ref args,
                ..
            } if args.is_empty() => {}
            ref op if op.is_call() => self.read(live, |s| self.slots.reaches(op, s)),
            _ => {}
        }
    }

    fn read(&self, live: &mut BitSet, is_read: impl Fn(Slot) -> bool) {
        for (index, &(start, size)) in self.ranges.iter().enumerate() {
            if is_read(Slot(index as u32)) {
                (start..start + size).for_each(|b| {
                    live.insert(b);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn stores_that_nobody_reads_go() {
        check(
            &[remove_dead_stores],
            "ss0 = slot 16 align 8
             ss1 = slot 8 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = slotaddr ss1+0
             v5 = const 7
             store.64 v1+0, v0
             store.64 v1+0, v5
             store.64 v1+8, v0
             store.64 v2+0, v0
             v3 = call map_lookup_elem(v2)
             store.64 v2+0, v5
             v4 = load.u64 v1+0
             ret v4",
            "ss0 = slot 16 align 8
             ss1 = slot 8 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = slotaddr ss1+0
             v5 = const 7
             store.64 v1+0, v5
             store.64 v2+0, v0
             v3 = call map_lookup_elem(v2)
             v4 = load.u64 v1+0
             ret v4",
        );
    }

    #[test]
    fn the_next_round_of_a_loop_reads() {
        let text = "ss0 = slot 8 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = const 0
             store.64 v1+0, v2
             jump block1
             block1:
             v3 = load.u64 v1+0
             store.64 v1+0, v0
             br lt.64 v3, v0, block1, block2
             block2:
             ret v2";
        check(&[remove_dead_stores], text, text);
    }
}
