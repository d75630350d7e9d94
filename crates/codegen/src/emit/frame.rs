//! The stack frame: where each slot lies below `r10`.

use super::mir::MFunc;
use crate::ir::Slot;

/// Bytes of stack that a function may have, and all functions of a chain of calls together (`MAX_BPF_STACK`).
pub(crate) const MAX_STACK: u32 = 512;

/// Offsets from `r10`.
pub(crate) struct Frame {
    offsets: Vec<i32>,
    /// Bytes in use.
    pub(crate) size: u32,
}

impl Frame {
    pub(crate) fn new(func: &MFunc) -> Frame {
        let mut offsets = Vec::with_capacity(func.slots.len());
        let mut size: u32 = 0;
        for slot in &func.slots {
            size = size
                .saturating_add(slot.size)
                .checked_next_multiple_of(slot.align)
                .unwrap_or(u32::MAX);
            offsets.push(i32::try_from(size).map_or(i32::MIN, |n| -n));
        }
        Frame { offsets, size }
    }

    pub(crate) fn offset(&self, slot: Slot) -> i32 {
        self.offsets[slot.0 as usize]
    }
}
