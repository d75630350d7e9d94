//! What the kernel below can do. Each answer is found by trying, once, and only when it is asked for.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};

use beetrace_btf::{Btf, Kind};
use beetrace_isa::{AtomicOp, Insn, Reg, Size, Width, encode, helper, to_bytes};
use beetrace_object::{MapKind, ProgramKind};

use crate::map::{Definition, Map};
use crate::sys::attr::attach_type;
use crate::sys::bpf::{self, UprobeSite};
use crate::sys::perf::{self, EventAttr, Scope};
use crate::sys::{errno, mem};
use crate::verdict;

/// Something that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// The helper of that number, in programs of that `bpf_prog_type`.
    Helper {
        program: u32,
        helper: u32,
    },
    /// `bpf_d_path` where the kernel allows it.
    DPath,
    RingBuffer,
    /// Instructions of version 4: signed division, sign-extending moves and loads.
    InstructionsV4,
    /// Atomic operations that give the value that was there.
    AtomicFetch,
    /// Reading many entries of a map at once.
    MapBatch,
    UprobeMulti,
    KprobeMulti,
    KprobeSession,
    /// Semaphores of USDT probes that the kernel counts.
    UprobeRefCount,
    /// Links of perf events.
    PerfEventLink,
    /// `fentry` and `fexit`.
    Fentry,
    /// The iterator `bpf_iter_…` of that name.
    Iterator(&'static str),
    /// kprobes at all.
    Kprobe,
    /// uprobes at all.
    Uprobe,
    /// BTF of the kernel.
    Btf,
    /// BTF of modules.
    ModuleBtf,
}

/// The answers so far.
#[derive(Debug, Default)]
pub struct Features {
    btf: Option<Arc<Btf>>,
    known: Mutex<HashMap<Feature, bool>>,
}

/// Bytes of verifier log that tell an unknown helper from another error.
const LOG: usize = 4096;

impl Features {
    /// `btf` is the kernel's, where it is at hand: features of BTF-typed programs need it.
    pub fn new(btf: Option<Arc<Btf>>) -> Features {
        Features {
            btf,
            known: Mutex::default(),
        }
    }

    /// Whether the kernel has it. Without the privilege to try, the answer is no.
    pub fn has(&self, feature: Feature) -> bool {
        let known = |known: &HashMap<Feature, bool>| known.get(&feature).copied();
        if let Some(answer) = self.known.lock().ok().as_deref().and_then(known) {
            return answer;
        }
        let answer = self.probe(feature);
        if let Ok(mut known) = self.known.lock() {
            known.insert(feature, answer);
        }
        answer
    }

    /// How many instructions the verifier is ready to look at; `None` where the kernel does not say.
    pub fn instruction_limit(&self) -> Option<u64> {
        let (_, log) = try_load(&Attempt::plain(ProgramKind::Kprobe, &nothing()), 1);
        let (_, rest) = log.split_once("(limit ")?;
        rest.split_once(')')?.0.parse().ok()
    }

