//! From machine code with registers and stack assigned to instructions.

use beetrace_isa::{AluOp, Endian, Imm64, Insn, Reg, Src, Width};
use beetrace_object::{Line, SourceSpan};

use super::frame::Frame;
use super::mir::{Addr, Base, Callee, Label, MEnd, MInst, MOp, MSrc, VReg};
use super::{Compiled, EmitError, EmitErrorKind};
use crate::ir::FuncId;

/// The instructions of all functions, while jumps and calls still wait for their offsets.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) insns: Vec<Insn>,
    pub(crate) lines: Vec<Line>,
    /// The slot that each instruction begins at.
    slots: Vec<usize>,
    next_slot: usize,
    /// Instructions that name a function.
    calls: Vec<(usize, FuncId)>,
    /// Instructions that name a block of the current function.
    jumps: Vec<Jump>,
    /// Blocks of the current function whose branch is too far for its offset, and so jumps over a long jump.
    far: Vec<Label>,
    /// Where each block of the current function begins, by label.
    starts: Vec<Option<usize>>,
    span: Option<SourceSpan>,
}

/// An instruction that waits for the place of a block.
struct Jump {
    /// Index of the instruction.
    at: usize,
    /// The block that it ends.
    from: Label,
    to: Label,
    span: SourceSpan,
}

impl Writer {
    /// Appends a function and gives the index of its first instruction.
    pub(crate) fn function(&mut self, function: &Compiled, isa_v4: bool) -> Result<u32, EmitError> {
        let start = (self.insns.len(), self.lines.len(), self.calls.len());
        let slot = self.next_slot;
        self.far.clear();
        loop {
            self.blocks(function)?;
            let far = self.resolve_jumps(isa_v4)?;
            if far.is_empty() {
                return Ok(start.0 as u32);
            }
            self.far.extend(far);
            self.insns.truncate(start.0);
            self.slots.truncate(start.0);
            self.lines.truncate(start.1);
            self.calls.truncate(start.2);
            self.next_slot = slot;
        }
    }

    fn blocks(&mut self, function: &Compiled) -> Result<(), EmitError> {
        let Compiled { code, order, frame } = function;
        self.starts = vec![None; code.blocks.len()];
        self.jumps.clear();
        self.span = None;
        for (i, &label) in order.iter().enumerate() {
            self.starts[label] = Some(self.next_slot);
            let block = &code.blocks[label];
            for inst in &block.insts {
                self.inst(inst, frame)?;
            }
            self.at(block.end_span);
            self.end(label, &block.end, order.get(i + 1).copied());
        }
        Ok(())
    }

    /// Gives calls their offsets, when all functions are written. `starts` are the first instructions by function.
    pub(crate) fn resolve_calls(&mut self, starts: &[Option<u32>]) {
        for &(at, function) in &self.calls {
            let Some(start) = starts[function.0 as usize] else {
                continue;
            };
            let rel = self.slots[start as usize] as i64 - self.slots[at] as i64 - 1;
            match &mut self.insns[at] {
                Insn::CallLocal { rel: r } => *r = rel as i32,
                Insn::LdImm64 { imm, .. } => *imm = Imm64::Func(rel as i32),
                _ => {}
            }
        }
    }

    fn at(&mut self, span: SourceSpan) {
        if self.span != Some(span) {
            self.span = Some(span);
            let insn = self.insns.len() as u32;
            match self.lines.last_mut() {
                Some(last) if last.insn == insn => last.span = span,
                _ => self.lines.push(Line { insn, span }),
            }
        }
    }

    fn push(&mut self, insn: Insn) {
        self.slots.push(self.next_slot);
        self.next_slot += insn.slots();
        self.insns.push(insn);
    }

