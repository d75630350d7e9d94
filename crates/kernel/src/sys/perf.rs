//! perf_event_open(2) and the ioctls of its files.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, check_fd};

/// `enum perf_type_id`.
pub(crate) mod kind {
    pub(crate) const HARDWARE: u32 = 0;
    pub(crate) const SOFTWARE: u32 = 1;
    pub(crate) const TRACEPOINT: u32 = 2;
    pub(crate) const HW_CACHE: u32 = 3;
    pub(crate) const BREAKPOINT: u32 = 5;
}

/// `enum perf_sw_ids`.
pub(crate) mod software {
    pub(crate) const CPU_CLOCK: u64 = 0;
    pub(crate) const DUMMY: u64 = 9;
    pub(crate) const BPF_OUTPUT: u64 = 10;
}

/// Bits of the flag word of `struct perf_event_attr`, from its lowest bit on.
pub(crate) mod flag {
    pub(crate) const INHERIT: u64 = 1 << 1;
    pub(crate) const MMAP: u64 = 1 << 8;
    pub(crate) const COMM: u64 = 1 << 9;
    pub(crate) const FREQ: u64 = 1 << 10;
    pub(crate) const TASK: u64 = 1 << 13;
    pub(crate) const WATERMARK: u64 = 1 << 14;
    pub(crate) const SAMPLE_ID_ALL: u64 = 1 << 18;
    pub(crate) const MMAP2: u64 = 1 << 23;
    pub(crate) const COMM_EXEC: u64 = 1 << 24;
}

/// Records carry their time (`PERF_SAMPLE_TIME`).
pub(crate) const SAMPLE_TIME: u64 = 1 << 2;
/// Samples carry the raw bytes of their producer (`PERF_SAMPLE_RAW`).
pub(crate) const SAMPLE_RAW: u64 = 1 << 10;

/// `struct perf_event_attr` up to `config2`: its first 72 bytes, which is a size that all kernels know.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct EventAttr {
    pub(crate) kind: u32,
    /// Set by [`open`].
    pub(crate) size: u32,
    pub(crate) config: u64,
    /// A period, or with [`flag::FREQ`] a frequency.
    pub(crate) sample_period: u64,
    pub(crate) sample_type: u64,
    pub(crate) read_format: u64,
    pub(crate) flags: u64,
    /// Events, or with [`flag::WATERMARK`] bytes, until a waiter wakes.
    pub(crate) wakeup: u32,
    pub(crate) bp_type: u32,
    pub(crate) config1: u64,
    pub(crate) config2: u64,
}

const _: () = assert!(size_of::<EventAttr>() == 72);

/// Which task on which processor an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All tasks on one processor.
    Cpu(u32),
    /// One task (a thread) on every processor.
    Task(u32),
    /// One task on one processor, which an event that is inherited needs where it shall be in a per-CPU buffer.
    TaskOnCpu(u32, u32),
}

impl Scope {
    fn numbers(self) -> (i32, i32) {
        match self {
            Scope::Cpu(cpu) => (-1, cpu as i32),
            Scope::Task(task) => (task as i32, -1),
            Scope::TaskOnCpu(task, cpu) => (task as i32, cpu as i32),
        }
    }
}

/// Opens an event. `name` is what `config1` points to, for the kinds that take a path or a symbol.
pub(crate) fn open(mut attr: EventAttr, name: Option<&CStr>, scope: Scope) -> io::Result<OwnedFd> {
    const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
    let (task, cpu) = scope.numbers();
    attr.size = size_of::<EventAttr>() as u32;
    if let Some(name) = name {
        attr.config1 = name.as_ptr() as u64;
    }
    // SAFETY: the attributes say their own size, and an address in them is that of a NUL-terminated string that lives through the call.
    unsafe {
        check_fd(libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&attr),
            task,
            cpu,
            -1,
            CLOSE_ON_EXEC,
        ))
    }
}

const IOC_ENABLE: libc::c_ulong = 0x2400;
const IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

pub(crate) fn enable(event: BorrowedFd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), IOC_ENABLE as _, 0) };
    check(result.into()).map(drop)
}

/// Lets the event call the program, on kernels without links of perf events.
pub(crate) fn set_program(event: BorrowedFd, program: BorrowedFd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), IOC_SET_BPF as _, program.as_raw_fd()) };
    check(result.into()).map(drop)
}
