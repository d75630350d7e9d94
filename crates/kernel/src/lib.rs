//! The kernel engine: `bpf(2)`, perf events, links, feature probes.
//!
//! [`Kernel`] runs an [`Object`](beetrace_object::Object) in the Linux kernel: it creates the maps, has the programs
//! verified, attaches them, and reads what they send. Linux 5.10 is the oldest kernel it is meant for; `CAP_BPF` and
//! `CAP_PERFMON` are all that it needs.
//!
//! Invariants:
//! - All `unsafe` of the crate is in `sys`, in the few places of `map`, `ringbuf` and `perfring` that know the lengths
//!   which the kernel does not check, and in `child`; each says why it is sound.
//! - Nothing is probed before it is needed: what may be missing is tried, and the answer decides.
//! - Whatever is attached is detached when its file descriptors close, so that a crash leaves nothing behind.
//!
//! The structures of the system calls are written down here, one for each command that is used: `aya-obj`, which has
//! generated bindings of all, would bring a second version of `object` and an ELF loader along for some thirty of them.
//!
//! ```no_run
//! use beetrace_engine::{Engine, LoadOptions, ProgramId};
//! use beetrace_kernel::Kernel;
//! use beetrace_object::Object;
//!
//! # fn compile() -> Object { Object::default() }
//! let object = compile();
//! let mut kernel = Kernel::new();
//! kernel.load(&object, &LoadOptions::default())?;
//! kernel.attach(ProgramId(0), 0)?;
//! kernel.poll(None, &[], &mut |record| {
//!     println!("{} bytes", record.len());
//!     true
//! })?;
//! # Ok::<(), beetrace_engine::Error>(())
//! ```

mod attach;
mod caps;
mod child;
mod features;
mod gate;
mod info;
mod kernel;
mod load;
mod loss;
mod map;
mod module_btf;
mod perfbuf;
mod perfring;
mod plan;
mod process_events;
mod program;
mod reaper;
mod ringbuf;
mod run;
mod sys;
mod system;
mod verdict;

pub use caps::Privileges;
pub use child::Child;
pub use features::{Feature, Features};
pub use info::{Section, info};
pub use kernel::Kernel;
pub use process_events::{Mapped, ProcessEvent, ProcessEvents};
