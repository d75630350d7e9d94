//! The stack: saved registers, bytes, and what of them is known.

use beetrace_isa::Reg as RegName;

use crate::dag::Node;
use crate::explore::Verifier;
use crate::memory::check_alignment;
use crate::pointer::MAX_OFFSET;
use crate::program::{MapDef, map_type};
use crate::reject::{Check, RejectKind, reject};
use crate::scalar::Scalar;
use crate::state::{Byte, Frame, Kind, Reg, Slot, State, byte_index, slot_index};

/// Bytes of stack that a function may use (`MAX_BPF_STACK`).
pub(crate) const MAX_STACK: i64 = 512;

/// The offsets from a frame's upper end at which an access may begin.
#[derive(Clone, Copy, Debug)]
struct Range {
    min: i64,
    max: i64,
}

impl Range {
    fn is_fixed(self) -> bool {
        self.min == self.max
    }
}

impl Verifier<'_> {
    /// Where the access may begin, if all of it is within the stack.
    fn stack_range(&mut self, state: &State, reg: &Reg, off: i64, size: u32) -> Check<Range> {
        let fixed = i64::from(reg.off) + off;
        let range = match reg.num.as_const() {
            Some(n) => {
                let at = fixed.saturating_add(n as i64);
                Range { min: at, max: at }
            }
            None => {
                let s64 = reg.num.s64;
                if s64.max >= MAX_OFFSET || s64.min <= -MAX_OFFSET {
                    return reject(
                        RejectKind::Unbounded,
                        "the offset into the stack has no bounds",
                    )
                    .map_err(|stop| stop.fact(format!("the offset is {}", reg.num)));
                }
                Range {
                    min: s64.min + fixed,
                    max: s64.max + fixed,
                }
            }
        };
        if range.min < -MAX_STACK || range.max.saturating_add(size.into()) > 0 {
            return reject(
                RejectKind::OutOfBounds,
                format!(
                    "the access of {size} bytes at offset {} is outside of the stack, which goes from -{MAX_STACK} to 0",
                    if range.min < -MAX_STACK {
                        range.min
                    } else {
                        range.max
                    }
                ),
            );
        }
        if let Kind::Stack(number) = reg.kind
            && let Some(frame) = state.frames.get(usize::from(number))
            && let Some(depth) = self.stack_depths.get_mut(frame.function)
        {
            *depth = (*depth).max((-range.min) as u32);
        }
        Ok(range)
    }

    pub(crate) fn stack_load(
        &mut self,
        state: &mut State,
        reg: &Reg,
        off: i64,
        size: u32,
    ) -> Check<Reg> {
        check_alignment(reg, off, size)?;
        let range = self.stack_range(state, reg, off, size)?;
        let Some(frame) = frame_of(state, reg) else {
            return Ok(Reg::unknown());
        };
        mark_read(self, frame, range, size);
        no_iterator(frame, range, size)?;
        if !range.is_fixed() {
            return Ok(bytes_value(self, frame, range, size));
        }
        let Some(slot) = frame.slot(range.min).copied() else {
            return Ok(Reg::unknown());
        };
        if !slot.is_spill() {
            return Ok(bytes_value(self, frame, range, size));
        }
        let spilled = slot.spill_size();
        if size == 8 && spilled == 8 {
            return Ok(slot.reg);
        }
        if slot.reg.is_pointer() {
            return reject(
                RejectKind::Access,
                format!("a saved pointer is loaded with {size} bytes instead of 8"),
            );
        }
        if size <= spilled && byte_index(range.min) == 0 {
            let mut out = slot.reg;
            if out.num.width() > size * 8 {
                out.unlink();
            }
            return Ok(out);
        }
        Ok(bytes_value(self, frame, range, size))
    }

    /// `value` is `None` where nothing is known of what is stored.
    pub(crate) fn stack_store(
        &mut self,
        state: &mut State,
        reg: &Reg,
        off: i64,
        size: u32,
        value: Option<Reg>,
    ) -> Check {
        check_alignment(reg, off, size)?;
        let range = self.stack_range(state, reg, off, size)?;
        let innermost = state.frames.len() - 1;
        let Kind::Stack(number) = reg.kind else {
            return Ok(());
        };
        let value = value.unwrap_or(Reg::unknown());
        if !range.is_fixed() {
            if let Some(frame) = frame_of(state, reg) {
                let zero = value.is_zero();
                if zero {
                    self.need(&value);
                }
                overwrite(frame, range, size, zero, true);
            }
            return Ok(());
        }
        if value.is_pointer() {
            if size != 8 {
                return reject(
                    RejectKind::Access,
                    format!("a pointer is saved with {size} bytes instead of 8"),
                );
            }
            if usize::from(number) != innermost && matches!(value.kind, Kind::Stack(_)) {
                return reject(
                    RejectKind::Access,
                    "a pointer to the stack is saved in the stack of the caller",
                );
            }
        }
        let Some(frame) = frame_of(state, reg) else {
            return Ok(());
        };
        let saved = value.is_pointer() || byte_index(range.min) == 0;
        if !saved {
            let zero = value.is_zero();
            if zero {
                self.need(&value);
            }
            overwrite(frame, range, size, zero, false);
            return Ok(());
        }
        let slot = frame.slot_mut(range.min);
        if slot.bytes.contains(&Byte::Iterator) {
            slot.scrub();
        }
        save(slot, value, size);
        Ok(())
    }

    /// Memory on the stack that a helper reads or writes: all of it becomes unknown when written.
    pub(crate) fn stack_span(
        &mut self,
        state: &mut State,
        reg: &Reg,
        size: u32,
        write: bool,
    ) -> Check {
        self.need(reg);
        let range = self.stack_range(state, reg, 0, size)?;
        let Some(frame) = frame_of(state, reg) else {
            return Ok(());
        };
        if size == 0 {
            return Ok(());
        }
        if write {
            overwrite(frame, range, size, false, !range.is_fixed());
        } else {
            mark_read(self, frame, range, size);
            no_iterator(frame, range, size)?;
            // What a helper reads from a saved register must be what was found here.
            let first = slot_index(range.max + i64::from(size) - 1);
            let last = slot_index(range.min);
            for slot in frame.stack.iter().take(last + 1).skip(first) {
                if slot.is_spill() {
                    self.dag.mark(slot.reg.node);
                }
            }
        }
        Ok(())
    }
}

