//! The interpreter: one loop over pre-decoded instructions, compiled twice, with and without memory checks.

use beetrace_isa::AtomicOp;

use crate::atomic::{atomic32, atomic64};
use crate::helpers;
use crate::op::{Code, Op};
use crate::program::{FRAME_BYTES, MAX_FRAMES, Program};
use crate::run::{Fault, FaultKind, Run};
use crate::sem::*;

/// The registers. The numbers in an [`Op`] come from `Reg` and so are at most 10.
struct Registers([u64; 11]);

impl Registers {
    #[inline(always)]
    fn get(&self, n: u8) -> u64 {
        debug_assert!(n < 11);
        // SAFETY: see the type.
        unsafe { *self.0.get_unchecked(usize::from(n)) }
    }

    #[inline(always)]
    fn set(&mut self, n: u8, value: u64) {
        debug_assert!(n < 11);
        // SAFETY: see the type.
        unsafe { *self.0.get_unchecked_mut(usize::from(n)) = value }
    }
}

/// What a call of a subprogram keeps for its return: `r6` to `r10`, and where to go on.
#[derive(Clone, Copy)]
struct Frame {
    saved: [u64; 5],
    back: *const Op,
}

/// Memory for the frames of one run of the loop.
#[repr(align(16))]
struct Stack([std::mem::MaybeUninit<u8>; FRAME_BYTES * MAX_FRAMES]);

