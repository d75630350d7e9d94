//! Machine code by Cranelift, for programs that a verifier has accepted.
//!
//! Each function of a program becomes a machine function of the run's state and five arguments. Registers are SSA
//! variables, frames are stack slots, memory is accessed without checks, helpers are called by their address.

use std::fmt;

use cranelift_codegen::ir::{AbiParam, Signature, UserFuncName, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module, ModuleError, default_libcall_names};

use crate::program::Program;
use crate::run::Run;

mod arith;
mod calls;
mod translate;

/// Why a program has no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("only verified programs are compiled")]
    Unverified,
    #[error("this processor is not supported: {0}")]
    Processor(&'static str),
    #[error("instruction {0} has no translation")]
    Untranslated(usize),
    #[error("cannot compile: {0}")]
    Cranelift(#[from] Box<ModuleError>),
    #[error("cannot set the compiler up: {0}")]
    Settings(String),
}

/// A function of a program as machine code.
type Entry = for<'r, 'w> extern "C" fn(&'r mut Run<'w>, u64, u64, u64, u64, u64) -> u64;

/// The machine code of a program.
pub(crate) struct Native {
    module: Option<JITModule>,
    entry: Entry,
}

// SAFETY: the module is finished: nothing changes it, or the code that it holds, until it is freed.
unsafe impl Send for Native {}
// SAFETY: as above.
unsafe impl Sync for Native {}

impl Native {
    /// Runs the program from its first instruction.
    pub(crate) fn run(&self, run: &mut Run<'_>, args: [u64; 5]) -> u64 {
        let marker = 0u8;
        let outer = run.push_stack(0, (&raw const marker) as u64);
        let [a, b, c, d, e] = args;
        let value = (self.entry)(run, a, b, c, d, e);
        run.pop_stack(outer);
        value
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: the code runs only through a program, which is going.
            unsafe { module.free_memory() }
        }
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native")
    }
}

/// Calls a function of compiled code, for helpers that take callbacks.
///
/// # Safety
///
/// `function` is the address of a function of a compiled program that is running now.
pub(crate) unsafe fn call(function: u64, run: &mut Run<'_>, args: [u64; 5]) -> u64 {
    let [a, b, c, d, e] = args;
    // SAFETY: the caller promises that there is a function of this type.
    let function: Entry = unsafe { std::mem::transmute(function as usize) };
    function(run, a, b, c, d, e)
}

/// The machine's signature of every function: the run, then `r1` to `r5`; the result is `r0`.
fn signature(module: &JITModule) -> Signature {
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(types::I64); 6];
    signature.returns = vec![AbiParam::new(types::I64)];
    signature
}

fn new_module() -> Result<JITModule, CompileError> {
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "speed"),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        ("enable_verifier", "false"),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
    ] {
        flags
            .set(name, value)
            .map_err(|e| CompileError::Settings(e.to_string()))?;
    }
    let isa = cranelift_native::builder()
        .map_err(CompileError::Processor)?
        .finish(settings::Flags::new(flags))
        .map_err(|e| CompileError::Settings(e.to_string()))?;
    Ok(JITModule::new(JITBuilder::with_isa(
        isa,
        default_libcall_names(),
    )))
}

/// Compiles all functions of a program.
pub(crate) fn compile(program: &Program) -> Result<Native, CompileError> {
    let mut module = new_module()?;
    let signature = signature(&module);
    let mut functions: Vec<FuncId> = Vec::new();
    for _ in &program.functions.starts {
        let id = module.declare_anonymous_function(&signature);
        functions.push(id.map_err(Box::new)?);
    }
    let mut context = module.make_context();
    let mut builder_context = FunctionBuilderContext::new();
    for (&start, &id) in program.functions.starts.iter().zip(&functions) {
        context.func.signature = signature.clone();
        context.func.name = UserFuncName::user(0, id.as_u32());
        let refs = functions
            .iter()
            .map(|&f| module.declare_func_in_func(f, &mut context.func))
            .collect();
        let builder = FunctionBuilder::new(&mut context.func, &mut builder_context);
        let config = module.target_config();
        translate::function(program, start, refs, &signature, builder, config)?;
        module.define_function(id, &mut context).map_err(Box::new)?;
        module.clear_context(&mut context);
    }
    module.finalize_definitions().map_err(Box::new)?;
    let entry = functions
        .first()
        .map(|&id| module.get_finalized_function(id))
        .ok_or(CompileError::Untranslated(0))?;
    Ok(Native {
        // SAFETY: the function was compiled with this signature.
        entry: unsafe { std::mem::transmute::<*const u8, Entry>(entry) },
        module: Some(module),
    })
}
