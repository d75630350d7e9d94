//! Optimisation: passes from IR to better IR that means the same.

mod dead;

use crate::ir::Module;

/// Improves every function of a module that [`verify`](crate::ir::verify::verify) accepts.
pub fn optimise(module: &mut Module) {
    for function in &mut module.functions {
        dead::remove_dead(function);
    }
}
