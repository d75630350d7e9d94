//! `fentry` and `fexit`: the load has fixed the function.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::sys::bpf;

pub(super) fn attach(program: BorrowedFd) -> io::Result<Vec<OwnedFd>> {
    bpf::raw_tracepoint_open(None, program).map(|link| vec![link])
}
