//! The instruction.

use crate::ops::{AluOp, AtomicOp, Endian, JmpOp, Reg, Size, Src, Width};

/// One instruction of eBPF as RFC 9669 defines it.
///
/// Offsets of jumps and relative calls count raw 8-byte slots from the end of the
/// instruction, as they do in the kernel: `off: 0` is the next instruction, and an
/// [`Insn::LdImm64`] that is jumped over counts as two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insn {
    /// `dst = dst op src` (`dst = src` for [`AluOp::Mov`]).
    Alu {
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Src,
    },
    /// `dst = -dst`.
    Neg { width: Width, dst: Reg },
    /// Moves the low `from` bytes of `src`, sign-extended to `width`.
    /// `B1` and `B2` go with both widths, `B4` only with `W64`, `B8` with none.
    MovSx {
        width: Width,
        from: Size,
        dst: Reg,
        src: Reg,
    },
    /// Changes the byte order of the low `size` bytes of `dst` and clears the others.
    /// `size` is `B2`, `B4` or `B8`.
    Endian { op: Endian, size: Size, dst: Reg },
    /// Loads a 64-bit constant, or what the loader puts in its place. Takes two slots.
    LdImm64 { dst: Reg, imm: Imm64 },
    /// `dst = *(size *)(src + off)`; `sign_extend` is not for `B8`.
    Load {
        size: Size,
        sign_extend: bool,
        dst: Reg,
        src: Reg,
        off: i16,
    },
    /// `*(size *)(dst + off) = src`.
    Store {
        size: Size,
        dst: Reg,
        off: i16,
        src: Src,
    },
    /// An atomic operation on `*(size *)(dst + off)`; `size` is `B4` or `B8`.
    Atomic {
        op: AtomicOp,
        size: Size,
        dst: Reg,
        src: Reg,
        off: i16,
    },
    /// Jumps always. Offsets beyond 16 bits take the long form (`gotol`).
    Ja { off: i32 },
    /// Jumps if `dst op src` holds.
    Jmp {
        width: Width,
        op: JmpOp,
        dst: Reg,
        src: Src,
        off: i16,
    },
    /// Calls the helper function of this number, see [`helper_name`](crate::helper_name).
    Call { helper: u32 },
    /// Calls the function of the same program that starts `rel` slots after the next one.
    CallLocal { rel: i32 },
    /// Calls a kernel function by its BTF id; `fd_idx` is 0 for vmlinux, else the index into
    /// the `fd_array` of the load where the module's BTF file descriptor stands.
    CallKfunc { btf_id: u32, fd_idx: i16 },
    /// Returns from the function, or ends the program.
    Exit,
    /// Legacy packet access: `r0 = skb[imm]`, big endian.
    LdAbs { size: Size, imm: i32 },
    /// Legacy packet access: `r0 = skb[src + imm]`, big endian.
    LdInd { size: Size, src: Reg, imm: i32 },
}

/// What [`Insn::LdImm64`] loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// The number itself.
    Value(u64),
    /// The map behind a file descriptor.
    MapFd(i32),
    /// The address `off` bytes into the first value of the map behind a file descriptor.
    MapFdValue { fd: i32, off: u32 },
    /// The address of a kernel variable given by its BTF id; `module_fd` is 0 for vmlinux.
    BtfVar { btf_id: u32, module_fd: i32 },
    /// The address of a function of the same program. It starts at slot `s + 1 + rel`, where
    /// `s` is the first slot of this instruction.
    Func(i32),
    /// The map at this index of the object's map table. Before loading, an engine that has
    /// no `fd_array` replaces it with [`Imm64::MapFd`].
    MapIdx(u32),
    /// The address `off` bytes into the first value of the map at this index.
    MapIdxValue { idx: u32, off: u32 },
}

impl Insn {
    /// How many 8-byte slots the instruction takes: 2 for [`Insn::LdImm64`], else 1.
    pub const fn slots(&self) -> usize {
        match self {
            Insn::LdImm64 { .. } => 2,
            _ => 1,
        }
    }

    /// `dst = src`, 64 bits wide.
    pub fn mov(dst: Reg, src: impl Into<Src>) -> Insn {
        Insn::alu(AluOp::Mov, dst, src)
    }

    /// `dst = src`, 32 bits wide.
    pub fn mov32(dst: Reg, src: impl Into<Src>) -> Insn {
        Insn::alu32(AluOp::Mov, dst, src)
    }

    /// A 64-bit operation.
    pub fn alu(op: AluOp, dst: Reg, src: impl Into<Src>) -> Insn {
        Insn::Alu {
            width: Width::W64,
            op,
            dst,
            src: src.into(),
        }
    }

    /// A 32-bit operation.
    pub fn alu32(op: AluOp, dst: Reg, src: impl Into<Src>) -> Insn {
        Insn::Alu {
            width: Width::W32,
            op,
            dst,
            src: src.into(),
        }
    }

    /// A zero-extending load.
    pub const fn load(size: Size, dst: Reg, src: Reg, off: i16) -> Insn {
        Insn::Load {
            size,
            sign_extend: false,
            dst,
            src,
            off,
        }
    }

    /// A store of a register or an immediate.
    pub fn store(size: Size, dst: Reg, off: i16, src: impl Into<Src>) -> Insn {
        Insn::Store {
            size,
            dst,
            off,
            src: src.into(),
        }
    }

    /// A 64-bit conditional jump.
    pub fn jmp(op: JmpOp, dst: Reg, src: impl Into<Src>, off: i16) -> Insn {
        Insn::Jmp {
            width: Width::W64,
            op,
            dst,
            src: src.into(),
            off,
        }
    }

    /// A 32-bit conditional jump.
    pub fn jmp32(op: JmpOp, dst: Reg, src: impl Into<Src>, off: i16) -> Insn {
        Insn::Jmp {
            width: Width::W32,
            op,
            dst,
            src: src.into(),
            off,
        }
    }

    /// Loads a 64-bit constant.
    pub const fn imm64(dst: Reg, value: u64) -> Insn {
        Insn::LdImm64 {
            dst,
            imm: Imm64::Value(value),
        }
    }

    /// Loads the address of the map at an index of the object's map table.
    pub const fn map(dst: Reg, idx: u32) -> Insn {
        Insn::LdImm64 {
            dst,
            imm: Imm64::MapIdx(idx),
        }
    }
}
