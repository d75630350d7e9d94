//! The kernel's `struct bpf_insn` and the bits of its opcode byte
//! (include/uapi/linux/bpf.h, include/uapi/linux/bpf_common.h, RFC 9669 section 3).

/// One 8-byte slot as the kernel reads it (`struct bpf_insn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RawInsn {
    /// Operation and class.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub regs: u8,
    pub off: i16,
    pub imm: i32,
}

impl RawInsn {
    /// Bytes of a slot.
    pub const SIZE: usize = 8;

    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> RawInsn {
        RawInsn {
            code,
            regs: (dst & 0xf) | (src << 4),
            off,
            imm,
        }
    }

    /// Number of the destination register; above 10 it is invalid.
    pub const fn dst(self) -> u8 {
        self.regs & 0xf
    }

    /// Number of the source register, or the kind of a call or 64-bit load.
    pub const fn src(self) -> u8 {
        self.regs >> 4
    }

    /// The slot in little-endian order, as in an ELF object for `bpfel`.
    pub const fn to_bytes(self) -> [u8; 8] {
        let off = self.off.to_le_bytes();
        let imm = self.imm.to_le_bytes();
        [
            self.code, self.regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3],
        ]
    }

    /// Reads a slot in little-endian order.
    pub const fn from_bytes(b: [u8; 8]) -> RawInsn {
        RawInsn {
            code: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }
}

/// The slots of a program as one run of bytes.
pub fn to_bytes(insns: &[RawInsn]) -> Vec<u8> {
    insns.iter().flat_map(|i| i.to_bytes()).collect()
}

/// The slots in a run of bytes; bytes that do not fill a slot at the end are an error.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<RawInsn>, crate::DecodeError> {
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(crate::DecodeError {
            slot: slots.len(),
            kind: crate::DecodeErrorKind::Truncated,
        });
    }
    Ok(slots.iter().map(|b| RawInsn::from_bytes(*b)).collect())
}

/// Instruction classes, the low three bits of the opcode.
pub(crate) mod class {
    pub(crate) const LD: u8 = 0;
    pub(crate) const LDX: u8 = 1;
    pub(crate) const ST: u8 = 2;
    pub(crate) const STX: u8 = 3;
    pub(crate) const ALU: u8 = 4;
    pub(crate) const JMP: u8 = 5;
    pub(crate) const JMP32: u8 = 6;
    pub(crate) const ALU64: u8 = 7;
}

/// Modes of the load and store classes, the high three bits of the opcode.
pub(crate) mod mode {
    pub(crate) const IMM: u8 = 0x00;
    pub(crate) const ABS: u8 = 0x20;
    pub(crate) const IND: u8 = 0x40;
    pub(crate) const MEM: u8 = 0x60;
    pub(crate) const MEMSX: u8 = 0x80;
    pub(crate) const ATOMIC: u8 = 0xc0;
}

/// Bit of the opcode that says the second operand is a register.
pub(crate) const X: u8 = 0x08;

/// Arithmetic operations, the high four bits of the opcode.
pub(crate) mod alu {
    pub(crate) const ADD: u8 = 0x00;
    pub(crate) const SUB: u8 = 0x10;
    pub(crate) const MUL: u8 = 0x20;
    pub(crate) const DIV: u8 = 0x30;
    pub(crate) const OR: u8 = 0x40;
    pub(crate) const AND: u8 = 0x50;
    pub(crate) const LSH: u8 = 0x60;
    pub(crate) const RSH: u8 = 0x70;
    pub(crate) const NEG: u8 = 0x80;
    pub(crate) const MOD: u8 = 0x90;
    pub(crate) const XOR: u8 = 0xa0;
    pub(crate) const MOV: u8 = 0xb0;
    pub(crate) const ARSH: u8 = 0xc0;
    pub(crate) const END: u8 = 0xd0;
}

/// Jumps, the high four bits of the opcode.
pub(crate) mod jmp {
    pub(crate) const JA: u8 = 0x00;
    pub(crate) const JEQ: u8 = 0x10;
    pub(crate) const JGT: u8 = 0x20;
    pub(crate) const JGE: u8 = 0x30;
    pub(crate) const JSET: u8 = 0x40;
    pub(crate) const JNE: u8 = 0x50;
    pub(crate) const JSGT: u8 = 0x60;
    pub(crate) const JSGE: u8 = 0x70;
    pub(crate) const CALL: u8 = 0x80;
    pub(crate) const EXIT: u8 = 0x90;
    pub(crate) const JLT: u8 = 0xa0;
    pub(crate) const JLE: u8 = 0xb0;
    pub(crate) const JSLT: u8 = 0xc0;
    pub(crate) const JSLE: u8 = 0xd0;
}

/// What the source register field of a 64-bit load means (`BPF_PSEUDO_*`).
pub(crate) mod ld64 {
    pub(crate) const VALUE: u8 = 0;
    pub(crate) const MAP_FD: u8 = 1;
    pub(crate) const MAP_FD_VALUE: u8 = 2;
    pub(crate) const BTF_VAR: u8 = 3;
    pub(crate) const FUNC: u8 = 4;
    pub(crate) const MAP_IDX: u8 = 5;
    pub(crate) const MAP_IDX_VALUE: u8 = 6;
}

/// What the source register field of a call means (`BPF_PSEUDO_CALL`, `BPF_PSEUDO_KFUNC_CALL`).
pub(crate) mod call {
    pub(crate) const HELPER: u8 = 0;
    pub(crate) const LOCAL: u8 = 1;
    pub(crate) const KFUNC: u8 = 2;
}

/// The immediate of an atomic operation.
pub(crate) mod atomic {
    pub(crate) const FETCH: i32 = 0x01;
    pub(crate) const XCHG: i32 = 0xe0 | FETCH;
    pub(crate) const CMPXCHG: i32 = 0xf0 | FETCH;
}
