//! A small system that exists in memory only, for tests of everything above the [`World`] trait.
//!
//! It has two tracepoint categories, a dozen kernel functions, the module `nft`, the binary `/bin/app` with C and C++ functions
//! and USDT probes, the library `/lib/libapp.so.1`, and the process 42 that runs them. All is typed by BTF.
//!
//! ```
//! use beetrace_probes::{World, fixture::Fixture};
//!
//! let world = Fixture::new();
//! assert!(world.tracepoints()?.contains(&("syscalls".into(), "sys_enter_openat".into())));
//! # Ok::<(), beetrace_probes::world::WorldError>(())
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beetrace_btf::{Btf, BtfBuilder, IntEncoding, Linkage, TypeId};

use crate::tracepoint::Format;
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::{Binary, ElfSymbol, Feature, KernelFunction, UsdtNote, World, WorldError};

/// The process that the fixture runs.
pub const PID: u32 = 42;

/// The system. Change its fields to make another one.
pub struct Fixture {
    pub btf: Option<Arc<Btf>>,
    pub modules: BTreeMap<String, Arc<Btf>>,
    /// Category and name, and the text of the format file.
    pub tracepoints: BTreeMap<(String, String), String>,
    pub functions: Vec<KernelFunction>,
    pub symbols: BTreeMap<String, u64>,
    pub binaries: Vec<Arc<FakeBinary>>,
    pub target_pid: Option<u32>,
    pub cpus: u32,
    /// Control groups by path.
    pub cgroups: BTreeMap<PathBuf, u64>,
    /// What [`World::supports`] says no to.
    pub missing_features: Vec<Feature>,
}

/// A binary without a file. One segment maps the file to addresses.
#[derive(Clone, Debug, Default)]
pub struct FakeBinary {
    pub path: PathBuf,
    /// Address at which the file's first byte is loaded.
    pub base: u64,
    /// Length of the file.
    pub len: u64,
    pub symbols: Vec<ElfSymbol>,
    pub notes: Vec<UsdtNote>,
}

impl Default for Fixture {
    fn default() -> Self {
        Fixture::new()
    }
}

impl Fixture {
    /// The system that the module's description tells of.
    pub fn new() -> Self {
        let kernel = Arc::new(kernel_btf());
        let nft = Arc::new(module_btf());
        let app = app();
        let in_process = FakeBinary {
            path: Path::new(&format!("/proc/{PID}/root/bin/app")).to_owned(),
            ..app.clone()
        };
        Fixture {
            btf: Some(kernel),
            modules: BTreeMap::from([("nft".to_owned(), nft)]),
            tracepoints: tracepoints(),
            functions: functions(),
            symbols: BTreeMap::from([
                ("vfs_read".to_owned(), 0xffff_ffff_8100_0000),
                ("jiffies".to_owned(), 0xffff_ffff_8200_0000),
            ]),
            binaries: vec![Arc::new(app), Arc::new(library()), Arc::new(in_process)],
            target_pid: None,
            cpus: 4,
            cgroups: BTreeMap::from([("/sys/fs/cgroup/app".into(), 4242)]),
            missing_features: Vec::new(),
        }
    }
}

fn function(name: &str, address: u64, size: u64) -> ElfSymbol {
    ElfSymbol {
        name: name.to_owned(),
        address,
        size,
        is_function: true,
    }
}

fn app() -> FakeBinary {
    let note = |provider: &str, name: &str, address, semaphore, arguments: &str| UsdtNote {
        provider: provider.to_owned(),
        name: name.to_owned(),
        address,
        semaphore,
        arguments: arguments.to_owned(),
    };
    let (args, moved, elsewhere) = if cfg!(target_arch = "aarch64") {
        ("-4@w0 8@[sp, 8]", "8@x1", "8@x2")
    } else {
        ("-4@%edi 8@-16(%rbp)", "8@%rsi", "8@%rdx")
    };
    FakeBinary {
        path: "/bin/app".into(),
        base: 0x40_0000,
        len: 0x4000,
        symbols: vec![
            function("_init", 0x40_0900, 0),
            function("main", 0x40_1000, 0x40),
            function("work_one", 0x40_1100, 0x80),
            function("work_two", 0x40_1200, 0x80),
            function("_ZN2ns3runEi", 0x40_1300, 0x20),
            function("_ZN2ns3runEc", 0x40_1400, 0x20),
            ElfSymbol {
                is_function: false,
                ..function("counter", 0x40_3000, 8)
            },
        ],
        notes: vec![
            note("trace", "start", 0x40_1010, 0x40_3000, args),
            note("trace", "start", 0x40_1020, 0x40_3000, args),
            note("trace", "moved", 0x40_1030, 0, moved),
            note("trace", "moved", 0x40_1040, 0, elsewhere),
            note("other", "start2", 0x40_1050, 0, ""),
        ],
    }
}

