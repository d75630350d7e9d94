//! What is known of the bytes of slots: the value that was stored or loaded last serves for a load, what is there already is not
//! stored again, and a map in which a key was looked up is not searched for it again.

use beetrace_isa::Size;

use super::slots::{Exposure, Slots};
use crate::ir::cfg::Cfg;
use crate::ir::{Effect, Function, Inst, Op, Slot, Value};

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

/// A map that was searched for the key at a place.
#[derive(Clone, Copy)]
struct Lookup {
    map: u32,
    slot: Slot,
    offset: i32,
    result: Value,
}

#[derive(Clone, Default)]
struct Known {
    contents: Vec<Content>,
    /// The maps have not changed since by what this program does, nor have the keys.
    lookups: Vec<Lookup>,
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
        defs: definitions(function),
        replaced: vec![None; function.values as usize],
        changed: false,
    };
    let mut at_end: Vec<Known> = vec![Known::default(); function.blocks.len()];
    for &block in &cfg.order {
        let mut known = match cfg.preds[block.0 as usize].as_slice() {
            [only] if block.0 != 0 => at_end[only.0 as usize].clone(),
            _ => Known::default(),
        };
        let data = &mut function.blocks[block.0 as usize];
        data.insts.retain_mut(|inst| pass.inst(inst, &mut known));
        at_end[block.0 as usize] = known;
    }
    for block in &mut function.blocks {
        for inst in &mut block.insts {
            inst.op.map(|v| pass.resolve(v));
        }
        block.end.map(|v| pass.resolve(v));
    }
    pass.changed
}

/// Constants and maps, by value.
fn definitions(function: &Function) -> Vec<Option<Op>> {
    let mut defs = vec![None; function.values as usize];
    for inst in function.blocks.iter().flat_map(|b| &b.insts) {
        if let (Op::Const(_) | Op::MapRef(_), Some(value)) = (&inst.op, inst.result) {
            defs[value.0 as usize] = Some(inst.op.clone());
        }
    }
    defs
}

struct Forward {
    slots: Slots,
    defs: Vec<Option<Op>>,
    replaced: Vec<Option<Value>>,
    changed: bool,
}

impl Forward {
    /// Whether the instruction stays.
    fn inst(&mut self, inst: &mut Inst, known: &mut Known) -> bool {
        inst.op.map(|v| self.resolve(v));
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
                    return true;
                };
                match self.serve(&known.contents, slot, offset, size, signed) {
                    Some(op) => {
                        inst.op = op;
                        self.changed = true;
                    }
                    None => known.contents.push(Content {
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
            } => return self.store(size, self.slots.place(base, offset), value, known),
            Op::Atomic {
                size, base, offset, ..
            } => self.overwrite(size, self.slots.place(base, offset), known),
            Op::Call {
                effect: Effect::Writes,
                ..
            }
            | Op::CallKfunc { .. }
            | Op::CallLocal { .. } => {
                known.lookups.clear();
                let contents = &mut known.contents;
                contents.retain(|c| !self.slots.reaches(&inst.op, c.slot));
            }
            Op::Call {
                helper, ref args, ..
            } => {
                if let (Some(result), &[map, key]) = (inst.result, args.as_slice())
                    && helper == beetrace_isa::helper::MAP_LOOKUP_ELEM
                    && let Some(Op::MapRef(map)) = self.defs[map.0 as usize]
                    && let Some((slot, offset)) = self.slots.address(key)
                {
                    return self.lookup(map, slot, offset, result, known);
                }
            }
            _ => {}
        }
        true
    }

    fn store(
        &mut self,
        size: Size,
        place: Option<(Slot, i32)>,
        value: Value,
        known: &mut Known,
    ) -> bool {
        if let Some((slot, offset)) = place {
            let is_there = known.contents.iter().any(|c| {
                let same_place = (c.slot, c.offset, c.size) == (slot, offset, size);
                same_place && self.is_same(c.value, value)
            });
            if is_there {
                self.changed = true;
                return false;
            }
            self.overwrite(size, place, known);
            known.contents.push(Content {
                slot,
                offset,
                size,
                value,
            });
        } else {
            self.overwrite(size, place, known);
        }
        true
    }

    fn is_same(&self, a: Value, b: Value) -> bool {
        let constant = |v: Value| match self.defs[v.0 as usize] {
            Some(Op::Const(n)) => Some(n),
            _ => None,
        };
        a == b || constant(a).is_some_and(|n| constant(b) == Some(n))
    }

    /// Forgets what a store to a place, or to somewhere, may change.
    fn overwrite(&self, size: Size, place: Option<(Slot, i32)>, known: &mut Known) {
        match place {
            Some((slot, offset)) => {
                known.contents.retain(|c| !c.overlaps(slot, offset, size));
                known.lookups.retain(|l| l.slot != slot);
            }
            None => {
                let is_kept = |slot| self.slots.exposure(slot) != Exposure::Escaped;
                known.contents.retain(|c| is_kept(c.slot));
                known.lookups.retain(|l| is_kept(l.slot));
            }
        }
    }

    fn lookup(
        &mut self,
        map: u32,
        slot: Slot,
        offset: i32,
        result: Value,
        known: &mut Known,
    ) -> bool {
        let mut before = known.lookups.iter();
        let found = before.find(|l| (l.map, l.slot, l.offset) == (map, slot, offset));
        if let Some(found) = found {
            self.replaced[result.0 as usize] = Some(found.result);
            self.changed = true;
            return false;
        }
        known.lookups.push(Lookup {
            map,
            slot,
            offset,
            result,
        });
        true
    }

    fn resolve(&self, value: Value) -> Value {
        self.replaced[value.0 as usize].unwrap_or(value)
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
        if let Some(Op::Const(n)) = self.defs[content.value.0 as usize] {
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

    #[test]
    fn a_key_is_looked_up_once() {
        let text = |between: &str| {
            format!(
                "ss0 = slot 8 align 8
                 block0:
                 v1 = slotaddr ss0+0
                 v2 = map 3
                 store.32 v1+0, v0
                 v3 = call.reads map_lookup_elem(v2, v1)
                 {between}
                 store.32 v1+0, v0
                 v4 = call.reads map_lookup_elem(v2, v1)
                 v5 = eq.64 v3, v4
                 ret v5"
            )
        };
        check(
            &[forward_loads],
            &text("v6 = call.reads ktime_get_ns()"),
            "ss0 = slot 8 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = map 3
             store.32 v1+0, v0
             v3 = call.reads map_lookup_elem(v2, v1)
             v6 = call.reads ktime_get_ns()
             v5 = eq.64 v3, v3
             ret v5",
        );
        // Not after the key or the maps may have changed.
        let stored = text("store.16 v1+2, v0");
        check(&[forward_loads], &stored, &stored);
        let deleted = text("v6 = call map_delete_elem(v2, v1)");
        check(&[forward_loads], &deleted, &deleted);
    }
}
