//! Where values find room: slots of the stack, and the program's scratch memory on each processor.

use beetrace_object::{Map, MapKind, MapRole};

use super::Room;
use super::func::Lower;
use super::memory::{Memory, Place};
use super::unit::PER_CPU_LIMIT;
use crate::ir::Slot;

/// Bytes of stack that a function's slots take at the most; the rest of the 512 is for registers that must be kept, and for callbacks.
const ENTRY_STACK: u32 = 320;
const ENTRY_STACK_WITH_CALLBACKS: u32 = 192;
const CALLBACK_STACK: u32 = 80;
const SCARCE_STACK: u32 = 64;

/// The program's own scratch map.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) map: Option<u32>,
    pub(super) top: u32,
    pub(super) most: u32,
    /// Below this nothing is given back.
    kept: u32,
}

impl Scratch {
    /// Too large for a value that the kernel allocates a processor: an array with an entry for each processor instead.
    pub(super) fn is_large(&self) -> bool {
        self.most > PER_CPU_LIMIT
    }
}

/// How much of the temporary memory is in use, to give back what a statement took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    slots: usize,
    scratch: u32,
}

impl Lower<'_, '_> {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            slots: self.f.live.len(),
            scratch: self.scratch.top,
        }
    }

    /// Gives back temporary memory that was taken since the mark.
    pub(super) fn release(&mut self, mark: Mark) {
        let at = mark.slots.min(self.f.live.len());
        let freed = self.f.live.split_off(at);
        self.f.free.extend(freed);
        self.scratch.top = mark.scratch.max(self.scratch.kept);
    }

    /// Temporary memory of so many bytes, aligned to eight.
    pub(super) fn temporary(&mut self, size: u32) -> Place {
        let size = round_up(size.max(1));
        if !self.unit.is_scratch_sized(size) {
            if let Some(at) = self.f.free.iter().position(|&(_, s)| s == size) {
                let taken = self.f.free.swap_remove(at);
                self.f.live.push(taken);
                return Place::slot(taken.0);
            }
            if let Some(slot) = self.slot_within_budget(size) {
                self.f.live.push((slot, size));
                return Place::slot(slot);
            }
        }
        self.scratch(size)
    }

    /// Temporary memory on the stack, whatever room there is: helpers take the context of a callback from nowhere else.
    pub(super) fn stack_temporary(&mut self, size: u32) -> Place {
        let size = round_up(size);
        let slot = match self.f.free.iter().position(|&(_, s)| s == size) {
            Some(at) => self.f.free.swap_remove(at).0,
            None => self.slot_for_var(size),
        };
        self.f.live.push((slot, size));
        Place::slot(slot)
    }

    /// A slot for a variable, whose share of the stack was planned before.
    pub(super) fn slot_for_var(&mut self, size: u32) -> Slot {
        let size = round_up(size);
        self.f.stack_used = self.f.stack_used.saturating_add(size);
        self.f.b.slot(size, 8)
    }

    fn slot_within_budget(&mut self, size: u32) -> Option<Slot> {
        let budget = match (self.is_entry(), self.facts.has_callbacks) {
            _ if self.unit.room == Room::Scarce => SCARCE_STACK,
            (false, _) => CALLBACK_STACK,
            (true, true) => ENTRY_STACK_WITH_CALLBACKS,
            (true, false) => ENTRY_STACK,
        };
        let size = round_up(size);
        let used = self.f.stack_used.saturating_add(size);
        (used <= budget).then(|| {
            self.f.stack_used = used;
            self.f.b.slot(size, 8)
        })
    }

    /// So many bytes of scratch memory until the mark before is released.
    pub(super) fn scratch(&mut self, size: u32) -> Place {
        let offset = self.reserve_scratch(size);
        self.scratch_at(offset)
    }

    /// So many bytes of scratch memory for this place in the program alone: what one run leaves, the next finds.
    pub(super) fn own_scratch(&mut self, size: u32) -> Place {
        let offset = self.reserve_scratch(size);
        self.scratch.kept = self.scratch.top;
        self.scratch_at(offset)
    }

    pub(super) fn reserve_scratch(&mut self, size: u32) -> u32 {
        let offset = self.scratch.top;
        self.scratch.top = offset.saturating_add(round_up(size));
        self.scratch.most = self.scratch.most.max(self.scratch.top);
        offset
    }

    pub(super) fn scratch_at(&mut self, offset: u32) -> Place {
        if self.scratch.map.is_none() {
            let map = self.unit.add_map(Map {
                name: format!("scratch_{}", self.index),
                kind: MapKind::PerCpuArray,
                key_size: 4,
                value_size: 8,
                max_entries: 1,
                role: MapRole::Scratch,
            });
            self.scratch.map = Some(map);
        }
        let base = match self.f.scratch {
            Some(base) => base,
            None => {
                let base = self.f.b.declare();
                self.f.scratch = Some(base);
                base
            }
        };
        Place::value(base, Memory::Own).at(i64::from(offset))
    }
}

/// To a multiple of eight.
pub(super) fn round_up(size: u32) -> u32 {
    size.checked_next_multiple_of(8).unwrap_or(u32::MAX - 7)
}
