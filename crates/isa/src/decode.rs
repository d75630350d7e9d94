//! From slots to instructions.

use crate::insn::{Imm64, Insn};
use crate::ops::{AluOp, AtomicOp, Endian, JmpOp, Reg, Size, Src, Width};
use crate::raw::{RawInsn, X, alu, atomic, call, class, jmp, ld64, mode};

/// Why a program could not be decoded, and at which slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction slot {slot}: {kind}")]
pub struct DecodeError {
    /// Index of the offending slot.
    pub slot: usize,
    pub kind: DecodeErrorKind,
}

/// The ways in which a slot can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    #[error("register r{0} does not exist")]
    Register(u8),
    #[error("reserved field {field} of opcode {code:#04x} is not zero")]
    Reserved { code: u8, field: &'static str },
    #[error("field {field} of opcode {code:#04x} has the reserved value {value:#x}")]
    Value {
        code: u8,
        field: &'static str,
        value: i32,
    },
    #[error("the program ends inside an instruction")]
    Truncated,
}

/// Decodes a whole program. Jump targets are not looked at.
pub fn decode(raw: &[RawInsn]) -> Result<Vec<Insn>, DecodeError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, tail)) = rest.split_first() {
        let slot = raw.len() - rest.len();
        let insn =
            decode_one(*first, tail.first().copied()).map_err(|kind| DecodeError { slot, kind })?;
        rest = tail.get(insn.slots() - 1..).unwrap_or_default();
        out.push(insn);
    }
    Ok(out)
}

/// Decodes the instruction that starts with `raw`; `next` is the slot after it.
pub fn decode_one(raw: RawInsn, next: Option<RawInsn>) -> Result<Insn, DecodeErrorKind> {
    match raw.code & 7 {
        class::LD => decode_ld(raw, next),
        class::LDX => decode_ldx(raw),
        class::ST | class::STX => decode_store(raw),
        class::ALU | class::ALU64 => decode_alu(raw),
        _ => decode_jmp(raw),
    }
}

type Result1<T> = Result<T, DecodeErrorKind>;

fn reg(n: u8) -> Result1<Reg> {
    Reg::new(n).ok_or(DecodeErrorKind::Register(n))
}

fn size(code: u8) -> Size {
    match code & 0x18 {
        0x00 => Size::B4,
        0x08 => Size::B2,
        0x10 => Size::B1,
        _ => Size::B8,
    }
}

/// Checks of the fields that an opcode does not use.
impl RawInsn {
    fn zero(self, field: &'static str, value: i32) -> Result1<()> {
        if value == 0 {
            Ok(())
        } else {
            let code = self.code;
            Err(DecodeErrorKind::Reserved { code, field })
        }
    }

    fn no_dst(self) -> Result1<()> {
        self.zero("dst_reg", self.dst().into())
    }

    fn no_src(self) -> Result1<()> {
        self.zero("src_reg", self.src().into())
    }

    fn no_off(self) -> Result1<()> {
        self.zero("off", self.off.into())
    }

    fn no_imm(self) -> Result1<()> {
        self.zero("imm", self.imm)
    }

    fn bad(self, field: &'static str, value: impl Into<i32>) -> DecodeErrorKind {
        DecodeErrorKind::Value {
            code: self.code,
            field,
            value: value.into(),
        }
    }

    fn unknown(self) -> DecodeErrorKind {
        DecodeErrorKind::Opcode(self.code)
    }

    /// The second operand of arithmetic and jumps.
    fn operand(self) -> Result1<Src> {
        if self.code & X != 0 {
            self.no_imm()?;
            Ok(Src::Reg(reg(self.src())?))
        } else {
            self.no_src()?;
            Ok(Src::Imm(self.imm))
        }
    }
}

fn decode_ld(raw: RawInsn, next: Option<RawInsn>) -> Result1<Insn> {
    let size = size(raw.code);
    match raw.code & 0xe0 {
        mode::IMM if size == Size::B8 => {
            raw.no_off()?;
            let dst = reg(raw.dst())?;
            let next = next.ok_or(DecodeErrorKind::Truncated)?;
            if next.code != 0 {
                return Err(next.unknown());
            }
            next.no_dst()?;
            next.no_src()?;
            next.no_off()?;
            let imm = decode_imm64(raw, next)?;
            Ok(Insn::LdImm64 { dst, imm })
        }
        mode::ABS if size != Size::B8 => {
            raw.no_dst()?;
            raw.no_src()?;
            raw.no_off()?;
            let imm = raw.imm;
            Ok(Insn::LdAbs { size, imm })
        }
        mode::IND if size != Size::B8 => {
            raw.no_dst()?;
            raw.no_off()?;
            let (src, imm) = (reg(raw.src())?, raw.imm);
            Ok(Insn::LdInd { size, src, imm })
        }
        _ => Err(raw.unknown()),
    }
}

