//! What can be traced: one file a provider.
//!
//! A provider knows its names and short names, the syntax of its attach points, how to list them, and what arguments a
//! program sees there. Knowledge of the system (which tracepoints, functions and binaries exist) comes through the [`World`]
//! trait alone, so that everything here also works on a fixture.
//!
//! Invariants:
//! - [`AttachPoint::parse`] asks nothing of the system, [`resolve()`] asks it through [`World`] only.
//! - A [`Match`] is complete: neither the compiler nor an engine looks anything up again.
//! - Names are those that `probe` prints: long providers, full paths, addresses in decimal.
//!
//! ```
//! use beetrace_probes::{AttachPoint, ResolveOptions, fixture::Fixture, resolve};
//!
//! let point = AttachPoint::parse("k:vfs_re*")?;
//! let found = resolve(&point, &Fixture::new(), &ResolveOptions::default())?;
//! let names: Vec<&str> = found.iter().map(|m| m.spec.name.as_str()).collect();
//! assert_eq!(names, ["kprobe:vfs_read", "kprobe:vfs_readv"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attach_point;
pub mod counter;
pub mod demangle;
pub mod fentry;
pub mod fixture;
pub mod iter;
pub mod kprobe;
pub mod list;
pub mod live;
pub mod number;
mod provider;
mod resolve;
mod special;
pub mod timer;
pub mod tracepoint;
pub mod uprobe;
pub mod usdt;
pub mod watchpoint;
pub mod wildcard;
pub mod world;

use beetrace_object::{Event, ProbeSpec, ProgramKind};

pub use attach_point::{
    AttachPoint, ParseError, ParseOptions, Target, check_probe, duplicate_name,
};
pub use provider::{Listed, Provider};
pub use resolve::{ResolveError, ResolveErrorKind, ResolveOptions, check, resolve};
pub use world::World;

/// What the program's context is, and so how its arguments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// `struct pt_regs` of the user's or the kernel's registers.
    Registers,
    /// `struct bpf_perf_event_data`, which begins with `struct pt_regs`.
    PerfEvent,
    /// A tracepoint's record, common fields included.
    Tracepoint,
    /// An array of 64-bit arguments: raw tracepoints, `fentry`, `fexit`.
    Arguments,
    /// `struct bpf_iter__KIND`: its members are typed pointers.
    Iterator,
    /// None: `begin`, `end`, `self`, `test`, `bench`.
    None,
}

/// What `args` and `argN` are.
#[derive(Clone, Debug, PartialEq)]
pub enum Arguments {
    None,
    /// `arg0` … in registers by the calling convention.
    Registers,
    Tracepoint(tracepoint::Format),
    /// Named and typed by BTF, each the 64-bit word of its position.
    Btf {
        module: Option<String>,
        params: Vec<BtfParam>,
        result: Option<u32>,
    },
    /// Members of the BTF struct of that id.
    Iterator {
        context_type: u32,
    },
    Usdt(Vec<usdt::Argument>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtfParam {
    /// Empty where BTF has none.
    pub name: String,
    pub type_id: u32,
}

/// One attach point that exists, with all that the compiler and an engine need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub spec: ProbeSpec,
    pub kind: ProgramKind,
    pub context: Context,
    pub arguments: Arguments,
}

impl Match {
    pub(crate) fn new(
        name: String,
        event: Event,
        kind: ProgramKind,
        context: Context,
        arguments: Arguments,
    ) -> Self {
        Match {
            spec: ProbeSpec { name, event },
            kind,
            context,
            arguments,
        }
    }
}