fn library() -> FakeBinary {
    FakeBinary {
        path: "/lib/libapp.so.1".into(),
        base: 0,
        len: 0x4000,
        symbols: vec![function("work", 0x2000, 0x100)],
        notes: Vec::new(),
    }
}

fn functions() -> Vec<KernelFunction> {
    let mut functions: Vec<KernelFunction> = [
        (None, "rcu_read_delay"),
        (None, "twice"),
        (None, "vfs_open"),
        (None, "vfs_read"),
        (None, "vfs_readv"),
        (None, "vfs_write"),
        (Some("nft"), "nft_trace"),
        (Some("nft"), "twice"),
    ]
    .into_iter()
    .map(|(module, name)| KernelFunction {
        module: module.map(str::to_owned),
        name: name.to_owned(),
    })
    .collect();
    functions.sort();
    functions
}

const COMMON: &str = "\
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
";

fn tracepoints() -> BTreeMap<(String, String), String> {
    let read = "\
	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:unsigned int fd;	offset:16;	size:8;	signed:0;
	field:char * buf;	offset:24;	size:8;	signed:0;
	field:size_t count;	offset:32;	size:8;	signed:0;
";
    let openat = "\
	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:int dfd;	offset:16;	size:8;	signed:0;
	field:const char * filename;	offset:24;	size:8;	signed:0;
	field:int flags;	offset:32;	size:8;	signed:0;
	field:umode_t mode;	offset:40;	size:8;	signed:0;
";
    let exit = "\
	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:long ret;	offset:16;	size:8;	signed:1;
";
    let switch = "\
	field:char prev_comm[16];	offset:8;	size:16;	signed:0;
	field:pid_t prev_pid;	offset:24;	size:4;	signed:1;
	field:int prev_prio;	offset:28;	size:4;	signed:1;
	field:long prev_state;	offset:32;	size:8;	signed:1;
	field:char next_comm[16];	offset:40;	size:16;	signed:0;
	field:pid_t next_pid;	offset:56;	size:4;	signed:1;
	field:int next_prio;	offset:60;	size:4;	signed:1;
";
    let exec = "\
	field:__data_loc char[] filename;	offset:8;	size:4;	signed:0;
	field:pid_t pid;	offset:12;	size:4;	signed:1;
	field:pid_t old_pid;	offset:16;	size:4;	signed:1;
";
    [
        ("sched", "sched_process_exec", exec),
        ("sched", "sched_switch", switch),
        ("syscalls", "sys_enter_openat", openat),
        ("syscalls", "sys_enter_read", read),
        ("syscalls", "sys_exit_read", exit),
    ]
    .into_iter()
    .map(|(category, name, own)| {
        let text = format!("name: {name}\nID: 1\nformat:\n{COMMON}\n{own}\nprint fmt: \"\"\n");
        ((category.to_owned(), name.to_owned()), text)
    })
    .collect()
}

