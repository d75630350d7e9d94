//! An interpreter of eBPF for programs without maps, as strict as the kernel's verifier about what was written before it is read.

use beetrace_isa::{Endian, Imm64, Insn, Reg, Size, Src, Width};

use crate::Trace;
use crate::interpret::{atomic, binary, compare, extend};

const CONTEXT_BASE: u64 = 0x10_0000;
const STACK_BASE: u64 = 0x20_0000;
const FRAME: usize = 512;

/// Runs a program; gives `r0`. Without `isa_v4` it refuses what only later kernels have.
pub(crate) fn run(
    insns: &[Insn],
    isa_v4: bool,
    context: &mut [u8],
    trace: &mut Trace,
) -> Result<u64, String> {
    if !isa_v4 && let Some(insn) = insns.iter().find(|i| is_v4(i)) {
        return Err(format!("`{insn}` needs a later kernel"));
    }
    let mut at_slot = Vec::new();
    for (i, insn) in insns.iter().enumerate() {
        at_slot.push(i);
        at_slot.resize(at_slot.len() + insn.slots() - 1, usize::MAX);
    }
    let mut machine = Machine {
        insns,
        at_slot,
        context,
        stack: vec![None; FRAME],
        regs: [None; 11],
        calls: Vec::new(),
        trace,
    };
    machine.regs[1] = Some(CONTEXT_BASE);
    machine.regs[10] = Some(STACK_BASE + FRAME as u64);
    machine.run()
}

