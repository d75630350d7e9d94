//! Open-coded iterators: the kernel functions that a `for` loop of C is made of.
//!
//! An iterator lives in the stack of the program, which may only hand it to these functions. `next` gives a pointer
//! or, at the end, null; each time both are followed, until a round has come back to what was known before.

use beetrace_isa::Reg as RegName;

use crate::dag::Node;
use crate::explore::{Flow, Verifier};
use crate::program::ProgramInput;
use crate::reject::{Check, RejectKind, reject, unsupported};
use crate::scalar::Scalar;
use crate::stack::MAX_STACK;
use crate::state::{Byte, Kind, Reference, Reg, Slot, State};

/// A family of iterators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `struct bpf_iter_num`: numbers from one to another.
    Num,
    /// `struct bpf_iter_bits`: the bits that are set in memory.
    Bits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    New,
    Next,
    Destroy,
}

impl Family {
    /// How many eight-byte slots it takes.
    fn slots(self) -> i64 {
        match self {
            Family::Num => 1,
            Family::Bits => 2,
        }
    }
}

/// The iterator function of this name.
fn function(name: &str) -> Option<(Family, Step)> {
    let (family, step) = name.strip_prefix("bpf_iter_")?.split_once('_')?;
    let family = match family {
        "num" => Family::Num,
        "bits" => Family::Bits,
        _ => return None,
    };
    let step = match step {
        "new" => Step::New,
        "next" => Step::Next,
        "destroy" => Step::Destroy,
        _ => return None,
    };
    Some((family, step))
}

fn name_of<'a>(input: &ProgramInput<'a>, btf_id: u32) -> Option<&'a str> {
    let known = input.kernel_functions.iter().find(|f| f.btf_id == btf_id)?;
    Some(&known.name)
}

/// Whether the kernel function begins the next round of a loop.
pub(crate) fn is_next(input: &ProgramInput<'_>, btf_id: u32) -> bool {
    name_of(input, btf_id)
        .and_then(function)
        .is_some_and(|(_, step)| step == Step::Next)
}

