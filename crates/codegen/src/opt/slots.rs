//! How slots are reached: whose bytes a load, a store or a call may touch.

use crate::ir::{Function, Op, Slot, Value};

/// Who may reach a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exposure {
    /// Only loads and stores that name it.
    Private,
    /// Calls that get its address, too, but nobody keeps it.
    Passed,
    /// Whoever reaches memory: its address was stored, chosen or computed with.
    Escaped,
}

/// The slots of a function and the values that are their addresses.
pub(crate) struct Slots {
    exposure: Vec<Exposure>,
    /// By value: the slot and the offset that it is the address of.
    addresses: Vec<Option<(Slot, i32)>>,
}

impl Slots {
    pub(crate) fn new(function: &Function) -> Slots {
        let mut addresses = vec![None; function.values as usize];
        let insts = || function.blocks.iter().flat_map(|b| &b.insts);
        for inst in insts() {
            if let (Op::SlotAddr { slot, offset }, Some(value)) = (&inst.op, inst.result) {
                addresses[value.0 as usize] = Some((*slot, *offset));
            }
        }
        let mut slots = Slots {
            exposure: vec![Exposure::Private; function.slots.len()],
            addresses,
        };
        for inst in insts() {
            match &inst.op {
                Op::Load { .. } => {}
                Op::Store { value, .. } | Op::Atomic { value, .. } => {
                    slots.expose(*value, Exposure::Escaped);
                }
                op if op.is_call() => op.for_each(|v| slots.expose(v, Exposure::Passed)),
                op => op.for_each(|v| slots.expose(v, Exposure::Escaped)),
            }
        }
        for block in &function.blocks {
            block.end.for_each(|v| slots.expose(v, Exposure::Escaped));
        }
        slots
    }

    fn expose(&mut self, value: Value, exposure: Exposure) {
        if let Some((slot, _)) = self.address(value) {
            let known = &mut self.exposure[slot.0 as usize];
            *known = exposure.max(*known);
        }
    }

    pub(crate) fn address(&self, value: Value) -> Option<(Slot, i32)> {
        self.addresses.get(value.0 as usize).copied().flatten()
    }

    /// The slot and the offset that a load or store with that base and offset reaches.
    pub(crate) fn place(&self, base: Value, offset: i32) -> Option<(Slot, i32)> {
        let (slot, at) = self.address(base)?;
        Some((slot, at.checked_add(offset)?))
    }

    pub(crate) fn exposure(&self, slot: Slot) -> Exposure {
        self.exposure[slot.0 as usize]
    }

    /// Whether a call with these operands may reach the slot.
    pub(crate) fn reaches(&self, call: &Op, slot: Slot) -> bool {
        let mut passed = self.exposure(slot) == Exposure::Escaped;
        call.for_each(|v| passed |= self.address(v).is_some_and(|(s, _)| s == slot));
        passed
    }
}