struct Machine<'a> {
    insns: &'a [Insn],
    at_slot: Vec<usize>,
    context: &'a mut [u8],
    stack: Vec<Option<u8>>,
    regs: [Option<u64>; 11],
    calls: Vec<(usize, [Option<u64>; 5])>,
    trace: &'a mut Trace,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<u64, String> {
        let mut pc = 0usize;
        for _ in 0..2_000_000 {
            let index = *self.at_slot.get(pc).ok_or("fell off the end")?;
            let insn = *self.insns.get(index).ok_or("jumped into an instruction")?;
            let next = pc + insn.slots();
            let jump = |off: i64| {
                next.checked_add_signed(off as isize)
                    .ok_or("jumped before the start")
            };
            pc = next;
            match insn {
                Insn::Exit => match self.calls.pop() {
                    None => return self.get(Reg::R0),
                    Some((back, saved)) => {
                        self.get(Reg::R0)?;
                        self.regs[1..6].fill(None);
                        self.regs[6..].copy_from_slice(&saved);
                        self.stack.truncate((self.calls.len() + 1) * FRAME);
                        pc = back;
                    }
                },
                Insn::CallLocal { rel } => {
                    let mut saved = [None; 5];
                    saved.copy_from_slice(&self.regs[6..]);
                    self.calls.push((next, saved));
                    self.regs[0] = None;
                    self.regs[6..10].fill(None);
                    let depth = self.calls.len() + 1;
                    self.stack.resize(depth * FRAME, None);
                    self.regs[10] = Some(STACK_BASE + (depth * FRAME) as u64);
                    pc = jump(i64::from(rel))?;
                }
                Insn::Call { helper } => {
                    let arity = match helper {
                        crate::PURE | crate::READS | crate::WRITES => 0,
                        other => (other - 1000) as usize,
                    };
                    let args = (1..=arity)
                        .map(|n| self.regs[n].ok_or("an argument was never written"))
                        .collect::<Result<Vec<_>, _>>()?;
                    let result = self.trace.call(helper, &args);
                    self.regs[..6].fill(None);
                    self.regs[0] = Some(result);
                }
                Insn::Ja { off } => pc = jump(i64::from(off))?,
                Insn::Jmp {
                    width,
                    op,
                    dst,
                    src,
                    off,
                } => {
                    if compare(op, width, self.get(dst)?, self.source(src)?) {
                        pc = jump(i64::from(off))?;
                    }
                }
                other => self.step(other)?,
            }
        }
        Err("no end".into())
    }

    fn step(&mut self, insn: Insn) -> Result<(), String> {
        match insn {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let b = self.source(src)?;
                let a = match op {
                    beetrace_isa::AluOp::Mov => 0,
                    _ => self.get(dst)?,
                };
                if let Src::Imm(imm) = src {
                    check_immediate(op, width, imm)?;
                }
                self.set(dst, binary(op, width, a, b))
            }
            Insn::Neg { width, dst } => {
                let n = self.get(dst)?;
                self.set(dst, binary(beetrace_isa::AluOp::Sub, width, 0, n))
            }
            Insn::MovSx {
                width,
                from,
                dst,
                src,
            } => {
                let n = extend(from, true, self.get(src)?);
                let n = if width == Width::W32 {
                    n & 0xffff_ffff
                } else {
                    n
                };
                self.set(dst, n)
            }
            Insn::Endian {
                op: Endian::Be,
                size,
                dst,
            } => {
                let n = self.get(dst)?.swap_bytes() >> (64 - size.bits());
                self.set(dst, n)
            }
            Insn::LdImm64 {
                dst,
                imm: Imm64::Value(n),
            } => self.set(dst, n),
            Insn::Load {
                size,
                sign_extend,
                dst,
                src,
                off,
            } => {
                let raw = self.load(size, self.address(src, off)?)?;
                self.set(dst, extend(size, sign_extend, raw))
            }
            Insn::Store {
                size,
                dst,
                off,
                src,
            } => {
                let value = self.source(src)?;
                self.store(size, self.address(dst, off)?, value)
            }
            Insn::Atomic {
                op,
                size,
                dst,
                src,
                off,
            } => {
                let at = self.address(dst, off)?;
                let (old, value) = (self.load(size, at)?, self.get(src)?);
                self.store(size, at, atomic(op, old, value))?;
                let plain = matches!(
                    op,
                    beetrace_isa::AtomicOp::Add { fetch: false }
                        | beetrace_isa::AtomicOp::Or { fetch: false }
                        | beetrace_isa::AtomicOp::And { fetch: false }
                        | beetrace_isa::AtomicOp::Xor { fetch: false }
                );
                if plain { Ok(()) } else { self.set(src, old) }
            }
            other => Err(format!("cannot interpret `{other}`")),
        }
    }

    fn get(&self, reg: Reg) -> Result<u64, String> {
        self.regs[reg.index()].ok_or(format!("{reg} was never written"))
    }

    fn set(&mut self, reg: Reg, n: u64) -> Result<(), String> {
        if reg == Reg::FP {
            return Err("the frame pointer is read only".into());
        }
        self.regs[reg.index()] = Some(n);
        Ok(())
    }

    fn source(&self, src: Src) -> Result<u64, String> {
        match src {
            Src::Reg(reg) => self.get(reg),
            Src::Imm(imm) => Ok(i64::from(imm) as u64),
        }
    }

    fn address(&self, reg: Reg, off: i16) -> Result<u64, String> {
        Ok(self.get(reg)?.wrapping_add_signed(i64::from(off)))
    }

    fn load(&self, size: Size, at: u64) -> Result<u64, String> {
        if !at.is_multiple_of(u64::from(size.bytes())) {
            return Err("misaligned".into());
        }
        let mut n = 0;
        for i in (0..u64::from(size.bytes())).rev() {
            let at = at + i;
            let byte = match at.checked_sub(STACK_BASE) {
                Some(i) => self
                    .stack
                    .get(i as usize)
                    .ok_or("outside of the stack")?
                    .ok_or("read before it was written")?,
                None => *self
                    .context
                    .get(at.wrapping_sub(CONTEXT_BASE) as usize)
                    .ok_or("outside of the context")?,
            };
            n = n << 8 | u64::from(byte);
        }
        Ok(n)
    }

    fn store(&mut self, size: Size, at: u64, value: u64) -> Result<(), String> {
        if !at.is_multiple_of(u64::from(size.bytes())) {
            return Err("misaligned".into());
        }
        for (i, byte) in value
            .to_le_bytes()
            .into_iter()
            .take(size.bytes() as usize)
            .enumerate()
        {
            let at = at + i as u64;
            match at.checked_sub(STACK_BASE) {
                Some(i) => {
                    *self
                        .stack
                        .get_mut(i as usize)
                        .ok_or("outside of the stack")? = Some(byte);
                }
                None => {
                    let i = at.wrapping_sub(CONTEXT_BASE) as usize;
                    *self.context.get_mut(i).ok_or("outside of the context")? = byte;
                }
            }
        }
        Ok(())
    }
}

fn is_v4(insn: &Insn) -> bool {
    use beetrace_isa::AluOp::{SDiv, SMod};
    match insn {
        Insn::MovSx { .. } => true,
        Insn::Load { sign_extend, .. } => *sign_extend,
        Insn::Alu { op, .. } => matches!(op, SDiv | SMod),
        Insn::Endian { op, .. } => *op == Endian::Swap,
        _ => false,
    }
}

/// What the kernel refuses.
fn check_immediate(op: beetrace_isa::AluOp, width: Width, imm: i32) -> Result<(), String> {
    use beetrace_isa::AluOp::{Arsh, Div, Lsh, Mod, Rsh, SDiv, SMod};
    match op {
        Div | Mod | SDiv | SMod if imm == 0 => Err("division by the constant zero".into()),
        Lsh | Rsh | Arsh if imm < 0 || imm >= width.bits() as i32 => {
            Err("shift by too much".into())
        }
        _ => Ok(()),
    }
}
