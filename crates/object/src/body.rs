//! The functions of a program, each with its own instructions.

use beetrace_isa::Insn;

use crate::{Program, Signature};

/// One function of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) name: &'a str,
    pub(crate) signature: Signature,
    /// Index of its first instruction in the program.
    pub(crate) first_insn: usize,
    /// Slot of its first instruction in the program.
    pub(crate) first_slot: u32,
    pub(crate) code: &'a [Insn],
}

impl<'a> Body<'a> {
    /// Its instructions with their indices in the program.
    pub(crate) fn insns(&self) -> impl Iterator<Item = (usize, &'a Insn)> + use<'a> {
        (self.first_insn..).zip(self.code)
    }
}

/// Cuts a program into its functions. A program that names none is one function.
/// `None` if the first does not start at 0, or they are not in order.
pub(crate) fn bodies(program: &Program) -> Option<Vec<Body<'_>>> {
    let whole = [(program.name.as_str(), Signature::Entry, 0)];
    let named = program
        .functions
        .iter()
        .map(|f| (f.name.as_str(), f.signature, f.start as usize));
    let starts: Vec<_> = match program.functions.is_empty() {
        true => whole.to_vec(),
        false => named.collect(),
    };
    if starts.first().is_none_or(|first| first.2 != 0) {
        return None;
    }
    let mut slot = 0u32;
    let mut out = Vec::with_capacity(starts.len());
    for (n, &(name, signature, start)) in starts.iter().enumerate() {
        let end = starts.get(n + 1).map_or(program.insns.len(), |next| next.2);
        let code = program.insns.get(start..end).filter(|c| !c.is_empty())?;
        out.push(Body {
            name,
            signature,
            first_insn: start,
            first_slot: slot,
            code,
        });
        let slots: usize = code.iter().map(Insn::slots).sum();
        slot = slot.checked_add(u32::try_from(slots).ok()?)?;
    }
    Some(out)
}
