//! The virtual machine: interpreter, JIT, maps and helpers, in this process and without privileges.
//!
//! A [`Program`] is loaded from instructions and [maps](maps::Map), and run on an event's context within a [`World`],
//! which answers for everything outside: the task, its memory, time, stacks. Programs that a verifier accepted run
//! without run-time checks, as machine code once they are [compiled](Program::compile); all others run in checked mode,
//! where every access to memory is looked up first, and end with a [`Fault`] at the first that is not theirs.
//!
//! Invariants:
//! - The same program gives the same result in checked mode, in the interpreter and as machine code.
//! - Nothing that an unverified program does can reach memory other than its stack, context, packet and map values.
//! - Values of maps never move while the map lives; programs hold their addresses.
//! - Helpers and maps have the kernel's numbers, limits and errors.
//! - No lock is held while a program runs, so a callback may use the map that it walks.
//!
//! ```
//! use beetrace_isa::assemble;
//! use beetrace_vm::maps::{Map, MapSpec, MapType};
//! use beetrace_vm::{EmptyWorld, Program, Run};
//!
//! let counts = Map::new(MapSpec::new(MapType::Array, 4, 8, 1), 1)?;
//! let text = "r1 = map[0][0]+0 ll\n r2 = 1\n lock *(u64 *)(r1 + 0) += r2\n r0 = 0\n exit";
//! let program = Program::new(&assemble(text)?, &[counts.clone()])?;
//! let mut run = Run::new(&EmptyWorld);
//! program.run(&mut run, &mut [])?;
//! program.run(&mut run, &mut [])?;
//! assert_eq!(counts.get(&[0; 4]), Some(2u64.to_ne_bytes().to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod errno;
mod functions;
mod helpers;
mod interp;
mod jit;
pub mod maps;
mod op;
mod program;
mod run;
mod sem;
mod world;

pub use errno::Errno;
pub use functions::StructureError;
pub use helpers::is_supported;
pub use jit::CompileError;
pub use program::{FRAME_BYTES, LoadError, MAX_FRAMES, Program};
pub use run::{DEFAULT_BUDGET, Fault, FaultKind, MAX_TAIL_CALLS, Run};
pub use world::{Clock, EmptyWorld, Memory, Task, World, system_time};
