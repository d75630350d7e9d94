//! The functions of a program: where they start, what they call, where jumps lead.

use std::collections::BTreeSet;

use beetrace_isa::{Imm64, Insn, Reg};

use crate::program::MAX_FRAMES;

/// Why instructions do not hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    #[error("jump out of the program")]
    JumpOut,
    #[error("jump into the middle of an instruction")]
    JumpInside,
    #[error("jump from one function into another")]
    JumpAcross,
    #[error("the function does not end with exit or a jump")]
    FallThrough,
    #[error("the frame pointer is read-only")]
    FramePointer,
    #[error("more than {MAX_FRAMES} functions would be active at once")]
    TooDeep,
}

/// Functions and jump targets, all as indexes of instructions.
#[derive(Debug)]
pub(crate) struct Functions {
    /// First instructions, in rising order; the first is the entry, 0.
    pub(crate) starts: Vec<usize>,
    /// For each instruction that jumps, calls or names a function: where to; otherwise 0.
    targets: Vec<u32>,
    len: usize,
}

type Located = (usize, StructureError);

impl Functions {
    /// Checks the form of a program and finds its functions. An error says at which instruction.
    pub(crate) fn find(insns: &[Insn]) -> Result<Functions, Located> {
        let targets = targets(insns)?;
        let mut starts = BTreeSet::from([0]);
        for (insn, &target) in insns.iter().zip(&targets) {
            if names_function(insn) {
                starts.insert(target as usize);
            }
        }
        let functions = Functions {
            starts: starts.into_iter().collect(),
            targets,
            len: insns.len(),
        };
        functions.check(insns)?;
        functions.check_depth(insns)?;
        Ok(functions)
    }

    /// Where the jump, call or function address at this instruction leads.
    pub(crate) fn target(&self, at: usize) -> usize {
        self.targets.get(at).map_or(0, |&t| t as usize)
    }

    /// The instructions of the function that starts at `start`.
    pub(crate) fn range(&self, start: usize) -> std::ops::Range<usize> {
        let end = self.starts.iter().copied().find(|&s| s > start);
        start..end.unwrap_or(self.len)
    }

    fn check(&self, insns: &[Insn]) -> Result<(), Located> {
        for &start in &self.starts {
            let range = self.range(start);
            for at in range.clone() {
                let Some(insn) = insns.get(at) else { break };
                if writes(insn) == Some(Reg::R10) {
                    return Err((at, StructureError::FramePointer));
                }
                let jumps = matches!(insn, Insn::Ja { .. } | Insn::Jmp { .. });
                if jumps && !range.contains(&self.target(at)) {
                    return Err((at, StructureError::JumpAcross));
                }
                let ends = matches!(insn, Insn::Ja { .. } | Insn::Exit);
                if at + 1 == range.end && !ends {
                    return Err((at, StructureError::FallThrough));
                }
            }
        }
        Ok(())
    }

    /// Recursion is refused with the depth, as a chain of calls without end.
    fn check_depth(&self, insns: &[Insn]) -> Result<(), Located> {
        let mut depths = vec![1usize; self.starts.len()];
        for round in 0..=self.starts.len() {
            let mut changed = None;
            for (caller, &start) in self.starts.iter().enumerate() {
                let depth = depths.get(caller).copied().unwrap_or(1);
                for at in self.range(start) {
                    if !insns.get(at).is_some_and(names_function) {
                        continue;
                    }
                    let callee = self.starts.binary_search(&self.target(at)).unwrap_or(0);
                    if let Some(d) = depths.get_mut(callee)
                        && *d < depth + 1
                    {
                        *d = depth + 1;
                        changed = Some(at);
                        if *d > MAX_FRAMES {
                            return Err((at, StructureError::TooDeep));
                        }
                    }
                }
            }
            match changed {
                None => return Ok(()),
                Some(at) if round == self.starts.len() => {
                    return Err((at, StructureError::TooDeep));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn names_function(insn: &Insn) -> bool {
    matches!(
        insn,
        Insn::CallLocal { .. }
            | Insn::LdImm64 {
                imm: Imm64::Func(_),
                ..
            }
    )
}

/// Resolves offsets in slots to indexes of instructions.
fn targets(insns: &[Insn]) -> Result<Vec<u32>, Located> {
    const INSIDE: u32 = u32::MAX;
    let mut at_slot = Vec::with_capacity(insns.len());
    for (at, insn) in insns.iter().enumerate() {
        at_slot.push(at as u32);
        at_slot.extend(std::iter::repeat_n(INSIDE, insn.slots() - 1));
    }
    let mut slot = 0i64;
    let mut out = Vec::with_capacity(insns.len());
    for (at, insn) in insns.iter().enumerate() {
        let offset = match *insn {
            Insn::Ja { off } => Some(off),
            Insn::Jmp { off, .. } => Some(off.into()),
            Insn::CallLocal { rel } => Some(rel),
            // The offset counts from the second slot.
            Insn::LdImm64 {
                imm: Imm64::Func(rel),
                ..
            } => Some(rel.saturating_sub(1)),
            _ => None,
        };
        slot += insn.slots() as i64;
        let target = match offset {
            None => 0,
            Some(offset) => {
                let target = usize::try_from(slot + i64::from(offset))
                    .ok()
                    .and_then(|s| at_slot.get(s));
                match target {
                    None => return Err((at, StructureError::JumpOut)),
                    Some(&INSIDE) => return Err((at, StructureError::JumpInside)),
                    Some(&target) => target,
                }
            }
        };
        out.push(target);
    }
    Ok(out)
}

/// The register that an instruction's own fields say it writes.
pub(crate) fn writes(insn: &Insn) -> Option<Reg> {
    match *insn {
        Insn::Alu { dst, .. }
        | Insn::Neg { dst, .. }
        | Insn::MovSx { dst, .. }
        | Insn::Endian { dst, .. }
        | Insn::LdImm64 { dst, .. }
        | Insn::Load { dst, .. } => Some(dst),
        Insn::Atomic { op, src, .. } => {
            use beetrace_isa::AtomicOp::*;
            match op {
                Add { fetch } | Or { fetch } | And { fetch } | Xor { fetch } => {
                    fetch.then_some(src)
                }
                Xchg => Some(src),
                CmpXchg => Some(Reg::R0),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use beetrace_isa::assemble;

    use super::*;

    fn error(text: &str) -> Option<Located> {
        let insns = assemble(text).expect("assembles");
        Functions::find(&insns).err()
    }

    #[test]
    fn programs_end_and_stay_inside() {
        assert_eq!(error("r0 = 0\n exit"), None);
        assert_eq!(error("r0 = 0"), Some((0, StructureError::FallThrough)));
        assert_eq!(error("goto +1\n exit"), Some((0, StructureError::JumpOut)));
        assert_eq!(
            error("goto +1\n r1 = 1 ll\n exit"),
            Some((0, StructureError::JumpInside))
        );
        assert_eq!(
            error("r10 += 1\n exit"),
            Some((0, StructureError::FramePointer))
        );
    }

    #[test]
    fn functions_do_not_mix_or_recurse() {
        assert_eq!(
            error("call pc+1\n exit\n r0 = 1\n goto -3"),
            Some((3, StructureError::JumpAcross))
        );
        assert_eq!(
            error("call pc+1\n exit\n call pc-1\n exit"),
            Some((2, StructureError::TooDeep))
        );
    }
}
