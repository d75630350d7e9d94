//! The text form of instructions, after the log of the kernel's verifier.

use std::fmt;

use crate::helpers::helper_name;
use crate::insn::{Imm64, Insn};
use crate::ops::{AtomicOp, Endian, Reg, Size, Src, Width};

/// Writes the instruction as [`assemble`](crate::assemble) reads it. The alternate form
/// (`{:#}`) also names helper functions: `call bpf_ktime_get_ns#5`.
impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => write!(
                f,
                "{} {} {}",
                Sub(width, dst),
                op.symbol(),
                Operand(width, src)
            ),
            Insn::Neg { width, dst } => {
                let dst = Sub(width, dst);
                write!(f, "{dst} = -{dst}")
            }
            Insn::MovSx {
                width,
                from,
                dst,
                src,
            } => write!(
                f,
                "{} = (s{}){}",
                Sub(width, dst),
                from.bits(),
                Sub(width, src)
            ),
            Insn::Endian { op, size, dst } => {
                let op = match op {
                    Endian::Le => "le",
                    Endian::Be => "be",
                    Endian::Swap => "bswap",
                };
                write!(f, "{dst} = {op}{} {dst}", size.bits())
            }
            Insn::LdImm64 { dst, imm } => write!(f, "{dst} = {imm} ll"),
            Insn::Load {
                size,
                sign_extend,
                dst,
                src,
                off,
            } => {
                let sign = if sign_extend { 's' } else { 'u' };
                let bits = size.bits();
                write!(f, "{dst} = *({sign}{bits} *)({src} {})", Offset(off))
            }
            Insn::Store {
                size,
                dst,
                off,
                src,
            } => write!(
                f,
                "{} = {}",
                Place(size, dst, off),
                Operand(Width::W64, src)
            ),
            Insn::Atomic {
                op,
                size,
                dst,
                src,
                off,
            } => fmt_atomic(f, op, size, Place(size, dst, off), src),
            Insn::Ja { off } => write!(f, "goto {off:+}"),
            Insn::Jmp {
                width,
                op,
                dst,
                src,
                off,
            } => write!(
                f,
                "if {} {} {} goto {off:+}",
                Sub(width, dst),
                op.symbol(),
                Operand(width, src)
            ),
            Insn::Call { helper } => match helper_name(helper) {
                Some(name) if f.alternate() => write!(f, "call {name}#{helper}"),
                _ => write!(f, "call {helper}"),
            },
            Insn::CallLocal { rel } => write!(f, "call pc{rel:+}"),
            Insn::CallKfunc { btf_id, fd_idx: 0 } => write!(f, "call kfunc[{btf_id}]"),
            Insn::CallKfunc { btf_id, fd_idx } => write!(f, "call kfunc[{btf_id} fd:{fd_idx}]"),
            Insn::Exit => f.write_str("exit"),
            Insn::LdAbs { size, imm } => write!(f, "r0 = *(u{} *)skb[{imm}]", size.bits()),
            Insn::LdInd { size, src, imm } => {
                write!(f, "r0 = *(u{} *)skb[{src} {}]", size.bits(), Offset(imm))
            }
        }
    }
}

impl fmt::Display for Imm64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Imm64::Value(value) => write!(f, "{value:#x}"),
            Imm64::MapFd(fd) => write!(f, "map[fd:{fd}]"),
            Imm64::MapFdValue { fd, off } => write!(f, "map[fd:{fd}][0]+{off}"),
            Imm64::BtfVar {
                btf_id,
                module_fd: 0,
            } => write!(f, "var[{btf_id}]"),
            Imm64::BtfVar { btf_id, module_fd } => write!(f, "var[{btf_id} fd:{module_fd}]"),
            Imm64::Func(rel) => write!(f, "func[{rel:+}]"),
            Imm64::MapIdx(idx) => write!(f, "map[{idx}]"),
            Imm64::MapIdxValue { idx, off } => write!(f, "map[{idx}][0]+{off}"),
        }
    }
}

/// Lists a program, one instruction a line behind the number of its first slot.
/// Helper functions are named.
pub fn disassemble(insns: &[Insn]) -> String {
    use fmt::Write;
    let mut out = String::new();
    let mut slot = 0;
    for insn in insns {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{slot:4}: {insn:#}");
        slot += insn.slots();
    }
    out
}

fn fmt_atomic(
    f: &mut fmt::Formatter<'_>,
    op: AtomicOp,
    size: Size,
    place: Place,
    src: Reg,
) -> fmt::Result {
    let (width, prefix) = match size {
        Size::B8 => (Width::W64, "atomic64"),
        _ => (Width::W32, "atomic"),
    };
    let src = Sub(width, src);
    let Place(_, dst, off) = place;
    let place_args = Pointer(size, dst, off);
    let (sign, name, fetch) = match op {
        AtomicOp::Add { fetch } => ("+=", "add", fetch),
        AtomicOp::Or { fetch } => ("|=", "or", fetch),
        AtomicOp::And { fetch } => ("&=", "and", fetch),
        AtomicOp::Xor { fetch } => ("^=", "xor", fetch),
        AtomicOp::Xchg => return write!(f, "{src} = {prefix}_xchg({place_args}, {src})"),
        AtomicOp::CmpXchg => {
            let r0 = Sub(width, Reg::R0);
            return write!(f, "{r0} = {prefix}_cmpxchg({place_args}, {r0}, {src})");
        }
    };
    if fetch {
        write!(f, "{src} = {prefix}_fetch_{name}({place_args}, {src})")
    } else {
        write!(f, "lock {place} {sign} {src}")
    }
}

/// A register under the name its width gives it: `r1` or `w1`.
struct Sub(Width, Reg);

impl fmt::Display for Sub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.0 {
            Width::W32 => 'w',
            Width::W64 => 'r',
        };
        write!(f, "{letter}{}", self.1.number())
    }
}

struct Operand(Width, Src);

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Src::Reg(reg) => Sub(self.0, reg).fmt(f),
            Src::Imm(imm) => imm.fmt(f),
        }
    }
}

/// A signed offset with a space after its sign.
struct Offset<T>(T);

impl<T: Into<i64> + Copy> fmt::Display for Offset<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off: i64 = self.0.into();
        let sign = if off < 0 { '-' } else { '+' };
        write!(f, "{sign} {}", off.unsigned_abs())
    }
}

/// A place in memory, dereferenced.
struct Place(Size, Reg, i16);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(size, reg, off) = *self;
        write!(f, "*{}", Pointer(size, reg, off))
    }
}

/// A typed pointer to a place in memory.
struct Pointer(Size, Reg, i16);

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pointer(size, reg, off) = *self;
        write!(f, "(u{} *)({reg} {})", size.bits(), Offset(off))
    }
}
