//! Optimisation: passes from IR to better IR that means the same.
//!
//! The kernel's verifier must still accept the result, which is more than meaning the same:
//! - Loads are never moved up, so that none gets before the check that allows it.
//! - A value is replaced only by the value that it is a copy of, never by one that merely compared equal, so that what was
//!   checked is what is used.
//! - Nothing is done to a value that may be a pointer but adding to it, see `Facts::may_be_pointer`.

mod arithmetic;
mod common;
mod conditions;
mod dead;
mod facts;
mod fold;
mod forward;
mod implied;
mod invariant;
mod joined;
mod jumps;
mod simplify;
mod slots;
mod stores;
#[cfg(test)]
mod testing;
mod thread;

use crate::ir::{Function, Module};

pub(crate) use facts::gives_number;

/// How often the passes may run over a function: each round enables the next.
const ROUNDS: usize = 8;

/// Improves every function of a module that [`verify`](crate::ir::verify::verify) accepts.
pub fn optimise(module: &mut Module) {
    module.functions.iter_mut().for_each(improve);
    debug_assert_eq!(crate::ir::verify::verify(module), Ok(()), "{module}");
}

/// Improves one function.
pub(crate) fn improve(function: &mut Function) {
    for _ in 0..ROUNDS {
        if !round(function) {
            break;
        }
    }
}

fn round(function: &mut Function) -> bool {
    let passes = [
        simplify::simplify,
        implied::remove_implied,
        thread::thread_jumps,
        dead::remove_unreached,
        jumps::remove_same_params,
        jumps::merge_blocks,
        dead::remove_unreached,
        jumps::form_selects,
        common::merge_common,
        forward::forward_loads,
        joined::join_stores,
        stores::remove_dead_stores,
        invariant::hoist_invariants,
        dead::remove_dead,
    ];
    let mut changed = false;
    for pass in passes {
        changed |= pass(function);
    }
    changed
}
