//! Registers as the kernel saves them: names, and offsets into `struct pt_regs`
//! (arch/x86/include/uapi/asm/ptrace.h, arch/arm64/include/uapi/asm/ptrace.h), for the machine this was built for.

/// What one machine calls its registers.
struct Machine {
    name: &'static str,
    /// Name and offset in bytes; all are 8 bytes wide.
    registers: &'static [(&'static str, u32)],
    /// Those that pass arguments, in order.
    arguments: &'static [&'static str],
    /// The one that a function's result is in.
    result: &'static str,
}

#[cfg(not(target_arch = "aarch64"))]
const MACHINE: Machine = Machine {
    name: "x86_64",
    registers: &[
        ("r15", 0),
        ("r14", 8),
        ("r13", 16),
        ("r12", 24),
        ("bp", 32),
        ("bx", 40),
        ("r11", 48),
        ("r10", 56),
        ("r9", 64),
        ("r8", 72),
        ("ax", 80),
        ("cx", 88),
        ("dx", 96),
        ("si", 104),
        ("di", 112),
        ("orig_rax", 120),
        ("ip", 128),
        ("pc", 128),
        ("cs", 136),
        ("flags", 144),
        ("sp", 152),
        ("ss", 160),
    ],
    arguments: &["di", "si", "dx", "cx", "r8", "r9"],
    result: "ax",
};

#[cfg(target_arch = "aarch64")]
const MACHINE: Machine = Machine {
    name: "arm64",
    registers: &[
        ("r0", 0),
        ("r1", 8),
        ("r2", 16),
        ("r3", 24),
        ("r4", 32),
        ("r5", 40),
        ("r6", 48),
        ("r7", 56),
        ("r8", 64),
        ("r9", 72),
        ("r10", 80),
        ("r11", 88),
        ("r12", 96),
        ("r13", 104),
        ("r14", 112),
        ("r15", 120),
        ("r16", 128),
        ("r17", 136),
        ("r18", 144),
        ("r19", 152),
        ("r20", 160),
        ("r21", 168),
        ("r22", 176),
        ("r23", 184),
        ("r24", 192),
        ("r25", 200),
        ("r26", 208),
        ("r27", 216),
        ("r28", 224),
        ("r29", 232),
        ("r30", 240),
        ("sp", 248),
        ("pc", 256),
        ("pstate", 264),
    ],
    arguments: &["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"],
    result: "r0",
};

pub(crate) fn machine() -> &'static str {
    MACHINE.name
}

/// Offset of a register by its name.
pub(crate) fn offset(name: &str) -> Option<u32> {
    MACHINE
        .registers
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, offset)| *offset)
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    MACHINE.registers.iter().map(|(name, _)| *name)
}

/// Offset of the register that passes an argument, counted from 0.
pub(crate) fn argument(n: u32) -> Option<u32> {
    offset(MACHINE.arguments.get(n as usize)?)
}

pub(crate) fn result() -> Option<u32> {
    offset(MACHINE.result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_where_the_kernel_puts_them() {
        assert!(argument(5).is_some());
        assert_eq!(argument(64), None);
        assert!(result().is_some());
        assert_eq!(offset("pc").map(|o| o % 8), Some(0));
        assert!(names().count() >= 22);
    }
}
