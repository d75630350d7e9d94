//! The compiled program: what the compiler hands to an engine, and all that it hands.
//!
//! An [`Object`] holds programs, map definitions, the tables that decode what the programs say to user space,
//! and the configuration of the run. It knows no engine and no language.
//!
//! Invariants:
//! - An instruction names a map by its index in [`Object::maps`]; an engine replaces the index when it loads.
//! - Every record that a program sends begins with a [`RECORD_HEADER`] whose first word indexes [`Object::records`];
//!   the rest is laid out as that [`Record`] says. Nothing is ever parsed back out of text.
//! - Every value in a map or a record has a [`Layout`], whose bytes this crate's documentation fixes.
//! - An object that is written as an ELF file ([`elf`]) reads back as it was.
//!
//! ```
//! use beetrace_isa::assemble;
//! use beetrace_object::{Object, Program, ProgramKind, btf_for_load, elf};
//!
//! let mut object = Object { license: "GPL".into(), ..Object::default() };
//! object.programs.push(Program {
//!     name: "begin_1".into(),
//!     kind: ProgramKind::Syscall,
//!     insns: assemble("r0 = 0\n exit")?,
//!     functions: vec![],
//!     lines: vec![],
//!     probes: vec![],
//! });
//! assert_eq!(elf::read(&elf::write(&object)?)?, object);
//! assert_eq!(btf_for_load(&object).programs[0].func_info.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod debug_info;
pub mod elf;
mod layout;
mod map;
mod probe;
mod program;
mod record;

use serde::{Deserialize, Serialize};

pub use debug_info::*;
pub use layout::*;
pub use map::*;
pub use probe::*;
pub use program::*;
pub use record::*;

/// A compiled script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// The licence the kernel is told, e.g. `GPL`.
    pub license: String,
    /// In the order of the script, which is the order that `begin` and `end` probes run in.
    pub programs: Vec<Program>,
    pub maps: Vec<Map>,
    /// What the programs can say; a record's first word is an index into this.
    pub records: Vec<Record>,
    /// Texts that instructions come from, for verifier messages and line info.
    pub sources: Vec<SourceText>,
    pub config: Config,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceText {
    pub name: String,
    pub text: String,
    /// The macro call whose expansion this text is.
    #[serde(default)]
    pub expanded_from: Option<SourceSpan>,
}

/// A half-open range of bytes in one of [`Object::sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceSpan {
    pub source: u32,
    pub start: u32,
    pub end: u32,
}

/// What the run needs to know of the script's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub cpp_demangle: bool,
    pub lazy_symbolication: bool,
    pub cache_user_symbols: SymbolCache,
    pub print_maps_on_exit: bool,
    pub show_debug_info: bool,
    /// Appended to strings that filled their space.
    pub str_trunc_trailer: String,
    pub max_cat_bytes: u64,
    /// Size of the kernel's verifier log, in bytes.
    pub log_size: u32,
    /// Size of the ring buffer in pages; `None` lets the engine choose.
    pub perf_rb_pages: Option<u64>,
    pub missing_probes: MissingProbes,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cpp_demangle: true,
            lazy_symbolication: false,
            cache_user_symbols: SymbolCache::default(),
            print_maps_on_exit: true,
            show_debug_info: true,
            str_trunc_trailer: "..".into(),
            max_cat_bytes: 10240,
            log_size: 1_000_000,
            perf_rb_pages: None,
            missing_probes: MissingProbes::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SymbolCache {
    /// A process's own symbols, or the program's where addresses are not randomised.
    #[default]
    Auto,
    PerPid,
    PerProgram,
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingProbes {
    #[default]
    Error,
    Warn,
    Ignore,
}