impl Verifier<'_> {
    /// Whether a lookup with the key that `r2` points to cannot miss: an element of an array by a constant.
    pub(crate) fn always_found(&mut self, state: &mut State, map: &MapDef) -> bool {
        if !matches!(map.kind, map_type::ARRAY | map_type::PERCPU_ARRAY) || map.key_size != 4 {
            return false;
        }
        let key = *state.reg(RegName::R2);
        let at = key.num.as_const().map(|n| i64::from(key.off) + n as i64);
        let (Some(at), Some(frame)) = (at.filter(|at| *at < 0), frame_of(state, &key)) else {
            return false;
        };
        let Some(slot) = frame.slot(at).copied() else {
            return false;
        };
        let first = byte_index(at);
        let bytes = slot.bytes.get(first..first + 4).unwrap_or_default();
        if bytes == [Byte::Zero; 4] {
            return map.max_entries > 0;
        }
        if first == 0
            && slot.spill_size() == 4
            && let Some(n) = slot.reg.as_const()
        {
            self.dag.mark(slot.reg.node);
            return n < u64::from(map.max_entries);
        }
        false
    }
}

/// The frame whose stack the pointer is into.
fn frame_of<'s>(state: &'s mut State, reg: &Reg) -> Option<&'s mut Frame> {
    match reg.kind {
        Kind::Stack(number) => state.frames.get_mut(usize::from(number)),
        _ => None,
    }
}

/// Iterators are read by their functions only.
fn no_iterator(frame: &Frame, range: Range, size: u32) -> Check {
    let end = range.max + i64::from(size);
    let touched = (range.min..end).any(|at| {
        frame
            .slot(at)
            .is_some_and(|s| s.bytes.contains(&Byte::Iterator))
    });
    if touched {
        return reject(RejectKind::Access, "an iterator in the stack is read");
    }
    Ok(())
}

fn mark_read(v: &mut Verifier<'_>, frame: &Frame, range: Range, size: u32) {
    let first = slot_index(range.max + i64::from(size) - 1);
    let last = slot_index(range.min);
    for slot in frame.stack.iter().take(last + 1).skip(first) {
        v.dag.mark(slot.read);
    }
}

/// The number that bytes of unknown history make: zero if all are, else any.
fn bytes_value(v: &mut Verifier<'_>, frame: &Frame, range: Range, size: u32) -> Reg {
    let end = range.max + i64::from(size);
    let mut nodes = Vec::new();
    for at in range.min..end {
        let Some(slot) = frame.slot(at) else {
            return Reg::unknown();
        };
        match slot.bytes[byte_index(at)] {
            Byte::Zero => {}
            Byte::Spill if slot.reg.is_zero() => nodes.push(slot.reg.node),
            _ => return Reg::unknown(),
        }
    }
    for node in nodes {
        v.dag.mark(node);
    }
    Reg::scalar(Scalar::constant(0), Node::ROOT)
}

/// Saves a register, or the low `size` bytes of a number, at the lower end of a slot.
fn save(slot: &mut Slot, value: Reg, size: u32) {
    let fits = value.is_pointer() || value.num.width() <= size * 8;
    let mut bytes = slot.bytes;
    for (i, b) in bytes.iter_mut().enumerate() {
        if i < size as usize {
            *b = Byte::Spill;
        } else if *b == Byte::Spill {
            *b = Byte::Misc;
        }
    }
    slot.bytes = bytes;
    slot.reg = value;
    if !fits {
        slot.reg.unlink();
    }
    if size == 8 {
        slot.read = Node::ROOT;
    }
}

/// Puts bytes of which at most it is known that they are zero. Where the place varies, a byte that was not zero
/// may stay as it was.
fn overwrite(frame: &mut Frame, range: Range, size: u32, zero: bool, varies: bool) {
    for at in range.min..range.max + i64::from(size) {
        let slot = frame.slot_mut(at);
        let known_zero = slot.bytes[byte_index(at)] == Byte::Zero;
        slot.scrub();
        slot.bytes[byte_index(at)] = if zero && (!varies || known_zero) {
            Byte::Zero
        } else {
            Byte::Misc
        };
    }
    if !varies {
        let end = range.min + i64::from(size);
        let mut at = range.min + (8 - range.min.rem_euclid(8)) % 8;
        while at + 8 <= end {
            frame.slot_mut(at).read = Node::ROOT;
            at += 8;
        }
    }
}
