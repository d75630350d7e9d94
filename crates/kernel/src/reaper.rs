//! Closing files that take their time, behind the back of the run.
//!
//! A child process keeps the files open and ends at once, in which the kernel closes them there, while this process goes on.
//! The programs behind them are switched off already: see [`gate`](crate::gate).

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A process that is closing files.
#[derive(Debug)]
pub(crate) struct Reaper {
    pid: libc::pid_t,
}

impl Reaper {
    /// Waits until all is closed.
    pub(crate) fn wait(self) {
        let mut status = 0;
        // SAFETY: the status lives through the call; the flag is for children that send no signal.
        unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL) };
    }
}

/// Closes all of `fds` in the background; here and now if no process can be started.
pub(crate) fn close_later(fds: Vec<OwnedFd>) -> Option<Reaper> {
    if fds.is_empty() {
        return None;
    }
    let mut kept: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    // SAFETY: without flags this is fork(2) whose child sends no signal when it ends, so that a waiting session does not see it.
    // The child calls the kernel and nothing else, since another thread may have held a lock of the allocator.
    let child = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if child == 0 {
        end(&kept);
    }
    drop(fds);
    let pid = libc::pid_t::try_from(child).ok()?;
    (pid > 0).then_some(Reaper { pid })
}

/// Closes everything apart from `kept`, first of all the standard streams, whose readers wait for their end; and ends.
fn end(kept: &[RawFd]) -> ! {
    let mut first: libc::c_uint = 0;
    for fd in kept {
        let fd = *fd as libc::c_uint;
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, libc::c_uint::MAX);
    // SAFETY: ends this process without running anything of it.
    unsafe { libc::_exit(0) }
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: the descriptors of this process, which has nothing to do any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 {
        // Before Linux 5.9. Files beyond these have been opened for the run, and nobody waits for their end.
        for fd in first..=last.min(1024) {
            // SAFETY: as above.
            unsafe { libc::close(fd as RawFd) };
        }
    }
}
