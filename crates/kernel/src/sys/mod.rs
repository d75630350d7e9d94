//! The system calls, each in a safe function that takes slices and file descriptors.

pub(crate) mod attr;
pub(crate) mod bpf;
pub(crate) mod mem;
pub(crate) mod perf;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The result of a system call that answers -1 on error.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The result of a system call that answers with a file descriptor.
///
/// # Safety
/// A number that is not negative is a descriptor that nobody else owns.
pub(crate) unsafe fn check_fd(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)? as i32;
    // SAFETY: the caller says that it is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The error number of an I/O error; zero where it has none.
pub(crate) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// `ENOTSUPP`, which is the kernel's own and leaks out of bpf(2).
pub(crate) const ENOTSUPP: i32 = 524;
