//! Where a program is attached: everything that an engine needs, nothing left to look up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One attach point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// The fully expanded name, as `probe` prints it and messages show it.
    pub name: String,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Begin,
    End,
    /// beetrace itself got that signal.
    SelfSignal {
        signal: i32,
    },
    /// `test:name`
    Test {
        name: String,
    },
    /// `bench:name`
    Bench {
        name: String,
    },
    /// On one processor, every `nanos` nanoseconds.
    Interval {
        nanos: u64,
    },
    /// On every processor.
    Profile {
        period: Period,
    },
    /// `event` is a `PERF_COUNT_SW_*` number; one call every `count` events.
    Software {
        event: u64,
        count: u64,
    },
    /// `event` is a `PERF_COUNT_HW_*` number, or a `PERF_COUNT_HW_CACHE_*` configuration where `cache` is set.
    Hardware {
        event: u64,
        cache: bool,
        count: u64,
    },
    Tracepoint {
        category: String,
        name: String,
    },
    /// `btf`: the program takes the typed arguments of `btf_trace_NAME`, whose BTF type this is.
    RawTracepoint {
        name: String,
        btf: Option<BtfTarget>,
    },
    Uprobe(Uprobe),
    Usdt(Usdt),
    /// A BPF iterator: `bpf_iter_KIND`.
    Iter {
        kind: IterKind,
        target: BtfTarget,
        pin: Option<PathBuf>,
    },
    /// A hardware breakpoint on data or code.
    Watchpoint {
        address: u64,
        len: u32,
        mode: WatchMode,
    },
    Kprobe {
        symbol: String,
        offset: u64,
        address: Option<u64>,
        is_return: bool,
    },
    /// `fentry` and `fexit`.
    Fentry {
        function: String,
        target: BtfTarget,
        is_exit: bool,
    },
}

/// A type of the kernel's BTF, or of one of its modules.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BtfTarget {
    /// `None` for vmlinux.
    pub module: Option<String>,
    pub type_id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// Samples a second.
    Frequency(u64),
    Nanos(u64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uprobe {
    pub path: PathBuf,
    /// Where in the file: one offset, or many for a wildcard.
    pub targets: Vec<UprobeTarget>,
    pub is_return: bool,
    /// Only this process.
    pub pid: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UprobeTarget {
    /// The symbol, empty where an address was given.
    pub symbol: String,
    /// Offset of the instruction in the file, in bytes.
    pub offset: u64,
    /// Offset in the file of the 16-bit counter that says someone listens; zero for none.
    pub ref_ctr_offset: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usdt {
    pub path: PathBuf,
    pub provider: String,
    pub name: String,
    /// Every place of that probe whose arguments lie alike; each attached to the same program.
    pub targets: Vec<UprobeTarget>,
    pub pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IterKind {
    Task,
    TaskFile,
    TaskVma,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WatchMode {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}
