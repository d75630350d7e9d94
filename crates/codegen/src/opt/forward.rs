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

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn what_was_stored_is_not_loaded() {
        check(
            &[forward_loads],
            "ss0 = slot 16 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = const 0x1122334455667788
             store.64 v1+0, v2
             store.64 v1+8, v0
             v3 = load.u16 v1+2
             v4 = load.s32 v1+8
             v5 = load.u32 v1+12
             v6 = load.u32 v1+12
             ret v6",
            "ss0 = slot 16 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = const 1234605616436508552
             store.64 v1+0, v2
             store.64 v1+8, v0
             v3 = const 21862
             v4 = ext.s32 v0
             v5 = load.u32 v1+12
             v6 = ext.u32 v5
             ret v6",
        );
    }

    #[test]
    fn calls_that_get_the_address_may_write() {
        let text = |kind: &str| {
            format!(
                "ss0 = slot 8 align 8
                 block0:
                 v1 = slotaddr ss0+0
                 store.64 v1+0, v0
                 v2 = call{kind} map_lookup_elem(v1)
                 v3 = load.u64 v1+0
                 ret v3"
            )
        };
        check(&[forward_loads], &text(""), &text(""));
        let known = text(".reads").replace("load.u64 v1+0", "ext.u64 v0");
        check(&[forward_loads], &text(".reads"), &known);
    }

    #[test]
    fn a_store_through_a_chosen_address_may_hit() {
        let text = "ss0 = slot 8 align 8
             ss1 = slot 8 align 8
             ss2 = slot 8 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = slotaddr ss1+0
             v3 = slotaddr ss2+0
             store.64 v1+0, v0
             store.64 v3+0, v0
             v4 = select v0, v1, v2
             store.64 v4+0, v4
             v5 = load.u64 v1+0
             v6 = load.u64 v3+0
             v7 = add.64 v5, v6
             ret v7";
        check(
            &[forward_loads],
            text,
            &text.replace("load.u64 v3+0", "ext.u64 v0"),
        );
    }
}
