//! Stores of constants next to each other, made one.

use beetrace_isa::Size;

use super::fold;
use crate::ir::{Function, Inst, Op, Value};

/// A store of a constant.
#[derive(Clone, Copy)]
struct Piece {
    index: usize,
    size: Size,
    base: Value,
    offset: i32,
    number: i64,
}

/// Joins stores of constants to neighbouring bytes where one instruction can store both. True where anything changed.
/// It needs the addresses of slots as bases that are made once ([`merge_common`](super::common::merge_common)).
pub(crate) fn join_stores(function: &mut Function) -> bool {
    let mut changed = false;
    let constants = constants(function);
    let slots = slot_alignments(function);
    for block in 0..function.blocks.len() {
        let mut last: Option<Piece> = None;
        let mut index = 0;
        while index < function.blocks[block].insts.len() {
            let piece = piece(&function.blocks[block].insts[index], index, &constants);
            let joined = last
                .zip(piece)
                .and_then(|(a, b)| joined(a, b, &slots).map(|j| (a, j)));
            if let Some((first, joined)) = joined {
                let value = Value(function.values);
                function.values += 1;
                let insts = &mut function.blocks[block].insts;
                let span = insts[index].span;
                insts[index] = Inst {
                    op: Op::Store {
                        size: joined.size,
                        base: joined.base,
                        offset: joined.offset,
                        value,
                    },
                    result: None,
                    span,
                };
                insts[first.index] = Inst {
                    op: Op::Const(joined.number),
                    result: Some(value),
                    span,
                };
                last = Some(Piece { index, ..joined });
                changed = true;
            } else if piece.is_some() {
                last = piece;
            } else if touches_memory(&function.blocks[block].insts[index].op) {
                last = None;
            }
            index += 1;
        }
    }
    changed
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

/// By value: the alignment of the slot that it is the address of, and the offset in it.
fn slot_alignments(function: &Function) -> Vec<Option<(u32, i32)>> {
    let mut slots = vec![None; function.values as usize];
    for inst in function.blocks.iter().flat_map(|b| &b.insts) {
        if let (Op::SlotAddr { slot, offset }, Some(value)) = (&inst.op, inst.result) {
            slots[value.0 as usize] = Some((function.slots[slot.0 as usize].align, *offset));
        }
    }
    slots
}

fn piece(inst: &Inst, index: usize, constants: &[Option<i64>]) -> Option<Piece> {
    let Op::Store {
        size,
        base,
        offset,
        value,
    } = inst.op
    else {
        return None;
    };
    let number = constants.get(value.0 as usize).copied().flatten()?;
    Some(Piece {
        index,
        size,
        base,
        offset,
        number,
    })
}

/// Both stores as one, where that is aligned and its constant is an immediate.
fn joined(a: Piece, b: Piece, slots: &[Option<(u32, i32)>]) -> Option<Piece> {
    if a.base != b.base || a.size != b.size {
        return None;
    }
    let (low, high) = if a.offset < b.offset { (a, b) } else { (b, a) };
    let bytes = low.size.bytes();
    let size = Size::from_bytes(u64::from(bytes) * 2)?;
    if high.offset.checked_sub(low.offset)? != bytes as i32 {
        return None;
    }
    // How other bases are aligned is not known; the stack must be accessed aligned.
    let (align, at) = slots.get(low.base.0 as usize).copied().flatten()?;
    let place = i64::from(at) + i64::from(low.offset);
    if align < size.bytes() || place % i64::from(size.bytes()) != 0 {
        return None;
    }
    let mask = fold::mask(low.size);
    let number = (low.number as u64 & mask) | (high.number as u64 & mask) << (bytes * 8);
    let number = fold::extend(size, true, number as i64);
    (size != Size::B8 || i32::try_from(number).is_ok()).then_some(Piece {
        size,
        number,
        ..low
    })
}

fn touches_memory(op: &Op) -> bool {
    matches!(op, Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. }) || op.is_call()
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn neighbours_are_stored_together() {
        check(
            &[join_stores],
            "ss0 = slot 16 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = const 0
             v3 = const -1
             store.16 v1+0, v3
             store.16 v1+2, v2
             store.32 v1+4, v2
             store.32 v1+12, v2
             store.32 v1+8, v3
             v4 = call map_lookup_elem(v1)
             ret v4",
            "ss0 = slot 16 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = const 0
             v3 = const -1
             v5 = const 65535
             v6 = const 65535
             store.64 v1+0, v6
             store.32 v1+12, v2
             store.32 v1+8, v3
             v4 = call map_lookup_elem(v1)
             ret v4",
        );
    }

    #[test]
    fn a_load_between_sees_what_was_stored() {
        let text = "ss0 = slot 8 align 8
             block0:
             v1 = slotaddr ss0+0
             v2 = const 0
             store.32 v1+0, v2
             v3 = load.u64 v1+0
             store.32 v1+4, v2
             ret v3";
        check(&[join_stores], text, text);
    }
}