fn kernel_btf() -> Btf {
    let mut b = BtfBuilder::new();
    let signed = IntEncoding {
        signed: true,
        ..IntEncoding::default()
    };
    let int = b.int("int", 4, signed);
    let long = b.int("long", 8, signed);
    let char = b.int("char", 1, signed);
    let bool = b.int(
        "bool",
        1,
        IntEncoding {
            bool: true,
            ..IntEncoding::default()
        },
    );
    let unsigned = b.int("unsigned int", 4, IntEncoding::default());
    let ulong = b.int("unsigned long", 8, IntEncoding::default());
    let ulonglong = b.int("unsigned long long", 8, IntEncoding::default());
    let u64 = b.typedef("u64", ulonglong);
    let pid_t = b.typedef("pid_t", int);
    let size_t = b.typedef("size_t", ulong);
    let ssize_t = b.typedef("ssize_t", long);
    let void_ptr = b.ptr(TypeId::VOID);
    let char_ptr = b.ptr(char);
    let comm = b.array(char, unsigned, 16);

    let qstr = b.structure("qstr", 16, &[("len", unsigned, 0), ("name", char_ptr, 64)]);
    let dentry = b.structure("dentry", 24, &[("d_inode", ulong, 0), ("d_name", qstr, 64)]);
    let dentry_ptr = b.ptr(dentry);
    let path = b.structure(
        "path",
        16,
        &[("mnt", void_ptr, 0), ("dentry", dentry_ptr, 64)],
    );
    let file = b.structure(
        "file",
        32,
        &[
            ("f_flags", unsigned, 0),
            ("f_pos", long, 64),
            ("f_path", path, 128),
        ],
    );
    let file_ptr = b.ptr(file);
    let path_ptr = b.ptr(path);

    let task_id = b.next_id();
    // The pointer to the struct itself comes first, so the struct's id is one more.
    let task_ptr = b.ptr(TypeId(task_id.0 + 1));
    let task = b.structure(
        "task_struct",
        64,
        &[
            ("pid", pid_t, 0),
            ("tgid", pid_t, 32),
            ("real_parent", task_ptr, 64),
            ("comm", comm, 128),
            ("start_time", u64, 256),
            ("stack", void_ptr, 320),
        ],
    );
    debug_assert_eq!(task, TypeId(task_id.0 + 1));
    b.bitfields("flags", 4, &[("a", unsigned, 0, 3), ("b", unsigned, 3, 5)]);
    b.enumeration("color", 4, &[("RED", 0), ("GREEN", 1), ("BLUE", 2)]);

    let read = b.func_proto(
        ssize_t,
        &[("file", file_ptr), ("buf", char_ptr), ("count", size_t)],
    );
    for name in ["vfs_read", "vfs_readv", "vfs_write"] {
        b.func(name, read, Linkage::Static);
    }
    let open = b.func_proto(int, &[("path", path_ptr), ("file", file_ptr)]);
    b.func("vfs_open", open, Linkage::Static);
    let nothing = b.func_proto(TypeId::VOID, &[]);
    for name in ["rcu_read_delay", "twice"] {
        b.func(name, nothing, Linkage::Static);
    }

    let switch = [
        ("__data", void_ptr),
        ("preempt", bool),
        ("prev", task_ptr),
        ("next", task_ptr),
    ];
    let stub = b.func_proto(TypeId::VOID, &switch);
    b.func("__probestub_sched_switch", stub, Linkage::Static);
    let nameless = b.func_proto(TypeId::VOID, &switch.map(|(_, ty)| ("", ty)));
    let nameless_ptr = b.ptr(nameless);
    b.typedef("btf_trace_sched_switch", nameless_ptr);

    let meta = b.structure("bpf_iter_meta", 8, &[("seq_num", u64, 0)]);
    let meta_ptr = b.ptr(meta);
    b.structure(
        "bpf_iter__task",
        16,
        &[("meta", meta_ptr, 0), ("task", task_ptr, 64)],
    );
    let iter = b.func_proto(int, &[("meta", meta_ptr), ("task", task_ptr)]);
    b.func("bpf_iter_task", iter, Linkage::Global);
    b.structure(
        "bpf_iter__task_file",
        32,
        &[
            ("meta", meta_ptr, 0),
            ("task", task_ptr, 64),
            ("fd", unsigned, 128),
            ("file", file_ptr, 192),
        ],
    );
    let iter = b.func_proto(
        int,
        &[
            ("meta", meta_ptr),
            ("task", task_ptr),
            ("fd", unsigned),
            ("file", file_ptr),
        ],
    );
    b.func("bpf_iter_task_file", iter, Linkage::Global);
    parsed(Btf::parse(b.build()))
}

fn module_btf() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::default());
    let nothing = b.func_proto(TypeId::VOID, &[("info", int)]);
    b.func("nft_trace", nothing, Linkage::Static);
    b.func("twice", nothing, Linkage::Static);
    parsed(Btf::parse(b.build()))
}

/// BTF that a builder wrote always parses; an empty one stands for the impossible.
fn parsed(btf: Result<Btf, beetrace_btf::BtfError>) -> Btf {
    match btf {
        Ok(btf) => btf,
        Err(error) => unreachable!("built BTF does not parse: {error}"),
    }
}

impl World for Fixture {
    fn btf(&self) -> Option<&Arc<Btf>> {
        self.btf.as_ref()
    }