/// Interprets from the instruction at `start` until its function returns; gives `r0`.
///
/// # Safety
///
/// With `CHECKED` none beyond what [`Run`] promises. Without, a verifier must have accepted the program for the
/// context and maps of this run. `start` begins a function of the program.
pub(crate) unsafe fn execute<const CHECKED: bool>(
    run: &mut Run<'_>,
    program: &Program,
    start: usize,
    args: [u64; 5],
) -> Result<u64, Fault> {
    let base = program.ops.as_ptr();
    let mut stack = Stack([const { std::mem::MaybeUninit::uninit() }; FRAME_BYTES * MAX_FRAMES]);
    if CHECKED {
        stack.0.fill(std::mem::MaybeUninit::new(0));
    }
    let stack_start = stack.0.as_mut_ptr() as u64;
    let stack_end = stack_start + (FRAME_BYTES * MAX_FRAMES) as u64;
    let outer_stack = run.push_stack(stack_start, stack_end);
    let mut frames = [Frame {
        saved: [0; 5],
        back: base,
    }; MAX_FRAMES];
    let mut depth = 0usize;
    let mut r = Registers([0; 11]);
    r.0[1..6].copy_from_slice(&args);
    r.set(10, stack_end);
    // SAFETY: `start` is the index of an instruction.
    let mut ip = unsafe { base.add(start) };

    macro_rules! fail {
        ($kind:expr) => {{
            // SAFETY: `ip` is past an instruction of the same slice.
            let insn = unsafe { ip.offset_from(base) } as usize - 1;
            run.pop_stack(outer_stack);
            return Err(Fault { insn, kind: $kind });
        }};
    }
    // Checks an access before it is made; without `CHECKED` the verifier has.
    macro_rules! guard {
        ($address:expr, $size:expr, $write:expr) => {
            if CHECKED && !run.may_access($address, $size, $write) {
                let size = $size;
                fail!(FaultKind::Access {
                    address: $address,
                    size,
                    write: $write
                })
            }
        };
    }
    macro_rules! jump_to {
        ($op:expr) => {
            // SAFETY: targets of jumps are indexes of instructions.
            ip = unsafe { base.add($op.off as usize) }
        };
    }

    loop {
        // SAFETY: every path ends with an instruction that does not go on to the next, so `ip` is inside.
        let op = unsafe { &*ip };
        // SAFETY: at most one past the end.
        ip = unsafe { ip.add(1) };

        macro_rules! alu64 {
            ($b:expr, $f:expr) => {{
                let f: fn(u64, u64) -> u64 = $f;
                r.set(op.dst, f(r.get(op.dst), $b))
            }};
        }
        macro_rules! alu32 {
            ($b:expr, $f:expr) => {{
                let f: fn(u32, u32) -> u32 = $f;
                r.set(op.dst, f(r.get(op.dst) as u32, $b as u32).into())
            }};
        }
        macro_rules! unary {
            ($a:expr, $f:expr) => {{
                let f: fn(u64) -> u64 = $f;
                r.set(op.dst, f($a))
            }};
        }
        macro_rules! jump {
            ($type:ty, $b:expr, $f:expr) => {{
                let f: fn($type, $type) -> bool = $f;
                if CHECKED && !run.spend() {
                    fail!(FaultKind::Budget)
                }
                if f(r.get(op.dst) as $type, $b as $type) {
                    jump_to!(op)
                }
            }};
        }
        macro_rules! load {
            ($type:ty, $wide:ty) => {{
                let address = r.get(op.src).wrapping_add(op.off as i64 as u64);
                guard!(address, size_of::<$type>() as u64, false);
                // SAFETY: checked above, or by the verifier.
                let value = unsafe { (address as *const $type).read_unaligned() };
                r.set(op.dst, <$wide>::from(value) as u64)
            }};
        }
        macro_rules! store {
            ($type:ty, $value:expr) => {{
                let address = r.get(op.dst).wrapping_add(op.off as i64 as u64);
                guard!(address, size_of::<$type>() as u64, true);
                // SAFETY: checked above, or by the verifier.
                unsafe { (address as *mut $type).write_unaligned($value as $type) }
            }};
        }
        macro_rules! atomic {
            ($type:ty, $f:ident) => {{
                let address = r.get(op.dst).wrapping_add(op.off as i64 as u64);
                guard!(address, size_of::<$type>() as u64, true);
                if CHECKED && address % size_of::<$type>() as u64 != 0 {
                    let size = size_of::<$type>() as u64;
                    fail!(FaultKind::Access {
                        address,
                        size,
                        write: true
                    })
                }
                let kind = AtomicOp::ALL[op.imm as usize % AtomicOp::ALL.len()];
                let (operand, expected) = (r.get(op.src) as $type, r.get(0) as $type);
                // SAFETY: checked above, or by the verifier.
                let old = unsafe { $f(kind, address as *mut $type, operand, expected) };
                match kind {
                    AtomicOp::CmpXchg => r.set(0, old.into()),
                    AtomicOp::Add { fetch: false }
                    | AtomicOp::Or { fetch: false }
                    | AtomicOp::And { fetch: false }
                    | AtomicOp::Xor { fetch: false } => {}
                    _ => r.set(op.src, old.into()),
                }
            }};
        }

        match op.code {
            Code::Add64R => alu64!(r.get(op.src), u64::wrapping_add),
            Code::Add64I => alu64!(op.imm, u64::wrapping_add),
            Code::Add32R => alu32!(r.get(op.src), u32::wrapping_add),
            Code::Add32I => alu32!(op.imm, u32::wrapping_add),
            Code::Sub64R => alu64!(r.get(op.src), u64::wrapping_sub),
            Code::Sub64I => alu64!(op.imm, u64::wrapping_sub),
            Code::Sub32R => alu32!(r.get(op.src), u32::wrapping_sub),
            Code::Sub32I => alu32!(op.imm, u32::wrapping_sub),
            Code::Mul64R => alu64!(r.get(op.src), u64::wrapping_mul),
            Code::Mul64I => alu64!(op.imm, u64::wrapping_mul),
            Code::Mul32R => alu32!(r.get(op.src), u32::wrapping_mul),
            Code::Mul32I => alu32!(op.imm, u32::wrapping_mul),
            Code::Div64R => alu64!(r.get(op.src), div64),
            Code::Div64I => alu64!(op.imm, div64),
            Code::Div32R => alu32!(r.get(op.src), div32),
            Code::Div32I => alu32!(op.imm, div32),
            Code::SDiv64R => alu64!(r.get(op.src), sdiv64),
            Code::SDiv64I => alu64!(op.imm, sdiv64),
            Code::SDiv32R => alu32!(r.get(op.src), sdiv32),
            Code::SDiv32I => alu32!(op.imm, sdiv32),
            Code::Mod64R => alu64!(r.get(op.src), rem64),
            Code::Mod64I => alu64!(op.imm, rem64),
            Code::Mod32R => alu32!(r.get(op.src), rem32),
            Code::Mod32I => alu32!(op.imm, rem32),
            Code::SMod64R => alu64!(r.get(op.src), srem64),
            Code::SMod64I => alu64!(op.imm, srem64),
            Code::SMod32R => alu32!(r.get(op.src), srem32),
            Code::SMod32I => alu32!(op.imm, srem32),
            Code::Or64R => alu64!(r.get(op.src), |a, b| a | b),
            Code::Or64I => alu64!(op.imm, |a, b| a | b),
            Code::Or32R => alu32!(r.get(op.src), |a, b| a | b),
            Code::Or32I => alu32!(op.imm, |a, b| a | b),
            Code::And64R => alu64!(r.get(op.src), |a, b| a & b),
            Code::And64I => alu64!(op.imm, |a, b| a & b),
            Code::And32R => alu32!(r.get(op.src), |a, b| a & b),
            Code::And32I => alu32!(op.imm, |a, b| a & b),
            Code::Xor64R => alu64!(r.get(op.src), |a, b| a ^ b),
            Code::Xor64I => alu64!(op.imm, |a, b| a ^ b),
            Code::Xor32R => alu32!(r.get(op.src), |a, b| a ^ b),
            Code::Xor32I => alu32!(op.imm, |a, b| a ^ b),
            Code::Lsh64R => alu64!(r.get(op.src), |a, b| a.wrapping_shl(b as u32)),
            Code::Lsh64I => alu64!(op.imm, |a, b| a.wrapping_shl(b as u32)),
            Code::Lsh32R => alu32!(r.get(op.src), |a, b| a.wrapping_shl(b)),
            Code::Lsh32I => alu32!(op.imm, |a, b| a.wrapping_shl(b)),
            Code::Rsh64R => alu64!(r.get(op.src), |a, b| a.wrapping_shr(b as u32)),
            Code::Rsh64I => alu64!(op.imm, |a, b| a.wrapping_shr(b as u32)),
            Code::Rsh32R => alu32!(r.get(op.src), |a, b| a.wrapping_shr(b)),
            Code::Rsh32I => alu32!(op.imm, |a, b| a.wrapping_shr(b)),
            Code::Arsh64R => alu64!(r.get(op.src), |a, b| (a as i64).wrapping_shr(b as u32)
                as u64),
            Code::Arsh64I => alu64!(op.imm, |a, b| (a as i64).wrapping_shr(b as u32) as u64),
            Code::Arsh32R => alu32!(r.get(op.src), |a, b| (a as i32).wrapping_shr(b) as u32),
            Code::Arsh32I => alu32!(op.imm, |a, b| (a as i32).wrapping_shr(b) as u32),
            Code::Mov64R => alu64!(r.get(op.src), |_, b| b),
            Code::Mov64I => alu64!(op.imm, |_, b| b),
            Code::Mov32R => alu32!(r.get(op.src), |_, b| b),
            Code::Mov32I => alu32!(op.imm, |_, b| b),
            Code::JEq64R => jump!(u64, r.get(op.src), |a, b| a == b),
            Code::JEq64I => jump!(u64, op.imm, |a, b| a == b),
            Code::JEq32R => jump!(u32, r.get(op.src), |a, b| a == b),
            Code::JEq32I => jump!(u32, op.imm, |a, b| a == b),
            Code::JNe64R => jump!(u64, r.get(op.src), |a, b| a != b),
            Code::JNe64I => jump!(u64, op.imm, |a, b| a != b),
            Code::JNe32R => jump!(u32, r.get(op.src), |a, b| a != b),
            Code::JNe32I => jump!(u32, op.imm, |a, b| a != b),
            Code::JGt64R => jump!(u64, r.get(op.src), |a, b| a > b),
            Code::JGt64I => jump!(u64, op.imm, |a, b| a > b),
            Code::JGt32R => jump!(u32, r.get(op.src), |a, b| a > b),
            Code::JGt32I => jump!(u32, op.imm, |a, b| a > b),
            Code::JGe64R => jump!(u64, r.get(op.src), |a, b| a >= b),
            Code::JGe64I => jump!(u64, op.imm, |a, b| a >= b),
            Code::JGe32R => jump!(u32, r.get(op.src), |a, b| a >= b),
            Code::JGe32I => jump!(u32, op.imm, |a, b| a >= b),
            Code::JLt64R => jump!(u64, r.get(op.src), |a, b| a < b),
            Code::JLt64I => jump!(u64, op.imm, |a, b| a < b),
            Code::JLt32R => jump!(u32, r.get(op.src), |a, b| a < b),
            Code::JLt32I => jump!(u32, op.imm, |a, b| a < b),
            Code::JLe64R => jump!(u64, r.get(op.src), |a, b| a <= b),
            Code::JLe64I => jump!(u64, op.imm, |a, b| a <= b),
            Code::JLe32R => jump!(u32, r.get(op.src), |a, b| a <= b),
            Code::JLe32I => jump!(u32, op.imm, |a, b| a <= b),
            Code::JSet64R => jump!(u64, r.get(op.src), |a, b| a & b != 0),
            Code::JSet64I => jump!(u64, op.imm, |a, b| a & b != 0),
            Code::JSet32R => jump!(u32, r.get(op.src), |a, b| a & b != 0),
            Code::JSet32I => jump!(u32, op.imm, |a, b| a & b != 0),
            Code::JSgt64R => jump!(i64, r.get(op.src), |a, b| a > b),
            Code::JSgt64I => jump!(i64, op.imm, |a, b| a > b),
            Code::JSgt32R => jump!(i32, r.get(op.src), |a, b| a > b),
            Code::JSgt32I => jump!(i32, op.imm, |a, b| a > b),
            Code::JSge64R => jump!(i64, r.get(op.src), |a, b| a >= b),
            Code::JSge64I => jump!(i64, op.imm, |a, b| a >= b),
            Code::JSge32R => jump!(i32, r.get(op.src), |a, b| a >= b),
            Code::JSge32I => jump!(i32, op.imm, |a, b| a >= b),
            Code::JSlt64R => jump!(i64, r.get(op.src), |a, b| a < b),
            Code::JSlt64I => jump!(i64, op.imm, |a, b| a < b),
            Code::JSlt32R => jump!(i32, r.get(op.src), |a, b| a < b),
            Code::JSlt32I => jump!(i32, op.imm, |a, b| a < b),
            Code::JSle64R => jump!(i64, r.get(op.src), |a, b| a <= b),
            Code::JSle64I => jump!(i64, op.imm, |a, b| a <= b),
            Code::JSle32R => jump!(i32, r.get(op.src), |a, b| a <= b),
            Code::JSle32I => jump!(i32, op.imm, |a, b| a <= b),
            Code::Neg64 => unary!(r.get(op.dst), u64::wrapping_neg),
            Code::Neg32 => unary!(r.get(op.dst), |a| (a as u32).wrapping_neg().into()),
            Code::Sx8To64 => unary!(r.get(op.src), |a| a as i8 as u64),
            Code::Sx16To64 => unary!(r.get(op.src), |a| a as i16 as u64),
            Code::Sx32To64 => unary!(r.get(op.src), |a| a as i32 as u64),
            Code::Sx8To32 => unary!(r.get(op.src), |a| (a as i8 as u32).into()),
            Code::Sx16To32 => unary!(r.get(op.src), |a| (a as i16 as u32).into()),
            Code::Low16 => unary!(r.get(op.dst), |a| (a as u16).into()),
            Code::Low32 => unary!(r.get(op.dst), |a| (a as u32).into()),
            Code::Swap16 => unary!(r.get(op.dst), |a| (a as u16).swap_bytes().into()),
            Code::Swap32 => unary!(r.get(op.dst), |a| (a as u32).swap_bytes().into()),
            Code::Swap64 => unary!(r.get(op.dst), u64::swap_bytes),
            Code::Nop => {}
            Code::LdImm => r.set(op.dst, op.imm),

            Code::Load8 => load!(u8, u64),
            Code::Load16 => load!(u16, u64),
            Code::Load32 => load!(u32, u64),
            Code::Load64 => load!(u64, u64),
            Code::LoadS8 => load!(i8, i64),
            Code::LoadS16 => load!(i16, i64),
            Code::LoadS32 => load!(i32, i64),
            Code::Store8R => store!(u8, r.get(op.src)),
            Code::Store16R => store!(u16, r.get(op.src)),
            Code::Store32R => store!(u32, r.get(op.src)),
            Code::Store64R => store!(u64, r.get(op.src)),
            Code::Store8I => store!(u8, op.imm),
            Code::Store16I => store!(u16, op.imm),
            Code::Store32I => store!(u32, op.imm),
            Code::Store64I => store!(u64, op.imm),
            Code::Atomic32 => atomic!(u32, atomic32),
            Code::Atomic64 => atomic!(u64, atomic64),

            Code::Ja => {
                if CHECKED && !run.spend() {
                    fail!(FaultKind::Budget)
                }
                jump_to!(op)
            }
            Code::Call => {
                let Some(helper) = helpers::find(op.off as u32) else {
                    fail!(FaultKind::Helper(op.off as u32))
                };
                let value = helper(run, r.get(1), r.get(2), r.get(3), r.get(4), r.get(5));
                if let Some(kind) = run.take_fault() {
                    fail!(kind)
                }
                r.set(0, value);
            }
            Code::TailCall => {
                let value = run.tail_call(r.get(1), r.get(2), r.get(3));
                if let Some(kind) = run.take_fault() {
                    fail!(kind)
                }
                match value {
                    Ok(value) => {
                        r.set(0, value);
                        // The program called took the place of this function.
                        match depth.checked_sub(1) {
                            None => break,
                            Some(outer) => {
                                depth = outer;
                                let frame = &frames[outer];
                                r.0[6..11].copy_from_slice(&frame.saved);
                                ip = frame.back;
                            }
                        }
                    }
                    Err(errno) => r.set(0, errno.to_register()),
                }
            }
            Code::CallLocal => {
                if depth + 1 >= MAX_FRAMES {
                    fail!(FaultKind::Depth)
                }
                let frame = &mut frames[depth];
                frame.saved.copy_from_slice(&r.0[6..11]);
                frame.back = ip;
                depth += 1;
                r.set(10, r.get(10) - FRAME_BYTES as u64);
                jump_to!(op)
            }
            Code::Exit => match depth.checked_sub(1) {
                None => break,
                Some(outer) => {
                    depth = outer;
                    let frame = &frames[outer];
                    r.0[6..11].copy_from_slice(&frame.saved);
                    ip = frame.back;
                }
            },
            Code::LdAbs | Code::LdInd => {
                let index = if op.code == Code::LdInd {
                    r.get(op.src)
                } else {
                    0
                };
                match run.load_packet(index.wrapping_add(op.imm), op.off as usize) {
                    Some(value) => r.set(0, value),
                    None => {
                        r.set(0, 0);
                        break;
                    }
                }
            }
        }
    }
    run.pop_stack(outer_stack);
    Ok(r.get(0))
}
