//! Why the kernel said "not permitted": which capability is missing, or which setting forbids it.

use std::fs;
use std::io;

use beetrace_engine::Error;

use crate::sys::errno;

/// Numbers of capabilities (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// What this process may, as far as tracing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// The bits of `CapEff`.
    pub effective: u64,
    /// A seccomp filter is in force.
    pub filtered: bool,
}

impl Privileges {
    /// Those of this process; none where `/proc` cannot be read.
    pub fn current() -> Privileges {
        parse(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn has(&self, capability: u32) -> bool {
        let all = self.effective >> CAP_SYS_ADMIN & 1 != 0;
        all || self.effective >> capability & 1 != 0
    }

    /// `CAP_BPF`, or what includes it.
    pub fn may_bpf(&self) -> bool {
        self.has(CAP_BPF)
    }

    /// `CAP_PERFMON`, or what includes it.
    pub fn may_trace(&self) -> bool {
        self.has(CAP_PERFMON)
    }
}

fn parse(status: &str) -> Privileges {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    Privileges {
        effective: field("CapEff")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0),
        filtered: field("Seccomp") == Some("2"),
    }
}

/// The error of a bpf(2) call.
pub(crate) fn bpf_error(action: String, source: io::Error) -> Error {
    if !is_refusal(&source) {
        return Error::Io { action, source };
    }
    let privileges = Privileges::current();
    let capability = if !privileges.may_bpf() {
        "CAP_BPF"
    } else if !privileges.may_trace() {
        "CAP_PERFMON"
    } else {
        not_by_capability(privileges).unwrap_or(
            "more than CAP_BPF and CAP_PERFMON, which are there: a security module forbids it, \
             or, before Linux 5.11, the limit of locked memory (`ulimit -l`)",
        )
    };
    Error::Permission { action, capability }
}

/// The error of a perf_event_open(2) call.
pub(crate) fn perf_error(action: String, source: io::Error) -> Error {
    if !is_refusal(&source) {
        return Error::Io { action, source };
    }
    let privileges = Privileges::current();
    let capability = if !privileges.may_trace() {
        "CAP_PERFMON (or a lower kernel.perf_event_paranoid)"
    } else {
        not_by_capability(privileges)
            .unwrap_or("more than CAP_PERFMON, which is there: a security module forbids it")
    };
    Error::Permission { action, capability }
}

pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(errno(error), libc::EPERM | libc::EACCES)
}

/// What forbids it to those who have every capability.
fn not_by_capability(privileges: Privileges) -> Option<&'static str> {
    if is_locked_down() {
        Some("a kernel without lockdown (see /sys/kernel/security/lockdown)")
    } else if privileges.filtered {
        Some("a seccomp profile that allows bpf(2) and perf_event_open(2)")
    } else {
        None
    }
}

/// Whether the kernel is locked down to confidentiality, which takes reading of kernel memory from BPF.
fn is_locked_down() -> bool {
    fs::read_to_string("/sys/kernel/security/lockdown")
        .is_ok_and(|state| state.contains("[confidentiality]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_read_from_the_status() {
        let status = "Name:\tx\nCapEff:\t000000c000000000\nSeccomp:\t2\n";
        let privileges = parse(status);
        assert!(privileges.may_bpf() && privileges.may_trace() && privileges.filtered);
        let none = parse("CapEff:\t0000000000000000\nSeccomp:\t0\n");
        assert!(!none.may_bpf() && !none.may_trace() && !none.filtered);
        assert!(parse("CapEff:\t0000000000200000\n").may_bpf());
    }
}
