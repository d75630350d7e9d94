//! Machine code before registers and stack are assigned: eBPF instructions over virtual registers, frame slots and blocks.

use beetrace_isa::{AluOp, AtomicOp, Imm64, JmpOp, Reg, Size, Width};
use beetrace_object::SourceSpan;

use crate::ir::{FuncId, Slot, SlotData};

/// A register: one of the machine's (`r0` to `r10` by their numbers), or a virtual one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VReg(pub(crate) u32);

/// The number of the first virtual register.
pub(crate) const FIRST_VIRTUAL: u32 = 11;

impl VReg {
    pub(crate) const fn fixed(reg: Reg) -> VReg {
        VReg(reg.number() as u32)
    }

    /// The machine's register, `None` for a virtual one.
    pub(crate) fn as_fixed(self) -> Option<Reg> {
        u8::try_from(self.0).ok().and_then(Reg::new)
    }

    pub(crate) const fn is_virtual(self) -> bool {
        self.0 >= FIRST_VIRTUAL
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MSrc {
    Reg(VReg),
    Imm(i32),
}

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addr {
    pub(crate) base: Base,
    pub(crate) off: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Reg(VReg),
    Slot(Slot),
}

/// Index of a block of a [`MFunc`].
pub(crate) type Label = usize;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MInst {
    pub(crate) op: MOp,
    pub(crate) span: SourceSpan,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MOp {
    /// A copy of all 64 bits: the allocator tries to make both the same register.
    Mov {
        dst: VReg,
        src: VReg,
    },
    MovImm {
        dst: VReg,
        imm: i64,
    },
    /// The low half, zeros above.
    Zext32 {
        dst: VReg,
        src: VReg,
    },
    /// `dst` is the left operand and the result.
    Alu {
        width: Width,
        op: AluOp,
        dst: VReg,
        src: MSrc,
    },
    Neg {
        width: Width,
        dst: VReg,
    },
    /// Sign extension of the low `from` to 64 bits.
    MovSx {
        from: Size,
        dst: VReg,
        src: VReg,
    },
    /// Byte swap of the low `size`, zeros above.
    Swap {
        size: Size,
        dst: VReg,
    },
    LdImm64 {
        dst: VReg,
        imm: Imm64,
    },
    FuncAddr {
        dst: VReg,
        function: FuncId,
    },
    SlotAddr {
        dst: VReg,
        slot: Slot,
        off: i32,
    },
    Load {
        size: Size,
        sign_extend: bool,
        dst: VReg,
        addr: Addr,
    },
    Store {
        size: Size,
        addr: Addr,
        src: MSrc,
    },
    /// `src` receives the old value where the operation fetches.
    Atomic {
        op: AtomicOp,
        size: Size,
        addr: Addr,
        src: VReg,
    },
    /// Takes `r1` to `r<args>`, gives `r0`, destroys `r1` to `r5`.
    Call {
        callee: Callee,
        args: u8,
    },
    /// `dst = src` unless the comparison holds.
    MovUnless {
        op: JmpOp,
        width: Width,
        left: VReg,
        right: MSrc,
        dst: VReg,
        src: MSrc,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Helper(u32),
    Kfunc(u32),
    Local(FuncId),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MEnd {
    Jump(Label),
    Branch {
        op: JmpOp,
        width: Width,
        left: VReg,
        right: MSrc,
        then: Label,
        otherwise: Label,
        /// Whether it is likely, or unlikely, that the comparison holds; `None` where nothing is known.
        likely: Option<bool>,
    },
    /// Returns `r0`.
    Exit,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MBlock {
    pub(crate) insts: Vec<MInst>,
    pub(crate) end: MEnd,
    pub(crate) end_span: SourceSpan,
    /// How many loops the block is in.
    pub(crate) depth: u32,
}

/// One function. Block 0 is the entry and has no predecessor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MFunc {
    pub(crate) blocks: Vec<MBlock>,
    pub(crate) slots: Vec<SlotData>,
    /// One more than the highest register number.
    pub(crate) regs: u32,
}

/// How an instruction touches a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Use,
    Def,
    /// Read, then written: the same register is operand and result.
    Both,
}

impl Role {
    pub(crate) fn reads(self) -> bool {
        self != Role::Def
    }

    pub(crate) fn writes(self) -> bool {
        self != Role::Use
    }
}

impl MOp {
    /// Calls `f` with each register that is read or written by name; the fixed registers of a call are among them.
    pub(crate) fn visit(&self, mut f: impl FnMut(VReg, Role)) {
        let mut copy = *self;
        copy.visit_mut(|reg, role| f(*reg, role));
        if let MOp::Call { args, .. } = *self {
            for n in 1..=u32::from(args) {
                f(VReg(n), Role::Use);
            }
            for n in 0..=5 {
                f(VReg(n), Role::Def);
            }
        }
    }

    /// The same for the registers that may be renamed, to change.
    pub(crate) fn visit_mut(&mut self, mut f: impl FnMut(&mut VReg, Role)) {
        match self {
            MOp::Mov { dst, src } | MOp::Zext32 { dst, src } | MOp::MovSx { dst, src, .. } => {
                f(src, Role::Use);
                f(dst, Role::Def);
            }
            MOp::MovImm { dst, .. }
            | MOp::LdImm64 { dst, .. }
            | MOp::FuncAddr { dst, .. }
            | MOp::SlotAddr { dst, .. } => f(dst, Role::Def),
            MOp::Alu { dst, src, .. } => {
                visit_src(src, &mut f);
                f(dst, Role::Both);
            }
            MOp::Neg { dst, .. } | MOp::Swap { dst, .. } => f(dst, Role::Both),
            MOp::Load { dst, addr, .. } => {
                visit_addr(addr, &mut f);
                f(dst, Role::Def);
            }
            MOp::Store { addr, src, .. } => {
                visit_addr(addr, &mut f);
                visit_src(src, &mut f);
            }
            MOp::Atomic { op, addr, src, .. } => {
                visit_addr(addr, &mut f);
                let role = if fetches(*op) { Role::Both } else { Role::Use };
                f(src, role);
            }
            MOp::Call { .. } => {}
            MOp::MovUnless {
                left,
                right,
                dst,
                src,
                ..
            } => {
                f(left, Role::Use);
                visit_src(right, &mut f);
                visit_src(src, &mut f);
                f(dst, Role::Both);
            }
        }
    }

    /// The frame slot that the instruction names.
    pub(crate) fn slot(&self) -> Option<Slot> {
        match self {
            MOp::SlotAddr { slot, .. } => Some(*slot),
            MOp::Load { addr, .. } | MOp::Store { addr, .. } | MOp::Atomic { addr, .. } => {
                match addr.base {
                    Base::Slot(slot) => Some(slot),
                    Base::Reg(_) => None,
                }
            }
            _ => None,
        }
    }

    /// Whether it does nothing but write its one `dst`.
    pub(crate) fn is_pure(&self) -> bool {
        !matches!(
            self,
            MOp::Store { .. } | MOp::Atomic { .. } | MOp::Call { .. }
        )
    }

    /// Whether it gives the same wherever it stands, so that repeating it is as good as keeping its result.
    pub(crate) fn is_rematerialisable(&self) -> bool {
        matches!(
            self,
            MOp::MovImm { .. } | MOp::LdImm64 { .. } | MOp::FuncAddr { .. } | MOp::SlotAddr { .. }
        )
    }
}

fn visit_src(src: &mut MSrc, f: &mut impl FnMut(&mut VReg, Role)) {
    if let MSrc::Reg(reg) = src {
        f(reg, Role::Use);
    }
}

fn visit_addr(addr: &mut Addr, f: &mut impl FnMut(&mut VReg, Role)) {
    if let Base::Reg(reg) = &mut addr.base {
        f(reg, Role::Use);
    }
}

/// Whether the operation gives the old value of memory.
pub(crate) fn fetches(op: AtomicOp) -> bool {
    match op {
        AtomicOp::Add { fetch }
        | AtomicOp::Or { fetch }
        | AtomicOp::And { fetch }
        | AtomicOp::Xor { fetch } => fetch,
        AtomicOp::Xchg | AtomicOp::CmpXchg => true,
    }
}

impl MEnd {
    pub(crate) fn visit(&self, mut f: impl FnMut(VReg, Role)) {
        let mut copy = *self;
        copy.visit_mut(|reg, role| f(*reg, role));
        if *self == MEnd::Exit {
            f(VReg::fixed(Reg::R0), Role::Use);
        }
    }

    pub(crate) fn visit_mut(&mut self, mut f: impl FnMut(&mut VReg, Role)) {
        if let MEnd::Branch { left, right, .. } = self {
            f(left, Role::Use);
            visit_src(right, &mut f);
        }
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = Label> {
        let (first, second) = match *self {
            MEnd::Jump(target) => (Some(target), None),
            MEnd::Branch {
                then, otherwise, ..
            } => (Some(then), Some(otherwise)),
            MEnd::Exit => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl MFunc {
    /// A virtual register that nothing uses yet.
    pub(crate) fn fresh(&mut self) -> VReg {
        self.regs += 1;
        VReg(self.regs - 1)
    }
}
