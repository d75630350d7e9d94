//! One program: its instructions as the kernel takes them, and the file descriptors of what was loaded.
//!
//! The kernel fixes at load time what a program may be attached to (a BTF function, or a `multi` link), so that a
//! program whose probes differ in that is loaded once for each [`Variant`], when it is first needed.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use beetrace_engine::Error;
use beetrace_object::{BtfTarget, Line, ProbeSpec, ProgramKind};

use crate::caps;
use crate::module_btf::ModuleBtf;
use crate::sys::{attr::attach_type, bpf, errno};
use crate::verdict;

/// What a load fixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// `enum bpf_attach_type`.
    pub(crate) attach_type: u32,
    pub(crate) target: Option<BtfTarget>,
    /// As a program of network packets, which the kernel itself runs many times over.
    pub(crate) packet: bool,
}

impl Variant {
    /// To be attached to perf events, to raw tracepoints by name, or to be run.
    pub(crate) const PLAIN: Variant = Variant {
        attach_type: attach_type::NONE,
        target: None,
        packet: false,
    };
    pub(crate) const PACKET: Variant = Variant {
        packet: true,
        ..Variant::PLAIN
    };

    pub(crate) fn multi(attach_type: u32) -> Variant {
        Variant {
            attach_type,
            ..Variant::PLAIN
        }
    }
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) kind: ProgramKind,
    /// Slots with the maps' descriptors in them.
    pub(crate) insns: Vec<u8>,
    /// Index of each instruction's first slot.
    pub(crate) slots: Vec<u32>,
    pub(crate) lines: Vec<Line>,
    pub(crate) probes: Vec<ProbeSpec>,
    /// `struct bpf_func_info` and `struct bpf_line_info`, record after record.
    pub(crate) func_info: Vec<u8>,
    pub(crate) line_info: Vec<u8>,
    pub(crate) loaded: Vec<(Variant, OwnedFd)>,
    /// The kernel does not take it as [`Variant::PACKET`].
    pub(crate) is_no_packet: bool,
}

/// What all programs of a load share.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    pub(crate) license: CString,
    pub(crate) btf: Option<OwnedFd>,
    pub(crate) log_size: u32,
    pub(crate) keep_logs: bool,
    pub(crate) logs: Vec<(String, String)>,
    pub(crate) modules: ModuleBtf,
}

/// Must be set for programs of kind `Syscall` (`BPF_F_SLEEPABLE`).
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_PROG_TYPE_XDP`
const XDP: u32 = 6;
/// Levels of the verifier's log: every instruction on the way to an error; and everything, with statistics.
const LOG_ERRORS: u32 = 1;
const LOG_ALL: u32 = 1 | 2 | 4;

impl Program {
    /// The descriptor of a variant that is loaded.
    pub(crate) fn fd(&self, variant: &Variant) -> Option<BorrowedFd<'_>> {
        let (_, fd) = self.loaded.iter().find(|(v, _)| v == variant)?;
        Some(fd.as_fd())
    }

    /// Loads the variant unless it is there.
    pub(crate) fn load(&mut self, variant: &Variant, loader: &mut Loader) -> Result<(), Error> {
        if self.fd(variant).is_some() {
            return Ok(());
        }
        let fd = self.load_variant(variant, loader)?;
        self.loaded.push((variant.clone(), fd));
        Ok(())
    }

    fn load_variant(&self, variant: &Variant, loader: &mut Loader) -> Result<OwnedFd, Error> {
        let Loader {
            license,
            btf,
            log_size,
            keep_logs,
            logs,
            modules,
        } = loader;
        let attach_btf = match variant.target.as_ref().and_then(|t| t.module.as_deref()) {
            Some(module) => Some(modules.find(module)?),
            None => None,
        };
        let load = bpf::ProgLoad {
            kind: if variant.packet {
                XDP
            } else {
                self.kind as u32
            },
            name: &self.name,
            license,
            insns: &self.insns,
            attach_type: variant.attach_type,
            attach_btf_id: variant.target.as_ref().map_or(0, |t| t.type_id),
            attach_btf,
            btf: btf.as_ref().map(|b| b.as_fd()),
            func_info: &self.func_info,
            line_info: &self.line_info,
            flags: if self.kind == ProgramKind::Syscall && !variant.packet {
                SLEEPABLE
            } else {
                0
            },
        };
        if *keep_logs {
            let mut log = vec![0; *log_size as usize];
            let result = bpf::prog_load(&load, LOG_ALL, Some(&mut log));
            logs.push((self.name.clone(), verdict::text(&log)));
            if let Ok(fd) = result {
                return Ok(fd);
            }
        }
        let error = match bpf::prog_load(&load, 0, None) {
            Ok(fd) => return Ok(fd),
            Err(error) => error,
        };
        // The kernel without a log says little: ask again.
        let mut log = vec![0; *log_size as usize];
        let error = match bpf::prog_load(&load, LOG_ERRORS, Some(&mut log)) {
            Ok(fd) => return Ok(fd),
            // A log that is too short hides the first answer.
            Err(second) if errno(&second) == libc::ENOSPC => error,
            Err(second) => second,
        };
        let log = verdict::text(&log);
        if log.trim().is_empty() {
            return Err(caps::bpf_error(
                format!("loading `{}`", self.probe_name()),
                error,
            ));
        }
        let verdict = verdict::read(&log, &self.slots, &self.lines);
        Err(Error::Rejected {
            program: self.probe_name().to_owned(),
            reason: verdict.reason,
            span: verdict.span,
            log,
        })
    }

    /// What people know the program by.
    pub(crate) fn probe_name(&self) -> &str {
        self.probes.first().map_or(&self.name, |p| &p.name)
    }
}
