//! Atomic operations on memory that programs share.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use beetrace_isa::AtomicOp;

macro_rules! atomic {
    ($name:ident, $number:ty, $atomic:ty) => {
        /// Carries out an operation; gives what was in memory before. `expected` is for [`AtomicOp::CmpXchg`].
        ///
        /// # Safety
        ///
        /// `address` is aligned, and valid for reads and writes that other threads make at the same time.
        #[inline]
        pub(crate) unsafe fn $name(
            op: AtomicOp,
            address: *mut $number,
            operand: $number,
            expected: $number,
        ) -> $number {
            // SAFETY: the caller promises a valid, aligned address.
            let cell = unsafe { <$atomic>::from_ptr(address) };
            let order = Ordering::SeqCst;
            match op {
                AtomicOp::Add { .. } => cell.fetch_add(operand, order),
                AtomicOp::Or { .. } => cell.fetch_or(operand, order),
                AtomicOp::And { .. } => cell.fetch_and(operand, order),
                AtomicOp::Xor { .. } => cell.fetch_xor(operand, order),
                AtomicOp::Xchg => cell.swap(operand, order),
                AtomicOp::CmpXchg => match cell.compare_exchange(expected, operand, order, order) {
                    Ok(old) | Err(old) => old,
                },
            }
        }
    };
}

atomic!(atomic32, u32, AtomicU32);
atomic!(atomic64, u64, AtomicU64);
