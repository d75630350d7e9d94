//! Pre-decoded instructions: what the interpreter runs.
//!
//! One [`Op`] an instruction (not a slot), so an index into the one is an index into the other. Jumps hold the index
//! that they lead to, immediates are extended, maps and functions are resolved.

use beetrace_isa::{AluOp, AtomicOp, Endian, JmpOp, Size, Src, Width};

/// What an [`Op`] does. The suffixes: width 64 or 32, second operand a register or an immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[rustfmt::skip]
pub(crate) enum Code {
    Add64R, Add64I, Add32R, Add32I,
    Sub64R, Sub64I, Sub32R, Sub32I,
    Mul64R, Mul64I, Mul32R, Mul32I,
    Div64R, Div64I, Div32R, Div32I,
    SDiv64R, SDiv64I, SDiv32R, SDiv32I,
    Mod64R, Mod64I, Mod32R, Mod32I,
    SMod64R, SMod64I, SMod32R, SMod32I,
    Or64R, Or64I, Or32R, Or32I,
    And64R, And64I, And32R, And32I,
    Xor64R, Xor64I, Xor32R, Xor32I,
    Lsh64R, Lsh64I, Lsh32R, Lsh32I,
    Rsh64R, Rsh64I, Rsh32R, Rsh32I,
    Arsh64R, Arsh64I, Arsh32R, Arsh32I,
    Mov64R, Mov64I, Mov32R, Mov32I,
    JEq64R, JEq64I, JEq32R, JEq32I,
    JNe64R, JNe64I, JNe32R, JNe32I,
    JGt64R, JGt64I, JGt32R, JGt32I,
    JGe64R, JGe64I, JGe32R, JGe32I,
    JLt64R, JLt64I, JLt32R, JLt32I,
    JLe64R, JLe64I, JLe32R, JLe32I,
    JSet64R, JSet64I, JSet32R, JSet32I,
    JSgt64R, JSgt64I, JSgt32R, JSgt32I,
    JSge64R, JSge64I, JSge32R, JSge32I,
    JSlt64R, JSlt64I, JSlt32R, JSlt32I,
    JSle64R, JSle64I, JSle32R, JSle32I,
    Neg64, Neg32,
    Sx8To64, Sx16To64, Sx32To64, Sx8To32, Sx16To32,
    Low16, Low32, Swap16, Swap32, Swap64, Nop,
    Load8, Load16, Load32, Load64, LoadS8, LoadS16, LoadS32,
    Store8R, Store16R, Store32R, Store64R,
    Store8I, Store16I, Store32I, Store64I,
    Atomic32, Atomic64,
    LdImm, Ja, Call, CallLocal, TailCall, Exit, LdAbs, LdInd,
}

/// One instruction, ready to run.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Op {
    pub(crate) code: Code,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    /// Offset of a memory access, index of a jump's or call's target, or number of an atomic operation or helper.
    pub(crate) off: i32,
    pub(crate) imm: u64,
}

/// Picks from the codes of an operation: 64 and 32 bits with a register, then with an immediate.
fn pick(codes: [Code; 4], width: Width, src: Src) -> Code {
    let [r64, i64, r32, i32] = codes;
    match (width, src) {
        (Width::W64, Src::Reg(_)) => r64,
        (Width::W64, Src::Imm(_)) => i64,
        (Width::W32, Src::Reg(_)) => r32,
        (Width::W32, Src::Imm(_)) => i32,
    }
}

#[rustfmt::skip]
pub(crate) fn alu(op: AluOp, width: Width, src: Src) -> Code {
    pick(match op {
        AluOp::Add => [Code::Add64R, Code::Add64I, Code::Add32R, Code::Add32I],
        AluOp::Sub => [Code::Sub64R, Code::Sub64I, Code::Sub32R, Code::Sub32I],
        AluOp::Mul => [Code::Mul64R, Code::Mul64I, Code::Mul32R, Code::Mul32I],
        AluOp::Div => [Code::Div64R, Code::Div64I, Code::Div32R, Code::Div32I],
        AluOp::SDiv => [Code::SDiv64R, Code::SDiv64I, Code::SDiv32R, Code::SDiv32I],
        AluOp::Mod => [Code::Mod64R, Code::Mod64I, Code::Mod32R, Code::Mod32I],
        AluOp::SMod => [Code::SMod64R, Code::SMod64I, Code::SMod32R, Code::SMod32I],
        AluOp::Or => [Code::Or64R, Code::Or64I, Code::Or32R, Code::Or32I],
        AluOp::And => [Code::And64R, Code::And64I, Code::And32R, Code::And32I],
        AluOp::Xor => [Code::Xor64R, Code::Xor64I, Code::Xor32R, Code::Xor32I],
        AluOp::Lsh => [Code::Lsh64R, Code::Lsh64I, Code::Lsh32R, Code::Lsh32I],
        AluOp::Rsh => [Code::Rsh64R, Code::Rsh64I, Code::Rsh32R, Code::Rsh32I],
        AluOp::Arsh => [Code::Arsh64R, Code::Arsh64I, Code::Arsh32R, Code::Arsh32I],
        AluOp::Mov => [Code::Mov64R, Code::Mov64I, Code::Mov32R, Code::Mov32I],
    }, width, src)
}

