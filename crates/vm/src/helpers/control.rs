//! Loops by callback, and locks.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::run::Run;

family! {
    LOOP => |run, args| to_register(repeat(run, args)),
    SPIN_LOCK => |run, [lock, ..]| { spin_lock(run, lock); 0 },
    SPIN_UNLOCK => |run, [lock, ..]| { spin_unlock(run, lock); 0 },
}

/// Most rounds of a loop (`BPF_MAX_LOOPS`).
const MOST_ROUNDS: u64 = 8 << 20;

/// Calls `callback(index, context)` until it gives 1; gives the number of calls.
fn repeat(run: &mut Run<'_>, [rounds, callback, context, flags, ..]: Args) -> Result<u64, Errno> {
    let rounds = rounds & 0xffff_ffff;
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    if rounds > MOST_ROUNDS {
        return Err(Errno::TOO_BIG);
    }
    for index in 0..rounds {
        if run.call_back(callback, [index, context, 0, 0, 0])? != 0 {
            return Ok(index + 1);
        }
        if !run.may_go_on() {
            break;
        }
    }
    Ok(rounds)
}

fn lock_word<'m>(run: &mut Run<'_>, address: u64) -> Option<&'m AtomicU32> {
    let word = run.write(address, 4).ok()?.as_mut_ptr().cast::<u32>();
    // SAFETY: four bytes of a map's value, which the run allows; `struct bpf_spin_lock` is aligned in values.
    word.is_aligned()
        .then(|| unsafe { AtomicU32::from_ptr(word) })
}

fn spin_lock(run: &mut Run<'_>, address: u64) {
    let Some(word) = lock_word(run, address) else {
        return;
    };
    while word
        .compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        // A program in checked mode may lock twice, and must still end.
        if run.is_checked() && !run.spend() {
            return run.out_of_budget();
        }
        std::hint::spin_loop();
    }
}

fn spin_unlock(run: &mut Run<'_>, address: u64) {
    if let Some(word) = lock_word(run, address) {
        word.store(0, Ordering::Release);
    }
}
