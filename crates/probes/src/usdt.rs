//! User-level static tracepoints: `usdt:path:provider:name`.

/// One argument of a USDT probe, as its note in the ELF file describes it, e.g. `-4@%eax` or `8@-16(%rbp)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Argument {
    /// 1, 2, 4 or 8 bytes.
    pub size: u8,
    pub signed: bool,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Constant(i64),
    /// Offset of the register in `struct pt_regs` (`struct user_pt_regs` on arm64).
    Register {
        offset: u32,
    },
    /// Memory at register plus displacement, plus an index register times a scale.
    Memory {
        base: u32,
        displacement: i64,
        index: Option<(u32, u8)>,
    },
}