impl Verifier<'_> {
    pub(crate) fn call_kernel_function(&mut self, state: &mut State, btf_id: u32) -> Check<Flow> {
        let name = name_of(self.input, btf_id);
        let Some((family, step)) = name.and_then(function) else {
            return unsupported(match name {
                Some(name) => format!("kernel function {name}"),
                None => format!("kernel function with BTF id {btf_id}"),
            });
        };
        if state.lock.is_some() {
            return reject(RejectKind::Lock, "an iterator is used while a lock is held");
        }
        let (frame, at) = self.iterator_place(state, family)?;
        match step {
            Step::New => {
                for name in [RegName::R2, RegName::R3] {
                    self.read(state, name)?;
                }
                let numbers: &[RegName] = match family {
                    Family::Num => &[RegName::R2, RegName::R3],
                    Family::Bits => &[RegName::R3],
                };
                for name in numbers {
                    if !state.reg(*name).is_scalar() {
                        return reject(RejectKind::Argument, format!("{name} must be a number"));
                    }
                }
                self.iterator_new(state, family, frame, at)?;
                self.finish_kernel_function(state, Reg::unknown());
            }
            Step::Next => {
                let iterator = self.iterator(state, family, frame, at)?;
                if iterator.kind
                    == (Kind::Iterator {
                        family,
                        drained: false,
                    })
                {
                    self.follow_round(state, frame, at)?;
                }
                set_iterator(state, frame, at, family, |reg| {
                    reg.kind = Kind::Iterator {
                        family,
                        drained: true,
                    };
                });
                self.finish_kernel_function(state, Reg::constant(0));
            }
            Step::Destroy => {
                let iterator = self.iterator(state, family, frame, at)?;
                state.references.retain(|r| r.id != iterator.reference);
                if let Some(frame) = state.frames.get_mut(frame) {
                    for i in 0..family.slots() {
                        *frame.slot_mut(at + 8 * i) = Slot::EMPTY;
                    }
                }
                self.finish_kernel_function(state, Reg::UNINIT);
            }
        }
        Ok(Flow::Continue)
    }

    /// Whether `r1` points to an iterator that has not come to its end: then each round brings the end nearer.
    pub(crate) fn iterates(&self, state: &State) -> bool {
        let reg = state.reg(RegName::R1);
        let (Kind::Stack(number), Some(n)) = (reg.kind, reg.num.as_const()) else {
            return false;
        };
        let at = i64::from(reg.off) + n as i64;
        let frame = state.frames.get(usize::from(number)).filter(|_| at < 0);
        frame
            .and_then(|f| f.slot(at))
            .is_some_and(|slot| matches!(slot.reg.kind, Kind::Iterator { drained: false, .. }))
    }

    fn finish_kernel_function(&self, state: &mut State, result: Reg) {
        let frame = state.frame_mut();
        for reg in frame.regs.iter_mut().take(6) {
            *reg = Reg::UNINIT;
        }
        frame.regs[0] = result;
        state.pc += 1;
    }

    /// The frame and the offset of the iterator that `r1` points to.
    fn iterator_place(&mut self, state: &State, family: Family) -> Check<(usize, i64)> {
        let reg = *self.read(state, RegName::R1)?;
        let at = reg.num.as_const().map(|n| i64::from(reg.off) + n as i64);
        match (reg.kind, at) {
            (Kind::Stack(number), Some(at))
                if at % 8 == 0 && at >= -MAX_STACK && at + 8 * family.slots() <= 0 =>
            {
                let function = state.frames.get(usize::from(number)).map(|f| f.function);
                if let Some(depth) = function.and_then(|f| self.stack_depths.get_mut(f)) {
                    *depth = (*depth).max((-at) as u32);
                }
                Ok((usize::from(number), at))
            }
            _ => reject(
                RejectKind::Argument,
                format!(
                    "r1 must point to an iterator in the stack, but is {}",
                    reg.kind.title()
                ),
            ),
        }
    }

    /// The iterator there, which must have been made and not destroyed.
    fn iterator(&self, state: &State, family: Family, frame: usize, at: i64) -> Check<Reg> {
        let slot = state.frames.get(frame).and_then(|f| f.slot(at));
        match slot {
            Some(slot)
                if slot.bytes == [Byte::Iterator; 8]
                    && matches!(slot.reg.kind, Kind::Iterator { family: f, .. } if f == family) =>
            {
                Ok(slot.reg)
            }
            _ => reject(
                RejectKind::Argument,
                "r1 points to no iterator: it was not made, was destroyed, or is of another kind",
            ),
        }
    }

    fn iterator_new(&mut self, state: &mut State, family: Family, frame: usize, at: i64) -> Check {
        let id = self.new_id(state.pc);
        let origin = state.pc;
        let Some(frame) = state.frames.get_mut(frame) else {
            return Ok(());
        };
        for i in 0..family.slots() {
            let slot = frame.slot_mut(at + 8 * i);
            if slot.bytes.contains(&Byte::Iterator) {
                return reject(RejectKind::Argument, "there is an iterator already");
            }
            *slot = Slot::EMPTY;
            slot.bytes = [Byte::Iterator; 8];
            if i == 0 {
                slot.reg = Reg::pointer(Kind::Iterator {
                    family,
                    drained: false,
                });
                slot.reg.reference = id;
            }
        }
        state.references.push(Reference { id, origin });
        Ok(())
    }

    /// Follows the way on which there is one more.
    fn follow_round(&mut self, state: &State, frame: usize, at: i64) -> Check {
        let mut round = state.clone();
        self.widen_again(&mut round);
        if let Some(f) = round.frames.get_mut(frame) {
            let reg = &mut f.slot_mut(at).reg;
            reg.range = reg.range.saturating_add(1);
        }
        let mut item = Reg::pointer(Kind::Memory {
            size: 4,
            writable: false,
        });
        item.node = Node::ROOT;
        item.num = Scalar::constant(0);
        self.finish_kernel_function(&mut round, item);
        self.push_pending(round)
    }
}

fn set_iterator(
    state: &mut State,
    frame: usize,
    at: i64,
    family: Family,
    change: impl Fn(&mut Reg),
) {
    if let Some(frame) = state.frames.get_mut(frame) {
        let slot = frame.slot_mut(at);
        if matches!(slot.reg.kind, Kind::Iterator { family: f, .. } if f == family) {
            change(&mut slot.reg);
        }
    }
}
