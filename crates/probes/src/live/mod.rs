//! The running machine as a [`World`].
//!
//! Everything is read when it is first asked for, and remembered where it is asked for often.

mod binary;
mod functions;
mod ld_cache;
mod paths;
mod process;
mod tracefs;
mod zip;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beetrace_btf::{Btf, Kind};

use crate::fentry::btfs;
use crate::tracepoint::{self, Format};
use crate::wildcard::Pattern;
use crate::world::{Binary, Feature, KernelFunction, World, WorldError};

/// Answers whether the kernel can do something. Only the kernel engine may ask the kernel, so its caller brings one.
pub type FeatureProbe = Box<dyn Fn(Feature) -> bool>;

/// Where the kernel and its modules show their types.
const BTF_DIR: &str = "/sys/kernel/btf";
const CPU_DIR: &str = "/sys/devices/system/cpu";

/// The running machine.
pub struct System {
    features: FeatureProbe,
    /// A list of functions that can be traced, in place of the kernel's.
    traceable_functions: Option<PathBuf>,
    btf_path: PathBuf,
    /// The process of `-p`.
    pid: Option<u32>,
    target: Cell<Option<u32>>,
    btf: OnceCell<Option<Arc<Btf>>>,
    modules: RefCell<HashMap<String, Option<Arc<Btf>>>>,
    functions: OnceCell<Result<Vec<KernelFunction>, WorldError>>,
    /// Functions that were looked for by name.
    found: RefCell<HashMap<String, Vec<KernelFunction>>>,
    binaries: RefCell<HashMap<PathBuf, Arc<dyn Binary>>>,
}

impl System {
    pub fn new(features: FeatureProbe) -> Self {
        System {
            features,
            traceable_functions: None,
            btf_path: Btf::VMLINUX.into(),
            pid: None,
            target: Cell::new(None),
            btf: OnceCell::new(),
            modules: RefCell::default(),
            functions: OnceCell::new(),
            found: RefCell::default(),
            binaries: RefCell::default(),
        }
    }

    /// The process of `-p`: binaries are looked for where it sees them, and user probes fire in it only.
    pub fn with_pid(mut self, pid: Option<u32>) -> Self {
        self.pid = pid;
        self.target.set(pid);
        self
    }

    /// A file to take the functions that can be traced from, in the format of `available_filter_functions`.
    pub fn with_traceable_functions(mut self, path: Option<PathBuf>) -> Self {
        self.traceable_functions = path;
        self
    }

    /// A file to take the kernel's types from.
    pub fn with_btf(mut self, path: Option<PathBuf>) -> Self {
        if let Some(path) = path {
            self.btf_path = path;
        }
        self
    }

    /// The process of `-c`, once it is there: user probes fire in it only.
    pub fn set_target_pid(&self, pid: u32) {
        self.target.set(Some(pid));
    }

    fn functions(&self) -> Result<&[KernelFunction], WorldError> {
        self.functions
            .get_or_init(|| functions::read(self.traceable_functions.as_deref()))
            .as_deref()
            .map_err(Clone::clone)
    }
}

impl World for System {
    fn btf(&self) -> Option<&Arc<Btf>> {
        self.btf
            .get_or_init(|| Btf::from_file(&self.btf_path).ok().map(Arc::new))
            .as_ref()
    }

    fn module_btf(&self, module: &str) -> Option<Arc<Btf>> {
        // A name, and no way out of the folder.
        if module.contains('/') || module.starts_with('.') {
            return None;
        }
        let mut modules = self.modules.borrow_mut();
        modules
            .entry(module.to_owned())
            .or_insert_with(|| {
                let base = Arc::clone(self.btf()?);
                let path = Path::new(BTF_DIR).join(module);
                Btf::split_from_file(base, path).ok().map(Arc::new)
            })
            .clone()
    }