fn decode_imm64(raw: RawInsn, next: RawInsn) -> Result1<Imm64> {
    let (low, high) = (raw.imm as u32, next.imm as u32);
    Ok(match raw.src() {
        ld64::VALUE => Imm64::Value(u64::from(high) << 32 | u64::from(low)),
        ld64::MAP_FD => {
            next.no_imm()?;
            Imm64::MapFd(raw.imm)
        }
        ld64::MAP_FD_VALUE => Imm64::MapFdValue {
            fd: raw.imm,
            off: high,
        },
        ld64::BTF_VAR => Imm64::BtfVar {
            btf_id: low,
            module_fd: next.imm,
        },
        ld64::FUNC => {
            next.no_imm()?;
            Imm64::Func(raw.imm)
        }
        ld64::MAP_IDX => {
            next.no_imm()?;
            Imm64::MapIdx(low)
        }
        ld64::MAP_IDX_VALUE => Imm64::MapIdxValue {
            idx: low,
            off: high,
        },
        kind => return Err(raw.bad("src_reg", kind)),
    })
}

fn decode_ldx(raw: RawInsn) -> Result1<Insn> {
    let size = size(raw.code);
    let sign_extend = match raw.code & 0xe0 {
        mode::MEM => false,
        mode::MEMSX if size != Size::B8 => true,
        _ => return Err(raw.unknown()),
    };
    raw.no_imm()?;
    Ok(Insn::Load {
        size,
        sign_extend,
        dst: reg(raw.dst())?,
        src: reg(raw.src())?,
        off: raw.off,
    })
}

fn decode_store(raw: RawInsn) -> Result1<Insn> {
    let (size, dst, off) = (size(raw.code), reg(raw.dst())?, raw.off);
    let is_reg = raw.code & 7 == class::STX;
    match raw.code & 0xe0 {
        mode::MEM => {
            let src = if is_reg {
                raw.no_imm()?;
                Src::Reg(reg(raw.src())?)
            } else {
                raw.no_src()?;
                Src::Imm(raw.imm)
            };
            Ok(Insn::Store {
                size,
                dst,
                off,
                src,
            })
        }
        mode::ATOMIC if is_reg && matches!(size, Size::B4 | Size::B8) => Ok(Insn::Atomic {
            op: decode_atomic(raw)?,
            size,
            dst,
            src: reg(raw.src())?,
            off,
        }),
        _ => Err(raw.unknown()),
    }
}

fn decode_atomic(raw: RawInsn) -> Result1<AtomicOp> {
    let bad = || raw.bad("imm", raw.imm);
    match raw.imm {
        atomic::XCHG => return Ok(AtomicOp::Xchg),
        atomic::CMPXCHG => return Ok(AtomicOp::CmpXchg),
        _ => {}
    }
    let fetch = raw.imm & atomic::FETCH != 0;
    let op = u8::try_from(raw.imm & !atomic::FETCH).map_err(|_| bad())?;
    match op {
        alu::ADD => Ok(AtomicOp::Add { fetch }),
        alu::OR => Ok(AtomicOp::Or { fetch }),
        alu::AND => Ok(AtomicOp::And { fetch }),
        alu::XOR => Ok(AtomicOp::Xor { fetch }),
        _ => Err(bad()),
    }
}

