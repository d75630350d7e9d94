//! From instructions to slots.

use crate::insn::{Imm64, Insn};
use crate::ops::{AluOp, AtomicOp, Endian, JmpOp, Size, Src, Width};
use crate::raw::{RawInsn, X, alu, atomic, call, class, jmp, ld64, mode};

/// Encodes a program. The result has [`Insn::slots`] slots an instruction.
///
/// Every instruction has an encoding, also one that the instruction set reserves, such as
/// a sign-extending load of eight bytes: [`decode`](crate::decode) and the kernel refuse those.
pub fn encode(insns: &[Insn]) -> Vec<RawInsn> {
    let mut out = Vec::with_capacity(insns.len());
    for insn in insns {
        let (first, second) = encode_one(insn);
        out.push(first);
        out.extend(second);
    }
    out
}

/// Encodes one instruction; the second slot is there for [`Insn::LdImm64`] only.
pub fn encode_one(insn: &Insn) -> (RawInsn, Option<RawInsn>) {
    let raw = match *insn {
        Insn::Alu {
            width,
            op,
            dst,
            src,
        } => {
            let (bits, off) = alu_bits(op);
            let (x, src, imm) = operand(src);
            RawInsn::new(alu_class(width) | bits | x, dst.number(), src, off, imm)
        }
        Insn::Neg { width, dst } => {
            RawInsn::new(alu_class(width) | alu::NEG, dst.number(), 0, 0, 0)
        }
        Insn::MovSx {
            width,
            from,
            dst,
            src,
        } => RawInsn::new(
            alu_class(width) | alu::MOV | X,
            dst.number(),
            src.number(),
            from.bits() as i16,
            0,
        ),
        Insn::Endian { op, size, dst } => {
            let code = match op {
                Endian::Le => class::ALU | alu::END,
                Endian::Be => class::ALU | alu::END | X,
                Endian::Swap => class::ALU64 | alu::END,
            };
            RawInsn::new(code, dst.number(), 0, 0, size.bits() as i32)
        }
        Insn::LdImm64 { dst, imm } => {
            let (kind, low, high) = imm64_parts(imm);
            let code = class::LD | mode::IMM | size_bits(Size::B8);
            return (
                RawInsn::new(code, dst.number(), kind, 0, low),
                Some(RawInsn::new(0, 0, 0, 0, high)),
            );
        }
        Insn::Load {
            size,
            sign_extend,
            dst,
            src,
            off,
        } => {
            let mode = if sign_extend { mode::MEMSX } else { mode::MEM };
            let code = class::LDX | mode | size_bits(size);
            RawInsn::new(code, dst.number(), src.number(), off, 0)
        }
        Insn::Store {
            size,
            dst,
            off,
            src,
        } => {
            let (x, src, imm) = operand(src);
            let class = if x == 0 { class::ST } else { class::STX };
            RawInsn::new(
                class | mode::MEM | size_bits(size),
                dst.number(),
                src,
                off,
                imm,
            )
        }
        Insn::Atomic {
            op,
            size,
            dst,
            src,
            off,
        } => RawInsn::new(
            class::STX | mode::ATOMIC | size_bits(size),
            dst.number(),
            src.number(),
            off,
            atomic_bits(op),
        ),
        Insn::Ja { off } => match i16::try_from(off) {
            Ok(off) => RawInsn::new(class::JMP | jmp::JA, 0, 0, off, 0),
            Err(_) => RawInsn::new(class::JMP32 | jmp::JA, 0, 0, 0, off),
        },
        Insn::Jmp {
            width,
            op,
            dst,
            src,
            off,
        } => {
            let (x, src, imm) = operand(src);
            let class = match width {
                Width::W32 => class::JMP32,
                Width::W64 => class::JMP,
            };
            RawInsn::new(class | jmp_bits(op) | x, dst.number(), src, off, imm)
        }
        Insn::Call { helper } => call_insn(call::HELPER, 0, helper as i32),
        Insn::CallLocal { rel } => call_insn(call::LOCAL, 0, rel),
        Insn::CallKfunc { btf_id, fd_idx } => call_insn(call::KFUNC, fd_idx, btf_id as i32),
        Insn::Exit => RawInsn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0),
        Insn::LdAbs { size, imm } => {
            RawInsn::new(class::LD | mode::ABS | size_bits(size), 0, 0, 0, imm)
        }
        Insn::LdInd { size, src, imm } => RawInsn::new(
            class::LD | mode::IND | size_bits(size),
            0,
            src.number(),
            0,
            imm,
        ),
    };
    (raw, None)
}