    fn modules(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(BTF_DIR)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name != "vmlinux")
            .collect();
        names.sort();
        names
    }

    fn tracepoints(&self) -> Result<Vec<(String, String)>, WorldError> {
        tracefs::tracepoints()
    }

    fn tracepoint_format(&self, category: &str, name: &str) -> Result<Format, WorldError> {
        tracefs::format(category, name)
    }

    fn raw_tracepoints(&self) -> Result<Vec<KernelFunction>, WorldError> {
        let everything = Pattern::new("*");
        let found = btfs(self, &everything).flat_map(|(module, btf)| {
            let names = tracepoint::raw_prototypes(&btf).into_keys();
            names.map(move |name| KernelFunction {
                module: module.clone(),
                name,
            })
        });
        Ok(found.collect())
    }

    fn kernel_functions(&self) -> Result<Vec<KernelFunction>, WorldError> {
        self.functions().map(<[_]>::to_vec)
    }

    fn find_kernel_functions(&self, name: &str) -> Result<Vec<KernelFunction>, WorldError> {
        if self.functions.get().is_some() {
            let named = self.functions()?.iter().filter(|f| f.name == name);
            return Ok(named.cloned().collect());
        }
        // The kernel's list takes it a tenth of a second to write. Functions with BTF are in it, but for a few
        // that the kernel refuses when it attaches.
        let typed = self.btf().and_then(|btf| btf.find(Kind::Func, name));
        if typed.is_some() && self.traceable_functions.is_none() {
            return Ok(vec![KernelFunction {
                module: None,
                name: name.to_owned(),
            }]);
        }
        if let Some(known) = self.found.borrow().get(name) {
            return Ok(known.clone());
        }
        let found = functions::find(self.traceable_functions.as_deref(), name)?;
        self.found
            .borrow_mut()
            .insert(name.to_owned(), found.clone());
        Ok(found)
    }

    fn kernel_symbol(&self, name: &str) -> Result<Option<u64>, WorldError> {
        functions::address(name)
    }

    fn binary(&self, path: &Path) -> Result<Arc<dyn Binary>, WorldError> {
        if let Some(known) = self.binaries.borrow().get(path) {
            return Ok(Arc::clone(known));
        }
        let binary = binary::open(path)?;
        self.binaries
            .borrow_mut()
            .insert(path.to_owned(), Arc::clone(&binary));
        Ok(binary)
    }

    fn find_binaries(&self, name: &str) -> Result<Vec<PathBuf>, WorldError> {
        Ok(paths::find(name, self.pid))
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn mapped_binaries(&self, pid: u32) -> Result<Vec<PathBuf>, WorldError> {
        process::mapped(pid)
    }

    fn running_binaries(&self) -> Result<Vec<PathBuf>, WorldError> {
        process::mapped_anywhere()
    }

    fn is_same_file(&self, a: &Path, b: &Path) -> bool {
        match (fs::metadata(a), fs::metadata(b)) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }

    fn target_pid(&self) -> Option<u32> {
        self.target.get()
    }

    fn possible_cpus(&self) -> u32 {
        let cpus = cpus("possible");
        cpus.iter().max().map_or(1, |last| last.saturating_add(1))
    }

    fn online_cpus(&self) -> Vec<u32> {
        match cpus("online") {
            cpus if cpus.is_empty() => vec![0],
            cpus => cpus,
        }
    }

    fn cgroup_id(&self, path: &Path) -> Result<u64, WorldError> {
        // In version 2 the id of a control group is the inode of its folder (kernel: kernfs_id_ino).
        let meta = fs::metadata(path).map_err(|error| WorldError {
            message: format!("cannot read the control group {}: {error}", path.display()),
            help: None,
        })?;
        Ok(meta.ino())
    }

    fn supports(&self, feature: Feature) -> bool {
        (self.features)(feature)
    }
}

/// Reads a list of processors such as `0-3,8`.
fn cpus(which: &str) -> Vec<u32> {
    let text = fs::read_to_string(Path::new(CPU_DIR).join(which)).unwrap_or_default();
    parse_cpus(&text)
}

/// More processors than any kernel has, so that a wrong range costs no memory.
const MAX_CPUS: u32 = 8192;

fn parse_cpus(text: &str) -> Vec<u32> {
    text.trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let last: u32 = last.parse().ok()?;
            Some(first.parse::<u32>().ok()?..=last.min(MAX_CPUS))
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> System {
        System::new(Box::new(|_| false))
    }

    #[test]
    fn reads_lists_of_processors() {
        assert_eq!(parse_cpus("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_cpus("0"), [0]);
        assert_eq!(parse_cpus(""), [0u32; 0]);
        assert_eq!(parse_cpus("x-3,1"), [1]);
    }

    #[test]
    fn has_processors() {
        let system = system();
        assert!(system.possible_cpus() >= 1);
        let online = system.online_cpus();
        assert!(online.iter().all(|cpu| *cpu < system.possible_cpus()));
    }

    #[test]
    fn a_control_group_has_its_inode_as_id() {
        let system = system();
        let path = Path::new("/sys/fs/cgroup");
        if let Ok(meta) = fs::metadata(path) {
            assert_eq!(system.cgroup_id(path), Ok(meta.ino()));
        }
        let error = system.cgroup_id(Path::new("/no/such")).unwrap_err();
        assert!(
            error
                .message
                .starts_with("cannot read the control group /no/such: ")
        );
    }

    #[test]
    fn modules_stay_in_their_folder() {
        assert!(system().module_btf("../btf/vmlinux").is_none());
        assert!(system().module_btf("").is_none());
    }

    #[test]
    fn knows_its_own_binary() {
        let exe = std::env::current_exe().unwrap();
        let system = system();
        let binary = system.binary(&exe).unwrap();
        let symbol = binary
            .symbols()
            .unwrap()
            .into_iter()
            .find(|s| s.name == "main")
            .unwrap();
        assert!(symbol.is_function);
        let offset = binary.file_offset(symbol.address).unwrap();
        assert_eq!(binary.address(offset), Some(symbol.address));
        assert_eq!(binary.symbol("main").unwrap(), Some(symbol));
        assert_eq!(binary.symbol("no such symbol").unwrap(), None);
    }
}