fn decode_alu(raw: RawInsn) -> Result1<Insn> {
    let width = if raw.code & 7 == class::ALU {
        Width::W32
    } else {
        Width::W64
    };
    let dst = reg(raw.dst())?;
    let op = match raw.code & 0xf0 {
        alu::NEG => {
            if raw.code & X != 0 {
                return Err(raw.unknown());
            }
            raw.no_src()?;
            raw.no_off()?;
            raw.no_imm()?;
            return Ok(Insn::Neg { width, dst });
        }
        alu::END => return decode_endian(raw, width, dst),
        alu::MOV if raw.code & X != 0 && raw.off != 0 => {
            raw.no_imm()?;
            let from = match (raw.off, width) {
                (8, _) => Size::B1,
                (16, _) => Size::B2,
                (32, Width::W64) => Size::B4,
                _ => return Err(raw.bad("off", raw.off)),
            };
            let src = reg(raw.src())?;
            return Ok(Insn::MovSx {
                width,
                from,
                dst,
                src,
            });
        }
        op @ (alu::DIV | alu::MOD) => match (op, raw.off) {
            (alu::DIV, 0) => AluOp::Div,
            (alu::DIV, 1) => AluOp::SDiv,
            (_, 0) => AluOp::Mod,
            (_, 1) => AluOp::SMod,
            _ => return Err(raw.bad("off", raw.off)),
        },
        op => {
            let op = match op {
                alu::ADD => AluOp::Add,
                alu::SUB => AluOp::Sub,
                alu::MUL => AluOp::Mul,
                alu::OR => AluOp::Or,
                alu::AND => AluOp::And,
                alu::LSH => AluOp::Lsh,
                alu::RSH => AluOp::Rsh,
                alu::XOR => AluOp::Xor,
                alu::MOV => AluOp::Mov,
                alu::ARSH => AluOp::Arsh,
                _ => return Err(raw.unknown()),
            };
            raw.no_off()?;
            op
        }
    };
    let src = raw.operand()?;
    Ok(Insn::Alu {
        width,
        op,
        dst,
        src,
    })
}

fn decode_endian(raw: RawInsn, width: Width, dst: Reg) -> Result1<Insn> {
    let op = match (width, raw.code & X != 0) {
        (Width::W32, false) => Endian::Le,
        (Width::W32, true) => Endian::Be,
        (Width::W64, false) => Endian::Swap,
        (Width::W64, true) => return Err(raw.unknown()),
    };
    raw.no_src()?;
    raw.no_off()?;
    let size = match raw.imm {
        16 => Size::B2,
        32 => Size::B4,
        64 => Size::B8,
        imm => return Err(raw.bad("imm", imm)),
    };
    Ok(Insn::Endian { op, size, dst })
}

fn decode_jmp(raw: RawInsn) -> Result1<Insn> {
    let width = if raw.code & 7 == class::JMP {
        Width::W64
    } else {
        Width::W32
    };
    let op = match raw.code & 0xf0 {
        jmp::JA if raw.code & X == 0 => {
            raw.no_dst()?;
            raw.no_src()?;
            let off = if width == Width::W64 {
                raw.no_imm()?;
                raw.off.into()
            } else {
                raw.no_off()?;
                raw.imm
            };
            return Ok(Insn::Ja { off });
        }
        jmp::CALL if width == Width::W64 && raw.code & X == 0 => return decode_call(raw),
        jmp::EXIT if width == Width::W64 && raw.code & X == 0 => {
            raw.no_dst()?;
            raw.no_src()?;
            raw.no_off()?;
            raw.no_imm()?;
            return Ok(Insn::Exit);
        }
        jmp::JEQ => JmpOp::Eq,
        jmp::JNE => JmpOp::Ne,
        jmp::JGT => JmpOp::Gt,
        jmp::JGE => JmpOp::Ge,
        jmp::JLT => JmpOp::Lt,
        jmp::JLE => JmpOp::Le,
        jmp::JSET => JmpOp::Set,
        jmp::JSGT => JmpOp::Sgt,
        jmp::JSGE => JmpOp::Sge,
        jmp::JSLT => JmpOp::Slt,
        jmp::JSLE => JmpOp::Sle,
        _ => return Err(raw.unknown()),
    };
    let (dst, off) = (reg(raw.dst())?, raw.off);
    let src = raw.operand()?;
    Ok(Insn::Jmp {
        width,
        op,
        dst,
        src,
        off,
    })
}

fn decode_call(raw: RawInsn) -> Result1<Insn> {
    raw.no_dst()?;
    match raw.src() {
        call::HELPER => {
            raw.no_off()?;
            let helper = raw.imm as u32;
            Ok(Insn::Call { helper })
        }
        call::LOCAL => {
            raw.no_off()?;
            Ok(Insn::CallLocal { rel: raw.imm })
        }
        call::KFUNC => Ok(Insn::CallKfunc {
            btf_id: raw.imm as u32,
            fd_idx: raw.off,
        }),
        kind => Err(raw.bad("src_reg", kind)),
    }
}
