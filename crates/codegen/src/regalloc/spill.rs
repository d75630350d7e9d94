//! Moving registers to the stack.
//!
//! A spilled register gets a slot. A definition stores to it; a use loads from it, but what was loaded or stored last stays in a
//! register up to the next call, so that calls alone force a register out. Only where that is still too much is each use loaded
//! by itself. What is cheap to make again is made again instead.

use std::collections::HashMap;

use beetrace_isa::Size;

use crate::emit::mir::{Addr, Base, MFunc, MInst, MOp, MSrc, Role, VReg};
use crate::ir::{Slot, SlotData};

/// What is known of the registers that spilling made.
#[derive(Default)]
pub(crate) struct Spills {
    /// Pieces of spilled registers, and where the whole lives.
    pieces: HashMap<VReg, Home>,
    /// Registers so short that spilling them would gain nothing.
    short: Vec<VReg>,
}

#[derive(Clone, Copy)]
enum Home {
    Slot(Slot),
    Again(MOp),
}

impl Spills {
    /// Registers that must get a machine register.
    pub(crate) fn unspillable(&self) -> &[VReg] {
        &self.short
    }

    /// Spills one group of registers that were coalesced.
    pub(crate) fn spill(&mut self, func: &mut MFunc, group: &[VReg]) {
        let Some((&reg, others)) = group.split_first() else {
            return;
        };
        if !others.is_empty() {
            rename(func, reg, others);
        }
        let piece = group.iter().find_map(|r| self.pieces.get(r).copied());
        let home = match piece {
            Some(home) if others.is_empty() => home,
            _ => match only_definition(func, reg) {
                Some(op) => Home::Again(op),
                None => {
                    func.slots.push(SlotData { size: 8, align: 8 });
                    Home::Slot(Slot(func.slots.len() as u32 - 1))
                }
            },
        };
        let mut rewriter = Rewriter {
            reg,
            home,
            keep: piece.is_none(),
            spills: self,
        };
        rewriter.run(func);
    }
}

/// Makes one register of many, and drops the copies among them.
fn rename(func: &mut MFunc, reg: VReg, others: &[VReg]) {
    for block in &mut func.blocks {
        for inst in &mut block.insts {
            inst.op.visit_mut(|r, _| {
                if others.contains(r) {
                    *r = reg;
                }
            });
        }
        block.end.visit_mut(|r, _| {
            if others.contains(r) {
                *r = reg;
            }
        });
        block
            .insts
            .retain(|i| !matches!(i.op, MOp::Mov { dst, src } if dst == src));
    }
}

/// The instruction that makes the register, where it is the only one and can be repeated anywhere.
fn only_definition(func: &MFunc, reg: VReg) -> Option<MOp> {
    let mut found = None;
    for inst in func.blocks.iter().flat_map(|b| &b.insts) {
        let mut writes = false;
        inst.op.visit(|r, role| writes |= r == reg && role.writes());
        if writes && (found.replace(inst.op).is_some() || !inst.op.is_rematerialisable()) {
            return None;
        }
    }
    found
}

struct Rewriter<'a> {
    reg: VReg,
    home: Home,
    /// Whether a loaded value is kept for later uses, up to the next call.
    keep: bool,
    spills: &'a mut Spills,
}

impl Rewriter<'_> {
    fn run(&mut self, func: &mut MFunc) {
        for label in 0..func.blocks.len() {
            let insts = std::mem::take(&mut func.blocks[label].insts);
            let mut out = Vec::with_capacity(insts.len() + 8);
            let mut current = None;
            for inst in insts {
                self.inst(func, inst, &mut out, &mut current);
            }
            let block = &mut func.blocks[label];
            let mut end = block.end;
            let span = block.end_span;
            let mut used = false;
            end.visit(|r, _| used |= r == self.reg);
            if used {
                let piece = self.load(func, span, &mut out, &mut current);
                end.visit_mut(|r, _| {
                    if *r == self.reg {
                        *r = piece;
                    }
                });
            }
            func.blocks[label].insts = out;
            func.blocks[label].end = end;
        }
    }

    fn inst(
        &mut self,
        func: &mut MFunc,
        mut inst: MInst,
        out: &mut Vec<MInst>,
        current: &mut Option<VReg>,
    ) {
        if self.is_transfer(&inst.op) {
            *current = None;
            return;
        }
        let (mut reads, mut writes) = (false, false);
        inst.op.visit(|r, role: Role| {
            if r == self.reg {
                reads |= role.reads();
                writes |= role.writes();
            }
        });
        if reads {
            let piece = self.load(func, inst.span, out, current);
            self.replace(&mut inst, piece);
        }
        if writes {
            let piece = if reads {
                current.unwrap_or(self.reg)
            } else {
                self.piece(func)
            };
            self.replace(&mut inst, piece);
            out.push(inst);
            if let Home::Slot(slot) = self.home {
                out.push(MInst {
                    op: MOp::Store {
                        size: Size::B8,
                        addr: slot_addr(slot),
                        src: MSrc::Reg(piece),
                    },
                    span: inst.span,
                });
            }
            *current = Some(piece);
        } else {
            out.push(inst);
        }
        if !self.keep || matches!(inst.op, MOp::Call { .. }) {
            *current = None;
        }
    }

    fn replace(&self, inst: &mut MInst, piece: VReg) {
        inst.op.visit_mut(|r, _| {
            if *r == self.reg {
                *r = piece;
            }
        });
    }

    /// Whether the instruction only moves the register from or to its home: each use does that now.
    fn is_transfer(&self, op: &MOp) -> bool {
        match (self.home, *op) {
            (Home::Slot(slot), MOp::Load { dst, addr, .. }) => {
                dst == self.reg && addr == slot_addr(slot)
            }
            (Home::Slot(slot), MOp::Store { src, addr, .. }) => {
                src == MSrc::Reg(self.reg) && addr == slot_addr(slot)
            }
            (Home::Again(_), op) if op.is_rematerialisable() => {
                let mut writes = false;
                op.visit(|r, _| writes |= r == self.reg);
                writes
            }
            _ => false,
        }
    }

    fn piece(&mut self, func: &mut MFunc) -> VReg {
        let piece = func.fresh();
        if self.keep {
            self.spills.pieces.insert(piece, self.home);
        } else {
            self.spills.short.push(piece);
        }
        piece
    }

    /// The register that holds the value now; loads it where none does.
    fn load(
        &mut self,
        func: &mut MFunc,
        span: beetrace_object::SourceSpan,
        out: &mut Vec<MInst>,
        current: &mut Option<VReg>,
    ) -> VReg {
        if let Some(piece) = *current {
            return piece;
        }
        let dst = self.piece(func);
        let op = match self.home {
            Home::Slot(slot) => MOp::Load {
                size: Size::B8,
                sign_extend: false,
                dst,
                addr: slot_addr(slot),
            },
            Home::Again(mut op) => {
                op.visit_mut(|r, _| *r = dst);
                op
            }
        };
        out.push(MInst { op, span });
        *current = Some(dst);
        dst
    }
}

fn slot_addr(slot: Slot) -> Addr {
    Addr {
        base: Base::Slot(slot),
        off: 0,
    }
}