    fn module_btf(&self, module: &str) -> Option<Arc<Btf>> {
        self.modules.get(module).cloned()
    }

    fn modules(&self) -> Vec<String> {
        self.modules.keys().cloned().collect()
    }

    fn tracepoints(&self) -> Result<Vec<(String, String)>, WorldError> {
        Ok(self.tracepoints.keys().cloned().collect())
    }

    fn tracepoint_format(&self, category: &str, name: &str) -> Result<Format, WorldError> {
        self.tracepoints
            .get(&(category.to_owned(), name.to_owned()))
            .map(|text| Format::parse(text))
            .ok_or_else(|| missing(format!("tracepoint {category}:{name}")))
    }

    fn raw_tracepoints(&self) -> Result<Vec<KernelFunction>, WorldError> {
        Ok(vec![KernelFunction {
            module: None,
            name: "sched_switch".into(),
        }])
    }

    fn kernel_functions(&self) -> Result<Vec<KernelFunction>, WorldError> {
        Ok(self.functions.clone())
    }

    fn kernel_symbol(&self, name: &str) -> Result<Option<u64>, WorldError> {
        Ok(self.symbols.get(name).copied())
    }

    fn binary(&self, path: &Path) -> Result<Arc<dyn Binary>, WorldError> {
        match self.binaries.iter().find(|binary| binary.path == path) {
            Some(binary) => Ok(Arc::clone(binary) as Arc<dyn Binary>),
            None => Err(missing(path.display().to_string())),
        }
    }

    fn find_binaries(&self, name: &str) -> Result<Vec<PathBuf>, WorldError> {
        let pattern = Pattern::new(name);
        let found = |binary: &&Arc<FakeBinary>| {
            let path = binary.path.to_string_lossy();
            if path.starts_with("/proc/") {
                return false;
            }
            let file = path.rsplit('/').next().unwrap_or_default();
            match name.contains('/') || has_wildcard(name) {
                true => pattern.matches(&path),
                false => file == name || file.split(".so").next() == Some(name),
            }
        };
        Ok(self
            .binaries
            .iter()
            .filter(found)
            .map(|binary| binary.path.clone())
            .collect())
    }

    fn mapped_binaries(&self, pid: u32) -> Result<Vec<PathBuf>, WorldError> {
        let prefix = format!("/proc/{pid}/");
        Ok(self
            .binaries
            .iter()
            .filter(|binary| binary.path.to_string_lossy().starts_with(&prefix))
            .map(|binary| binary.path.clone())
            .collect())
    }

    fn running_binaries(&self) -> Result<Vec<PathBuf>, WorldError> {
        self.mapped_binaries(PID)
    }

    fn is_same_file(&self, a: &Path, b: &Path) -> bool {
        a.file_name() == b.file_name()
    }

    fn target_pid(&self) -> Option<u32> {
        self.target_pid
    }

    fn possible_cpus(&self) -> u32 {
        self.cpus
    }

    fn online_cpus(&self) -> Vec<u32> {
        (0..self.cpus).collect()
    }

    fn cgroup_id(&self, path: &Path) -> Result<u64, WorldError> {
        self.cgroups
            .get(path)
            .copied()
            .ok_or_else(|| missing(path.display().to_string()))
    }

    fn supports(&self, feature: Feature) -> bool {
        !self.missing_features.contains(&feature)
    }
}

fn missing(what: String) -> WorldError {
    WorldError {
        message: format!("{what} does not exist"),
        help: None,
    }
}

impl Binary for FakeBinary {
    fn path(&self) -> &Path {
        &self.path
    }

    fn symbols(&self) -> Result<Vec<ElfSymbol>, WorldError> {
        Ok(self.symbols.clone())
    }

    fn symbol(&self, name: &str) -> Result<Option<ElfSymbol>, WorldError> {
        Ok(self.symbols.iter().find(|s| s.name == name).cloned())
    }

    fn file_offset(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.base).filter(|at| *at < self.len)
    }

    fn address(&self, file_offset: u64) -> Option<u64> {
        (file_offset < self.len).then(|| self.base + file_offset)
    }

    fn usdt_notes(&self) -> Result<Vec<UsdtNote>, WorldError> {
        Ok(self.notes.clone())
    }

    fn is_position_independent(&self) -> bool {
        self.base == 0
    }

    fn read(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        self.file_offset(address).map(|_| vec![0x90; len])
    }
}