    fn probe(&self, feature: Feature) -> bool {
        match feature {
            Feature::Helper { program, helper } => self.has_helper(program, helper),
            Feature::DPath => self.has_d_path(),
            Feature::InstructionsV4 => {
                let from = Size::B1;
                let sign_extend = Insn::MovSx {
                    width: Width::W64,
                    from,
                    dst: Reg::R0,
                    src: Reg::R0,
                };
                takes(&[Insn::mov(Reg::R0, 0), sign_extend, Insn::Exit])
            }
            Feature::AtomicFetch => {
                let (op, size) = (AtomicOp::Add { fetch: true }, Size::B8);
                let atomic = Insn::Atomic {
                    op,
                    size,
                    dst: Reg::R10,
                    src: Reg::R0,
                    off: -8,
                };
                takes(&[
                    Insn::store(Size::B8, Reg::R10, -8, 0),
                    Insn::mov(Reg::R0, 0),
                    atomic,
                    Insn::Exit,
                ])
            }
            Feature::RingBuffer => map(MapKind::RingBuf, [0, 0, mem::page_size() as u32]).is_some(),
            Feature::MapBatch => map(MapKind::Hash, [4, 4, 1]).is_some_and(|map| map.has_batches()),
            Feature::UprobeMulti => has_uprobe_multi(),
            Feature::KprobeMulti => has_kprobe_multi(attach_type::TRACE_KPROBE_MULTI),
            Feature::KprobeSession => has_kprobe_multi(attach_type::TRACE_KPROBE_SESSION),
            Feature::UprobeRefCount => {
                Path::new("/sys/bus/event_source/devices/uprobe/format/ref_ctr_offset").exists()
            }
            Feature::PerfEventLink => has_perf_event_link(),
            Feature::Fentry => self.has_fentry(),
            Feature::Iterator(name) => {
                let id = self.find(Kind::Func, &format!("bpf_iter_{name}"));
                id.and_then(|id| load_tracing(attach_type::TRACE_ITER, id, &nothing()))
                    .is_some()
            }
            Feature::Kprobe => Path::new("/sys/bus/event_source/devices/kprobe").exists(),
            Feature::Uprobe => Path::new("/sys/bus/event_source/devices/uprobe").exists(),
            Feature::Btf => self.btf.is_some(),
            Feature::ModuleBtf => has_module_btf(),
        }
    }

    fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        Some(self.btf.as_ref()?.find(kind, name)?.0)
    }

    fn has_helper(&self, program: u32, helper: u32) -> bool {
        let insns = [Insn::Call { helper }, Insn::Exit];
        let mut attempt = Attempt {
            program,
            ..Attempt::plain(ProgramKind::Kprobe, &insns)
        };
        if program == ProgramKind::Tracing as u32 {
            // Such a program is verified for a target only. Any raw tracepoint will do.
            let Some(id) = self.find(Kind::Typedef, "btf_trace_sched_switch") else {
                return false;
            };
            attempt.attach_type = attach_type::TRACE_RAW_TP;
            attempt.attach_btf_id = id;
        }
        let (loaded, log) = try_load(&attempt, 1);
        // It may be known and called wrongly.
        let is_unknown = ["invalid func ", "unknown func ", "cannot use helper "];
        loaded.is_some() || (!log.is_empty() && !is_unknown.iter().any(|text| log.contains(text)))
    }

    fn has_d_path(&self) -> bool {
        // The kernel allows it in a few functions, of which this one is the simplest: its first argument is a path.
        let Some(id) = self.find(Kind::Func, "dentry_open") else {
            return false;
        };
        let insns = [
            Insn::load(Size::B8, Reg::R1, Reg::R1, 0),
            Insn::store(Size::B8, Reg::R10, -8, 0),
            Insn::mov(Reg::R2, Reg::R10),
            Insn::alu(beetrace_isa::AluOp::Add, Reg::R2, -8),
            Insn::mov(Reg::R3, 8),
            Insn::Call {
                helper: helper::D_PATH,
            },
            Insn::mov(Reg::R0, 0),
            Insn::Exit,
        ];
        load_tracing(attach_type::TRACE_FENTRY, id, &insns).is_some()
    }

    fn has_fentry(&self) -> bool {
        // A function of the kernel that is there to be attached to, and that nobody calls.
        self.find(Kind::Func, "bpf_fentry_test1")
            .and_then(|id| load_tracing(attach_type::TRACE_FENTRY, id, &nothing()))
            .is_some_and(|program| bpf::raw_tracepoint_open(None, program.as_fd()).is_ok())
    }
}

/// A program that is loaded to see what comes of it.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    program: u32,
    insns: &'a [Insn],
    attach_type: u32,
    attach_btf_id: u32,
}

