//! Knowledge of the system, behind one trait.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use beetrace_btf::Btf;

use crate::tracepoint::Format;

/// Why the system could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WorldError {
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What the kernel below can do. Each is probed, never guessed from a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// The helper of that number, for programs of that `bpf_prog_type`.
    Helper {
        id: u32,
        program: u32,
    },
    /// A kfunc in BTF.
    Kfunc(&'static str),
    RingBuf,
    UprobeMulti,
    KprobeMulti,
    KprobeSession,
    UprobeRefCount,
    BpfLinkPerfEvent,
    MapBatch,
}

/// A function of the kernel or of a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelFunction {
    /// `None` for vmlinux.
    pub module: Option<String>,
    pub name: String,
}

/// A symbol of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfSymbol {
    pub name: String,
    /// Virtual address in the file's own address space.
    pub address: u64,
    /// In bytes; zero where the file does not say.
    pub size: u64,
    pub is_function: bool,
}

/// A USDT probe of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtNote {
    pub provider: String,
    pub name: String,
    /// Virtual address of the instruction, corrected for prelink.
    pub address: u64,
    /// Virtual address of the semaphore; zero for none.
    pub semaphore: u64,
    /// The argument string.
    pub arguments: String,
}

/// An ELF file as far as tracing needs it.
pub trait Binary {
    fn path(&self) -> &Path;
    /// All symbols with an address, of `.symtab` and `.dynsym`, and of a separate debug file where there is one.
    fn symbols(&self) -> Result<Vec<ElfSymbol>, WorldError>;
    /// One symbol by its exact name (mangled).
    fn symbol(&self, name: &str) -> Result<Option<ElfSymbol>, WorldError>;
    /// Offset in the file of a virtual address that a segment loads.
    fn file_offset(&self, address: u64) -> Option<u64>;
    /// Virtual address of an offset in the file.
    fn address(&self, file_offset: u64) -> Option<u64>;
    fn usdt_notes(&self) -> Result<Vec<UsdtNote>, WorldError>;
    /// Whether addresses move when it is loaded (`ET_DYN`).
    fn is_position_independent(&self) -> bool;
    /// Bytes at a virtual address, for checks of instruction boundaries.
    fn read(&self, address: u64, len: usize) -> Option<Vec<u8>>;
}

/// The system that a script is compiled for.
pub trait World {
    /// The kernel's own BTF.
    fn btf(&self) -> Option<&Arc<Btf>>;
    /// BTF of a module, on top of the kernel's.
    fn module_btf(&self, module: &str) -> Option<Arc<Btf>>;
    /// Modules that are loaded and have BTF.
    fn modules(&self) -> Vec<String>;
    /// All tracepoints as (category, name), sorted.
    fn tracepoints(&self) -> Result<Vec<(String, String)>, WorldError>;
    fn tracepoint_format(&self, category: &str, name: &str) -> Result<Format, WorldError>;
    /// Raw tracepoints by name, sorted, with the module that has them.
    fn raw_tracepoints(&self) -> Result<Vec<KernelFunction>, WorldError>;
    /// Functions that can be traced, sorted.
    fn kernel_functions(&self) -> Result<Vec<KernelFunction>, WorldError>;
    /// The functions of that name that can be traced: several where modules have one each.
    fn find_kernel_functions(&self, name: &str) -> Result<Vec<KernelFunction>, WorldError> {
        let mut found = self.kernel_functions()?;
        found.retain(|function| function.name == name);
        Ok(found)
    }
    /// Address of a kernel symbol.
    fn kernel_symbol(&self, name: &str) -> Result<Option<u64>, WorldError>;
    fn binary(&self, path: &Path) -> Result<Arc<dyn Binary>, WorldError>;
    /// Where the dynamic linker or the shell would find it: a path, a library (`libc`, `libc.so.6`), a command; wildcards give many.
    fn find_binaries(&self, name: &str) -> Result<Vec<PathBuf>, WorldError>;
    /// Whether there is a file that code may be in, of whatever format.
    fn is_file(&self, path: &Path) -> bool {
        self.binary(path).is_ok()
    }
    /// Files that a process has mapped, its executable first, as `/proc/PID/root/…`.
    fn mapped_binaries(&self, pid: u32) -> Result<Vec<PathBuf>, WorldError>;
    /// Files that any process has mapped as code.
    fn running_binaries(&self) -> Result<Vec<PathBuf>, WorldError> {
        Ok(Vec::new())
    }
    /// Whether two paths lead to one file.
    fn is_same_file(&self, a: &Path, b: &Path) -> bool {
        a == b
    }
    /// The process of `-p`, or the command of `-c` once it is there.
    fn target_pid(&self) -> Option<u32>;
    fn possible_cpus(&self) -> u32;
    fn online_cpus(&self) -> Vec<u32>;
    fn cgroup_id(&self, path: &Path) -> Result<u64, WorldError>;
    fn supports(&self, feature: Feature) -> bool;
}