#[rustfmt::skip]
pub(crate) fn jump(op: JmpOp, width: Width, src: Src) -> Code {
    pick(match op {
        JmpOp::Eq => [Code::JEq64R, Code::JEq64I, Code::JEq32R, Code::JEq32I],
        JmpOp::Ne => [Code::JNe64R, Code::JNe64I, Code::JNe32R, Code::JNe32I],
        JmpOp::Gt => [Code::JGt64R, Code::JGt64I, Code::JGt32R, Code::JGt32I],
        JmpOp::Ge => [Code::JGe64R, Code::JGe64I, Code::JGe32R, Code::JGe32I],
        JmpOp::Lt => [Code::JLt64R, Code::JLt64I, Code::JLt32R, Code::JLt32I],
        JmpOp::Le => [Code::JLe64R, Code::JLe64I, Code::JLe32R, Code::JLe32I],
        JmpOp::Set => [Code::JSet64R, Code::JSet64I, Code::JSet32R, Code::JSet32I],
        JmpOp::Sgt => [Code::JSgt64R, Code::JSgt64I, Code::JSgt32R, Code::JSgt32I],
        JmpOp::Sge => [Code::JSge64R, Code::JSge64I, Code::JSge32R, Code::JSge32I],
        JmpOp::Slt => [Code::JSlt64R, Code::JSlt64I, Code::JSlt32R, Code::JSlt32I],
        JmpOp::Sle => [Code::JSle64R, Code::JSle64I, Code::JSle32R, Code::JSle32I],
    }, width, src)
}

/// The code of a sign-extending move; `None` for combinations that do not exist.
pub(crate) fn sign_extend(width: Width, from: Size) -> Option<Code> {
    Some(match (width, from) {
        (Width::W64, Size::B1) => Code::Sx8To64,
        (Width::W64, Size::B2) => Code::Sx16To64,
        (Width::W64, Size::B4) => Code::Sx32To64,
        (Width::W32, Size::B1) => Code::Sx8To32,
        (Width::W32, Size::B2) => Code::Sx16To32,
        _ => return None,
    })
}

/// The code of a change of byte order on this machine, which is little-endian.
pub(crate) fn endian(op: Endian, size: Size) -> Option<Code> {
    Some(match (op, size) {
        (Endian::Le, Size::B2) => Code::Low16,
        (Endian::Le, Size::B4) => Code::Low32,
        (Endian::Le, Size::B8) => Code::Nop,
        (_, Size::B2) => Code::Swap16,
        (_, Size::B4) => Code::Swap32,
        (_, Size::B8) => Code::Swap64,
        (_, Size::B1) => return None,
    })
}

/// The code of a load; `None` for a sign-extending one of eight bytes.
pub(crate) fn load(size: Size, sign_extend: bool) -> Option<Code> {
    Some(match (size, sign_extend) {
        (Size::B1, false) => Code::Load8,
        (Size::B2, false) => Code::Load16,
        (Size::B4, false) => Code::Load32,
        (Size::B8, false) => Code::Load64,
        (Size::B1, true) => Code::LoadS8,
        (Size::B2, true) => Code::LoadS16,
        (Size::B4, true) => Code::LoadS32,
        (Size::B8, true) => return None,
    })
}

pub(crate) fn store(size: Size, src: Src) -> Code {
    match (size, src) {
        (Size::B1, Src::Reg(_)) => Code::Store8R,
        (Size::B2, Src::Reg(_)) => Code::Store16R,
        (Size::B4, Src::Reg(_)) => Code::Store32R,
        (Size::B8, Src::Reg(_)) => Code::Store64R,
        (Size::B1, Src::Imm(_)) => Code::Store8I,
        (Size::B2, Src::Imm(_)) => Code::Store16I,
        (Size::B4, Src::Imm(_)) => Code::Store32I,
        (Size::B8, Src::Imm(_)) => Code::Store64I,
    }
}

/// Atomic operations travel in [`Op::imm`] as their index in [`AtomicOp::ALL`].
pub(crate) fn atomic_number(op: AtomicOp) -> u64 {
    AtomicOp::ALL.iter().position(|&o| o == op).unwrap_or(0) as u64
}