impl<'a> Attempt<'a> {
    fn plain(kind: ProgramKind, insns: &'a [Insn]) -> Attempt<'a> {
        Attempt {
            program: kind as u32,
            insns,
            attach_type: attach_type::NONE,
            attach_btf_id: 0,
        }
    }
}

/// Whether the verifier takes the program.
fn takes(insns: &[Insn]) -> bool {
    try_load(&Attempt::plain(ProgramKind::Kprobe, insns), 0)
        .0
        .is_some()
}

fn nothing() -> [Insn; 2] {
    [Insn::mov(Reg::R0, 0), Insn::Exit]
}

/// The program, if the kernel takes it, and the log of that level; zero is none.
fn try_load(attempt: &Attempt, level: u32) -> (Option<OwnedFd>, String) {
    let insns = to_bytes(&encode(attempt.insns));
    let load = bpf::ProgLoad {
        kind: attempt.program,
        name: "feature",
        license: c"GPL",
        insns: &insns,
        attach_type: attempt.attach_type,
        attach_btf_id: attempt.attach_btf_id,
        attach_btf: None,
        btf: None,
        func_info: &[],
        line_info: &[],
        flags: 0,
    };
    if level == 0 {
        return (bpf::prog_load(&load, 0, None).ok(), String::new());
    }
    let mut log = vec![0; LOG];
    let loaded = bpf::prog_load(&load, level, Some(&mut log)).ok();
    (loaded, verdict::text(&log))
}

fn load_tracing(attach_type: u32, attach_btf_id: u32, insns: &[Insn]) -> Option<OwnedFd> {
    let attempt = Attempt {
        attach_type,
        attach_btf_id,
        ..Attempt::plain(ProgramKind::Tracing, insns)
    };
    try_load(&attempt, 0).0
}

fn load_kprobe(attach_type: u32) -> Option<OwnedFd> {
    let insns = nothing();
    let attempt = Attempt {
        attach_type,
        ..Attempt::plain(ProgramKind::Kprobe, &insns)
    };
    try_load(&attempt, 0).0
}

fn map(kind: MapKind, sizes: [u32; 3]) -> Option<Map> {
    let [key_size, value_size, max_entries] = sizes;
    let definition = Definition {
        name: "feature",
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        presence: None,
    };
    Map::create(&definition, 1).ok()
}

/// A kernel that knows such links finds that a folder has no code (`EBADF`); another does not look at the path.
fn has_uprobe_multi() -> bool {
    let site = UprobeSite {
        offset: 0,
        ref_ctr_offset: 0,
        cookie: 0,
    };
    load_kprobe(attach_type::TRACE_UPROBE_MULTI).is_some_and(|program| {
        bpf::link_uprobe_multi(program.as_fd(), c"/", &[site], 0, false)
            .is_err_and(|error| errno(&error) == libc::EBADF)
    })
}

fn has_kprobe_multi(attach_type: u32) -> bool {
    let linked = |program: BorrowedFd| {
        bpf::link_kprobe_multi(program, attach_type, &[c"ksys_read"], &[], false).is_ok()
    };
    load_kprobe(attach_type).is_some_and(|program| linked(program.as_fd()))
}

fn has_perf_event_link() -> bool {
    let attr = EventAttr {
        kind: perf::kind::SOFTWARE,
        config: perf::software::CPU_CLOCK,
        // So rare that it does not happen.
        sample_period: 1 << 60,
        ..Default::default()
    };
    let insns = nothing();
    let (program, _) = try_load(&Attempt::plain(ProgramKind::PerfEvent, &insns), 0);
    let event = perf::open(attr, None, Scope::Cpu(0));
    match (program, event) {
        (Some(program), Ok(event)) => {
            bpf::link_perf_event(program.as_fd(), event.as_fd(), 0).is_ok()
        }
        _ => false,
    }
}

/// Types of modules came with Linux 5.11; a kernel without modules has none to show.
fn has_module_btf() -> bool {
    std::fs::read_dir("/sys/kernel/btf").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name() != "vmlinux")
    })
}