    fn inst(&mut self, inst: &MInst, frame: &Frame) -> Result<(), EmitError> {
        self.at(inst.span);
        let far = || EmitError {
            span: inst.span,
            kind: EmitErrorKind::Offset,
        };
        let place = |addr: Addr| match addr.base {
            Base::Reg(reg) => Some((hard(reg), i16::try_from(addr.off).ok()?)),
            Base::Slot(slot) => {
                let off = frame.offset(slot).checked_add(addr.off)?;
                Some((Reg::FP, i16::try_from(off).ok()?))
            }
        };
        match inst.op {
            MOp::Mov { dst, src } => self.push(Insn::mov(hard(dst), hard(src))),
            MOp::MovImm { dst, imm } => self.push(constant(hard(dst), imm)),
            MOp::Zext32 { dst, src } => self.push(Insn::mov32(hard(dst), hard(src))),
            MOp::Alu {
                width,
                op,
                dst,
                src,
            } => self.push(Insn::Alu {
                width,
                op,
                dst: hard(dst),
                src: source(src),
            }),
            MOp::Neg { width, dst } => self.push(Insn::Neg {
                width,
                dst: hard(dst),
            }),
            MOp::MovSx { from, dst, src } => self.push(Insn::MovSx {
                width: Width::W64,
                from,
                dst: hard(dst),
                src: hard(src),
            }),
            MOp::Swap { size, dst } => self.push(Insn::Endian {
                op: Endian::Be,
                size,
                dst: hard(dst),
            }),
            MOp::LdImm64 { dst, imm } => self.push(Insn::LdImm64 {
                dst: hard(dst),
                imm,
            }),
            MOp::FuncAddr { dst, function } => {
                self.calls.push((self.insns.len(), function));
                self.push(Insn::LdImm64 {
                    dst: hard(dst),
                    imm: Imm64::Func(0),
                });
            }
            MOp::SlotAddr { dst, slot, off } => {
                let off = frame.offset(slot).checked_add(off).ok_or_else(far)?;
                self.push(Insn::mov(hard(dst), Reg::FP));
                if off != 0 {
                    self.push(Insn::alu(AluOp::Add, hard(dst), off));
                }
            }
            MOp::Load {
                size,
                sign_extend,
                dst,
                addr,
            } => {
                let (src, off) = place(addr).ok_or_else(far)?;
                self.push(Insn::Load {
                    size,
                    sign_extend,
                    dst: hard(dst),
                    src,
                    off,
                });
            }
            MOp::Store { size, addr, src } => {
                let (dst, off) = place(addr).ok_or_else(far)?;
                self.push(Insn::Store {
                    size,
                    dst,
                    off,
                    src: source(src),
                });
            }
            MOp::Atomic {
                op,
                size,
                addr,
                src,
            } => {
                let (dst, off) = place(addr).ok_or_else(far)?;
                self.push(Insn::Atomic {
                    op,
                    size,
                    dst,
                    src: hard(src),
                    off,
                });
            }
            MOp::Call { callee, .. } => match callee {
                Callee::Helper(helper) => self.push(Insn::Call { helper }),
                Callee::Kfunc(btf_id) => self.push(Insn::CallKfunc { btf_id, fd_idx: 0 }),
                Callee::Local(function) => {
                    self.calls.push((self.insns.len(), function));
                    self.push(Insn::CallLocal { rel: 0 });
                }
            },
            MOp::MovUnless {
                op,
                width,
                left,
                right,
                dst,
                src,
            } => {
                self.push(Insn::Jmp {
                    width,
                    op,
                    dst: hard(left),
                    src: source(right),
                    off: 1,
                });
                self.push(Insn::mov(hard(dst), source(src)));
            }
        }
        Ok(())
    }

    fn end(&mut self, label: Label, end: &MEnd, next: Option<Label>) {
        match *end {
            MEnd::Exit => self.push(Insn::Exit),
            MEnd::Jump(target) => self.jump(label, target, next),
            MEnd::Branch {
                op,
                width,
                left,
                right,
                then,
                otherwise,
                ..
            } => {
                let (op, then, otherwise) = match op.negate() {
                    Some(negated) if next == Some(then) => (negated, otherwise, then),
                    _ => (op, then, otherwise),
                };
                let branch = |op, off| Insn::Jmp {
                    width,
                    op,
                    dst: hard(left),
                    src: source(right),
                    off,
                };
                match op.negate() {
                    _ if !self.far.contains(&label) => {
                        self.jump_by(branch(op, 0), label, then);
                    }
                    Some(negated) => {
                        self.push(branch(negated, 1));
                        self.jump_by(Insn::Ja { off: 0 }, label, then);
                    }
                    None => {
                        self.push(branch(op, 1));
                        self.push(Insn::Ja { off: 1 });
                        self.jump_by(Insn::Ja { off: 0 }, label, then);
                    }
                }
                self.jump(label, otherwise, next);
            }
        }
    }

    fn jump(&mut self, from: Label, target: Label, next: Option<Label>) {
        if next != Some(target) {
            self.jump_by(Insn::Ja { off: 0 }, from, target);
        }
    }

    fn jump_by(&mut self, insn: Insn, from: Label, to: Label) {
        self.jumps.push(Jump {
            at: self.insns.len(),
            from,
            to,
            span: self.span.unwrap_or_default(),
        });
        self.push(insn);
    }

    /// Gives jumps their offsets, and the blocks whose branches are too far for theirs.
    fn resolve_jumps(&mut self, isa_v4: bool) -> Result<Vec<Label>, EmitError> {
        let mut too_far = Vec::new();
        for &Jump { at, from, to, span } in &self.jumps {
            let error = EmitError {
                span,
                kind: EmitErrorKind::JumpTooFar,
            };
            let Some(start) = self.starts[to] else {
                return Err(error);
            };
            let distance = start as i64 - self.slots[at] as i64 - 1;
            match (&mut self.insns[at], i16::try_from(distance)) {
                (Insn::Jmp { off, .. }, Ok(near)) => *off = near,
                (Insn::Ja { off }, Ok(near)) => *off = i32::from(near),
                (Insn::Ja { off }, Err(_)) if isa_v4 => *off = distance as i32,
                (Insn::Jmp { .. }, Err(_)) if isa_v4 => too_far.push(from),
                _ => return Err(error),
            }
        }
        Ok(too_far)
    }
}

fn constant(dst: Reg, n: i64) -> Insn {
    if let Ok(imm) = i32::try_from(n) {
        Insn::mov(dst, imm)
    } else if let Ok(low) = u32::try_from(n) {
        Insn::mov32(dst, low as i32)
    } else {
        Insn::imm64(dst, n as u64)
    }
}

fn hard(reg: VReg) -> Reg {
    // Allocation leaves no other; `r10` as a destination would be refused when the program is loaded.
    reg.as_fixed().unwrap_or(Reg::FP)
}

fn source(src: MSrc) -> Src {
    match src {
        MSrc::Reg(reg) => Src::Reg(hard(reg)),
        MSrc::Imm(imm) => Src::Imm(imm),
    }
}