fn call_insn(kind: u8, off: i16, imm: i32) -> RawInsn {
    RawInsn::new(class::JMP | jmp::CALL, 0, kind, off, imm)
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::ALU,
        Width::W64 => class::ALU64,
    }
}

/// The source bit of the opcode, the source register field and the immediate.
fn operand(src: Src) -> (u8, u8, i32) {
    match src {
        Src::Reg(reg) => (X, reg.number(), 0),
        Src::Imm(imm) => (0, 0, imm),
    }
}

pub(crate) fn size_bits(size: Size) -> u8 {
    match size {
        Size::B4 => 0x00,
        Size::B2 => 0x08,
        Size::B1 => 0x10,
        Size::B8 => 0x18,
    }
}

/// The operation bits, and the offset that tells signed division from unsigned.
fn alu_bits(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (alu::ADD, 0),
        AluOp::Sub => (alu::SUB, 0),
        AluOp::Mul => (alu::MUL, 0),
        AluOp::Div => (alu::DIV, 0),
        AluOp::SDiv => (alu::DIV, 1),
        AluOp::Mod => (alu::MOD, 0),
        AluOp::SMod => (alu::MOD, 1),
        AluOp::Or => (alu::OR, 0),
        AluOp::And => (alu::AND, 0),
        AluOp::Xor => (alu::XOR, 0),
        AluOp::Lsh => (alu::LSH, 0),
        AluOp::Rsh => (alu::RSH, 0),
        AluOp::Arsh => (alu::ARSH, 0),
        AluOp::Mov => (alu::MOV, 0),
    }
}

fn jmp_bits(op: JmpOp) -> u8 {
    match op {
        JmpOp::Eq => jmp::JEQ,
        JmpOp::Ne => jmp::JNE,
        JmpOp::Gt => jmp::JGT,
        JmpOp::Ge => jmp::JGE,
        JmpOp::Lt => jmp::JLT,
        JmpOp::Le => jmp::JLE,
        JmpOp::Set => jmp::JSET,
        JmpOp::Sgt => jmp::JSGT,
        JmpOp::Sge => jmp::JSGE,
        JmpOp::Slt => jmp::JSLT,
        JmpOp::Sle => jmp::JSLE,
    }
}

fn atomic_bits(op: AtomicOp) -> i32 {
    let with = |op: u8, fetch| i32::from(op) | if fetch { atomic::FETCH } else { 0 };
    match op {
        AtomicOp::Add { fetch } => with(alu::ADD, fetch),
        AtomicOp::Or { fetch } => with(alu::OR, fetch),
        AtomicOp::And { fetch } => with(alu::AND, fetch),
        AtomicOp::Xor { fetch } => with(alu::XOR, fetch),
        AtomicOp::Xchg => atomic::XCHG,
        AtomicOp::CmpXchg => atomic::CMPXCHG,
    }
}

/// The kind in the source register field, and the immediates of both slots.
fn imm64_parts(imm: Imm64) -> (u8, i32, i32) {
    match imm {
        Imm64::Value(v) => (ld64::VALUE, v as i32, (v >> 32) as i32),
        Imm64::MapFd(fd) => (ld64::MAP_FD, fd, 0),
        Imm64::MapFdValue { fd, off } => (ld64::MAP_FD_VALUE, fd, off as i32),
        Imm64::BtfVar { btf_id, module_fd } => (ld64::BTF_VAR, btf_id as i32, module_fd),
        Imm64::Func(rel) => (ld64::FUNC, rel, 0),
        Imm64::MapIdx(idx) => (ld64::MAP_IDX, idx as i32, 0),
        Imm64::MapIdxValue { idx, off } => (ld64::MAP_IDX_VALUE, idx as i32, off as i32),
    }
}
