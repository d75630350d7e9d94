//! Loads from slots whose contents are known: the value that was stored or loaded last serves.

use beetrace_isa::Size;

use super::slots::{Exposure, Slots};
use crate::ir::cfg::Cfg;
use crate::ir::{Effect, Function, Inst, Op, Slot, Terminator, Value};

/// Bytes of a slot that equal the low bytes of a value.
#[derive(Clone, Copy)]
struct Content {
    slot: Slot,
    offset: i32,
    size: Size,
    value: Value,
}

impl Content {
    fn overlaps(&self, slot: Slot, offset: i32, size: Size) -> bool {
        self.slot == slot
            && i64::from(self.offset) < i64::from(offset) + i64::from(size.bytes())
            && i64::from(offset) < i64::from(self.offset) + i64::from(self.size.bytes())
    }
}

/// Replaces loads by values that are known, in each block and on into blocks that only it leads to.
/// True where anything changed.
pub(crate) fn forward_loads(function: &mut Function) -> bool {
    if function.slots.is_empty() {
        return false;
    }
    let cfg = Cfg::new(function);
    let mut pass = Forward {
        slots: Slots::new(function),
        constants: constants(function),
        changed: false,
    };
    let mut at_end: Vec<Vec<Content>> = vec![Vec::new(); function.blocks.len()];
    for &block in &cfg.order {
        let mut known = match cfg.preds[block.0 as usize].as_slice() {
            [only] if block.0 != 0 => at_end[only.0 as usize].clone(),
            _ => Vec::new(),
        };
        for inst in &mut function.blocks[block.0 as usize].insts {
            pass.inst(inst, &mut known);
        }
        if !matches!(function.blocks[block.0 as usize].end, Terminator::Return(_)) {
            at_end[block.0 as usize] = known;
        }
    }
    pass.changed
}

fn constants(function: &Function) -> Vec<Option<i64>> {
    let mut constants = vec![None; function.values as usize];
    for inst in function.blocks.iter().flat_map(|b| &b.insts) {
        if let (Op::Const(n), Some(value)) = (&inst.op, inst.result) {
            constants[value.0 as usize] = Some(*n);
        }
    }
    constants
}

struct Forward {
    slots: Slots,
    constants: Vec<Option<i64>>,
    changed: bool,
}

impl Forward {
    fn inst(&mut self, inst: &mut Inst, known: &mut Vec<Content>) {
        match inst.op {
            Op::Load {
                size,
                signed,
                base,
                offset,
                ..
            } => {
                let (Some((slot, offset)), Some(result)) =
                    (self.slots.place(base, offset), inst.result)
                else {
                    return;
                };
                match self.serve(known, slot, offset, size, signed) {
                    Some(op) => {
                        inst.op = op;
                        self.changed = true;
                    }
                    None => known.push(Content {
                        slot,
                        offset,
                        size,
                        value: result,
                    }),
                }
            }
            Op::Store {
                size,
                base,
                offset,
                value,
            } => match self.slots.place(base, offset) {
                Some((slot, offset)) => {
                    known.retain(|c| !c.overlaps(slot, offset, size));
                    known.push(Content {
                        slot,
                        offset,
                        size,
                        value,
                    });
                }
                None => self.forget_escaped(known),
            },
            Op::Atomic {
                size, base, offset, ..
            } => match self.slots.place(base, offset) {
                Some((slot, offset)) => known.retain(|c| !c.overlaps(slot, offset, size)),
                None => self.forget_escaped(known),
            },
            Op::Call {
                effect: Effect::Writes,
                ..
            }
            | Op::CallKfunc { .. }
            | Op::CallLocal { .. } => known.retain(|c| !self.slots.reaches(&inst.op, c.slot)),
            _ => {}
        }
    }

    fn forget_escaped(&self, known: &mut Vec<Content>) {
        known.retain(|c| self.slots.exposure(c.slot) != Exposure::Escaped);
    }

    /// What a load gives, from what is known.
    fn serve(
        &self,
        known: &[Content],
        slot: Slot,
        offset: i32,
        size: Size,
        signed: bool,
    ) -> Option<Op> {
        let content = known
            .iter()
            .rev()
            .find(|c| c.overlaps(slot, offset, size))?;
        let skip = u32::try_from(i64::from(offset) - i64::from(content.offset)).ok()?;
        if skip + size.bytes() > content.size.bytes() {
            return None;
        }
        if let Some(n) = self.constants[content.value.0 as usize] {
            let shifted = (n as u64) >> (skip * 8);
            return Some(Op::Const(super::fold::extend(size, signed, shifted as i64)));
        }
        (skip == 0).then_some(Op::Ext {
            size,
            signed,
            value: content.value,
        })
    }
}
