//! What a case may ask of the machine.

use std::fs;
use std::path::Path;

use crate::case::{Case, Kernels};

/// What is missing for a case, in the words of its `needs` and `kernels`; `None` if it can run.
pub fn missing(case: &Case) -> Result<Option<String>, String> {
    for need in &case.needs {
        if !has(need)? {
            return Ok(Some(need.clone()));
        }
    }
    let Kernels { from, to } = case.kernels;
    let running = kernel();
    Ok((running < from || running > to).then(|| "another-kernel".to_string()))
}

fn has(need: &str) -> Result<bool, String> {
    let exists = |path: &str| Path::new(path).exists();
    Ok(match need {
        "bpf" => has_capability(38) && has_capability(39) || has_capability(21),
        "root" => rustix::process::geteuid().is_root(),
        "kprobes" => exists("/sys/bus/event_source/devices/kprobe"),
        "tracefs" => exists("/sys/kernel/tracing/events") || exists("/sys/kernel/debug/tracing"),
        "syscall-tracepoints" => exists("/sys/kernel/tracing/events/syscalls"),
        "btf" => exists("/sys/kernel/btf/vmlinux"),
        "pmu" => exists("/sys/bus/event_source/devices/cpu"),
        "setpriv" => exists("/usr/bin/setpriv"),
        "x86-64" => cfg!(target_arch = "x86_64"),
        _ => return Err(format!("unknown need `{need}`")),
    })
}

/// Whether this process holds a capability, by its number in `linux/capability.h`.
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|held| held & (1 << number) != 0)
}

/// Major and minor number of the running kernel.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (next(), next())
}
