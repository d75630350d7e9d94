//! Instructions with relocations, and without.

use beetrace_isa::{Imm64, Insn, RawInsn, decode, encode_one};

use super::ElfError;
use crate::body::Body;

/// What a relocation points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An index into the object's maps, and a definition in `.maps`.
    Map(usize),
    /// The same, and a section that holds the map's value.
    Data(usize),
    /// An index into the program's functions.
    Function(usize),
}

/// A relocation of an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relocation {
    /// Slot within the function.
    pub(super) slot: u32,
    pub(super) target: Target,
    /// Whether it is one of a call, and not of a 64-bit load.
    pub(super) is_call: bool,
}

fn reference(program: &str, slot: u32, what: &'static str) -> ElfError {
    ElfError::Reference {
        program: program.to_owned(),
        slot,
        what,
    }
}

/// The slots of a function, with what they refer to taken out.
pub(super) fn extract(
    program: &str,
    bodies: &[Body<'_>],
    body: &Body<'_>,
    maps: &[Target],
) -> Result<(Vec<RawInsn>, Vec<Relocation>), ElfError> {
    let mut raw = Vec::with_capacity(body.code.len());
    let mut relocations = Vec::new();
    for insn in body.code {
        let slot = raw.len() as u32;
        let in_program = body.first_slot.saturating_add(slot);
        let function = |rel: i32| {
            let to = in_program.checked_add_signed(rel.saturating_add(1));
            bodies
                .iter()
                .position(|b| Some(b.first_slot) == to)
                .map(Target::Function)
                .ok_or_else(|| reference(program, in_program, "no function"))
        };
        let map = |idx: u32| {
            let target = maps.get(idx as usize).copied();
            target.ok_or_else(|| reference(program, in_program, "no map"))
        };
        let (insn, target) = match *insn {
            Insn::CallLocal { rel } => (Insn::CallLocal { rel: -1 }, Some((function(rel)?, true))),
            Insn::LdImm64 { dst, imm } => {
                // As compilers write it: the addend of the relocation in the first immediate, and
                // the loader finds out from the symbol what is meant. Where it would get that
                // wrong, the kernel's marks stay in the source register.
                let (imm, target) = match imm {
                    Imm64::Func(rel) => (Imm64::Value(0), Some(function(rel)?)),
                    Imm64::MapIdx(idx) => match map(idx)? {
                        target @ Target::Data(_) => (Imm64::MapFd(0), Some(target)),
                        target => (Imm64::Value(0), Some(target)),
                    },
                    Imm64::MapIdxValue { idx, off } => match map(idx)? {
                        target @ Target::Data(_) => (Imm64::Value(off.into()), Some(target)),
                        target => {
                            let fd = off.cast_signed();
                            (Imm64::MapFdValue { fd, off: 0 }, Some(target))
                        }
                    },
                    Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
                        return Err(reference(program, in_program, "a file descriptor"));
                    }
                    other => (other, None),
                };
                let target = target.map(|target| (target, false));
                (Insn::LdImm64 { dst, imm }, target)
            }
            other => (other, None),
        };
        relocations.extend(target.map(|(target, is_call)| Relocation {
            slot,
            target,
            is_call,
        }));
        let (first, second) = encode_one(&insn);
        raw.push(first);
        raw.extend(second);
    }
    Ok((raw, relocations))
}

/// A function as it was read: slots, and what they refer to.
pub(super) struct Function {
    pub(super) raw: Vec<RawInsn>,
    pub(super) relocations: Vec<Relocation>,
}

/// Puts the functions of a program one behind the other and resolves their relocations. Gives
/// the instructions, and the index of each function's first.
pub(super) fn join(
    program: &str,
    functions: &[Function],
) -> Result<(Vec<Insn>, Vec<u32>), ElfError> {
    let mut first_slots = Vec::with_capacity(functions.len());
    let mut slots = 0u32;
    for function in functions {
        first_slots.push(slots);
        let len = u32::try_from(function.raw.len()).unwrap_or(u32::MAX);
        slots = slots
            .checked_add(len)
            .filter(|slots| *slots <= i32::MAX as u32)
            .ok_or_else(|| reference(program, 0, "more instructions than fit"))?;
    }
    let mut insns = Vec::new();
    let mut starts = Vec::with_capacity(functions.len());
    for (function, first_slot) in functions.iter().zip(&first_slots) {
        starts.push(insns.len() as u32);
        let decoded = decode(&function.raw).map_err(|source| ElfError::Decode {
            program: program.to_owned(),
            source,
        })?;
        let mut slot = 0;
        for insn in decoded {
            let target = function.relocations.iter().find(|r| r.slot == slot);
            let at = first_slot + slot;
            slot += insn.slots() as u32;
            insns.push(resolve(program, insn, at, target, &first_slots)?);
        }
    }
    Ok((insns, starts))
}

/// Puts what a relocation points to into the instruction at slot `at` of the program.
fn resolve(
    program: &str,
    insn: Insn,
    at: u32,
    relocation: Option<&Relocation>,
    first_slots: &[u32],
) -> Result<Insn, ElfError> {
    let bad = |what| reference(program, at, what);
    let function = |idx: usize| {
        let to = *first_slots.get(idx).ok_or_else(|| bad("no function"))?;
        // Both are below 2³¹.
        Ok::<_, ElfError>(to.cast_signed() - at.cast_signed() - 1)
    };
    let map = |idx: usize| u32::try_from(idx).map_err(|_| bad("no map"));
    if relocation.is_some_and(|r| r.is_call != matches!(insn, Insn::CallLocal { .. })) {
        return Err(bad("a symbol through a relocation of the wrong kind"));
    }
    match (insn, relocation.map(|r| r.target)) {
        (Insn::CallLocal { rel: -1 }, Some(Target::Function(idx))) => Ok(Insn::CallLocal {
            rel: function(idx)?,
        }),
        (Insn::LdImm64 { dst, imm }, Some(target)) => {
            let imm = match (imm, target) {
                (Imm64::Value(0), Target::Function(idx)) => Imm64::Func(function(idx)?),
                (Imm64::Value(0), Target::Map(idx)) | (Imm64::MapFd(0), Target::Data(idx)) => {
                    Imm64::MapIdx(map(idx)?)
                }
                (Imm64::Value(off), Target::Data(idx)) => Imm64::MapIdxValue {
                    idx: map(idx)?,
                    off: u32::try_from(off).map_err(|_| bad("a place outside its map"))?,
                },
                (Imm64::MapFdValue { fd, off: 0 }, Target::Map(idx)) => Imm64::MapIdxValue {
                    idx: map(idx)?,
                    off: fd.cast_unsigned(),
                },
                _ => return Err(bad("a symbol of the wrong kind")),
            };
            Ok(Insn::LdImm64 { dst, imm })
        }
        (
            Insn::CallLocal { .. }
            | Insn::LdImm64 {
                imm:
                    Imm64::Func(_)
                    | Imm64::MapFd(_)
                    | Imm64::MapFdValue { .. }
                    | Imm64::MapIdx(_)
                    | Imm64::MapIdxValue { .. },
                ..
            },
            None,
        ) => Err(bad("something without a relocation")),
        (_, Some(_)) => Err(bad("a symbol where none can be")),
        (insn, None) => Ok(insn),
    }
}
